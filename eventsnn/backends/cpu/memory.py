"""Lists in plain memory that kernels grow themselves: [address, capacity, count] in an int64 row."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

ADDRESS, CAPACITY, COUNT = 0, 1, 2
ROW = 24
"""Bytes of a row."""
OUT_OF_MEMORY = 1

_libc = ctypes.CDLL(None)
_free = _libc.free
_free.argtypes, _free.restype = [ctypes.c_void_p], None
_realloc = _libc.realloc
_realloc.argtypes, _realloc.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_void_p


I64 = ir.IntType(64)


def _reserve(builder: Any, row: Any, n: Any) -> Any:
    """Make room for n more items in the list of a row; whether there is memory."""
    address, capacity, count = (builder.gep(row, [I64(k)]) for k in (ADDRESS, CAPACITY, COUNT))
    need, room = builder.add(builder.load(count), n), builder.load(capacity)
    with builder.if_then(builder.icmp_signed(">", need, room), likely=False):
        twice = builder.add(builder.mul(room, I64(2)), I64(16))
        size = builder.select(builder.icmp_signed(">", need, twice), need, twice)
        realloc = get_or_insert_function(builder.module, ir.FunctionType(I64, [I64, I64]), "realloc")
        found = builder.call(realloc, [builder.load(address), builder.mul(size, I64(8))])
        with builder.if_then(builder.icmp_signed("!=", found, I64(0))):
            builder.store(found, address)
            builder.store(size, capacity)
    return builder.icmp_signed("<=", need, builder.load(capacity))


@intrinsic
def reserve(typingctx: Any, row: Any, n: Any) -> Any:
    """Make room for n more 8-byte items in the list whose row lies at an address; false when there is no memory."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _reserve(builder, builder.inttoptr(args[0], I64.as_pointer()), args[1])

    return types.boolean(types.int64, types.int64), codegen


@intrinsic
def add(typingctx: Any, row: Any, item: Any) -> Any:
    """Append an item to the list whose row lies at an address; false when there is no memory."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = builder.inttoptr(args[0], I64.as_pointer())
        enough = _reserve(builder, row, I64(1))
        with builder.if_then(enough, likely=True):
            address, count = (builder.gep(row, [I64(k)]) for k in (ADDRESS, COUNT))
            n = builder.load(count)
            items = builder.inttoptr(builder.load(address), I64.as_pointer())
            builder.store(args[1], builder.gep(items, [n]))
            builder.store(builder.add(n, I64(1)), count)
        return enough

    return types.boolean(types.int64, types.int64), codegen


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
