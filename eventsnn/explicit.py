"""Connections that are drawn and listed one by one before anything is built: where functions give their weights or delays, and
where they are cut or extended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.backends.access import connections
from eventsnn.backends.incoming import Incoming
from eventsnn.backends.members import Member
from eventsnn.editing import is_function, with_values
from eventsnn.lower import lower
from eventsnn.mirrored import Mirrored
from eventsnn.model import Synapse
from eventsnn.models.rules.explicit import Explicit
from eventsnn.network import Network, alone, with_projections
from eventsnn.projection import Projection, plain, projection
from eventsnn.selection import Route
from eventsnn.values import bounds


def explicit(network: Network) -> Network:
    """The network; or a copy in which each projection whose connections have to be listed is one of Explicit connections.

    They are those that the rule draws anywhere, with the delays and weights that it gives them.
    """
    found: dict[str, Projection] = {}
    for p in network.projections.values():
        if p.listed:
            like = None if p.like is None else found.get(p.like, network.projections[p.like])
            found[p.name] = _explicit(network, p, like)
    return with_projections(network, found) if found else network


def _explicit(network: Network, p: Projection, like: Projection | None) -> Projection:
    rule, synapse = drawn(network, p)
    ends, dt = (p.name, Route(p.pre, p.post)), network.dt
    made = projection(*ends, rule, synapse, p.receptor, dt, like)
    functions = tuple(word for word in ("weight", "delay") if is_function(getattr(synapse, word)))
    if functions:
        made = projection(*ends, rule, _evaluated(made, functions, dt), p.receptor, dt, like)
    for edit in p.edits:
        made = projection(*ends, *edit(made), p.receptor, dt, like)
    return made


def drawn(network: Network, p: Projection) -> tuple[Explicit, Synapse]:
    """The connections of a projection by target, then as drawn, and its synapse with an array of what it draws."""
    if isinstance(p.rule, Mirrored):
        there = drawn(network, _base(network, p, p.rule))[0]
        sources, targets = np.asarray(there.post), np.asarray(there.pre)
        order = np.argsort(targets, kind="stable")
        return Explicit(sources[order], targets[order]), p.synapse
    lowered = lower(alone(network, plain(p)))
    post = lowered.populations[lowered.projections[0].post]
    everyone: Any = SimpleNamespace(members=[Member(post, spec.Slice(lowered.projections[0].post, 0, post.size), 0)])
    block: Any = SimpleNamespace(incoming=Incoming(lowered, everyone))
    found = connections([block], lowered, 0)
    ends = (np.searchsorted(side.subset.array(), found[word]) for word, side in (("pre", p.pre), ("post", p.post)))
    values = {word: found[word] if isinstance(getattr(p, word), spec.Drawn) else None for word in ("weight", "delay")}
    return Explicit(*ends), with_values(p.synapse, values["weight"], values["delay"], f"projection {p.name!r}")


def _base(network: Network, p: Projection, rule: Mirrored) -> Projection:
    """The projection whose pairs p connects the other way round, under the name with which they are drawn."""
    any_receptor = p.pre.population.model.receptors[0].name
    synapse: Any = SimpleNamespace(weight=1.0, delay=network.dt)
    return projection(rule.stream, Route(p.post, p.pre), rule.rule, synapse, any_receptor, network.dt)


def _evaluated(made: Projection, functions: tuple[str, ...], dt: float) -> Synapse:
    """The synapse with numbers in place of functions."""
    weight = _numbers(made.weight, made) if "weight" in functions else None
    delay = np.round(_numbers(made.delay, made) * dt, 10) if "delay" in functions else None
    return with_values(made.synapse, weight, delay, f"projection {made.name!r}")


def _numbers(value: spec.Value, made: Projection) -> npt.NDArray[np.float64]:
    """One for each edge."""
    return value.values if isinstance(value, spec.Given) else np.full(round(made.expected), bounds(value)[0])
