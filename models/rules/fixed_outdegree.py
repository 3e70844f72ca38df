"""The same number of targets for every source."""

from __future__ import annotations

from eventsnn import spec
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import flag, overlap, possible, random_bound, whole


@value_object
class FixedOutdegree:
    """Each neuron of `pre` draws `outdegree` targets from `post`, evenly.

    multapses=False: all different. autapses=False: never itself. NEST: fixed_outdegree.
    """

    outdegree: int
    autapses: bool = True
    multapses: bool = True

    def __post_init__(self) -> None:
        whole(self.outdegree, "FixedOutdegree: outdegree")
        flag(self.autapses, "FixedOutdegree: autapses")
        flag(self.multapses, "FixedOutdegree: multapses")

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.DrawnTargets:
        less = same and not self.autapses and overlap(pre, post)
        who = f"FixedOutdegree({self.outdegree}) to {len(post)} targets"
        if len(pre):
            possible(self.outdegree, len(post), not self.multapses, less, who)
        return spec.DrawnTargets(int(self.outdegree), not self.multapses, not less)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.outdegree) * n_pre

    def per_target(self, n_pre: int, n_post: int) -> float:
        """With a small `post`, self-avoiding sources weigh more on the others: hence n_post - 1."""
        bound = random_bound(float(self.outdegree) * n_pre / max(1, n_post - (not self.autapses)))
        return min(bound, float(n_pre) if not self.multapses else float(self.outdegree) * n_pre)
