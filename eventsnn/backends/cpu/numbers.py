"""Random numbers that steps take: filled before the update, for four steps at once, so that the update stays SIMD."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.intrinsics import item, view, words
from eventsnn.backends.cpu.operation import Code, Operation
from eventsnn.backends.cpu.philox import philox, quantile, uniform
from eventsnn.backends.members import Member
from eventsnn.backends.shared import LARGEST_UNIFORM
from eventsnn.spec import Equations


def _fill(real, normal, most):
    """Four steps of one number of neighbours in a population."""
    size = np.dtype(real).itemsize

    def fill(args, step):
        a = words(args, 9)
        if (step & 3) != 0 and step != item(a[8], 0, np.int64):
            return 0
        n, stride = a[0], a[7] * size
        first = np.uint32(a[1])
        ordinal = np.uint32(a[2])
        k0 = np.uint32(a[3])
        k1 = np.uint32(a[4])
        quad = np.uint32(step >> 2)
        r0 = view(a[6], n, real)
        r1 = view(a[6] + stride, n, real)
        r2 = view(a[6] + 2 * stride, n, real)
        r3 = view(a[6] + 3 * stride, n, real)
        for i in range(n):
            w0, w1, w2, w3 = philox(np.uint32(first + np.uint32(i)), quad, ordinal, np.uint32(1), k0, k1)
            if normal:
                r0[i] = quantile(a[5], w0)
                r1[i] = quantile(a[5], w1)
                r2[i] = quantile(a[5], w2)
                r3[i] = quantile(a[5], w3)
            else:
                r0[i] = min(uniform(w0), most)
                r1[i] = min(uniform(w1), most)
                r2[i] = min(uniform(w2), most)
                r3[i] = min(uniform(w3), most)
        return 0

    return fill


FILL = {
    (real, kind): Code(_fill(np.dtype(real).type, kind == "normal", LARGEST_UNIFORM[real]))
    for real in ("float64", "float32")
    for kind in ("normal", "uniform")
}
"""(n, first index in the population, ordinal, key, key, table, numbers, neurons of the run, clock)"""


def numbers_of(run: list[Member], real: np.dtype[Any], clock: npt.NDArray[np.int64]) -> tuple[list[Operation], npt.NDArray[Any]]:
    """Operations that draw what the neurons of a run take, and where it lies: shape (draws, 4, neurons)."""
    dynamics = run[0].spec.dynamics
    assert isinstance(dynamics, Equations)
    low, n = run[0].low, run[-1].high - run[0].low
    numbers = np.zeros((len(dynamics.kernel.draws), 4, n), real)
    table = np.zeros(1) if dynamics.normal is None else np.ascontiguousarray(dynamics.normal.tables[0])
    operations = []
    for k, kind in enumerate(dynamics.kernel.draws):
        for m in run:
            here = numbers[k, 0, m.low - low :]
            args = (m.high - m.low, m.slice.start, k, *m.spec.key, table, here, n, clock)
            operations.append(Operation(FILL[real.name, kind], *args))
    return operations, numbers
