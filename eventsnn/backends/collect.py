"""Recorded rows of a part, by recording, as the store takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.spec import Columns, NetworkSpec, RecordingSpec, Slice

I8 = npt.NDArray[np.int64]
LOW = np.uint64(0xFFFFFFFF)


class Sampler(Protocol):
    """Samples of one recording in one block."""

    @property
    def recording(self) -> int: ...
    @property
    def spec(self) -> RecordingSpec: ...
    @property
    def columns(self) -> I8: ...
    @property
    def capacity(self) -> int: ...
    def collected(self, step: int) -> npt.NDArray[Any]: ...


class Collector:
    """Splits what the blocks have kept into recordings."""

    def __init__(self, spec: NetworkSpec, slices: Sequence[Slice], samplers: Sequence[Sampler]) -> None:
        self._spec, self._slices = spec, slices
        self._first = np.array([p.first for p in spec.populations], np.int64)
        self._samplers = {k: [s for s in samplers if s.recording == k] for k in range(len(spec.recordings))}

    def columns(self, recording: int) -> I8:
        """Positions, in the recording's subset, of the neurons that live here."""
        r = self._spec.recordings[recording]
        if r.what != "spikes":
            found = [s.columns for s in self._samplers[recording]]
        else:
            pieces = [r.subset.within(s.start, s.stop) for s in self._slices if s.population == r.population]
            found = [np.arange(at, at + len(ids)) for at, ids in pieces]
        return np.concatenate([np.empty(0, np.int64), *found])

    def room(self) -> int:
        """Steps for which there is memory for samples."""
        samplers = [s for found in self._samplers.values() for s in found]
        return max(1, min((s.capacity * s.spec.every for s in samplers), default=1 << 30))

    def chunks(self, items: npt.NDArray[np.uint64], step: int) -> dict[int, npt.NDArray[np.uint64] | Columns]:
        """Spikes (step << 32 | neuron, sorted) and samples up to `step`, by recording."""
        ids = (items & LOW).astype(np.int64)
        population = np.searchsorted(self._first, ids, side="right") - 1
        order = np.argsort(population, kind="stable")
        items, ids = items[order], ids[order]
        edges = np.searchsorted(population[order], np.arange(len(self._first) + 1))
        out: dict[int, npt.NDArray[np.uint64] | Columns] = {}
        for k, r in enumerate(self._spec.recordings):
            if r.what != "spikes":
                if self._samplers[k]:
                    out[k] = self._samples(k, step)
                continue
            low, high = edges[r.population], edges[r.population + 1]
            first, subset = int(self._first[r.population]), r.subset
            neurons = ids[low:high] - first
            if subset.ids is None:
                keep = (neurons >= subset.start) & (neurons < subset.stop)
            else:
                keep = np.isin(neurons, subset.ids)
            out[k] = items[low:high][keep] - np.uint64(first)
        return out

    def _samples(self, recording: int, step: int) -> Columns:
        mine = self._samplers[recording]
        values = np.concatenate([s.collected(step) for s in mine], axis=1)
        return Columns(step // mine[0].spec.every - len(values) + 1, values)
