"""Merging, writing and committing: everything about a run's store but threads and waiting."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt
from zarr.abc.store import Store

from eventsnn.spec import RecordingSpec
from eventsnn.storage.arrays import GrowingArray, Objects
from eventsnn.storage.clock import times
from eventsnn.storage.objects import write_objects
from eventsnn.storage.tables import make_tables
from eventsnn.storage.targets import ROOT

_PACKAGES = ("eventsnn", "numpy", "xarray", "zarr")


class StoreWriter:
    """Owns every object of a run's store. Not thread-safe.

    The commit record is the root's zarr.json: its attributes say up to when the run is there, its consolidated metadata give the
    shape of every array at that moment. It is replaced in one write, after all chunks that it speaks of.
    """

    def __init__(self, store: Store, specs: Sequence[RecordingSpec], attrs: Mapping[str, Any], *, dt: float, parts: int) -> None:
        self._store, self._dt = store, dt
        self._attrs = {"dt": dt, "versions": _versions(), **attrs}
        paths = [spec.path for spec in specs]
        if len(set(paths)) < len(paths):
            raise ValueError(
                f"recordings share a path: {sorted({path for path in paths if paths.count(path) > 1})}; name one of them"
            )
        self._tables = make_tables(specs, dt, parts)
        self._arrays: list[GrowingArray] = [array for table in self._tables for array in table.arrays]
        self._nodes = self._make_nodes()

    def create(self) -> None:
        """Write the coordinates and the first commit record: all groups and arrays, no rows, committed_ms = 0."""
        objects: Objects = {}
        for table in self._tables:
            table.create(objects)
        write_objects(self._store, objects)
        self.commit(0)

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
                write_objects(self._store, objects)

    @property
    def waiting(self) -> int:
        """Bytes of rows that wait for parts that are behind."""
        return sum(table.waiting for table in self._tables)

    def commit(self, step: int) -> None:
        """Publish all rows up to `step`, to which advance() was called."""
        objects: Objects = {}
        for array in self._arrays:
            array.flush(objects)
            self._nodes[array.path]["shape"] = list(array.shape)
        write_objects(self._store, objects)
        attrs = {"committed_ms": float(times(np.array([step]), self._dt)[0]), "committed_step": step, **self._attrs}
        consolidated = {"kind": "inline", "must_understand": False, "metadata": self._nodes}
        root = {"zarr_format": 3, "node_type": "group", "attributes": attrs, "consolidated_metadata": consolidated}
        write_objects(self._store, {ROOT: _dump(root)})

    def settle(self) -> None:
        """Write the own metadata of every group and array, for who opens a group by its own path or lists the store.

        Readers of the root need none of it, and a group that shows the rows of another moment would be worse than none: it is
        written once, when the run ends.
        """
        write_objects(self._store, {f"{path}/{ROOT}": _dump(node) for path, node in self._nodes.items()})

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


def _dump(node: Mapping[str, Any]) -> bytes:
    return json.dumps(node, separators=(",", ":")).encode()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
