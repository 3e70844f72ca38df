"""Functions of the distance between two neurons: of weights, delays and probabilities of connections.

They join the algebra of distributions: `1.0 - 0.5 * Distance()`, `0.8 * Gaussian(std=0.2) + Uniform(0.0, 0.1)`, `.clip(0, 1)`.
A function becomes a table over the distance (spec.Shaped), computed once in extended precision and linear in between: with
n = 4096 cells up to the reach r, its error is at most (r/n)**2/8 max|f''|, for a Gaussian below 7.5e-9 (r/std)**2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.algebra import Distribution, Leaf, Line, Program, check_finite
from eventsnn.codegen.tables import BITS, OPERATIONS, extended, tabulate
from eventsnn.errors import KindError, ParameterError, ShapeError

if TYPE_CHECKING:
    from mpmath import mpf

F8 = npt.NDArray[np.float64]
NOTHING = 1e-15
"""Probabilities below this count as 0."""


class Shape(Leaf):
    """A function of the distance."""

    def of(self, distances: list[mpf]) -> list[mpf]:
        """Its values, in extended precision."""
        raise NotImplementedError

    def line(self) -> Line | None:
        return None

    def quantile(self, p: mpf, q: mpf) -> mpf:
        raise ParameterError(
            f"{self!r} is a function of the distance between two neurons; it goes with weights, delays and probabilities of "
            "connections between populations that were made with positions="
        )

    def tails(self, x: mpf) -> tuple[mpf, mpf]:
        return self.quantile(x, x), x


@dataclass(frozen=True)
class Distance(Shape):
    """The distance d itself: Euclidean, the shorter way round where positions are periodic."""

    def of(self, distances: list[mpf]) -> list[mpf]:
        return distances


@dataclass(frozen=True)
class Gaussian(Shape):
    """exp(-(d - mean)**2 / (2 std**2)), 1 at its top. NEST: spatial_distributions.gaussian."""

    std: float
    mean_: float

    def __init__(self, std: float, mean: float = 0.0) -> None:
        object.__setattr__(self, "std", std)
        object.__setattr__(self, "mean_", mean)
        check_finite(self, "std", "mean_")
        if self.std <= 0.0:
            raise ParameterError(f"Gaussian(std) needs std > 0, not {self.std:g}")

    def __repr__(self) -> str:
        return f"Gaussian(std={self.std!r}, mean={self.mean_!r})" if self.mean_ else f"Gaussian(std={self.std!r})"

    def of(self, distances: list[mpf]) -> list[mpf]:
        from mpmath import exp

        return [exp(-(((d - self.mean_) / self.std) ** 2) / 2) for d in distances]


@dataclass(frozen=True)
class Exponential(Shape):
    """exp(-d / beta), 1 at no distance. NEST: spatial_distributions.exponential."""

    beta: float

    def __post_init__(self) -> None:
        check_finite(self, "beta")
        if self.beta <= 0.0:
            raise ParameterError(f"Exponential(beta) needs beta > 0, not {self.beta:g}")

    def of(self, distances: list[mpf]) -> list[mpf]:
        from mpmath import exp

        return [exp(-d / self.beta) for d in distances]


@dataclass(frozen=True)
class OfDistance(Shape):
    """A function of your own: an array of distances -> an array of as many numbers. It is called where it is connected."""

    function: Callable[[F8], npt.ArrayLike]

    def __repr__(self) -> str:
        return f"OfDistance({getattr(self.function, '__name__', type(self.function).__name__)})"

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise KindError(f"OfDistance: give a function of an array of distances, not {self.function!r}")

    def of(self, distances: list[mpf]) -> list[mpf]:
        values = np.asarray(self.function(np.array([float(d) for d in distances])), np.float64)
        if values.shape not in ((), (len(distances),)):
            raise ShapeError(f"{self!r} returned shape {values.shape} for {len(distances)} distances; return one number for each")
        if not np.isfinite(values).all():
            raise ParameterError(f"{self!r} returned a number that is not finite")
        return [extended(float(x)) for x in np.broadcast_to(values, len(distances))]


def shapes_of(given: object) -> bool:
    """Whether functions of the distance are part of a value."""
    return isinstance(given, Distribution) and any(isinstance(leaf, Shape) for leaf in _leaves(given)[0])


def profile(given: Distribution, reach: float) -> F8:
    """Values at DISTANCES + 1 even distances from 0 to reach, read-only; no random draw may be part of it."""
    leaves, program = _leaves(given)
    random = [leaf for leaf in leaves if not isinstance(leaf, Shape)]
    if random:
        raise ParameterError(f"{given!r} draws {random[0]!r}; a probability is a function of the distance alone")
    return _tabulated(tuple(leaves), program, reach)


def effective_reach(given: Distribution, reach: float) -> float:
    """The distance from which a probability is NOTHING up to `reach`; 0 where it is nothing everywhere."""
    while reach > 0.0:
        over = np.flatnonzero(np.abs(profile(given, reach)) >= NOTHING)
        if not len(over):
            return 0.0
        node = min(int(over[-1]) + 1, spec.DISTANCES)
        if node > spec.DISTANCES // 2:
            return reach * (node / spec.DISTANCES)
        reach *= (node + 1) / spec.DISTANCES
    return 0.0


def shaped(given: Distribution, reach: float) -> spec.Shaped:
    """A value with functions of distances up to `reach`."""
    leaves, program = _leaves(given)
    if all(isinstance(leaf, Shape) for leaf in leaves):
        table = _tabulated(tuple(leaves), program, reach)
        return spec.Shaped((_proxy(table),), (("draw", 0),), float(table.min()), float(table.max()), (table,), reach)
    shapes = tuple(_tabulated((x,), (("draw", 0),), reach) if isinstance(x, Shape) else None for x in leaves)
    tables = tuple(
        tabulate((leaf,), (("draw", 0),)).tables[0] if shape is None else _proxy(shape)
        for leaf, shape in zip(leaves, shapes, strict=True)
    )
    exact = [t if s is None else s for t, s in zip(tables, shapes, strict=True)]
    low, high = _interval(program, [(float(t.min()), float(t.max())) for t in exact], given)
    return spec.Shaped(tables, program, low, high, shapes, reach)


def _leaves(given: Distribution) -> tuple[list[Leaf], Program]:
    leaves: list[Leaf] = []
    return leaves, given.program(leaves)


@lru_cache(maxsize=256)
def _tabulated(leaves: tuple[Leaf, ...], program: Program, reach: float) -> F8:
    from mpmath import mp

    with mp.workprec(BITS):
        distances = [extended(reach) * k / spec.DISTANCES for k in range(spec.DISTANCES + 1)]
        columns = [leaf.of(distances) for leaf in leaves if isinstance(leaf, Shape)]
        table = np.array([float(_run(program, row)) for row in zip(*columns, strict=True)] if columns else [])
    if not columns:
        table = np.full(spec.DISTANCES + 1, float(_run(program, ())))
    if not np.isfinite(table).all():
        raise ParameterError("a function of the distance is not finite everywhere")
    table.setflags(write=False)
    return table


def _run(program: Program, draws: tuple[Any, ...]) -> Any:
    stack: list[Any] = []
    for name, argument in program:
        if name in ("draw", "const"):
            stack.append(draws[int(argument)] if name == "draw" else extended(argument))
            continue
        right, left = stack.pop(), stack.pop()
        if name == "div" and right == 0:
            raise ParameterError("a function of the distance that can be 0 stands below a fraction line")
        stack.append(OPERATIONS[name](left, right))
    return stack.pop()


def _proxy(table: F8) -> F8:
    """A quantile table as if all distances were equally likely: for expectations."""
    p = 2.0**-33 * 2.0 ** (np.arange(spec.SIDE) // spec.CELLS) * (1.0 + (np.arange(spec.SIDE) % spec.CELLS) / spec.CELLS)
    x = np.linspace(0.0, 1.0, len(table))
    return np.stack([np.interp(p, x, table), np.interp(1.0 - p, x, table)])


def _interval(program: Program, draws: list[tuple[float, float]], given: Distribution) -> tuple[float, float]:
    """Bounds by interval arithmetic in float64; rounding is monotone."""
    stack: list[tuple[float, float]] = []
    for name, argument in program:
        if name in ("draw", "const"):
            stack.append(draws[int(argument)] if name == "draw" else (argument, argument))
            continue
        right, left = stack.pop(), stack.pop()
        if name == "div" and right[0] <= 0.0 <= right[1]:
            raise ParameterError(f"{given!r} divides by values between {right[0]:g} and {right[1]:g}; 0 is among them")
        corners = [float(OPERATIONS[name](a, b)) for a, b in product(left, right)]
        stack.append((min(corners), max(corners)))
    return stack.pop()
