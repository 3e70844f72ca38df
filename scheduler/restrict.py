"""What of a network one part needs: given edges and given spikes whose target lies elsewhere stay at home.

But for the edges with the least and the largest weight of a projection, which go to all: what weights may become later is decided
by the bounds of all of them, and must not depend on where an edge lives. A part ignores edges to neurons that it does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.spec import (
    Edges,
    Given,
    Layout,
    Like,
    Located,
    NetworkSpec,
    PopulationSpec,
    ProjectionSpec,
    Rule,
    Slice,
    Train,
    Value,
    plain_rule,
)

LARGE = 1_000_000
"""Bytes of arrays from which it is worth it."""


def array_bytes(spec: NetworkSpec) -> int:
    """Bytes of given edges and trains."""
    given = (plain_rule(p.rule) for p in spec.projections)
    edges = sum(2 * rule.pre.nbytes + 2 * rule.post.nbytes for rule in given if isinstance(rule, Edges))
    trains = sum(2 * p.dynamics.steps.nbytes for p in spec.populations if isinstance(p.dynamics, Train))
    return edges + trains


def restrict(spec: NetworkSpec, layout: Layout, rank: int) -> NetworkSpec:
    """The network as part `rank` sees it. Draws are made per target and its k-th edge, so they stay the same."""
    slices = layout[rank]
    populations = tuple(_population(p, [s for s in slices if s.population == k]) for k, p in enumerate(spec.populations))
    projections = tuple(_projection(p, [s for s in slices if s.population == p.post]) for p in spec.projections)
    return replace(spec, populations=populations, projections=projections)


def _population(population: PopulationSpec, slices: Sequence[Slice]) -> PopulationSpec:
    train = population.dynamics
    if not isinstance(train, Train):
        return population
    here = _within(train.ids, slices)
    return replace(population, dynamics=Train(train.steps[here], train.ids[here]))


def _projection(projection: ProjectionSpec, slices: Sequence[Slice]) -> ProjectionSpec:
    edges = plain_rule(projection.rule)
    if not isinstance(edges, Edges):
        return projection
    here = _within(projection.post_subset.array()[edges.post], slices)
    if isinstance(projection.weight, Given) and len(here):
        here[[projection.weight.values.argmin(), projection.weight.values.argmax()]] = True
    return replace(
        projection,
        rule=_instead(projection.rule, Edges(edges.pre[here], edges.post[here])),
        weight=_kept(projection.weight, here),
        delay=_kept(projection.delay, here),
    )


def _instead(rule: Rule, edges: Edges) -> Rule:
    """The rule with other edges, wrapped as it was."""
    if isinstance(rule, Like):
        inner = _instead(rule.rule, edges)
        return rule if isinstance(inner, Like) else replace(rule, rule=inner)
    return replace(rule, rule=edges) if isinstance(rule, Located) else edges


def _kept(value: Value, here: npt.NDArray[np.bool_]) -> Value:
    return Given(value.values[here]) if isinstance(value, Given) else value


def _within(ids: npt.NDArray[np.int64], slices: Sequence[Slice]) -> npt.NDArray[Any]:
    inside = np.zeros(len(ids), bool)
    for piece in slices:
        inside |= (ids >= piece.start) & (ids < piece.stop)
    return inside
