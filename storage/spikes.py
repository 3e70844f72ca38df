"""Spike recordings: events in one order, and an index over biological time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.spec import RecordingSpec
from eventsnn.storage.arrays import GrowingArray, Objects, Read
from eventsnn.storage.clock import BLOCK_MS, block_ends, blocks_until, times
from eventsnn.storage.window import Window

_TICK_SHIFT = np.uint64(32)
_NEURON_MASK = np.uint64(0xFFFFFFFF)


class SpikeTable:
    """Events sorted by (tick, neuron), and where each 100 ms of biological time ends among them."""

    def __init__(self, spec: RecordingSpec, dt: float, parts: int) -> None:
        self._path, self._dt, self._parts = spec.path, dt, parts
        self._chunk = chunk = _event_chunk(len(spec.subset))
        bounded = spec.keep > 0
        tick = {"long_name": "step of the spike; its time is tick * dt", "dt": dt, "dt_units": "ms", "coordinates": "neuron"}
        neuron = {"long_name": "index of the neuron in its population"}
        stop = {"long_name": "number of events up to the end of the block", "coordinates": "end_ms"}
        end = {"long_name": "end of the block", "units": "ms"}
        self._tick = GrowingArray(f"{spec.path}/tick", ("event",), "int64", chunk=chunk, attrs=tick, bounded=bounded)
        self._neuron = GrowingArray(f"{spec.path}/neuron", ("event",), "int32", chunk=chunk, attrs=neuron, bounded=bounded)
        self._stop = GrowingArray(f"{spec.path}/index/stop", ("block",), "int64", chunk=4096, attrs=stop, bounded=bounded)
        self._end = GrowingArray(f"{spec.path}/index/end_ms", ("block",), "float64", chunk=4096, attrs=end, bounded=bounded)
        self.arrays: tuple[GrowingArray, ...] = (self._tick, self._neuron, self._stop, self._end)
        self.growing: tuple[GrowingArray, ...] = self.arrays
        self.groups: dict[str, dict[str, Any]] = {
            spec.path: {"recording": "spikes", "neurons": len(spec.subset)},
            f"{spec.path}/index": {"block_ms": BLOCK_MS},
        }
        self._keep = spec.keep
        self._window = Window(spec.keep)
        if spec.keep:
            self.groups[spec.path]["keep_ms"] = float(times(np.array([spec.keep]), dt)[0])
        self._pending: list[npt.NDArray[np.uint64]] = []

    @property
    def waiting(self) -> int:
        return sum(chunk.nbytes for chunk in self._pending)

    def lay_out(self, part: int, positions: npt.NDArray[np.int64]) -> None:
        pass

    def create(self, out: Objects) -> None:
        pass

    def rewind(self, step: int, read: Read) -> None:
        rows = self._tick.rows
        if self._neuron.rows != rows or not self._stop.rows == self._end.rows == blocks_until(step, self._dt):
            raise ValueError(f"{self._end.rows} blocks of {BLOCK_MS} ms are not those of {step} steps")
        if self._keep:
            self._rewind_window(step, read)

    def _rewind_window(self, step: int, read: Read) -> None:
        """Read the ticks of the window, the last chunk first."""
        start, first = max(step - self._keep, 0), max(self._tick.first, self._neuron.first)
        found, row = [np.empty(0, np.int64)], self._tick.rows
        while row > first and (len(found[-1]) == 0 or found[-1][0] > start):
            below = max((row - 1) // self._chunk * self._chunk, first)
            found.append(self._tick.chunk((row - 1) // self._chunk, read)[:, 0][below % self._chunk :][: row - below])
            row = below
        ticks = np.concatenate(found[::-1])
        ticks = ticks[np.searchsorted(ticks, start, side="right") :]
        self._window.restart(start, self._tick.rows - len(ticks))
        self._window.extend(step, ticks)

    def expire(self, step: int) -> None:
        if self._keep:
            block = max(blocks_until(max(step - self._keep, 0), self._dt), self._stop.first, self._end.first)
            event = self._window.first()
            self._tick.first = self._neuron.first = event
            self._stop.first = self._end.first = block
            self.groups[self._path]["first_row"] = event
            self.groups[f"{self._path}/index"].update(first_row=block, first_event=event)

    def check(self, part: int, chunk: Any, since: int, step: int) -> None:
        if not isinstance(chunk, np.ndarray) or chunk.dtype != np.uint64 or chunk.ndim != 1:
            given = getattr(chunk, "dtype", type(chunk).__name__)
            raise TypeError(f"{self._path}: part {part} gave {given}; give a uint64 array of (step << 32 | neuron)")
        if len(chunk) and not (since < int(chunk[0]) >> 32 and int(chunk[-1]) >> 32 <= step):
            first, last = int(chunk[0]) >> 32, int(chunk[-1]) >> 32
            raise ValueError(f"{self._path}: part {part} gave spikes of steps {first} to {last}, reporting ({since}, {step}]")

    def add(self, part: int, chunk: Any) -> None:
        if len(chunk):
            self._pending.append(chunk)

    def advance(self, step: int, out: Objects) -> None:
        base, written = self._tick.rows, self._end.rows
        blocks = blocks_until(step, self._dt)
        if not self._pending and blocks == written and not self._keep:
            return
        events = self._take(step)
        ends = block_ends(written, blocks, self._dt)
        if len(ends):
            bounds = (ends.astype(np.uint64) + np.uint64(1)) << _TICK_SHIFT
            self._stop.append(base + np.searchsorted(events, bounds), out)
            self._end.append(np.arange(written + 1, blocks + 1) * float(BLOCK_MS), out)
        ticks = (events >> _TICK_SHIFT).astype(np.int64)
        if self._keep:
            self._window.extend(step, ticks)
        self._tick.append(ticks, out)
        self._neuron.append((events & _NEURON_MASK).astype(np.int32), out)

    def _take(self, step: int) -> npt.NDArray[np.uint64]:
        """Pending events up to `step`, sorted. A stable sort merges the sorted runs that the parts gave."""
        bound = np.uint64((step + 1) << 32)
        ready, later = [], []
        for chunk in self._pending:
            cut = int(np.searchsorted(chunk, bound))
            ready.append(chunk[:cut])
            later.append(chunk[cut:])
        self._pending = [chunk for chunk in later if len(chunk)]
        events = np.concatenate(ready) if ready else np.empty(0, np.uint64)
        if self._parts > 1:
            events.sort(kind="stable")
        return events


def _event_chunk(neurons: int) -> int:
    """Events per chunk: about ten seconds at 5 Hz, within 32 Ki (few objects) and 256 Ki (a cheap rewrite of the tail)."""
    return int(min(max(1 << (50 * max(neurons, 1)).bit_length(), 1 << 15), 1 << 18))
