"""The neurons of a block: state by slot and position, and the operations that advance them."""

from __future__ import annotations

from functools import singledispatchmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu import drive
from eventsnn.backends.cpu.loops import update_code
from eventsnn.backends.cpu.numbers import numbers_of
from eventsnn.backends.cpu.operation import Operation
from eventsnn.backends.cpu.poisson import counts_operation
from eventsnn.backends.cpu.varying import noise_operation, source_means, varying_counts, wave_operation
from eventsnn.backends.members import Member, Members
from eventsnn.spec import (
    CURRENTS,
    CurrentStimulus,
    Equations,
    NetworkSpec,
    NoiseStimulus,
    PoissonSource,
    Relay,
    Slice,
    Stimulus,
    WaveStimulus,
)

I8 = npt.NDArray[np.int64]


class Neurons(Members):
    """Members with accumulators and flags, and the operations that advance them."""

    def __init__(self, spec: NetworkSpec, slices: list[Slice]) -> None:
        super().__init__(spec, slices)
        n = self.n
        self.words = (n + 7) // 8
        self.ids = np.zeros(8 * self.words, np.int64)
        self.ids[:n] = self.network_ids
        self.flags = np.zeros(8 * self.words, np.uint8)
        self.counts = np.zeros(8 * self.words, np.int64)
        self.recorded = np.zeros(8 * self.words, np.uint8)
        self.refractory = np.zeros(n, np.int32)
        self.accumulators: dict[tuple[int, bool], npt.NDArray[Any]] = {}
        driven = any(isinstance(m.spec.dynamics, Equations) and self.driven(m) for m in self.members)
        self.current = np.zeros(n, self.real) if driven else None
        for m in self.members:
            for r, receptor in enumerate(m.spec.receptors):
                self.accumulator(r, receptor.wide)

    def accumulator(self, receptor: int, wide: bool) -> npt.NDArray[Any]:
        """The block's integer input of receptor number `receptor`."""
        key = (receptor, wide)
        if key not in self.accumulators:
            self.accumulators[key] = np.zeros(self.n, np.int64 if wide else np.int32)
        return self.accumulators[key]

    def read(self, slot: int, places: I8) -> npt.NDArray[Any]:
        """Values of a state."""
        return self.slots[slot][places]

    def write(self, slot: int, places: I8, values: npt.NDArray[Any]) -> None:
        """Set a state."""
        self.slots[slot][places] = values

    def counts_of(self, places: I8) -> I8:
        """Spikes so far."""
        return self.counts[places]

    def refractory_of(self, places: I8) -> npt.NDArray[np.int32]:
        """Steps for which they stay refractory."""
        return self.refractory[places]

    def resume(self, places: I8, counts: I8, refractory: npt.NDArray[np.int32]) -> None:
        """Set what `counts_of` and `refractory_of` tell."""
        self.counts[places], self.refractory[places] = counts, refractory

    # ---- operations, in order: what enters, the updates, what is emitted from outside

    def inputs(self) -> list[Operation]:
        """Stimulus currents of this step (Poisson input is added by its stimulus)."""
        operations = []
        if self.current is not None:
            operations.append(Operation(drive.CLEAR_CURRENT[self.real.name], self.n, self.current))
            for stimulus in self.spec.stimuli:
                if isinstance(stimulus, CURRENTS):
                    for m in self.members:
                        at, ids = stimulus.subset.within(m.slice.start, m.slice.stop)
                        if m.slice.population == stimulus.population and len(ids):
                            operations.append(self._current_operation(stimulus, m, at, ids, self.current))
        return operations

    def _current_operation(self, stimulus: Stimulus, m: Member, at: int, ids: I8, current: npt.NDArray[Any]) -> Operation:
        if isinstance(stimulus, WaveStimulus):
            return wave_operation(stimulus, m, ids, current)
        if isinstance(stimulus, NoiseStimulus):
            return noise_operation(stimulus, m, at, ids, current)
        assert isinstance(stimulus, CurrentStimulus)
        each = stimulus.values.ndim == 2
        values = np.ascontiguousarray(stimulus.values[:, at : at + len(ids)] if each else stimulus.values, np.float64)
        args = (len(ids), stimulus.steps, len(stimulus.steps), values, current, int(each), m.where(ids))
        return Operation(drive.ADD_CURRENT[self.real.name], *args)

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
        for run in runs:
            operations += self._update(run, clock)
        return operations + [op for m in self.members for op in self._given(m, now)]

    def _same(self, a: Member, b: Member) -> bool:
        if self._scales(a) != self._scales(b) or self.driven(a) != self.driven(b):
            return False
        return all(
            type(x) is type(b.parameters[k]) and (isinstance(x, np.ndarray) or x == b.parameters[k])
            for k, x in a.parameters.items()
        )

    @staticmethod
    def _scales(m: Member) -> list[tuple[int, bool]]:
        return [(r.exponent, r.wide) for r in m.spec.receptors]

    def _update(self, run: list[Member], clock: I8) -> list[Operation]:
        head = run[0]
        dynamics = head.spec.dynamics
        assert isinstance(dynamics, Equations)
        kernel = dynamics.kernel
        current = self.driven(head)
        low, high = head.low, run[-1].high
        constants = self.constants(run)
        arrays = frozenset(k for k, x in constants.items() if isinstance(x, np.ndarray))
        scalars = [constants[f"scale_{r}"] for r in kernel.receptors]
        scalars += [constants[c] for c in kernel.constant_names(current) if c not in arrays]
        state: list[npt.NDArray[Any]] = [slot[low:high] for slot in self.slots[: len(kernel.states)]]
        state += [self.refractory[low:high]] if kernel.refractory else []
        arrived = [self.accumulator(r, x.wide)[low:high] for r, x in enumerate(head.spec.receptors)]
        pointers: list[npt.NDArray[Any]] = [self.flags[low:high]]
        if current:
            assert self.current is not None
            pointers.append(self.current[low:high])
        draw, numbers = numbers_of(run, self.real, clock) if kernel.draws else ([], ())
        pointers += [*numbers, np.array(scalars, self.real)]
        pointers += [np.ascontiguousarray(constants[c], self.real) for c in kernel.constant_names(current) if c in arrays]
        if kernel.refractory:
            pointers.append(np.atleast_1d(np.asarray(constants["NREF"], np.int32)))
        wide = tuple(r.wide for r in head.spec.receptors)
        how, n = (self.real.name, arrays, wide, current), high - low
        if kernel.forms is None:
            return [*draw, Operation(update_code(kernel, *how), n, *state, *arrived, *pointers)]
        kept = [np.zeros_like(x) for x in arrived]
        keep = [Operation(drive.COPY[w], n, x, k) for w, x, k in zip(wide, arrived, kept, strict=True)]
        quick, again = (update_code(form, *how, undone) for form, undone in zip(kernel.forms, (False, True), strict=True))
        first = Operation(quick, n, *state, *arrived, *pointers)
        return [*draw, *keep, first, Operation(again, n, *state, *kept, *pointers)]

    @singledispatchmethod
    def _emissions(self, dynamics: object, m: Member, clock: I8) -> list[Operation]:
        return []

    @_emissions.register
    def _(self, dynamics: Relay, m: Member, clock: I8) -> list[Operation]:
        return [Operation(drive.RELAY, m.high - m.low, self.accumulator(0, False)[m.low : m.high], self.flags[m.low : m.high])]

    @_emissions.register
    def _(self, dynamics: PoissonSource, m: Member, clock: I8) -> list[Operation]:
        means = source_means(m, self.spec.dt)
        if means is not None:
            draw, counts = varying_counts(means, m.ids, m.spec.key, clock)
        else:
            draw, counts = counts_operation(m.parameters["rate"] * (self.spec.dt / 1000.0), m.ids, m.spec.key, clock)
        return [*draw, Operation(drive.EMIT_COUNTS, m.high - m.low, counts, self.flags[m.low : m.high])]

    def _given(self, m: Member, now: int) -> list[Operation]:
        """Spikes of a train and spikes that were injected, from step `now` on."""
        steps, places = m.given(now)
        if not len(steps):
            return []
        cursor, most = np.zeros(1, np.int64), m.spec.multiplicity
        return [Operation(drive.EMIT_GIVEN, cursor, len(steps), steps, places, self.flags, most)]
