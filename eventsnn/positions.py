"""Where the neurons of a population lie: in one to three dimensions, on any scale, with or without periodic borders.

Random positions depend on (seed, name of the population, neuron) alone. NEST: spatial.grid, spatial.free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.draws import philox
from eventsnn.errors import KindError, ParameterError, ShapeError
from eventsnn.model import kept, value_object
from eventsnn.regions import Box, Region, is_region, vector, within
from eventsnn.spec import Key, Space, Subset

F8 = npt.NDArray[np.float64]
MOST_TRIES = 10_000


class Positions(Protocol):
    """A rule by which neurons get their places."""

    def points(self, n: int, key: Key) -> F8:
        """Shape (n, dimensions)."""

    def period(self) -> tuple[float, ...] | None:
        """Length after which space repeats itself, in each dimension; None: it does not."""


@value_object
class Grid:
    """The middles of shape[0] x shape[1] x ... equal cells of a box of size `extent` (1 in each dimension) around `center`.

    The last dimension changes fastest. `edge_wrap`: opposite borders of the box meet.
    """

    shape: Sequence[int]
    extent: Sequence[float] | None = None
    center: Sequence[float] | None = None
    edge_wrap: bool = False

    def __post_init__(self) -> None:
        shape = np.atleast_1d(np.asarray(self.shape))
        if shape.dtype.kind not in "iu" or shape.ndim != 1 or not 1 <= len(shape) <= 3 or (shape < 1).any():
            raise ParameterError(f"Grid: shape must be one to three whole numbers >= 1, not {self.shape!r}")
        object.__setattr__(self, "shape", tuple(shape.tolist()))
        d = len(shape)
        object.__setattr__(self, "extent", (1.0,) * d if self.extent is None else _sized(self.extent, d, "Grid: extent"))
        object.__setattr__(self, "center", (0.0,) * d if self.center is None else _coordinates(self.center, d, "Grid: center"))

    def points(self, n: int, key: Key) -> F8:
        if n != prod(self.shape):
            raise ShapeError(f"{self!r} has {prod(self.shape)} places, but there are {n} neurons; give as many")
        axes = [
            middle - size / 2.0 + size * ((np.arange(cells) + 0.5) / cells)
            for cells, size, middle in zip(self.shape, self.extent or (), self.center or (), strict=True)
        ]
        return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)

    def period(self) -> tuple[float, ...] | None:
        return tuple(self.extent or ()) if self.edge_wrap else None


@value_object
class Free:
    """Given positions: an array of shape (n, dimensions), or (n,) on a line. `edge_wrap` needs the `extent` that repeats."""

    pos: npt.ArrayLike
    extent: Sequence[float] | None = None
    edge_wrap: bool = False

    def __post_init__(self) -> None:
        try:
            array = np.asarray(self.pos, np.float64)
        except (TypeError, ValueError):
            raise KindError("Free: pos must be an array of numbers, one row of coordinates per neuron") from None
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or not 1 <= array.shape[1] <= 3:
            raise ShapeError(f"Free: pos must have shape (neurons, 1 to 3), not {array.shape}")
        if not np.isfinite(array).all():
            raise ParameterError("Free: positions must be finite")
        object.__setattr__(self, "pos", kept(array.copy()))
        if self.extent is not None:
            object.__setattr__(self, "extent", _sized(self.extent, array.shape[1], "Free: extent"))
            span = array.max(0, initial=-np.inf) - array.min(0, initial=np.inf)
            if (span > np.array(self.extent)).any():
                raise ParameterError(f"Free: positions span {span.tolist()}, more than the extent {self.extent}")
        elif self.edge_wrap:
            raise ParameterError("Free: edge_wrap needs extent=, the size of the box that repeats")

    def points(self, n: int, key: Key) -> F8:
        array = np.asarray(self.pos)
        if len(array) != n:
            raise ShapeError(f"positions of {len(array)} neurons were given, but there are {n}")
        return array

    def period(self) -> tuple[float, ...] | None:
        return tuple(self.extent) if self.edge_wrap and self.extent is not None else None


@value_object
class Scattered:
    """Independent positions, even over a region: a Box, a Ball, an Annulus. `edge_wrap`: opposite borders of the Box meet."""

    region: Region
    edge_wrap: bool = False
    dimensions: int = 2
    """Of a round region without a center."""

    def __post_init__(self) -> None:
        if not is_region(self.region):
            raise KindError(f"Scattered: give a region such as Box((0.0, 0.0), (1.0, 1.0)) or Ball(1.0), not {self.region!r}")
        if self.edge_wrap and not isinstance(self.region, Box):
            raise ParameterError(f"Scattered: edge_wrap goes with a Box, not with {self.region!r}")
        if self.dimensions not in (1, 2, 3):
            raise ParameterError(f"Scattered: there are 1 to 3 dimensions, not {self.dimensions!r}")

    def points(self, n: int, key: Key) -> F8:
        low, high = self._bounds()
        out = np.empty((n, len(low)))
        left = np.arange(n, dtype=np.int64)
        for attempt in range(MOST_TRIES):
            if not len(left):
                return out
            words = np.concatenate([philox(left, attempt, half, 0, key) for half in (0, 1)], axis=1).astype(np.float64)
            u = (words[:, 0:6:2] + (words[:, 1:6:2] + 0.5) * 2.0**-32) * 2.0**-32
            out[left] = low + u[:, : len(low)] * (high - low)
            left = left[~within(self.region, out[left])]
        raise ParameterError(f"{self!r}: the region fills too little of its own bounding box")

    def period(self) -> tuple[float, ...] | None:
        low, high = self._bounds()
        return tuple((high - low).tolist()) if self.edge_wrap else None

    def _bounds(self) -> tuple[F8, F8]:
        center = getattr(self.region, "low", getattr(self.region, "center", None))
        d = self.dimensions if center is None else len(center)
        low, high, middle, _, outer = self.region.limits(d)
        return np.maximum(low, middle - outer), np.minimum(high, middle + outer)


@value_object
class Ring:
    """Evenly on a circle of this radius around `center`, from angle 0 on, counterclockwise."""

    radius: float = 1.0
    center: Sequence[float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", _sized([self.radius], 1, "Ring: radius")[0])
        object.__setattr__(self, "center", _coordinates(self.center, 2, "Ring: center"))

    def points(self, n: int, key: Key) -> F8:
        from mpmath import mp

        with mp.workprec(80):
            turns = [mp.mpf(2 * k) / n for k in range(n)]
            circle = np.array([(float(mp.cospi(t)), float(mp.sinpi(t))) for t in turns])
        return np.array(self.center) + self.radius * circle

    def period(self) -> tuple[float, ...] | None:
        return None


@dataclass(frozen=True, eq=False)
class Places:
    """The positions of a population: what the user gave, and what it came to."""

    given: Positions
    points: F8
    """(n, dimensions), read-only."""
    padded: F8
    """The same with zeros up to three dimensions."""
    period: F8
    """(dimensions,); 0: space does not repeat."""


def places(given: object, n: int, key: Key, who: str) -> Places:
    """The places of n neurons; an array is Free(array)."""
    if isinstance(given, np.ndarray | list | tuple):
        given = Free(given)
    if isinstance(given, type) or not (hasattr(given, "points") and hasattr(given, "period")):
        raise KindError(f"{who}: positions must be an array, or such as Grid((80, 100)) or Scattered(Box(...)), not {given!r}")
    made: Positions = given
    points, period = np.ascontiguousarray(made.points(n, key)), made.period()
    points.setflags(write=False)
    padded = np.ascontiguousarray(np.pad(points, ((0, 0), (0, 3 - points.shape[1]))))
    padded.setflags(write=False)
    return Places(made, points, padded, np.zeros(points.shape[1]) if period is None else np.array(period))


def space_of(pre: Places, sources: Subset, post: Places, targets: Subset) -> Space:
    """The common space of two selections."""
    m, n = pre.points.shape[1], post.points.shape[1]
    if m != n:
        raise ShapeError(f"positions of the sources have {m} dimensions and those of the targets {n}; give both as many")
    if not np.array_equal(pre.period, post.period):
        one, other = (p.period.tolist() if p.period.any() else "none" for p in (pre, post))
        raise ParameterError(f"positions of the sources have the period {one} and those of the targets {other}; "
                             "give both the same edge_wrap and extent")  # fmt: skip
    return Space(_rows(pre, sources), _rows(post, targets), np.pad(pre.period, (0, 3 - m)), m)


def farthest(space: Space) -> float:
    """A bound on the distance of two neurons."""
    low = np.minimum(space.pre.min(0), space.post.min(0))
    high = np.maximum(space.pre.max(0), space.post.max(0))
    most = np.where(space.period > 0.0, space.period / 2.0, high - low)
    return float(np.sqrt(most[0] * most[0] + most[1] * most[1] + most[2] * most[2])) * (1.0 + 1e-12)


def _rows(given: Places, subset: Subset) -> F8:
    """The same array whenever all neurons are meant: it then travels once."""
    if subset.ids is not None:
        return given.padded[subset.ids]
    return given.padded if len(subset) == len(given.padded) else given.padded[subset.start : subset.stop]


def _coordinates(given: object, dimensions: int, who: str) -> tuple[float, ...]:
    found = vector(given, who)
    if len(found) != dimensions:
        raise ShapeError(f"{who} must have {dimensions} coordinates, not {len(found)}")
    return found


def _sized(given: object, dimensions: int, who: str) -> tuple[float, ...]:
    found = _coordinates(given, dimensions, who)
    if min(found) <= 0.0:
        raise ParameterError(f"{who} must be > 0, not {given!r}")
    return found
