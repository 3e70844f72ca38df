"""Rules between neurons that lie somewhere, and connections shared with another projection, as sources of the targets here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu import connect, nearby
from eventsnn.backends.cpu.degrees import poisson_degrees
from eventsnn.backends.cpu.listing import DELAYS, WEIGHTS, every_source, shaped_values
from eventsnn.backends.cpu.matching import exchanged, matched, symmetric_pairs
from eventsnn.backends.cpu.nearest import nearest
from eventsnn.backends.cpu.portable import log64
from eventsnn.backends.cpu.strands import Sources, Targets, _degrees, _listed, own_positions, sources_of
from eventsnn.cells import Cells, cells_of, envelope, folded, halves, most_near
from eventsnn.errors import ParameterError
from eventsnn.keys import key
from eventsnn.spec import (
    Given,
    Like,
    Located,
    MatchedStubs,
    NearestSources,
    NearPairs,
    NearSources,
    NearTargets,
    PoissonDegree,
    Profile,
    ProjectionSpec,
    Shaped,
    Space,
    SymmetricPairs,
    Value,
)

F8 = npt.NDArray[np.float64]
FAR = 1e299
"""Bounds of a mask beyond this are none."""
I8 = npt.NDArray[np.int64]
NONE = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Resolved:
    """Connections that are known already."""

    sources: Sources


@sources_of.register
def _(rule: Resolved, p: ProjectionSpec, targets: Targets) -> Sources:
    return rule.sources


@sources_of.register
def _(rule: SymmetricPairs, p: ProjectionSpec, targets: Targets) -> Sources:
    wanted = np.zeros(len(p.post_subset), np.uint8)
    wanted[targets.ranks] = 1
    args = (p.pre_subset.array(), rule.p, *p.key, wanted)
    total = symmetric_pairs(*args, NONE, NONE)
    pre, post = np.empty(total, np.int64), np.empty(total, np.int64)
    symmetric_pairs(*args, pre, post)
    return replace(_listed(pre, post, targets), order=NONE)


@sources_of.register
def _(rule: MatchedStubs, p: ProjectionSpec, targets: Targets) -> Sources:
    total, each = rule.indegree * len(p.post_subset), rule.indegree
    degrees = np.full(len(targets.ranks), each, np.int64)
    if rule.autapses and not rule.distinct:
        listed = np.empty(each * len(targets.ranks), np.int64)
        for begin, end in _runs(targets.ranks):
            matched(int(targets.ranks[begin]) * each, total, rule.outdegree, *p.key, listed[begin * each : end * each])
        return _plain(listed, degrees)
    everyone = np.arange(len(p.post_subset), dtype=np.int64)
    own = np.full(len(everyone), -1, np.int64)
    if not rule.autapses:
        own = own_positions(p, Targets(everyone, p.post_subset.array(), everyone))
    listed = np.empty(total, np.int64)
    matched(0, total, rule.outdegree, *p.key, listed)
    if each and not exchanged(listed, each, own, rule.distinct, *p.key):
        raise ParameterError(
            f"projection {p.name!r}: FixedDegrees found no matching without the pairs that are not allowed; lower the degrees or "
            "allow multapses=True"
        )
    return _plain(listed.reshape(-1, each)[targets.ranks].reshape(-1) if each else NONE, degrees)


def _runs(ranks: I8) -> list[tuple[int, int]]:
    """Ends of the runs of consecutive numbers."""
    cuts = np.flatnonzero(np.diff(ranks) != 1) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(ranks)], strict=True))


@_degrees.register
def _(degree: PoissonDegree, p: ProjectionSpec, targets: Targets, candidates: I8) -> I8:
    out = np.empty(len(targets.posts), np.int64)
    poisson_degrees(targets.posts, candidates, degree.mean, *p.key, out)
    return out


def resolved(p: ProjectionSpec, seed: int, targets: Targets) -> ProjectionSpec:
    """The projection with plain rules and values only, as strands take it."""
    if isinstance(p.rule, Like):
        p = replace(p, rule=p.rule.rule, key=key(seed, "projection", p.rule.stream))
    if not isinstance(p.rule, Located):
        return p
    inner = replace(p, rule=p.rule.rule)
    sources = _sources_in(p.rule.rule, p.rule.space, inner, targets)
    if isinstance(p.weight, Shaped) or isinstance(p.delay, Shaped):
        sources = _told(sources, p, targets)
    weight = _value(p.weight, WEIGHTS, p.rule.space, p, targets, sources)
    delay = _value(p.delay, DELAYS, p.rule.space, p, targets, sources)
    everything = np.arange(int(sources.degrees.sum())) if isinstance(weight, Given) or isinstance(delay, Given) else NONE
    return replace(p, rule=Resolved(replace(sources, order=everything)), weight=weight, delay=delay)  # type: ignore[arg-type]


def _value(value: Value, slot: int, space: Space, p: ProjectionSpec, targets: Targets, sources: Sources) -> Value:
    """What depends on the distance, edge by edge; given values in the order of the sources."""
    if isinstance(value, Given):
        return Given(value.values[sources.order])
    if isinstance(value, Shaped):
        pre, post = folded(space.pre, space.period), folded(space.post[targets.ranks], space.period)
        half = halves(space.period)
        return Given(shaped_values(value, slot, pre, post, half, targets.posts, sources.listed, sources.degrees, p.key))
    return value


@singledispatch
def _sources_in(rule: object, space: Space, p: ProjectionSpec, targets: Targets) -> Sources:
    return sources_of(rule, p, targets)


@_sources_in.register
def _(rule: NearPairs, space: Space, p: ProjectionSpec, targets: Targets) -> Sources:
    own = np.full(len(targets.posts), -1, np.int64) if rule.autapses else own_positions(p, targets)
    search = _Search(space.pre, _cells(space.pre, space.post, rule.profile, space), rule.profile, space.period)
    found, counts = search.pairs(targets.posts, space.post[targets.ranks], own, p)
    return _plain(found, counts)


@_sources_in.register
def _(rule: NearSources, space: Space, p: ProjectionSpec, targets: Targets) -> Sources:
    own = np.full(len(targets.posts), -1, np.int64) if rule.autapses else own_positions(p, targets)
    search = _Search(space.pre, _cells(space.pre, space.post, rule.profile, space), rule.profile, space.period)
    wanted = np.ones(len(space.pre), np.uint8)
    return _plain(*search.draws(targets.posts, space.post[targets.ranks], own, p, rule.count, rule.distinct, wanted))


@_sources_in.register
def _(rule: NearTargets, space: Space, p: ProjectionSpec, targets: Targets) -> Sources:
    pre = p.pre_subset.array()
    swapped = replace(p, pre_subset=p.post_subset, post_subset=p.pre_subset)
    everyone = Targets(np.arange(len(pre)), pre, pre)
    own = np.full(len(pre), -1, np.int64) if rule.autapses else own_positions(swapped, everyone)
    wanted = np.zeros(len(space.post), np.uint8)
    wanted[targets.ranks] = 1
    search = _Search(space.post, _cells(space.post, space.pre, rule.profile, space), rule.profile, space.period)
    found, counts = search.draws(pre, space.pre, own, p, rule.count, rule.distinct, wanted)
    sources = _listed(np.repeat(np.arange(len(pre), dtype=np.int64), counts), found, targets)
    return replace(sources, order=NONE)


@_sources_in.register
def _(rule: NearestSources, space: Space, p: ProjectionSpec, targets: Targets) -> Sources:
    own = np.full(len(targets.posts), -1, np.int64) if rule.autapses else own_positions(p, targets)
    flat = Profile(np.ones(2), 0.0, *(np.zeros(3),) * 3, 0.0, 0.0)
    cells = cells_of(space.pre, space.post, space.period, None, max(2, rule.count // 8))
    found = _Search(space.pre, cells, flat, space.period).nearest(space.post[targets.ranks], own, rule.count)
    return _plain(found.reshape(-1), np.full(len(targets.posts), rule.count, np.int64))


def _told(sources: Sources, p: ProjectionSpec, targets: Targets) -> Sources:
    """The same sources, told one by one."""
    if sources.rule == connect.LISTED and not (sources.selves >= 0).any():
        return sources
    out = np.empty(int(sources.degrees.sum()), np.int64)
    args = (targets.posts, sources.selves, sources.degrees, sources.listed)
    every_source(sources.rule, len(p.pre_subset), *args, *p.key, out)
    return replace(_plain(out, sources.degrees), order=sources.order)


def _plain(listed: I8, degrees: I8) -> Sources:
    return Sources(connect.LISTED, degrees, np.full(len(degrees), -1, np.int64), listed, NONE)


def _cells(points: F8, others: F8, profile: Profile, space: Space) -> Cells:
    return cells_of(points, others, space.period, profile.reach)


class _Search:
    """Points by cell, and what a profile makes of the cells around one."""

    def __init__(self, points: F8, cells: Cells, profile: Profile, period: F8) -> None:
        self.profile, self.period, self.cells = profile, period, cells
        place = self.cells.index(points)
        self.order = np.argsort(place, kind="stable")
        self.points = folded(points[self.order], period)
        self.first = np.concatenate(([0], np.cumsum(np.bincount(place, minlength=self.cells.size)))).astype(np.int64)

    def pairs(self, ids: I8, centers: F8, own: I8, p: ProjectionSpec) -> tuple[I8, I8]:
        """Partners of every center with the probability of their distance, and how many each has."""
        order, *who = self._centers(ids, centers, own)
        steps, most = self._around()
        hazards = np.array([nearby.SURE if x >= 1.0 else min(nearby.SURE, -float(log64(1.0 - x))) for x in most])
        field = self._field(-1.0, steps, most, hazards)
        counts = np.zeros(len(ids), np.int64)
        room = int(min(p.per_target, p.expected / len(p.post_subset) * 1.05 + 64.0) * len(ids)) + 64
        begin, pieces = 0, []
        while begin < len(ids):
            out = np.empty(room, np.int32)
            begin, n = nearby.near_pairs(begin, *who, field, *p.key, out, counts)
            pieces.append(out[:n])
            room = max(room // 8, int(p.per_target) + 64) if n else 2 * room
        return self._gathered(pieces, order, counts)

    def draws(
        self, ids: I8, centers: F8, own: I8, p: ProjectionSpec, count: int, distinct: bool, wanted: npt.NDArray[np.uint8]
    ) -> tuple[I8, I8]:
        """`count` partners of every center in proportion to the profile, of which those that are wanted are kept."""
        order, *who = self._centers(ids, centers, own)
        steps, most = self._around()
        field = self._field(1.0, steps, most, most)
        counts, kept = np.zeros(len(ids), np.int64), wanted[self.order]
        out = np.empty(int(len(ids) * count * min(1.0, 1.2 * kept.mean())) + 4096, np.int32)
        failed, n = nearby.near_draws(*who, field, *p.key, count, distinct, kept, out, counts)
        if failed >= 0:
            raise ParameterError(
                f"projection {p.name!r}: neuron {int(who[0][failed])} finds fewer than {count} partners within reach of p and "
                "mask; lower the number or widen the mask"
            )
        if n > len(out):
            out = np.empty(n, np.int32)
            nearby.near_draws(*who, field, *p.key, count, distinct, kept, out, counts)
        return self._gathered([out[:n]], order, counts)

    def nearest(self, centers: F8, own: I8, count: int) -> I8:
        """Shape (centers, count), in the order of the centers."""
        out = np.empty((len(centers), count), np.int64)
        active = self.cells.shape > 1
        side = float(self.cells.side[active].min()) if active.any() else 0.0
        order, _, *who = self._centers(own, centers, own)
        none = np.empty(0)
        found = np.empty_like(out)
        nearest(*who, self._field(1.0, np.empty((0, 6), np.int64), none, none), self.order, side, count, found)
        out[order] = found
        return out

    def _centers(self, ids: I8, centers: F8, own: I8) -> tuple[I8, I8, F8, I8, I8]:
        """In the order of their cells: that order, indices, positions, places among the sorted points, and cells."""
        cell = self.cells.index(centers)
        order = np.argsort(cell, kind="stable")
        place = np.empty(len(self.order) + 1, np.int64)
        place[self.order] = np.arange(len(self.order))
        place[-1] = -1
        return order, ids[order], folded(centers[order], self.period), place[own[order]], cell[order]

    def _around(self) -> tuple[I8, F8]:
        """Steps to the cells around one, and the most that the profile can be there, descending."""
        near, reach = envelope(self.profile.table), self.profile.reach
        found = [(offset, most_near(near, reach, self.cells.gap(offset))) for offset in self.cells.offsets(reach)]
        found = sorted(((o, most) for o, most in found if most > 0.0), key=lambda entry: -entry[1]) or [((0, 0, 0), 0.0)]
        wrapped = tuple(int(x > 0.0) for x in self.period)
        return np.array([(*offset, *wrapped) for offset, _ in found], np.int64), np.array([most for _, most in found])

    def _field(self, sign: float, steps: I8, most: F8, hazards: F8) -> nearby.Field:
        f = self.profile
        mask = np.array([*f.low, *f.high, *f.center, f.inner * f.inner, min(f.outer, 1e150) ** 2])
        masked = bool(f.inner > 0.0 or min(f.outer, f.high.min(), -f.low.max()) < FAR)
        per = (len(f.table) - 1) / f.reach if f.reach else 0.0
        half = halves(self.period)
        return nearby.Field(
            self.points, self.first, self.cells.shape, half, sign, f.table, per, masked, mask, steps, most, hazards
        )  # fmt: skip

    def _gathered(self, pieces: list[npt.NDArray[np.int32]], order: I8, counts: I8) -> tuple[I8, I8]:
        found = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        out = np.empty(len(found), np.int64)
        nearby.gathered(found, np.cumsum(counts) - counts, back, counts, self.order, out)
        return out, counts[back]
