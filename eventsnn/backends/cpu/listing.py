"""Connections that are drawn into lists before they are sorted: distinct sources, a source's targets, composite values.

Words: distinct numbers come from (i, attempt, 1, 0), targets with their delays and weights from (i, k, 4, 0), draw n > 0 of a
composite distribution from (i, k, 16 + n, 0) for delays and (i, k, 48 + n, 0) for weights, and every draw n of parameter p that
each synapse has of its own from (i, k, 128 (p + 1) + n, 0), where i is the neuron that draws.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from eventsnn.backends.cpu.nearby import shape_values
from eventsnn.backends.cpu.philox import below, philox
from eventsnn.codegen.sampling import look_up, run_program, sample
from eventsnn.spec import DISTANCES, Drawn, Key, Shaped

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
DELAYS, WEIGHTS, EACH = 16, 48, 128
TARGETS = 4


@njit(nogil=True)
def distinct(post, n, want, k0, k1, seen, out):
    """`want` distinct numbers below n, by rejection; of more than half, those that are left out are drawn."""
    few = want if 2 * want <= n else n - want
    got = 0
    attempt = 0
    while got < few:
        a, b, c, d = philox(np.uint32(post), np.uint32(attempt), np.uint32(1), np.uint32(0), k0, k1)
        attempt += 1
        for word in (a, b, c, d):
            s = below(word, n)
            if got < few and not (seen[s >> 6] >> np.uint64(s & 63)) & np.uint64(1):
                seen[s >> 6] |= np.uint64(1) << np.uint64(s & 63)
                out[got] = s
                got += 1
    if few != want:
        got = 0
        for s in range(n):
            if not (seen[s >> 6] >> np.uint64(s & 63)) & np.uint64(1):
                out[got] = s
                got += 1
        for j in range(seen.size):
            seen[j] = 0
    else:
        for k in range(few):
            seen[out[k] >> 6] = 0


@njit(nogil=True, cache=True)
def distinct_sources(posts, candidates, degrees, k0, k1, out):
    """Distinct sources of every target, in order (target, k)."""
    most = 0
    for i in range(candidates.size):
        most = max(most, candidates[i])
    seen = np.zeros(most // 64 + 1, np.uint64)
    at = 0
    for i in range(posts.size):
        distinct(posts[i], candidates[i], degrees[i], np.uint32(k0), np.uint32(k1), seen, out[at:])
        at += degrees[i]


@njit(nogil=True, cache=True)
def targets_of_sources(pre_ids, own, n, outdegree, unique, k0, k1, wanted, pre_out, post_out, number_out):
    """Every source's targets (drawn alike on every part); those that are wanted are counted, and kept where there is room.

    `number_out`: how many targets their source drew before.
    """
    seen = np.zeros(n // 64 + 1, np.uint64)
    drawn = np.empty(outdegree, np.int64)
    at = 0
    for i in range(pre_ids.size):
        m = n - 1 if own[i] >= 0 else n
        if unique:
            distinct(pre_ids[i], m, outdegree, np.uint32(k0), np.uint32(k1), seen, drawn)
        else:
            for k in range(outdegree):
                word = philox(
                    np.uint32(pre_ids[i]), np.uint32(k), np.uint32(TARGETS), np.uint32(0), np.uint32(k0), np.uint32(k1)
                )[0]
                drawn[k] = below(word, m)
        for k in range(outdegree):
            j = drawn[k] + (own[i] >= 0 and drawn[k] >= own[i])
            if wanted[j]:
                if pre_out.size:
                    pre_out[at] = i
                    post_out[at] = j
                    number_out[at] = k
                at += 1
    return at


@njit(nogil=True, cache=True)
def every_source(rule, n, posts, selves, degrees, listed, k0, k1, out):
    """Sources of any rule, in order (target, k): what connect.draw makes of them."""
    at = 0
    for i in range(posts.size):
        without = selves[i] >= 0 and rule != 2
        for k in range(degrees[i]):
            if rule == 0:
                word = philox(np.uint32(posts[i]), np.uint32(k), np.uint32(0), np.uint32(0), np.uint32(k0), np.uint32(k1))[0]
                s = below(word, n - 1 if without else n)
            elif rule == 1:
                s = np.int64(k)
            elif rule == 2:
                s = selves[i]
            else:
                s = listed[at]
            out[at] = s + (without and s >= selves[i])
            at += 1


@njit(nogil=True, cache=True)
def _words(posts, degrees, c2, column, k0, k1, out):
    at = 0
    for i in range(posts.size):
        for k in range(degrees[i]):
            words = philox(np.uint32(posts[i]), np.uint32(k), np.uint32(c2), np.uint32(0), np.uint32(k0), np.uint32(k1))
            out[at] = words[column]
            at += 1


@njit(nogil=True, cache=True)
def _words_at(ids, numbers, c2, column, k0, k1, out):
    for n in range(ids.size):
        words = philox(np.uint32(ids[n]), np.uint32(numbers[n]), np.uint32(c2), np.uint32(0), np.uint32(k0), np.uint32(k1))
        out[n] = words[column]


def by_source(value: Drawn, slot: int, ids: I8, numbers: I8, key: Key) -> npt.NDArray[np.float64]:
    """Values of connections that their sources drew: connection n is number numbers[n] of neuron ids[n]."""
    words = np.empty((len(value.tables), len(ids)), np.uint32)
    _words_at(ids, numbers, *((slot, 0) if slot >= EACH else (TARGETS, 1 if slot == DELAYS else 2)), *key, words[0])
    for t in range(1, len(value.tables)):
        _words_at(ids, numbers, slot + t, 0, *key, words[t])
    return sample(value, words.T)


def composite(value: Drawn, slot: int, posts: I8, degrees: I8, key: Key) -> npt.NDArray[np.float64]:
    """Values of a distribution of several draws, in order (target, k). The first of a delay or weight uses the connection's own
    word."""
    n = int(degrees.sum())
    words = np.empty((len(value.tables), n), np.uint32)
    _words(posts, degrees, *((slot, 0) if slot >= EACH else (0, 1 if slot == DELAYS else 2)), *key, words[0])
    for t in range(1, len(value.tables)):
        _words(posts, degrees, slot + t, 0, *key, words[t])
    return sample(value, words.T)


def shaped_values(
    value: Shaped, slot: int, pre: F8, post: F8, half: F8, posts: I8, sources: I8, degrees: I8, key: Key
) -> npt.NDArray[np.float64]:
    """Values that depend on the distance, in order (target, k). `pre` and `post`: positions of all sources and of the targets."""
    n = int(degrees.sum())
    fixed = [t for t, shape in enumerate(value.shapes) if shape is not None]
    tables = np.stack([shape for shape in value.shapes if shape is not None])
    found = np.empty((len(tables), n))
    shape_values(pre, post, sources, degrees, half, tables, DISTANCES / value.reach if value.reach else 0.0, found)
    if value.program == (("draw", 0),):
        values: F8 = found[0]
        return values
    words = np.empty(n, np.uint32)
    draws = []
    for t, table in enumerate(value.tables):
        if t in fixed:
            draws.append(found[fixed.index(t)])
            continue
        _words(posts, degrees, slot + t if t else 0, 0 if t else 1 if slot == DELAYS else 2, *key, words)
        draws.append(look_up(table, words))
    made: F8 = run_program(value.program, draws, n)
    return made
