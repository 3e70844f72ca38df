"""The epoch loop. Within a part, threads own target blocks and meet once per epoch.

The law: U(k), the updates of epoch k, may run at once in all blocks and all parts; the exchange X(k) of the spikes found in it
precedes U(k + 1), where an epoch is no longer than the shortest delay between those who exchange. So every spike is pushed before
the first step in which it can be due.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from eventsnn.backends.cpu.intrinsics import atomic_add, call, sched_yield, view
from eventsnn.backends.cpu.memory import COUNT
from eventsnn.backends.cpu.operation import Code

STEP, UNTIL, THREADS, EPOCH, CROSS, BARRIER, STATUS, PARITY, REACHED, NEXT_PARITY, SIZE = range(11)
"""Fields of the control array that the threads of a part share."""
SPIN = 2000


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
    """Call every operation of a program."""
    status = 0
    for k in range(rows.shape[0]):
        status |= call(rows[k, 0], rows[k, 1], x)
    return status


def advance(args, thread):
    """Run one thread's blocks from control[STEP] to control[UNTIL]; leaves where it came to in REACHED and NEXT_PARITY.

    Arguments: control; number of blocks, programs (blocks, 4): address and number of push operations, address and number of step
    operations; parities and totals of spikes, by block; producers (2, 1 + blocks + 1, 3): by parity, [0, 0, number of lists], the
    spike list of each block, that of the peers; function, arguments and state of the operation that exchanges spikes, or zeros.
    """
    a = view(args, 9, np.int64)
    blocks = a[1]
    control = view(a[0], SIZE, np.int64)
    programs = view(a[2], (blocks, 4), np.int64)
    parities = view(a[3], blocks, np.int64)
    totals = view(a[4], blocks, np.int64)
    producers = view(a[5], (2, blocks + 2, 3), np.int64)
    threads = control[THREADS]
    passed = control[BARRIER] // threads
    read = control[PARITY]
    step = control[STEP]
    until = control[UNTIL]
    peers = a[6] != 0
    remote = blocks + 1
    crossed = step
    while step < until:
        end = min(step + control[EPOCH], until)
        if peers:
            end = min(end, crossed + control[CROSS])
        write = 1 - read
        status = 0
        if thread == 0:
            producers[write, remote, COUNT] = 0
        for b in range(thread, blocks, threads):
            parities[b] = write
            producers[write, 1 + b, COUNT] = 0
            status |= _run(view(programs[b, 0], (programs[b, 1], 2), np.int64), np.int64(producers[read].ctypes.data))
            rows = view(programs[b, 2], (programs[b, 3], 2), np.int64)
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
                state = view(a[8], 3, np.int64)
                state[1] = last
                state[2] = end
                status = call(a[6], a[7], np.int64(producers[write].ctypes.data))
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
    if thread == 0:
        control[REACHED] = step
        control[NEXT_PARITY] = read
    return 0


ADVANCE = Code(advance)


@njit(nogil=True, cache=True)
def run_program(rows, x):
    """Call every operation of a program once; for what happens between runs."""
    return _run(rows, x)
