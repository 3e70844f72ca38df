"""What runs on the device beside the models: connections drawn, Poisson counts, given spikes, delivery, samples.

All kernels loop over their items with the stride of the grid, so any launch size gives the same bits. Input is integers added
atomically: addition has no order. Those of one step are launched in order; the last of them, `deliver`, ends the step.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numba import cuda

from eventsnn import spec
from eventsnn.backends import shared
from eventsnn.backends.cuda.device import device, kernel, words
from eventsnn.backends.loops import imported
from eventsnn.backends.shared import DRAWS, bind

STEP, UNTIL, START, COUNT, CAPACITY, WORST, RUN, TICKET, FULL, GIVEN, SIZE = range(11)
"""Fields of the control array: steps done, the last to do, first and next item of the log in this step, room in the log, most
items of one step, whether steps are still to be done and there is room, blocks that have finished; counted from 1, a
projection with a history that had no room; and how many spikes of other parts wait to be delivered before the first step."""
(
    FIRST_THRESHOLD,
    THRESHOLDS,
    PARTS,
    KEY0,
    KEY1,
    WEIGHT,
    RECEPTOR,
    WIDE,
    ROWS,
    STEPS_AT,
    MEANS_AT,
    STRIDE,
    EACH,
    PERIOD,
    DRIVE_FIELDS,
) = range(15)
"""Fields of a Poisson drive: its thresholds (0: sequential search) and their place, parts of the mean, the key, and where its
events go: weight, receptor and its width. Where the mean changes with time: the number of its rows, the place of their steps
(among the parts), that of their means, the distance from row to row, 1 where each entry has its own, and the period."""
RECEPTOR_OF, WIDE_OF, BITS_OF, VALUE_OF, KIND_FIELDS = range(5)
"""Fields of a kind of synapse: receptor, whether its accumulator has 64 bits, bits of a weight, the weight or left shift."""
PIECE = 128
"""Most synapses of one piece of a row."""
DROPPED = np.int64(0x7FFFFFFFFFFFFFFF)
DRAW, ALL, SAME, LISTED = range(4)
ANY, POSITIVE = 0, 1


def emit(control, log, item, times):
    """Write a spike (step << 32 | id) to the log."""
    at = cuda.atomic.add(control, COUNT, times)
    for k in range(times):
        log[at + k] = item


def first_from(ascending, low, high, value):
    """The first place in [low, high) whose number is not smaller than the value, or `high`."""
    low = np.int64(low)
    high = np.int64(high)
    while low < high:
        middle = (low + high) >> 1
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


def add_input(ring32, ring64, wide, at, value):
    """Add to pending input."""
    if wide:
        cuda.atomic.add(ring64, at, value)
    else:
        cuda.atomic.add(ring32, at, np.int32(value))


def deliver_row(
    row, step, worker, workers, lane, lanes, mask, receptors, n, first, starts, heads, kinds, packed, ones, targets, weights,
    ring32, ring64,
):  # fmt: skip
    """Add one spike's synapses to pending input; pieces of its row are shared among `workers` groups of `lanes` threads."""
    for p in range(first[row] + worker, first[row + 1], workers):
        head = heads[p]
        start = starts[p]
        length = head & 255
        kind = (head >> 8) & 255
        base = ((head >> 16) & 0xFFFF) << 16
        slot = (step + (head >> 32)) & mask
        base += (slot * receptors + kinds[kind * KIND_FIELDS + RECEPTOR_OF]) * n
        wide = kinds[kind * KIND_FIELDS + WIDE_OF] != 0
        bits = kinds[kind * KIND_FIELDS + BITS_OF]
        value = kinds[kind * KIND_FIELDS + VALUE_OF]
        for j in range(start + lane, start + length, lanes):
            if bits == 16:
                word = np.int64(packed[j])
                weight = ((word & 0xFFFF) ^ 0x8000) - 0x8000
                add_input(ring32, ring64, wide, base + (word >> 16), weight << value)
            elif bits == 32:
                add_input(ring32, ring64, wide, base + np.int64(targets[j]), np.int64(weights[j]) << value)
            else:
                add_input(ring32, ring64, wide, base + np.int64(ones[j]), value)


def deliver_items(
    log, begin, end, row_of, lanes, mask, receptors, n, first, starts, heads, kinds, packed, ones, targets, weights,
    ring32, ring64,
):  # fmt: skip
    """Deliver spikes [begin, end) of a log: few spikes are shared among many threads, many are dealt to all."""
    thread = cuda.grid(1)
    lane = thread % lanes
    groups = cuda.gridsize(1) // lanes
    group = thread // lanes
    each = groups // (end - begin)
    each = each if each > 0 else 1
    side = groups // each
    if group >= side * each:
        return
    for i in range(begin + group // each, end, side):
        item = log[i]
        row = row_of[item & 0xFFFFFFFF]
        if row >= 0:
            deliver_row(
                row, item >> 32, group % each, each, lane, lanes, mask, receptors, n, first, starts, heads, kinds, packed, ones,
                targets, weights, ring32, ring64,
            )  # fmt: skip


def row_of_time(ascending, first, rows, step):
    """The last row that begins before a step; -1 if there is none."""
    return first_from(ascending, first, first + rows, step) - first - 1


def events_of(e, step, drives, thresholds, drive_of, ids, means, zeros, parts):
    """Poisson events of entry e in a step. The word is (step & 3) of counter (neuron, step >> 2, part), as on the CPU."""
    d = drive_of[e] * DRIVE_FIELDS
    first = drives[d + FIRST_THRESHOLD]
    size = drives[d + THRESHOLDS]
    at = np.int64(e)
    if drives[d + ROWS] > 0:
        period = drives[d + PERIOD]
        when = (step - 1) % period + 1 if period > 0 else step
        row = row_of_time(parts, drives[d + STEPS_AT], drives[d + ROWS], when)
        if row < 0:
            return np.int64(0)
        at = drives[d + MEANS_AT] + row * drives[d + STRIDE] + e * drives[d + EACH]
    many = drives[d + PARTS] if size > 0 else parts[at]
    k0 = np.uint32(drives[d + KEY0])
    k1 = np.uint32(drives[d + KEY1])
    which = step & 3
    events = np.int64(0)
    for part in range(many):
        a, b, c, w = philox(ids[e], np.uint32(step >> 2), np.uint32(part), np.uint32(0), k0, k1)
        word = a if which == 0 else (b if which == 1 else (c if which == 2 else w))
        if size > 0:
            events += threshold_count(word, thresholds, first, size)
        else:
            events += search_count(word, means[at], zeros[at])
    return events


def drive_inputs(
    step, mask, receptors, n, ring32, ring64, drives, thresholds, drive_of, ids, places, means, zeros, parts
):  # fmt: skip
    """Add the Poisson input of a step."""
    for e in range(cuda.grid(1), drive_of.size, cuda.gridsize(1)):
        events = events_of(e, step, drives, thresholds, drive_of, ids, means, zeros, parts)
        if events > 0:
            d = drive_of[e] * DRIVE_FIELDS
            at = ((step & mask) * receptors + drives[d + RECEPTOR]) * n + places[e]
            add_input(ring32, ring64, drives[d + WIDE] != 0, at, events * drives[d + WEIGHT])


def goes_on(control):
    """Whether another step follows this one: the end is not reached, and the log has room for the spikes of all neurons."""
    return control[STEP] + 1 < control[UNTIL] and control[COUNT] + control[WORST] <= control[CAPACITY]


def end_step(control):
    """By the last block to come here: the step is done."""
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        cuda.threadfence()
        if cuda.atomic.add(control, TICKET, 1) == cuda.gridDim.x - 1:
            control[TICKET] = 0
            control[RUN] = 1 if goes_on(control) else 0
            control[START] = control[COUNT]
            control[STEP] += 1


# ---- kernels of a step


def prepare(
    control, mask, receptors, n, ring32, ring64, drives, thresholds, drive_of, ids, places, means, zeros, parts
):  # fmt: skip
    """Before the first step of several: its Poisson input. That of the others comes with the delivery of the step before."""
    if control[RUN] != 0:
        drive_inputs(
            control[STEP] + 1, mask, receptors, n, ring32, ring64, drives, thresholds, drive_of, ids, places, means, zeros, parts
        )


def deliver(
    control, log, row_of, lanes, mask, receptors, n, first, starts, heads, kinds, packed, ones, targets, weights, ring32, ring64,
    drives, thresholds, drive_of, ids, places, means, zeros, parts,
):  # fmt: skip
    """Deliver the spikes of this step, draw the Poisson input of the next, and end it."""
    if control[RUN] == 0:
        return
    begin = control[START]
    end = control[COUNT]
    if end > begin:
        deliver_items(
            log, begin, end, row_of, lanes, mask, receptors, n, first, starts, heads, kinds, packed, ones, targets, weights,
            ring32, ring64,
        )  # fmt: skip
    if drive_of.size > 0 and goes_on(control):
        drive_inputs(
            control[STEP] + 2, mask, receptors, n, ring32, ring64, drives, thresholds, drive_of, ids, places, means, zeros, parts
        )
    end_step(control)


def deliver_given(
    control, items, row_of, lanes, mask, receptors, n, first, starts, heads, kinds, packed, ones, targets, weights, ring32, ring64
):
    """Deliver spikes that other parts sent."""
    if control[GIVEN] > 0:
        deliver_items(
            items, 0, control[GIVEN], row_of, lanes, mask, receptors, n, first, starts, heads, kinds, packed, ones, targets,
            weights, ring32, ring64,
        )  # fmt: skip


def emit_poisson(
    control, drives, thresholds, drive_of, ids, places, means, zeros, parts, flags, counts, network_ids, log
):  # fmt: skip
    """Spikes of Poisson sources."""
    if control[RUN] == 0:
        return
    step = control[STEP] + 1
    for e in range(cuda.grid(1), drive_of.size, cuda.gridsize(1)):
        events = events_of(e, step, drives, thresholds, drive_of, ids, means, zeros, parts)
        events = events if events < 255 else np.int64(255)
        place = places[e]
        flags[place] = np.uint8(events)
        if events > 0:
            counts[place] += events
            emit(control, log, (step << 32) | network_ids[place], events)


def relay(control, low, high, mask, receptors, n, ring32, arrived32, flags, counts, network_ids, log):
    """Parrots [low, high) emit what arrived."""
    if control[RUN] == 0:
        return
    step = control[STEP] + 1
    for i in range(low + cuda.grid(1), high, cuda.gridsize(1)):
        at = (step & mask) * receptors * n + i
        arrived = np.int64(ring32[at])
        ring32[at] = np.int32(0)
        arrived32[i] = np.int32(arrived)
        times = arrived if arrived > 0 else np.int64(0)
        times = times if times < 255 else np.int64(255)
        flags[i] = np.uint8(times)
        if times > 0:
            counts[i] += times
            emit(control, log, (step << 32) | network_ids[i], times)


def given(control, steps, places, times, most, own, flags, counts, network_ids, log):
    """Spikes given beforehand, one entry per (step, neuron), on top of a neuron's own but never more than `most`.

    `own`: whether the neuron sets its flag in each step; others have none but their own spikes there.
    """
    if control[RUN] == 0:
        return
    step = control[STEP] + 1
    for e in range(first_from(steps, 0, steps.size, step) + cuda.grid(1), steps.size, cuda.gridsize(1)):
        if steps[e] != step:
            return
        i = places[e]
        room = most[e] - np.int64(flags[i])
        m = times[e] if times[e] < room else room
        if m > 0:
            counts[i] += m
            if own[e] != 0:
                flags[i] = np.uint8(flags[i] + m)
            emit(control, log, (step << 32) | network_ids[i], m)


def current(control, steps, values, each, places, stimulus):
    """Add a piecewise constant current; values[k] acts on (steps[k], steps[k + 1]]."""
    if control[RUN] == 0:
        return
    step = control[STEP] + 1
    k = first_from(steps, 0, steps.size, step) - 1
    if k < 0:
        return
    for e in range(cuda.grid(1), places.size, cuda.gridsize(1)):
        stimulus[places[e]] += values[k * places.size + e] if each else values[k]


def sample(control, every, capacity, offset, scale, source, places, out):
    """Keep what neurons hold after every `every` steps, in a ring of rows."""
    if control[RUN] == 0:
        return
    step = control[STEP] + 1
    if step % every != 0:
        return
    row = (step // every) % capacity
    for j in range(cuda.grid(1), places.size, cuda.gridsize(1)):
        out[row * places.size + j] = np.float64(source[offset + places[j]]) * scale


# ---- building


def draw(
    lanes, targets, rule, n, start, ids, posts, places, selves, degrees, offsets, k0, k1, delay, longest, weight, given_weights,
    given_delays, listed, sign, magnitude, scale, limit, horizon, place_bits, at, keys, stored_weights,
):  # fmt: skip
    """Connections of a strand: key (source * horizon + delay - 1) << place_bits | place, and the stored weight, from `at` on.

    A warp of `lanes` threads per target. A connection of the wrong sign gets the key DROPPED.
    """
    thread = cuda.grid(1)
    for i in range(thread // lanes, targets, cuda.gridsize(1) // lanes):
        own = selves[i]
        leaves_out = own >= 0 and rule != SAME
        candidates = n - 1 if leaves_out else n
        post = np.uint32(posts[i])
        for k in range(thread % lanes, degrees[i], lanes):
            a, b, c, _ = philox(post, np.uint32(k), np.uint32(0), np.uint32(0), np.uint32(k0), np.uint32(k1))
            o = offsets[i] + k
            if rule == DRAW:
                s = below(a, candidates)
            elif rule == ALL:
                s = np.int64(k)
            elif rule == SAME:
                s = own
            else:
                s = listed[o]
            if leaves_out and s >= own:
                s += 1
            source = ids[s] if ids.size > 0 else s + start
            value = given_weights[o] if given_weights.size > 0 else quantile(weight, c)
            steps = delay_steps(given_delays[o] if given_delays.size > 0 else quantile(delay, b), longest)
            key = ((source * horizon + steps - 1) << place_bits) | places[i]
            if sign != ANY and (value >= 0.0) != (sign == POSITIVE):
                key = DROPPED
            if magnitude:
                value = abs(value)
            keys[at + o] = key
            if stored_weights.size > 0:
                stored_weights[at + o] = np.int32(stored_weight(value, scale, limit))


CALLEES = b"".join(
    Path(str(m.__file__)).read_bytes() for m in (sys.modules[__name__], shared, sys.modules[device.__module__], spec)
)
PARTS_OF_KERNELS = (
    emit,
    first_from,
    add_input,
    deliver_row,
    deliver_items,
    row_of_time,
    events_of,
    drive_inputs,
    goes_on,
    end_step,
)
KERNELS = (prepare, deliver, deliver_given, emit_poisson, relay, given, current, sample, draw)


@cache
def load() -> SimpleNamespace:
    """The kernels, compiled when first launched."""
    names = words()
    kept = imported('"""Numba keeps the kernels of eventsnn beside this file."""\n', "kernels_cuda", CALLEES).__file__
    bind((*DRAWS, *PARTS_OF_KERNELS), device, names)
    bind(KERNELS, kernel, names, str(kept))
    return SimpleNamespace(**{f.__name__: names[f.__name__] for f in KERNELS})
