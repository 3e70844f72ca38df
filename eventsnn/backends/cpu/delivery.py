"""Spikes to input. A spike pushes the segments (source, delay) of its row into the calendar slot of the step they are due; that
step streams them into one cache-resident accumulator. Rows whose segments are short use a ring of accumulators instead.

A table keeps `start << 32 | delay` of each segment, a calendar `start << 32 | length`; targets ascend within a segment.
Weights are integers: addition has no order, so nothing here can change a result.
"""

from __future__ import annotations

import numpy as np

from eventsnn.backends.cpu.intrinsics import item, prefetch, view, words
from eventsnn.backends.cpu.memory import ADDRESS, COUNT, OUT_OF_MEMORY, ROW, add
from eventsnn.backends.cpu.operation import Code

AHEAD = 8
LINE16 = 32
LINE32 = 16
LINE64 = 8
FAR, NEAR = 6, 3
"""Spikes ahead whose row pointer, and whose segments, are asked for."""
S16 = np.uint32(16)
LOW = 0xFFFFFFFF


def push_segments(args, producers):
    """Move the segments of every spike of the producers into the calendar. Arguments: see PUSH_SEGMENTS."""
    a = words(args, 8)
    n_sources, n_rows, n_segments, mask = a[0], a[1], a[2], a[3]
    row_of = view(a[4], n_sources, np.int32)
    first = view(a[5], n_rows + 1, np.int64)
    starts = view(a[6], n_segments + 1, np.int64)
    calendar = a[7]
    for p in range(1, item(producers, COUNT, np.int64) + 1):
        n = item(producers + ROW * p, COUNT, np.int64)
        if n == 0:
            continue
        spikes = view(item(producers + ROW * p, ADDRESS, np.int64), n, np.int64)
        for i in range(n + FAR):
            if i < n:
                far = row_of[spikes[i] & LOW]
                if far >= 0:
                    prefetch(first, far)
            if FAR - NEAR <= i < n + FAR - NEAR:
                near = row_of[spikes[i - FAR + NEAR] & LOW]
                if near >= 0:
                    for e in range(first[near], first[near + 1], LINE64):
                        prefetch(starts, e)
            if i < FAR:
                continue
            row = row_of[spikes[i - FAR] & LOW]
            if row < 0:
                continue
            step = spikes[i - FAR] >> 32
            for e in range(first[row], first[row + 1]):
                start = starts[e] >> 32 & LOW
                length = (starts[e + 1] >> 32 & LOW) - start
                due = (step + (starts[e] & LOW)) & mask
                if not add(calendar + ROW * due, start << 32 | length):
                    return OUT_OF_MEMORY
    return 0


def _deliver(accumulator, bits):
    """Stream the segments that are due into an accumulator; `bits` is how weights are stored and folds away when compiled."""
    line = LINE16 if bits == 0 else LINE32

    def deliver(args, step):
        a = words(args, 7)
        slot = view(a[0] + ROW * (step & a[1]), 3, np.int64)
        n = slot[COUNT]
        if n == 0:
            return 0
        packed = view(a[2], a[3], np.uint32)
        targets = view(a[2], a[3], np.uint16)
        total = view(a[4], 65536, accumulator)
        value = accumulator(a[5])
        weights = view(a[6], a[3], np.int32)
        due = view(slot[ADDRESS], n, np.int64)
        for k in range(n):
            if k + AHEAD < n:
                start = due[k + AHEAD] >> 32 & LOW
                for o in range(0, due[k + AHEAD] & LOW, line):
                    if bits == 16:
                        prefetch(packed, start + o)
                    else:
                        prefetch(targets, start + o)
                    if bits == 32:
                        prefetch(weights, start + o)
            start = due[k] >> 32 & LOW
            for j in range(start, start + (due[k] & LOW)):
                if bits == 16:
                    x = packed[j]
                    total[x >> S16] += accumulator(np.int16(x)) << value
                elif bits == 32:
                    total[targets[j]] += accumulator(weights[j]) << value
                else:
                    total[targets[j]] += value
        slot[COUNT] = 0
        return 0

    return deliver


def _push_rows(accumulator):
    def push(args, producers):
        a = words(args, 12)
        n_sources, n_rows, n_synapses, mask, n, shift = a[0], a[1], a[2], a[3], a[9], accumulator(a[10])
        row_of = view(a[4], n_sources, np.int32)
        first = view(a[5], n_rows + 1, np.int64)
        targets = view(a[6], n_synapses, np.uint16)
        weights = view(a[7], n_synapses, np.int32)
        delays = view(a[8], n_synapses, np.uint16)
        ring = view(a[11], (mask + 1, n), accumulator)
        for p in range(1, item(producers, COUNT, np.int64) + 1):
            n_spikes = item(producers + ROW * p, COUNT, np.int64)
            spikes = view(item(producers + ROW * p, ADDRESS, np.int64), n_spikes, np.int64)
            for i in range(n_spikes):
                row = row_of[spikes[i] & LOW]
                if row < 0:
                    continue
                step = spikes[i] >> 32
                for j in range(first[row], first[row + 1]):
                    ring[(step + np.int64(delays[j])) & mask, targets[j]] += accumulator(weights[j]) << shift
        return 0

    return push


def _drain_ring(accumulator):
    def drain(args, step):
        a = words(args, 4)
        row = view(a[0], (a[1] + 1, a[2]), accumulator)[step & a[1]]
        total = view(a[3], a[2], accumulator)
        for i in range(a[2]):
            total[i] += row[i]
            row[i] = 0
        return 0

    return drain


PUSH_SEGMENTS = Code(push_segments)
"""(sources, rows, segments, mask, row of source, first segment of row, start << 32 | delay of each segment, calendar)"""
DELIVER = {(bits, wide): Code(_deliver(np.int64 if wide else np.int32, bits)) for bits in (0, 16, 32) for wide in (False, True)}
"""By bits of a weight and width of the accumulator: (calendar, mask, targets, synapses, accumulator, value, weights).

Targets are `target << 16 | weight` where bits is 16; the value is the weight where bits is 0, else the shift.
"""
PUSH_ROWS = {False: Code(_push_rows(np.int32)), True: Code(_push_rows(np.int64))}
"""(sources, rows, synapses, mask, row of source, first synapse of row, targets, weights, delays, neurons, shift, ring)"""
DRAIN_RING = {False: Code(_drain_ring(np.int32)), True: Code(_drain_ring(np.int64))}
"""(ring, mask, neurons, accumulator)"""
