"""Puts the stand-in in the place of the device: `install` before anything of backend cuda is imported."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from standin.arrays import Array, Module

CAPABILITY = (9, 0)
BLOCKS = (3, 1, 5, 2)
"""Blocks that run at once, in turn: no result depends on it."""
APART = 44
"""Bits of the distance between the addresses of two arrays."""
FOLDER = "EVENTSNN_STANDIN_PTX"
"""Where the PTX of all kernels that are launched is left."""
OPERATION = r"\b(?:fma|mul|add|sub|div|rcp|sqrt)(?:\.rn)?\.f\d\d"
"""An operation that may be contracted, or made of others."""


def install(simulated: bool = True) -> None:
    """From now on backend cuda runs PTX on the CPU, in this process. Not `simulated`: networks may be placed there unasked."""
    from numba.cuda import dispatcher

    from eventsnn import devices
    from eventsnn.backends.cuda import device, steps

    gpu = devices.Gpu("PTX on the CPU", "", 1 << 40, 1 << 40, CAPABILITY, len(BLOCKS), simulated)
    devices.find_gpu = lambda: gpu
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=CAPABILITY)
    module = Module()
    device.arrays = lambda: module  # type: ignore[assignment, return-value]
    sizes = itertools.cycle(BLOCKS)
    device.most_blocks = lambda: next(sizes)  # type: ignore[assignment]
    device.argument = steps.argument = lambda a: a
    device.start = steps.start = start
    device.pinned = lambda a: np.empty(a.shape, a.dtype)
    device.wait = steps.wait = device.give_back = lambda: None
    steps.SIMULATED = True  # no graphs


_programs: dict[tuple[Any, Any], Any] = {}
_orders = itertools.count()
_COMPILING = threading.Lock()
"""Parts of one process compile one after the other."""


def start(kernel: Any, size: tuple[int, int], arguments: tuple[Any, ...], stream: Any = 0) -> None:
    """A launch, in an order of threads that changes from launch to launch."""
    from eventsnn.backends.cuda.kernels import TICKET
    from standin.program import Program, Span

    function = kernel.py_func
    signature = tuple(_type(a) for a in arguments)
    with _COMPILING:
        if (function, signature) not in _programs:
            _programs[function, signature] = Program(checked_ptx(function, signature))
        program = _programs[function, signature]
    words: list[int] = []
    spans = []
    for name, a in zip(function.__code__.co_varnames, arguments, strict=False):
        if isinstance(a, Array):
            v, whole = a.values, a.whole
            given = len(spans) + 1 << APART
            words += [0, 0, v.size, v.itemsize, given, *v.shape, *v.strides]
            ticket = TICKET * v.itemsize if name == "control" and program.barriers else -1
            spans.append(Span(name, v.ctypes.data, v.nbytes, (whole.ctypes.data, whole.itemsize, whole.size), given, ticket))
        else:
            words.append(int(np.array(a, _dtype(a)).view(f"u{_dtype(a).itemsize}")))
    program.launch(function.__name__, np.array(words, np.uint64), spans, *size, next(_orders))


def checked_ptx(function: Any, signature: tuple[Any, ...]) -> str:
    """The PTX of a kernel, once it is known to hold the same operations where contraction is forbidden."""
    from numba import types
    from numba.cuda import compile_ptx

    with forbidden() as found:
        text = str(compile_ptx(function, types.void(*signature), cc=CAPABILITY)[0])
    assert operations(text) == operations(found[-1]), f"{function.__name__}: NVVM has fused a product into a sum"
    folder = os.environ.get(FOLDER)
    if folder:
        name = f"{function.__name__}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.ptx"
        Path(folder, name).write_text(text)
    return text


def operations(text: str) -> list[str]:
    """All floating-point operations of a PTX."""
    return sorted(re.findall(OPERATION, text.replace(".rn", "")))


@contextmanager
def forbidden() -> Iterator[list[str]]:
    """The texts that NVVM makes of what is compiled inside where it has no leave to contract."""
    from numba.cuda.cudadrv import nvvm

    compile_ir, found = nvvm.compile_ir, []

    def both(ir: Any, **options: Any) -> Any:
        found.append(compile_ir(ir, **{**options, "fma": False}).decode())
        return compile_ir(ir, **options)

    nvvm.compile_ir = both
    try:
        yield found
    finally:
        nvvm.compile_ir = compile_ir


def _dtype(a: Any) -> np.dtype[Any]:
    """Of a number: Numba takes those of Python as 64 bits."""
    return a.dtype if isinstance(a, np.generic) else np.dtype(np.float64 if isinstance(a, float) else np.int64)


def _type(a: Any) -> Any:
    from numba import types
    from numba.np.numpy_support import from_dtype

    if isinstance(a, Array):
        return types.Array(from_dtype(a.dtype), a.ndim, "C" if a.values.flags.c_contiguous else "A")
    if isinstance(a, bool | np.bool_):
        raise TypeError("a truth value as an argument of a kernel")
    return from_dtype(_dtype(a))
