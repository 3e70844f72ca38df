"""Each pair with the same probability, or with one by distance."""

from __future__ import annotations

from dataclasses import field

import numpy as np

from eventsnn import spec
from eventsnn.algebra import Distribution
from eventsnn.distance import shapes_of
from eventsnn.errors import KindError, ParameterError
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import LATER, flag, overlap, random_bound
from eventsnn.models.rules.nearby import Bound, check, degree_bound, expected_pairs, profile_of
from eventsnn.regions import Region


@value_object
class Bernoulli:
    """Each pair of a neuron of `pre` and one of `post` is connected with probability p. NEST: pairwise_bernoulli.

    Between populations with positions, p may be a function of the distance, such as `0.8 * Gaussian(std=0.2)`, and only pairs
    are connected where the target lies in `mask`, seen from the source: `mask=Ball(0.5)` is a largest distance.
    """

    p: float | Distribution
    autapses: bool = True
    mask: Region | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        flag(self.autapses, "Bernoulli: autapses")
        check(None, self.mask, "Bernoulli")
        if shapes_of(self.p):
            return
        if isinstance(self.p, bool) or not isinstance(self.p, (int, float, np.integer, np.floating)):
            raise KindError(f"Bernoulli: p must be one number, not {self.p!r}")
        if not 0.0 <= self.p <= 1.0:
            raise ParameterError(f"Bernoulli: p is a probability and must be between 0 and 1, not {self.p:g}")

    @property
    def spatial(self) -> bool:
        """Whether it needs positions."""
        return isinstance(self.p, Distribution) or self.mask is not None

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.DrawnSources:
        less = same and not self.autapses and overlap(pre, post)
        return spec.DrawnSources(spec.BinomialDegree(self._p), True, not less)

    def lower_in(self, space: spec.Space, pre: spec.Subset, post: spec.Subset, same: bool) -> Bound:
        """The rule between neurons that lie somewhere."""
        less = same and not self.autapses and overlap(pre, post)
        found = profile_of(self.p, self.mask, space, True, "Bernoulli")
        return spec.Located(spec.NearPairs(found, not less), space), expected_pairs(space, found), degree_bound(space, found)

    def expected(self, n_pre: int, n_post: int) -> float:
        return self._p * n_pre * n_post

    def per_target(self, n_pre: int, n_post: int) -> float:
        return min(random_bound(self._p * n_pre), float(n_pre))

    @property
    def _p(self) -> float:
        return float(self.p)  # type: ignore[arg-type]
