"""Regions of space: what a selection by position holds, where random positions are drawn, and masks of connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.errors import KindError, ParameterError, ShapeError
from eventsnn.model import value_object

F8 = npt.NDArray[np.float64]
FAR = 1e300


class Region(Protocol):
    """Points x with low <= x <= high in every dimension, and inner <= |x - center| <= outer."""

    def limits(self, dimensions: int) -> tuple[F8, F8, F8, float, float]:
        """low, high and center, shape (dimensions,); inner and outer. Infinite bounds are +-1e300."""


@value_object
class Box:
    """low <= x <= high in every dimension. NEST's masks: rectangular, box."""

    low: Sequence[float]
    high: Sequence[float]

    def __post_init__(self) -> None:
        low, high = vector(self.low, "Box: low"), vector(self.high, "Box: high")
        if len(low) != len(high):
            raise ShapeError(f"Box: low has {len(low)} coordinates and high {len(high)}; give as many")
        if not all(a <= b for a, b in zip(low, high, strict=True)):
            raise ParameterError(f"Box: low must be <= high in every dimension, not {low} and {high}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def limits(self, dimensions: int) -> tuple[F8, F8, F8, float, float]:
        _fits(len(self.low), dimensions, self)
        return np.array(self.low), np.array(self.high), np.zeros(dimensions), 0.0, FAR


@value_object
class Ball:
    """|x - center| <= radius; the center is the origin by default. NEST's masks: circular, spherical."""

    radius: float
    center: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", _length(self.radius, "Ball: radius"))
        if self.center is not None:
            object.__setattr__(self, "center", vector(self.center, "Ball: center"))

    def limits(self, dimensions: int) -> tuple[F8, F8, F8, float, float]:
        return _round(self.center, dimensions, 0.0, self.radius, self)


@value_object
class Annulus:
    """inner <= |x - center| <= outer: a ring in two dimensions, a shell in three. NEST's mask: doughnut."""

    inner: float
    outer: float
    center: Sequence[float] | None = None

    def __post_init__(self) -> None:
        for name in ("inner", "outer"):
            object.__setattr__(self, name, _length(getattr(self, name), f"Annulus: {name}"))
        if self.inner > self.outer:
            raise ParameterError(f"Annulus: inner must be <= outer, not {self.inner:g} and {self.outer:g}")
        if self.center is not None:
            object.__setattr__(self, "center", vector(self.center, "Annulus: center"))

    def limits(self, dimensions: int) -> tuple[F8, F8, F8, float, float]:
        return _round(self.center, dimensions, self.inner, self.outer, self)


def within(region: Region, points: F8) -> npt.NDArray[np.bool_]:
    """Which of the points, shape (n, dimensions), lie in the region."""
    low, high, center, inner, outer = region.limits(points.shape[1])
    apart = points - center
    squares = (apart * apart).sum(axis=1)
    inside = ((points >= low) & (points <= high)).all(axis=1)
    return np.asarray(inside & (squares >= inner * inner) & (squares <= min(outer, 1e150) ** 2))


def is_region(given: object) -> bool:
    return hasattr(given, "limits") and not isinstance(given, type)


def vector(given: object, who: str) -> tuple[float, ...]:
    """One to three coordinates."""
    try:
        array = np.atleast_1d(np.asarray(given, np.float64))
    except (TypeError, ValueError):
        raise KindError(f"{who} must be one to three numbers, not {given!r}") from None
    if array.ndim != 1 or not 1 <= len(array) <= 3:
        raise ShapeError(f"{who} must have one to three coordinates, not shape {array.shape}")
    if not np.isfinite(array).all():
        raise ParameterError(f"{who} must be finite, not {given!r}")
    return tuple(array.tolist())


def _length(given: object, who: str) -> float:
    found = vector(given, who)
    if len(found) != 1:
        raise KindError(f"{who} must be one number, not {given!r}")
    number = found[0]
    if number < 0.0:
        raise ParameterError(f"{who} must be >= 0, not {number:g}")
    return number


def _round(
    center: Sequence[float] | None, dimensions: int, inner: float, outer: float, who: object
) -> tuple[F8, F8, F8, float, float]:
    if center is not None:
        _fits(len(center), dimensions, who)
    middle = np.zeros(dimensions) if center is None else np.array(center)
    return np.full(dimensions, -FAR), np.full(dimensions, FAR), middle, inner, outer


def _fits(n: int, dimensions: int, who: object) -> None:
    if n != dimensions:
        raise ShapeError(f"{who!r} has {n} dimensions, but positions have {dimensions}")
