"""A Poisson number of connections for each pair."""

from __future__ import annotations

import numpy as np

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import flag, overlap, random_bound

MOST = 2.0**31
"""Connections of one target, on average."""


@value_object
class PairwisePoisson:
    """Each pair of a neuron of `pre` and one of `post` has a number of connections that is Poisson, with this mean.

    NEST: pairwise_poisson, whose pairwise_avg_num_conns this is.
    """

    mean: float
    autapses: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.mean, bool) or not isinstance(self.mean, (int, float, np.integer, np.floating)):
            raise KindError(f"PairwisePoisson: mean must be one number, not {self.mean!r}")
        if not 0.0 <= self.mean < MOST:
            raise ParameterError(f"PairwisePoisson: mean is a number of connections and must be >= 0, not {self.mean:g}")
        flag(self.autapses, "PairwisePoisson: autapses")

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.DrawnSources:
        if float(self.mean) * len(pre) >= MOST:
            raise ParameterError(
                f"PairwisePoisson({self.mean:g}) from {len(pre)} sources: a target gets more than 2**31 connections"
            )
        less = same and not self.autapses and overlap(pre, post)
        return spec.DrawnSources(spec.PoissonDegree(float(self.mean)), False, not less)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.mean) * n_pre * n_post

    def per_target(self, n_pre: int, n_post: int) -> float:
        return random_bound(float(self.mean) * n_pre) if self.mean else 0.0
