"""Poisson inputs, and Poisson sources, of a part as a table: every kind of drive in a single launch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cuda.kernels import DRIVE_FIELDS
from eventsnn.backends.members import Members
from eventsnn.backends.thresholds import TABLE_MEAN, thresholds
from eventsnn.codegen.hostmath import exp
from eventsnn.draws import per_neuron
from eventsnn.spec import Key, PoissonSource, PoissonStimulus

I8, U4, F8 = np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0)
Arrays = tuple[npt.NDArray[Any], ...]


class Drives:
    """Rows of drives and entries (drive, neuron), in the order in which the kernel takes them."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._thresholds: list[npt.NDArray[np.uint32]] = []
        self._entries: list[Arrays] = []
        self._used = 0

    def add(
        self, mean: float | npt.NDArray[np.float64], ids: npt.NDArray[np.int64], places: npt.NDArray[np.int64], key: Key,
        weight: int = 0, receptor: int = 0, wide: bool = False,
    ) -> None:  # fmt: skip
        """Events of a mean per step for neurons `ids` at `places`. One mean: from a table; one each: by sequential search."""
        n = len(ids)
        if isinstance(mean, np.ndarray):
            parts = np.maximum(1, np.ceil(mean / TABLE_MEAN)).astype(np.int64)
            part = mean / parts
            first, size, split, zeros = 0, 0, 0, exp(-part)
        elif mean <= 0.0:
            return
        else:
            split = max(1, int(np.ceil(mean / TABLE_MEAN)))
            table = thresholds(mean / split)
            first, size = self._used, len(table)
            self._thresholds.append(table)
            self._used += size
            part, zeros, parts = np.zeros(n), np.zeros(n), np.zeros(n, np.int64)
        which = np.full(n, len(self._rows), np.int64)
        self._rows.append((first, size, split, *key, weight, receptor, int(wide)))
        self._entries.append((which, ids.astype(np.uint32), places, part, zeros, parts))

    @property
    def number(self) -> int:
        """Entries."""
        return sum(len(e[0]) for e in self._entries)

    def arrays(self) -> Arrays:
        """drives, thresholds, drive of each entry, ids, places, means, zeros, parts."""
        none = (I8, U4, I8, F8, F8, I8)
        columns = zip(none, *self._entries, strict=True)
        table = np.concatenate([U4 if self._used else np.zeros(1, np.uint32), *self._thresholds])
        rows = np.array(self._rows or [(0,) * DRIVE_FIELDS], np.int64)
        return (rows.reshape(-1), table, *(np.concatenate(x) for x in columns))


def inputs_of(neurons: Members) -> Drives:
    """Every Poisson input."""
    spec, out = neurons.spec, Drives()
    for s in spec.stimuli:
        if not isinstance(s, PoissonStimulus):
            continue
        receptor = spec.populations[s.population].receptors[s.receptor]
        for m in neurons.members:
            at, ids = s.subset.within(m.slice.start, m.slice.stop)
            if m.slice.population == s.population and len(ids):
                rate = per_neuron(s.rate, s.key, "rate", ids, np.arange(at, at + len(ids)))
                out.add(rate * (spec.dt / 1000.0), ids, m.where(ids), s.key, s.weight, s.receptor, receptor.wide)
    return out


def sources_of(neurons: Members) -> Drives:
    """Every Poisson source."""
    out = Drives()
    for m in neurons.members:
        if isinstance(m.spec.dynamics, PoissonSource):
            out.add(m.parameters["rate"] * (neurons.spec.dt / 1000.0), m.ids, m.where(m.ids), m.spec.key)
    return out
