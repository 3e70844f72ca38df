"""A projection: which neurons are connected, with what weights and delays, checked at the line that asks for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from eventsnn import spec
from eventsnn.arguments import offers, on_behalf_of, shown
from eventsnn.errors import KindError, ParameterError
from eventsnn.model import Rule, Synapse
from eventsnn.receptors import candidates, entered
from eventsnn.selection import Route, Selection
from eventsnn.values import as_value, bounds

LONGEST = 2**23
"""Steps of a delay: spikes on their way are kept by the step that they are due in."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Connections from `pre` to `post`; what the user gave, and the same in the words of a part."""

    name: str
    pre: Selection
    post: Selection
    rule: Rule
    synapse: Synapse
    receptor: str | None
    edges: spec.Rule = field(repr=False)
    weight: spec.Value = field(repr=False)
    """In the unit of the receptor."""
    delay: spec.Value = field(repr=False)
    """In steps."""
    receptors: tuple[int, int] = field(repr=False)
    """Positions in the target's receptors for weights >= 0 and < 0."""

    @property
    def expected(self) -> float:
        """Expected number of synapses."""
        return float(self.rule.expected(len(self.pre), len(self.post)))

    @property
    def per_target(self) -> float:
        """A bound on the number of synapses of one target."""
        return float(self.rule.per_target(len(self.pre), len(self.post)))

    @property
    def delay_bounds(self) -> tuple[int, int]:
        """Least and greatest delay, in steps."""
        low, high = bounds(self.delay)
        return (whole_steps(low), whole_steps(high)) if low <= high else (1, 1)


def projection(name: str, route: Route, rule: Rule, synapse: Synapse, receptor: str | None, dt: float) -> Projection:
    """A checked projection on a grid of dt ms."""
    who, pre, post = f"projection {name!r}", route.pre, route.post
    _check_rule(rule, who)
    _check_synapse(synapse, who)
    pair = candidates(post.population, receptor, who)
    unit = post.population.model.receptors[pair[0]].unit
    with on_behalf_of(who):
        edges = rule.lower(pre.subset, post.subset, pre.population is post.population)
    weight = _per_synapse(synapse.weight, edges, unit, f"{who}: weight")
    receptors = entered(post.population, pair, receptor, bounds(weight), who)
    if isinstance(post.population.dynamics, spec.Relay):
        _check_relayed(weight, who)
    delay = delay_steps(_per_synapse(synapse.delay, edges, "ms", f"{who}: delay"), dt, who)
    return Projection(name, pre, post, rule, synapse, receptor, edges, weight, delay, receptors)


def delay_steps(delay: spec.Value, dt: float, who: str) -> spec.Value:
    """A delay in ms as steps, rounded to the nearest one (half up) and at least 1; draws stay unrounded."""
    low, high = bounds(delay)
    if low <= high and _steps(high, dt) > LONGEST:
        raise ParameterError(
            f"{who}: a delay of {high:g} ms is {high / dt:g} steps of dt = {dt:g} ms; at most {LONGEST} are possible"
        )
    if low <= high and math.floor(_steps(low, dt) + 0.5) < 1:  # no elements, no bounds
        raise ParameterError(_too_short(delay, low, dt, who))
    match delay:
        case spec.Fixed():
            return spec.Fixed(float(whole_steps(_steps(delay.value, dt))))
        case spec.Given():
            return spec.Given(np.floor(np.round(delay.values / dt, 9) + 0.5))
        case spec.Drawn() if len(delay.program) == 1:
            tables = tuple(table / dt for table in delay.tables)
            return replace(delay, tables=tables, low=delay.low / dt, high=delay.high / dt)
        case _:
            program = (*delay.program, ("const", dt), ("div", 0.0))
            return replace(delay, program=program, low=delay.low / dt, high=delay.high / dt)


def whole_steps(delay: float) -> int:
    """The step that a delay in steps is rounded to."""
    return max(1, math.floor(delay + 0.5))


def _steps(delay: float, dt: float) -> float:
    """delay / dt; decimal times such as 0.15 / 0.1 come out as the decimal number that was meant."""
    return round(delay / dt, 9)


def _too_short(delay: spec.Value, low: float, dt: float, who: str) -> str:
    if isinstance(delay, spec.Drawn):
        return (
            f"{who}: the delay can fall to {low:g} ms, below dt/2 = {dt / 2:g} ms; delays are at least one step: "
            f"add .truncate({dt:g}, None) (redraws) or .clip({dt:g}, None) (piles up) to the distribution"
        )
    return f"{who}: a delay of {low:g} ms is less than one step of dt = {dt:g} ms; give at least {dt:g} ms or lower dt"


def _per_synapse(given: object, edges: spec.Rule, unit: str, who: str) -> spec.Value:
    """A weight or delay as a value; arrays belong to explicit edges only, one entry per edge."""
    if isinstance(edges, spec.Edges):
        return as_value(given, len(edges.pre), unit, who)
    plain = getattr(given, "magnitude", given)
    if isinstance(plain, np.ndarray | list | tuple) and np.ndim(plain) > 0:
        raise ParameterError(
            f"{who}: an array of shape {np.shape(plain)} goes with Explicit(pre, post) only, whose edges have an order; "
            "give a number or a distribution"
        )
    return as_value(given, 1, unit, who)


def _check_rule(rule: object, who: str) -> None:
    if not offers(rule, "lower", "expected", "per_target"):
        raise KindError(
            f"{who}: {shown(rule)} is no connection rule; give one such as FixedIndegree(100) or AllToAll(), before the synapse"
        )


def _check_synapse(synapse: object, who: str) -> None:
    if not offers(synapse, "weight", "delay"):
        raise KindError(f"{who}: {shown(synapse)} is no synapse; give Static(weight=..., delay=...) after the rule")


def _check_relayed(weight: spec.Value, who: str) -> None:
    """A parrot counts weights > 0 only, which a stored draw could not tell."""
    if isinstance(weight, spec.Drawn) and weight.low <= 0.0:
        raise ParameterError(
            f"{who}: parrots relay spikes of positive weight, and this weight can be {weight.low:g}; give a constant weight"
        )
