"""The same number of sources for every target."""

from __future__ import annotations

from eventsnn import spec
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import flag, overlap, possible, whole


@value_object
class FixedIndegree:
    """Each neuron of `post` draws `indegree` sources from `pre`, evenly.

    multapses=False: all different. autapses=False: never itself. NEST: fixed_indegree.
    """

    indegree: int
    autapses: bool = True
    multapses: bool = True

    def __post_init__(self) -> None:
        whole(self.indegree, "FixedIndegree: indegree")
        flag(self.autapses, "FixedIndegree: autapses")
        flag(self.multapses, "FixedIndegree: multapses")

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.DrawnSources:
        less = same and not self.autapses and overlap(pre, post)
        who = f"FixedIndegree({self.indegree}) from {len(pre)} sources"
        if len(post):
            possible(self.indegree, len(pre), not self.multapses, less, who)
        return spec.DrawnSources(spec.FixedDegree(int(self.indegree)), not self.multapses, not less)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.indegree) * n_post

    def per_target(self, n_pre: int, n_post: int) -> float:
        return float(self.indegree)
