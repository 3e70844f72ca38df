"""In-degrees that are drawn: binomial numbers, and totals dealt to targets, from counters and with portable bits."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from eventsnn.backends.cpu.philox import philox
from eventsnn.backends.cpu.portable import exp64, log64

DEAL, DEGREE = 2, 3
"""Third counter word of the draws made here; connect.py uses 0, 1 and 16 onwards."""
HALF_LOG_TWO_PI = 0.9189385332046727
EXACT = np.array([0.0] + [math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - HALF_LOG_TWO_PI for n in range(1, 16)])
EXACT = np.round(EXACT, 14)
"""Error of Stirling's formula for n! (rounded, so that the last bit of libm does not show)."""


@njit(nogil=True)
def _stirling_error(n):
    if n < 16:
        return EXACT[n]
    x = np.float64(n)
    y = 1.0 / (x * x)
    return (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - y / 1680.0) * y) * y) / x


@njit(nogil=True)
def _deviance(x, mean):
    """x log(x / mean) + mean - x, without cancellation near x = mean."""
    if abs(x - mean) < 0.1 * (x + mean):
        v = (x - mean) / (x + mean)
        total = (x - mean) * v
        term = 2.0 * x * v
        v = v * v
        for j in range(1, 1000):
            term = term * v
            more = total + term / (2 * j + 1)
            if more == total:
                break
            total = more
        return total
    return x * log64(x / mean) + mean - x


@njit(nogil=True)
def binomial_pmf(n, p, k):
    """Probability of k successes, by Loader's saddle-point form (C. Loader 2000, Fast and accurate computation of binomial
    probabilities)."""
    q = 1.0 - p
    if k == 0:
        return exp64(n * log64(q))
    if k == n:
        return exp64(n * log64(p))
    log = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    log = log - _deviance(np.float64(k), n * p) - _deviance(np.float64(n - k), n * q)
    return exp64(log) * math.sqrt(n / (6.283185307179586 * k * (n - k)))


@njit(nogil=True)
def binomial(n, p, u):
    """The binomial number of a uniform u in (0, 1): probabilities are subtracted outwards from the mode, in O(sd) steps."""
    if n <= 0 or p <= 0.0:
        return np.int64(0)
    if p >= 1.0:
        return np.int64(n)
    mode = min(np.int64(n), np.int64((n + 1) * p))
    ratio = p / (1.0 - p)
    above = binomial_pmf(n, p, mode)
    below = above
    up = mode
    down = mode
    u -= above
    while u > 0.0 and (up < n or down > 0):
        if up < n:
            above = above * (ratio * (n - up) / (up + 1))
            up += 1
            u -= above
            if u <= 0.0:
                return up
        if down > 0:
            below = below * (down / (ratio * (n - down + 1)))
            down -= 1
            u -= below
            if u <= 0.0:
                return down
        if above < 1e-300 and below < 1e-300:
            return mode
    return mode


@njit(nogil=True)
def poisson_pmf(mean, k):
    """Probability of k events, by Loader's saddle-point form."""
    if k == 0:
        return exp64(-mean)
    return exp64(-_stirling_error(k) - _deviance(np.float64(k), mean)) / math.sqrt(6.283185307179586 * k)


@njit(nogil=True)
def poisson(mean, u):
    """The Poisson number of a uniform u in (0, 1): probabilities are subtracted outwards from the mode, in O(sd) steps."""
    if mean <= 0.0:
        return np.int64(0)
    mode = np.int64(mean)
    above = poisson_pmf(mean, mode)
    below = above
    up = mode
    down = mode
    u -= above
    while u > 0.0:
        above = above * (mean / (up + 1))
        up += 1
        u -= above
        if u <= 0.0:
            return up
        if down > 0:
            below = below * (down / mean)
            down -= 1
            u -= below
            if u <= 0.0:
                return down
        if above < 1e-300:
            return mode
    return mode


@njit(nogil=True)
def _uniform(c0, c1, c2, k0, k1):
    a, b, _, _ = philox(np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(0), k0, k1)
    return (np.float64(a) + (np.float64(b) + 0.5) * 2.3283064365386963e-10) * 2.3283064365386963e-10


@njit(nogil=True, cache=True)
def binomial_degrees(posts, candidates, p, k0, k1, out):
    """out[i] ~ Binomial(candidates[i], p), keyed by the target posts[i]."""
    for i in range(posts.size):
        out[i] = binomial(candidates[i], p, _uniform(posts[i], 0, DEGREE, np.uint32(k0), np.uint32(k1)))


@njit(nogil=True, cache=True)
def poisson_degrees(posts, candidates, mean, k0, k1, out):
    """out[i] ~ Poisson(candidates[i] * mean), keyed by the target posts[i]."""
    for i in range(posts.size):
        out[i] = poisson(candidates[i] * mean, _uniform(posts[i], 0, DEGREE, np.uint32(k0), np.uint32(k1)))


@njit(nogil=True, cache=True)
def deal(total, n, low, high, k0, k1, out):
    """Deal `total` connections to n targets uniformly: out[i] is the number of target low + i, for targets in [low, high).

    A binary tree of binomial splits, each keyed by its range; only the branches that meet [low, high) are walked.
    """
    stack = np.empty((128, 3), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, n, total
    depth = 1
    while depth:
        depth -= 1
        lo, hi, count = stack[depth, 0], stack[depth, 1], stack[depth, 2]
        if hi <= low or lo >= high:
            continue
        if hi - lo == 1:
            out[lo - low] = count
            continue
        mid = (lo + hi) // 2
        p = (mid - lo) / (hi - lo)
        left = binomial(count, p, _uniform(lo, hi, DEAL, np.uint32(k0), np.uint32(k1)))
        stack[depth, 0], stack[depth, 1], stack[depth, 2] = lo, mid, left
        stack[depth + 1, 0], stack[depth + 1, 1], stack[depth + 1, 2] = mid, hi, count - left
        depth += 2
