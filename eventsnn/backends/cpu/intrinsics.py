"""What Numba has no word for on the CPU: memory by address, atomics, prefetch, calls by address, fused multiply-add, libc."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import unpack_tuple
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

OP_SIGNATURE = types.int64(types.int64, types.int64)
"""Every compiled operation: (address of its int64 arguments, step or address of the producers) -> 0, or an error code."""

realloc = types.ExternalFunction("realloc", types.int64(types.int64, types.uint64))
sched_yield = types.ExternalFunction("sched_yield", types.int32())


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
def atomic_add(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index] += value, sequentially consistent; returns the value before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        at = context.cast(builder, args[1], signature.args[1], types.intp)
        plus = context.cast(builder, args[2], signature.args[2], signature.args[0].dtype)
        return builder.atomic_rmw("add", builder.gep(data, [at]), plus, "seq_cst")

    return array.dtype(array, index, value), codegen


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
