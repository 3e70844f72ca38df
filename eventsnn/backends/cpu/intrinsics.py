"""What Numba has no word for on the CPU: memory by address, atomics, prefetch, calls by address, arithmetic as written, libc.

An intrinsic costs next to nothing when a kernel is compiled, a function of its own some tens of milliseconds: small things that
many kernels use are intrinsics.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core.cgutils import unpack_tuple
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

OP_SIGNATURE = types.int64(types.int64, types.int64)
"""Every compiled operation: (address of its int64 arguments, step or address of the producers) -> 0, or an error code.

What is no part of a program may take and return other numbers.
"""

sched_yield = types.ExternalFunction("sched_yield", types.int32())


helper = partial(njit, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions that only kernels call: no way in from Python or C is compiled."""


@intrinsic(prefer_literal=True)
def words(typingctx: Any, address: Any, n: Any) -> Any:
    """The n int64 at an address, as a tuple."""
    row = types.UniTuple(types.int64, n.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        found = [builder.load(builder.gep(first, [ir.IntType(64)(k)])) for k in range(row.count)]
        return context.make_tuple(builder, row, found)

    return row(types.int64, n), codegen


@intrinsic
def item(typingctx: Any, address: Any, index: Any, dtype: Any) -> Any:
    """Number `index` of the memory at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.inttoptr(args[0], context.get_data_type(dtype.dtype).as_pointer())
        return builder.load(builder.gep(first, [args[1]]))

    return dtype.dtype(types.int64, types.int64, dtype), codegen


@intrinsic
def view(typingctx: Any, address: Any, shape: Any, dtype: Any) -> Any:
    """The memory at an address as a C-ordered array; numba.carray does the same and takes several times as long to compile."""
    n = len(shape) if isinstance(shape, types.BaseTuple) else 1
    array = types.Array(dtype.dtype, n, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        made = context.make_array(array)(context, builder)
        kinds = list(signature.args[1]) if n > 1 else [signature.args[1]]
        sizes = unpack_tuple(builder, args[1]) if n > 1 else [args[1]]
        extents = [context.cast(builder, x, kind, types.intp) for x, kind in zip(sizes, kinds, strict=True)]
        item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        strides = [item]
        for extent in reversed(extents[1:]):
            strides.insert(0, builder.mul(strides[0], extent))
        data = builder.inttoptr(args[0], made.data.type)
        populate_array(made, data=data, shape=extents, strides=strides, itemsize=item, meminfo=None)
        return made._getvalue()

    return array(types.int64, shape, dtype), codegen


@intrinsic
def call(typingctx: Any, function: Any, arguments: Any, x: Any) -> Any:
    """Call the operation at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        kind = ir.FunctionType(i64, [i64, i64])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.int64(types.int64, types.int64, types.int64), codegen


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    real = types.float32 if all(t == types.float32 for t in (a, b, c)) else types.float64

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return real(real, real, real), codegen


@intrinsic
def mul(typingctx: Any, a: Any, b: Any) -> Any:
    """a * b, which is never contracted into a fused operation."""
    real = types.float32 if a == b == types.float32 else types.float64

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*args)

    return real(real, real), codegen


@intrinsic
def bits(typingctx: Any, x: Any) -> Any:
    """The bits of a float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Where an array begins."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(context.make_array(signature.args[0])(context, builder, args[0]).data, ir.IntType(64))

    return types.int64(array), codegen


@intrinsic
def clamp(typingctx: Any, x: Any, low: Any, high: Any) -> Any:
    """x within [low, high], as int64 or float64; without a branch."""
    number = types.int64 if isinstance(x, types.Integer) else types.float64

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, low, high = args
        compare = builder.icmp_signed if number == types.int64 else builder.fcmp_ordered
        x = builder.select(compare("<", x, low), low, x)
        return builder.select(compare(">", x, high), high, x)

    return number(number, number, number), codegen


@intrinsic
def atomic_add(typingctx: Any, address: Any, value: Any) -> Any:
    """Add to the int64 at an address, sequentially consistent; returns the value before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(args[0], ir.IntType(64).as_pointer()), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    """Ask for array[index] to be brought into every cache."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        at = context.cast(builder, args[1], signature.args[1], types.intp)
        byte = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        name = "llvm.prefetch.p0"
        known = builder.module.globals.get(name)
        function = known or ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), name)
        builder.call(function, [builder.bitcast(builder.gep(data, [at]), byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, index), codegen
