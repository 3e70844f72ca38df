"""What a part will cost, from the description alone: synapses, bytes, spikes. Nothing is allocated to find out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eventsnn.scheduler.layout import overlap
from eventsnn.spec import CurrentStimulus, Edges, Equations, NetworkSpec, PopulationSpec, ProjectionSpec, Slice, Train

RATE = 10.0
"""Hz: the rate that is assumed of every neuron."""
BLOCK = 65_536
"""Most neurons of one target block."""
SYNAPSE = {0: 2, 16: 4, 32: 6}
"""Bytes per synapse, by how its weight is stored: a 16-bit target, and a weight unless all are equal."""
SEGMENT = 8
"""Bytes that point to the synapses of one source with one delay in one block."""
NEURON = 40
"""Bytes per neuron besides its states: refractory counter, inputs, spike lists."""


@dataclass(frozen=True)
class Cost:
    neurons: int
    synapses: float
    bytes: float

    @property
    def spikes(self) -> float:
        """Expected per second, at the nominal rate."""
        return self.neurons * RATE


def cost(spec: NetworkSpec, slices: Sequence[Slice], threads: int) -> Cost:
    """Expected cost of a part with these slices."""
    neurons = sum(s.stop - s.start for s in slices)
    blocks = max(threads, math.ceil(neurons / BLOCK))
    synapses, total = 0.0, 0.0
    for projection in spec.projections:
        here = expected_synapses(projection, slices)
        synapses += here
        total += here * SYNAPSE[projection.bits] + SEGMENT * segments(projection, here, blocks)
        if isinstance(projection.rule, Edges) and here:
            total += 16.0 * len(projection.rule.pre) * here / max(projection.expected, 1.0)
    total += sum((s.stop - s.start) * _neuron_bytes(spec.populations[s.population]) for s in slices)
    total += _stimulus_bytes(spec, slices)
    return Cost(neurons, synapses, total)


def load(spec: NetworkSpec, piece: Slice) -> float:
    """Time that a slice takes per step, in neuron updates: at 10 Hz a thousand synapses carry about one event per 0.1 ms."""
    return (piece.stop - piece.start) + sum(expected_synapses(p, [piece]) for p in spec.projections) / 1000.0


def expected_synapses(projection: ProjectionSpec, slices: Sequence[Slice]) -> float:
    """Expected number of synapses of a projection whose targets lie in the slices."""
    here = sum(overlap(projection.post_subset, s.start, s.stop) for s in slices if s.population == projection.post)
    return projection.expected * here / max(len(projection.post_subset), 1)


def segments(projection: ProjectionSpec, synapses: float, blocks: int) -> float:
    """Expected number of non-empty (source, delay, block) cells that `synapses` synapses fall into."""
    cells = float(len(projection.pre_subset)) * (projection.max_delay - projection.min_delay + 1) * blocks
    return -cells * math.expm1(-synapses / cells) if cells else 0.0


def _neuron_bytes(population: PopulationSpec) -> float:
    dynamics = population.dynamics
    states = len(dynamics.kernel.states) if isinstance(dynamics, Equations) else 0
    trains = 16.0 * len(dynamics.steps) / population.size if isinstance(dynamics, Train) else 0.0
    return NEURON + 8.0 * states + trains


def _stimulus_bytes(spec: NetworkSpec, slices: Sequence[Slice]) -> float:
    total = 0.0
    for stimulus in spec.stimuli:
        here = sum(overlap(stimulus.subset, s.start, s.stop) for s in slices if s.population == stimulus.population)
        per_member = stimulus.values.nbytes / max(len(stimulus.subset), 1) if isinstance(stimulus, CurrentStimulus) else 8.0
        total += here * per_member
    return total
