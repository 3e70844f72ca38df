"""Operations that draw Poisson counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu import drive
from eventsnn.backends.cpu.operation import Operation
from eventsnn.codegen.hostmath import exp
from eventsnn.spec import Key

TABLE_MEAN = 10.0
"""Largest mean that is drawn at once."""


def thresholds(mean: float) -> npt.NDArray[np.uint32]:
    """P(N <= k) * 2**32 - 1 for k = 0, 1, ...: a word gives as many events as there are thresholds below it.

    Padded, with what no word exceeds, to a number that a kernel holds.
    """
    p = float(exp(-mean))
    total, k = p, 0
    out = []
    while total * 4294967296.0 < 4294967295.0 and k < 64:
        out.append(int(np.rint(total * 4294967296.0)) - 1)
        k += 1
        p = p * mean / k
        total = total + p
    size = next(s for s in drive.DRAW_TABLE if len(out) <= s)
    return np.array(out + [0xFFFFFFFF] * (size - len(out)), np.uint32)


def counts_operation(
    mean: float | npt.NDArray[np.float64], ids: npt.NDArray[np.int64], key: Key, clock: npt.NDArray[np.int64]
) -> tuple[list[Operation], npt.NDArray[np.uint16]]:
    """Draw counts of a mean per step, and where the counts of four steps lie.

    One mean: for every index from ids[0] to ids[-1], so that a neuron draws the same whoever else was selected.
    A mean per neuron: for ids.
    """
    n = len(ids) if isinstance(mean, np.ndarray) else int(ids[-1] - ids[0]) + 1
    counts = np.zeros((4, n), np.uint16)
    if isinstance(mean, np.ndarray):
        parts = np.maximum(1, np.ceil(mean / TABLE_MEAN)).astype(np.int64)
        part = mean / parts
        args: tuple[Any, ...] = (n, ids.astype(np.uint32), part, exp(-part), parts, *key, counts, clock)
        return [Operation(drive.DRAW_EACH, *args)], counts
    if mean <= 0.0:
        return [], counts
    split = max(1, int(np.ceil(mean / TABLE_MEAN)))
    table = thresholds(mean / split)
    return [Operation(drive.DRAW_TABLE[len(table)], n, int(ids[0]), table, len(table), split, *key, counts, clock)], counts
