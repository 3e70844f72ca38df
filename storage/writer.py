"""Merging, writing and committing: everything about a run's store but threads and waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.spec import ListedSynapses, RecordingSpec
from eventsnn.storage.arrays import GrowingArray, Objects
from eventsnn.storage.clock import times
from eventsnn.storage.errors import StoreUnusable
from eventsnn.storage.objects import PARTIAL, as_json, delete_objects, list_objects, read_object, write_objects
from eventsnn.storage.ownership import Ownership
from eventsnn.storage.packing import convert
from eventsnn.storage.results import read_commit
from eventsnn.storage.rollback import require_same
from eventsnn.storage.shards import unsharded
from eventsnn.storage.tables import make_tables
from eventsnn.storage.targets import ROOT, Place, clear, require_free

Rows = dict[str, tuple[int, int]]
"""Path of an array -> the rows [first, stop) that are valid at one moment."""

_MARKS = 3
"""Moments to which a run may still go back: two checkpoints, and one in the making."""

_PACKAGES = ("eventsnn", "numpy", "xarray", "zarr")


class StoreWriter:
    """Owns every object of a run's store. Not thread-safe.

    The commit record is the root's zarr.json: its attributes say up to when the run is there, its consolidated metadata give the
    shape of every array at that moment. It is replaced in one write, after all chunks that it speaks of.
    """

    def __init__(
        self,
        place: Place,
        specs: Sequence[RecordingSpec | ListedSynapses],
        attrs: Mapping[str, Any],
        *,
        dt: float,
        parts: int,
    ) -> None:
        self._place, self._store, self._dt = place, place.store, dt
        self._owner = Ownership(place)
        self._attrs = {"dt": dt, "versions": _versions(), **attrs}
        paths = [spec.path for spec in specs]
        if len(set(paths)) < len(paths):
            raise ValueError(
                f"recordings share a path: {sorted({path for path in paths if paths.count(path) > 1})}; name one of them"
            )
        self._tables = make_tables(specs, dt, parts)
        self._arrays: list[GrowingArray] = [array for table in self._tables for array in table.arrays]
        self._growing: list[GrowingArray] = [array for table in self._tables for array in table.growing]
        self._nodes = self._make_nodes()
        self._rows: Rows = {}
        self._marks: tuple[Rows, ...] = ()
        self._step = 0
        self._until: int | None = None

    def create(self, overwrite: bool) -> None:
        """Write the coordinates and the first commit record: all groups and arrays, no rows, committed_ms = 0.

        Raises StoreExists or StoreUnusable as require_free.
        """
        require_free(self._place, overwrite)
        self._owner.take()
        clear(self._place)
        self._write(self._coordinates())
        self.commit(0)

    def resume(self, step: int, rows: Mapping[str, int]) -> None:
        """Take up a store where it stood after `step`, when its arrays had so many rows.

        What was written since is taken back, after the commit record has ceased to speak of it; arrays in shards are unpacked
        before, for only chunks can grow. Killed half way, it can be done again. Raises StoreMissing, or StoreUnusable where the
        store is not one of this run or has not, or not any more, all rows.
        """
        name = self._place.name
        _, record = read_commit(self._place.folder or self._store)
        committed, dt = record["attributes"]["committed_step"], record["attributes"]["dt"]
        if dt != self._dt:
            raise StoreUnusable(f"store {name} has dt {dt} ms and this run {self._dt} ms; resume with the network that it had")
        if step > committed:
            raise StoreUnusable(f"store {name} holds everything up to step {committed} only, and cannot go on after step {step}")
        stored = record["consolidated_metadata"]["metadata"].items()
        plain = {path: unsharded(node) if node["node_type"] == "array" else node for path, node in stored}
        require_same(plain, self._nodes, name)
        coordinates = self._coordinates()
        for key, data in coordinates.items():
            if read_object(self._store, key) != data:
                raise StoreUnusable(
                    f"{key} of store {name} names other neurons than this run; resume with the network that it had"
                )
        self._owner.take()
        convert(self._place, self._owner, unsharded)
        keys = frozenset(list_objects(self._store))
        self._rewind(step, rows, keys)
        with self._owner.held():
            self._publish(step)
            own = keys.intersection(f"{path}/{ROOT}" for path in self._nodes)
            partial = [key for key in keys if PARTIAL.search(key)]
            delete_objects(self._store, [*own, *partial])
            self._trim()
            self._flush()
        self.mark()

    def lay_out(self, part: int, table: int, positions: npt.NDArray[np.int64]) -> None:
        self._tables[table].lay_out(part, positions)

    def check(self, part: int, since: int, step: int, chunks: Mapping[int, Any]) -> None:
        """Raise where chunks are not the rows of the steps (since, step]; touches nothing, so any thread may call it."""
        for table, chunk in chunks.items():
            if not 0 <= table < len(self._tables):
                raise ValueError(f"part {part} gave rows for table {table}; there are tables 0..{len(self._tables) - 1}")
            self._tables[table].check(part, chunk, since, step)

    def add(self, part: int, chunks: Mapping[int, Any]) -> None:
        for table, chunk in chunks.items():
            self._tables[table].add(part, chunk)

    def advance(self, step: int) -> None:
        """All parts have reported up to `step`: rows of those steps enter the arrays, full chunks the store."""
        for table in self._tables:
            objects: Objects = {}
            table.advance(step, objects)
            if objects:
                self._write(objects)

    @property
    def waiting(self) -> int:
        """Bytes of rows that wait for parts that are behind."""
        return sum(table.waiting for table in self._tables)

    def aim(self, step: int) -> None:
        """Further commit records say that the run is to go to `step`."""
        self._until = step

    def commit(self, step: int) -> None:
        """Publish all rows up to `step`, to which advance() was called; then delete the chunks that are not needed any more.

        The rows that the record before spoke of are left, for who has just read it.
        """
        for table in self._tables:
            table.expire(step)
        with self._owner.held():
            before = self._rows
            self._flush()
            self._publish(step)
            self._trim(before)

    @property
    def rows(self) -> dict[str, int]:
        """Rows of all arrays that grow, by path, at the last commit."""
        return {path: stop for path, (_, stop) in self._rows.items()}

    def mark(self) -> None:
        """The run may be resumed from the last commit: its rows are kept, too, until three others were marked."""
        self._marks = (*self._marks, self._rows)[-_MARKS:]

    def settle(self) -> None:
        """Write the own metadata of every group and array, for who opens a group by its own path or lists the store.

        Readers of the root need none of it, and a group that shows the rows of another moment would be worse than none: it is
        written once, when the run ends. Then the record says that it has, and the store is nobody's.
        """
        with self._owner.held():
            write_objects(self._store, {f"{path}/{ROOT}": as_json(node) for path, node in self._nodes.items()})
            self._publish(self._step, "ended")
            objects: Objects = {}
            for array in self._growing:
                array.forget(objects)
            write_objects(self._store, objects)
            self._trim()
        self._owner.release()

    def _rewind(self, step: int, rows: Mapping[str, int], keys: frozenset[str]) -> None:
        """Bring the tables to the state that they had after `step`; changes nothing in the store."""
        name = self._place.name
        try:
            for array in self._growing:
                array.rewind(rows.get(array.path, 0), keys, lambda key: read_object(self._store, key))
            for table in self._tables:
                table.rewind(step, lambda key: read_object(self._store, key))
        except ValueError as error:
            raise StoreUnusable(f"store {name} cannot be resumed at step {step}: {error}") from error
        for table in self._tables:
            table.expire(step)

    def _coordinates(self) -> Objects:
        objects: Objects = {}
        for table in self._tables:
            table.create(objects)
        return objects

    def _write(self, objects: Objects) -> None:
        with self._owner.held():
            write_objects(self._store, objects)

    def _flush(self) -> None:
        objects: Objects = {}
        for array in self._growing:
            array.flush(objects)
        if objects:
            write_objects(self._store, objects)

    def _publish(self, step: int, state: str = "running") -> None:
        """Replace the commit record."""
        for array in self._arrays:
            self._nodes[array.path]["shape"] = list(array.shape)
        until = None if self._until is None else _ms(self._until, self._dt)
        attrs = {
            "committed_ms": _ms(step, self._dt),
            "committed_step": step,
            **self._attrs,
            "run": {"state": state, "until_ms": until, "updated": datetime.now(UTC).isoformat(timespec="milliseconds")},
        }
        consolidated = {"kind": "inline", "must_understand": False, "metadata": self._nodes}
        root = {"zarr_format": 3, "node_type": "group", "attributes": attrs, "consolidated_metadata": consolidated}
        write_objects(self._store, {ROOT: as_json(root)})
        self._step, self._rows = step, {array.path: (array.first, array.rows) for array in self._growing}

    def _trim(self, *moments: Rows) -> None:
        """Delete the chunks that hold no row of now, of a marked moment or of these."""
        moments = (self._rows, *self._marks, *(moment for moment in moments if moment))
        surplus = [key for array in self._growing for key in array.surplus([moment[array.path] for moment in moments])]
        if surplus:
            delete_objects(self._store, surplus)

    def _make_nodes(self) -> dict[str, dict[str, Any]]:
        """Metadata of every group and array, by path, each after the groups that it lies in."""
        nodes: dict[str, dict[str, Any]] = {array.path: array.metadata() for array in self._arrays}
        attributes = {path: attrs for table in self._tables for path, attrs in table.groups.items()}
        for path in [*nodes, *attributes]:
            names = path.split("/")
            for depth in range(1, len(names)):
                attributes.setdefault("/".join(names[:depth]), {})
        for path, attrs in attributes.items():
            nodes[path] = {"zarr_format": 3, "node_type": "group", "attributes": attrs}
        return {path: nodes[path] for path in sorted(nodes)}


def _ms(step: int, dt: float) -> float:
    return float(times(np.array([step]), dt)[0])


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
