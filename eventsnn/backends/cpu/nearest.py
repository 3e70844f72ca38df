"""The points that lie next to a center: cells are searched ring by ring, until none that is left can be nearer."""

from __future__ import annotations

import numpy as np
from numba import njit

from eventsnn.backends.cpu.nearby import shorter


@njit(nogil=True, cache=True)
def nearest(centers, own, cell_of, f, order, side, want, out):
    """The `want` nearest points of every center, by distance and index (`order` of a point): shape (centers, want)."""
    points, first, shape, half = f.points, f.first, f.shape, f.half
    wrapped = half < np.inf
    squares = np.empty(want + 1)
    for i in range(len(centers)):
        cell = cell_of[i]
        a, b, c = cell // (shape[1] * shape[2]), cell // shape[2] % shape[1], cell % shape[2]
        got = 0
        for ring in range(max(shape[0], shape[1], shape[2]) + 1):
            if got == want and ring > 1:
                safe = (ring - 1) * side * (1.0 - 1e-9)
                if squares[want - 1] < safe * safe:
                    break
            for x in range(max(-ring, -shape[0]), min(ring, shape[0]) + 1):
                for y in range(max(-ring, -shape[1]), min(ring, shape[1]) + 1):
                    face = abs(x) == ring or abs(y) == ring
                    if not (_in(a, x, shape[0], wrapped[0]) and _in(b, y, shape[1], wrapped[1])):
                        continue
                    for z in range(max(-ring, -shape[2]), min(ring, shape[2]) + 1):
                        if not _in(c, z, shape[2], wrapped[2]) or not (face or abs(z) == ring):
                            continue
                        other = ((a + x) % shape[0] * shape[1] + (b + y) % shape[1]) * shape[2] + (c + z) % shape[2]
                        for s in range(first[other], first[other + 1]):
                            if s == own[i]:
                                continue
                            u = shorter(points[s, 0] - centers[i, 0], half[0])
                            v = shorter(points[s, 1] - centers[i, 1], half[1])
                            w = shorter(points[s, 2] - centers[i, 2], half[2])
                            square = u * u + v * v + w * w
                            got = _enter(square, order[s], got, want, squares, out[i])


@njit(nogil=True)
def _in(cell, step, n, wrapped):
    """Whether a step stays inside, or is the shorter way round where space repeats."""
    if wrapped:
        return -((n - 1) // 2) <= step <= n // 2
    return 0 <= cell + step < n


@njit(nogil=True)
def _enter(square, number, got, want, squares, row):
    """Enter a point in the ascending row of the nearest so far; returns their number."""
    k = got
    while k > 0 and (squares[k - 1] > square or (squares[k - 1] == square and row[k - 1] > number)):
        if k < want:
            squares[k], row[k] = squares[k - 1], row[k - 1]
        k -= 1
    if k < want:
        squares[k], row[k] = square, number
    return min(got + 1, want)
