"""exp and log with the same bits on every machine, compiled for the CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from eventsnn.backends.cpu.intrinsics import fma, mul
from eventsnn.codegen.portable import EXP_SOURCE, LOG_SOURCE


def _compiled(source: str, name: str) -> Callable[[float], float]:
    words = {"np": np, "F": np.float64, "fma": fma, "mul": mul, "I0": np.int32(0), "I1": np.int32(1)}
    exec(compile(source, f"<{name}>", "exec"), words)
    return njit(nogil=True)(words[name])  # type: ignore[no-any-return]


@njit
def fused(a: float, b: float, c: float) -> float:
    """a * b + c, rounded once; from Python it takes part in the CUDA simulator."""
    return fma(a, b, c)  # type: ignore[no-any-return]


exp64 = _compiled(EXP_SOURCE["float64"], "exp")
log64 = _compiled(LOG_SOURCE["float64"], "log")
