"""The same number of sources for every target and of targets for every source."""

from __future__ import annotations

from eventsnn import spec
from eventsnn.errors import ParameterError
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import flag, overlap, possible, whole


@value_object
class FixedDegrees:
    """Each neuron of `post` has `indegree` sources and each of `pre` has `outdegree` targets, by a random matching of stubs.

    Both sides must have as many stubs: targets * indegree == sources * outdegree. multapses=False: no pair is connected twice;
    autapses=False: no neuron with itself; pairs that break this exchange partners with others, drawn at random.
    """

    indegree: int
    outdegree: int
    autapses: bool = True
    multapses: bool = True

    def __post_init__(self) -> None:
        whole(self.indegree, "FixedDegrees: indegree")
        whole(self.outdegree, "FixedDegrees: outdegree")
        flag(self.autapses, "FixedDegrees: autapses")
        flag(self.multapses, "FixedDegrees: multapses")

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.MatchedStubs:
        into, out = len(post) * self.indegree, len(pre) * self.outdegree
        if into != out:
            raise ParameterError(
                f"FixedDegrees: {len(post)} targets * indegree {self.indegree} = {into}, but {len(pre)} sources * outdegree "
                f"{self.outdegree} = {out}; both products must be equal"
            )
        less = same and not self.autapses and overlap(pre, post)
        possible(self.indegree, len(pre), not self.multapses, less, f"FixedDegrees: indegree {self.indegree}")
        possible(self.outdegree, len(post), not self.multapses, less, f"FixedDegrees: outdegree {self.outdegree}")
        return spec.MatchedStubs(int(self.indegree), int(self.outdegree), not self.multapses, not less)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.indegree) * n_post

    def per_target(self, n_pre: int, n_post: int) -> float:
        return float(self.indegree)
