"""The spikes of the last steps on the device, by source: who fired, and how many times, in a ring of steps.

A slot of the ring holds `number` rows in `fired`, and of each row how often it fired in `times`; both as (slots, rows).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from eventsnn.backends.cuda.device import arrays, device, kernel, to_host, words
from eventsnn.backends.cuda.kernels import CALLEES, GIVEN, first_from
from eventsnn.backends.loops import imported
from eventsnn.backends.shared import bind


def enter(row, slot, rows, fired, times, number):
    """A spike of a row, if it is one; spikes come in any order."""
    if 0 <= row < rows and cuda.atomic.add(times, slot * rows + row, 1) == 0:
        fired[slot * rows + cuda.atomic.add(number, slot, 1)] = row


def enter_given(
    control, items, low, mask, rows, fired, times, number, third_low, third_mask, third_rows, third_fired, third_times,
    third_number,
):  # fmt: skip
    """Spikes (step << 32 | id) that other parts sent: of sources, and of those that modulate."""
    for i in range(cuda.grid(1), control[GIVEN], cuda.gridsize(1)):
        step = items[i] >> 32
        source = items[i] & 0xFFFFFFFF
        enter(source - low, step & mask, rows, fired, times, number)
        enter(source - third_low, step & third_mask, third_rows, third_fired, third_times, third_number)


def segment_of(first, segment_delay, row, delay):
    """The segment of a row with a delay; -1 if there is none."""
    at = first_from(segment_delay, first[row], first[row + 1], delay)
    return at if at < first[row + 1] and segment_delay[at] == delay else np.int64(-1)


def spikes_of(slot, rows, fired, times, number):
    """All spikes of a slot."""
    total = np.int64(0)
    for k in range(number[slot]):
        total += times[slot * rows + fired[slot * rows + k]]
    return total


@cache
def load() -> SimpleNamespace:
    """The kernel, compiled when first launched."""
    names = words()
    text = '"""Numba keeps a kernel of eventsnn beside this file."""\n'
    kept = imported(text, "fired_cuda", CALLEES + Path(str(sys.modules[__name__].__file__)).read_bytes()).__file__
    bind((enter,), device, names)
    bind((enter_given,), kernel, names, str(kept))
    return SimpleNamespace(enter_given=names["enter_given"])


class Fired:
    """The ring of neurons [low, high) of the network, for spikes that are needed for up to `steps` steps."""

    def __init__(self, low: int, high: int, steps: int) -> None:
        xp = arrays()
        self.low, self.rows, self.steps = low, high - low, steps
        self.slots = 1 << (steps + 1).bit_length()
        self.fired, self.times = (xp.zeros(max(1, self.slots * self.rows), np.int32) for _ in range(2))
        self.number = xp.zeros(self.slots, np.int32)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """First neuron, mask of slots, rows, arrays."""
        return self.low, self.slots - 1, self.rows, self.fired, self.times, self.number

    @property
    def nbytes(self) -> int:
        return int(self.fired.nbytes + self.times.nbytes + self.number.nbytes)

    def after(self, step: int) -> Iterator[tuple[int, int, int]]:
        """(row, step, times) of what fired after a step that lies `steps` back at most."""
        fired, times, number = (to_host(a) for a in (self.fired, self.times, self.number))
        for k in range(step + 1, step + self.steps + 1):
            slot = k % self.slots
            for row in np.sort(fired[slot * self.rows :][: number[slot]]).tolist():
                yield row, k, int(times[slot * self.rows + row])

    def put(self, now: int, spikes: Iterable[tuple[int, int, int]]) -> None:
        """Take up (row, step, times); a spike that is there already counts once."""
        fired, times, number = (to_host(a) for a in (self.fired, self.times, self.number))
        for row, step, many in spikes:
            if now - self.steps < step <= now and 0 <= row < self.rows:
                slot = step % self.slots
                at = slot * self.rows
                if times[at + row] == 0:
                    fired[at + number[slot]] = row
                    number[slot] += 1
                times[at + row] = max(int(times[at + row]), many)
        for mine, theirs in ((self.fired, fired), (self.times, times), (self.number, number)):
            mine[:] = arrays().asarray(theirs)


def entries(piece: npt.NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Rows of an array as tuples."""
    return [(int(a), int(b), int(c)) for a, b, c in piece.tolist()]
