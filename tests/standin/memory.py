"""What a launch may touch, and who touched it: checks of every access of memory.

compute-sanitizer's memcheck finds what lies outside; its racecheck looks at shared memory only. Here two threads of one launch
may meet in an element of an array only if both change it atomically, or both read it. Kernels get an address of its own for each
array, far from all others, so that no access beyond one can fall into another.
"""

from __future__ import annotations

import numpy as np
from numba import carray, cfunc

from standin.translate import ATOMIC, READ

RANGES, LAUNCH, LAST, KIND, ADDRESS, USE, WHO, OTHER, TICKET, GRID, TAKEN, OWNER, HEAD = range(13)
"""Fields of the context; ranges follow. KIND: what went wrong; WHO and OTHER: threads. TICKET: address that every block adds to
when it is done, GRID: blocks, TAKEN: those that have, OWNER: the thread that was the last and comes after all others."""
BEGIN, END, REAL, ORIGIN, ITEM, SHADOW, FIELDS = range(7)
"""Fields of a range: its bytes as kernels address them, where they lie; of the array that owns them, the first byte, bytes of an
element, and its place in the shadow."""
OUTSIDE, RACE, CROOKED = 1, 2, 3
MOST = 200
"""Ranges of one launch."""
THREADS = 20
"""Bits of the number of a thread."""


@cfunc("int64(CPointer(int64), CPointer(int64), int64, int64, int64, int64)", cache=False)
def check(context, shadow, address, size, use, who):  # type: ignore[no-untyped-def]
    """Where these bytes lie, if thread `who` may use them; else 0, and the context says why.

    The shadow holds two words an element: the last write, as launch, thread, whether more than one has written, and whether
    atomically; and the last read, as launch, thread, and whether more than one has read.
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
    real = address - c[r + BEGIN] + c[r + REAL]
    if address & (size - 1) or size > c[r + ITEM]:
        c[KIND], c[ADDRESS], c[USE], c[WHO] = CROOKED, address, use, who
        return 0
    at = c[r + SHADOW] + 2 * ((real - c[r + ORIGIN]) // c[r + ITEM])
    s = carray(shadow, at + 2)
    launch = c[LAUNCH] << (THREADS + 2)
    wrote, read = s[at], s[at + 1]
    other = np.int64(-1)
    shared = wrote >= launch and ((wrote - launch) >> 2 != who or wrote & 2 != 0)
    if shared and (use != ATOMIC or wrote & 1 == 0):
        other = (wrote - launch) >> 2
    if use != READ and read >= launch and ((read - launch) >> 2 != who or read & 1 != 0):
        other = (read - launch) >> 2
    if address == c[TICKET] and use == ATOMIC:
        c[TAKEN] += 1
        if c[TAKEN] == c[GRID]:
            c[OWNER] = who
    if other >= 0 and who != c[OWNER]:
        c[KIND], c[ADDRESS], c[USE], c[WHO], c[OTHER] = RACE, address, use, who, other
        return 0
    if use == READ:
        again = read >= launch and (read & 1 != 0 or (read - launch) >> 2 != who)
        s[at + 1] = launch + 4 * who + np.int64(again)
    else:
        s[at] = launch + 4 * who + 2 * np.int64(shared and use == ATOMIC) + np.int64(use == ATOMIC)
    return real
