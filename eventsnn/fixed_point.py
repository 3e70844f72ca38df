"""Scales of the fixed-point input: weights and accumulators are integers, so no order of addition can change a bit.

A drawn or explicit projection has a grid of its own; the accumulator of a (population, receptor) has a quantum no coarser than
any grid into it. The bound on what can arrive in one step comes from the description alone, never from how it is partitioned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from eventsnn.errors import ParameterError
from eventsnn.spec import Fixed, Given, ProjectionSpec, Value
from eventsnn.values import bounds

CONSTANT_BITS = 16
"""A constant weight is kept to at least this many bits below its own magnitude."""
WIDE_BITS = 40
"""And to this many, where the accumulator is wide and has the room."""
SMALLEST = 1e-200
"""|w|, other than 0."""
INT32_LIMIT = 2**31 - 1
INT64_LIMIT = 2**62


@dataclass(frozen=True)
class Arrival:
    """One thing that enters an accumulator: at most `count` times in a step, each time at most `magnitude`."""

    magnitude: float
    """max |w|, in the receptor's unit."""
    count: float
    grid: int | None
    """Exponent of the grid of drawn and explicit weights; None: one constant weight."""
    explicit: bool = False
    """Weights were given edge by edge."""

    def exponent(self, bits: int) -> int:
        """The coarsest quantum that this allows: its grid, or 2**-bits of a constant."""
        return floor_log2(self.magnitude) - bits if self.grid is None else self.grid

    def units(self, exponent: int) -> int:
        """Bound on what it adds in one step, in integers of 2**exponent."""
        grid = exponent if self.grid is None else self.grid
        stored = round(Fraction(self.magnitude) / Fraction(2) ** grid)
        return max(1, math.ceil(self.count)) * (stored << (grid - exponent))


def quantum(arrivals: Sequence[Arrival], who: str) -> tuple[int, bool]:
    """(exponent, wide) of the accumulator that these arrivals share.

    int32 where the quantum keeps 16 bits of every constant and nothing can overflow; else int64 (always, where weights are given
    edge by edge), whose quantum shrinks to 2**-40 of the constants as far as the bound stays below 2**62.
    """
    arriving = [a for a in arrivals if a.magnitude > 0.0]
    if not arriving:
        return 0, False
    extreme = [a.magnitude for a in arriving if not SMALLEST <= a.magnitude <= 1.0 / SMALLEST]
    if extreme:
        raise ParameterError(
            f"{who}: a weight of {extreme[0]:g} cannot be scaled to an integer;"
            f" |w| is 0, or from {SMALLEST:g} to {1 / SMALLEST:g}"
        )
    coarse = min(a.exponent(CONSTANT_BITS) for a in arriving)
    explicit = any(a.explicit for a in arriving)
    if not explicit and _bound(arriving, coarse) < INT32_LIMIT:
        return coarse, False
    fine = coarse if explicit else min(coarse, *(a.exponent(WIDE_BITS) for a in arriving))
    for exponent in range(fine, coarse + 1):
        if _bound(arriving, exponent) < INT64_LIMIT:
            return exponent, True
    magnitudes = [a.magnitude for a in arriving]
    raise ParameterError(
        f"{who}: inputs with weights from {min(magnitudes):g} to {max(magnitudes):g} cannot share one 64-bit accumulator "
        f"(up to {float(sum(a.magnitude * a.count for a in arriving)):g} in one step); bring the weights closer together"
    )


def grid(weight: Value) -> tuple[int, int]:
    """(bits, exponent) of a projection's own weights; (0, 0) for a constant, which takes the quantum of its receptor."""
    match weight:
        case Fixed():
            return 0, 0
        case Given():
            return 32, _grid_exponent(magnitude(weight), 2**31 - 1)
        case _:
            return 16, _grid_exponent(magnitude(weight), 2**15 - 1)


def magnitude(value: Value) -> float:
    """max |value|; 0 of no elements."""
    low, high = bounds(value)
    return max(abs(low), abs(high)) if low <= high else 0.0


def floor_log2(x: float) -> int:
    """floor(log2(x)) of x > 0, exactly."""
    return math.frexp(x)[1] - 1


def _grid_exponent(largest: float, limit: int) -> int:
    """ceil(log2(largest / limit)), exactly: the finest power of two on which `largest` stays within `limit`."""
    if largest == 0.0:
        return 0
    mantissa, exponent = math.frexp(largest / limit)
    return exponent - 1 if mantissa == 0.5 else exponent


def _bound(arrivals: Sequence[Arrival], exponent: int) -> int:
    return sum(a.units(exponent) for a in arrivals)


def rounding(weight: Value, exponent: int) -> float:
    """Largest error of a weight on the grid 2**exponent, relative to max |w|; of a draw, half the quantum."""
    largest = magnitude(weight)
    if largest == 0.0:
        return 0.0
    step = math.ldexp(1.0, exponent)
    match weight:
        case Fixed():
            return abs(round(weight.value / step) * step - weight.value) / largest
        case Given():
            return float(np.abs(np.rint(weight.values / step) * step - weight.values).max()) / largest
        case _:
            return 0.5 * step / largest


Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
WIDEST = 2.0**31 - 1
"""Largest stored weight of 32 bits."""
HEADROOM = 4
"""Bits that weights which are set later may grow by."""


def stored_exponent(p: ProjectionSpec, overridden: bool) -> int:
    """Exponent of the stored integers of a projection.

    Weights that were set take 32 bits each, with HEADROOM above the described ones.
    """
    if not overridden or p.bits:
        return p.exponent
    low, high = bounds(p.weight)
    most = max(abs(low), abs(high))
    return max(p.exponent, math.frexp(most)[1] + HEADROOM - 31) if most else p.exponent


def check_weights(p: ProjectionSpec, posts: Ints, values: Floats, under_way: Floats, who: str) -> None:
    """ParameterError where weights change the sign that chose their receptor, or exceed what the input was scaled for.

    Spikes sent with old weights (at most `under_way` of each synapse) may arrive in one step with spikes that carry the new ones.
    """
    low, high = bounds(p.weight)
    chosen = p.by_sign and p.receptor_positive == p.receptor_negative
    if (p.magnitude and not p.by_sign and (values < 0.0).any()) or (
        chosen and ((low >= 0.0 and (values < 0.0).any()) or (low < 0.0 and (values > 0.0).any()))
    ):
        sign = "negative" if low >= 0.0 else "positive"
        raise ParameterError(f"{who}: no weight may become {sign}; their receptor was chosen by their sign")
    unit = 2.0 ** stored_exponent(p, True)
    largest, room = float(np.abs(values).max(initial=0.0)), (WIDEST - 1) * unit
    if largest > room:
        raise ParameterError(f"{who}: the largest weight is {largest:g}; at most {room:g} can be stored")
    most = p.per_target * float(np.rint(max(abs(low), abs(high)) / unit)) * unit
    total = float(np.bincount(posts, np.rint(np.maximum(np.abs(values), under_way) / unit) * unit).max()) if len(posts) else 0.0
    if total > most:
        old = ", together with spikes that are under way" if (np.abs(values) < under_way).any() else ""
        raise ParameterError(
            f"{who}: |w| would sum to {total:g} in one target{old}; the integer input was scaled for {most:g}."
            " Describe the projection with weights as large as they will become"
        )
