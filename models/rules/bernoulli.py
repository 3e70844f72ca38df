"""Each pair with the same probability."""

from __future__ import annotations

import numpy as np

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import flag, overlap, random_bound


@value_object
class Bernoulli:
    """Each pair of a neuron of `pre` and one of `post` is connected with probability p. NEST: pairwise_bernoulli."""

    p: float
    autapses: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.p, bool) or not isinstance(self.p, (int, float, np.integer, np.floating)):
            raise KindError(f"Bernoulli: p must be one number, not {self.p!r}")
        if not 0.0 <= self.p <= 1.0:
            raise ParameterError(f"Bernoulli: p is a probability and must be between 0 and 1, not {self.p:g}")
        flag(self.autapses, "Bernoulli: autapses")

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.DrawnSources:
        less = same and not self.autapses and overlap(pre, post)
        return spec.DrawnSources(spec.BinomialDegree(float(self.p)), True, not less)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.p) * n_pre * n_post

    def per_target(self, n_pre: int, n_post: int) -> float:
        return min(random_bound(float(self.p) * n_pre), float(n_pre))
