"""The neurons of a block, whatever computes them: who they are, where they start, which numbers their steps take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.thresholds import TABLE_MEAN
from eventsnn.codegen.hostmath import exp
from eventsnn.draws import per_neuron
from eventsnn.errors import ParameterError
from eventsnn.spec import CURRENTS, Equations, NetworkSpec, PoissonSource, PopulationSpec, RateProfile, Slice, Train

I8 = npt.NDArray[np.int64]


@dataclass(eq=False)
class Member:
    """A slice of a population in a block, at positions [low, high)."""

    spec: PopulationSpec
    slice: Slice
    low: int
    parameters: dict[str, Any] = field(default_factory=dict)
    """Value of each parameter: a number or an array over the slice."""
    changed: set[str] = field(default_factory=set)
    """Parameters that were set since."""
    injected: list[tuple[int, int]] = field(default_factory=list)
    """(step, index) of spikes given from outside."""

    @property
    def high(self) -> int:
        return self.low + self.slice.stop - self.slice.start

    @property
    def ids(self) -> I8:
        return np.arange(self.slice.start, self.slice.stop, dtype=np.int64)

    def where(self, ids: I8) -> I8:
        """Positions in the block of indices in the population."""
        return ids - self.slice.start + self.low

    def given(self, now: int) -> tuple[I8, I8]:
        """Steps (ascending) and positions of the spikes of a train, and of those injected, after step `now`."""
        steps, ids = np.array(self.injected, np.int64).reshape(-1, 2).T
        if isinstance(self.spec.dynamics, Train):
            train = self.spec.dynamics
            mine = (train.ids >= self.slice.start) & (train.ids < self.slice.stop)
            steps, ids = np.concatenate([steps, train.steps[mine]]), np.concatenate([ids, train.ids[mine]])
        later = steps > now
        order = np.argsort(steps[later], kind="stable")
        return np.ascontiguousarray(steps[later][order]), self.where(ids[later][order])


class Members:
    """Slices side by side, those that share a kernel next to each other; their starting values."""

    def __init__(self, spec: NetworkSpec, slices: Sequence[Slice]) -> None:
        self.spec = spec
        self.real = np.dtype(spec.precision)
        self.members: list[Member] = []
        n = 0
        for s in sorted(slices, key=lambda s: (self._family(s), s.population, s.start)):
            self.members.append(Member(spec.populations[s.population], s, n))
            n += s.stop - s.start
        self.n = n
        self.slots: list[npt.NDArray[Any]] = []
        """States, by number and position."""
        self.currents = {s.population for s in spec.stimuli if isinstance(s, CURRENTS)}
        """Populations that a stimulus current enters."""
        for m in self.members:
            self._start(m.spec.dynamics, m)

    @property
    def network_ids(self) -> I8:
        """By position."""
        return np.concatenate([np.empty(0, np.int64), *(m.spec.first + m.ids for m in self.members)])

    def _family(self, s: Slice) -> str:
        dynamics = self.spec.populations[s.population].dynamics
        return dynamics.kernel.name if isinstance(dynamics, Equations) else type(dynamics).__name__.lower()

    def driven(self, m: Member) -> bool:
        """Whether a stimulus current enters its population."""
        return m.slice.population in self.currents

    @singledispatchmethod
    def _start(self, dynamics: object, m: Member) -> None:
        return None

    @_start.register
    def _start_equations(self, dynamics: Equations, m: Member) -> None:
        for name, value in dynamics.parameters.items():
            m.parameters[name] = per_neuron(value, m.spec.key, name, m.ids)
        while len(self.slots) < len(dynamics.kernel.states):
            self.slots.append(np.zeros(self.n, self.real))
        for slot, state in enumerate(dynamics.kernel.states):
            source = dynamics.initial_from.get(state)
            start = m.parameters[source] if source else per_neuron(dynamics.initial[state], m.spec.key, state, m.ids)
            self.slots[slot][m.low : m.high] = start

    @_start.register
    def _start_poisson(self, dynamics: PoissonSource, m: Member) -> None:
        for name, value in dynamics.parameters.items():
            m.parameters[name] = per_neuron(value, m.spec.key, name, m.ids)

    def constants(self, run: Sequence[Member]) -> dict[str, Any]:
        """Step constants of neighbours that share a kernel, and the scale of each receptor's input: one number where all neurons
        share it, else an array over the run."""
        each = [self._constants(m) for m in run]
        sizes = [m.high - m.low for m in run]
        return {
            name: each[0][name]
            if _alike([x[name] for x in each])
            else np.concatenate([np.broadcast_to(x[name], n) for x, n in zip(each, sizes, strict=True)])
            for name in each[0]
        }

    @staticmethod
    def drawers(run: Sequence[Member]) -> list[npt.NDArray[Any]]:
        """What neighbours that share a kernel draw from; empty where it draws nothing.

        Their indices in their populations, first and second word of their keys, the quantiles of the normal distribution.
        """
        dynamics = run[0].spec.dynamics
        assert isinstance(dynamics, Equations)
        if not dynamics.kernel.draws:
            return []
        keys = [np.repeat(np.array([m.spec.key[k] for m in run], np.uint32), [m.high - m.low for m in run]) for k in (0, 1)]
        table = np.zeros(1) if dynamics.normal is None else dynamics.normal.tables[0].reshape(-1)
        return [np.concatenate([m.ids for m in run]).astype(np.uint32), *keys, table]

    def _constants(self, m: Member) -> dict[str, Any]:
        dynamics = m.spec.dynamics
        assert isinstance(dynamics, Equations)
        scales = {f"scale_{r}": 2.0**x.exponent for r, x in zip(dynamics.kernel.receptors, m.spec.receptors, strict=True)}
        try:
            return scales | dynamics.kernel.constants(m.parameters, self.spec.dt, self.driven(m))
        except ParameterError as error:
            raise ParameterError(f"population {m.spec.name!r}: {error}") from None


def _alike(values: Sequence[Any]) -> bool:
    """Whether one number stands for all."""
    return not any(isinstance(x, np.ndarray) for x in values) and all(x == values[0] for x in values)


@dataclass(frozen=True, eq=False)
class Means:
    """Events per step of a profile, in equal parts that can be drawn at once: shape (times, columns), one column or one each."""

    steps: I8
    part: npt.NDArray[np.float64]
    zero: npt.NDArray[np.float64]
    """Probability of no event in a part."""
    parts: I8
    period: int


def means_of(profile: RateProfile, columns: slice, dt: float) -> Means:
    """Of some elements of a profile."""
    values = profile.values[:, columns] if profile.values.ndim == 2 else profile.values[:, None]
    means = np.ascontiguousarray(values) * (dt / 1000.0)
    parts = np.maximum(1, np.ceil(means / TABLE_MEAN)).astype(np.int64)
    part = means / parts
    distinct, where = np.unique(part, return_inverse=True)
    return Means(profile.steps, part, exp(-distinct)[where].reshape(part.shape), parts, profile.period)
