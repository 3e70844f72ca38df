"""The algebra of distributions: sums, products, clipping and truncation of independent draws.

A distribution becomes quantile tables (spec.Drawn), computed once in extended precision; a draw is then a table look-up, the same
bits on every machine. One distribution object is one draw: `x + x` is twice x, `Uniform(0, 1) + Uniform(0, 1)` is a triangle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn import spec
from eventsnn.codegen.tables import OPERATIONS
from eventsnn.errors import KindError, ParameterError, UnitError

if TYPE_CHECKING:
    from mpmath import mpf

Program = tuple[tuple[str, float], ...]
Line = tuple["Leaf | None", float, float]
"""(x, scale, shift): scale * x + shift of one draw x, or a constant where x is None."""


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
        line = self.line()
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
        program = self.program(leaves)
        return tabulate(tuple(leaves), program)

    def program(self, leaves: list[Leaf]) -> Program:
        """The postfix program of spec.Drawn; draws that are new are appended to `leaves`."""
        raise NotImplementedError

    def line(self) -> Line | None:
        """This as scale * x + shift of one draw, if it is that."""
        return None


class Leaf(Distribution):
    """A distribution that is one draw, given by its quantiles. Probabilities come as (p, 1 - p), each accurate where small."""

    def quantile(self, p: mpf, q: mpf) -> mpf:
        raise NotImplementedError

    def tails(self, x: mpf) -> tuple[mpf, mpf]:
        """(P(X <= x), P(X > x))"""
        raise NotImplementedError

    def program(self, leaves: list[Leaf]) -> Program:
        for k, leaf in enumerate(leaves):
            if leaf is self:
                return (("draw", k),)
        leaves.append(self)
        return (("draw", len(leaves) - 1),)

    def line(self) -> Line | None:
        return self, 1.0, 0.0


@dataclass(frozen=True)
class Constant(Distribution):
    """Always `value`."""

    value: float

    def __post_init__(self) -> None:
        check_finite(self, "value")

    def program(self, leaves: list[Leaf]) -> Program:
        return (("const", self.value),)

    def line(self) -> Line | None:
        return None, 0.0, self.value


@dataclass(frozen=True)
class Truncated(Leaf):
    """scale * leaf + shift, given that it lies in [low, high]."""

    leaf: Leaf
    scale: float
    shift: float
    low: float
    high: float

    def quantile(self, p: mpf, q: mpf) -> mpf:
        below, over, mass = self._inside
        p, q = below + p * mass, over + q * mass
        x = self.leaf.quantile(p, q) if self.scale > 0 else self.leaf.quantile(q, p)
        return min(max(self.scale * x + self.shift, self.low), self.high)

    def tails(self, x: mpf) -> tuple[mpf, mpf]:
        below, over, mass = self._inside
        here, beyond = self._line_tails(min(max(x, self.low), self.high))
        return (here - below) / mass, (beyond - over) / mass

    @cached_property
    def _inside(self) -> tuple[mpf, mpf, mpf]:
        """(P below, P above, P inside) of the line without the bounds."""
        (below, above_low), (upto, over) = self._line_tails(self.low), self._line_tails(self.high)
        mass = upto - below if upto < 0.5 else above_low - over
        if not mass > 0:
            line = f"{self.scale:g} * {self.leaf!r} + {self.shift:g}"
            raise ParameterError(f"truncate({self.low:g}, {self.high:g}) leaves nothing of {line}")
        return below, over, mass

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

    def __repr__(self) -> str:
        """As it was written, but for brackets."""
        left, right = (repr(x.value) if isinstance(x, Constant) else repr(x) for x in (self.left, self.right))
        if self.op in ("min", "max"):
            return f"({left}).clip({'high' if self.op == 'min' else 'low'}={right})"
        sign = {"add": "+", "sub": "-", "mul": "*", "div": "/"}[self.op]
        if sign in "*/":
            sums = [isinstance(x, Operation) and x.op in ("add", "sub") for x in (self.left, self.right)]
            left, right = (f"({text})" if summed else text for text, summed in zip((left, right), sums, strict=True))
        inner = isinstance(self.right, Operation) and ((sign == "-" and self.right.op in ("add", "sub")) or sign == "/")
        return f"{left} {sign} ({right})" if inner and not right.startswith("(") else f"{left} {sign} {right}"

    def program(self, leaves: list[Leaf]) -> Program:
        return (*self.left.program(leaves), *self.right.program(leaves), (self.op, 0))

    def line(self) -> Line | None:
        left, right = self.left.line(), self.right.line()
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


def _number(x: object) -> Distribution:
    if isinstance(x, Distribution):
        return x
    if hasattr(x, "magnitude"):
        raise UnitError(f"a distribution takes plain numbers in the unit of its parameter, not {x!r}")
    if isinstance(x, bool) or not isinstance(x, (int, float, np.integer, np.floating)):
        raise KindError(f"a distribution can be combined with numbers and distributions, not with {x!r}")
    return Constant(float(x))


def _operation(op: str, left: object, right: object) -> Distribution:
    a, b = _number(left), _number(right)
    if op == "div" and isinstance(b, Constant) and b.value == 0.0:
        raise ParameterError(f"{a!r} cannot be divided by 0")
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(OPERATIONS[op](a.value, b.value))
    return Operation(op, a, b)


def _ordered(verb: str, low: float | None, high: float | None) -> None:
    for bound in (low, high):
        if bound is not None and not np.isfinite(bound):
            raise ParameterError(f"{verb}({low}, {high}): a bound must be finite; use None for no bound")
    if low is not None and high is not None and low > high:
        raise ParameterError(f"{verb}({low:g}, {high:g}) needs low <= high")


def check_finite(who: Distribution, *names: str) -> None:
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
