"""What rules by distance share: profiles and masks, and what they expect, from the description alone."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.algebra import Constant, Distribution
from eventsnn.cells import Cells, cells_of, envelope, most_near
from eventsnn.distance import effective_reach, profile, shapes_of
from eventsnn.errors import KindError, ParameterError
from eventsnn.models.rules.degrees import random_bound
from eventsnn.positions import farthest
from eventsnn.regions import FAR, Region, is_region

F8 = npt.NDArray[np.float64]
Bound = tuple[spec.Located, float, float]
"""The rule between neurons that lie somewhere, its expected number of synapses, and a bound on the in-degree of one target."""
UNIT = 1 << 24
"""Probabilities are bounded by whole multiples of 1/UNIT, whose sums have no rounding."""
SAMPLE, PAIRS = 256, 1 << 23
"""Most neurons and pairs that are looked at to estimate a mean."""


def check(p: object, mask: object, who: str) -> None:
    """A probability by distance and a mask, as far as they can be judged without positions."""
    if p is not None and not shapes_of(p):
        raise KindError(f"{who}: p must be a function of the distance, such as Gaussian(std=0.3), not {p!r}")
    if mask is not None and not is_region(mask):
        raise KindError(f"{who}: mask must be a region such as Ball(0.5) or Box((-1.0, -1.0), (1.0, 1.0)), not {mask!r}")


def profile_of(p: object, mask: Region | None, space: spec.Space, probability: bool, who: str) -> spec.Profile:
    """The profile of p (a Distribution; a number and None stand for the same everywhere) inside a mask."""
    shape = p if isinstance(p, Distribution) else Constant(1.0 if p is None else float(p))  # type: ignore[arg-type]
    low, high, center, inner, outer = _limits(mask, space.dimensions)
    corner = np.minimum(np.maximum(np.abs(low), np.abs(high)), 1e150)
    reach = min(farthest(space), _norm(corner), _norm(center) + outer)
    reach = effective_reach(shape, reach) or reach
    table = profile(shape, reach)
    if table.min() < 0.0 or (probability and table.max() > 1.0):
        span = f"{float(table.min()):g} ... {float(table.max()):g}"
        allowed = "between 0 and 1" if probability else ">= 0"
        raise ParameterError(f"{who}: p must be {allowed} at every distance, not {span}; add .clip(0.0, 1.0) to it")
    if not probability:
        if not table.any():
            raise ParameterError(f"{who}: p is 0 at every distance")
        table = table / table.max()
    return spec.Profile(table, reach, low, high, center, inner, outer)


def degree_bound(space: spec.Space, found: spec.Profile) -> float:
    """A number that the in-degree of no target exceeds (see random_bound), where pairs are connected by a profile."""
    cells = cells_of(space.pre, space.post, space.period, found.reach, 1)
    sources, targets = cells.counts(space.pre), cells.counts(space.post)
    near = envelope(found.table)
    total = np.zeros(sources.shape, np.int64)
    for offset in cells.offsets(found.reach):
        most = math.ceil(most_near(near, found.reach, cells.gap(offset)) * UNIT)
        if most:
            total += most * cells.shifted(sources, offset).astype(np.int64)
    mean = float(total[targets > 0].max()) / UNIT
    return min(random_bound(mean), float(len(space.pre)))


def expected_pairs(space: spec.Space, found: spec.Profile) -> float:
    """About the mean number of connections, from some of the targets."""
    every = max(1, len(space.post) // max(1, min(SAMPLE, PAIRS // len(space.pre))))
    picked = space.post[::every]
    return float(sum(weights(space.pre, t, space.period, found, -1.0).sum() for t in picked)) * len(space.post) / len(picked)


def weights(points: F8, center: F8, period: F8, found: spec.Profile, sign: float) -> F8:
    """The profile's value for each of the points around a center; a mask holds sign * (point - center)."""
    apart = points - center
    wrapped = np.where(period > 0.0, period, 1.0)
    apart = np.where(period > 0.0, apart - np.floor(apart / wrapped + 0.5) * wrapped, apart)
    squares = apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1] + apart[:, 2] * apart[:, 2]
    place = np.sqrt(squares) * (spec.DISTANCES / found.reach if found.reach else 0.0)
    beyond = place > spec.DISTANCES * (1.0 + 1e-9)
    place = np.minimum(place, float(spec.DISTANCES))
    node = np.minimum(place.astype(np.int64), spec.DISTANCES - 1)
    value = found.table[node] + (found.table[node + 1] - found.table[node]) * (place - node)
    shown = sign * apart
    inside = ((shown >= found.low) & (shown <= found.high)).all(axis=1)
    off = shown - found.center
    around = off[:, 0] * off[:, 0] + off[:, 1] * off[:, 1] + off[:, 2] * off[:, 2]
    inside &= (around >= found.inner * found.inner) & (around <= min(found.outer, 1e150) ** 2)
    return np.where(inside & ~beyond, value, 0.0)


def check_choices(
    space: spec.Space, found: spec.Profile, count: int, distinct: bool, less: bool, sources: bool, who: str
) -> None:
    """Whether every neuron that draws has partners enough; large networks are checked as they are built."""
    centers, points = (space.post, space.pre) if sources else (space.pre, space.post)
    if not count or len(centers) * len(points) > 2 * PAIRS:
        return
    for number, center in enumerate(centers):
        left = int(np.count_nonzero(weights(points, center, space.period, found, 1.0))) - less
        if left < (count if distinct else 1):
            kind = "target" if sources else "source"
            raise ParameterError(
                f"{who}: {kind} {number} has {left} neurons within reach of p and mask, but draws {count}; lower it, widen "
                "the mask" + (" or allow multapses=True" if distinct and left else "")
            )


def outdegree_bound(space: spec.Space, found: spec.Profile, count: int, distinct: bool) -> float:
    """A bound on in-degrees where every source draws `count` targets.

    Twice the mean that the middles of cells give; all that the sources within reach can send, where cells are coarse.
    """
    cells = cells_of(space.pre, space.post, space.period, found.reach, 1)
    sources, targets = cells.counts(space.pre), cells.counts(space.post)
    each = 1.0 if distinct else float(count)
    if (cells.side[cells.shape > 1] > found.reach / 4.0).any() or cells.size == 1:
        around = sum(cells.shifted(sources, o) for o in cells.offsets(found.reach) if cells.gap(o) <= found.reach)
        return each * float(np.asarray(around)[targets > 0].max())
    near = [(o, most_near(found.table, found.reach, _apart(cells, o))) for o in cells.offsets(found.reach)]
    near = [(o, p) for o, p in near if p > 0.0]
    reached = np.zeros(sources.shape)
    for offset, p in near:
        reached = reached + p * cells.shifted(targets, offset).astype(np.float64)
    share = np.where(reached > 0.0, sources / np.where(reached > 0.0, reached, 1.0), 0.0) * count
    mean = np.zeros(sources.shape)
    for offset, p in near:
        mean = mean + p * cells.shifted(share, tuple(-x for x in offset)).astype(np.float64)  # type: ignore[arg-type]
    largest = float(mean[targets > 0].max())
    bound = 2.0 ** math.ceil(math.log2(2.0 * random_bound(largest)))
    return min(bound, float(len(space.pre)) * each)


def _apart(cells: Cells, offset: tuple[int, int, int]) -> float:
    """The distance of the middles of two cells."""
    return _norm(np.array(offset) * cells.side)


def _limits(mask: Region | None, d: int) -> tuple[F8, F8, F8, float, float]:
    if mask is None:
        return np.full(3, -FAR), np.full(3, FAR), np.zeros(3), 0.0, FAR
    low, high, center, inner, outer = mask.limits(d)
    beyond = (0, 3 - d)
    return (
        np.pad(low, beyond, constant_values=-FAR),
        np.pad(high, beyond, constant_values=FAR),
        np.pad(center, beyond),
        inner,
        outer,
    )


def _norm(x: F8) -> float:
    return float(np.sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]))
