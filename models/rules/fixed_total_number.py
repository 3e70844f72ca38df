"""A fixed number of connections in all."""

from __future__ import annotations

from eventsnn import spec
from eventsnn.errors import ParameterError
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import flag, possible, random_bound, whole


@value_object
class FixedTotalNumber:
    """`n` connections, each with a source and a target drawn evenly and independently. NEST: fixed_total_number."""

    n: int
    autapses: bool = True
    multapses: bool = True

    def __post_init__(self) -> None:
        whole(self.n, "FixedTotalNumber: n")
        for name, allowed in (("autapses", self.autapses), ("multapses", self.multapses)):
            if not flag(allowed, f"FixedTotalNumber: {name}"):
                raise ParameterError(
                    f"FixedTotalNumber: {name}=False isn't available for this rule, as in NEST; use FixedIndegree"
                )

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.DrawnSources:
        who = f"FixedTotalNumber({self.n}) from {len(pre)} to {len(post)} neurons"
        possible(self.n, min(len(pre), len(post)), False, False, who)
        return spec.DrawnSources(spec.TotalDegree(int(self.n)), False, True)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(self.n)

    def per_target(self, n_pre: int, n_post: int) -> float:
        return min(random_bound(self.n / max(1, n_post)), float(self.n))
