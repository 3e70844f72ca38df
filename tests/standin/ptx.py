"""Reads the PTX of a kernel (PTX ISA 9.0, https://docs.nvidia.com/cuda/parallel-thread-execution)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Instruction:
    """`guard`: the predicate that must hold, with "!" before it if it must not."""

    guard: str
    words: tuple[str, ...]
    """The name, split at its dots."""
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Kernel:
    """A parsed entry point; `body` has labels as plain text between instructions."""

    parameters: tuple[str, ...]
    registers: tuple[tuple[str, str, int], ...]
    """(type, prefix, number)"""
    body: tuple[Instruction | str, ...]

    @property
    def barriers(self) -> int:
        return sum(isinstance(x, Instruction) and x.words[0] == "bar" for x in self.body)


def parse(text: str) -> Kernel:
    """The only kernel of a module."""
    if ".func" in text or text.count(".entry") != 1:
        raise NotImplementedError("PTX with functions, or without exactly one entry")
    text = re.sub(r"//[^\n]*", "", text)
    head, _, body = text[text.index(".entry") :].partition("{")
    registers = tuple((kind, name, int(number)) for kind, name, number in re.findall(r"\.reg\s+\.(\w+)\s+(%\w+)<(\d+)>;", body))
    lines: list[Instruction | str] = []
    for line in re.sub(r"\.(reg|pragma)\b[^;]*;", "", body.rpartition("}")[0]).replace(":", ":;").split(";"):
        line = line.strip()
        if line.endswith(":"):
            lines.append(line[:-1])
        elif line:
            guard, rest = re.fullmatch(r"(?:@(!?%\w+)\s+)?(.*)", line, re.DOTALL).groups()
            name, *operands = re.findall(r"\[[^\]]*\]|[^,\s]+", rest)
            lines.append(Instruction(guard or "", tuple(name.split(".")), tuple(operands)))
    return Kernel(tuple(re.findall(r"\.param\s+\S+\s+(\w+)", head)), registers, tuple(lines))
