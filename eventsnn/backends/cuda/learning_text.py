"""The text of the kernels around a rule of plasticity, with holes for its own lines; learning.py fills and explains them."""

from __future__ import annotations

HEADER = '''"""Generated from the synapse model {name!r}; do not edit."""
import numpy as np
from numba import cuda

from eventsnn.backends.cuda.device import device, kernel, words
from eventsnn.backends.cuda.fired import enter as _enter
from eventsnn.backends.cuda.fired import segment_of as _segment_of
from eventsnn.backends.cuda.fired import spikes_of as _spikes_of
from eventsnn.backends.cuda.kernels import COUNT, FULL, RUN, START, STEP
from eventsnn.backends.cuda.kernels import add_input as _add_input
from eventsnn.backends.cuda.kernels import first_from as _first_from
from eventsnn.backends.shared import bind

F = np.float64
globals().update(words())
bind((_add_input, _first_from, _enter, _segment_of, _spikes_of), device, globals())


'''

DECAY = """
@device
def decayed(tables, at, k):
    if k < 65536:
        return mul(tables[at + (k & 255)], tables[at + 256 + (k >> 8)])
    if k >> 32:
        return F(0.0)
    y = mul(tables[at + (k & 255)], tables[at + 256 + (k >> 8 & 255)])
    return mul(y, mul(tables[at + 512 + (k >> 16 & 255)], tables[at + 768 + (k >> 24)]))
"""

MISSED = """
target = np.int64(targets[j])
w = weights[j]
{load}
base = (target - low_target) * room
end = np.int64(count[target - low_target])
while end > 0 and (at[base + end - 1] >> 1) > new:
    end -= 1
reached = end
i = end
while i > 0 and (at[base + i - 1] >> 1) > old:
    i -= 1
while i < end:
    spike = at[base + i] >> 1
    arrival = spike + delay
    {event}
    i += 1
"""

ARRIVE = """

@kernel
def arrive({arguments}):
    if control[RUN] == 0:
        return
    step = control[STEP] + 1
    thread = cuda.grid(1)
    if thread == 0:
        need[0] = 0
    {numbers}
    lane = thread % lanes
    group = thread // lanes
    groups = cuda.gridsize(1) // lanes
    input_at = ((step & slots_mask) * receptors + receptor) * size
    for q in range(delays.size):
        delay = np.int64(delays[q])
        slot = (step - delay) & mask
        spikes = np.int64(number[slot])
        if spikes == 0:
            continue
        each = groups // spikes
        each = each if each > 0 else 1
        side = groups // each
        until = step - delay
        new = until - delay
        for k in range(group // each if group < side * each else spikes, spikes, side):
            row = np.int64(fired[slot * rows + k])
            e = segment_of(row_start, segment_delay, row, delay)
            if e < 0:
                continue
            old = seen[e] - delay
            for j in range(starts[e] + (group % each) * lanes + lane, starts[e + 1], each * lanes):
                before = last[e]
                spiked = before if before > 0 else np.int64(0)
                {missed}
                for _ in range(times[slot * rows + row]):
                    {arrival}
                    add_input(ring32, ring64, wide, input_at + target, nearest(mul(kept({sent}, -most, most), scale)))
                    {after}
                    before = until
                    spiked = until
                {store}
"""

KEEP = """

@kernel
def keep({arguments}):
    if control[RUN] == 0:
        return
    step = control[STEP] + 1
    thread = cuda.grid(1)
    stride = cuda.gridsize(1)
    {numbers}
    for q in range(delays.size):
        delay = np.int64(delays[q])
        slot = (step - delay) & mask
        until = step - delay
        for k in range(thread, number[slot], stride):
            row = np.int64(fired[slot * rows + k])
            e = segment_of(row_start, segment_delay, row, delay)
            if e < 0:
                continue
            before = last[e]
            spiked = before if before > 0 else np.int64(0)
            {load}
            for _ in range(times[slot * rows + row]):
                {source}
                before = until
                spiked = until
            {store}
            last[e] = until
            seen[e] = until
    for place in range(thread, n, stride):
        base = place * room
        {entries}
        if count[place] > room >> 1:
            cuda.atomic.max(need, 0, 1)
    for i in range(control[START] + thread, control[COUNT], stride):
        source = log[i] & 0xFFFFFFFF
        enter(source - first_source, step & mask, rows, fired, times, number)
        enter(source - third_source, step & third_mask, third_rows, third_fired, third_times, third_number)
    slot = (step + 1) & mask
    for k in range(thread, number[slot], stride):
        times[slot * rows + fired[slot * rows + k]] = 0
    slot = (step + 1) & third_mask
    for k in range(thread, third_number[slot], stride):
        third_times[slot * third_rows + third_fired[slot * third_rows + k]] = 0
"""

ENTRY = """
for _ in range({many}):
    end = np.int64(count[place])
    if end < room:
        {post_values}
        at[base + end] = step << 1{third}
        {keep_values}
        count[place] = end + 1
    else:
        cuda.atomic.max(control, FULL, projection + 1)
"""

TIDY = """

@kernel
def tidy({arguments}):
    if forced < 0 and (control[RUN] == 0 or need[0] == 0):
        return
    step = forced if forced >= 0 else control[STEP] + 1
    {numbers}
    thread = cuda.grid(1)
    for e in range(thread // lanes, segment_delay.size, cuda.gridsize(1) // lanes):
        delay = np.int64(segment_delay[e])
        until = step - delay
        if until <= seen[e]:
            continue
        old = seen[e] - delay
        new = until - delay
        before = last[e]
        spiked = before if before > 0 else np.int64(0)
        for j in range(starts[e] + thread % lanes, starts[e + 1], lanes):
            {missed}
            {store}


@kernel
def cut({cut_arguments}):
    if forced < 0 and control[RUN] == 0:
        return
    step = forced if forced >= 0 else control[STEP] + 1
    thread = cuda.grid(1)
    stride = cuda.gridsize(1)
    if forced < 0:
        if thread == 0:
            number[(step + 1) & mask] = 0
            third_number[(step + 1) & third_mask] = 0
        if need[0] == 0:
            return
    for e in range(thread, segment_delay.size, stride):
        until = step - segment_delay[e]
        if until > seen[e]:
            seen[e] = until
    needed = step - 2 * horizon
    for place in range(thread, n, stride):
        base = place * room
        end = np.int64(count[place])
        i = np.int64(0)
        while i + 2 < end and at[base + i + 2] >> 1 <= needed:
            i += 1
        if i > 0:
            for k in range(base, base + end - i):
                at[k] = at[k + i]
            for k in range(base * numbers_kept, (base + end - i) * numbers_kept):
                values[k] = values[k + i * numbers_kept]
            count[place] = end - i
"""
