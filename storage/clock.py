"""From counted steps to milliseconds, without the noise of k * 0.1."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt

DECIMALS = 10
"""Times are decimal numbers of milliseconds with at most this many places."""

BLOCK_MS = 100
"""One entry of a spike index stands for this much biological time, so the index depends on nothing else."""

_EXACT = 2**53


@cache
def step_fraction(dt: float) -> tuple[int, int]:
    """dt in ms as numerator and denominator: 0.1 is 1/10, whatever the nearest float is."""
    fraction = Fraction(repr(float(dt))).limit_denominator(10**9)
    return fraction.numerator, fraction.denominator


def times(ticks: npt.NDArray[np.int64], dt: float) -> npt.NDArray[np.float64]:
    """Milliseconds of steps: round(k dt, 10), the float nearest to the decimal number (0.3, not 0.30000000000000004).

    k p and q are exact in float64 and a division is correctly rounded, so k p / q has no error to round away; only a dt that
    has no short decimal form, such as 1/3, or a product beyond 2**53 is rounded to ten places.
    """
    p, q = step_fraction(dt)
    exact = 10**DECIMALS % q == 0 and (len(ticks) == 0 or int(np.abs(ticks).max()) * p < _EXACT)
    ms = ticks.astype(np.float64) * p / q
    return ms if exact else np.round(ms, DECIMALS)


def blocks_until(step: int, dt: float) -> int:
    """Number of index blocks that end at or before `step`."""
    p, q = step_fraction(dt)
    return step * p // (q * BLOCK_MS)


def block_ends(first: int, stop: int, dt: float) -> npt.NDArray[np.int64]:
    """Last step of each index block in [first, stop); block b covers (100 b, 100 (b + 1)] ms."""
    p, q = step_fraction(dt)
    return (np.arange(first, stop, dtype=np.int64) + 1) * BLOCK_MS * q // p
