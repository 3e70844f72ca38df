"""What a part will take on a GPU, from the description alone, by the layout of backends/cuda."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from eventsnn.scheduler.estimate import DRAWN, PLACE, expected_synapses, states_of
from eventsnn.scheduler.layout import overlap
from eventsnn.scheduler.tables import CHANGING, SYNAPSE, Bundle, bundles_of, segments
from eventsnn.spec import (
    CURRENTS,
    CurrentStimulus,
    DrawnTargets,
    NetworkSpec,
    NoiseStimulus,
    PoissonStimulus,
    ProjectionSpec,
    RecordingSpec,
    Slice,
    Stimulus,
    plain_rule,
)

PIECE, PIECE_BYTES = 128, 16
"""Most synapses of a piece, and the bytes that say where it lies."""
BLOCK = 65_536
PLASTIC, SEGMENT, ROOM = 4 + 8, 8 + 4 + 8 + 8, 64
"""Bytes of a synapse that changes, and of a segment of them; entries of a history that may have been used."""
DECAYS = 8 * 4 * 256
"""Bytes of the tables of one time constant."""
SORTING = 44
"""Bytes per synapse while those of one pre population and kind are sorted: keys, weights, order, copies, the sort's own."""
NEURON = 4 + 1 + 8 + 8
"""Bytes per neuron besides states and inputs: refractory counter, flag, counter of spikes, id."""
DRIVE = 8 + 4 + 8 + 8 + 8 + 8
"""Bytes per neuron of a Poisson input."""
LOG_ITEMS = 1 << 20
SAMPLES = 1 << 26
"""Bytes of the samples of one recording, at most;"""
SAMPLE_ROWS = 1 << 16
"""and rows."""
CONTEXT = 5e8
"""Bytes that the driver, the kernels and the pools of CuPy take beside the arrays."""


def device_bytes(spec: NetworkSpec, slices: Sequence[Slice]) -> tuple[float, float]:
    """Expected bytes on the GPU of a part with these slices: of its arrays, and of all while it is built."""
    here = defaultdict(list)
    for piece in slices:
        here[piece.population].append(piece)
    projections = [p for p in spec.projections if p.post in here]
    counts = [(p, sum(expected_synapses(p, piece) for piece in here[p.post])) for p in projections if not p.procedural]
    bundles = bundles_of(spec, counts)
    still = [b for b in bundles if b.kind.bits != CHANGING]
    neurons = sum(s.stop - s.start for s in slices)
    resident = _synapses(spec, still, neurons) + _state(spec, here, neurons)
    resident += sum(_changing(spec, b, sum(s.stop - s.start for s in here[b.projection.post])) for b in bundles if b not in still)
    resident += sum(_procedural(p, here[p.post]) for p in projections if p.procedural)
    largest = max((SYNAPSE[bits] * sum(b.synapses for b in still if b.kind.bits == bits) for bits in SYNAPSE), default=0.0)
    return resident, resident + max(_sorting(bundles), largest) + CONTEXT  # stores are joined one after the other


def _synapses(spec: NetworkSpec, bundles: Sequence[Bundle], neurons: int) -> float:
    blocks = max(1, math.ceil(neurons / BLOCK))
    kinds = defaultdict(list)
    for b in bundles:
        kinds[b.kind].append(b)
    total = 4.0 * spec.size + 8.0 * sum(spec.populations[pre].size for pre in {b.projection.pre for b in bundles})
    for kind, members in kinds.items():
        synapses = sum(b.synapses for b in members)
        found = segments(members, blocks)
        # a segment of n synapses has ceil(n / PIECE) pieces: at least one, and half a piece more on average where it is long
        pieces = found + (synapses / PIECE if synapses > PIECE * found else synapses * synapses / max(found, 1.0) / PIECE**2)
        total += SYNAPSE[kind.bits] * synapses + PIECE_BYTES * pieces
    return total


def _changing(spec: NetworkSpec, b: Bundle, targets: int) -> float:
    """Of the synapses of a projection that change, by the layout of backends/cuda/plastic.py."""
    p = b.projection
    rule, horizon, sources = p.plasticity, p.max_delay, spec.populations[p.pre].size
    assert rule is not None
    each = PLASTIC + 8 * (len(rule.variables) + len(rule.each))
    segment = SEGMENT + 8 * (len(rule.pre) + len(rule.states))
    history = 2 * (2 * horizon + ROOM) * (8 + 8 * (len(rule.post) + rule.values)) + 4
    past = 8 * len(rule.past) << (2 * horizon + 1).bit_length()
    fired = 8 * sources << (horizon + 1).bit_length()
    if p.modulator is not None:
        fired += 8 * spec.populations[p.modulator[0]].size << (p.modulator[1] + 1).bit_length()
    decays = DECAYS * (len(rule.pre) + len(rule.post) + sum(tau > 0.0 for _, tau in rule.variables))
    kept = each * b.synapses + segment * segments([b], 1) + (history + past) * float(targets)
    return decays + kept + fired + 8.0 * (sources + 1)


def _procedural(p: ProjectionSpec, slices: Sequence[Slice]) -> float:
    """Of what says where the targets are."""
    ids = 8.0 * sum(len(s) for s in (p.pre_subset, p.post_subset) if s.ids is not None)
    targets = sum(overlap(p.post_subset, piece.start, piece.stop) for piece in slices)
    return ids + (8.0 * (targets + len(p.post_subset)) if isinstance(plain_rule(p.rule), DrawnTargets) else 24.0 * targets)


def _sorting(bundles: Sequence[Bundle]) -> float:
    together: dict[tuple[object, int], float] = defaultdict(float)
    for b in bundles:
        together[b.kind, b.projection.pre] += b.synapses
    return SORTING * max(together.values(), default=0.0)


def _state(spec: NetworkSpec, here: dict[int, list[Slice]], neurons: int) -> float:
    populations = [spec.populations[k] for k in here]
    real = 4 if spec.precision == "float32" else 8
    receptors = max((len(p.receptors) for p in populations), default=0) or 1
    slots = 1 << max((p.max_delay for p in spec.projections), default=1).bit_length()
    widths = {8 if r.wide else 4 for p in populations for r in p.receptors}
    columns = NEURON + real * max((states_of(p) for p in populations), default=0) + sum(widths) * receptors * (slots + 1)
    if any(isinstance(s, CURRENTS) for s in spec.stimuli):
        columns += real
    stimuli = sum(_stimulus(s, here.get(s.population, []), real) for s in spec.stimuli)
    worst = sum((piece.stop - piece.start) * spec.populations[k].multiplicity for k, found in here.items() for piece in found)
    samples = sum(_samples(r, here.get(r.population, [])) for r in spec.recordings if r.what != "spikes")
    return columns * float(neurons) + stimuli + 8.0 * (LOG_ITEMS + worst) + samples


def _stimulus(stimulus: Stimulus, slices: Sequence[Slice], real: int) -> float:
    driven = sum(overlap(stimulus.subset, piece.start, piece.stop) for piece in slices)
    if isinstance(stimulus, PoissonStimulus):
        return float(DRIVE * driven)
    if isinstance(stimulus, NoiseStimulus):
        return float((PLACE + DRAWN) * driven)
    steps = stimulus.steps.nbytes if isinstance(stimulus, CurrentStimulus) else 0
    values = real * len(stimulus.values) * (driven if stimulus.values.ndim == 2 else 1)
    return float(PLACE * driven + (steps + values) * (driven > 0))


def _samples(recording: RecordingSpec, slices: Sequence[Slice]) -> float:
    row = np.dtype(recording.dtype).itemsize * sum(overlap(recording.subset, s.start, s.stop) for s in slices)
    return float(row * max(2, min(SAMPLE_ROWS, SAMPLES // row))) if row else 0.0
