"""Operations: compiled functions with one signature, called by address, each with a row of int64 arguments.

The epoch loop is an interpreter over lists of (function, arguments) pairs. It is compiled once; a new model or a new way of
delivery adds a function and changes nothing here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cfunc

from eventsnn.backends.cpu.intrinsics import OP_SIGNATURE, call, helper, item, words

_COMPILING = threading.RLock()


class Code:
    """A Python function that is compiled, or loaded from Numba's cache, when its address is first needed. It cannot raise."""

    def __init__(self, function: Callable[..., int]) -> None:
        self.function = function
        self._compiled: Any = None

    @property
    def address(self) -> int:
        return int(self._ready().address)

    @property
    def call(self) -> Callable[[int, int], int]:
        """The function for Python; it runs without the interpreter's lock."""
        return self._ready().ctypes  # type: ignore[no-any-return]

    def _ready(self) -> Any:
        with _COMPILING:
            if self._compiled is None:
                self._compiled = cfunc(OP_SIGNATURE, nopython=True, cache=True, error_model="numpy")(self.function)
        return self._compiled


class Operation:
    """Code and its arguments: integers, and arrays that are passed by address and kept alive."""

    def __init__(self, code: Code, *arguments: int | npt.NDArray[Any]) -> None:
        self.code = code
        self.keep = arguments
        self.row = np.array([a.ctypes.data if isinstance(a, np.ndarray) else int(a) for a in arguments], np.int64)

    def run(self, x: int = 0) -> int:
        """Call it from Python; `x` is its second argument."""
        return self.code.call(self.row.ctypes.data, x)


@helper
def run_rows(rows, n, x):
    """Call every operation of a program of n rows; `rows` is where they lie."""
    status = 0
    for k in range(n):
        status |= call(item(rows, 2 * k, np.int64), item(rows, 2 * k + 1, np.int64), x)
    return status


def run_program(args, x):
    """Call every operation of a program. Arguments: rows, their number."""
    a = words(args, 2)
    return run_rows(a[0], a[1], x)


RUN_PROGRAM = Code(run_program)


class Program:
    """A list of operations as the loop reads it: rows (function address, address of the arguments)."""

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations
        self.rows = np.array([(o.code.address, o.row.ctypes.data) for o in operations], np.int64).reshape(-1, 2)

    @property
    def place(self) -> tuple[int, int]:
        """Where the rows lie, and how many they are."""
        return self.rows.ctypes.data, len(self.rows)

    def run(self, x: int) -> int:
        """Call every operation once, for what happens between runs."""
        return Operation(RUN_PROGRAM, *self.place).run(x)
