"""What acts on neurons from outside the network: Poisson counts, given spikes, currents; and neurons that only pass spikes on.

Poisson counts come from one Philox call per neuron and four steps: word (t & 3) of counter (neuron, t >> 2, part). A mean of at
most 10 per step is drawn from a table of thresholds on the word; larger means are sums of independent equal parts, which is
exact.
"""

from __future__ import annotations

import numpy as np

from eventsnn.backends.cpu.intrinsics import item, view, words
from eventsnn.backends.cpu.operation import Code
from eventsnn.backends.cpu.philox import philox, search_count

ZERO = np.uint32(0)


def _draw_table(size):
    """Counts of four steps for neighbours of one rate, by `size` thresholds held in registers."""

    def draw(args, step):
        a = words(args, 9)
        if (step & 3) != 0 and step != item(a[8], 0, np.int64):
            return 0
        n = a[0]
        first = np.uint32(a[1])
        t = view(a[2], a[3], np.uint32)
        k0 = np.uint32(a[5])
        k1 = np.uint32(a[6])
        quad = np.uint32(step >> 2)
        r0 = view(a[7], n, np.uint16)
        r1 = view(a[7] + 2 * n, n, np.uint16)
        r2 = view(a[7] + 4 * n, n, np.uint16)
        r3 = view(a[7] + 6 * n, n, np.uint16)
        for part in range(a[4]):
            for i in range(n):
                w0, w1, w2, w3 = philox(np.uint32(first + np.uint32(i)), quad, np.uint32(part), ZERO, k0, k1)
                n0 = n1 = n2 = n3 = ZERO
                for k in range(size):
                    most = t[k]
                    n0 += np.uint32(w0 > most)
                    n1 += np.uint32(w1 > most)
                    n2 += np.uint32(w2 > most)
                    n3 += np.uint32(w3 > most)
                if part:
                    n0 += r0[i]
                    n1 += r1[i]
                    n2 += r2[i]
                    n3 += r3[i]
                r0[i] = n0
                r1[i] = n1
                r2[i] = n2
                r3[i] = n3
        return 0

    return draw


def draw_each(args, step):
    """Counts of four steps where every neuron has its own mean.

    Arguments: n, ids, means of one part, exp(-mean) of one part, parts, key, counts, clock. Inversion by sequential search.
    """
    a = words(args, 9)
    n = a[0]
    if (step & 3) != 0 and step != item(a[8], 0, np.int64):
        return 0
    ids = view(a[1], n, np.uint32)
    means = view(a[2], n, np.float64)
    zeros = view(a[3], n, np.float64)
    parts = view(a[4], n, np.int64)
    k0, k1 = np.uint32(a[5]), np.uint32(a[6])
    counts = view(a[7], (4, n), np.uint16)
    for i in range(n):
        for q in range(4):
            counts[q, i] = 0
        for part in range(parts[i]):
            four = philox(ids[i], np.uint32(step >> 2), np.uint32(part), np.uint32(0), k0, k1)
            for q in range(4):
                counts[q, i] += search_count(four[q], means[i], zeros[i])
    return 0


def _add_counts(accumulator):
    def add(args, step):
        a = words(args, 4)
        counts = view(a[1] + 2 * a[0] * (step & 3), a[0], np.uint16)
        total = view(a[2], a[0], accumulator)
        weight = accumulator(a[3])
        for i in range(a[0]):
            total[i] += accumulator(counts[i]) * weight
        return 0

    return add


def _add_counts_at(accumulator):
    def add(args, step):
        a = words(args, 7)
        counts = view(a[1] + 2 * a[5] * (step & 3), a[5], np.uint16)
        total = view(a[2], 65536, accumulator)
        weight = accumulator(a[3])
        where = view(a[4], a[0], np.int64)
        pick = view(a[6], a[0], np.int64)
        for i in range(a[0]):
            total[where[i]] += accumulator(counts[pick[i]]) * weight
        return 0

    return add


def emit_counts(args, step):
    """Spikes of Poisson neurons. Arguments: n, counts, flags."""
    a = words(args, 3)
    counts = view(a[1] + 2 * a[0] * (step & 3), a[0], np.uint16)
    flags = view(a[2], a[0], np.uint8)
    for i in range(a[0]):
        flags[i] = min(255, counts[i])
    return 0


def emit_given(args, step):
    """Spikes given beforehand, on top of a neuron's own but never more than it can emit in a step (weights are scaled for that).

    Arguments: cursor, n, steps (ascending), positions, flags, most.
    """
    a = words(args, 6)
    cursor = view(a[0], 1, np.int64)
    steps = view(a[2], a[1], np.int64)
    where = view(a[3], a[1], np.int64)
    flags = view(a[4], 65536, np.uint8)
    k = cursor[0]
    while k < a[1] and steps[k] <= step:
        if steps[k] == step and flags[where[k]] < a[5]:
            flags[where[k]] += 1
        k += 1
    cursor[0] = k
    return 0


def relay(args, step):
    """A parrot emits what arrived. Arguments: n, accumulator (int32), flags."""
    a = words(args, 3)
    total = view(a[1], a[0], np.int32)
    flags = view(a[2], a[0], np.uint8)
    for i in range(a[0]):
        flags[i] = np.uint8(min(max(total[i], 0), 255))
        total[i] = 0
    return 0


def _copy(accumulator):
    def copy(args, step):
        a = words(args, 3)
        found = view(a[1], a[0], accumulator)
        kept = view(a[2], a[0], accumulator)
        for i in range(a[0]):
            kept[i] = found[i]
        return 0

    return copy


def _clear_current(real):
    def clear(args, step):
        a = words(args, 2)
        current = view(a[1], a[0], real)
        for i in range(a[0]):
            current[i] = 0
        return 0

    return clear


def _add_current(real):
    def add(args, step):
        a = words(args, 7)
        n, stride = a[0], a[5]
        steps = view(a[1], a[2], np.int64)
        values = view(a[3], a[2] * max(1, n * stride), np.float64)
        current = view(a[4], 65536, real)
        where = view(a[6], n, np.int64)
        k = np.searchsorted(steps, step) - 1
        if k < 0:
            return 0
        for i in range(n):
            current[where[i]] += real(values[k * n + i] if stride else values[k])
        return 0

    return add


DRAW_TABLE = {size: Code(_draw_table(size)) for size in (8, 12, 16, 20, 24, 32, 40)}
"""By thresholds in registers: (n, first id, thresholds, their number, parts, key, key, counts, clock)"""
DRAW_EACH = Code(draw_each)
ADD_COUNTS = {False: Code(_add_counts(np.int32)), True: Code(_add_counts(np.int64))}
"""By width of the accumulator: (n, counts, accumulator, weight)"""
ADD_COUNTS_AT = {False: Code(_add_counts_at(np.int32)), True: Code(_add_counts_at(np.int64))}
"""By width of the accumulator: (n, counts, accumulator, weight, positions, number of counts, which of them)"""
COPY = {False: Code(_copy(np.int32)), True: Code(_copy(np.int64))}
"""By width of the accumulator: (n, accumulator, copy)"""
EMIT_COUNTS = Code(emit_counts)
EMIT_GIVEN = Code(emit_given)
RELAY = Code(relay)
CLEAR_CURRENT = {"float64": Code(_clear_current(np.float64)), "float32": Code(_clear_current(np.float32))}
"""(n, current)"""
ADD_CURRENT = {"float64": Code(_add_current(np.float64)), "float32": Code(_add_current(np.float32))}
"""(n, steps, number of steps, values, current, 1 if one value per neuron, positions)"""
