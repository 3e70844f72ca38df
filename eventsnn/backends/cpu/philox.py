"""Counter-based random words: Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405), and what is drawn from them.

A word is a function of (key, counter) only, so results know nothing of threads, parts or order. Integer and elementwise IEEE
operations only: the bits are the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from eventsnn.backends.cpu.intrinsics import bits, helper, item
from eventsnn.spec import CELLS, SIDE

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
STEPS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
CELL_BITS = CELLS.bit_length() - 1
SHIFT = 52 - CELL_BITS
FIRST = 1022 << CELL_BITS
FRACTION = (1 << SHIFT) - 1
UNIT = 1.0 / (1 << SHIFT)


I32, I64 = ir.IntType(32), ir.IntType(64)


@intrinsic
def philox(typingctx: Any, c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Four random uint32 of a counter of four and a key of two uint32."""
    four = types.UniTuple(types.uint32, 4)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, k = args[:4], args[4:]
        for _ in range(ROUNDS):
            products = [builder.mul(builder.zext(c[2 * j], I64), I64(MULTIPLIERS[j])) for j in range(2)]
            high = [builder.trunc(builder.lshr(p, I64(32)), I32) for p in products]
            low = [builder.trunc(p, I32) for p in products]
            mixed = [builder.xor(builder.xor(high[1 - j], c[2 * j + 1]), k[j]) for j in range(2)]
            c = [mixed[0], low[1], mixed[1], low[0]]
            k = [builder.add(k[j], I32(STEPS[j])) for j in range(2)]
        return context.make_tuple(builder, four, c)

    return four(*[types.uint32] * 6), codegen


@intrinsic
def below(typingctx: Any, word: Any, n: Any) -> Any:
    """A uniform integer in [0, n) from one word."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.lshr(builder.mul(builder.zext(args[0], I64), args[1]), I64(32))

    return types.int64(types.uint32, types.int64), codegen


@helper(forceinline=True)
def quantile(table, word):
    """Look a word up in the quantile table of shape (2, SIDE) at an address (layout: eventsnn.spec.Drawn)."""
    side = word >> np.uint32(31)
    mirrored = word ^ (np.uint32(0xFFFFFFFF) * side)
    place = bits(np.float64(mirrored) + 0.5)
    k = (place >> SHIFT) - FIRST + SIDE * side
    low = item(table, k, np.float64)
    return low + (item(table, k + 1, np.float64) - low) * (np.float64(place & FRACTION) * UNIT)
