"""The k-th source to the k-th target."""

from __future__ import annotations

from eventsnn import spec
from eventsnn.errors import ShapeError
from eventsnn.model import value_object


@value_object
class OneToOne:
    """The k-th neuron of `pre` to the k-th of `post`; both must have the same size. NEST: one_to_one."""

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.SameSource:
        if len(pre) != len(post):
            raise ShapeError(f"OneToOne: {len(pre)} sources but {len(post)} targets; both sides must have the same size")
        return spec.SameSource()

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(n_post)

    def per_target(self, n_pre: int, n_post: int) -> float:
        return 1.0
