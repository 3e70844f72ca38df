"""Quantile tables in extended precision, rounded once: the same bits on every machine. mpmath is imported where needed."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.errors import ParameterError

if TYPE_CHECKING:
    from mpmath import mpf

    from eventsnn.algebra import Leaf, Program

BITS = 128
"""Working precision. A wrong rounding of a float64 would need a tie within 2**-70."""

Interval = tuple[float, float]


def extended(x: Any) -> mpf:
    from mpmath import mp

    with mp.workprec(BITS):
        return mp.mpf(x)


@lru_cache(maxsize=512)
def tabulate(leaves: tuple[Leaf, ...], program: Program) -> spec.Drawn:
    """The tables of a program over independent draws; a program of one draw is folded into its table."""
    if len(leaves) == 1:
        table = _table(leaves[0], program)
        return spec.Drawn((table,), (("draw", 0),), float(table.min()), float(table.max()))
    if not leaves:
        raise ParameterError("a constant has no draws")
    tables = tuple(_table(leaf, (("draw", 0),)) for leaf in leaves)
    low, high = _range(program, [(float(t.min()), float(t.max())) for t in tables])
    return spec.Drawn(tables, program, low, high)


@lru_cache(maxsize=512)
def _table(leaf: Leaf, program: Program) -> npt.NDArray[np.float64]:
    """Shape (2, SIDE): the program's value at each node, for p and for 1 - p."""
    from mpmath import mp

    table = np.empty((2, spec.SIDE))
    with mp.workprec(BITS):
        for k, p in enumerate(nodes()):
            table[0, k] = _run(program, leaf.quantile(p, 1 - p))
            table[1, k] = _run(program, leaf.quantile(1 - p, p))
    if not np.isfinite(table).all():
        raise ParameterError(f"an expression of {leaf!r} is not finite everywhere")
    table.setflags(write=False)
    return table


def nodes() -> list[mpf]:
    """The probabilities of a side's nodes, exact."""
    from mpmath import mp

    return [mp.ldexp(spec.CELLS + k % spec.CELLS, k // spec.CELLS - 33) / spec.CELLS for k in range(spec.SIDE)]


def _run(program: Program, draw: mpf) -> float:
    stack: list[Any] = []
    for name, argument in program:
        if name in ("draw", "const"):
            stack.append(draw if name == "draw" else extended(argument))
            continue
        right, left = stack.pop(), stack.pop()
        if name == "div" and right == 0:
            raise ParameterError("a distribution that can be 0 stands below a fraction line")
        stack.append(OPERATIONS[name](left, right))
    return float(stack.pop())


OPERATIONS: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "min": min,
    "max": max,
}
"""Of programs, on floats and on extended numbers."""


def _range(program: Program, draws: list[Interval]) -> Interval:
    """Interval arithmetic in float64; rounding is monotone, so the bounds hold for what the backends compute."""
    stack: list[Interval] = []
    for name, argument in program:
        if name in ("draw", "const"):
            stack.append(draws[int(argument)] if name == "draw" else (argument, argument))
            continue
        right, left = stack.pop(), stack.pop()
        if name == "div" and right[0] <= 0.0 <= right[1]:
            raise ParameterError(f"a distribution divides by values between {right[0]:g} and {right[1]:g}; 0 is among them")
        corners = [float(OPERATIONS[name](a, b)) for a, b in product(left, right)]
        stack.append((min(corners), max(corners)))
    return stack.pop()


def normal_tails(z: mpf) -> tuple[mpf, mpf]:
    """(P(Z <= z), P(Z > z)) of the standard normal, each with full relative accuracy."""
    from mpmath import mp

    root = mp.sqrt(2)
    return mp.erfc(-z / root) / 2, mp.erfc(z / root) / 2


@lru_cache(maxsize=1 << 14)
def normal_quantile(p: mpf, q: mpf) -> mpf:
    """z with P(Z <= z) = p = 1 - q: Halley's step on a float64 start, in the smaller tail."""
    from mpmath import mp

    if p > q:
        return -normal_quantile(q, p)
    if p == q:
        return mp.mpf(0)
    z = mp.mpf(NormalDist().inv_cdf(max(float(p), 1e-300)))
    for _ in range(2 if p > 1e-300 else 40):
        error = (mp.erfc(-z / mp.sqrt(2)) / 2 - p) * mp.sqrt(2 * mp.pi) * mp.exp(z * z / 2)
        z -= error / (1 + z * error / 2)
    return z
