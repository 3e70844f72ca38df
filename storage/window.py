"""Which rows belong to the last steps of a run."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt


class Window:
    """Of a table of events: how many rows there were after each of the last `length` steps."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._pieces: deque[tuple[int, npt.NDArray[np.int64]]] = deque([(0, np.zeros(1, np.int64))])
        """(step, rows after it and after each step that follows); the last entry of a piece is the first of the next."""

    def restart(self, step: int, rows: int) -> None:
        """Begin at a step after which there were so many rows."""
        self._pieces = deque([(step, np.array([rows], np.int64))])

    @property
    def step(self) -> int:
        """The last one."""
        first, reached = self._pieces[-1]
        return first + len(reached) - 1

    def extend(self, step: int, ticks: npt.NDArray[np.int64]) -> None:
        """The rows of the steps up to `step` have these ticks, ascending."""
        last, rows = self.step, int(self._pieces[-1][1][-1])
        self._pieces.append((last, rows + np.searchsorted(ticks, np.arange(last, step + 1), side="right")))
        while self._pieces[0][0] + len(self._pieces[0][1]) - 1 < step - self._length:
            self._pieces.popleft()

    def first(self) -> int:
        """The first row of the last `length` steps."""
        start, reached = self._pieces[0]
        return int(reached[max(self.step - self._length - start, 0)])
