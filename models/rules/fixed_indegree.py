"""The same number of sources for every target."""

from __future__ import annotations

from dataclasses import field

from eventsnn import spec
from eventsnn.algebra import Distribution
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import LATER, flag, overlap, possible, whole
from eventsnn.models.rules.nearby import Bound, check, check_choices, profile_of
from eventsnn.regions import Region


@value_object
class FixedIndegree:
    """Each neuron of `post` draws `indegree` sources from `pre`, evenly.

    multapses=False: all different. autapses=False: never itself. NEST: fixed_indegree.

    Between populations with positions, a source may be drawn in proportion to `p`, a function of the distance such as
    `Gaussian(std=0.2)`, and only from a `mask` around the neuron that draws, such as `Ball(0.5)`.
    """

    indegree: int
    autapses: bool = True
    multapses: bool = True
    p: Distribution | None = field(default=None, metadata=LATER)
    mask: Region | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        whole(self.indegree, "FixedIndegree: indegree")
        flag(self.autapses, "FixedIndegree: autapses")
        flag(self.multapses, "FixedIndegree: multapses")
        check(self.p, self.mask, "FixedIndegree")

    @property
    def spatial(self) -> bool:
        """Whether it needs positions."""
        return self.p is not None or self.mask is not None

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.DrawnSources:
        less = same and not self.autapses and overlap(pre, post)
        who = f"FixedIndegree({self.indegree}) from {len(pre)} sources"
        if len(post):
            possible(self.indegree, len(pre), not self.multapses, less, who)
        return spec.DrawnSources(spec.FixedDegree(int(self.indegree)), not self.multapses, not less)

    def lower_in(self, space: spec.Space, pre: spec.Subset, post: spec.Subset, same: bool) -> Bound:
        """The rule between neurons that lie somewhere."""
        less = same and not self.autapses and overlap(pre, post)
        who = f"FixedIndegree({self.indegree})"
        possible(self.indegree, len(pre), not self.multapses, less, who)
        found = profile_of(self.p, self.mask, space, False, who)
        check_choices(space, found, int(self.indegree), not self.multapses, less, True, who)
        edges = spec.Located(spec.NearSources(found, int(self.indegree), not self.multapses, not less), space)
        return edges, float(self.indegree) * len(post), float(self.indegree)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.indegree) * n_post

    def per_target(self, n_pre: int, n_post: int) -> float:
        return float(self.indegree)
