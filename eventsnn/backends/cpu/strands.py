"""From a projection to its strands in a block: the connections with one receptor and one sign, ready to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu import connect
from eventsnn.backends.cpu.connect import ANY, NEGATIVE, POSITIVE, Draws, law
from eventsnn.backends.cpu.degrees import binomial_degrees, deal
from eventsnn.backends.cpu.listing import DELAYS, EACH, WEIGHTS, by_source, composite, distinct_sources, targets_of_sources
from eventsnn.fixed_point import WIDEST, stored_exponent
from eventsnn.spec import (
    BinomialDegree,
    Drawn,
    DrawnSources,
    DrawnTargets,
    Edges,
    EverySource,
    FixedDegree,
    Given,
    Key,
    NetworkSpec,
    ProjectionSpec,
    SameSource,
    TotalDegree,
    Value,
)
from eventsnn.values import bounds

I8 = npt.NDArray[np.int64]
NONE = np.empty(0, np.int64)
NO_NUMBERS = np.empty(0, np.float64)
Choose = Callable[[I8, I8, I8, Key], Any]
"""Draws distinct sources: indices of targets, candidates, degrees, key -> positions in the pre subset."""
LIMIT = {0: 2.0**62, 16: 32767.0, 32: WIDEST}


@dataclass(frozen=True)
class Strand:
    """One projection's connections of one sign into one receptor of a block."""

    projection: int
    receptor: int
    wide: bool
    bits: int
    shift: int
    constant: int
    """The stored weight where bits is 0."""
    horizon: int
    delay: Value
    draws: Draws
    each: tuple[npt.NDArray[np.float64], ...] = ()
    """Parameters that every synapse has of its own, in order (target, k)."""


@dataclass(frozen=True)
class Targets:
    """Targets of a projection in a block: positions in the post subset, indices in the population, places in the block."""

    ranks: I8
    posts: I8
    places: I8


@dataclass(frozen=True)
class Sources:
    """What a rule says of the sources of each target."""

    rule: int
    degrees: I8
    selves: I8
    listed: Any
    """Positions in the pre subset, as whoever drew them keeps arrays."""
    order: I8
    """Positions of the listed edges in the user's arrays."""
    numbers: I8 = field(default_factory=lambda: NONE)
    """Where sources draw: how many connections its source drew before each of the listed ones."""


def no_sources(targets: int) -> Sources:
    """None, for each of so many targets."""
    return Sources(connect.LISTED, np.zeros(targets, np.int64), np.full(targets, -1, np.int64), NONE, NONE)


def strands(
    spec: NetworkSpec,
    index: int,
    targets: Targets,
    given: npt.NDArray[np.float64] | None = None,
    sources: Sources | None = None,
    choose: Choose | None = None,
) -> Iterator[Strand]:
    """Strands of projection `index` onto targets; `given` replaces its weights, in order (target, k).

    `sources`: in place of those that the rule gives; `choose`: who draws distinct sources.
    """
    projection = spec.projections[index]
    if not len(targets.posts) or not len(projection.pre_subset):
        return
    if sources is None and isinstance(projection.rule, DrawnSources):
        sources = _drawn(projection.rule, projection, targets, choose or distinct)
    elif sources is None:
        sources = sources_of(projection.rule, projection, targets)
    draws = _draws(projection, targets, sources, given)
    own = projection.plasticity.each if projection.plasticity is not None else ()
    each = tuple(_values(value, EACH * (k + 1), projection, targets, sources) for k, (_, value) in enumerate(own))
    receptors = spec.populations[projection.post].receptors
    low, high = _bounds(projection, given)
    signs = [(POSITIVE, projection.receptor_positive)] * (high >= 0) + [(NEGATIVE, projection.receptor_negative)] * (low < 0)
    if projection.receptor_positive == projection.receptor_negative or len(signs) == 1:
        signs = [(ANY, signs[0][1])]
    bits = 32 if given is not None else projection.bits
    exponent = stored_exponent(projection, given is not None)
    for sign, number in signs:
        receptor = receptors[number]
        constant = 0
        if bits == 0:
            value = abs(float(draws.weight[0, 0])) if projection.magnitude else float(draws.weight[0, 0])
            constant = int(np.rint(value * draws.scale)) << (exponent - receptor.exponent)
        yield Strand(
            index,
            number,
            receptor.wide,
            bits,
            exponent - receptor.exponent,
            constant,
            projection.max_delay,
            projection.delay,
            draws._replace(sign=sign, limit=LIMIT[bits]),
            each,
        )


def _bounds(p: ProjectionSpec, given: npt.NDArray[np.float64] | None) -> tuple[float, float]:
    if given is not None and len(given):
        return float(given.min()), float(given.max())
    low, high = bounds(p.weight)
    return (low, high) if low <= high else (0.0, 0.0)


def _draws(p: ProjectionSpec, targets: Targets, sources: Sources, given: npt.NDArray[np.float64] | None) -> Draws:
    weights = _values(p.weight, WEIGHTS, p, targets, sources)
    offsets = np.concatenate(([0], np.cumsum(sources.degrees)[:-1])).astype(np.int64)
    return Draws(
        rule=sources.rule,
        n=len(p.pre_subset),
        start=p.pre_subset.start if p.pre_subset.ids is None else 0,
        ids=NONE if p.pre_subset.ids is None else p.pre_subset.ids,
        posts=targets.posts,
        places=targets.places,
        selves=sources.selves,
        degrees=sources.degrees,
        offsets=offsets,
        k0=p.key[0],
        k1=p.key[1],
        delay=law(p.delay),
        longest=p.max_delay,
        weight=law(p.weight),
        given=weights if given is None else given,
        given_delays=_values(p.delay, DELAYS, p, targets, sources),
        listed=sources.listed,
        sign=ANY,
        magnitude=int(p.magnitude),
        scale=2.0 ** -stored_exponent(p, given is not None),
        limit=0.0,
    )


def _values(value: Value, slot: int, p: ProjectionSpec, targets: Targets, sources: Sources) -> npt.NDArray[np.float64]:
    """Values in order (target, k), where they are more than one draw each; else none."""
    if isinstance(value, Given):
        return value.values[sources.order]
    if isinstance(value, Drawn) and len(sources.numbers):
        return by_source(value, slot, p.pre_subset.array()[sources.listed], sources.numbers, p.key)
    if isinstance(value, Drawn) and (value.program != (("draw", 0),) or slot not in (DELAYS, WEIGHTS)):
        return composite(value, slot, targets.posts, sources.degrees, p.key)
    return NO_NUMBERS


def own_positions(p: ProjectionSpec, targets: Targets) -> I8:
    """Position of each target in the pre subset, or -1."""
    out = np.full(len(targets.posts), -1, np.int64)
    if p.pre != p.post:
        return out
    if p.pre_subset.ids is None:
        inside = (targets.posts >= p.pre_subset.start) & (targets.posts < p.pre_subset.stop)
        out[inside] = targets.posts[inside] - p.pre_subset.start
        return out
    at = np.searchsorted(p.pre_subset.ids, targets.posts)
    inside = at < len(p.pre_subset.ids)
    inside[inside] = p.pre_subset.ids[at[inside]] == targets.posts[inside]
    out[inside] = at[inside]
    return out


@singledispatch
def sources_of(rule: object, p: ProjectionSpec, targets: Targets) -> Sources:
    """Degrees, and listed sources where the rule has them."""
    raise TypeError(f"projection {p.name!r}: the CPU backend knows no rule {type(rule).__name__}")


def distinct(posts: I8, candidates: I8, degrees: I8, key: Key) -> I8:
    """Distinct numbers below `candidates`, as many as `degrees`, of every target: in order (target, k)."""
    out = np.empty(int(degrees.sum()), np.int64)
    distinct_sources(posts, candidates, degrees, *key, out)
    return out


@sources_of.register
def _(rule: DrawnSources, p: ProjectionSpec, targets: Targets) -> Sources:
    return _drawn(rule, p, targets, distinct)


def _drawn(rule: DrawnSources, p: ProjectionSpec, targets: Targets, choose: Choose) -> Sources:
    selves = np.full(len(targets.posts), -1, np.int64) if rule.autapses else own_positions(p, targets)
    candidates = (len(p.pre_subset) - (selves >= 0)).astype(np.int64)
    degrees = _degrees(rule.degree, p, targets, candidates)
    if not rule.distinct:
        return Sources(connect.RANDOM, degrees, selves, NONE, NONE)
    return Sources(connect.LISTED, degrees, selves, choose(targets.posts, candidates, degrees, p.key), NONE)


@sources_of.register
def _(rule: EverySource, p: ProjectionSpec, targets: Targets) -> Sources:
    selves = np.full(len(targets.posts), -1, np.int64) if rule.autapses else own_positions(p, targets)
    return Sources(connect.ALL, (len(p.pre_subset) - (selves >= 0)).astype(np.int64), selves, NONE, NONE)


@sources_of.register
def _(rule: SameSource, p: ProjectionSpec, targets: Targets) -> Sources:
    return Sources(connect.SAME, np.ones(len(targets.posts), np.int64), targets.ranks, NONE, NONE)


@sources_of.register
def _(rule: Edges, p: ProjectionSpec, targets: Targets) -> Sources:
    return _listed(rule.pre, rule.post, targets)


@sources_of.register
def _(rule: DrawnTargets, p: ProjectionSpec, targets: Targets) -> Sources:
    pre_ids = p.pre_subset.array()
    wanted = np.zeros(len(p.post_subset), np.uint8)
    wanted[targets.ranks] = 1
    same = p.pre == p.post and not rule.autapses
    own = np.full(len(pre_ids), -1, np.int64)
    if same:
        at = np.searchsorted(p.post_subset.array(), pre_ids)
        post_ids = p.post_subset.array()
        inside = at < len(post_ids)
        inside[inside] = post_ids[at[inside]] == pre_ids[inside]
        own[inside] = at[inside]
    n = len(p.post_subset)
    args = (pre_ids, own, n, rule.outdegree, rule.distinct, p.key[0], p.key[1], wanted)
    total = targets_of_sources(*args, NONE, NONE, NONE)
    pre, post, number = (np.empty(total, np.int64) for _ in range(3))
    targets_of_sources(*args, pre, post, number)
    sources = _listed(pre, post, targets)
    return replace(sources, numbers=number[sources.order])


def _listed(pre: I8, post: I8, targets: Targets) -> Sources:
    """Edges whose post rank is among the targets, in order (target, given order)."""
    place = np.searchsorted(targets.ranks, post)
    inside = place < len(targets.ranks)
    inside[inside] = targets.ranks[place[inside]] == post[inside]
    chosen = np.flatnonzero(inside)
    order = chosen[np.argsort(place[chosen], kind="stable")]
    degrees = np.bincount(place[chosen], minlength=len(targets.ranks)).astype(np.int64)
    return Sources(connect.LISTED, degrees, np.full(len(targets.ranks), -1, np.int64), pre[order].astype(np.int64), order)


@singledispatch
def _degrees(degree: object, p: ProjectionSpec, targets: Targets, candidates: I8) -> I8:
    raise TypeError(f"projection {p.name!r}: the CPU backend knows no degree {type(degree).__name__}")


@_degrees.register
def _(degree: FixedDegree, p: ProjectionSpec, targets: Targets, candidates: I8) -> I8:
    return np.full(len(targets.posts), degree.count, np.int64)


@_degrees.register
def _(degree: BinomialDegree, p: ProjectionSpec, targets: Targets, candidates: I8) -> I8:
    out = np.empty(len(targets.posts), np.int64)
    binomial_degrees(targets.posts, candidates, degree.p, p.key[0], p.key[1], out)
    return out


@_degrees.register
def _(degree: TotalDegree, p: ProjectionSpec, targets: Targets, candidates: I8) -> I8:
    low, high = int(targets.ranks[0]), int(targets.ranks[-1]) + 1
    out = np.zeros(high - low, np.int64)
    deal(degree.total, len(p.post_subset), low, high, p.key[0], p.key[1], out)
    return out[targets.ranks - low]
