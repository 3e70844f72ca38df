"""Spikes to input. A spike pushes the segments (source, delay) of its row into the calendar slot of the step they are due; that
step streams them into one cache-resident accumulator. Rows whose segments are short use a ring of accumulators instead.

A table keeps `start << 32 | delay` of each segment, a calendar `start << 32 | length`; targets ascend within a segment.
Weights are integers: addition has no order, so nothing here can change a result.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from eventsnn.backends.cpu.intrinsics import pointer, prefetch
from eventsnn.backends.cpu.memory import CAPACITY, COUNT, OUT_OF_MEMORY, items, reserve
from eventsnn.backends.cpu.operation import Code

AHEAD = 8
LINE16 = 32
LINE32 = 16
LINE64 = 8
FAR, NEAR = 6, 3
"""Spikes ahead whose row pointer, and whose segments, are asked for."""
S32 = np.uint64(32)
S16 = np.uint32(16)
LOW = np.uint64(0xFFFFFFFF)


def push_segments(args, producers):
    """Move the segments of every spike of the producers into the calendar. Arguments: see PUSH_SEGMENTS."""
    a = carray(pointer(args, np.int64), 8)
    n_sources, n_rows, n_segments, mask = a[0], a[1], a[2], a[3]
    row_of = carray(pointer(a[4], np.int32), n_sources)
    first = carray(pointer(a[5], np.int64), n_rows + 1)
    starts = carray(pointer(a[6], np.uint64), n_segments + 1)
    calendar = carray(pointer(a[7], np.int64), (mask + 1, 3))
    head = carray(pointer(producers, np.int64), 3)
    lists = carray(pointer(producers, np.int64), (head[COUNT] + 1, 3))
    for p in range(1, head[COUNT] + 1):
        n = lists[p, COUNT]
        if n == 0:
            continue
        spikes = items(lists[p])
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
            step = np.int64(spikes[i - FAR] >> S32)
            begin, end = first[row], first[row + 1]
            if begin == end:
                continue
            start = starts[begin] >> S32
            for e in range(begin, end):
                slot = calendar[(step + np.int64(starts[e] & LOW)) & mask]
                k = slot[COUNT]
                if k == slot[CAPACITY] and not reserve(slot, 1):
                    return OUT_OF_MEMORY
                stop = starts[e + 1] >> S32
                items(slot)[k] = (start << S32) | (stop - start)
                slot[COUNT] = k + 1
                start = stop
    return 0


def _deliver16(accumulator):
    def deliver(args, step):
        a = carray(pointer(args, np.int64), 6)
        slot = carray(pointer(a[0], np.int64), (a[1] + 1, 3))[step & a[1]]
        n = slot[COUNT]
        if n == 0:
            return 0
        packed = carray(pointer(a[2], np.uint32), a[3])
        total = carray(pointer(a[4], accumulator), 65536)
        shift = accumulator(a[5])
        due = items(slot)
        for k in range(n):
            if k + AHEAD < n:
                start = np.int64(due[k + AHEAD] >> S32)
                for o in range(0, np.int64(due[k + AHEAD] & LOW), LINE32):
                    prefetch(packed, start + o)
            start = np.int64(due[k] >> S32)
            for j in range(start, start + np.int64(due[k] & LOW)):
                x = packed[j]
                total[x >> S16] += accumulator(np.int16(x)) << shift
        slot[COUNT] = 0
        return 0

    return deliver


def _deliver_constant(accumulator):
    def deliver(args, step):
        a = carray(pointer(args, np.int64), 6)
        slot = carray(pointer(a[0], np.int64), (a[1] + 1, 3))[step & a[1]]
        n = slot[COUNT]
        if n == 0:
            return 0
        targets = carray(pointer(a[2], np.uint16), a[3])
        total = carray(pointer(a[4], accumulator), 65536)
        weight = accumulator(a[5])
        due = items(slot)
        for k in range(n):
            if k + AHEAD < n:
                start = np.int64(due[k + AHEAD] >> S32)
                for o in range(0, np.int64(due[k + AHEAD] & LOW), LINE16):
                    prefetch(targets, start + o)
            start = np.int64(due[k] >> S32)
            for j in range(start, start + np.int64(due[k] & LOW)):
                total[targets[j]] += weight
        slot[COUNT] = 0
        return 0

    return deliver


def _deliver32(accumulator):
    def deliver(args, step):
        a = carray(pointer(args, np.int64), 7)
        slot = carray(pointer(a[0], np.int64), (a[1] + 1, 3))[step & a[1]]
        n = slot[COUNT]
        if n == 0:
            return 0
        targets = carray(pointer(a[2], np.uint16), a[3])
        total = carray(pointer(a[4], accumulator), 65536)
        shift = accumulator(a[5])
        weights = carray(pointer(a[6], np.int32), a[3])
        due = items(slot)
        for k in range(n):
            if k + AHEAD < n:
                start = np.int64(due[k + AHEAD] >> S32)
                for o in range(0, np.int64(due[k + AHEAD] & LOW), LINE32):
                    prefetch(targets, start + o)
                    prefetch(weights, start + o)
            start = np.int64(due[k] >> S32)
            for j in range(start, start + np.int64(due[k] & LOW)):
                total[targets[j]] += accumulator(weights[j]) << shift
        slot[COUNT] = 0
        return 0

    return deliver


def _push_rows(accumulator):
    def push(args, producers):
        a = carray(pointer(args, np.int64), 12)
        n_sources, n_rows, n_synapses, mask, n, shift = a[0], a[1], a[2], a[3], a[9], accumulator(a[10])
        row_of = carray(pointer(a[4], np.int32), n_sources)
        first = carray(pointer(a[5], np.int64), n_rows + 1)
        targets = carray(pointer(a[6], np.uint16), n_synapses)
        weights = carray(pointer(a[7], np.int32), n_synapses)
        delays = carray(pointer(a[8], np.uint16), n_synapses)
        ring = carray(pointer(a[11], accumulator), (mask + 1, n))
        head = carray(pointer(producers, np.int64), 3)
        lists = carray(pointer(producers, np.int64), (head[COUNT] + 1, 3))
        for p in range(1, head[COUNT] + 1):
            spikes = items(lists[p])
            for i in range(lists[p, COUNT]):
                row = row_of[spikes[i] & LOW]
                if row < 0:
                    continue
                step = np.int64(spikes[i] >> S32)
                for j in range(first[row], first[row + 1]):
                    ring[(step + np.int64(delays[j])) & mask, targets[j]] += accumulator(weights[j]) << shift
        return 0

    return push


def _drain_ring(accumulator):
    def drain(args, step):
        a = carray(pointer(args, np.int64), 4)
        row = carray(pointer(a[0], accumulator), (a[1] + 1, a[2]))[step & a[1]]
        total = carray(pointer(a[3], accumulator), a[2])
        for i in range(a[2]):
            total[i] += row[i]
            row[i] = 0
        return 0

    return drain


PUSH_SEGMENTS = Code(push_segments)
"""(sources, rows, segments, mask, row of source, first segment of row, start << 32 | delay of each segment, calendar)"""
DELIVER_CONSTANT = {False: Code(_deliver_constant(np.int32)), True: Code(_deliver_constant(np.int64))}
"""By width of the accumulator: (calendar, mask, targets, synapses, accumulator, weight)"""
DELIVER16 = {False: Code(_deliver16(np.int32)), True: Code(_deliver16(np.int64))}
"""(calendar, mask, target << 16 | weight, synapses, accumulator, shift)"""
DELIVER32 = {False: Code(_deliver32(np.int32)), True: Code(_deliver32(np.int64))}
"""(calendar, mask, targets, synapses, accumulator, shift, weights)"""
PUSH_ROWS = {False: Code(_push_rows(np.int32)), True: Code(_push_rows(np.int64))}
"""(sources, rows, synapses, mask, row of source, first synapse of row, targets, weights, delays, neurons, shift, ring)"""
DRAIN_RING = {False: Code(_drain_ring(np.int32)), True: Code(_drain_ring(np.int64))}
"""(ring, mask, neurons, accumulator)"""
