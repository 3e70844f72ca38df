"""The stand-in for a GPU: its checks find what they are for, and instructions mean what the PTX ISA says."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numba import cuda
from standin.arrays import Array, Module
from standin.program import Fault, Program, Span

pytestmark = pytest.mark.skipif(find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
NAN, INF = math.nan, math.inf
SMALL = 2.0**-30
TYPES = {"u64": np.uint64, "s64": np.int64, "u32": np.uint32, "s32": np.int32, "f64": np.float64, "f32": np.float32}
KERNEL = """
.version 9.0
.target sm_90
.visible .entry k(.param .u64 out, {given})
{{
.reg .pred %p<4>; .reg .b16 %rs<4>; .reg .b32 %r<8>; .reg .b64 %rd<8>; .reg .f32 %f<8>; .reg .f64 %fd<8>;
ld.param.u64 %rd7, [out];
{load}
{line};
st.global.{kind} [%rd7], {result};
ret;
}}
"""


def evaluate(line: str, kind: str, result: str, *operands: tuple[str, str, Any]) -> Any:
    """What an instruction leaves in a register, given (register, type, value)."""
    text = KERNEL.format(
        given=", ".join(f".param .{t} a{k}" for k, (_, t, _) in enumerate(operands)),
        load="\n".join(f"ld.param.{t} {r}, [a{k}];" for k, (r, t, _) in enumerate(operands)),
        line=line,
        kind=kind,
        result=result,
    )
    out = np.zeros(1, TYPES[kind])
    words = [out.ctypes.data]
    for _, t, value in operands:
        words.append(int(np.array(value, TYPES[t]).view(f"u{TYPES[t]().itemsize}")))
    span = Span("out", out.ctypes.data, out.nbytes, (out.ctypes.data, out.itemsize, out.size))
    Program(text).launch("k", np.array(words, np.uint64), [span], 1, 1, 0)
    return out[0]


@pytest.mark.parametrize(
    ("name", "a", "b", "expected"),
    [
        ("add.s64", 2**63 - 1, 1, -(2**63)),
        ("sub.s32", -(2**31), 1, 2**31 - 1),
        ("mul.lo.s64", 2**62 + 1, 4, 4),
        ("mul.lo.s32", 65537, 65537, 131073),
        ("mul.hi.s64", -3, 2**62, -1),
        ("mul.hi.u32", 2**32 - 1, 2**32 - 1, 2**32 - 2),
        ("div.s64", -7, 2, -3),
        ("rem.s64", -7, 2, -1),
        ("div.u32", 2**32 - 1, 2, 2**31 - 1),
        ("rem.u32", 2**32 - 1, 10, 5),
        ("min.s64", -1, 1, -1),
        ("max.s32", -1, 1, 1),
        ("max.u64", 2**64 - 1, 1, 2**64 - 1),
        ("min.f64", -0.0, 0.0, -0.0),
        ("max.f64", -0.0, 0.0, 0.0),
        ("min.f64", NAN, 3.0, 3.0),
        ("max.f32", 2.0, NAN, 2.0),
        ("min.f64", 0.0, 5.0, 0.0),
        ("max.f64", -0.0, -5.0, -0.0),
        ("div.rn.f64", 1.0, 3.0, 1.0 / 3.0),
        ("div.rn.f64", 1.0, 0.0, INF),
        ("add.f32", 1.0, 2.0**-24, 1.0),
        ("mul.rn.f32", np.float32(0.1), np.float32(3.0), np.float32(0.1) * np.float32(3.0)),
        ("sub.f64", 1.0, 2.0**-53, 1.0 - 2.0**-53),
    ],
)
def test_arithmetic(name: str, a: Any, b: Any, expected: Any) -> None:
    kind = name.rpartition(".")[2]
    r = {"f64": "%fd", "f32": "%f"}.get(kind, "%rd" if "64" in kind else "%r")
    found = evaluate(f"{name} {r}0, {r}1, {r}2", kind, f"{r}0", (f"{r}1", kind, a), (f"{r}2", kind, b))
    assert found == expected
    assert np.signbit(found) == np.signbit(expected)


@pytest.mark.parametrize(
    ("name", "value", "amount", "expected"),
    [
        ("shl.b64", 1, 63, 2**63),
        ("shl.b64", 1, 64, 0),
        ("shl.b64", 3, 2**32 - 1, 0),
        ("shr.u64", 2**63, 63, 1),
        ("shr.u64", 2**63, 64, 0),
        ("shr.s64", 2**64 - 8, 1, 2**64 - 4),
        ("shr.s64", 2**64 - 8, 1000, 2**64 - 1),
    ],
)
def test_shifts_beyond_the_width(name: str, value: int, amount: int, expected: int) -> None:
    found = evaluate(f"{name} %rd0, %rd1, %r1", "u64", "%rd0", ("%rd1", "u64", value), ("%r1", "u32", amount))
    assert int(found) == expected
    narrow = evaluate("shl.b32 %r0, %r2, 32", "u32", "%r0", ("%r2", "u32", 5))
    assert int(narrow) == 0


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("cvt.u32.u64 %r0, %rd1", 2**40 + 7, np.uint32(7)),
        ("cvt.s64.s32 %rd0, %r1", -5, np.int64(-5)),
        ("cvt.u64.u32 %rd0, %r1", 2**32 - 5, np.uint64(2**32 - 5)),
        ("cvt.rn.f64.s64 %fd0, %rd1", 2**53 + 1, np.float64(2.0**53)),
        ("cvt.rn.f64.u64 %fd0, %rd1", 2**64 - 1, np.float64(2.0**64)),
        ("cvt.rn.f32.s32 %f0, %r1", 2**24 + 1, np.float32(2.0**24)),
        ("cvt.rni.s64.f64 %rd0, %fd1", 2.5, np.int64(2)),
        ("cvt.rni.s64.f64 %rd0, %fd1", -3.5, np.int64(-4)),
        ("cvt.rzi.s64.f64 %rd0, %fd1", -2.7, np.int64(-2)),
        ("cvt.rzi.s64.f64 %rd0, %fd1", 1e300, np.int64(2**63 - 1)),
        ("cvt.rzi.s64.f64 %rd0, %fd1", NAN, np.int64(-(2**63))),
        ("cvt.rn.f32.f64 %f0, %fd1", 1.0 + 2.0**-24, np.float32(1.0)),
        ("cvt.f64.f32 %fd0, %f1", 0.5, np.float64(0.5)),
        ("abs.f64 %fd0, %fd1", -2.5, np.float64(2.5)),
        ("neg.f64 %fd0, %fd1", 2.5, np.float64(-2.5)),
        ("neg.s64 %rd0, %rd1", 2, np.int64(-2)),
        ("sqrt.rn.f64 %fd0, %fd1", 2.0, np.float64(math.sqrt(2.0))),
        ("rcp.rn.f64 %fd0, %fd1", 3.0, np.float64(1.0 / 3.0)),
        ("not.b64 %rd0, %rd1", 0, np.int64(-1)),
        ("mov.b64 %rd0, %fd1", 1.0, np.int64(0x3FF0000000000000)),
        ("mov.f64 %fd0, 0d3FF8000000000000", 0.0, np.float64(1.5)),
        ("mov.f32 %f0, 0f3FC00000", 0.0, np.float32(1.5)),
    ],
)
def test_conversions(name: str, value: Any, expected: Any) -> None:
    words = name.replace(",", "").split()
    source = words[2] if words[2].startswith("%") else "%fd1"
    of = {
        "%rd1": "u64" if ".u64" in words[0] else "s64",
        "%r1": "u32" if ".u32" in words[0] else "s32",
        "%fd1": "f64",
        "%f1": "f32",
    }
    kind = next(k for k, t in TYPES.items() if t is type(expected))
    assert evaluate(name, kind, words[1], (source, of[source], value)) == expected


def test_a_fused_product_is_rounded_once() -> None:
    given = [("%fd1", "f64", 1.0 + SMALL), ("%fd2", "f64", 1.0 - SMALL), ("%fd3", "f64", -1.0)]
    assert evaluate("fma.rn.f64 %fd0, %fd1, %fd2, %fd3", "f64", "%fd0", *given) == -(SMALL**2)
    assert evaluate("mul.rn.f64 %fd0, %fd1, %fd2", "f64", "%fd0", *given[:2]) == 1.0


@pytest.mark.parametrize(("wide", "kind", "a"), [("mul.wide.u32", "u64", 2**32 - 1), ("mul.wide.s32", "s64", -1)])
def test_a_product_of_twice_the_width(wide: str, kind: str, a: int) -> None:
    small = kind.replace("64", "32")
    found = evaluate(f"{wide} %rd0, %r1, %r2", kind, "%rd0", ("%r1", small, a), ("%r2", small, 2**31 - 1))
    assert int(found) == a * (2**31 - 1)


@pytest.mark.parametrize(
    ("compare", "a", "b", "expected"),
    [
        *[("lt", NAN, 1.0, 0), ("ltu", NAN, 1.0, 1), ("geu", NAN, 1.0, 1), ("neu", 1.0, 1.0, 0), ("neu", NAN, NAN, 1)],
        *[("eq", -0.0, 0.0, 1), ("gt", 2.0, 1.0, 1), ("leu", 2.0, 1.0, 0), ("ne", NAN, 1.0, 0)],
    ],
)
def test_comparisons_with_nan(compare: str, a: float, b: float, expected: int) -> None:
    lines = f"setp.{compare}.f64 %p1, %fd1, %fd2;\nselp.b64 %rd0, 1, 0, %p1"
    assert evaluate(lines, "s64", "%rd0", ("%fd1", "f64", a), ("%fd2", "f64", b)) == expected


def test_signed_and_unsigned_comparisons() -> None:
    for kind, expected in (("s64", 1), ("u64", 0)):
        lines = f"setp.lt.{kind} %p1, %rd1, %rd2;\nselp.b64 %rd0, 1, 0, %p1"
        assert evaluate(lines, "s64", "%rd0", ("%rd1", "s64", -1), ("%rd2", "s64", 1)) == expected


def test_an_unknown_instruction_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="popc"):
        evaluate("popc.b64 %r0, %rd1", "u32", "%r0", ("%rd1", "u64", 1))
    with pytest.raises(NotImplementedError, match="approx"):
        evaluate("div.approx.f32 %f0, %f1, %f2", "f32", "%f0", ("%f1", "f32", 1.0), ("%f2", "f32", 1.0))


# ---- kernels of Numba


def run(function: Callable[..., None], *arrays: np.ndarray, blocks: int = 2, threads: int = 64, order: int = 0) -> None:
    from numba import types
    from numba.cuda import compile_ptx
    from numba.np.numpy_support import from_dtype

    kinds = [types.Array(from_dtype(a.dtype), 1, "C") for a in arrays]
    program = Program(str(compile_ptx(function, types.void(*kinds), cc=(9, 0))[0]))
    words, spans = [], []
    for k, a in enumerate(arrays):
        words += [0, 0, a.size, a.itemsize, a.ctypes.data, *a.shape, *a.strides]
        spans.append(Span(f"array{k}", a.ctypes.data, a.nbytes, (a.ctypes.data, a.itemsize, a.size)))
    program.launch(function.__name__, np.array(words, np.uint64), spans, blocks, threads, order)


def doubled(out, x):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = 2.0 * x[i]


@pytest.mark.parametrize("order", range(4))
def test_every_thread_runs_once_in_any_order(order: int) -> None:
    x, out = np.arange(1000.0), np.zeros(1000)
    run(doubled, out, x, order=order)
    np.testing.assert_array_equal(out, 2.0 * x)


def test_an_access_outside_is_found() -> None:
    def beyond(out, x):  # type: ignore[no-untyped-def]
        out[cuda.grid(1)] = x[cuda.grid(1) + 1]

    with pytest.raises(Fault, match=r"beyond: thread \d+ reads memory outside of all arrays"):
        run(beyond, np.zeros(128), np.zeros(128))
    with pytest.raises(Fault, match="writes memory outside"):
        run(beyond, np.zeros(100), np.zeros(129))


def test_threads_that_meet_are_found() -> None:
    def lost(out, x):  # type: ignore[no-untyped-def]
        out[0] += x[cuda.grid(1)]

    def shared(out, x):  # type: ignore[no-untyped-def]
        out[cuda.grid(1)] = x[0]
        if cuda.grid(1) == 5:
            x[0] = 1.0

    def mixed(out, x):  # type: ignore[no-untyped-def]
        cuda.atomic.add(out, 0, 1)
        x[cuda.grid(1)] = out[0]

    for kernel, first in ((lost, np.zeros(128)), (shared, np.zeros(128)), (mixed, np.zeros(128, np.int64))):
        with pytest.raises(Fault, match="in the same launch"):
            run(kernel, first, np.zeros(128))


def test_atomic_sums_and_next_launches_are_none() -> None:
    def count(out, x):  # type: ignore[no-untyped-def]
        cuda.atomic.add(out, x[cuda.grid(1)] % 3, 1)
        cuda.atomic.max(out, 3, x[cuda.grid(1)])

    out = np.zeros(4, np.int64)
    for _ in range(2):
        run(count, out, np.arange(128))
    assert out.tolist() == [86, 86, 84, 127]


def test_a_barrier_parts_what_comes_before_from_what_comes_after() -> None:
    def last(out, x):  # type: ignore[no-untyped-def]
        cuda.atomic.add(x, cuda.blockIdx.x, 1)
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            out[cuda.blockIdx.x] = cuda.atomic.add(x, cuda.blockIdx.x, 0)

    for order in range(4):
        out = np.zeros(3, np.int64)
        run(last, out, np.zeros(3, np.int64), blocks=3, order=order)
        assert out.tolist() == [64, 64, 64]


# ---- arrays


def test_arrays_are_as_strict_as_those_of_cupy() -> None:
    xp = Module()
    a = xp.asarray(np.arange(6))
    assert isinstance(a, Array) and isinstance((a + 1)[2:], Array) and isinstance(a[0], Array)
    assert int(a[2:4][1]) == 3 and len(a) == 6
    a[1:3] = xp.asarray(np.array([7, 8]))
    assert a.get().tolist() == [0, 7, 8, 3, 4, 5]
    host = np.arange(6)
    wrong: list[Callable[[], Any]] = [
        lambda: np.asarray(a),
        lambda: a + host,
        lambda: host + a,
        lambda: a[host],
        lambda: a.__setitem__(slice(0, 6), host),
        lambda: xp.concatenate([a, host]),
        lambda: xp.searchsorted(a, host),
        lambda: np.concatenate([host, a]),
        lambda: xp.argsort(a, order="x"),
    ]
    for k, do in enumerate(wrong):
        with pytest.raises(TypeError):
            print(k, do())
    with pytest.raises(AttributeError, match="interp"):
        xp.interp(a, a, a)
