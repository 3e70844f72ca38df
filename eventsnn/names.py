"""Names of populations, projections and recordings: they become keys of handles and groups of the store."""

from __future__ import annotations

from collections.abc import Callable, Collection

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


def check_path(name: object, kind: str, homes: Collection[str]) -> str:
    """A name in the network or in one of the sub-networks `homes`, as in "cortex/L4/exc"."""
    if isinstance(name, str) and "/" in name:
        home, _, last = name.rpartition("/")
        if home in homes:
            check_name(last, kind)
            return name
        if home and "\\" not in name:
            raise ParameterError(
                f"{kind} {name!r}: a name holds no '/', that is for names in sub-networks, and there is no sub-network {home!r}; "
                f"make it first with network.subnetwork({home!r})"
            )
    return check_name(name, kind)


def between(pre: str, post: str) -> str:
    """The name of a projection: pre_to_post, in the sub-network that both share."""
    sources, targets = pre.split("/"), post.split("/")
    shared = 0
    while shared < min(len(sources), len(targets)) - 1 and sources[shared] == targets[shared]:
        shared += 1
    return "/".join([*sources[:shared], f"{'.'.join(sources[shared:])}_to_{'.'.join(targets[shared:])}"])


def first_free(name: str, taken: Callable[[str], bool]) -> str:
    """`name`, or name_2, name_3, ... where it is taken."""
    found, k = name, 1
    while taken(found):
        k += 1
        found = f"{name}_{k}"
    return found
