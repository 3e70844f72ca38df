"""Ways to cut a network into parts: functions (network, n) -> slices of each part. Any such function may replace them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from eventsnn.scheduler.errors import PlanError
from eventsnn.scheduler.estimate import loads
from eventsnn.spec import Layout, NetworkSpec, Slice

Partition = Callable[[NetworkSpec, int], Sequence[Sequence[Slice]]]

WORTH = 256
"""Neurons per part from which a population is split: below, a slice would not fill the vector units of a thread."""
SLACK = 1.1
"""How much more than its fair share of load a group of populations may have."""


def balanced(spec: NetworkSpec, n: int, powers: Sequence[int] = ()) -> Layout:
    """Splits large populations over all n parts and deals the small ones, heaviest first, to the least loaded part.

    `powers`: how fast each part computes, relative to the others; none: all alike.
    """
    powers = list(powers) or [1] * n
    ends = [sum(powers[:k]) for k in range(n + 1)]
    cuts = [n if n > 1 and population.size >= WORTH * n else 1 for population in spec.populations]
    pieces = [
        [Slice(index, p.size * ends[k * n // m] // ends[n], p.size * ends[(k + 1) * n // m] // ends[n]) for k in range(m)]
        for index, (p, m) in enumerate(zip(spec.populations, cuts, strict=True))
    ]
    weight = loads(spec, (piece for cut in pieces for piece in cut))
    parts = [[cut[rank] for cut in pieces if len(cut) == n > 1 and cut[rank].start < cut[rank].stop] for rank in range(n)]
    totals = [sum(weight[piece] for piece in part) / power for part, power in zip(parts, powers, strict=True)]
    _deal([(cut, weight[cut[0]]) for cut in pieces if len(cut) == 1], parts, totals, powers)
    _fill(parts)
    return tuple(tuple(sorted(part, key=lambda s: (s.population, s.start))) for part in parts)


def whole(spec: NetworkSpec, n: int) -> Layout:
    """Never splits a population; keeps populations that are joined by short delays and many synapses in one part."""
    if n > len(spec.populations):
        raise PlanError(
            f"{n} parts were asked for, and partition.whole never splits: the network has {len(spec.populations)} populations. "
            "Ask for fewer parts, or use partition.balanced"
        )
    slices = [Slice(index, 0, population.size) for index, population in enumerate(spec.populations)]
    weights = list(loads(spec, slices).values())
    share = SLACK * sum(weights) / n
    group = list(range(len(slices)))
    left = len(slices)
    for a, b in _bonds(spec):
        members = [i for i, g in enumerate(group) if g in (group[a], group[b])]
        if left > n and group[a] != group[b] and sum(weights[i] for i in members) <= share:
            for i in members:
                group[i] = min(members)
            left -= 1
    groups = [[i for i, g in enumerate(group) if g == name] for name in sorted(set(group))]
    parts: list[list[Slice]] = [[] for _ in range(n)]
    _deal([([slices[i] for i in members], sum(weights[i] for i in members)) for members in groups], parts, [0.0] * n, [1] * n)
    return tuple(tuple(sorted(part, key=lambda s: s.population)) for part in parts)


def _bonds(spec: NetworkSpec) -> list[tuple[int, int]]:
    """Pairs of populations, those that hurt most to separate first: short delays, then many synapses."""
    ranked = sorted((p.min_delay, -p.expected, p.pre, p.post) for p in spec.projections if p.pre != p.post and p.expected > 0)
    return [(pre, post) for _, _, pre, post in ranked]


def _deal(groups: list[tuple[list[Slice], float]], parts: list[list[Slice]], totals: list[float], powers: Sequence[int]) -> None:
    """Heaviest group first, each to the least loaded part; empty parts come first, ties go to the lowest rank."""
    queue = [(bool(part), total, rank) for rank, (part, total) in enumerate(zip(parts, totals, strict=True))]
    heapq.heapify(queue)
    for slices, weight in sorted(groups, key=lambda g: (-g[1], g[0][0].population)):
        _, total, rank = heapq.heappop(queue)
        parts[rank].extend(slices)
        heapq.heappush(queue, (True, total + weight / powers[rank], rank))


def _fill(parts: list[list[Slice]]) -> None:
    """Halves the largest slice for every part that got nothing."""
    for part in parts:
        if not part:
            donor = max(parts, key=lambda p: max((s.stop - s.start for s in p), default=0))
            largest = max(donor, key=lambda s: s.stop - s.start)
            middle = (largest.start + largest.stop) // 2
            if middle == largest.start:
                return  # fewer neurons than parts: the check of the layout says so
            donor[donor.index(largest)] = Slice(largest.population, largest.start, middle)
            part.append(Slice(largest.population, middle, largest.stop))
