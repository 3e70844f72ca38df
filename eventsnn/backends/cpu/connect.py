"""Connections drawn where their targets live, from counters: nothing is communicated, and parts and blocks change nothing.

Connection k of target i of a projection has the word (i, k, 0, 0) of the projection's stream: its parts give the source, the
delay and the weight. What needs more than that (distinct sources, composite distributions) is drawn beforehand: see listing.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from eventsnn.backends.cpu.philox import below, philox, quantile
from eventsnn.spec import SIDE, Drawn, Fixed, Value

RANDOM, ALL, SAME, LISTED = range(4)
ANY, POSITIVE, NEGATIVE = range(3)


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


@njit(nogil=True, inline="always")
def _draw_target(d, i, sources, delay_words, weight_words):
    """Sources (positions in the pre subset's population) and random words of target i; returns their number."""
    degree = d.degrees[i]
    post = np.uint32(d.posts[i])
    k0 = np.uint32(d.k0)
    k1 = np.uint32(d.k1)
    own = d.selves[i]
    n = d.n - 1 if (own >= 0 and d.rule != SAME) else d.n
    for k in range(degree):
        a, b, c, _ = philox(post, np.uint32(k), np.uint32(0), np.uint32(0), k0, k1)
        sources[k] = below(a, n)
        delay_words[k] = b
        weight_words[k] = c
    if d.rule == RANDOM and own < 0 and d.ids.size + d.start == 0:
        return degree
    skip = own if (own >= 0 and d.rule != SAME) else n
    for k in range(degree):
        s = sources[k]
        if d.rule == ALL:
            s = k
        elif d.rule == SAME:
            s = own
        elif d.rule == LISTED:
            s = d.listed[d.offsets[i] + k]
        s += s >= skip
        sources[k] = d.ids[s] if d.ids.size else s + d.start
    return degree


@njit(nogil=True, inline="always")
def _draw_values(d, i, n, delay_words, weight_words, values, delays, weights):
    """Delays in steps and stored weights of the n connections of target i. A connection of the wrong sign gets the delay 0."""
    for k in range(n):
        delays[k] = min(max(np.int64(np.floor(quantile(d.delay, delay_words[k]) + 0.5)), 1), d.longest)
    for k in range(n):
        values[k] = quantile(d.weight, weight_words[k])
    if d.given.size + d.given_delays.size:
        for k in range(n):
            if d.given_delays.size:
                delays[k] = min(max(np.int64(np.floor(d.given_delays[d.offsets[i] + k] + 0.5)), 1), d.longest)
            if d.given.size:
                values[k] = d.given[d.offsets[i] + k]
    if d.sign != ANY or d.magnitude:
        for k in range(n):
            if d.sign != ANY and (values[k] >= 0.0) != (d.sign == POSITIVE):
                delays[k] = 0
            if d.magnitude:
                values[k] = abs(values[k])
    for k in range(n):
        weights[k] = np.int64(min(max(np.rint(values[k] * d.scale), -d.limit), d.limit))


def buffers(d: Draws) -> tuple[Any, ...]:
    """Scratch of one builder: (sources, delay words, weight words, values, delays, weights)."""
    most = int(d.degrees.max(initial=0))
    i8, u4 = np.int64, np.uint32
    return (np.empty(most, i8), np.empty(most, u4), np.empty(most, u4), np.empty(most), np.empty(most, i8), np.empty(most, i8))


@njit(nogil=True, cache=True)
def scatter_to_chunks(d, scratch, bits, horizon, cursor, records, wide):
    """A record (source in chunk, delay) << 32 | target << 16 | weight per connection, at the cursor of its chunk.

    A chunk is 2**bits sources. Weights wider than 16 bits go to `wide` (empty otherwise). With no room for records the cursors
    only count: the first pass.
    """
    sources, dw, ww, values, delays, weights = scratch
    low = np.int64((1 << bits) - 1)
    counting = records.size == 0
    for i in range(d.posts.size):
        n = _draw_target(d, i, sources, dw, ww)
        if counting and d.sign == ANY:
            for k in range(n):
                cursor[sources[k] >> bits] += 1
            continue
        _draw_values(d, i, n, dw, ww, values, delays, weights)
        place = np.uint64(d.places[i]) << np.uint64(16)
        for k in range(n):
            if delays[k] == 0:
                continue
            chunk = sources[k] >> bits
            at = cursor[chunk]
            cursor[chunk] = at + 1
            if counting:
                continue
            key = (sources[k] & low) * horizon + delays[k] - 1
            records[at] = (np.uint64(key) << np.uint64(32)) | place | np.uint64(np.uint16(weights[k]))
            if wide.size:
                wide[at] = weights[k]


@njit(nogil=True, cache=True)
def list_connections(d, scratch, sources_out, posts_out, delays_out, weights_out):
    """Every connection in order (target, k), written to the arrays; returns their number."""
    sources, dw, ww, values, delays, weights = scratch
    at = 0
    for i in range(d.posts.size):
        n = _draw_target(d, i, sources, dw, ww)
        _draw_values(d, i, n, dw, ww, values, delays, weights)
        for k in range(n):
            if delays[k] == 0:
                continue
            sources_out[at] = sources[k]
            posts_out[at] = d.posts[i]
            delays_out[at] = delays[k]
            weights_out[at] = weights[k]
            at += 1
    return at
