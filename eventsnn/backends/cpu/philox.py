"""Counter-based random words: Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405), and what is drawn from them.

A word is a function of (key, counter) only, so results know nothing of threads, parts or order. Integer and elementwise IEEE
operations only: the bits are the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from eventsnn.spec import CELLS

M0 = np.uint64(0xD2511F53)
M1 = np.uint64(0xCD9E8D57)
W0 = np.uint32(0x9E3779B9)
W1 = np.uint32(0xBB67AE85)
S32 = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)
CELL_BITS = CELLS.bit_length() - 1
SHIFT = 52 - CELL_BITS
FIRST = 1022 << CELL_BITS
FRACTION = (1 << SHIFT) - 1
UNIT = 1.0 / (1 << SHIFT)


@njit(nogil=True, forceinline=True)
def philox(c0, c1, c2, c3, k0, k1):
    """Four random uint32 of a counter of four and a key of two uint32."""
    for _ in range(10):
        p0 = np.uint64(c0) * M0
        p1 = np.uint64(c2) * M1
        n0 = np.uint32(p1 >> S32) ^ c1 ^ k0
        n2 = np.uint32(p0 >> S32) ^ c3 ^ k1
        c1 = np.uint32(p1 & LOW)
        c3 = np.uint32(p0 & LOW)
        c0 = np.uint32(n0)
        c2 = np.uint32(n2)
        k0 = np.uint32(k0 + W0)
        k1 = np.uint32(k1 + W1)
    return c0, c1, c2, c3


@njit(nogil=True, forceinline=True)
def below(word, n):
    """A uniform integer in [0, n) from one word."""
    return np.int64((np.uint64(word) * np.uint64(n)) >> S32)


@njit(nogil=True, forceinline=True)
def quantile(table, word):
    """Look a word up in a quantile table of shape (2, SIDE) (layout: eventsnn.spec.Drawn)."""
    side = word >> np.uint32(31)
    v = word ^ (np.uint32(0xFFFFFFFF) * side)
    bits = np.float64(np.float64(v) + 0.5).view(np.int64)
    k = (bits >> SHIFT) - FIRST
    f = np.float64(bits & FRACTION) * UNIT
    low = table[side, k]
    return low + (table[side, k + 1] - low) * f
