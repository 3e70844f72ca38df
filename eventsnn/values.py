"""Values of parameters, weights and delays: one number, one per element, or a distribution with arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn import spec
from eventsnn.algebra import Constant, Distribution, Leaf, Line, check_finite
from eventsnn.errors import KindError, ParameterError, ShapeError
from eventsnn.units import magnitude

if TYPE_CHECKING:
    from mpmath import mpf

__all__ = ["Constant", "Distribution", "LogNormal", "Normal", "Uniform", "as_value", "bounds"]


@dataclass(frozen=True)
class Uniform(Leaf):
    """Evenly between low and high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        check_finite(self, "low", "high")
        if self.low > self.high:
            raise ParameterError(f"Uniform(low, high) needs low <= high, not {self.low:g} > {self.high:g}")

    def quantile(self, p: mpf, q: mpf) -> mpf:
        return self.low * q + self.high * p

    def tails(self, x: mpf) -> tuple[mpf, mpf]:
        width = self.high - x - (self.low - x)
        return min(max((x - self.low) / width, 0), 1), min(max((self.high - x) / width, 0), 1)

    def line(self) -> Line | None:
        return (self, 1.0, 0.0) if self.low < self.high else (None, 0.0, self.low)


@dataclass(frozen=True)
class Normal(Leaf):
    """Gaussian with the given mean and standard deviation."""

    mean_: float
    std: float

    def __init__(self, mean: float, std: float) -> None:
        object.__setattr__(self, "mean_", mean)
        object.__setattr__(self, "std", std)
        check_finite(self, "mean_", "std")
        if self.std < 0:
            raise ParameterError(f"Normal(mean, std) needs std >= 0, not {self.std:g}")

    def __repr__(self) -> str:
        return f"Normal(mean={self.mean_!r}, std={self.std!r})"

    def quantile(self, p: mpf, q: mpf) -> mpf:
        from eventsnn.codegen.tables import normal_quantile

        return self.mean_ + self.std * normal_quantile(p, q)

    def tails(self, x: mpf) -> tuple[mpf, mpf]:
        from eventsnn.codegen.tables import normal_tails

        return normal_tails((x - self.mean_) / self.std)

    def line(self) -> Line | None:
        return (self, 1.0, 0.0) if self.std > 0 else (None, 0.0, self.mean_)


@dataclass(frozen=True)
class LogNormal(Leaf):
    """exp of a Gaussian: `mean` and `sigma` are those of the logarithm."""

    mean_: float
    sigma: float

    def __init__(self, mean: float, sigma: float) -> None:
        object.__setattr__(self, "mean_", mean)
        object.__setattr__(self, "sigma", sigma)
        check_finite(self, "mean_", "sigma")
        if self.sigma < 0:
            raise ParameterError(f"LogNormal(mean, sigma) needs sigma >= 0, not {self.sigma:g}")
        if abs(self.mean_) + 7.0 * self.sigma > 700.0:
            raise ParameterError(f"LogNormal(mean={self.mean_:g}, sigma={self.sigma:g}) overflows; both are of the logarithm")

    def __repr__(self) -> str:
        return f"LogNormal(mean={self.mean_!r}, sigma={self.sigma!r})"

    def quantile(self, p: mpf, q: mpf) -> mpf:
        from mpmath import exp

        from eventsnn.codegen.tables import normal_quantile

        return exp(self.mean_ + self.sigma * normal_quantile(p, q))

    def tails(self, x: mpf) -> tuple[mpf, mpf]:
        from mpmath import log

        from eventsnn.codegen.tables import normal_tails

        return normal_tails((log(x) - self.mean_) / self.sigma) if x > 0 else (x * 0, x * 0 + 1)

    def line(self) -> Line | None:
        return (self, 1.0, 0.0) if self.sigma > 0 else (None, 0.0, float(np.exp(self.mean_)))


def as_value(given: Any, n: int, unit: str, who: str) -> spec.Value:
    """A scalar, array, distribution or pint quantity as the value of n elements, in `unit`; errors name `who`."""
    if isinstance(given, Distribution):
        line = given.line()
        return spec.Fixed(line[2]) if line is not None and line[0] is None else given.drawn()
    plain = magnitude(given, unit, who)
    try:
        numbers = np.asarray(plain)
        if numbers.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        kinds = "a number, an array with one number per element, a distribution or a pint quantity"
        raise KindError(f"{who} must be {kinds}, not {given!r}") from None
    if numbers.ndim and numbers.shape != (n,):
        raise ShapeError(f"{who} has shape {numbers.shape}, but there are {n} elements; give one number or an array of {n}")
    numbers = np.array(numbers, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ParameterError(f"{who} must be finite, but holds {numbers[~np.isfinite(numbers)].flat[0]}")
    if not numbers.ndim:
        return spec.Fixed(float(numbers))
    numbers.setflags(write=False)
    return spec.Given(numbers)


def bounds(value: spec.Value) -> tuple[float, float]:
    """The least and the greatest number that a value can have."""
    match value:
        case spec.Fixed(number):
            return number, number
        case spec.Given(numbers):
            return float(numbers.min(initial=np.inf)), float(numbers.max(initial=-np.inf))
        case spec.Drawn():
            return value.low, value.high
