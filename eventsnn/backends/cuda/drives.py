"""Poisson inputs, and Poisson sources, of a part as a table: every kind of drive in a single launch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.varying import source_means
from eventsnn.backends.cuda.kernels import DRIVE_FIELDS, MEANS_AT, STEPS_AT
from eventsnn.backends.members import Means, Members, means_of
from eventsnn.backends.thresholds import TABLE_MEAN, thresholds
from eventsnn.codegen.hostmath import exp
from eventsnn.draws import per_neuron
from eventsnn.spec import Key, PoissonSource, PoissonStimulus

I8, U4, F8 = np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0)
I64 = npt.NDArray[np.int64]
Arrays = tuple[npt.NDArray[Any], ...]


class Drives:
    """Rows of drives and entries (drive, neuron), in the order in which the kernel takes them."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._thresholds: list[npt.NDArray[np.uint32]] = []
        self._entries: list[Arrays] = []
        self._used = 0
        self._changing: list[int] = []
        self._tails: list[Arrays] = []
        self._tail = 0

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
        self._rows.append((first, size, split, *key, weight, receptor, int(wide), 0, 0, 0, 0, 0, 0))
        self._entries.append((which, ids.astype(np.uint32), places, part, zeros, parts))

    def vary(self, means: Means, ids: I64, places: I64, key: Key, weight: int = 0, receptor: int = 0, wide: bool = False) -> None:
        """Events of means that change with time, for neurons `ids` at `places`; what they are lies behind the entries."""
        n, columns = len(ids), means.part.shape[1]
        each = int(columns > 1)
        steps_at, means_at = self._tail, self._tail + len(means.steps)
        changes = (len(means.steps), steps_at, means_at - each * self.number, columns, each, means.period)
        self._changing.append(len(self._rows))
        which = np.full(n, len(self._rows), np.int64)
        self._rows.append((0, 0, 0, *key, weight, receptor, int(wide), *changes))
        self._entries.append((which, ids.astype(np.uint32), places, np.zeros(n), np.zeros(n), np.zeros(n, np.int64)))
        none = np.zeros(len(means.steps))
        self._tails.append((none, none, means.steps))
        self._tails.append((means.part.reshape(-1), means.zero.reshape(-1), means.parts.reshape(-1)))
        self._tail = means_at + means.part.size

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
        rows[np.ix_(self._changing, (STEPS_AT, MEANS_AT))] += self.number
        drive_of, ids, places, *numbers = (np.concatenate(x) for x in columns)
        tails = zip((F8, F8, I8), *self._tails, strict=True)
        return (
            rows.reshape(-1),
            table,
            drive_of,
            ids,
            places,
            *(np.concatenate((a, *b)) for a, b in zip(numbers, tails, strict=True)),
        )


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
                if s.profile is not None:
                    means = means_of(s.profile, slice(at, at + len(ids)), spec.dt)
                    out.vary(means, ids, m.where(ids), s.key, s.weight, s.receptor, receptor.wide)
                    continue
                rate = per_neuron(s.rate, s.key, "rate", ids, np.arange(at, at + len(ids)))
                out.add(rate * (spec.dt / 1000.0), ids, m.where(ids), s.key, s.weight, s.receptor, receptor.wide)
    return out


def sources_of(neurons: Members) -> Drives:
    """Every Poisson source."""
    out = Drives()
    for m in neurons.members:
        if isinstance(m.spec.dynamics, PoissonSource):
            means = source_means(m, neurons.spec.dt)
            if means is not None:
                out.vary(means, m.ids, m.where(m.ids), m.spec.key)
                continue
            out.add(m.parameters["rate"] * (neurons.spec.dt / 1000.0), m.ids, m.where(m.ids), m.spec.key)
    return out
