"""Pairs that are connected in both directions."""

from __future__ import annotations

import numpy as np

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import random_bound


@value_object
class SymmetricBernoulli:
    """Each pair of different neurons is connected in both directions, with probability p; no pair has more connections.

    For a selection with itself, `exc >> exc`; between two, connect one way by Bernoulli(p) and back by `like=`. NEST:
    symmetric_pairwise_bernoulli, which draws twice for each pair of one population and so may connect it twice.
    """

    p: float

    def __post_init__(self) -> None:
        if isinstance(self.p, bool) or not isinstance(self.p, (int, float, np.integer, np.floating)):
            raise KindError(f"SymmetricBernoulli: p must be one number, not {self.p!r}")
        if not 0.0 <= self.p <= 1.0:
            raise ParameterError(f"SymmetricBernoulli: p is a probability and must be between 0 and 1, not {self.p:g}")

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.SymmetricPairs:
        if not same or not np.array_equal(pre.array(), post.array()):
            raise ParameterError(
                "SymmetricBernoulli: both directions of a pair belong to one projection, so sources and targets must be the same "
                "neurons, as in exc >> exc; between others, each direction is one of its own: "
                "there = net.connect(a >> b, Bernoulli(p), ...) and net.connect(b >> a, like=there)"
            )
        return spec.SymmetricPairs(float(self.p))

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.p) * n_pre * max(0, n_post - 1)

    def per_target(self, n_pre: int, n_post: int) -> float:
        return min(random_bound(float(self.p) * n_pre), float(max(0, n_pre - 1)))
