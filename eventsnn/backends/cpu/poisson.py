"""Operations that draw Poisson counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu import drive
from eventsnn.backends.cpu.operation import Operation
from eventsnn.backends.thresholds import TABLE_MEAN, thresholds
from eventsnn.codegen.hostmath import exp
from eventsnn.spec import Key


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
    size = next(s for s in drive.DRAW_TABLE if len(table) <= s)
    table = np.pad(table, (0, size - len(table)), constant_values=0xFFFFFFFF)  # no word exceeds it
    return [Operation(drive.DRAW_TABLE[len(table)], n, int(ids[0]), table, len(table), split, *key, counts, clock)], counts
