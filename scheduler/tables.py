"""What the synapse tables of a part will take: the rules by which target blocks choose and fill them, applied to expectations."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eventsnn.draws import spread
from eventsnn.spec import DrawnTargets, EverySource, NetworkSpec, ProjectionSpec, plain_rule

CHANGING = 64
"""Bits of a weight that changes."""
SYNAPSE = {0: 2, 16: 4, 32: 6, CHANGING: 10}
"""Bytes per synapse, by how its weight is stored: a 16-bit target, and a weight unless all are equal."""
HISTORY = 24 + 16 * 16
"""Bytes per target whose synapses change: where its spikes are kept, and about so many of them."""
RING_SYNAPSE = 8
"""Bytes per synapse where segments are short: target, weight and delay."""
SEGMENT = 8
"""Bytes that point to the synapses of one source with one delay in one block."""
SHORT = 10.0
"""Mean length of a segment below which a table holds rows and a ring of accumulators."""
LONGEST_RING = 127
"""Longest delay (steps) that a ring holds."""
CONSTANTS = 8
"""Most weights of which each has a table of its own in a block."""
RECORD = 8
"""Bytes per synapse while it is sorted."""
PLACE, TARGET = 4, 24
"""Bytes of a target of procedural sources that draw theirs, in every block; and of one, in its own, that those need not draw."""
ROW, SLOT = 8, 24
"""Bytes of the start of a source's row, and of a step of the calendar."""


@dataclass(frozen=True)
class Kind:
    """Connections of one kind share a table: receptor, width of its accumulator, bits of a weight, its value or its shift."""

    receptor: int
    wide: bool
    bits: int
    value: int


@dataclass(frozen=True)
class Bundle:
    """Expected synapses of one projection and one sign into a part."""

    kind: Kind
    projection: ProjectionSpec
    synapses: float


def tables_bytes(spec: NetworkSpec, counts: Sequence[tuple[ProjectionSpec, float]], neurons: int, blocks: int) -> float:
    """Expected bytes of the tables, calendars and rings of a part with so many target blocks and synapses of each projection."""
    bundles = bundles_of(spec, counts)
    kinds = defaultdict(list)
    for bundle in bundles:
        kinds[bundle.kind].append(bundle)
    rows = sum(spec.populations[pre].size for pre in {b.projection.pre for b in bundles})
    return sum(_table_bytes(kind, members, rows, neurons, blocks) for kind, members in kinds.items())


def procedural_bytes(spec: NetworkSpec, counts: Sequence[tuple[ProjectionSpec, float]], neurons: int, blocks: int) -> float:
    """Bytes of a part for projections that keep no synapse: rings of accumulators, which they share, and where targets are."""
    found = [(p, count) for p, count in counts if p.procedural and count > 0.0]
    rings = {(b.kind.receptor, b.kind.wide) for p, count in found for b in _bundles(spec, p, count)}
    slots = 1 << max((p.max_delay for p, _ in found), default=0).bit_length()
    places = sum(_places_bytes(p, count, blocks) for p, count in found)
    return places + slots * neurons * sum(8.0 if wide else 4.0 for _, wide in rings)


def sorting_bytes(spec: NetworkSpec, counts: Sequence[tuple[ProjectionSpec, float]], blocks: int, threads: int) -> float:
    """Scratch while tables are filled: every thread sorts the connections of one pre population and one kind at a time."""
    together: dict[tuple[Kind, int], float] = defaultdict(float)
    for b in bundles_of(spec, counts):
        together[b.kind, b.projection.pre] += b.synapses * (RECORD if b.kind.bits < 32 else RECORD + 4)
    return max(together.values(), default=0.0) / blocks * min(threads, blocks)


def bundles_of(spec: NetworkSpec, counts: Sequence[tuple[ProjectionSpec, float]]) -> list[Bundle]:
    """Expected synapses by the table that will hold them."""
    return _spread([bundle for projection, count in counts if count > 0.0 for bundle in _bundles(spec, projection, count)])


def segments(bundles: Sequence[Bundle], blocks: int) -> float:
    """Expected number of (source, delay, block) that hold a synapse, as if synapses fell there independently."""
    sources = defaultdict(list)
    for bundle in bundles:
        sources[bundle.projection.pre].append(bundle)
    total = 0.0
    for members in sources.values():
        n = max(len(b.projection.pre_subset) for b in members)
        mean = np.zeros(max(b.projection.max_delay for b in members) + 1)
        for b in members:
            steps, probability = delays(b.projection)
            mean[steps] += b.synapses / (n * blocks) * probability
        total += n * blocks * float(np.sum(-np.expm1(-mean)))
    return total


def delays(projection: ProjectionSpec) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The delays (steps) of a projection and the share of each."""
    steps = np.clip(np.floor(spread(projection.delay) + 0.5), 1, projection.max_delay).astype(np.int64)
    found, times = np.unique(steps, return_counts=True)
    return found, times / max(1, len(steps))


def _places_bytes(p: ProjectionSpec, count: float, blocks: int) -> float:
    """Of what says where the targets of a procedural projection are, `count` synapses of which end in the part."""
    match plain_rule(p.rule):
        case DrawnTargets(distinct=distinct):
            return blocks * (PLACE + distinct / 8.0) * len(p.post_subset)
        case EverySource():
            return TARGET * count / len(p.pre_subset)
        case _:
            return TARGET * count


def _bundles(spec: NetworkSpec, p: ProjectionSpec, count: float) -> list[Bundle]:
    """One bundle, or one for each sign of the weights where those have receptors of their own."""
    weights = spread(p.weight)
    share = float(np.mean(weights >= 0.0)) if p.receptor_positive != p.receptor_negative and len(weights) else 1.0
    found = []
    for number, part in ((p.receptor_positive, share), (p.receptor_negative, 1.0 - share)):
        if part > 0.0:
            receptor = spec.populations[p.post].receptors[number]
            shift = p.exponent - receptor.exponent
            if p.plasticity is not None:
                found.append(Bundle(Kind(number, True, CHANGING, spec.projections.index(p)), p, count * part))
                continue
            weight = abs(float(weights[0])) if p.magnitude else float(weights[0])
            value = shift if p.bits else round(math.ldexp(weight, -p.exponent)) << max(0, shift)
            found.append(Bundle(Kind(number, receptor.wide, p.bits, value), p, count * part))
    return found


def _spread(bundles: Sequence[Bundle]) -> list[Bundle]:
    """Beyond CONSTANTS, weights that are one for all are stored per synapse."""
    if len({(b.kind.receptor, b.kind.value) for b in bundles if b.kind.bits == 0}) <= CONSTANTS:
        return list(bundles)
    return [b if b.kind.bits else Bundle(Kind(b.kind.receptor, b.kind.wide, 32, 0), b.projection, b.synapses) for b in bundles]


def _table_bytes(kind: Kind, members: Sequence[Bundle], rows: int, neurons: int, blocks: int) -> float:
    synapses = sum(b.synapses for b in members)
    found = segments(members, blocks)
    horizon = max(b.projection.max_delay for b in members)
    slots = 1 << horizon.bit_length()
    starts = ROW * (rows + 1.0) * blocks
    if kind.bits == CHANGING:
        rule = members[0].projection.plasticity
        assert rule is not None
        remembered = SEGMENT * (3 + len(rule.pre) + len(rule.states))
        each = SYNAPSE[CHANGING] + 8 * (len(rule.variables) + len(rule.each))
        return starts + synapses * each + remembered * found + SLOT * slots * blocks + HISTORY * neurons
    if horizon <= LONGEST_RING and synapses < SHORT * found:
        return starts + synapses * RING_SYNAPSE + slots * neurons * (8.0 if kind.wide else 4.0)
    return starts + synapses * SYNAPSE[kind.bits] + SEGMENT * found + SLOT * slots * blocks
