"""Poisson numbers from random words by tables."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn.codegen.hostmath import exp

TABLE_MEAN = 10.0
"""Largest mean that is drawn at once."""


def thresholds(mean: float) -> npt.NDArray[np.uint32]:
    """P(N <= k) * 2**32 - 1 for k = 0, 1, ...: a word gives as many events as there are thresholds below it."""
    p = float(exp(-mean))
    total, k = p, 0
    out = []
    while total * 4294967296.0 < 4294967295.0 and k < 64:
        out.append(int(np.rint(total * 4294967296.0)) - 1)
        k += 1
        p = p * mean / k
        total = total + p
    return np.array(out, np.uint32)
