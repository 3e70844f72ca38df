"""The same number of targets for every source."""

from __future__ import annotations

from dataclasses import field

from eventsnn import spec
from eventsnn.algebra import Distribution
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import LATER, flag, overlap, possible, random_bound, whole
from eventsnn.models.rules.nearby import Bound, check, check_choices, outdegree_bound, profile_of
from eventsnn.regions import Region


@value_object
class FixedOutdegree:
    """Each neuron of `pre` draws `outdegree` targets from `post`, evenly.

    multapses=False: all different. autapses=False: never itself. NEST: fixed_outdegree.

    Between populations with positions, a target may be drawn in proportion to `p`, a function of the distance such as
    `Gaussian(std=0.2)`, and only from a `mask` around the neuron that draws, such as `Ball(0.5)`.
    """

    outdegree: int
    autapses: bool = True
    multapses: bool = True
    p: Distribution | None = field(default=None, metadata=LATER)
    mask: Region | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        whole(self.outdegree, "FixedOutdegree: outdegree")
        flag(self.autapses, "FixedOutdegree: autapses")
        flag(self.multapses, "FixedOutdegree: multapses")
        check(self.p, self.mask, "FixedOutdegree")

    @property
    def spatial(self) -> bool:
        """Whether it needs positions."""
        return self.p is not None or self.mask is not None

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.DrawnTargets:
        less = same and not self.autapses and overlap(pre, post)
        who = f"FixedOutdegree({self.outdegree}) to {len(post)} targets"
        if len(pre):
            possible(self.outdegree, len(post), not self.multapses, less, who)
        return spec.DrawnTargets(int(self.outdegree), not self.multapses, not less)

    def lower_in(self, space: spec.Space, pre: spec.Subset, post: spec.Subset, same: bool) -> Bound:
        """The rule between neurons that lie somewhere."""
        less = same and not self.autapses and overlap(pre, post)
        who = f"FixedOutdegree({self.outdegree})"
        possible(self.outdegree, len(post), not self.multapses, less, who)
        found = profile_of(self.p, self.mask, space, False, who)
        check_choices(space, found, int(self.outdegree), not self.multapses, less, False, who)
        edges = spec.Located(spec.NearTargets(found, int(self.outdegree), not self.multapses, not less), space)
        bound = outdegree_bound(space, found, int(self.outdegree), not self.multapses)
        return edges, float(self.outdegree) * len(pre), bound

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.outdegree) * n_pre

    def per_target(self, n_pre: int, n_post: int) -> float:
        """With a small `post`, self-avoiding sources weigh more on the others: hence n_post - 1."""
        bound = random_bound(float(self.outdegree) * n_pre / max(1, n_post - (not self.autapses)))
        return min(bound, float(n_pre) if not self.multapses else float(self.outdegree) * n_pre)
