"""Arithmetic of the host: the same bits for scalars and arrays on every machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np

Number = Any
"""np.float64 or a float64 array."""

_CONTEXT = Context(prec=40)


def _exp(x: float) -> float:
    if not -746.0 < x < 710.0:
        return math.nan if math.isnan(x) else (math.inf if x > 0 else 0.0)
    return float(_CONTEXT.exp(Decimal(x)))


def _log(x: float) -> float:
    return float(_CONTEXT.ln(Decimal(x))) if x > 0 else (-math.inf if x == 0 else math.nan)


def _exprel(x: float) -> float:
    if abs(x) < 1e-10:
        return 1.0 + 0.5 * x
    if not -746.0 < x < 710.0:
        return math.nan if math.isnan(x) else (math.inf if x > 0 else -1.0 / x)
    with localcontext(_CONTEXT):
        return float((Decimal(x).exp() - 1) / Decimal(x))


def _wave(name: str) -> Callable[[float], float]:
    """sin or cos, rounded once."""

    def wave(x: float) -> float:
        from mpmath import mp

        if not math.isfinite(x):
            return math.nan
        with mp.workprec(100 + max(0, math.frexp(x)[1])):
            return float(getattr(mp, name)(mp.mpf(x)))

    return wave


def _each(function: Callable[[float], float]) -> Callable[[Number], Number]:
    """`function` on a scalar or on each element; decimal rounds correctly, numpy's own exp depends on the processor."""

    def apply(x: Number) -> Number:
        if np.ndim(x) == 0:
            return np.float64(function(float(x)))
        return np.array([function(float(v)) for v in x], dtype=np.float64)

    return apply


exp = _each(_exp)
log = _each(_log)
exprel = _each(_exprel)
sin, cos = _each(_wave("sin")), _each(_wave("cos"))

_NAMES: dict[str, Any] = {
    "__builtins__": {},
    "exp": exp,
    "log": log,
    "exprel": exprel,
    "sin": sin,
    "cos": cos,
    "sqrt": np.sqrt,
    "absolute": np.absolute,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "where": np.where,
}


def evaluate(text: str, environment: Mapping[str, Number]) -> Number:
    """The value of an expression printed by HostPrinter; IEEE infinities and NaN instead of exceptions."""
    with np.errstate(all="ignore"):
        return eval(text, _NAMES, dict(environment))  # the text was printed by the generator, never typed by a user


def exp_and_phi(matrix: Mapping[tuple[int, int], Number], size: int, cyclic: bool) -> tuple[dict[Any, Number], dict[Any, Number]]:
    """exp(A) and phi(A) = (exp(A) - 1)/A of a small sparse matrix whose entries are scalars or arrays.

    Taylor series of phi for A/2**s, then s doublings: phi(2A) = (exp(A) + 1) phi(A)/2, exp(2A) = exp(A)**2. Every element of an
    array takes its own s, so its bits do not depend on its neighbours. No BLAS and no library functions.
    """
    doublings, scale = _doublings(matrix, size, cyclic)
    small = {ij: a * scale for ij, a in matrix.items()}
    phi: dict[Any, Number] = {(i, i): np.float64(1.0) for i in range(size)}
    for k in range(20, 1, -1):  # Horner: phi = 1 + A/2 (1 + A/3 (1 + ...)); |A| <= 1/2 leaves 2**-20/21!
        phi = _add_one({ij: a / float(k) for ij, a in _times(small, phi, size).items()}, size)
    power = _add_one(_times(small, phi, size), size)
    for k in range(int(np.max(doublings))):
        go = doublings > k
        half = {ij: 0.5 * a for ij, a in _times(_add_one(power, size), phi, size).items()}
        phi = {ij: _select(go, a, phi.get(ij, 0.0)) for ij, a in half.items()}
        power = {ij: _select(go, a, power.get(ij, 0.0)) for ij, a in _times(power, power, size).items()}
    return power, phi


def _doublings(matrix: Mapping[tuple[int, int], Number], size: int, cyclic: bool) -> tuple[Number, Number]:
    """Halvings s that bring the norm to <= 1/2, and 2**-s. Without cycles only the diagonal counts: the rest is nilpotent."""
    norm: Number = np.float64(0.0)
    for i in range(size):
        row: Number = np.float64(0.0)
        for j in range(size) if cyclic else (i,):
            row = row + np.absolute(matrix.get((i, j), 0.0))
        norm = np.maximum(norm, row)
    _, exponent = np.frexp(norm)  # norm < 2**exponent
    doublings = np.clip(exponent + 1, 0, 60)
    return doublings, np.ldexp(1.0, -doublings)


def _times(a: Mapping[Any, Number], b: Mapping[Any, Number], size: int) -> dict[Any, Number]:
    out: dict[Any, Number] = {}
    for i in range(size):
        for j in range(size):
            for k in range(size):
                if (i, k) in a and (k, j) in b:
                    term = a[i, k] * b[k, j]
                    out[i, j] = out[i, j] + term if (i, j) in out else term
    return out


def _add_one(a: Mapping[Any, Number], size: int) -> dict[Any, Number]:
    return {**a, **{(i, i): a.get((i, i), 0.0) + np.float64(1.0) for i in range(size)}}


def _select(condition: Number, yes: Number, no: Number) -> Number:
    chosen: Number = np.where(condition, yes, no)
    return chosen[()]
