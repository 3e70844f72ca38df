"""How many events a Poisson draw of one step can give."""

from __future__ import annotations

import math

from eventsnn.codegen.hostmath import exp

LARGEST_MEAN = 10.0
"""A larger mean is split into equal parts, each drawn on its own: a sum of Poisson numbers is exactly Poisson."""


def parts(mean: float) -> int:
    """Number of equal parts that a mean per step is split into."""
    return max(1, math.ceil(mean / LARGEST_MEAN))


def most_events(mean: float) -> int:
    """The smallest k with P(X > k) < 2**-33, times the number of parts: no draw of 32 bits gives more."""
    n = parts(mean)
    term = float(exp(-mean / n))
    terms = [term]
    for k in range(1, 200):
        term *= mean / n / k
        terms.append(term)
    tail, k = 0.0, len(terms) - 1
    while k > 0 and tail + terms[k] < 2.0**-33:
        tail += terms[k]
        k -= 1
    return n * k
