"""Values of parameters, weights and delays: one number, one per element, or a distribution with arithmetic.

A distribution becomes quantile tables (spec.Drawn), computed once in extended precision; a draw is then a table look-up, the same
bits on every machine. One distribution object is one draw: `x + x` is twice x, `Uniform(0, 1) + Uniform(0, 1)` is a triangle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError, ShapeError, UnitError
from eventsnn.units import magnitude

if TYPE_CHECKING:
    from mpmath import mpf

Program = tuple[tuple[str, float], ...]


class Distribution:
    """A random number per element. Numbers and other distributions may be added, subtracted, multiplied and divided."""

    def __add__(self, other: object) -> Distribution:
        return _operation("add", self, other)

    def __radd__(self, other: object) -> Distribution:
        return _operation("add", other, self)

    def __sub__(self, other: object) -> Distribution:
        return _operation("sub", self, other)

    def __rsub__(self, other: object) -> Distribution:
        return _operation("sub", other, self)

    def __mul__(self, other: object) -> Distribution:
        return _operation("mul", self, other)

    def __rmul__(self, other: object) -> Distribution:
        return _operation("mul", other, self)

    def __truediv__(self, other: object) -> Distribution:
        return _operation("div", self, other)

    def __rtruediv__(self, other: object) -> Distribution:
        return _operation("div", other, self)

    def __neg__(self) -> Distribution:
        return _operation("mul", self, -1.0)

    def clip(self, low: float | None = None, high: float | None = None) -> Distribution:
        """Values outside [low, high] become the nearest bound (they pile up there)."""
        _ordered("clip", low, high)
        above = self if low is None else _operation("max", self, low)
        return above if high is None else _operation("min", above, high)

    def truncate(self, low: float | None = None, high: float | None = None) -> Distribution:
        """Values outside [low, high] are drawn again. For scale * x + shift of one Uniform, Normal or LogNormal x."""
        _ordered("truncate", low, high)
        line = self._line()
        if line is None:
            raise ParameterError(f"truncate works on scale * x + shift of one distribution, not on {self!r}; truncate its parts")
        leaf, scale, shift = line
        if leaf is None or scale == 0.0:
            value = self.bounds()[0]
            if (low is not None and value < low) or (high is not None and value > high):
                raise ParameterError(f"truncate({low}, {high}) leaves nothing of {self!r}")
            return self
        cut = Truncated(leaf, scale, shift, -np.inf if low is None else float(low), np.inf if high is None else float(high))
        cut.drawn()  # says now whether anything is left
        return cut

    def mean(self) -> float:
        """The mean of what is drawn; exact for one draw up to the tables, an estimate (1e-3 of the spread) for several."""
        from eventsnn.codegen.sampling import mean

        return mean(self.drawn())

    def bounds(self) -> tuple[float, float]:
        """The least and the greatest number that can be drawn (tails end at p = 2**-33)."""
        drawn = self.drawn()
        return drawn.low, drawn.high

    def drawn(self) -> spec.Drawn:
        """The tables; equal distributions share them."""
        from eventsnn.codegen.tables import tabulate

        leaves: list[Leaf] = []
        program = self._program(leaves)
        return tabulate(tuple(leaves), program)

    def _program(self, leaves: list[Leaf]) -> Program:
        raise NotImplementedError

    def _line(self) -> tuple[Leaf | None, float, float] | None:
        """(x, scale, shift) where this is scale * x + shift of one leaf x, or of none."""
        return None


class Leaf(Distribution):
    """A distribution that is one draw, given by its quantiles. Probabilities come as (p, 1 - p), each accurate where small."""

    def quantile(self, p: mpf, q: mpf) -> mpf:
        raise NotImplementedError

    def tails(self, x: mpf) -> tuple[mpf, mpf]:
        """(P(X <= x), P(X > x))"""
        raise NotImplementedError

    def _program(self, leaves: list[Leaf]) -> Program:
        for k, leaf in enumerate(leaves):
            if leaf is self:
                return (("draw", k),)
        leaves.append(self)
        return (("draw", len(leaves) - 1),)

    def _line(self) -> tuple[Leaf | None, float, float] | None:
        return self, 1.0, 0.0


@dataclass(frozen=True)
class Constant(Distribution):
    """Always `value`."""

    value: float

    def __post_init__(self) -> None:
        _finite(self, "value")

    def _program(self, leaves: list[Leaf]) -> Program:
        return (("const", self.value),)

    def _line(self) -> tuple[Leaf | None, float, float] | None:
        return None, 0.0, self.value


@dataclass(frozen=True)
class Uniform(Leaf):
    """Evenly between low and high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _finite(self, "low", "high")
        if self.low > self.high:
            raise ParameterError(f"Uniform(low, high) needs low <= high, not {self.low:g} > {self.high:g}")

    def quantile(self, p: mpf, q: mpf) -> mpf:
        return self.low * q + self.high * p

    def tails(self, x: mpf) -> tuple[mpf, mpf]:
        width = self.high - x - (self.low - x)
        return min(max((x - self.low) / width, 0), 1), min(max((self.high - x) / width, 0), 1)

    def _line(self) -> tuple[Leaf | None, float, float] | None:
        return (self, 1.0, 0.0) if self.low < self.high else (None, 0.0, self.low)


@dataclass(frozen=True)
class Normal(Leaf):
    """Gaussian with the given mean and standard deviation."""

    mean_: float
    std: float

    def __init__(self, mean: float, std: float) -> None:
        object.__setattr__(self, "mean_", mean)
        object.__setattr__(self, "std", std)
        _finite(self, "mean_", "std")
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

    def _line(self) -> tuple[Leaf | None, float, float] | None:
        return (self, 1.0, 0.0) if self.std > 0 else (None, 0.0, self.mean_)


@dataclass(frozen=True)
class LogNormal(Leaf):
    """exp of a Gaussian: `mean` and `sigma` are those of the logarithm."""

    mean_: float
    sigma: float

    def __init__(self, mean: float, sigma: float) -> None:
        object.__setattr__(self, "mean_", mean)
        object.__setattr__(self, "sigma", sigma)
        _finite(self, "mean_", "sigma")
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

    def _line(self) -> tuple[Leaf | None, float, float] | None:
        return (self, 1.0, 0.0) if self.sigma > 0 else (None, 0.0, float(np.exp(self.mean_)))


@dataclass(frozen=True)
class Truncated(Leaf):
    """scale * leaf + shift, given that it lies in [low, high]."""

    leaf: Leaf
    scale: float
    shift: float
    low: float
    high: float

    def quantile(self, p: mpf, q: mpf) -> mpf:
        (below, _), (upto, over) = self._line_tails(self.low), self._line_tails(self.high)
        _, above_low = self._line_tails(self.low)
        mass = upto - below if upto < 0.5 else above_low - over
        if not mass > 0:
            raise ParameterError(f"truncate({self.low:g}, {self.high:g}) leaves nothing of {self.scale:g} * {self.leaf!r} + {self.shift:g}")
        p, q = below + p * mass, over + q * mass
        x = self.leaf.quantile(p, q) if self.scale > 0 else self.leaf.quantile(q, p)
        return min(max(self.scale * x + self.shift, self.low), self.high)

    def tails(self, x: mpf) -> tuple[mpf, mpf]:
        (below, above_low), (upto, over) = self._line_tails(self.low), self._line_tails(self.high)
        mass = upto - below if upto < 0.5 else above_low - over
        here, beyond = self._line_tails(min(max(x, self.low), self.high))
        return (here - below) / mass, (beyond - over) / mass

    def _line_tails(self, y: Any) -> tuple[mpf, mpf]:
        from eventsnn.codegen.tables import extended

        x = (extended(y) - self.shift) / self.scale
        if abs(x) == np.inf:
            lower, upper = (extended(0), extended(1)) if x < 0 else (extended(1), extended(0))
        else:
            lower, upper = self.leaf.tails(x)
        return (lower, upper) if self.scale > 0 else (upper, lower)


@dataclass(frozen=True)
class Operation(Distribution):
    """left <op> right; op is one of spec.Drawn's."""

    op: str
    left: Distribution
    right: Distribution

    def _program(self, leaves: list[Leaf]) -> Program:
        return (*self.left._program(leaves), *self.right._program(leaves), (self.op, 0))

    def _line(self) -> tuple[Leaf | None, float, float] | None:
        left, right = self.left._line(), self.right._line()
        if left is None or right is None or self.op in ("min", "max"):
            return None
        (x, a, b), (y, c, d) = left, right
        if self.op in ("add", "sub"):
            if x is not None and y is not None and x is not y:
                return None
            sign = 1.0 if self.op == "add" else -1.0
            return (x if x is not None else y), a + sign * c, b + sign * d
        if y is None:
            return (x, a * d, b * d) if self.op == "mul" else (x, a / d, b / d)
        return (y, b * c, b * d) if self.op == "mul" and x is None else None


def as_value(given: Any, n: int, unit: str, who: str) -> spec.Value:
    """A scalar, array, distribution or pint quantity as the value of n elements, in `unit`; errors name `who`."""
    if isinstance(given, Distribution):
        line = given._line()
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


def _number(x: object) -> Distribution:
    if isinstance(x, Distribution):
        return x
    if hasattr(x, "magnitude"):
        raise UnitError(f"a distribution takes plain numbers in the unit of its parameter, not {x!r}")
    if isinstance(x, bool) or not isinstance(x, (int, float, np.integer, np.floating)):
        raise KindError(f"a distribution can be combined with numbers and distributions, not with {x!r}")
    return Constant(float(x))


_FOLD: dict[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "min": min,
    "max": max,
}


def _operation(op: str, left: object, right: object) -> Distribution:
    a, b = _number(left), _number(right)
    if op == "div" and isinstance(b, Constant) and b.value == 0.0:
        raise ParameterError(f"{a!r} cannot be divided by 0")
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(_FOLD[op](a.value, b.value))
    return Operation(op, a, b)


def _ordered(verb: str, low: float | None, high: float | None) -> None:
    for bound in (low, high):
        if bound is not None and not np.isfinite(bound):
            raise ParameterError(f"{verb}({low}, {high}): a bound must be finite; use None for no bound")
    if low is not None and high is not None and low > high:
        raise ParameterError(f"{verb}({low:g}, {high:g}) needs low <= high")


def _finite(who: Distribution, *names: str) -> None:
    for name in names:
        given = getattr(who, name)
        if hasattr(given, "magnitude") or isinstance(given, (bool, str)) or not isinstance(given, (int, float, np.number)):
            shown = f"{type(who).__name__}: {name.rstrip('_')}"
            if hasattr(given, "magnitude"):
                raise UnitError(f"{shown} takes a plain number in the unit of its parameter, not {given!r}")
            raise KindError(f"{shown} must be one number, not {given!r}")
        if not np.isfinite(given):
            raise ParameterError(f"{type(who).__name__}: {name.rstrip('_')} must be finite, not {given}")
        object.__setattr__(who, name, float(given))
