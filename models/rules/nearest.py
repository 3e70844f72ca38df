"""The neurons that lie nearest."""

from __future__ import annotations

from eventsnn import spec
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import flag, overlap, possible, whole
from eventsnn.models.rules.nearby import Bound


@value_object
class Nearest:
    """Each neuron of `post` gets the `k` neurons of `pre` that lie nearest to it; of equally near ones, those of lowest index.

    Both need positions. autapses=True: within one population, a neuron is its own nearest neighbour.
    """

    k: int
    autapses: bool = False

    spatial = True

    def __post_init__(self) -> None:
        whole(self.k, "Nearest: k")
        flag(self.autapses, "Nearest: autapses")

    def lower_in(self, space: spec.Space, pre: spec.Subset, post: spec.Subset, same: bool) -> Bound:
        """The rule between neurons that lie somewhere."""
        less = same and not self.autapses and overlap(pre, post)
        possible(self.k, len(pre), True, less, f"Nearest({self.k}) of {len(pre)} sources")
        return spec.Located(spec.NearestSources(int(self.k), not less), space), float(self.k) * len(post), float(self.k)

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.Rule:
        raise NotImplementedError("Nearest needs positions")

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.k) * n_post

    def per_target(self, n_pre: int, n_post: int) -> float:
        return float(self.k)
