"""The epoch loop. Within a part, threads own target blocks and meet once per epoch.

The law: U(k), the updates of epoch k, may run at once in all blocks and all parts; the exchange X(k) of the spikes found in it
precedes U(k + 1), where an epoch is no longer than the shortest delay between those who exchange. So every spike is pushed before
the first step in which it can be due.
"""

from __future__ import annotations

import numpy as np

from eventsnn.backends.cpu.intrinsics import atomic_add, call, clamp, helper, sched_yield, view, words
from eventsnn.backends.cpu.memory import COUNT
from eventsnn.backends.cpu.operation import Code, run_rows

STEP, UNTIL, THREADS, EPOCH, CROSS, BARRIER, STATUS, PARITY, REACHED, NEXT_PARITY, SIZE = range(11)
"""Fields of the control array that the threads of a part share."""
SPIN = 2000


@helper
def _meet(barrier, goal):
    """Wait until the count at `barrier` is `goal`, when every thread has come: spin for some microseconds, then yield."""
    atomic_add(barrier, 1)
    tries = 0
    while atomic_add(barrier, 0) < goal:
        tries += 1
        if tries > SPIN:
            sched_yield()


def advance(args, thread):
    """Run one thread's blocks from control[STEP] to control[UNTIL]; leaves where it came to in REACHED and NEXT_PARITY.

    Arguments: control; number of blocks, programs (blocks, 4): address and number of push operations, address and number of step
    operations; parities and totals of spikes, by block; producers (2, 1 + blocks + 1, 3): by parity, [0, 0, number of lists], the
    spike list of each block, that of the peers; function, arguments and state of the operation that exchanges spikes, or zeros.
    """
    control_at, blocks, programs, parities_at, totals_at, producers, exchange, exchanged, state_at = words(args, 9)
    control = view(control_at, SIZE, np.int64)
    given = words(control_at, SIZE)
    barrier = control_at + 8 * BARRIER
    parities = view(parities_at, blocks, np.int64)
    totals = view(totals_at, blocks, np.int64)
    lists = 3 * (blocks + 2)
    counts = view(producers + 8 * COUNT, 2 * lists, np.int64)
    threads = given[THREADS]
    met = given[BARRIER] // threads * threads
    read = given[PARITY]
    step = given[STEP]
    until = given[UNTIL]
    peers = exchange != 0
    crossed = step
    while step < until:
        crossing = crossed + given[CROSS] if peers else until
        end = clamp(clamp(step + given[EPOCH], step, until), step, crossing)
        write = 1 - read
        first = lists * write + 3
        status = 0
        if thread == 0:
            counts[first + 3 * blocks] = 0
        for b in range(thread, blocks, threads):
            parities[b] = write
            counts[first + 3 * b] = 0
            program = words(programs + 32 * b, 4)
            status |= run_rows(program[0], program[1], producers + 8 * lists * read)
            for s in range(step, end):
                status |= run_rows(program[2], program[3], s + 1)
            totals[b] += counts[first + 3 * b]
        if status != 0:
            control[STATUS] = status
        if threads > 1:
            met += threads
            _meet(barrier, met)
        if peers:
            last = end in (until, crossing)
            if thread == 0 and control[STATUS] == 0:
                state = view(state_at, 3, np.int64)
                state[1] = last
                state[2] = end
                status = call(exchange, exchanged, producers + 8 * lists * write)
                if status != 0:
                    control[STATUS] = status
            if last:
                crossed = end
            if threads > 1:
                met += threads
                _meet(barrier, met)
        if control[STATUS] != 0:
            break
        step = end
        read = write
    if thread == 0:
        control[REACHED] = step
        control[NEXT_PARITY] = read
    return 0


ADVANCE = Code(advance)
