"""The connections of another projection in the other direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError
from eventsnn.model import Rule
from eventsnn.projection import Projection, check_listed
from eventsnn.selection import Route, Selection


@dataclass(frozen=True, eq=False)
class Mirrored:
    """A rule with sources and targets exchanged: each pair (i, j) that `rule` connects under the name `stream` becomes (j, i)."""

    rule: Rule
    stream: str
    synapses: float
    """Their expected number."""

    listed = True

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.Rule:
        """None yet: they are listed as a simulation is made."""
        return spec.DrawnSources(spec.FixedDegree(0), False, True)

    def expected(self, n_pre: int, n_post: int) -> float:
        return self.synapses

    def per_target(self, n_pre: int, n_post: int) -> float:
        return self.synapses


def mirrored(shared: Projection, route: object, rule: object) -> Mirrored:
    """The rule for `route`, which must lead back from the targets of a projection to its sources."""
    who = f"connect: like={shared.name!r}"
    if rule is not None or not isinstance(route, Route):
        raise KindError(f"{who} stands for a route and a rule; give no rule, and as a route at most the way back")
    if not (_same(route.pre, shared.post) and _same(route.post, shared.pre)):
        raise ParameterError(
            f"{who} leads from {shared.pre!r} to {shared.post!r}; a route that is given with it must lead back, not be {route!r}"
        )
    if isinstance(shared.rule, Mirrored):
        raise ParameterError(f"{who} is the way back of {shared.rule.stream!r}; take that one with like=")
    check_listed(shared.expected, f"{who} and a route back")
    return Mirrored(shared.rule, shared.stream, shared.expected)


def _same(a: Selection, b: Selection) -> bool:
    return a.population is b.population and np.array_equal(a.subset.array(), b.subset.array())
