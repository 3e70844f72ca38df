"""Space cut into boxes, so that what lies near a neuron is found without looking at everything.

The cut depends on the positions alone, never on where neurons live.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from eventsnn.spec import DISTANCES

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

MEMBERS = 8
"""Neurons of a cell, about."""
RINGS = {0: 1, 1: 200, 2: 40, 3: 10}
"""Cells within the reach of a neuron in each direction, at most, by the number of dimensions."""
NEARLY = 1.0 - 1e-9


@dataclass(frozen=True, eq=False)
class Cells:
    """Boxes of equal size; arrays of shape (3,)."""

    origin: F8
    side: F8
    shape: I8
    period: F8

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def index(self, points: F8) -> I8:
        """The cell of each point, shape (n, 3): row-major."""
        places = np.clip(np.floor(folded(points - self.origin, self.period) / self.side).astype(np.int64), 0, self.shape - 1)
        return np.asarray((places[:, 0] * self.shape[1] + places[:, 1]) * self.shape[2] + places[:, 2], np.int64)

    def counts(self, points: F8) -> I8:
        """Points of each cell, in the shape of the cells."""
        return np.bincount(self.index(points), minlength=self.size).reshape(self.shape).astype(np.int64)

    def offsets(self, reach: float) -> Iterator[tuple[int, int, int]]:
        """Steps from a cell to all that can hold a point within reach of one in it."""
        yield from product(*(self._steps(axis, reach) for axis in range(3)))

    def _steps(self, axis: int, reach: float) -> range:
        n, far = int(self.shape[axis]), int(reach / self.side[axis]) + 1
        if self.period[axis] > 0.0:
            return range(-min(far, (n - 1) // 2), min(far, n // 2) + 1)
        return range(-min(far, n - 1), min(far, n - 1) + 1)

    def gap(self, offset: tuple[int, int, int]) -> float:
        """The least distance of two points that lie in cells so many steps apart."""
        apart = np.maximum(np.abs(np.array(offset)) - 1, 0) * self.side
        return float(np.sqrt((apart * apart).sum())) * NEARLY

    def shifted(self, counts: npt.NDArray[np.generic], offset: tuple[int, int, int]) -> npt.NDArray[np.generic]:
        """For each cell, what `counts` holds of the cell at that offset; 0 beyond the border."""
        out = counts
        for axis, step in enumerate(offset):
            if not step:
                continue
            out = np.roll(out, -step, axis)
            if self.period[axis] == 0.0:
                out = out.copy()
                cut: list[slice] = [slice(None)] * 3
                cut[axis] = slice(-step, None) if step > 0 else slice(None, -step)
                out[tuple(cut)] = 0
        return out


def folded(points: F8, period: F8) -> F8:
    """Points, shape (n, 3), brought into [0, period) where space repeats itself."""
    whole = np.where(period > 0.0, period, 1.0)
    return np.where(period > 0.0, points - np.floor(points / whole) * whole, points)


def halves(period: F8) -> F8:
    """Half the period; infinite where space does not repeat itself."""
    return np.where(period > 0.0, period / 2.0, np.inf)


def cells_of(points: F8, others: F8, period: F8, reach: float | None, members: int = MEMBERS) -> Cells:
    """Cells for finding `points`, shape (n, 3), within reach of `others`; about so many in each, where they are small enough.

    Without a reach, as small as it takes to have so many in each.
    """
    low = np.minimum(points.min(0), others.min(0))
    span = np.maximum(points.max(0), others.max(0)) - low
    length = np.where(period > 0.0, period, span)
    active = length > 0.0
    longest = float(length.max())
    if longest == 0.0:
        return Cells(low, np.ones(3), np.ones(3, np.int64), period)
    finest = max(0.0 if reach is None else reach / RINGS[int(active.sum())], longest / 2**20)
    cuts = 1
    for more in (m for k in range(20) for m in (2 << k, 3 << k)):
        side = longest / more
        cells = np.maximum(1.0, np.floor(length / side))
        crowded = float(np.prod(cells)) * members <= len(points) or (reach is not None and side > reach / 2)
        if side < finest or float(np.prod(cells)) > len(points) + 64 or not crowded:
            break
        cuts = more
    shape = np.maximum(1, np.floor(length / (longest / cuts))).astype(np.int64)
    return Cells(low, np.where(active, length, 1.0) / shape, shape, period)


def envelope(table: F8) -> F8:
    """The greatest value of a profile at this distance or any beyond it."""
    return np.maximum.accumulate(table[::-1])[::-1]


def most_near(table: F8, reach: float, gap: float) -> float:
    """The greatest value at distances of `gap` or more, from an envelope."""
    if gap > reach:
        return 0.0
    node = min(int(gap / reach * DISTANCES), DISTANCES) if reach > 0.0 else 0
    return float(table[node])
