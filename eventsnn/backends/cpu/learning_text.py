"""The text of the loops around a rule of plasticity, with holes for its own lines; learning.py fills and explains them."""

from __future__ import annotations

HEADER = '''"""Generated from the synapse model {name!r}; do not edit."""
import numpy as np
from numpy import sqrt
from eventsnn.backends.cpu.intrinsics import bits, fma, helper, item, mul, view, words
from eventsnn.backends.cpu.memory import ADDRESS, COUNT, OUT_OF_MEMORY, ROW, add

F = np.float64
REAL = np.{real}
LOW = 0xFFFFFFFF
CHUNK = {chunk}
HISTORY = {words}


'''

DECAY = """
@helper(forceinline=True)
def decayed(table, k):
    if k < 65536:
        return mul(item(table, k & 255, F), item(table, 256 + (k >> 8), F))
    if k >> 32:
        return F(0.0)
    y = mul(item(table, k & 255, F), item(table, 256 + (k >> 8 & 255), F))
    return mul(y, mul(item(table, 512 + (k >> 16 & 255), F), item(table, 768 + (k >> 24), F)))

"""

MAKE_UP = """
@helper
def {name}(args, e, until{also}):
    {load}
    here = item(segments, e, np.int64)
    delay = here & LOW
    start, stop = here >> 32 & LOW, item(segments, e + 1, np.int64) >> 32 & LOW
    seen = view(seen_at, n_segments, np.int64)
    last = view(last_at, n_segments, np.int64)
    before = last[e]
    spiked = max(before, 0)
    {pre}
    {release}
    old, new = seen[e] - delay, until - delay
    for low_synapse in range(start, stop, CHUNK):
        size = min(CHUNK, stop - low_synapse)
        runs = 0
        known = np.int64(-1)
        more = False
        {nothing_yet}
        for k in range(size):
            target = np.int64(targets[low_synapse + k])
            if target != known:
                known = target
                row = histories + ROW * (target - low_target)
                at = item(row, ADDRESS, np.int64)
                end = item(row, COUNT, np.int64)
                while end > 0 and item(at, end - HISTORY, np.int64) > new:
                    end -= HISTORY
                i = end
                while i > 0 and item(at, i - HISTORY, np.int64) > old:
                    i -= HISTORY
                more = i < end
                if more:
                    firsts[runs] = k
                    ats[runs] = at
                    starts[runs] = i
                    ends[runs] = end
                    runs += 1
                {post_now}
            if more:
                stops[runs - 1] = k + 1
            {store_now}
        ahead = np.int64(0)
        while runs > 0:
            m = np.int64(0)
            for q in range(runs):
                i = starts[q] + ahead
                if i >= ends[q]:
                    continue
                at = ats[q]
                spike = item(at, i, np.int64)
                arrival = spike + delay
                {event}
                for k in range(firsts[q], stops[q]):
                    places[m] = k
                    event_w[m] = weights[low_synapse + k]
                    {store_event}
                    m += 1
            if m == 0:
                break
            for k in range(m):
                w = event_w[k]
                {load_event}
                {on_post}
                event_w[k] = w
                {keep_event}
            for k in range(m):
                weights[low_synapse + places[k]] = event_w[k]
                {store_variables}
            ahead += HISTORY
        {arrive}
    seen[e] = until
    {finish}
"""

ARRIVE = """
for k in range(size):
    w = weights[low_synapse + k]
    {load_now}
    {on_pre}
    weights[low_synapse + k] = w
    out[k] = np.rint(mul(kept({sent}, -most, most), scale))
for k in range(size):
    total[np.int64(targets[low_synapse + k])] += np.int64(out[k])
"""

OPERATIONS = """
def deliver(args, step):
    calendar, mask = item(args, 0, np.int64), item(args, 1, np.int64)
    segments = item(args, 3, np.int64)
    slot = view(calendar + ROW * (step & mask), 3, np.int64)
    n = slot[COUNT]
    if n == 0:
        return 0
    total = item(args, 7, np.int64)
    due = view(slot[ADDRESS], n, np.int64)
    for k in range(n):
        arrive(args, due[k], step - (item(segments, due[k], np.int64) & LOW), total)
    slot[COUNT] = 0
    return 0


def append(args, step):
    {load}
    counter = view(counter_at, 3, np.int64)
    {append}
    {third}
    return 0


def tidy(args, step):
    {load}
    counter = view(counter_at, 3, np.int64)
    if counter[0] <= counter[1]:
        return 0
    counter[0] = 0
    for e in range(n_segments):
        until = step - (item(segments, e, np.int64) & LOW)
        if until > item(seen_at, e, np.int64):
            make_up(args, e, until)
    needed = step - 2 * counter[2]
    for k in range(n):
        row = view(histories + ROW * k, 3, np.int64)
        i = 0
        while i + 2 * HISTORY < row[COUNT] and item(row[ADDRESS], i + 2 * HISTORY, np.int64) <= needed:
            i += HISTORY
        if i > 0:
            kept_words = view(row[ADDRESS], row[COUNT], np.int64)
            for j in range(i, row[COUNT]):
                kept_words[j - i] = kept_words[j]
            row[COUNT] -= i
    return 0


def push(args, producers):
    n_sources, n_rows, n_segments, mask, row_of_at, first_at, segments, calendar = words(args, 8)
    third, late, due, due_mask, thirds = words(args + 64, 5)
    row_of = view(row_of_at, n_sources, np.int32)
    first = view(first_at, n_rows + 1, np.int64)
    for p in range(1, item(producers, COUNT, np.int64) + 1):
        n = item(producers + ROW * p, COUNT, np.int64)
        spikes = view(item(producers + ROW * p, ADDRESS, np.int64), n, np.int64)
        for i in range(n):
            if third <= spikes[i] & LOW < thirds and not add(due + ROW * ((spikes[i] >> 32) + late & due_mask), spikes[i]):
                return OUT_OF_MEMORY
            row = row_of[spikes[i] & LOW]
            if row < 0:
                continue
            for e in range(first[row], first[row + 1]):
                slot = ((spikes[i] >> 32) + (item(segments, e, np.int64) & LOW)) & mask
                if not add(calendar + ROW * slot, e):
                    return OUT_OF_MEMORY
    return 0
"""

APPEND_SPIKES = """
for word in range(low_target >> 3, (low_target + n + 7) >> 3):
    if item(flags_at, word, np.int64) == 0:
        continue
    for place in range(max(8 * word, low_target), min(8 * word + 8, low_target + n)):
        row = histories + ROW * (place - low_target)
        for _ in range(item(flags_at + place, 0, np.uint8)):
            at, end = item(row, ADDRESS, np.int64), item(row, COUNT, np.int64)
            {post_values}
            if not (add(row, step){add_values}):
                return OUT_OF_MEMORY
            counter[0] += 1
"""

APPEND_EVENTS = """
for place in range(low_target, low_target + n):
    row = histories + ROW * (place - low_target)
    {event}
    if happens:
        at, end = item(row, ADDRESS, np.int64), item(row, COUNT, np.int64)
        {post_values}
        if not (add(row, step){add_values}):
            return OUT_OF_MEMORY
        counter[0] += 1
"""

APPEND_THIRD = """
slot = view(due + ROW * (step & due_mask), 3, np.int64)
if slot[COUNT] > 0:
    for k in range(n):
        row = histories + ROW * k
        for _ in range(slot[COUNT]):
            at, end = item(row, ADDRESS, np.int64), item(row, COUNT, np.int64)
            {post_values}
            if not (add(row, step){add_values}):
                return OUT_OF_MEMORY
    counter[0] += n * slot[COUNT]
    slot[COUNT] = 0
"""

KEEP_PAST = """
past_ = view(past, (past_mask + 1) * n * {number}, F)
for place in range(n):
    {keep}
"""
