"""Samples of neurons or synapses: complete rows, put together from the columns of the parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.spec import Columns, ListedSynapses, RecordingSpec
from eventsnn.storage.arrays import GrowingArray, Objects, Read
from eventsnn.storage.clock import times
from eventsnn.storage.errors import StoreError


@dataclass(frozen=True)
class Axis:
    """What the columns of samples are."""

    dim: str
    count: str
    """Attribute of the group that says how many there are."""
    chunk: tuple[int, int]
    """Rows and columns of a chunk."""
    coordinates: dict[str, tuple[npt.NDArray[np.int32], str]]
    """Name -> a number of each, and what it is."""


def neurons_of(spec: RecordingSpec) -> Axis:
    ids = spec.subset.array().astype(np.int32)
    chunk = _state_chunk(len(ids))
    return Axis("neuron", "neurons", chunk, {"neuron": (ids, "index of the neuron in its population")})


def synapses_of(spec: ListedSynapses) -> Axis:
    chunk = _synapse_chunk(len(spec.sources))
    ends = {
        "pre": (spec.sources, "index of the source in its population"),
        "post": (spec.targets, "index of the target in its population"),
    }
    return Axis("synapse", "synapses", chunk, ends)


class SampleTable:
    """An array (time, neuron) of a state or an input, or (time, synapse); complete rows only."""

    def __init__(self, spec: RecordingSpec | ListedSynapses, axis: Axis, dt: float, parts: int) -> None:
        self._spec, self._dt, self._axis = spec, dt, axis
        self._width = len(next(iter(axis.coordinates.values()))[0])
        self._columns: dict[int, slice | npt.NDArray[np.int64]] = {0: slice(0, self._width)} if parts == 1 else {}
        rows, columns = axis.chunk
        time = {"long_name": "time", "units": "ms"}
        values = {"long_name": spec.what, "units": spec.unit}
        others = [name for name in axis.coordinates if name != axis.dim]
        if others:
            values["coordinates"] = " ".join(others)
        self._time = GrowingArray(f"{spec.path}/time", ("time",), "float64", chunk=4096, attrs=time, bounded=spec.keep > 0)
        self._columns_are = {
            name: GrowingArray(f"{spec.path}/{name}", (axis.dim,), "int32", chunk=max(self._width, 1), attrs={"long_name": text})
            for name, (_, text) in axis.coordinates.items()
        }
        self._values = GrowingArray(
            f"{spec.path}/{spec.what}",
            ("time", axis.dim),
            spec.dtype,
            chunk=rows,
            width=self._width,
            chunk_width=columns,
            attrs=values,
            bounded=spec.keep > 0,
        )
        self.arrays: tuple[GrowingArray, ...] = (self._time, *self._columns_are.values(), self._values)
        self.growing: tuple[GrowingArray, ...] = (self._time, self._values)
        every_ms, keep_ms = times(np.array([spec.every, spec.keep]), dt).tolist()
        group = {"recording": spec.what, axis.count: self._width, "every_ms": every_ms}
        self.groups: dict[str, dict[str, Any]] = {spec.path: {**group, "keep_ms": keep_ms} if spec.keep else group}
        self._pending: list[tuple[int, Columns]] = []

    @property
    def waiting(self) -> int:
        return sum(chunk.nbytes for _, chunk in self._pending)

    def lay_out(self, part: int, positions: npt.NDArray[np.int64]) -> None:
        """`positions`: which columns of the recording the part's values are."""
        if len(positions) and (positions.min() < 0 or positions.max() >= self._width):
            raise ValueError(f"{self._spec.path}: part {part} claims columns outside 0..{self._width - 1}")
        contiguous = len(positions) > 0 and bool((np.diff(positions) == 1).all())
        self._columns[part] = slice(int(positions[0]), int(positions[-1]) + 1) if contiguous else positions

    def create(self, out: Objects) -> None:
        for name, array in self._columns_are.items():
            array.append(self._axis.coordinates[name][0], out)
            array.flush(out)

    def rewind(self, step: int, read: Read) -> None:
        if not self._time.rows == self._values.rows == step // self._spec.every:
            raise ValueError(f"{self._values.rows} samples, one every {self._spec.every} steps, are not those of {step} steps")

    def expire(self, step: int) -> None:
        if self._spec.keep:
            first = max(step - self._spec.keep, 0) // self._spec.every
            first = max(first, self._time.first, self._values.first)
            self._time.first = self._values.first = self.groups[self._spec.path]["first_row"] = first

    def check(self, part: int, chunk: Any, since: int, step: int) -> None:
        path, every = self._spec.path, self._spec.every
        if not isinstance(chunk, Columns):
            raise TypeError(f"{path}: part {part} gave a {type(chunk).__name__}; give Columns(first, values)")
        if part not in self._columns:
            raise ValueError(f"{path}: part {part} gave samples without a layout; call layout(part, table, positions) first")
        samples, width = step // every - since // every, self._columns_of(part)
        if chunk.values.shape != (samples, width) or (samples and chunk.first != since // every + 1):
            raise ValueError(
                f"{path}: part {part} gave samples from {chunk.first} of shape {chunk.values.shape}; "
                f"steps ({since}, {step}] are samples from {since // every + 1} of shape {(samples, width)}"
            )

    def add(self, part: int, chunk: Any) -> None:
        if chunk.nbytes:
            self._pending.append((part, chunk))

    def advance(self, step: int, out: Objects) -> None:
        base = self._values.rows
        count = step // self._spec.every - base
        if count <= 0:
            return
        rows, filled, later = np.empty((count, self._width), self._spec.dtype), 0, []
        for part, chunk in self._pending:
            at = chunk.first - 1 - base
            fits = max(0, min(len(chunk.values), count - at))
            rows[at : at + fits, self._columns[part]] = chunk.values[:fits]
            filled += chunk.values[:fits].size
            if fits < len(chunk.values):
                later.append((part, Columns(chunk.first + fits, chunk.values[fits:])))
        self._pending = later
        if filled != rows.size:
            raise StoreError(f"{self._spec.path}: {rows.size - filled} of {rows.size} samples up to step {step} were never given")
        self._values.append(rows, out)
        self._time.append(times(np.arange(base + 1, base + 1 + count) * self._spec.every, self._dt), out)

    def _columns_of(self, part: int) -> int:
        columns = self._columns[part]
        return columns.stop - columns.start if isinstance(columns, slice) else len(columns)


def _state_chunk(neurons: int) -> tuple[int, int]:
    """(1000 samples, 250 neurons), and flatter for wide recordings, so that the open rows take 4 Mi values at most or 16 rows."""
    rows = min(max((1 << 22) // max(neurons, 1), 16), 1000)
    return rows, max(min(neurons, 250_000 // rows), 1)


def _synapse_chunk(synapses: int) -> tuple[int, int]:
    """(1000 samples, 250 synapses), flatter where there are more: the open rows take 4 Mi values at most, or are one row."""
    rows = min(max((1 << 22) // max(synapses, 1), 1), 1000)
    return rows, max(min(synapses, 250_000 // rows), 1)
