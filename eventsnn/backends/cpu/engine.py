"""The epoch loop. Within a part, threads own target blocks and meet once per epoch.

The law: U(k), the updates of epoch k, may run at once in all blocks and all parts; the exchange X(k) of the spikes found in it precedes
U(k + 1), where an epoch is no longer than the shortest delay between those who exchange. So every spike is pushed before the first
step in which it can be due.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit, types

from eventsnn.backends.cpu.exchange import exchange, open_packet, seal
from eventsnn.backends.cpu.intrinsics import atomic_add, call, pointer, sched_yield
from eventsnn.backends.cpu.memory import COUNT, OUT_OF_MEMORY, items, reserve

STEP, UNTIL, THREADS, EPOCH, CROSS, BARRIER, STATUS, PARITY, LOST, WHY, GENERATION, PATIENCE, NANOSECONDS, PACKED, SIZE = range(15)
"""Fields of the control array that the threads of a part share."""
LOST_PEER = 100
SPIN = 2000

_clock = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))


@njit(nogil=True)
def _now():
    moment = np.empty(2, np.int64)
    _clock(np.int32(1), moment.ctypes.data)
    return moment[0] * 1000000000 + moment[1]


@njit(nogil=True)
def _meet(control, passed):
    """Wait until every thread has come: spin for some microseconds, then yield."""
    goal = (passed + 1) * control[THREADS]
    atomic_add(control, BARRIER, 1)
    tries = 0
    while atomic_add(control, BARRIER, 0) < goal:
        tries += 1
        if tries > SPIN:
            sched_yield()
    return passed + 1


@njit(nogil=True)
def _run(rows, x):
    status = 0
    for k in range(rows.shape[0]):
        status |= call(rows[k, 0], rows[k, 1], x)
    return status


@njit(nogil=True)
def _pack(lists, masks, sending):
    """Append the spikes of this epoch to the packets of the peers that have targets for them."""
    for b in range(1, 1 + lists[0, COUNT] - 1):
        spikes = items(lists[b])
        for i in range(lists[b, COUNT]):
            item = spikes[i]
            source = np.int64(item & np.uint64(0xFFFFFFFF))
            for p in range(sending.shape[0]):
                if (masks[source, p >> 6] >> np.uint64(p & 63)) & np.uint64(1):
                    if not reserve(sending[p], 1):
                        return OUT_OF_MEMORY
                    items(sending[p])[sending[p, COUNT]] = item
                    sending[p, COUNT] += 1
    return 0


@njit(nogil=True)
def _cross(control, lists, masks, fds, sending, receiving, end, last):
    """Thread 0, after an epoch: pack its spikes and, where a cross-part epoch ends, exchange them."""
    if control[PACKED] == 0:
        for p in range(sending.shape[0]):
            if not open_packet(sending[p]):
                return OUT_OF_MEMORY
        control[PACKED] = 1
    status = _pack(lists, masks, sending)
    if status != 0 or not last:
        return status
    for p in range(sending.shape[0]):
        seal(sending[p], control[GENERATION], end)
    control[PACKED] = 0
    if fds.size:
        began = _now()
        remote = lists[lists[0, COUNT]]
        lost, why = exchange(fds, sending, receiving, remote, control[GENERATION], end, control[PATIENCE])
        control[NANOSECONDS] += _now() - began
        if lost >= 0:
            control[LOST] = lost
            control[WHY] = why
            return LOST_PEER
    return 0


@njit(nogil=True, cache=True)
def advance(control, thread, programs, parities, totals, producers, masks, fds, sending, receiving):
    """Run one thread's blocks from control[STEP] to control[UNTIL].

    programs (blocks, 4): address and number of push operations, address and number of step operations. producers (2, 1 + blocks + 1, 3):
    by parity, [0, 0, number of lists], the spike list of each block, that of the peers. masks (neurons, words): peers with targets.
    """
    threads = control[THREADS]
    passed = control[BARRIER] // threads
    read = control[PARITY]
    step = control[STEP]
    until = control[UNTIL]
    peers = sending.shape[0]
    remote = producers.shape[1] - 1
    crossed = step
    while step < until:
        end = min(step + control[EPOCH], until)
        if peers:
            end = min(end, crossed + control[CROSS])
        write = 1 - read
        status = 0
        if thread == 0:
            producers[write, remote, COUNT] = 0
        for b in range(thread, programs.shape[0], threads):
            parities[b] = write
            producers[write, 1 + b, COUNT] = 0
            status |= _run(carray(pointer(programs[b, 0], np.int64), (programs[b, 1], 2)), producers[read].ctypes.data)
            rows = carray(pointer(programs[b, 2], np.int64), (programs[b, 3], 2))
            for s in range(step, end):
                status |= _run(rows, s + 1)
            totals[b] += producers[write, 1 + b, COUNT]
        if status != 0:
            control[STATUS] = status
        if threads > 1:
            passed = _meet(control, passed)
        if peers:
            last = end == until or end == crossed + control[CROSS]
            if thread == 0 and control[STATUS] == 0:
                status = _cross(control, producers[write], masks, fds, sending, receiving, end, last)
                if status != 0:
                    control[STATUS] = status
            if last:
                crossed = end
            if threads > 1:
                passed = _meet(control, passed)
        if control[STATUS] != 0:
            break
        step = end
        read = write
    return step, read
