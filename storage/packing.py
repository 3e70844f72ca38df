"""Few objects instead of many: the chunks of a run that has ended go into shards, and out again where it goes on."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from eventsnn.storage.errors import StoreError, StoreUnusable, advice
from eventsnn.storage.objects import (
    PARTIAL,
    as_json,
    delete_objects,
    flush_objects,
    list_objects,
    read_object,
    read_objects,
    write_objects,
)
from eventsnn.storage.ownership import Ownership
from eventsnn.storage.results import read_commit
from eventsnn.storage.shards import (
    OBJECT,
    grid,
    holds_rows,
    inside,
    is_sharded,
    join,
    key,
    require_frame,
    sharded,
    split,
    unsharded,
)
from eventsnn.storage.targets import ROOT, Place, Target, resolve

_BATCH = 64
"""Chunks that are read or written at once."""
_SWEEP = 1000
"""Objects that are deleted before the owner of the store is looked at again."""

Node = dict[str, Any]


def pack(store: Target, storage_options: Mapping[str, Any] | None = None) -> tuple[int, int]:
    """Put the chunks of a run that has ended into shards of up to 1024: (objects before, objects after).

    Nothing is computed anew: compressed chunks are copied as they are, one array after the other, with memory for one shard and
    room in the store for a second copy of the largest array. A reader sees each array as it was or packed, with the same values;
    a process that is killed leaves such a store, and pack() does the rest. Only who opened the store before and goes on
    reading must open it again: its chunks are gone (`snn.open` says so, plain Zarr gives zeros). `snn.resume` unpacks first.

    Raises StoreMissing, StoreUnusable where a run is going on or was cut off, a chunk is damaged or gone, or the store cannot be
    written; StoreTaken where a run takes the store over meanwhile.
    """
    return _convert(store, storage_options, sharded)


def unpack(store: Target, storage_options: Mapping[str, Any] | None = None) -> tuple[int, int]:
    """Undo pack(), in the same way: (objects before, objects after)."""
    return _convert(store, storage_options, unsharded)


def is_packed(nodes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether an array is in shards; `nodes`: metadata of groups and arrays."""
    return any(node["node_type"] == "array" and is_sharded(node) for node in nodes.values())


def convert(place: Place, owner: Ownership, form: Callable[[Node], Node]) -> None:
    """Bring every array into a form, sharded or unsharded, and delete what a process that was killed left of the other.

    The new objects of an array have other keys than the old ones. They are all there, and lasting, when the commit record is
    replaced, which makes the array the new one; then the old ones go. Arrays of one chunk stay as they are.
    """
    _, record = read_commit(place.folder or place.store)
    nodes = record["consolidated_metadata"]["metadata"]
    keys = list_objects(place.store)
    _delete(place, owner, [key for key in keys if PARTIAL.search(key)])
    objects: dict[str, list[str]] = {}
    for found in filter(None, map(OBJECT.fullmatch, keys)):
        objects.setdefault(found[1], []).append(found[0])
    for path, node in nodes.items():
        if node["node_type"] == "array":
            mine = key(path, node, ())
            _delete(place, owner, [name for name in objects.get(path, []) if not name.startswith(mine)])
            wanted = form(node) if math.prod(grid(unsharded(node))) > 1 else node
            if wanted != node:
                first = nodes[path.rpartition("/")[0]]["attributes"].get("first_row", 0)
                _write(place, owner, _made(place, path, node, wanted, first))
                nodes[path] = wanted
                _publish(place, owner, {ROOT: as_json(record)})
            own = f"{path}/{ROOT}"
            if read_object(place.store, own) not in (None, as_json(wanted)):
                _publish(place, owner, {own: as_json(wanted)})
            if wanted != node:
                _delete(place, owner, [name for name in objects.get(path, []) if name.startswith(mine)])


def _convert(target: Target, storage_options: Mapping[str, Any] | None, form: Callable[[Node], Node]) -> tuple[int, int]:
    _require_ended(target, storage_options)
    place = resolve(target, storage_options)
    if place.store.read_only:
        raise StoreUnusable(f"store {place.name} was opened read-only; give one that can be written")
    owner, before = Ownership(place), len(list_objects(place.store))
    try:
        owner.take()
        try:
            _require_ended(target, storage_options)
            convert(place, owner, form)
        except BaseException:
            with contextlib.suppress(StoreError, OSError):
                owner.release()
            raise
        owner.release()
    except OSError as error:
        raise StoreUnusable(
            f"store {place.name} cannot be written: {error}. {advice(error)}; nothing of it is lost, the rest can be done later"
        ) from error
    return before, len(list_objects(place.store))


def _require_ended(target: Target, storage_options: Mapping[str, Any] | None) -> None:
    place, record = read_commit(target, storage_options)
    if record["attributes"].get("run", {}).get("state") != "ended":
        raise StoreUnusable(
            f"the run in store {place.name} has not ended: it is going on, or was cut off. Close its simulation, or take it up "
            f"and close it (snn.resume(store).close(), or `eventsnn resume {place.name}`), and pack it then"
        )


def _made(place: Place, path: str, node: Node, wanted: Node, first: int) -> Iterator[dict[str, bytes]]:
    """The objects of an array in its new form, some at a time; `first`: rows before it may be gone."""
    for shard in np.ndindex(grid(wanted if is_sharded(wanted) else node)):
        if is_sharded(wanted):
            yield _one_shard(place, path, node, wanted, shard, first)
        else:
            yield from _its_chunks(place, path, node, wanted, shard, first)


def _one_shard(place: Place, path: str, node: Node, wanted: Node, shard: tuple[int, ...], first: int) -> dict[str, bytes]:
    chunks = _chunks(place, path, node, inside(wanted, shard), first)
    return {key(path, wanted, shard): join(chunks)} if any(chunks) else {}


def _its_chunks(
    place: Place, path: str, node: Node, wanted: Node, shard: tuple[int, ...], first: int
) -> Iterator[dict[str, bytes]]:
    places, chunks = inside(node, shard), _taken_out(place, path, node, shard, first)
    for at in range(0, len(places), _BATCH):
        some = zip(places[at : at + _BATCH], chunks[at : at + _BATCH], strict=True)
        yield {key(path, wanted, where): chunk for where, chunk in some if chunk is not None}


def _chunks(place: Place, path: str, node: Node, places: list[tuple[int, ...]], first: int) -> list[bytes | None]:
    """The chunks at these places; None for those outside the array, and those that hold no row from `first` on and are gone."""
    bounds, chunks = grid(node), []
    for at in range(0, len(places), _BATCH):
        some = places[at : at + _BATCH]
        wanted = [where for where in some if all(index < bound for index, bound in zip(where, bounds, strict=True))]
        found = dict(zip(wanted, read_objects(place.store, [key(path, node, where) for where in wanted]), strict=True))
        for where in wanted:
            _require_whole(place, key(path, node, where), node, found[where], where, first)
        chunks += [found.get(where) for where in some]
    return chunks


def _taken_out(place: Place, path: str, node: Node, shard: tuple[int, ...], first: int) -> list[bytes | None]:
    """The chunks of a shard, in the order of its index."""
    name, places, bounds = key(path, node, shard), inside(node, shard), grid(unsharded(node))
    data = read_object(place.store, name)
    chunks: list[bytes | None] = [None] * len(places)
    try:
        chunks = chunks if data is None else split(data, len(places))
    except ValueError as error:
        raise _damaged(place, name, error) from error
    for where, chunk in zip(places, chunks, strict=True):
        if all(index < bound for index, bound in zip(where, bounds, strict=True)):
            _require_whole(place, name, node, chunk, where, first)
    return chunks


def _require_whole(place: Place, name: str, node: Node, chunk: bytes | None, where: tuple[int, ...], first: int) -> None:
    try:
        if chunk is not None:
            require_frame(chunk, node)
        elif holds_rows(unsharded(node), where[0], first):
            raise ValueError("it is not there")
    except ValueError as error:
        raise _damaged(place, name, error) from error


def _damaged(place: Place, name: str, error: ValueError) -> StoreUnusable:
    return StoreUnusable(f"{name} of store {place.name} is damaged or gone: {error}; its array is left as it was")


def _write(place: Place, owner: Ownership, made: Iterator[dict[str, bytes]]) -> None:
    """Write all, lasting; where that fails, what was written is taken away again."""
    written: list[str] = []
    try:
        for objects in made:
            written += objects
            with owner.held():
                write_objects(place.store, objects)
                flush_objects(place.store, objects.keys())
            objects.clear()  # before the next ones are made: a shard is large
    except BaseException:
        with contextlib.suppress(StoreError, OSError):
            _delete(place, owner, written)
        raise


def _publish(place: Place, owner: Ownership, objects: dict[str, bytes]) -> None:
    with owner.held():
        write_objects(place.store, objects)
        flush_objects(place.store, objects.keys())


def _delete(place: Place, owner: Ownership, keys: list[str]) -> None:
    for at in range(0, len(keys), _SWEEP):
        with owner.held():
            delete_objects(place.store, keys[at : at + _SWEEP])
