"""Connections that belong to both of their ends: pairs in both directions, and matched stubs. Every part draws what it needs.

Words: the pairs of neuron i with those before it come from (i, attempt, PAIRS, 0), the permutation of stubs from
(half, round, STUBS, upper bits of the half), and the exchange of partners from (stub, attempt, EXCHANGE, upper bits of the stub).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from eventsnn.backends.cpu.philox import below, philox
from eventsnn.backends.cpu.portable import log64

PAIRS, STUBS, EXCHANGE = 7, 8, 9
ROUNDS = 6
TRIES = 100_000
S32 = np.uint64(32)


@njit(nogil=True, cache=True)
def symmetric_pairs(ids, p, k0, k1, wanted, pre_out, post_out):
    """Pairs i > j by geometric skips, in both directions; those to wanted targets are counted, and kept where there is room."""
    at = 0
    if p <= 0.0:
        return at
    scale = log64(1.0 - p) if p < 1.0 else -1.0
    for i in range(ids.size):
        j = np.int64(0)
        attempt = 0
        while True:
            a, b, _, _ = philox(
                np.uint32(ids[i]), np.uint32(attempt), np.uint32(PAIRS), np.uint32(0), np.uint32(k0), np.uint32(k1)
            )
            attempt += 1
            if p < 1.0:
                u = (np.float64(a) + (np.float64(b) + 0.5) * 2.3283064365386963e-10) * 2.3283064365386963e-10
                gap = log64(u) / scale
                if gap >= i:
                    break
                j += np.int64(gap)
            if j >= i:
                break
            if wanted[i]:
                if pre_out.size:
                    pre_out[at], post_out[at] = j, i
                at += 1
            if wanted[j]:
                if pre_out.size:
                    pre_out[at], post_out[at] = i, j
                at += 1
            j += 1
    return at


@njit(nogil=True)
def permuted(x, n, k0, k1):
    """The image of x under a keyed permutation of [0, n): a Feistel network over two digits, whose few excess values walk on."""
    a = np.int64(np.sqrt(np.float64(n)))
    while a * a < n:
        a += 1
    b = (n + a - 1) // a
    while True:
        left, right = x // b, x % b
        for k in range(ROUNDS):
            half = right if k % 2 == 0 else left
            word = philox(
                np.uint32(half), np.uint32(k), np.uint32(STUBS), np.uint32(np.uint64(half) >> S32), np.uint32(k0), np.uint32(k1)
            )[0]  # fmt: skip
            if k % 2 == 0:
                left = (left + below(word, a)) % a
            else:
                right = (right + below(word, b)) % b
        x = left * b + right
        if x < n:
            return x


@njit(nogil=True, cache=True)
def matched(first, total, outdegree, k0, k1, out):
    """Sources of the stubs first, first + 1, ... of targets, out of `total`."""
    for k in range(out.size):
        out[k] = permuted(first + k, total, k0, k1) // outdegree


@njit(nogil=True)
def _allowed(out, indegree, row, but, source, own, distinct):
    """Whether a source may stand in a row, at the place of the stub `but`."""
    if source == own[row]:
        return False
    if distinct:
        for k in range(row * indegree, (row + 1) * indegree):
            if k != but and out[k] == source:
                return False
    return True


@njit(nogil=True, cache=True)
def exchanged(out, indegree, own, distinct, k0, k1):
    """Exchange the partners of stubs that break a rule with those of others, where that breaks none; False: there are none."""
    n = out.size
    for k in range(n):
        row = k // indegree
        attempt = 0
        while not _allowed(out, indegree, row, k, out[k], own, distinct):
            if attempt == TRIES:
                return False
            upper = np.uint32(np.uint64(k) >> S32)
            a, b, _, _ = philox(np.uint32(k), np.uint32(attempt), np.uint32(EXCHANGE), upper, np.uint32(k0), np.uint32(k1))
            attempt += 1
            m = min(np.int64((np.float64(a) + np.float64(b) * 2.3283064365386963e-10) * 2.3283064365386963e-10 * n), n - 1)
            other = m // indegree
            if other == row:
                continue
            here, there = out[k], out[m]
            if _allowed(out, indegree, row, k, there, own, distinct) and _allowed(out, indegree, other, m, here, own, distinct):
                out[k], out[m] = there, here
    return True
