"""Whether a run can be taken up again from what a store holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eventsnn.storage.errors import StoreUnusable

Nodes = Mapping[str, Mapping[str, Any]]
"""Metadata of groups and arrays, by path."""

MOVING = frozenset({"first_row", "first_event"})
"""Attributes that change while a run goes on."""


def require_same(stored: Nodes, wanted: Nodes, name: str) -> None:
    """Raise StoreUnusable where the recordings of the store `name` are not those of the run that would go on in it."""
    for path in sorted(stored.keys() | wanted.keys()):
        if path not in wanted:
            raise StoreUnusable(f"store {name} holds {path}, which this run does not record; resume with the network that it had")
        if path not in stored:
            raise StoreUnusable(f"store {name} holds no {path}, which this run records; resume with the network that it had")
        there, here = dict(_traits(stored[path])), dict(_traits(wanted[path]))
        for trait in [*there, *here]:
            if there.get(trait) != here.get(trait):
                raise StoreUnusable(
                    f"{path} has {trait} {there.get(trait)!r} in store {name} and {here.get(trait)!r} in this run; "
                    "resume with the network that it had"
                )


def _traits(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What cannot change: all but the number of rows, and the attributes that move with them."""
    yield from ((key, value) for key, value in node["attributes"].items() if key not in MOVING)
    if node["node_type"] == "array":
        yield "dtype", node["data_type"]
        yield "dimensions", node["dimension_names"]
        yield "columns", node["shape"][1:]
        yield "chunks", node["chunk_grid"]
        yield "codecs", node["codecs"]
