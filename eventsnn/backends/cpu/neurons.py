"""The neurons of a block: state by slot and position, and the operations that advance them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu import drive
from eventsnn.backends.cpu.loops import update_code
from eventsnn.backends.cpu.operation import Operation
from eventsnn.backends.cpu.poisson import counts_operation
from eventsnn.draws import per_neuron
from eventsnn.errors import ParameterError
from eventsnn.spec import CurrentStimulus, Equations, NetworkSpec, PoissonSource, PopulationSpec, Relay, Slice, Train

I8 = npt.NDArray[np.int64]


@dataclass(eq=False)
class Member:
    """A slice of a population in a block, at positions [low, high)."""

    spec: PopulationSpec
    slice: Slice
    low: int
    parameters: dict[str, Any] = field(default_factory=dict)
    """Value of each parameter: a number or an array over the slice."""
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


class Neurons:
    """States, refractory counters, accumulators and flags of a block, and how they advance."""

    def __init__(self, spec: NetworkSpec, slices: list[Slice]) -> None:
        self.spec = spec
        self.real = np.dtype(spec.precision)
        self.members: list[Member] = []
        n = 0
        for s in sorted(slices, key=lambda s: (self._family(s), s.population, s.start)):
            self.members.append(Member(spec.populations[s.population], s, n))
            n += s.stop - s.start
        self.n = n
        self.words = (n + 7) // 8
        self.ids = np.zeros(8 * self.words, np.int64)
        self.flags = np.zeros(8 * self.words, np.uint8)
        self.counts = np.zeros(8 * self.words, np.int64)
        self.recorded = np.zeros(8 * self.words, np.uint8)
        self.refractory = np.zeros(n, np.int32)
        self.slots: list[npt.NDArray[Any]] = []
        self.accumulators: dict[tuple[int, bool], npt.NDArray[Any]] = {}
        self.current: npt.NDArray[Any] | None = None
        self.currents = {s.population for s in spec.stimuli if isinstance(s, CurrentStimulus)}
        for m in self.members:
            self.ids[m.low : m.high] = m.spec.first + m.ids
            self._start(m.spec.dynamics, m)
            for r, receptor in enumerate(m.spec.receptors):
                self.accumulator(r, receptor.wide)

    def _family(self, s: Slice) -> str:
        dynamics = self.spec.populations[s.population].dynamics
        return dynamics.kernel.name if isinstance(dynamics, Equations) else type(dynamics).__name__.lower()

    def accumulator(self, receptor: int, wide: bool) -> npt.NDArray[Any]:
        """The block's integer input of receptor number `receptor`."""
        key = (receptor, wide)
        if key not in self.accumulators:
            self.accumulators[key] = np.zeros(self.n, np.int64 if wide else np.int32)
        return self.accumulators[key]

    def member(self, population: int, start: int) -> Member:
        return next(m for m in self.members if m.slice.population == population and m.slice.start <= start < m.slice.stop)

    # ---- starting values

    @singledispatchmethod
    def _start(self, dynamics: object, m: Member) -> None:
        return None

    @_start.register
    def _(self, dynamics: Equations, m: Member) -> None:
        for name, value in dynamics.parameters.items():
            m.parameters[name] = per_neuron(value, m.spec.key, name, m.ids)
        while len(self.slots) < len(dynamics.kernel.states):
            self.slots.append(np.zeros(self.n, self.real))
        for slot, state in enumerate(dynamics.kernel.states):
            source = dynamics.initial_from.get(state)
            start = m.parameters[source] if source else per_neuron(dynamics.initial[state], m.spec.key, state, m.ids)
            self.slots[slot][m.low : m.high] = start
        if m.slice.population in self.currents and self.current is None:
            self.current = np.zeros(self.n, self.real)

    @_start.register
    def _(self, dynamics: PoissonSource, m: Member) -> None:
        m.parameters["rate"] = per_neuron(dynamics.parameters["rate"], m.spec.key, "rate", m.ids)

    # ---- operations, in order: what enters, the updates, what is emitted from outside

    def inputs(self) -> list[Operation]:
        """Stimulus currents of this step (Poisson input is added by its stimulus)."""
        operations = []
        if self.current is not None:
            operations.append(Operation(drive.CLEAR_CURRENT[self.real.name], self.n, self.current))
            for stimulus in self.spec.stimuli:
                if isinstance(stimulus, CurrentStimulus):
                    operations += self._current_operations(stimulus)
        return operations

    def _current_operations(self, stimulus: CurrentStimulus) -> list[Operation]:
        operations = []
        for m in self.members:
            at, ids = stimulus.subset.within(m.slice.start, m.slice.stop)
            if m.slice.population != stimulus.population or not len(ids):
                continue
            each = stimulus.values.ndim == 2
            values = np.ascontiguousarray(stimulus.values[:, at : at + len(ids)] if each else stimulus.values, np.float64)
            assert self.current is not None
            args = (len(ids), stimulus.steps, len(stimulus.steps), values, self.current, int(each), m.where(ids))
            operations.append(Operation(drive.ADD_CURRENT[self.real.name], *args))
        return operations

    def updates(self, clock: I8, now: int) -> list[Operation]:
        """One operation per run of neighbours that share a kernel and its scalars; then spikes that were given."""
        operations: list[Operation] = []
        runs: list[list[Member]] = []
        for m in self.members:
            if isinstance(m.spec.dynamics, Equations):
                if runs and runs[-1][0].spec.dynamics.kernel == m.spec.dynamics.kernel and self._same(runs[-1][0], m):  # type: ignore[union-attr]
                    runs[-1].append(m)
                else:
                    runs.append([m])
            else:
                operations += self._emissions(m.spec.dynamics, m, clock)
        operations += [self._update(run) for run in runs]
        return operations + [op for m in self.members for op in self._given(m, now)]

    def _same(self, a: Member, b: Member) -> bool:
        if self._scales(a) != self._scales(b) or (a.slice.population in self.currents) != (b.slice.population in self.currents):
            return False
        return all(
            type(x) is type(b.parameters[k]) and (isinstance(x, np.ndarray) or x == b.parameters[k])
            for k, x in a.parameters.items()
        )

    @staticmethod
    def _scales(m: Member) -> list[tuple[int, bool]]:
        return [(r.exponent, r.wide) for r in m.spec.receptors]

    def _update(self, run: list[Member]) -> Operation:
        head = run[0]
        dynamics = head.spec.dynamics
        assert isinstance(dynamics, Equations)
        kernel = dynamics.kernel
        current = head.slice.population in self.currents
        low, high = head.low, run[-1].high
        constants = self._constants(run, current)
        arrays = frozenset(k for k, x in constants.items() if isinstance(x, np.ndarray))
        scalars = [2.0**r.exponent for r in head.spec.receptors]
        scalars += [constants[c] for c in kernel.constant_names(current) if c not in arrays]
        refractory = [self.refractory[low:high]] if kernel.refractory else []
        pointers: list[npt.NDArray[Any]] = [slot[low:high] for slot in self.slots[: len(kernel.states)]] + refractory
        pointers += [self.accumulator(r, x.wide)[low:high] for r, x in enumerate(head.spec.receptors)] + [self.flags[low:high]]
        if current:
            assert self.current is not None
            pointers.append(self.current[low:high])
        pointers.append(np.array(scalars, self.real))
        pointers += [np.ascontiguousarray(constants[c], self.real) for c in kernel.constant_names(current) if c in arrays]
        if kernel.refractory:
            pointers.append(np.atleast_1d(np.asarray(constants["NREF"], np.int32)))
        wide = tuple(r.wide for r in head.spec.receptors)
        return Operation(update_code(kernel, self.real.name, arrays, wide, current), high - low, *pointers)

    def _constants(self, run: list[Member], current: bool) -> dict[str, Any]:
        """Step constants over a run: parameters are joined where they are arrays."""
        dynamics = run[0].spec.dynamics
        assert isinstance(dynamics, Equations)
        joined: Mapping[str, Any] = {
            k: np.concatenate([m.parameters[k] for m in run]) if isinstance(x, np.ndarray) else x
            for k, x in run[0].parameters.items()
        }
        try:
            return dynamics.kernel.constants(joined, self.spec.dt, current)
        except ParameterError as error:
            raise ParameterError(f"population {run[0].spec.name!r}: {error}") from None

    @singledispatchmethod
    def _emissions(self, dynamics: object, m: Member, clock: I8) -> list[Operation]:
        return []

    @_emissions.register
    def _(self, dynamics: Relay, m: Member, clock: I8) -> list[Operation]:
        return [Operation(drive.RELAY, m.high - m.low, self.accumulator(0, False)[m.low : m.high], self.flags[m.low : m.high])]

    @_emissions.register
    def _(self, dynamics: PoissonSource, m: Member, clock: I8) -> list[Operation]:
        mean = m.parameters["rate"] * (self.spec.dt / 1000.0)
        draw, counts = counts_operation(mean, m.ids, m.spec.key, clock)
        return [*draw, Operation(drive.EMIT_COUNTS, m.high - m.low, counts, self.flags[m.low : m.high])]

    def _given(self, m: Member, now: int) -> list[Operation]:
        """Spikes of a train and spikes that were injected, from step `now` on."""
        steps, ids = np.array(m.injected, np.int64).reshape(-1, 2).T
        if isinstance(m.spec.dynamics, Train):
            mine = (m.spec.dynamics.ids >= m.slice.start) & (m.spec.dynamics.ids < m.slice.stop)
            steps = np.concatenate([steps, m.spec.dynamics.steps[mine]])
            ids = np.concatenate([ids, m.spec.dynamics.ids[mine]])
        later = steps > now
        order = np.argsort(steps[later], kind="stable")
        steps, ids = steps[later][order], ids[later][order]
        if not len(steps):
            return []
        cursor, most = np.zeros(1, np.int64), m.spec.multiplicity
        return [Operation(drive.EMIT_GIVEN, cursor, len(steps), np.ascontiguousarray(steps), m.where(ids), self.flags, most)]
