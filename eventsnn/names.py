"""Names of populations, projections and recordings: they become keys of handles and groups of the store."""

from __future__ import annotations

from collections.abc import Callable

from eventsnn.errors import KindError, ParameterError

LONGEST = 200
RESERVED = ("projections", "spikes", "time", "neuron", "index")


def check_name(name: object, kind: str) -> str:
    """The name, if it can be a group of the store; `/` is kept for sub-networks."""
    if not isinstance(name, str):
        raise KindError(f"{kind}: a name must be text, not {name!r}")
    if not name or name != name.strip() or not name.isprintable():
        raise ParameterError(f"{kind} {name!r}: a name must be printable text without blanks around it")
    if "/" in name or "\\" in name or name.startswith((".", "__")) or name == "zarr.json":
        raise ParameterError(
            f"{kind} {name!r}: a name holds no '/' or '\\' and does not start with '.' or '__'; it is a group of the store"
        )
    if len(name.encode()) > LONGEST:
        raise ParameterError(f"{kind} {name[:20]!r}...: a name has at most {LONGEST} bytes; it is a folder of the store")
    if name in RESERVED:
        raise ParameterError(f"{kind} {name!r}: this name is reserved, as are {', '.join(n for n in RESERVED if n != name)}")
    return name


def first_free(name: str, taken: Callable[[str], bool]) -> str:
    """`name`, or name_2, name_3, ... where it is taken."""
    found, k = name, 1
    while taken(found):
        k += 1
        found = f"{name}_{k}"
    return found
