"""Flags to spikes, and samples of what neurons hold."""

from __future__ import annotations

import numpy as np

from eventsnn.backends.cpu.intrinsics import view
from eventsnn.backends.cpu.memory import OUT_OF_MEMORY, add
from eventsnn.backends.cpu.operation import Code

FULL = 2
S32 = np.uint64(32)


def emit(args, step):
    """Write the neurons with flags to the spike list of this epoch, and to the log where they are recorded.

    Arguments: words of flags, flags, ids, counts, recorded, the two epoch lists, parity, log. A flag is the number of spikes
    (m <= 255); such a neuron is written m times. An item is step << 32 | id.
    """
    a = view(args, 9, np.int64)
    flags8 = view(a[1], a[0], np.uint64)
    high = np.uint64(step) << S32
    for word in range(a[0]):
        if flags8[word] == 0:
            continue
        flags = view(a[1], 8 * a[0], np.uint8)
        ids = view(a[2], 8 * a[0], np.int64)
        counts = view(a[3], 8 * a[0], np.int64)
        recorded = view(a[4], 8 * a[0], np.uint8)
        spikes = view(a[6] if view(a[7], 1, np.int64)[0] else a[5], 3, np.int64)
        log = view(a[8], 3, np.int64)
        for i in range(8 * word, 8 * word + 8):
            item = high | np.uint64(ids[i])
            for _ in range(flags[i]):
                if not add(spikes, item) or (recorded[i] and not add(log, item)):
                    return OUT_OF_MEMORY
            counts[i] += flags[i]
        flags8[word] = np.uint64(0)
    return 0


def _sample(source, out):
    def sample(args, step):
        a = view(args, 8, np.int64)
        if step % a[0] != 0:
            return 0
        n = a[1]
        values = view(a[2], 65536, source)
        where = view(a[3], n, np.int64)
        rows = view(a[4], 1, np.int64)
        if rows[0] >= a[5]:
            return FULL
        kept = view(a[6], (a[5], n), out)[rows[0]]
        scale = view(a[7], 1, np.float64)[0]
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
