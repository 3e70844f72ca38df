"""What a launch may touch, and who touched it: checks of every access of memory.

compute-sanitizer's memcheck finds what lies outside; its racecheck looks at shared memory only. Here two threads of one launch
may meet in an element of an array only if both change it atomically, or both read it.
"""

from __future__ import annotations

import numpy as np
from numba import carray, cfunc

from standin.translate import ATOMIC, READ

RANGES, LAUNCH, LAST, KIND, ADDRESS, USE, WHO, OTHER, HEAD = range(9)
"""Fields of the context; ranges follow. KIND: what went wrong; WHO and OTHER: threads."""
BEGIN, END, ORIGIN, ITEM, SHADOW, WATCHED, FIELDS = range(7)
"""Fields of a range: its bytes; of the array that owns them, the first byte, bytes of an element, and its place in the shadow."""
OUTSIDE, RACE = 1, 2
MOST = 200
"""Ranges of one launch."""
THREADS = 20
"""Bits of the number of a thread."""


@cfunc("int64(CPointer(int64), CPointer(int64), int64, int64, int64, int64)", cache=False)
def check(context, shadow, address, size, use, who):  # type: ignore[no-untyped-def]
    """1 if thread `who` may use these bytes; else 0, and the context says why.

    The shadow holds two words an element: the last write, and the last read, as launch, thread, and whether it was atomic, or by
    more than one thread.
    """
    c = carray(context, HEAD + MOST * FIELDS)
    r = c[LAST]
    if address < c[r + BEGIN] or address + size > c[r + END]:
        found = False
        for k in range(c[RANGES]):
            r = HEAD + k * FIELDS
            if address >= c[r + BEGIN] and address + size <= c[r + END]:
                found = True
                break
        if not found:
            c[KIND], c[ADDRESS], c[USE], c[WHO] = OUTSIDE, address, use, who
            return 0
        c[LAST] = r
    if c[r + WATCHED] == 0:
        return 1
    at = c[r + SHADOW] + 2 * ((address - c[r + ORIGIN]) // c[r + ITEM])
    s = carray(shadow, at + 2)
    launch = c[LAUNCH] << (THREADS + 1)
    wrote, read = s[at], s[at + 1]
    other = np.int64(-1)
    if wrote >= launch and (wrote - launch) >> 1 != who and (use != ATOMIC or wrote & 1 == 0):
        other = (wrote - launch) >> 1
    if use != READ and read >= launch and ((read - launch) >> 1 != who or read & 1 != 0):
        other = (read - launch) >> 1
    if other >= 0:
        c[KIND], c[ADDRESS], c[USE], c[WHO], c[OTHER] = RACE, address, use, who, other
        return 0
    if use == READ:
        again = read >= launch and (read & 1 != 0 or (read - launch) >> 1 != who)
        s[at + 1] = launch + 2 * who + np.int64(again)
    else:
        s[at] = launch + 2 * who + np.int64(use == ATOMIC)
    return 1
