"""Partners that are drawn by where they lie, from the cells around a neuron.

`centers` draw from `points`. A center's random words come from (its index, attempt, NEAR, 0). Sums and square roots are those of
IEEE, never fused, and cells depend on all positions, so a draw is the same on any part.

Pairs: a cell whose points have at most the probability p holds candidates with the hazard -log(1 - p) each, one cell after the
other; an exponential number says where the next candidate is, which stays with the probability of its own distance over p. So the
work is in proportion to the connections. Draws of a fixed number pick a cell by its hazard (here the greatest weight times the
points), a point of it, and keep that with its own weight over the greatest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from eventsnn.backends.cpu.philox import philox
from eventsnn.backends.cpu.portable import log64
from eventsnn.spec import DISTANCES

NEAR, LEFT = 5, 6
"""Third words of the counters used here."""
BEYOND = DISTANCES * DISTANCES * (1.0 + 1e-9)
"""The square of a distance in nodes, from which on a profile is 0."""
SURE = 64.0
"""The hazard of a candidate that is certain: more than any exponential number of 53 bits."""
STROLL = 8
"""Cells that are passed one by one, before the next is looked for by halves."""
AHEAD = 64
"""Random numbers that are made at once."""
TRIES = 64
"""Attempts per partner that is wanted, after which all that can still be drawn are listed."""


class Field(NamedTuple):
    """What partners are drawn from."""

    points: npt.NDArray[np.float64]
    """Sorted by cell, (n, 3)."""
    first: npt.NDArray[np.int64]
    """Where those of a cell begin, (cells + 1,)."""
    shape: npt.NDArray[np.int64]
    """Cells in each direction."""
    half: npt.NDArray[np.float64]
    """Half the period, or infinity."""
    sign: float
    """1, or -1 where a mask holds the displacement of the center from the point."""
    table: npt.NDArray[np.float64]
    per: float
    """Nodes of the table per length."""
    masked: bool
    mask: npt.NDArray[np.float64]
    """low, high and center (3 each), inner and outer squared."""
    steps: npt.NDArray[np.int64]
    """Steps to the cells around one, and in which directions space repeats: (around, 6)."""
    most: npt.NDArray[np.float64]
    """The greatest value of the profile there, (around,);"""
    hazards: npt.NDArray[np.float64]
    """and what it counts in the search for the next candidate."""


@njit(nogil=True, inline="always")
def shorter(x, half):
    """A displacement by the shorter way round; an infinite half: space does not repeat. |x| is below the whole period."""
    if x > half:
        x = x - 2.0 * half
    elif x < -half:
        x = x + 2.0 * half
    return x


@njit(nogil=True, inline="always")
def _value(square, table, per):
    """A table over the distance, linear between its nodes."""
    place = min(math.sqrt(square) * per, DISTANCES - 0.5**40)
    node = np.uint64(place)
    low = table[node]
    return low + (table[node + np.uint64(1)] - low) * (place - np.float64(node))


@njit(nogil=True, inline="always")
def _weight(points, s, x, y, z, h0, h1, h2, table, per, sign, masked, mask):
    """The value of the profile at point s, around (x, y, z)."""
    x = shorter(points[s, 0] - x, h0)
    y = shorter(points[s, 1] - y, h1)
    z = shorter(points[s, 2] - z, h2)
    square = x * x + y * y + z * z
    value = _value(square, table, per) if square * per * per <= BEYOND else 0.0
    if masked:
        x, y, z = sign * x, sign * y, sign * z
        inside = mask[0] <= x <= mask[3] and mask[1] <= y <= mask[4] and mask[2] <= z <= mask[5]
        x, y, z = x - mask[6], y - mask[7], z - mask[8]
        around = x * x + y * y + z * z
        if not (inside and mask[9] <= around <= mask[10]):
            value = 0.0
    return value


@njit(nogil=True)
def _around(cell, f, cells, sums):
    """Cells with points around a cell: which ones, and the sums of their hazards. Returns their number."""
    shape, steps, first = f.shape, f.steps, f.first
    a, b, c = cell // (shape[1] * shape[2]), cell // shape[2] % shape[1], cell % shape[2]
    found = 0
    sums[0] = 0.0
    for k in range(len(steps)):
        x, y, z = a + steps[k, 0], b + steps[k, 1], c + steps[k, 2]
        if steps[k, 3] == 0 and (x < 0 or x >= shape[0]):
            continue
        if steps[k, 4] == 0 and (y < 0 or y >= shape[1]):
            continue
        if steps[k, 5] == 0 and (z < 0 or z >= shape[2]):
            continue
        other = (x % shape[0] * shape[1] + y % shape[1]) * shape[2] + z % shape[2]
        n = first[other + 1] - first[other]
        if n:
            cells[found, 0], cells[found, 1] = other, k
            sums[found + 1] = sums[found] + n * f.hazards[k]
            found += 1
    return found


@njit(nogil=True)
def _uniform(a, b):
    return (np.float64(a) + (np.float64(b) + 0.5) * 2.3283064365386963e-10) * 2.3283064365386963e-10


@njit(nogil=True, inline="always")
def _next(sums, j, near, place):
    """The last entry from j on that is not above `place`, which is below the last of all: mostly close by."""
    few = min(j + STROLL, near)
    while j < few and sums[j + 1] <= place:
        j += 1
    if j == few and sums[j + 1] <= place:
        low, high = j + 1, near - 1
        while low < high:
            middle = (low + high + 1) // 2
            if sums[middle] <= place:
                low = middle
            else:
                high = middle - 1
        j = low
    return j


@njit(nogil=True)
def _ahead(center, attempt, key, steps, chances):
    """Exponential numbers and uniform ones of as many attempts as there is room for."""
    for t in range(steps.size):
        a, b, c, _ = philox(np.uint32(center), np.uint32(attempt + t), np.uint32(NEAR), np.uint32(0), key[0], key[1])
        steps[t] = -log64(_uniform(a, b))
        chances[t] = (np.float64(c) + 0.5) * 2.3283064365386963e-10


@njit(nogil=True, cache=True)
def near_pairs(begin, ids, centers, own, cell_of, f, k0, k1, out, counts):
    """Partners of centers `begin` onwards, one after the other, until `out` is full: (centers done, partners).

    Centers come sorted by cell, points too: `first` says where those of a cell begin.
    """
    key = np.uint32(k0), np.uint32(k1)
    first, hazards, most = f.first, f.hazards, f.most
    points, table, per, sign, masked, mask = f.points, f.table, f.per, f.sign, f.masked, f.mask
    h0, h1, h2 = f.half[0], f.half[1], f.half[2]
    cells = np.empty((len(hazards), 2), np.int64)
    sums = np.empty(len(hazards) + 1)
    rates = 1.0 / hazards
    ahead, chances = np.empty(AHEAD), np.empty(AHEAD)
    near, last, at = 0, -1, 0
    for i in range(begin, len(ids)):
        if cell_of[i] != last:
            near = _around(cell_of[i], f, cells, sums)
            last = cell_of[i]
        start = at
        x, y, z = centers[i, 0], centers[i, 1], centers[i, 2]
        place, j, q, attempt = 0.0, 0, np.int64(0), 0
        while True:
            t = attempt & (AHEAD - 1)
            if t == 0:
                few = AHEAD if sums[near] > AHEAD / 2 else AHEAD // 8
            if t & (few - 1) == 0:
                _ahead(ids[i], attempt, key, ahead[t : t + few], chances[t : t + few])
            attempt += 1
            place = place + ahead[t]
            if place >= sums[near]:
                break
            before = j
            j = _next(sums, j, near, place)
            k = cells[j, 1]
            inside = np.int64((place - sums[j]) * rates[k])
            if j != before or inside > q:
                q = inside
            if q >= first[cells[j, 0] + 1] - first[cells[j, 0]]:
                j, q = j + 1, np.int64(0)  # the last point of its cell, but for rounding
                if j == near:
                    break
                k = cells[j, 1]
            s = first[cells[j, 0]] + q
            q += 1
            place = sums[j] + q * hazards[k]
            if s == own[i]:
                continue
            p = _weight(points, s, x, y, z, h0, h1, h2, table, per, sign, masked, mask)
            if chances[t] * most[k] < p:
                if at == len(out):
                    return i, start
                out[at] = s
                at += 1
        counts[i] = at - start
    return len(ids), at


@njit(nogil=True)
def _left(want, got, id, center, own, near, cells, f, key, distinct, seen, drawn):
    """Draw what is still wanted from a list of all that can be: returns how many there are now."""
    first, n = f.first, 0
    points, table, per, sign, masked, mask = f.points, f.table, f.per, f.sign, f.masked, f.mask
    h0, h1, h2 = f.half[0], f.half[1], f.half[2]
    for j in range(near):
        n += first[cells[j, 0] + 1] - first[cells[j, 0]]
    left = np.empty(n, np.int64)
    weights = np.empty(n)
    x, y, z = center[0], center[1], center[2]
    total, n = 0.0, 0
    for j in range(near):
        for s in range(first[cells[j, 0]], first[cells[j, 0] + 1]):
            if s == own or (distinct and (seen[s >> 6] >> np.uint64(s & 63)) & np.uint64(1)):
                continue
            p = _weight(points, s, x, y, z, h0, h1, h2, table, per, sign, masked, mask)
            if p > 0.0:
                left[n], weights[n] = s, p
                n += 1
    while got < want and n:
        total = 0.0
        for k in range(n):
            total += weights[k]
        a, b, _, _ = philox(np.uint32(id), np.uint32(got), np.uint32(LEFT), np.uint32(0), key[0], key[1])
        place = _uniform(a, b) * total
        k = 0
        while k < n - 1 and place >= weights[k]:
            place -= weights[k]
            k += 1
        drawn[got] = left[k]
        got += 1
        if distinct:
            seen[left[k] >> 6] |= np.uint64(1) << np.uint64(left[k] & 63)
            n -= 1
            for m in range(k, n):
                left[m], weights[m] = left[m + 1], weights[m + 1]
    return got


@njit(nogil=True, cache=True)
def near_draws(ids, centers, own, cell_of, f, k0, k1, want, distinct, wanted, out, counts):
    """`want` partners of every center, of which those that are wanted are kept.

    Returns (-1, partners), or a center that finds too few.
    """
    key = np.uint32(k0), np.uint32(k1)
    first, most = f.first, f.most
    points, table, per, sign, masked, mask = f.points, f.table, f.per, f.sign, f.masked, f.mask
    h0, h1, h2 = f.half[0], f.half[1], f.half[2]
    cells = np.empty((len(most), 2), np.int64)
    sums = np.empty(len(most) + 1)
    seen = np.zeros(len(points) // 64 + 1, np.uint64)
    drawn = np.empty(want, np.int64)
    near, last, at = 0, -1, 0
    for i in range(len(ids)):
        if cell_of[i] != last:
            near = _around(cell_of[i], f, cells, sums)
            last = cell_of[i]
        x, y, z = centers[i, 0], centers[i, 1], centers[i, 2]
        got, attempt = 0, 0
        while got < want and attempt < TRIES * (want + 8) and near:
            a, b, c, _ = philox(np.uint32(ids[i]), np.uint32(attempt), np.uint32(NEAR), np.uint32(0), key[0], key[1])
            attempt += 1
            place = _uniform(a, b) * sums[near]
            low, high = 0, near - 1
            while low < high:
                middle = (low + high + 1) // 2
                if sums[middle] <= place:
                    low = middle
                else:
                    high = middle - 1
            cell, weight = cells[low, 0], most[cells[low, 1]]
            if weight <= 0.0:
                continue
            s = min(first[cell] + np.int64((place - sums[low]) / weight), first[cell + 1] - 1)
            if s == own[i] or (distinct and (seen[s >> 6] >> np.uint64(s & 63)) & np.uint64(1)):
                continue
            p = _weight(points, s, x, y, z, h0, h1, h2, table, per, sign, masked, mask)
            if (np.float64(c) + 0.5) * 2.3283064365386963e-10 * weight < p:
                drawn[got] = s
                got += 1
                if distinct:
                    seen[s >> 6] |= np.uint64(1) << np.uint64(s & 63)
        if got < want:
            got = _left(want, got, ids[i], centers[i], own[i], near, cells, f, key, distinct, seen, drawn)
        start = at
        for k in range(got):
            seen[drawn[k] >> 6] = 0
            if wanted[drawn[k]]:
                if at < len(out):
                    out[at] = drawn[k]
                at += 1
        counts[i] = at - start
        if got < want:
            return i, at
    return -1, at


@njit(nogil=True, cache=True)
def shape_values(pre, post, sources, degrees, half, tables, per, out):
    """out[t, e]: table t at the distance of edge e; edges come in order (target, k)."""
    e = 0
    for i in range(len(degrees)):
        for _ in range(degrees[i]):
            s = sources[e]
            x = shorter(pre[s, 0] - post[i, 0], half[0])
            y = shorter(pre[s, 1] - post[i, 1], half[1])
            z = shorter(pre[s, 2] - post[i, 2], half[2])
            square = x * x + y * y + z * z
            for t in range(len(tables)):
                out[t, e] = _value(square, tables[t], per)
            e += 1


@njit(nogil=True, cache=True)
def gathered(found, starts, order, counts, points, out):
    """Partners of sorted centers in the order of the centers; `points` gives the index of a sorted point."""
    at = 0
    for i in range(len(order)):
        start = starts[order[i]]
        for k in range(counts[order[i]]):
            out[at] = points[found[start + k]]
            at += 1
