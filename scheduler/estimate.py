"""What a part will cost, from the description alone: synapses, bytes, spikes. Nothing is allocated to find out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from eventsnn.scheduler.layout import overlap
from eventsnn.scheduler.tables import procedural_bytes, sorting_bytes, tables_bytes
from eventsnn.spec import (
    CURRENTS,
    CurrentStimulus,
    Edges,
    Equations,
    Fixed,
    Like,
    Located,
    NetworkSpec,
    NoiseStimulus,
    PopulationSpec,
    ProjectionSpec,
    Shaped,
    Slice,
    Stimulus,
    SynapseRecording,
    Train,
    plain_rule,
)

RATE = 10.0
"""Hz: the rate that is assumed of every neuron."""
BLOCK = 65_536
"""Most neurons of one target block."""
FEWEST = 256
"""Fewest neurons for which a part starts another thread."""
NEURON = 22
"""Bytes per neuron besides states and inputs: id, counter of spikes, refractory counter, flags."""
WHERE = 4
"""Bytes, per block and neuron of the whole network, that say where the synapses of that source begin."""
LISTED, VALUE = 12, 16
"""Bytes per synapse while sources are found by where they lie, and of a weight or a delay by distance."""
RECORDED = 28
"""Bytes of a synapse that is recorded: where it stands, its ends, a sample."""
COUNTS = 8
"""Bytes per neuron of a Poisson input: the counts of four steps."""
PLACE, DRAWN = 8, 4 + 8 + 8
"""Bytes per neuron of a current: where it enters; of noise besides: its index, mean and standard deviation."""


@dataclass(frozen=True)
class Cost:
    neurons: int
    synapses: float
    bytes: float
    """Once it is built."""
    peak: float
    """While it is built."""

    @property
    def spikes(self) -> float:
        """Expected per second, at the nominal rate."""
        return self.neurons * RATE


def cost(spec: NetworkSpec, slices: Sequence[Slice], threads: int) -> Cost:
    """Expected cost of a part with these slices."""
    neurons = sum(s.stop - s.start for s in slices)
    blocks = _blocks(neurons, threads)
    here = defaultdict(list)
    for piece in slices:
        here[piece.population].append(piece)
    counts = [(p, sum(expected_synapses(p, piece) for piece in here[p.post])) for p in spec.projections if p.post in here]
    kept = [(p, n) for p, n in counts if not p.procedural]
    total = tables_bytes(spec, kept, neurons, blocks) + procedural_bytes(spec, counts, neurons, blocks)
    total += sum(16.0 * len(r.pre) * n / max(p.expected, 1.0) for p, n in counts if isinstance(r := plain_rule(p.rule), Edges))
    total += _neurons_bytes(spec, slices) + WHERE * spec.size * blocks
    total += sum(_stimulus_bytes(stimulus, here.get(stimulus.population, ())) for stimulus in spec.stimuli)
    total += RECORDED * sum(_recorded(spec, r, piece) for r in spec.synapse_recordings for piece in slices)
    peak = total + sorting_bytes(spec, kept, blocks, threads) + _listing_bytes(kept, blocks, threads)
    return Cost(neurons, sum(n for _, n in counts), total, peak)


def _listing_bytes(counts: Sequence[tuple[ProjectionSpec, float]], blocks: int, threads: int) -> float:
    """Scratch of every block that is built: what is listed one by one before it is sorted, sources and values by distance."""
    total = sum(
        n * (LISTED * isinstance(p.rule, Located | Like) + VALUE * sum(isinstance(v, Shaped) for v in (p.weight, p.delay)))
        for p, n in counts
    )
    return total / blocks * min(threads, blocks)


def loads(spec: NetworkSpec, pieces: Iterable[Slice]) -> dict[Slice, float]:
    """Time that slices take per step, in neuron updates: at 10 Hz a thousand synapses carry about one event per 0.1 ms."""
    into = defaultdict(list)
    for projection in spec.projections:
        into[projection.post].append(projection)
    return {s: (s.stop - s.start) + sum(expected_synapses(p, s) for p in into[s.population]) / 1000.0 for s in pieces}


def expected_synapses(projection: ProjectionSpec, piece: Slice) -> float:
    """Expected number of synapses of a projection whose targets lie in a slice of its target population."""
    return projection.expected * overlap(projection.post_subset, piece.start, piece.stop) / max(len(projection.post_subset), 1)


def _recorded(spec: NetworkSpec, recording: SynapseRecording, piece: Slice) -> float:
    """Expected number of synapses that a recording takes from those onto a slice."""
    p = spec.projections[recording.projection]
    if piece.population != p.post:
        return 0.0
    chosen = overlap(recording.post, piece.start, piece.stop) * len(recording.pre)
    return p.expected * chosen / max(len(p.post_subset) * len(p.pre_subset), 1)


def _blocks(neurons: int, threads: int) -> int:
    """Target blocks of a part: as many for each of its threads as keep every one within BLOCK."""
    busy = max(1, min(threads, neurons // FEWEST))
    return busy * max(1, math.ceil(neurons / (busy * BLOCK)))


def _neurons_bytes(spec: NetworkSpec, slices: Sequence[Slice]) -> float:
    """States and inputs lie in columns over all neurons of a part, as many as its richest model needs."""
    populations = {s.population: spec.populations[s.population] for s in slices}
    real = 4 if spec.precision == "float32" else 8
    inputs = {(number, r.wide) for p in populations.values() for number, r in enumerate(p.receptors)}
    columns = real * max((states_of(p) for p in populations.values()), default=0) + sum(8 if wide else 4 for _, wide in inputs)
    if any(isinstance(s, CURRENTS) and s.population in populations for s in spec.stimuli):
        columns += real
    return sum((s.stop - s.start) * (NEURON + columns + _own_bytes(populations[s.population])) for s in slices)


def states_of(population: PopulationSpec) -> int:
    return len(population.dynamics.kernel.states) if isinstance(population.dynamics, Equations) else 0


def _own_bytes(population: PopulationSpec) -> float:
    """Bytes per neuron of what is given one by one: parameters, and the constants made of them; spikes of a train."""
    dynamics = population.dynamics
    if isinstance(dynamics, Train):
        return 16.0 * len(dynamics.steps) / population.size
    parameters: Mapping[str, object] = getattr(dynamics, "parameters", {})
    divided = isinstance(dynamics, Equations) and dynamics.kernel.forms is not None
    kept = sum(8.0 if r.wide else 4.0 for r in population.receptors) if divided else 0.0  # inputs, until a step is done
    return kept + 16.0 * sum(not isinstance(value, Fixed) for value in parameters.values())


def _stimulus_bytes(stimulus: Stimulus, slices: Sequence[Slice]) -> float:
    here = sum(overlap(stimulus.subset, s.start, s.stop) for s in slices)
    if not isinstance(stimulus, CURRENTS):
        return here * COUNTS
    if isinstance(stimulus, NoiseStimulus):
        return here * (PLACE + DRAWN)
    shared = stimulus.values.ndim == 1
    steps = stimulus.steps.nbytes if isinstance(stimulus, CurrentStimulus) else 0
    values = stimulus.values.nbytes * (1.0 if shared else here / max(len(stimulus.subset), 1))
    return here * PLACE + (steps + values) * (here > 0)
