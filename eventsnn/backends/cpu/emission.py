"""Flags to spikes, and samples of what neurons hold."""

from __future__ import annotations

import numpy as np
from numba import carray

from eventsnn.backends.cpu.intrinsics import pointer
from eventsnn.backends.cpu.memory import COUNT, OUT_OF_MEMORY, items, reserve
from eventsnn.backends.cpu.operation import Code

FULL = 2
S32 = np.uint64(32)


def emit(args, step):
    """Write the neurons with flags to the spike list of this epoch, and to the log where they are recorded.

    Arguments: words of flags, flags, ids, counts, recorded, the two epoch lists, parity, log. A flag is the number of spikes
    (m <= 255); such a neuron is written m times. An item is step << 32 | id.
    """
    a = carray(pointer(args, np.int64), 9)
    flags8 = carray(pointer(a[1], np.uint64), a[0])
    flags = carray(pointer(a[1], np.uint8), 8 * a[0])
    parity = carray(pointer(a[7], np.int64), 1)
    spikes = carray(pointer(a[5] if parity[0] == 0 else a[6], np.int64), 3)
    high = np.uint64(step) << S32
    for word in range(a[0]):
        if flags8[word] == 0:
            continue
        ids = carray(pointer(a[2], np.int64), 8 * a[0])
        counts = carray(pointer(a[3], np.int64), 8 * a[0])
        recorded = carray(pointer(a[4], np.uint8), 8 * a[0])
        log = carray(pointer(a[8], np.int64), 3)
        for i in range(8 * word, 8 * word + 8):
            m = np.int64(flags[i])
            if m == 0:
                continue
            counts[i] += m
            item = high | np.uint64(ids[i])
            if not reserve(spikes, m):
                return OUT_OF_MEMORY
            for r in range(m):
                items(spikes)[spikes[COUNT] + r] = item
            spikes[COUNT] += m
            if recorded[i]:
                if not reserve(log, m):
                    return OUT_OF_MEMORY
                for r in range(m):
                    items(log)[log[COUNT] + r] = item
                log[COUNT] += m
        flags8[word] = np.uint64(0)
    return 0


def _sample(source, out):
    def sample(args, step):
        a = carray(pointer(args, np.int64), 8)
        if step % a[0] != 0:
            return 0
        n = a[1]
        values = carray(pointer(a[2], source), 65536)
        where = carray(pointer(a[3], np.int64), n)
        rows = carray(pointer(a[4], np.int64), 1)
        if rows[0] >= a[5]:
            return FULL
        kept = carray(pointer(a[6], out), (a[5], n))[rows[0]]
        scale = carray(pointer(a[7], np.float64), 1)[0]
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
