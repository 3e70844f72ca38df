"""What a part will cost, from the description alone: synapses, bytes, spikes. Nothing is allocated to find out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eventsnn.scheduler.layout import overlap
from eventsnn.spec import CurrentStimulus, Edges, Equations, NetworkSpec, PopulationSpec, ProjectionSpec, Slice, Stimulus, Train

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
    here = defaultdict(list)
    for piece in slices:
        here[piece.population].append(piece)
    synapses, total = 0.0, 0.0
    for projection in spec.projections:
        count = sum(expected_synapses(projection, piece) for piece in here[projection.post])
        synapses += count
        total += count * SYNAPSE[projection.bits] + SEGMENT * segments(projection, count, blocks)
        if isinstance(projection.rule, Edges) and count:
            total += 16.0 * len(projection.rule.pre) * count / max(projection.expected, 1.0)
    total += sum((s.stop - s.start) * _neuron_bytes(spec.populations[s.population]) for s in slices)
    total += sum(_stimulus_bytes(stimulus, here[stimulus.population]) for stimulus in spec.stimuli)
    return Cost(neurons, synapses, total)


def loads(spec: NetworkSpec, pieces: Iterable[Slice]) -> dict[Slice, float]:
    """Time that slices take per step, in neuron updates: at 10 Hz a thousand synapses carry about one event per 0.1 ms."""
    into = defaultdict(list)
    for projection in spec.projections:
        into[projection.post].append(projection)
    return {s: (s.stop - s.start) + sum(expected_synapses(p, s) for p in into[s.population]) / 1000.0 for s in pieces}


def expected_synapses(projection: ProjectionSpec, piece: Slice) -> float:
    """Expected number of synapses of a projection whose targets lie in a slice of its target population."""
    return projection.expected * overlap(projection.post_subset, piece.start, piece.stop) / max(len(projection.post_subset), 1)


def segments(projection: ProjectionSpec, synapses: float, blocks: int) -> float:
    """Expected number of non-empty (source, delay, block) cells that `synapses` synapses fall into."""
    cells = float(len(projection.pre_subset)) * (projection.max_delay - projection.min_delay + 1) * blocks
    return -cells * math.expm1(-synapses / cells) if cells else 0.0


def _neuron_bytes(population: PopulationSpec) -> float:
    dynamics = population.dynamics
    states = len(dynamics.kernel.states) if isinstance(dynamics, Equations) else 0
    trains = 16.0 * len(dynamics.steps) / population.size if isinstance(dynamics, Train) else 0.0
    return NEURON + 8.0 * states + trains


def _stimulus_bytes(stimulus: Stimulus, slices: Sequence[Slice]) -> float:
    here = sum(overlap(stimulus.subset, s.start, s.stop) for s in slices)
    return here * (stimulus.values.nbytes / max(len(stimulus.subset), 1) if isinstance(stimulus, CurrentStimulus) else 8.0)
