"""Every source to every target."""

from __future__ import annotations

from eventsnn import spec
from eventsnn.model import value_object
from eventsnn.models.rules.degrees import flag


@value_object
class AllToAll:
    """Each neuron of `pre` to each of `post`; autapses=False leaves out a neuron's connection to itself. NEST: all_to_all."""

    autapses: bool = True

    def __post_init__(self) -> None:
        flag(self.autapses, "AllToAll: autapses")

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.EverySource:
        return spec.EverySource(bool(self.autapses) or not same)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(n_pre) * n_post

    def per_target(self, n_pre: int, n_post: int) -> float:
        return float(n_pre)
