"""The neurons of a part on a GPU: state, pending input, synapses, and the launches of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.plastic import order
from eventsnn.backends.cpu.strands import Strand
from eventsnn.backends.cuda.choose import distinct
from eventsnn.backends.cuda.currents import launch_of
from eventsnn.backends.cuda.device import arrays, give_back, to_host
from eventsnn.backends.cuda.drives import inputs_of, sources_of
from eventsnn.backends.cuda.kernels import SIZE, load
from eventsnn.backends.cuda.plastic import Plastic
from eventsnn.backends.cuda.procedural import Procedural
from eventsnn.backends.cuda.steps import Steps
from eventsnn.backends.cuda.synapses import Synapses, build
from eventsnn.backends.cuda.update import arguments, update_kernel
from eventsnn.backends.incoming import Incoming
from eventsnn.backends.members import Member, Members
from eventsnn.backends.snapshot import Pending, rolled, unrolled
from eventsnn.spec import CurrentStimulus, Equations, NetworkSpec, NoiseStimulus, RecordingSpec, Relay, Slice, WaveStimulus

I8 = npt.NDArray[np.int64]
LOG_ITEMS = 1 << 20
"""Spikes that the device keeps before the host takes them; there is room for those of one more step."""
MAIL_ITEMS = 1 << 16
"""Spikes of peers that are delivered at once."""
SAMPLE_BYTES = 1 << 26
"""Memory of the samples of one recording between two collections."""


class Neurons(Members):
    """Members whose states lie on the device."""

    def __init__(self, spec: NetworkSpec, slices: Sequence[Slice]) -> None:
        super().__init__(spec, slices)
        xp = arrays()
        self.states = [xp.asarray(slot) for slot in self.slots]
        self.refractory = xp.zeros(max(1, self.n), np.int32)
        self.flags = xp.zeros(max(1, self.n), np.uint8)
        self.spikes = xp.zeros(max(1, self.n), np.int64)
        self.current = xp.zeros(max(1, self.n) if self.currents else 1, self.real)
        self.ids = xp.asarray(self.network_ids)

    def read(self, slot: int, places: I8) -> npt.NDArray[Any]:
        """Values of a state."""
        return to_host(self.states[slot][arrays().asarray(places)])

    def write(self, slot: int, places: I8, values: npt.NDArray[Any]) -> None:
        """Set a state."""
        xp = arrays()
        self.states[slot][xp.asarray(places)] = xp.asarray(values.astype(self.real))

    def counts_of(self, places: I8) -> I8:
        """Spikes so far."""
        return to_host(self.spikes[arrays().asarray(places)])

    def refractory_of(self, places: I8) -> npt.NDArray[np.int32]:
        """Steps for which they stay refractory."""
        return to_host(self.refractory[arrays().asarray(places)])

    def resume(self, places: I8, counts: I8, refractory: npt.NDArray[np.int32]) -> None:
        """Set what `counts_of` and `refractory_of` tell."""
        xp = arrays()
        at = xp.asarray(places)
        self.spikes[at], self.refractory[at] = xp.asarray(counts), xp.asarray(refractory)


@dataclass(eq=False)
class Sampler:
    """Samples of one recording, in a ring of rows on the device."""

    recording: int
    spec: RecordingSpec
    columns: I8
    """Positions in the recording's subset."""
    places: I8
    ring: Any
    since: int = 0
    """Step after which samples are new."""

    @property
    def capacity(self) -> int:
        return len(self.ring) // len(self.places)

    def reserve(self, rows: int) -> None:
        """Make room for so many samples between two collections; launches must be made anew."""
        if rows > self.capacity:
            self.ring = arrays().zeros(rows * len(self.places), self.ring.dtype)

    def collected(self, step: int) -> npt.NDArray[Any]:
        """New samples up to `step`."""
        rows = np.arange(self.since // self.spec.every + 1, step // self.spec.every + 1)
        return to_host(self.ring.reshape(self.capacity, -1)[arrays().asarray(rows % self.capacity)])


class Block:
    """All of a part: one device, one block."""

    def __init__(self, spec: NetworkSpec, slices: Sequence[Slice]) -> None:
        xp = arrays()
        self.spec = spec
        self.neurons = Neurons(spec, slices)
        self.incoming = Incoming(spec, self.neurons, distinct)
        self.receptors = max((len(m.spec.receptors) for m in self.neurons.members), default=0) or 1
        self.slots = 1 << max((p.max_delay for p in spec.projections), default=1).bit_length()
        wide = {r.wide for m in self.neurons.members for r in m.spec.receptors}
        n = max(1, self.neurons.n)
        self.ring32, self.ring64 = (
            xp.zeros(self.slots * self.receptors * n if w in wide else 1, t) for w, t in ((False, np.int32), (True, np.int64))
        )
        self.arrived32, self.arrived64 = (
            xp.zeros(self.receptors * n if w in wide else 1, t) for w, t in ((False, np.int32), (True, np.int64))
        )
        self.samplers = [s for k, r in enumerate(spec.recordings) if r.what != "spikes" for s in self._sampler(k, r)]
        self.worst = sum((m.high - m.low) * m.spec.multiplicity for m in self.neurons.members)
        """Most spikes of one step."""
        self.words = xp.zeros(SIZE + LOG_ITEMS + self.worst, np.int64)
        """What the host reads: the control array and the log behind it."""
        self.control, self.log = self.words[:SIZE], self.words[SIZE:]
        self.mail = xp.zeros(0, np.int64)
        """Spikes that peers sent."""
        self.table = self._build()
        ring = (self.slots - 1, self.receptors, self.neurons.n, self.ring32, self.ring64)
        drawn = self.incoming.procedural()
        self.procedural = [Procedural(spec, p, targets, s, ring) for p, targets, told in drawn for s in told]

    def _build(self) -> Synapses:
        found = self.incoming.all()
        for s in found:
            if self.spec.projections[s.projection].plasticity is not None and s.projection not in self.incoming.plastic:
                self.incoming.plastic[s.projection] = self._plastic(s)
        found = [s for s in found if s.projection not in self.incoming.plastic]
        populations = self.spec.populations
        pres = [self.spec.projections[s.projection].pre for s in found]
        sizes, firsts = [p.size for p in populations], [p.first for p in populations]
        made = build(found, pres, sizes, firsts, self.spec.size, self.neurons.n)
        give_back()
        return made

    def _plastic(self, s: Strand) -> Plastic:
        """The synapses of a projection that change."""
        p, n = self.spec.projections[s.projection], self.neurons
        assert p.plasticity is not None
        post, pre = self.spec.populations[p.post], self.spec.populations[p.pre]
        third = self.spec.populations[p.modulator[0]] if p.modulator is not None else None
        here = [m for m in n.members if m.slice.population == p.post]
        names = post.dynamics.kernel.states if isinstance(post.dynamics, Equations) else ()
        return Plastic(
            p,
            s,
            self.spec.dt,
            post.receptors[s.receptor].exponent,
            (min(m.low for m in here), max(m.high for m in here)),
            (pre.first, pre.first + pre.size),
            (third.first, third.first + third.size) if third is not None else (0, 0),
            [n.states[names.index(x)] for x in p.plasticity.reads],
            n.n,
            self.control,
        )

    def row_of_source(self, projection: int) -> int:
        """The row of the first neuron of its pre population."""
        return 0

    def set_weights(self, projection: int, values: npt.NDArray[np.float64], now: int) -> None:
        """New weights, in order (target, k), for spikes from now on; input under way stays. Spikes that are under way to
        synapses that change carry them, too."""
        if projection in self.incoming.plastic:
            made = self.incoming.plastic[projection]
            made.make_up(now)
            (d,) = self.incoming.drawn(projection)
            made.write(values[order(d)])
            return
        self.incoming.overrides[projection] = values
        del self.table  # there may be no memory for both
        self.table = self._build()

    def sources(self) -> npt.NDArray[np.bool_]:
        """Which neurons of the network have targets here."""
        found = np.append(np.diff(to_host(self.table.first)) > 0, False)
        out = np.asarray(found[to_host(self.table.row_of)])
        for p in self.incoming.plastic.values():
            out[p.fired.low : p.fired.low + p.fired.rows] |= np.diff(to_host(p.first)) > 0
            out[p.third[0] : p.third[1]] = True
        for drawn in self.procedural:
            out[drawn.senders] = True
        return out

    def cross(self) -> None:
        """Make room for what peers send; launches must be made anew."""
        self.mail = arrays().zeros(MAIL_ITEMS, np.int64)

    def pending(self, now: int) -> Pending:
        """All input that is on its way."""
        out = {}
        for wide, ring in ((False, self.ring32), (True, self.ring64)):
            if len(ring) > 1:
                slots = to_host(ring).reshape(self.slots, self.receptors, -1)
                for receptor in range(self.receptors):
                    out[receptor, wide] = unrolled(slots[:, receptor], now)
        return out

    def carry(self, pending: Pending, now: int) -> None:
        """Take this as the input that is on its way."""
        xp = arrays()
        for wide, ring in ((False, self.ring32), (True, self.ring64)):
            if len(ring) > 1:
                slots = np.zeros((self.slots, self.receptors, self.neurons.n), ring.dtype)
                for (receptor, kind), rows in pending.items():
                    if kind == wide:
                        slots[:, receptor] = rolled(rows, now, self.slots)
                ring[:] = xp.asarray(slots.reshape(-1))

    @property
    def synapses(self) -> int:
        return self.table.synapses + sum(int(p.synapses) for p in self.incoming.plastic.values())

    @property
    def synapse_bytes(self) -> int:
        return self.table.nbytes + sum(int(p.nbytes) for p in self.incoming.plastic.values())

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        n = self.neurons
        held = (*n.states, n.refractory, n.flags, n.spikes, n.current, n.ids)
        rings = (self.ring32, self.ring64, self.arrived32, self.arrived64, *(s.ring for s in self.samplers))
        drawn = sum(p.nbytes for p in self.procedural)
        return drawn + self.synapse_bytes + sum(int(a.nbytes) for a in (*held, *rings, self.words, self.mail))

    # ---- the launches of a step

    def steps(self, now: int, epoch: int) -> Steps:
        """In order: what peers sent, spikes that reach synapses that change, currents, Poisson sources, updates, relays, given
        spikes, samples, what neurons leave in synapses that change, delivery with the next Poisson input."""
        out, changing = Steps(epoch), self.incoming.plastic.values()
        if len(self.mail):
            out.given(load().deliver_given, 1 << 30, self.control, self.mail, *self.delivery())
            for p in changing:
                p.given(out, self.mail)
            for drawn in self.procedural:
                drawn.given(out, self.control, self.mail)
        for p in changing:
            wide = self.spec.populations[p.projection.post].receptors[p.receptor].wide
            place = {"slots_mask": self.slots - 1, "receptors": self.receptors, "size": self.neurons.n, "wide": int(wide)}
            p.before(out, {**place, "receptor": p.receptor, "ring32": self.ring32, "ring64": self.ring64})
        self.neurons.flags.fill(0)  # a source that is silent from now on has no entry that would
        self._currents(out)
        self._sources(out)
        for run in self._runs():
            self._update(out, run)
        n = self.neurons
        tail = (n.flags, n.spikes, n.ids, self.log)
        for m in n.members:
            if isinstance(m.spec.dynamics, Relay):
                ring = (self.slots - 1, self.receptors, n.n, self.ring32, self.arrived32)
                out.add(load().relay, m.high - m.low, self.control, m.low, m.high, *ring, *tail)
        self._given(out, now, tail)
        for s in self.samplers:
            self._sample(out, s)
        for p in changing:
            p.after(out, self.log, n.flags)
        for drawn in self.procedural:
            drawn.step(out, self.control, self.log)
        inputs = inputs_of(n)
        drives = tuple(arrays().asarray(a) for a in inputs.arrays())
        if inputs.number:
            ring = (self.slots - 1, self.receptors, n.n, self.ring32, self.ring64)
            out.before(load().prepare, inputs.number, self.control, *ring, *drives)
        out.add(load().deliver, 1 << 30, self.control, self.log, *self.delivery(), *drives)
        return out

    def delivery(self) -> tuple[Any, ...]:
        """The arguments of both kernels that deliver, after the list of spikes."""
        s = self.table
        table = (s.first, s.starts, s.heads, s.kinds, s.packed, s.ones, s.targets, s.weights)
        return (s.row_of, s.lanes, self.slots - 1, self.receptors, self.neurons.n, *table, self.ring32, self.ring64)

    def _currents(self, out: Steps) -> None:
        xp = arrays()
        for s in self.spec.stimuli:
            if not isinstance(s, CurrentStimulus | WaveStimulus | NoiseStimulus):
                continue
            for m in self.neurons.members:
                at, ids = s.subset.within(m.slice.start, m.slice.stop)
                if m.slice.population != s.population or not len(ids):
                    continue
                if not isinstance(s, CurrentStimulus):
                    out.add(*launch_of(s, m, at, ids, self.control, self.neurons.current))
                    continue
                each = s.values.ndim == 2
                values = s.values[:, at : at + len(ids)].reshape(-1) if each else s.values
                args = (xp.asarray(s.steps), xp.asarray(values.astype(self.neurons.real)), int(each), xp.asarray(m.where(ids)))
                out.add(load().current, len(ids), self.control, *args, self.neurons.current)

    def _sources(self, out: Steps) -> None:
        drives, n = sources_of(self.neurons), self.neurons
        if drives.number:
            table = tuple(arrays().asarray(a) for a in drives.arrays())
            out.add(load().emit_poisson, drives.number, self.control, *table, n.flags, n.spikes, n.ids, self.log)

    def _runs(self) -> list[list[Member]]:
        """Neighbours that one launch can update: they share a kernel, widths of input, and whether a current enters."""
        runs: list[list[Member]] = []
        for m in self.neurons.members:
            if isinstance(m.spec.dynamics, Equations):
                if runs and self._launch_key(runs[-1][0]) == self._launch_key(m):
                    runs[-1].append(m)
                else:
                    runs.append([m])
        return runs

    def _launch_key(self, m: Member) -> tuple[object, ...]:
        assert isinstance(m.spec.dynamics, Equations)
        return (m.spec.dynamics.kernel, tuple(r.wide for r in m.spec.receptors), self.neurons.driven(m))

    def _update(self, out: Steps, run: list[Member]) -> None:
        dynamics, n, xp = run[0].spec.dynamics, self.neurons, arrays()
        assert isinstance(dynamics, Equations)
        kernel, driven = dynamics.kernel, n.driven(run[0])
        low, high = run[0].low, run[-1].high
        numbers = n.constants(run)
        each = frozenset(k for k, x in numbers.items() if isinstance(x, np.ndarray))
        scalars, columns = arguments(kernel, each, driven)
        wide = tuple(r.wide for r in run[0].spec.receptors)
        ring = (self.ring32, self.ring64, self.arrived32, self.arrived64)
        args: list[Any] = [
            self.control,
            low,
            high - low,
            self.slots - 1,
            self.receptors,
            n.n,
            *ring,
            n.flags,
            n.spikes,
            n.ids,
            self.log,
        ]
        args += n.states[: len(kernel.states)] + [n.refractory] * kernel.refractory + [n.current] * driven
        args += [xp.asarray(a) for a in n.drawers(run)]
        args.append(xp.asarray(np.array([numbers[c] for c in scalars if c != "NREF"] or [0.0], n.real)))
        args += [np.int32(numbers[c]) for c in scalars if c == "NREF"]
        args += [xp.asarray(numbers[c].astype(np.int32 if c == "NREF" else n.real)) for c in columns]
        out.add(update_kernel(kernel, n.real.name, each, wide, driven), high - low, *args)

    def _given(self, out: Steps, now: int, tail: tuple[Any, ...]) -> None:
        found = [(m, *m.given(now)) for m in self.neurons.members]
        steps = np.concatenate([np.empty(0, np.int64), *(s for _, s, _ in found)])
        if not len(steps):
            return
        places = np.concatenate([p for _, _, p in found])
        most = np.concatenate([np.full(len(s), m.spec.multiplicity) for m, s, _ in found])
        own = np.concatenate([np.full(len(s), isinstance(m.spec.dynamics, Equations | Relay)) for m, s, _ in found])
        unique, first, times = np.unique(np.stack([steps, places]), axis=1, return_index=True, return_counts=True)
        entries = (*unique, times, most[first], own[first])
        out.add(
            load().given, len(times), self.control, *(arrays().asarray(np.ascontiguousarray(x, np.int64)) for x in entries), *tail
        )

    # ---- recordings

    def _sampler(self, k: int, r: RecordingSpec) -> list[Sampler]:
        columns, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for m in self.neurons.members:
            if m.slice.population == r.population:
                at, ids = r.subset.within(m.slice.start, m.slice.stop)
                columns.append(np.arange(at, at + len(ids), dtype=np.int64))
                places.append(m.where(ids))
        n = sum(map(len, places))
        if not n:
            return []
        capacity = max(2, min(1 << 16, SAMPLE_BYTES // (n * np.dtype(r.dtype).itemsize)))
        return [Sampler(k, r, np.concatenate(columns), np.concatenate(places), arrays().zeros(capacity * n, r.dtype))]

    def _sample(self, out: Steps, s: Sampler) -> None:
        population, n = self.spec.populations[s.spec.population], self.neurons
        dynamics = population.dynamics
        if isinstance(dynamics, Equations) and s.spec.what in dynamics.kernel.states:
            source, offset, scale = n.states[dynamics.kernel.states.index(s.spec.what)], 0, 1.0
        else:
            number = [x.name for x in population.receptors].index(s.spec.what)
            receptor = population.receptors[number]
            source = self.arrived64 if receptor.wide else self.arrived32
            offset, scale = number * n.n, 2.0**receptor.exponent
        args = (s.spec.every, s.capacity, offset, scale, source, arrays().asarray(s.places), s.ring)
        out.add(load().sample, len(s.places), self.control, *args)
