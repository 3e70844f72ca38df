"""Lists in plain memory that kernels grow themselves: [address, capacity, count] in an int64 row."""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from eventsnn.backends.cpu.intrinsics import free, pointer, realloc

ADDRESS, CAPACITY, COUNT = 0, 1, 2
OUT_OF_MEMORY = 1


@njit(nogil=True, forceinline=True)
def reserve(row, n):
    """Make room for n more 8-byte items; false when there is no memory."""
    need = row[COUNT] + n
    if need <= row[CAPACITY]:
        return True
    size = max(need, 2 * row[CAPACITY], 16)
    address = realloc(row[ADDRESS], np.uint64(8 * size))
    if address == 0:
        return False
    row[ADDRESS] = address
    row[CAPACITY] = size
    return True


@njit(nogil=True, forceinline=True)
def items(row):
    """The list's memory as uint64, up to its capacity."""
    return carray(pointer(row[ADDRESS], np.uint64), row[CAPACITY])


@njit(nogil=True, cache=True)
def release(rows):
    """Free the lists of an (n, 3) array."""
    for i in range(rows.shape[0]):
        if rows[i, ADDRESS] != 0:
            free(rows[i, ADDRESS])
        rows[i, ADDRESS] = 0
        rows[i, CAPACITY] = 0
        rows[i, COUNT] = 0


@njit(nogil=True, cache=True)
def take(row):
    """Copy a list out and empty it."""
    n = row[COUNT]
    out = np.empty(n, np.uint64)
    if n:
        out[:] = items(row)[:n]
    row[COUNT] = 0
    return out
