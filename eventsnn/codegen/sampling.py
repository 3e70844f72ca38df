"""Draws from quantile tables with numpy: the reference for the backends, and for values that the host itself needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn import spec

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint32]


def look_up(table: Floats, words: Words) -> Floats:
    """One number per uint32: linear interpolation a + frac * (b - a) in the cell of p (see spec.Drawn)."""
    side = words >> np.uint32(31)
    distance = np.where(side == 1, ~words, words)
    fraction, octave = np.frexp(distance.astype(np.float64) + 0.5)  # fraction in [1/2, 1); p = fraction * 2**(octave - 32)
    place = (2.0 * fraction - 1.0) * spec.CELLS
    cell = np.floor(place)
    node = octave * spec.CELLS + cell.astype(np.int64)
    a, b = table[side, node], table[side, node + 1]
    return np.asarray(a + (place - cell) * (b - a), dtype=np.float64)


def sample(drawn: spec.Drawn, words: npt.NDArray[np.uint32]) -> Floats:
    """One number per row of `words`, whose columns are the uint32 words of the draws: shape (elements, draws) or (elements,)."""
    columns = words.reshape(len(words), len(drawn.tables))
    draws = [look_up(table, columns[:, k]) for k, table in enumerate(drawn.tables)]
    return run_program(drawn.program, draws, len(columns))


def run_program(program: tuple[tuple[str, float], ...], draws: list[Floats], n: int) -> Floats:
    """The postfix program of spec.Drawn over arrays of draws."""
    stack: list[Floats] = []
    binary = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "min": np.minimum, "max": np.maximum}
    for name, argument in program:
        if name == "draw":
            stack.append(draws[int(argument)])
        elif name == "const":
            stack.append(np.full(n, argument))
        else:
            right = stack.pop()
            left = stack.pop()
            stack.append(np.asarray(binary[name](left, right), dtype=np.float64))
    return stack.pop()


def mean(drawn: spec.Drawn) -> float:
    """Exact for one table (trapezoids over its cells); else the mean over 2**16 points that fill the unit cube evenly."""
    if drawn.program == (("draw", 0),):
        p = 2.0**-33 * 2.0 ** (np.arange(spec.SIDE) // spec.CELLS) * (1.0 + (np.arange(spec.SIDE) % spec.CELLS) / spec.CELLS)
        table = drawn.tables[0]
        inner = float(np.sum(np.diff(p) * (table[:, 1:] + table[:, :-1]) / 2.0))
        return inner + float(p[0] * (table[0, 0] + table[1, 0]))
    n, root = 1 << 16, _plastic_number(len(drawn.tables))
    steps = np.array([int((root ** -(k + 1)) * 2.0**32) for k in range(len(drawn.tables))], dtype=np.uint64)
    points = (np.arange(1, n + 1, dtype=np.uint64)[:, None] * steps[None, :]).astype(np.uint32)
    return float(np.mean(sample(drawn, points)))


def _plastic_number(dimensions: int) -> float:
    """The root of x**(d + 1) = x + 1: its powers give a low-discrepancy additive sequence."""
    x = 2.0
    for _ in range(64):
        x = (1.0 + x) ** (1.0 / (dimensions + 1.0))
    return x
