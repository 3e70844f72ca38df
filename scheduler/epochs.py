"""How long parts may run without hearing from each other.

A spike of step t, sent over a projection with delay d, acts at t + d. Parts therefore need each other's spikes only every d_min
steps, where d_min is the smallest delay of a projection whose sources and targets lie in different parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eventsnn.scheduler.layout import Owners
from eventsnn.spec import Layout, NetworkSpec, ProjectionSpec, Subset

ALONE = 1.0
"""Milliseconds of an epoch where no projection crosses parts: they still keep pace, so that recordings stay complete."""


def crossing(spec: NetworkSpec, layout: Layout) -> list[ProjectionSpec]:
    """Projections that can carry a spike from one part to another."""
    owners = Owners(layout)
    routes = [route for p in spec.projections if p.expected > 0 for route in (p, *_modulation(spec, p))]
    return [p for p in routes if _crosses(p, owners)]


def _modulation(spec: NetworkSpec, p: ProjectionSpec) -> list[ProjectionSpec]:
    """The way by which a third population reaches the synapses of a projection."""
    if p.modulator is None:
        return []
    population, delay = p.modulator
    return [replace(p, pre=population, pre_subset=Subset(0, spec.populations[population].size), min_delay=delay)]


def epoch_steps(dt: float, crossing: Sequence[ProjectionSpec]) -> int:
    """Steps of a cross-part epoch, at least 1."""
    delays = [p.min_delay for p in crossing]
    return max(1, min(delays) if delays else round(ALONE / dt))


def _crosses(projection: ProjectionSpec, owners: Owners) -> bool:
    sources = owners.ranks(projection.pre, projection.pre_subset)
    targets = owners.ranks(projection.post, projection.post_subset)
    return len(sources | targets) > 1
