"""Functions that every backend compiles from this one source: random words, and what is drawn from them.

Plain Python here; a backend makes them its own with `bind`, and says what the words `item` (element of an array), `bits` (of a
float), `clamp`, `nearest` (integer, ties to even) and `mul` (a product that is never fused into a sum) mean to it. Integer and
elementwise IEEE operations only: the bits are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

import numpy as np

from eventsnn.spec import CELLS, SIDE

M0 = np.uint64(0xD2511F53)
M1 = np.uint64(0xCD9E8D57)
W0 = np.uint64(0x9E3779B9)
W1 = np.uint64(0xBB67AE85)
S32 = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)
CELL_BITS = CELLS.bit_length() - 1
SHIFT = np.int64(52 - CELL_BITS)
FIRST = np.int64(1022 << CELL_BITS)
FRACTION = np.int64((1 << (52 - CELL_BITS)) - 1)
UNIT = 1.0 / (1 << (52 - CELL_BITS))
LARGEST_UNIFORM = {"float64": 1.0 - 2.0**-33, "float32": 1.0 - 2.0**-24}
"""By precision: a draw that would be rounded to 1 becomes this."""


def philox(c0, c1, c2, c3, k0, k1):
    """Four random uint32 of a counter of four and a key of two uint32: Philox4x32-10.

    Salmon et al. 2011, doi:10.1145/2063384.2063405.
    """
    for _ in range(10):
        p0 = np.uint64(c0) * M0
        p1 = np.uint64(c2) * M1
        n0 = np.uint32(p1 >> S32) ^ c1 ^ k0
        n2 = np.uint32(p0 >> S32) ^ c3 ^ k1
        c1 = np.uint32(p1 & LOW)
        c3 = np.uint32(p0 & LOW)
        c0 = np.uint32(n0)
        c2 = np.uint32(n2)
        k0 = np.uint32((np.uint64(k0) + W0) & LOW)
        k1 = np.uint32((np.uint64(k1) + W1) & LOW)
    return c0, c1, c2, c3


def below(word, n):
    """A uniform integer in [0, n) from one word."""
    return np.int64((np.uint64(word) * np.uint64(n)) >> S32)


def quantile(table, word):
    """Look a word up in a quantile table, its two rows one after the other (layout: eventsnn.spec.Drawn)."""
    side = word >> np.uint32(31)
    mirrored = word ^ (np.uint32(0xFFFFFFFF) * side)
    place = bits(np.float64(mirrored) + 0.5)
    k = (place >> SHIFT) - FIRST + SIDE * np.int64(side)
    low = item(table, k, np.float64)
    part = mul(np.float64(place & FRACTION), UNIT)
    return low + mul(item(table, k + 1, np.float64) - low, part)


def delay_steps(value, longest):
    """Steps of a drawn delay: the nearest, ties upwards, from 1 to `longest`."""
    return clamp(np.int64(value + 0.5), 1, longest)


def stored_weight(value, scale, limit):
    """The integer that stands for a weight."""
    return nearest(clamp(mul(value, scale), -limit, limit))


def threshold_count(word, table, first, size):
    """Events of a Poisson draw: how many of `size` ascending thresholds, from `first`, lie below the word."""
    n = 0
    while n < size and word > table[first + n]:
        n += 1
    return n


def search_count(word, mean, zero):
    """Events of a Poisson draw by sequential search; `zero` is exp(-mean)."""
    u = mul(np.float64(word) + 0.5, 1.0 / 4294967296.0)
    p = zero
    total = p
    n = 0
    while u >= total and n < 64:
        n += 1
        p = mul(p, mean) / np.float64(n)
        total = total + p
    return n


def drawn_word(neuron, step, ordinal, k0, k1):
    """The word of number `ordinal` that a neuron draws in a step: spec.KernelSpec.draws."""
    a, b, c, d = philox(neuron, np.uint32(step >> 2), np.uint32(ordinal), np.uint32(1), k0, k1)
    which = step & 3
    return a if which == 0 else (b if which == 1 else (c if which == 2 else d))


def uniform(word):
    """A number in (0, 1)."""
    return mul(np.float64(word) + 0.5, 1.0 / 4294967296.0)


DRAWS = (philox, below, quantile, delay_steps, stored_weight, threshold_count, search_count)
STEP_DRAWS = (philox, quantile, drawn_word, uniform)
"""What a step of neurons draws."""


def bind(
    functions: Iterable[Callable[..., Any]], decorate: Callable[[Callable[..., Any]], Any], names: dict[str, Any], file: str = ""
) -> None:
    """Put each function, decorated, into `names`, which becomes the globals of all of them.

    Names that are not there yet come from the function's own module; a name that is there is kept. `file`: where Numba shall take
    the text to come from, beside which it keeps what it compiled.
    """
    for f in functions:
        assert isinstance(f, FunctionType)
        for name, value in f.__globals__.items():
            taken = names.setdefault(name, value)
            if isinstance(value, int) and taken != value and name in f.__code__.co_names:
                raise NameError(f"{f.__name__} takes {name} to be {value}, and a function beside it {taken}; rename one of them")
        code = f.__code__.replace(co_filename=file) if file else f.__code__
        mine = FunctionType(code, names, f.__name__, f.__defaults__)
        mine.__module__, mine.__qualname__, mine.__doc__ = f.__module__, f.__qualname__, f.__doc__
        names[f.__name__] = decorate(mine)
