"""Kernels as machine code of the CPU: threads one after the other, in an order that a launch is given."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils

from standin import memory
from standin.memory import (
    ADDRESS,
    BEGIN,
    CROOKED,
    END,
    FIELDS,
    GRID,
    HEAD,
    ITEM,
    KIND,
    LAST,
    LAUNCH,
    MOST,
    ORIGIN,
    OTHER,
    OUTSIDE,
    OWNER,
    RACE,
    RANGES,
    REAL,
    SHADOW,
    TICKET,
    USE,
    WHO,
)
from standin.ptx import parse
from standin.translate import ATOMIC, DONE, I32, I64, READ, WRITE, Thread

DIVERGED = 2
FINISHED = -2
"""State of a thread that has returned."""
USES = {READ: "reads", WRITE: "writes", ATOMIC: "adds atomically to"}
PRIMES = (1, 7919, 104729, 1299709)
"""Strides of the order of threads; none divides a number of them."""


@dataclass(frozen=True)
class Span:
    """An array of a launch. `owner`: first byte, bytes of an element and their number of the allocation that it is part of.

    `given`: its address as the kernel is told, 0: where it lies. `ticket`: the byte where blocks that are done count, or -1.
    """

    name: str
    address: int
    nbytes: int
    owner: tuple[int, int, int]
    given: int = 0
    ticket: int = -1

    @property
    def begin(self) -> int:
        return self.given or self.address


class Fault(AssertionError):
    """An access that no kernel may make."""


class Program:
    """One kernel."""

    def __init__(self, text: str) -> None:
        kernel = parse(text)
        module = ir.Module()
        pointer = I64.as_pointer()
        kind = ir.FunctionType(I64, [pointer] * 2 + [I64] * 4)
        llvm.add_symbol("standin_check", memory.check.address)
        thread = Thread(kernel, module, ir.Function(module, kind, "standin_check"))
        self.barriers, self._frame = kernel.barriers, thread.frame_size
        _launcher(module, thread.function, kernel.barriers > 0, thread.frame_size)
        self._engine = _compiled(module)
        run = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 5, *[ctypes.c_int64] * 4)
        self._run = run(self._engine.get_function_address("run"))

    def launch(
        self, name: str, words: npt.NDArray[np.uint64], spans: Sequence[Span], blocks: int, threads: int, order: int
    ) -> None:
        """Run (blocks, threads); `order` chooses which comes first. Raises Fault."""
        with _TURN:
            context = _context(spans, blocks)
            frames = np.zeros(max(1, self._frame * threads), np.int64)
            states = np.zeros(threads, np.int64)
            given = (words, context, _shadow, frames, states)
            stride = PRIMES[order % len(PRIMES)]
            status = self._run(*(a.ctypes.data for a in given), blocks, threads, stride, order)
            if status == DIVERGED:
                raise Fault(f"{name}: threads of a block do not all come to the same barrier")
            if status != 0:
                raise Fault(f"{name}: {_told(context, spans)}")


_TURN = threading.Lock()
_shadow = np.zeros(2, np.int64)
_launches = 0


def _context(spans: Sequence[Span], blocks: int) -> npt.NDArray[np.int64]:
    """What `check` reads; the shadow grows to what the launch needs."""
    global _shadow, _launches
    _launches += 1
    context = np.zeros(HEAD + MOST * FIELDS, np.int64)
    places: dict[int, int] = {}
    used = 0
    for k, s in enumerate(spans):
        first, item, number = s.owner
        if not s.nbytes:
            number = 0
            first = -1
        if first not in places:
            places[first], used = used, used + 2 * number
        row = context[HEAD + k * FIELDS :]
        row[BEGIN], row[END], row[REAL], row[ORIGIN], row[ITEM] = s.begin, s.begin + s.nbytes, s.address, first, item
        row[SHADOW] = places[first]
        if s.ticket >= 0:
            context[TICKET] = s.begin + s.ticket
    context[RANGES], context[LAUNCH], context[LAST], context[GRID], context[OWNER] = len(spans), _launches, HEAD, blocks, -1
    if used > len(_shadow):
        _shadow = np.zeros(2 * used, np.int64)
    return context


def _told(context: npt.NDArray[np.int64], spans: Sequence[Span]) -> str:
    address, use = int(context[ADDRESS]), USES[int(context[USE])]
    if context[KIND] == OUTSIDE:
        near = min(spans, key=lambda s: min(abs(address - s.begin), abs(address - s.begin - s.nbytes)), default=None)
        where = f"; nearest is {near.name}, byte {address - near.begin} of {near.nbytes}" if near else ""
        return f"thread {context[WHO]} {use} memory outside of all arrays{where}"
    if context[KIND] == RACE:
        s = next(s for s in spans if s.begin <= address < s.begin + s.nbytes)
        item = (address - s.begin) // s.owner[1]
        return f"thread {context[WHO]} {use} {s.name}[{item}], which thread {context[OTHER]} uses in the same launch"
    if context[KIND] == CROOKED:
        return f"thread {context[WHO]} {use} an address that is no multiple of the size, or more than an element"
    return "a division by zero"


def _compiled(module: ir.Module) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        opt=2, cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten()
    )
    made = llvm.parse_assembly(str(module))
    made.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(made, passes)
    engine = llvm.create_mcjit_compiler(made, machine)
    engine.finalize_object()
    return engine


def _launcher(module: ir.Module, thread: ir.Function, waits: bool, frame: int) -> None:
    """`run(parameters, context, shadow, frames, states, blocks, threads, stride, order) -> i64`: 0, 1 (fault) or DIVERGED."""
    pointer = I64.as_pointer()
    function = ir.Function(module, ir.FunctionType(I64, [pointer] * 5 + [I64] * 4), "run")
    parameters, context, shadow, frames, states, blocks, threads, stride, order = function.args
    build = ir.IRBuilder(function.append_basic_block("entry"))
    fault, diverged = function.append_basic_block("fault"), function.append_basic_block("diverged")

    def mixed(k: ir.Value, many: ir.Value) -> ir.Value:
        return build.urem(build.add(build.mul(k, stride), order), many)

    def call(block: ir.Value, t: ir.Value, resume: ir.Value) -> ir.Value:
        mine = build.gep(frames, [build.mul(t, ir.Constant(I64, frame))])
        places = [build.trunc(x, I32) for x in (t, threads, block, blocks)]
        result = build.call(thread, [parameters, context, shadow, mine, *places, resume])
        with build.if_then(build.icmp_signed("<", result, ir.Constant(I32, 0)), likely=False):
            build.branch(fault)
        return result

    if not waits:
        with cgutils.for_range(build, build.mul(blocks, threads)) as loop:
            i = mixed(loop.index, build.mul(blocks, threads))
            call(build.udiv(i, threads), build.urem(i, threads), ir.Constant(I32, 0))
    else:
        with cgutils.for_range(build, blocks) as outer:
            with cgutils.for_range(build, threads) as loop:
                build.store(ir.Constant(I64, 0), build.gep(states, [loop.index]))
            again, on = function.append_basic_block("phase"), function.append_basic_block("done")
            waiting = cgutils.alloca_once(build, I32)
            build.branch(again)
            build.position_at_end(again)
            build.store(ir.Constant(I32, -1), waiting)
            with cgutils.for_range(build, threads) as loop:
                t = mixed(loop.index, threads)
                place = build.gep(states, [t])
                state = build.load(place)
                with build.if_then(build.icmp_signed("!=", state, ir.Constant(I64, FINISHED))):
                    result = call(mixed(outer.index, blocks), t, build.trunc(state, I32))
                    ended = build.icmp_signed("==", result, ir.Constant(I32, DONE))
                    build.store(build.select(ended, ir.Constant(I64, FINISHED), build.sext(result, I64)), place)
                    others = build.load(waiting)
                    alike = build.or_(
                        build.icmp_signed("<", others, ir.Constant(I32, 0)), build.icmp_signed("==", others, result)
                    )
                    with build.if_then(build.not_(alike), likely=False):
                        build.branch(diverged)
                    build.store(result, waiting)
            build.cbranch(build.icmp_signed(">", build.load(waiting), ir.Constant(I32, 0)), again, on)
            build.position_at_end(on)
    build.ret(ir.Constant(I64, 0))
    build.position_at_end(fault)
    build.ret(ir.Constant(I64, 1))
    build.position_at_end(diverged)
    build.ret(ir.Constant(I64, DIVERGED))
