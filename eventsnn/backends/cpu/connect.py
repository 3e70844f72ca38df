"""Connections drawn where their targets live, from counters: nothing is communicated, and parts and blocks change nothing.

Connection k of target i of a projection has the word (i, k, 0, 0) of the projection's stream: its parts give the source, the
delay and the weight. What needs more than that (distinct sources, composite distributions) is drawn beforehand: see listing.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.intrinsics import call, item, view, words
from eventsnn.backends.cpu.operation import Code, Operation
from eventsnn.backends.cpu.philox import below, delay_steps, philox, quantile, stored_weight
from eventsnn.spec import SIDE, Drawn, Fixed, Value

RANDOM, ALL, SAME, LISTED = range(4)
ANY, POSITIVE, NEGATIVE = range(3)
ZERO = np.uint32(0)


Table = npt.NDArray[np.float64]
"""(2, SIDE): quantiles of a distribution of one draw; those of a number are all alike."""


def law(value: Value) -> Table:
    """The table of a Fixed value or of a Drawn one of a single draw. Others come as arrays: see strands.py."""
    if isinstance(value, Drawn) and value.program == (("draw", 0),):
        return np.ascontiguousarray(value.tables[0])
    return np.full((2, SIDE), value.value if isinstance(value, Fixed) else 0.0)


class Draws(NamedTuple):
    """The connections of one projection into one block, before they are drawn."""

    rule: int
    n: int
    """Sources to draw from."""
    start: int
    """First source, where they are a range;"""
    ids: npt.NDArray[np.int64]
    """else their indices."""
    posts: npt.NDArray[np.int64]
    """Targets: index in the population,"""
    places: npt.NDArray[np.int64]
    """position in the block (ascending),"""
    selves: npt.NDArray[np.int64]
    """position of the target itself in the sources where it must not be drawn, else -1 (for SAME: the source),"""
    degrees: npt.NDArray[np.int64]
    """number of connections,"""
    offsets: npt.NDArray[np.int64]
    """and where theirs start in `given`."""
    k0: int
    k1: int
    delay: Table
    longest: int
    weight: Table
    given: npt.NDArray[np.float64]
    """Weights that replace the drawn ones, in order (target, k); empty: none."""
    given_delays: npt.NDArray[np.float64]
    listed: npt.NDArray[np.int64]
    """Sources of a LISTED rule, in order (target, k): positions in the pre subset."""
    sign: int
    magnitude: int
    scale: float
    limit: float


def drawing(d: Draws, values: bool = True) -> tuple[Operation, tuple[int | npt.NDArray[np.int64], ...]]:
    """The operation that draws the connections of target number x, and where: most connections of one, sources, delays, weights.

    It returns their number. Sources are positions in the pre population, delays are in steps, weights as they are stored. A
    connection of the other sign gets the delay 0. Without `values` only sources are drawn, and every delay is 1.
    """
    most = int(d.degrees.max(initial=0))
    scratch = (np.empty(most, np.int64), np.ones(most, np.int64), np.empty(most, np.int64))
    sources = (d.rule, d.n, d.start, len(d.ids), d.ids, d.posts, d.selves, d.degrees, d.offsets, d.listed, d.k0, d.k1)
    numbers = (d.delay, d.longest, d.weight, len(d.given), d.given, len(d.given_delays), d.given_delays)
    stored = (d.sign, d.magnitude, np.array([d.scale, d.limit]), values)
    random = (np.empty(most, np.uint32), np.empty(most, np.uint32))
    return Operation(DRAW, *sources, *numbers, *stored, *random, *scratch), (most, *scratch)


def draw(args, i):
    """Draw the connections of target i. Arguments: see drawing()."""
    row = words(args, 28)
    rule, n, start, n_ids, ids, posts, selves, degrees, offsets, listed = row[:10]
    k0, k1, delay, longest, weight, has_given, all_given, has_delays, all_delays = row[10:19]
    sign, magnitude, stored, values, delay_bits, weight_bits, sources_at, delays_at, weights_at = row[19:]
    post = np.uint32(item(posts, i, np.int64))
    own = item(selves, i, np.int64)
    degree = item(degrees, i, np.int64)
    offset = item(offsets, i, np.int64)
    key = np.uint32(k0), np.uint32(k1)
    delay_words = view(delay_bits, degree, np.uint32)
    weight_words = view(weight_bits, degree, np.uint32)
    sources = view(sources_at, degree, np.int64)
    without = own >= 0 and rule != SAME
    among = n - 1 if without else n
    for k in range(degree):
        four = philox(post, np.uint32(k), ZERO, ZERO, key[0], key[1])
        sources[k] = below(four[0], among)
        delay_words[k] = four[1]
        weight_words[k] = four[2]
    if rule != RANDOM or own >= 0 or n_ids + start != 0:
        skip = own if without else n
        for k in range(degree):
            s = sources[k]
            if rule == ALL:
                s = k
            elif rule == SAME:
                s = own
            elif rule == LISTED:
                s = item(listed, offset + k, np.int64)
            s += s >= skip
            sources[k] = item(ids, s, np.int64) if n_ids else s + start
    if values == 0:
        return degree
    signed, positive = sign != ANY, sign == POSITIVE
    given = all_given + 8 * offset
    given_delays = all_delays + 8 * offset
    scale, limit = item(stored, 0, np.float64), item(stored, 1, np.float64)
    delays = view(delays_at, degree, np.int64)
    weights = view(weights_at, degree, np.int64)
    for k in range(degree):
        x = quantile(delay, delay_words[k])
        y = quantile(weight, weight_words[k])
        if has_delays:
            x = item(given_delays, k, np.float64)
        if has_given:
            y = item(given, k, np.float64)
        other = signed & ((y >= 0.0) != positive)
        delays[k] = 0 if other else delay_steps(x, longest)
        weights[k] = stored_weight(abs(y) if magnitude else y, scale, limit)
    return degree


DRAW = Code(draw)


def scatter(args, _):
    """A record (source in chunk, delay) << 32 | target << 16 | weight per connection, at the cursor of its chunk.

    Arguments: DRAW, its arguments, number of targets, their places, most connections of one, sources, delays, weights, bits,
    horizon; cursors, records and weights wider than 16 bits, each after its number. A chunk is 2**bits sources. With no room for
    records the cursors only count; where there is none for wide weights, records hold them.
    """
    row = words(args, 16)
    draw, drawn, targets, places_at, most, sources_at, delays_at, weights_at = row[:8]
    bits, horizon, chunks, cursor_at, n_records, records_at, n_wide, wide_at = row[8:]
    places = view(places_at, targets, np.int64)
    sources = view(sources_at, most, np.int64)
    delays = view(delays_at, most, np.int64)
    weights = view(weights_at, most, np.int64)
    cursor = view(cursor_at, chunks, np.int64)
    records = view(records_at, n_records, np.int64)
    wide = view(wide_at, n_wide, np.int32)
    low = (1 << bits) - 1
    for i in range(targets):
        place = places[i] << 16
        for k in range(call(draw, drawn, i)):
            if delays[k] == 0:
                continue
            chunk = sources[k] >> bits
            at = cursor[chunk]
            cursor[chunk] = at + 1
            if n_records == 0:
                continue
            key = (sources[k] & low) * horizon + delays[k] - 1
            records[at] = key << 32 | place | weights[k] & 0xFFFF
            if n_wide:
                wide[at] = weights[k]
    return 0


SCATTER = Code(scatter)


def list_all(args, _):
    """Every connection in order (target, k); returns their number.

    Arguments: DRAW, its arguments, number of targets, their indices, most connections of one, sources, delays, weights; room,
    and of all: sources, targets, delays, weights.
    """
    draw, drawn, targets, posts, _, sources, steps, stored, room, pre_at, post_at, delays_at, weights_at = words(args, 13)
    pre = view(pre_at, room, np.int64)
    post = view(post_at, room, np.int64)
    delays = view(delays_at, room, np.int64)
    weights = view(weights_at, room, np.int64)
    at = 0
    for i in range(targets):
        for k in range(call(draw, drawn, i)):
            if item(steps, k, np.int64) == 0:
                continue
            pre[at] = item(sources, k, np.int64)
            post[at] = item(posts, i, np.int64)
            delays[at] = item(steps, k, np.int64)
            weights[at] = item(stored, k, np.int64)
            at += 1
    return at


LIST = Code(list_all)


def listed(d: Draws) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sources (indices in their population), delays (steps) and stored weights of all connections, in order (target, k)."""
    pre, post, delay, weight = (np.empty(int(d.degrees.sum()), np.int64) for _ in range(4))
    operation, scratch = drawing(d)
    Operation(LIST, DRAW.address, operation.row, len(d.posts), d.posts, *scratch, len(pre), pre, post, delay, weight).run()
    return pre, delay, weight
