"""A target block: at most 65,536 neurons of one thread, their incoming synapses, and the programs that the epoch loop runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu import delivery, drive
from eventsnn.backends.cpu.emission import EMIT, SAMPLE
from eventsnn.backends.cpu.memory import release
from eventsnn.backends.cpu.neurons import Neurons
from eventsnn.backends.cpu.operation import Operation, Program
from eventsnn.backends.cpu.plastic import Plastic, order
from eventsnn.backends.cpu.poisson import counts_operation
from eventsnn.backends.cpu.procedural import Procedural
from eventsnn.backends.cpu.strands import Strand
from eventsnn.backends.cpu.tables import Kind, Table, build_table, kinds_of
from eventsnn.backends.cpu.varying import varying_counts
from eventsnn.backends.incoming import Incoming
from eventsnn.backends.members import means_of
from eventsnn.draws import per_neuron
from eventsnn.spec import Equations, Given, NetworkSpec, PoissonStimulus, ProjectionSpec, RecordingSpec, Slice

I8 = npt.NDArray[np.int64]
LARGEST = 65536
SAMPLE_BYTES = 1 << 22
"""Memory of the samples of one recording in one block between two collections."""


@dataclass(eq=False)
class Sampler:
    """Samples of one recording in one block, collected by the part."""

    recording: int
    spec: RecordingSpec
    columns: I8
    """Positions in the recording's subset."""
    rows: I8
    samples: npt.NDArray[Any]
    operation: Operation
    before: bool
    """Whether the sample is taken before the update (what arrived), or after it (a state)."""

    @property
    def capacity(self) -> int:
        return len(self.samples)

    def collected(self, step: int) -> npt.NDArray[Any]:
        """Samples of this segment, which ends at `step`."""
        return self.samples[: int(self.rows[0])]

    def reserve(self, rows: int) -> None:
        """Make room for so many samples between two collections; programs must be made anew."""
        if rows > len(self.samples):
            self.samples = np.zeros((rows, self.samples.shape[1]), self.samples.dtype)
            every, n, source, places, count, _, _, scale = self.operation.keep
            self.operation = Operation(self.operation.code, every, n, source, places, count, rows, self.samples, scale)


class Pending:
    """A calendar or ring of one table: what has been sent and is not yet due."""

    def __init__(self, table: Table, n: int) -> None:
        self.size = 1 << table.horizon.bit_length()
        self.ring = np.zeros((self.size, n), np.int64 if table.kind.wide else np.int32) if table.ring else None
        self.calendar = np.zeros((self.size if not table.ring else 0, 3), np.int64)


class Block:
    """Neurons, tables and programs."""

    def __init__(self, spec: NetworkSpec, slices: list[Slice], clock: I8) -> None:
        self.spec = spec
        self.clock = clock
        self.neurons = Neurons(spec, slices)
        self.tables: list[Table] = []
        self.pending: list[Pending] = []
        self.incoming = Incoming(spec, self.neurons)
        self.procedural = Procedural(spec, self.neurons.n, [])
        self.carried: dict[tuple[int, bool], npt.NDArray[Any]] = {}
        self._carried_until = 0
        self.row_of = np.full(spec.size, -1, np.int32)
        self.rates: dict[tuple[int, int], Any] = {}
        self.samplers = self._samplers()
        for k, s in enumerate(spec.stimuli):
            if isinstance(s, PoissonStimulus):
                for m in self.neurons.members:
                    at, ids = s.subset.within(m.slice.start, m.slice.stop)
                    if m.slice.population == s.population and len(ids):
                        self.rates[k, m.slice.start] = per_neuron(s.rate, s.key, "rate", ids, np.arange(at, at + len(ids)))
        for recording in spec.recordings:
            if recording.what == "spikes":
                for m in self.neurons.members:
                    if m.slice.population == recording.population:
                        self.neurons.recorded[m.where(recording.subset.within(m.slice.start, m.slice.stop)[1])] = 1

    # ---- synapses

    def build(self) -> None:
        """Draw the incoming synapses. Takes seconds on large networks; releases the GIL."""
        found = self.incoming.all()
        pres = sorted({self.spec.projections[s.projection].pre for s in found})
        bases, sizes, base = {}, {}, 0
        for pre in pres:
            population = self.spec.populations[pre]
            bases[pre], sizes[pre] = base, population.size
            self.row_of[population.first : population.first + population.size] = np.arange(base, base + population.size)
            base += population.size
        for s in found:
            if self.spec.projections[s.projection].plasticity is not None and s.projection not in self.incoming.plastic:
                self.incoming.plastic[s.projection] = self._plastic(s, bases, sizes)
        found = [s for s in found if s.projection not in self.incoming.plastic]
        self.tables = []
        for kind, members in kinds_of(found):
            self.tables.append(
                build_table(kind, members, [self.spec.projections[s.projection].pre for s in members], bases, sizes)
            )
        self.pending = [Pending(t, self.neurons.n) for t in self.tables]
        self.procedural = Procedural(self.spec, self.neurons.n, self.incoming.procedural())

    def _plastic(self, s: Strand, bases: dict[int, int], sizes: dict[int, int]) -> Plastic:
        """The synapses of a projection that change. Weights given one by one come exactly as they were given."""
        p = self.spec.projections[s.projection]
        here = [m for m in self.neurons.members if m.slice.population == p.post]
        span = (min(m.low for m in here), max(m.high for m in here))
        kind = Kind(s.receptor, s.wide, s.bits, s.constant if s.bits == 0 else s.shift)
        table = build_table(kind, [s], [p.pre], bases, sizes, ring=False)
        population = self.spec.populations[p.post]
        names = p.plasticity.reads if p.plasticity is not None else ()
        dynamics = population.dynamics
        read = [self.neurons.slots[dynamics.kernel.states.index(x)] for x in names] if isinstance(dynamics, Equations) else []
        each = [values[order(s.draws)] for values in s.each]
        made = Plastic(p, table, self.spec.dt, population.receptors[s.receptor].exponent, span, self._thirds(p), read, each)
        if isinstance(p.weight, Given):
            given = s.draws.given[order(s.draws)]
            made.weights[:] = np.abs(given) if p.magnitude else given
        return made

    def set_weights(self, projection: int, values: npt.NDArray[np.float64], lists: I8, now: int) -> None:
        """New weights, in order (target, k), for spikes from now on; what is under way keeps the old ones."""
        self.carry(self.settle(lists, now), now)
        self._empty()
        self.incoming.overrides[projection] = values
        self.build()

    def _thirds(self, p: ProjectionSpec) -> tuple[int, int]:
        """Ids of the neurons that modulate a projection, [low, high)."""
        if p.modulator is None:
            return 0, 0
        population = self.spec.populations[p.modulator[0]]
        return population.first, population.first + population.size

    def row_of_source(self, projection: int) -> int:
        """The row of the first neuron of its pre population."""
        return int(self.row_of[self.spec.populations[self.spec.projections[projection].pre].first])

    def learned(self, projection: int, values: npt.NDArray[np.float64], now: int) -> None:
        """New weights of synapses that change, in order (target, k); spikes under way carry them, too."""
        if projection in self.incoming.plastic:
            made = self.incoming.plastic[projection]
            made.make_up(now)
            (d,) = self.incoming.drawn(projection)
            made.write(values[order(d)])

    def carry(self, rings: dict[tuple[int, bool], npt.NDArray[Any]], now: int) -> None:
        """Deliver these, which lie as `settle` gives them, besides what will be sent."""
        self.carried, self._carried_until = rings, now + max((len(r) for r in rings.values()), default=0)

    def shed(self, now: int) -> bool:
        """Whether all that was carried has been delivered, and let go of."""
        done = bool(self.carried) and now >= self._carried_until
        if done:
            self.carried = {}
        return done

    def settle(self, lists: I8, now: int) -> dict[tuple[int, bool], npt.NDArray[Any]]:
        """All input that is on its way, by accumulator, as a ring (steps, neurons) whose row `step % steps` is due at that step.

        Spikes not yet pushed are pushed; calendars and rings are left empty.
        """
        self.push_program().run(lists.ctypes.data)
        size = max([self.procedural.size, *(p.size for p in self.pending), *(len(r) for r in self.carried.values())])
        keys = {(t.kind.receptor, t.kind.wide) for t in self.tables} | set(self.carried) | set(self.procedural.rings)
        rings = {k: np.zeros((size, self.neurons.n), np.int64 if k[1] else np.int32) for k in keys}
        for step in range(now + 1, now + size + 1):
            totals = {k: ring[step % size] for k, ring in rings.items()}
            Program(self._deliveries(totals)).run(step)
        return rings

    def _deliveries(self, totals: dict[tuple[int, bool], npt.NDArray[Any]]) -> list[Operation]:
        """What is due, added to these accumulators."""
        operations = [
            Operation(delivery.DRAIN_RING[k[1]], ring, len(ring) - 1, self.neurons.n, totals[k])
            for k, ring in (*self.carried.items(), *self.procedural.rings.items())
        ]
        for t, p in zip(self.tables, self.pending, strict=True):
            operations.append(self._deliver(t, p, totals[t.kind.receptor, t.kind.wide]))
        return operations

    def sources(self) -> npt.NDArray[np.bool_]:
        """Which neurons of the network have targets here."""
        out = np.zeros(self.spec.size, bool)
        for first in (*(t.first for t in self.tables), *(p.first for p in self.incoming.plastic.values())):
            out |= np.append(np.diff(first) > 0, False)[self.row_of]
        for p in self.incoming.plastic.values():
            out[p.third[0] : p.third[1]] = True
        self.procedural.mark(out)
        return out

    # ---- programs

    def push_program(self) -> Program:
        changing = [p.push(self.row_of) for p in self.incoming.plastic.values()]
        kept = [self._push(t, p) for t, p in zip(self.tables, self.pending, strict=True)]
        return Program([*kept, *changing, *self.procedural.operations])

    def _push(self, t: Table, p: Pending) -> Operation:
        rows = len(t.first) - 1
        head = (self.spec.size, rows)
        if p.ring is not None:
            tail = (
                self.row_of,
                t.first,
                t.targets,
                t.weights,
                t.delays,
                self.neurons.n,
                0 if t.kind.bits == 0 else t.kind.value,
                p.ring,
            )
            return Operation(delivery.PUSH_ROWS[t.kind.wide], *head, t.synapses, p.size - 1, *tail)
        return Operation(
            delivery.PUSH_SEGMENTS, *head, len(t.segments) - 1, p.size - 1, self.row_of, t.first, t.segments, p.calendar
        )

    def _deliver(self, t: Table, p: Pending, total: npt.NDArray[Any]) -> Operation:
        k, mask = t.kind, p.size - 1
        if p.ring is not None:
            return Operation(delivery.DRAIN_RING[k.wide], p.ring, mask, self.neurons.n, total)
        targets = t.packed if k.bits == 16 else t.targets
        return Operation(delivery.DELIVER[k.bits, k.wide], p.calendar, mask, targets, t.synapses, total, k.value, t.weights)

    def step_program(self, lists: tuple[I8, I8], parity: I8, log: I8, now: int) -> Program:
        """What happens in every step: deliver, draw, sample what arrived, update, sample states, emit."""
        neurons = self.neurons
        for t in self.tables:
            neurons.accumulator(t.kind.receptor, t.kind.wide)
        for receptor, wide in self.procedural.rings:
            neurons.accumulator(receptor, wide)
        operations = self._deliveries(neurons.accumulators)
        changing = [(p, neurons.accumulator(p.receptor, True)) for p in self.incoming.plastic.values()]
        operations += [p.deliver(total, neurons.flags) for p, total in changing]
        operations += [op for k in range(len(self.spec.stimuli)) for op in self._poisson(k)]
        operations += neurons.inputs()
        operations += [s.operation for s in self.samplers if s.before]
        operations += neurons.updates(self.clock, now)
        operations += [op for p, total in changing for op in p.after(total, neurons.flags)]
        operations += [s.operation for s in self.samplers if not s.before]
        emit = (neurons.words, neurons.flags, neurons.ids, neurons.counts, neurons.recorded, *lists, parity, log)
        return Program([*operations, Operation(EMIT, *emit)])

    def _poisson(self, k: int) -> list[Operation]:
        stimulus = self.spec.stimuli[k]
        if not isinstance(stimulus, PoissonStimulus):
            return []
        operations: list[Operation] = []
        receptor = self.spec.populations[stimulus.population].receptors[stimulus.receptor]
        for m in self.neurons.members:
            if (k, m.slice.start) not in self.rates or m.slice.population != stimulus.population:
                continue
            at, ids = stimulus.subset.within(m.slice.start, m.slice.stop)
            if stimulus.profile is not None:
                means = means_of(stimulus.profile, slice(at, at + len(ids)), self.spec.dt)
                draw, counts = varying_counts(means, ids, stimulus.key, self.clock)
            else:
                mean = self.rates[k, m.slice.start] * (self.spec.dt / 1000.0)
                draw, counts = counts_operation(mean, ids, stimulus.key, self.clock)
            if not draw:
                continue
            where, total = m.where(ids), self.neurons.accumulator(stimulus.receptor, receptor.wide)
            if where[-1] - where[0] == len(where) - 1:
                piece = total[where[0] : where[-1] + 1]
                operations += [*draw, Operation(drive.ADD_COUNTS[receptor.wide], len(ids), counts, piece, stimulus.weight)]
            else:
                n = counts.shape[1]
                pick = np.arange(n) if n == len(ids) else ids - ids[0]
                args = (len(ids), counts, total, stimulus.weight, where, n, pick)
                operations += [*draw, Operation(drive.ADD_COUNTS_AT[receptor.wide], *args)]
        return operations

    # ---- recordings

    def _samplers(self) -> list[Sampler]:
        return [
            s for k, r in enumerate(self.spec.recordings) if r.what != "spikes" for s in [self._sampler(k, r)] if s is not None
        ]

    def _sampler(self, k: int, r: RecordingSpec) -> Sampler | None:
        columns, where = [], []
        for m in self.neurons.members:
            if m.slice.population == r.population:
                at, ids = r.subset.within(m.slice.start, m.slice.stop)
                columns.append(np.arange(at, at + len(ids), dtype=np.int64))
                where.append(m.where(ids))
        if not columns or not sum(map(len, columns)):
            return None
        columns_here, places = np.concatenate(columns), np.concatenate(where)
        source, scale, before = self._source(r)
        capacity = max(1, SAMPLE_BYTES // (len(places) * np.dtype(r.dtype).itemsize))
        rows, samples = np.zeros(1, np.int64), np.zeros((capacity, len(places)), r.dtype)
        args = (r.every, len(places), source, places, rows, capacity, samples, np.array([scale]))
        operation = Operation(SAMPLE[source.dtype.name, r.dtype], *args)
        return Sampler(k, r, columns_here, rows, samples, operation, before)

    def _source(self, r: RecordingSpec) -> tuple[npt.NDArray[Any], float, bool]:
        """The array a recording reads, the unit of its numbers, and whether it holds input (read before the update)."""
        population = self.spec.populations[r.population]
        dynamics = population.dynamics
        if isinstance(dynamics, Equations) and r.what in dynamics.kernel.states:
            return self.neurons.slots[dynamics.kernel.states.index(r.what)], 1.0, False
        names = [x.name for x in population.receptors]
        number = names.index(r.what)
        receptor = population.receptors[number]
        return self.neurons.accumulator(number, receptor.wide), 2.0**receptor.exponent, True

    @property
    def nbytes(self) -> int:
        """Of states, synapses and what is under way."""
        state = sum(a.nbytes for a in (*self.neurons.slots, *self.neurons.accumulators.values())) + 29 * self.neurons.n
        waiting = sum(p.calendar.nbytes + (p.ring.nbytes if p.ring is not None else 0) for p in self.pending)
        return state + waiting + self.procedural.nbytes + self.synapse_bytes + self.row_of.nbytes

    @property
    def synapses(self) -> int:
        return sum(t.synapses for t in self.tables) + sum(int(p.synapses) for p in self.incoming.plastic.values())

    @property
    def synapse_bytes(self) -> int:
        return sum(t.nbytes for t in self.tables) + sum(int(p.nbytes) for p in self.incoming.plastic.values())

    def close(self) -> None:
        self._empty()
        for p in self.incoming.plastic.values():
            p.close()

    def _empty(self) -> None:
        for p in self.pending:
            release(p.calendar)
