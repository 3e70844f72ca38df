"""From the PTX of a kernel to LLVM's intermediate representation: one function that runs one thread.

Only instructions that the kernels of eventsnn compile to are known; any other raises NotImplementedError. Their meaning: PTX ISA
9.0, chapter 9.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from standin.ptx import Instruction, Kernel

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32, F64, VOID = ir.FloatType(), ir.DoubleType(), ir.VoidType()
SPECIAL = {"%tid.x": 0, "%ntid.x": 1, "%ctaid.x": 2, "%nctaid.x": 3}
READ, WRITE, ATOMIC = range(3)
DONE, FAULT = 0, -1
"""What a thread returns; k > 0: it waits at barrier k."""
ORDERED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
UNORDERED = {"equ": "==", "neu": "!=", "ltu": "<", "leu": "<=", "gtu": ">", "geu": ">="}
MODIFIERS = {"sat", "ftz", "NaN", "xorsign", "approx", "full", "nc"}
"""What changes the meaning of an instruction and is not translated."""
Value = ir.Value


def llvm(kind: str) -> ir.Type:
    """The type that a suffix such as s32 names."""
    if kind == "pred":
        return I1
    return {"f32": F32, "f64": F64}.get(kind) or ir.IntType(int(kind[1:]))


class Thread:
    """Builds `thread(parameters, context, shadow, frame, tid, ntid, ctaid, nctaid, resume) -> i32`.

    parameters: 8 bytes each. context, shadow: handed on to `check`. frame: the registers of a thread that waits at barriers.
    """

    def __init__(self, kernel: Kernel, module: ir.Module, check: ir.Value) -> None:
        self.kernel, self.check = kernel, check
        signature = ir.FunctionType(I32, [I64.as_pointer()] * 4 + [I32] * 5)
        self.function = ir.Function(module, signature, "thread")
        self.parameters, self.context, self.shadow, self.frame, *self.special, self.resume = self.function.args
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.registers: dict[str, tuple[str, Value]] = {}
        self.blocks = {x: self.function.append_basic_block("label") for x in kernel.body if isinstance(x, str)}
        self.fault = self.function.append_basic_block("fault")
        self.frame_size = 0
        for kind, prefix, number in kernel.registers:
            for k in range(number):
                self.registers[f"{prefix}{k}"] = (kind, self._register(llvm(kind)))
        waits = [self.function.append_basic_block("after_barrier") for _ in range(kernel.barriers)]
        start = self.function.append_basic_block("start")
        switch = self.build.switch(self.resume, start)
        for k, block in enumerate(waits):
            switch.add_case(ir.Constant(I32, k + 1), block)
        self.waits = iter(enumerate(waits, 1))
        self.build.position_at_end(start)
        for line in kernel.body:
            self._line(line)
        if not self.build.block.is_terminated:
            self.build.unreachable()
        self.build.position_at_end(self.fault)
        self.build.ret(ir.Constant(I32, FAULT))

    def _register(self, kind: ir.Type) -> Value:
        if not self.kernel.barriers:
            return self.build.alloca(kind)
        self.frame_size += 1
        return self.build.bitcast(self.build.gep(self.frame, [ir.Constant(I64, self.frame_size - 1)]), kind.as_pointer())

    def _line(self, line: Instruction | str) -> None:
        if isinstance(line, str):
            if not self.build.block.is_terminated:
                self.build.branch(self.blocks[line])
            self.build.position_at_end(self.blocks[line])
            return
        if self.build.block.is_terminated:
            self.build.position_at_end(self.function.append_basic_block("dead"))
        if not line.guard:
            self._do(line)
            return
        holds = self._value(line.guard.lstrip("!"), "pred")
        holds = self.build.not_(holds) if line.guard.startswith("!") else holds
        then, after = self.function.append_basic_block("then"), self.function.append_basic_block("after")
        self.build.cbranch(holds, then, after)
        self.build.position_at_end(then)
        self._do(line)
        if not self.build.block.is_terminated:
            self.build.branch(after)
        self.build.position_at_end(after)

    # ---- operands

    def _value(self, operand: str, kind: str) -> Value:
        """An operand as a value of a type: registers keep their bits, as PTX has it."""
        wanted = llvm(kind)
        if operand in SPECIAL:
            return self.special[SPECIAL[operand]]
        if operand in self.registers:
            mine, place = self.registers[operand]
            value = self.build.load(place)
            if llvm(mine) == wanted:
                return value
            if isinstance(wanted, ir.IntType) and mine[0] == "b":
                return self.build.trunc(value, wanted)
            return self.build.bitcast(value, wanted)
        if operand.startswith(("0d", "0f")):
            bits = ir.Constant(I64 if operand[1] == "d" else I32, int(operand[2:], 16))
            return bits.bitcast(wanted)
        if isinstance(wanted, ir.IntType):
            return ir.Constant(wanted, int(operand, 0))
        raise NotImplementedError(f"operand {operand} of type {kind}")

    def _set(self, operand: str, value: Value, signed: bool = False) -> None:
        """Write a register; a wider one is filled with the sign or zeros."""
        kind, place = self.registers[operand]
        wanted = llvm(kind)
        if value.type != wanted:
            if isinstance(value.type, ir.IntType) and isinstance(wanted, ir.IntType) and value.type.width < wanted.width:
                value = self.build.sext(value, wanted) if signed else self.build.zext(value, wanted)
            else:
                value = self.build.bitcast(value, wanted)
        self.build.store(value, place)

    def _address(self, operand: str) -> Value:
        name, _, offset = operand.strip("[]").partition("+")
        return self.build.add(self._value(name, "b64"), ir.Constant(I64, int(offset or "0")))

    def _checked(self, operand: str, kind: ir.Type, use: int) -> Value:
        """A pointer, once the checks of memory have passed."""
        address = self._address(operand)
        size = 8 if kind == F64 else 4 if kind == F32 else kind.width // 8
        tid, threads, block, _ = (self.build.zext(x, I64) for x in self.special)
        who = self.build.add(self.build.mul(block, threads), tid)
        good = self.build.call(self.check, [self.context, self.shadow, address, *(ir.Constant(I64, x) for x in (size, use)), who])
        on = self.function.append_basic_block("checked")
        self.build.cbranch(self.build.icmp_signed("!=", good, ir.Constant(I64, 0)), on, self.fault)
        self.build.position_at_end(on)
        return self.build.inttoptr(good, kind.as_pointer())

    # ---- instructions

    def _do(self, line: Instruction) -> None:
        known: Callable[[Instruction], None] | None = getattr(self, f"_{line.words[0]}", None)
        if known is None or MODIFIERS & set(line.words):
            raise NotImplementedError(f"PTX instruction {'.'.join(line.words)} {', '.join(line.operands)}")
        known(line)

    def _ret(self, line: Instruction) -> None:
        self.build.ret(ir.Constant(I32, DONE))

    def _bra(self, line: Instruction) -> None:
        self.build.branch(self.blocks[line.operands[0]])

    def _bar(self, line: Instruction) -> None:
        number, block = next(self.waits)
        self.build.ret(ir.Constant(I32, number))
        self.build.position_at_end(block)

    def _membar(self, line: Instruction) -> None:
        pass

    def _mov(self, line: Instruction) -> None:
        self._set(line.operands[0], self._value(line.operands[1], line.words[-1]))

    def _cvta(self, line: Instruction) -> None:
        self._set(line.operands[0], self._value(line.operands[1], "u64"))

    def _ld(self, line: Instruction) -> None:
        target, source = line.operands
        kind = line.words[-1]
        if line.words[1] == "param":
            at = ir.Constant(I64, self.kernel.parameters.index(source.strip("[]")))
            place = self.build.bitcast(self.build.gep(self.parameters, [at]), llvm(kind).as_pointer())
        elif line.words[1] == "global":
            place = self._checked(source, llvm(kind), READ)
        else:
            raise NotImplementedError(".".join(line.words))
        self._set(target, self.build.load(place), kind[0] == "s")

    def _st(self, line: Instruction) -> None:
        if line.words[1] != "global":
            raise NotImplementedError(".".join(line.words))
        value = self._value(line.operands[1], line.words[-1])
        self.build.store(value, self._checked(line.operands[0], value.type, WRITE))

    def _atom(self, line: Instruction) -> None:
        space, operation, kind = line.words[1:]
        value = self._value(line.operands[2], kind)
        place = self._checked(line.operands[1], value.type, ATOMIC)
        old = self.build.load(place)
        if (space, operation) == ("global", "add"):
            new = self.build.add(old, value)
        elif (space, operation, kind[0]) == ("global", "max", "s"):
            new = self.build.select(self.build.icmp_signed(">", old, value), old, value)
        else:
            raise NotImplementedError(".".join(line.words))
        self.build.store(new, place)
        self._set(line.operands[0], old)

    def _setp(self, line: Instruction) -> None:
        compare, kind = line.words[1], line.words[-1]
        a, b = (self._value(x, kind) for x in line.operands[1:])
        if kind[0] == "f":
            unordered = compare in UNORDERED
            do = self.build.fcmp_unordered if unordered else self.build.fcmp_ordered
            found = do((UNORDERED if unordered else ORDERED)[compare], a, b)
        else:
            do = self.build.icmp_unsigned if kind[0] == "u" else self.build.icmp_signed
            found = do(ORDERED[compare], a, b)
        self._set(line.operands[0], found)

    def _selp(self, line: Instruction) -> None:
        a, b = (self._value(x, line.words[-1]) for x in line.operands[1:3])
        self._set(line.operands[0], self.build.select(self._value(line.operands[3], "pred"), a, b))

    def _two(self, line: Instruction, of_integers: Callable[..., Value], of_floats: Callable[..., Value] | None = None) -> None:
        a, b = (self._value(x, line.words[-1]) for x in line.operands[1:])
        do = of_floats if line.words[-1][0] == "f" else of_integers
        if do is None or {"sat", "ftz", "rz", "rm", "rp", "approx", "full"} & set(line.words):
            raise NotImplementedError(".".join(line.words))
        self._set(line.operands[0], do(a, b), line.words[-1][0] == "s")

    def _add(self, line: Instruction) -> None:
        self._two(line, self.build.add, self.build.fadd)

    def _sub(self, line: Instruction) -> None:
        self._two(line, self.build.sub, self.build.fsub)

    def _and(self, line: Instruction) -> None:
        self._two(line, self.build.and_)

    def _or(self, line: Instruction) -> None:
        self._two(line, self.build.or_)

    def _xor(self, line: Instruction) -> None:
        self._two(line, self.build.xor)

    def _not(self, line: Instruction) -> None:
        self._set(line.operands[0], self.build.not_(self._value(line.operands[1], line.words[-1])))

    def _mul(self, line: Instruction) -> None:
        if line.words[1] not in {"wide", "hi"}:
            self._two(line, self.build.mul, self.build.fmul)
            return
        kind = line.words[-1]
        narrow = llvm(kind)
        wide = ir.IntType(2 * narrow.width)
        extend = self.build.sext if kind[0] == "s" else self.build.zext
        product = self.build.mul(*(extend(self._value(x, kind), wide) for x in line.operands[1:]))
        if line.words[1] == "hi":
            product = self.build.trunc(self.build.lshr(product, ir.Constant(wide, narrow.width)), narrow)
        self._set(line.operands[0], product)

    def _nonzero(self, line: Instruction) -> None:
        """PTX leaves open what a division by zero gives: a fault here."""
        if line.words[-1][0] != "f":
            divisor = self._value(line.operands[2], line.words[-1])
            on = self.function.append_basic_block("divide")
            self.build.cbranch(self.build.icmp_signed("!=", divisor, ir.Constant(divisor.type, 0)), on, self.fault)
            self.build.position_at_end(on)

    def _div(self, line: Instruction) -> None:
        self._nonzero(line)
        self._two(line, self.build.sdiv if line.words[-1][0] == "s" else self.build.udiv, self.build.fdiv)

    def _rem(self, line: Instruction) -> None:
        self._nonzero(line)
        self._two(line, self.build.srem if line.words[-1][0] == "s" else self.build.urem)

    def _extreme(self, line: Instruction, larger: bool) -> None:
        kind = line.words[-1]
        a, b = (self._value(x, kind) for x in line.operands[1:])
        if kind[0] == "f":  # of a number and a NaN the number; -0 lies below +0
            found = self._intrinsic("llvm.maxnum" if larger else "llvm.minnum", kind, [a, b])
            bits = ir.IntType(64 if kind == "f64" else 32)
            of = [self.build.bitcast(x, bits) for x in (a, b)]
            zero = self.build.bitcast(self.build.and_(*of) if larger else self.build.or_(*of), a.type)
            both = self.build.and_(*(self.build.fcmp_ordered("==", x, ir.Constant(a.type, 0.0)) for x in (a, b)))
            found = self.build.select(both, zero, found)
        else:
            compare = self.build.icmp_signed if kind[0] == "s" else self.build.icmp_unsigned
            found = self.build.select(compare(">" if larger else "<", a, b), a, b)
        self._set(line.operands[0], found)

    def _max(self, line: Instruction) -> None:
        self._extreme(line, True)

    def _min(self, line: Instruction) -> None:
        self._extreme(line, False)

    def _shift(self, line: Instruction, do: Callable[..., Value], signed: bool = False) -> None:
        """Amounts beyond the width act as the width; the sign stays."""
        value, amount = self._value(line.operands[1], line.words[-1]), self._value(line.operands[2], "u32")
        width = value.type.width
        far = self.build.icmp_unsigned(">=", amount, ir.Constant(I32, width))
        near = self.build.select(far, ir.Constant(I32, width - 1), amount)
        near = near if width == 32 else (self.build.zext if width > 32 else self.build.trunc)(near, value.type)
        found = do(value, near)
        self._set(line.operands[0], found if signed else self.build.select(far, ir.Constant(value.type, 0), found))

    def _shl(self, line: Instruction) -> None:
        self._shift(line, self.build.shl)

    def _shr(self, line: Instruction) -> None:
        signed = line.words[-1][0] == "s"
        self._shift(line, self.build.ashr if signed else self.build.lshr, signed)

    def _neg(self, line: Instruction) -> None:
        value = self._value(line.operands[1], line.words[-1])
        self._set(line.operands[0], self.build.fneg(value) if line.words[-1][0] == "f" else self.build.neg(value))

    def _abs(self, line: Instruction) -> None:
        if line.words[-1][0] != "f":
            raise NotImplementedError(".".join(line.words))
        self._one(line, "llvm.fabs")

    def _sqrt(self, line: Instruction) -> None:
        if line.words[1] != "rn":
            raise NotImplementedError(".".join(line.words))
        self._one(line, "llvm.sqrt")

    def _rcp(self, line: Instruction) -> None:
        if line.words[1] != "rn":
            raise NotImplementedError(".".join(line.words))
        value = self._value(line.operands[1], line.words[-1])
        self._set(line.operands[0], self.build.fdiv(ir.Constant(value.type, 1.0), value))

    def _one(self, line: Instruction, name: str) -> None:
        self._set(line.operands[0], self._intrinsic(name, line.words[-1], [self._value(line.operands[1], line.words[-1])]))

    def _fma(self, line: Instruction) -> None:
        if line.words[1] != "rn" or len(line.words) != 3:
            raise NotImplementedError(".".join(line.words))
        values = [self._value(x, line.words[-1]) for x in line.operands[1:]]
        self._set(line.operands[0], self._intrinsic("llvm.fma", line.words[-1], values))

    def _intrinsic(self, name: str, kind: str, values: list[Value]) -> Value:
        signature = ir.FunctionType(llvm(kind), [llvm(kind)] * len(values))
        return self.build.call(self.build.module.declare_intrinsic(name, [llvm(kind)], signature), values)

    def _cvt(self, line: Instruction) -> None:
        target, source = line.words[-2:]
        how = line.words[1:-2]
        value, wanted = self._value(line.operands[1], source), llvm(target)
        if source[0] == "f" and target[0] == "f":
            same = source == target
            wider = target == "f64"
            if same or (how != (() if wider else ("rn",))):
                raise NotImplementedError(".".join(line.words))
            found = self.build.fpext(value, wanted) if wider else self.build.fptrunc(value, wanted)
        elif target[0] == "f":
            if how != ("rn",):
                raise NotImplementedError(".".join(line.words))
            found = (self.build.sitofp if source[0] == "s" else self.build.uitofp)(value, wanted)
        elif source[0] == "f":
            if how not in {("rni",), ("rzi",)} or target[0] != "s":
                raise NotImplementedError(".".join(line.words))
            value = self._intrinsic("llvm.roundeven", source, [value]) if how == ("rni",) else value
            saturated = ir.FunctionType(wanted, [value.type])
            name = f"llvm.fptosi.sat.i{wanted.width}.{source}"
            found = self.build.call(
                self.build.module.globals.get(name) or ir.Function(self.build.module, saturated, name), [value]
            )
            if "64" in source + target:  # of a NaN; 0 otherwise
                least = ir.Constant(wanted, 1 << (wanted.width - 1))
                found = self.build.select(self.build.fcmp_unordered("uno", value, value), least, found)
        elif how:
            raise NotImplementedError(".".join(line.words))
        elif llvm(source).width < wanted.width:
            found = self.build.sext(value, wanted) if source[0] == "s" else self.build.zext(value, wanted)
        else:
            found = self.build.trunc(value, wanted) if llvm(source).width > wanted.width else value
        self._set(line.operands[0], found, target[0] == "s")
