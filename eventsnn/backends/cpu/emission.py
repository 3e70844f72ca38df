"""Flags to spikes, and samples of what neurons hold."""

from __future__ import annotations

import numpy as np

from eventsnn.backends.cpu.intrinsics import item, view, words
from eventsnn.backends.cpu.memory import OUT_OF_MEMORY, add
from eventsnn.backends.cpu.operation import Code

FULL = 2


def emit(args, step):
    """Write the neurons with flags to the spike list of this epoch, and to the log where they are recorded.

    Arguments: words of flags, flags, ids, counts, recorded, the two epoch lists, parity, log. A flag is the number of spikes
    (m <= 255); such a neuron is written m times. An item is step << 32 | id.
    """
    a = words(args, 9)
    flags8 = view(a[1], a[0], np.int64)
    for word in range(a[0]):
        if flags8[word] == 0:
            continue
        flags = view(a[1], 8 * a[0], np.uint8)
        ids = view(a[2], 8 * a[0], np.int64)
        counts = view(a[3], 8 * a[0], np.int64)
        recorded = view(a[4], 8 * a[0], np.uint8)
        spikes = a[6] if item(a[7], 0, np.int64) else a[5]
        for i in range(8 * word, 8 * word + 8):
            spike = step << 32 | ids[i]
            for _ in range(flags[i]):
                if not add(spikes, spike) or (recorded[i] and not add(a[8], spike)):
                    return OUT_OF_MEMORY
            counts[i] += flags[i]
        flags8[word] = 0
    return 0


def _sample(source, out):
    def sample(args, step):
        a = words(args, 8)
        if step % a[0] != 0:
            return 0
        n = a[1]
        values = view(a[2], 65536, source)
        where = view(a[3], n, np.int64)
        rows = view(a[4], 1, np.int64)
        if rows[0] >= a[5]:
            return FULL
        kept = view(a[6], (a[5], n), out)[rows[0]]
        scale = item(a[7], 0, np.float64)
        for i in range(n):
            kept[i] = out(np.float64(values[where[i]]) * scale)
        rows[0] += 1
        return 0

    return sample


EMIT = Code(emit)
SAMPLE = {
    (source, out): Code(_sample(getattr(np, source), getattr(np, out)))
    for source in ("float64", "float32", "int32", "int64")
    for out in ("float64", "float32")
}
"""By type of the source and of the sample: (every, n, source, positions, rows, capacity, samples, scale)"""
