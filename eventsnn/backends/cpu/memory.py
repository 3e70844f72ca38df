"""Lists in plain memory that kernels grow themselves: [address, capacity, count] in an int64 row."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt
from numba import njit

from eventsnn.backends.cpu.intrinsics import realloc, view

ADDRESS, CAPACITY, COUNT = 0, 1, 2
OUT_OF_MEMORY = 1

_libc = ctypes.CDLL(None)
_free = _libc.free
_free.argtypes, _free.restype = [ctypes.c_void_p], None
_realloc = _libc.realloc
_realloc.argtypes, _realloc.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_void_p


@njit(nogil=True)
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
    return view(row[ADDRESS], row[CAPACITY], np.uint64)


@njit(nogil=True)
def add(row, item):
    """Append an item; false when there is no memory."""
    n = row[COUNT]
    if n == row[CAPACITY] and not reserve(row, 1):
        return False
    items(row)[n] = item
    row[COUNT] = n + 1
    return True


def release(rows: npt.NDArray[np.int64]) -> None:
    """Free the lists of an (n, 3) array."""
    for row in rows:
        if row[ADDRESS]:
            _free(int(row[ADDRESS]))
        row[:] = 0


def contents(row: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A copy of a list."""
    n = int(row[COUNT])
    if n == 0:
        return np.empty(0, np.uint64)
    return np.frombuffer(ctypes.string_at(int(row[ADDRESS]), 8 * n), np.uint64)


def take(row: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Copy a list out and empty it."""
    out = contents(row)
    row[COUNT] = 0
    return out


def append(row: npt.NDArray[np.int64], values: npt.NDArray[np.uint64]) -> None:
    """Append to a list from Python."""
    n, count = len(values), int(row[COUNT])
    if count + n > row[CAPACITY]:
        size = max(count + n, 2 * int(row[CAPACITY]), 16)
        address = _realloc(int(row[ADDRESS]) or None, 8 * size)
        if not address:
            raise MemoryError(f"no memory for {size} spikes")
        row[ADDRESS], row[CAPACITY] = address, size
    if n:
        ctypes.memmove(int(row[ADDRESS]) + 8 * count, np.ascontiguousarray(values).ctypes.data, 8 * n)
    row[COUNT] = count + n
