"""A projection: which neurons are connected, with what weights and delays, checked at the line that asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from eventsnn import spec
from eventsnn.arguments import offers, on_behalf_of, shown
from eventsnn.carried import LISTED, Carried, common_space
from eventsnn.errors import KindError, ParameterError, unknown_name
from eventsnn.model import Rule, Synapse
from eventsnn.plasticity import SynapseModel
from eventsnn.receptors import candidates, entered
from eventsnn.selection import Population, Route, Selection
from eventsnn.values import as_value, bounds

LONGEST = 2**23
"""Steps of a delay: spikes on their way are kept by the step that they are due in."""


Edit = Callable[["Projection"], tuple[Rule, Synapse]]
"""From a projection whose connections are given one by one to another rule and synapse."""


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
    expected: float = field(repr=False)
    """Expected number of synapses."""
    per_target: float = field(repr=False)
    """A bound on the number of synapses of one target."""
    plasticity: spec.Plasticity | None = field(default=None, repr=False)
    like: str | None = None
    """The projection whose connections it shares."""
    modulator: tuple[str, int] | None = None
    """The population whose spikes change its synapses as a third factor, and their delay in steps."""
    procedural: bool = False
    """Whether its connections are not kept, but drawn again by each spike."""
    functions: tuple[str, ...] = ()
    """What functions give once the connections are drawn, as a simulation is made: "weight", "delay"."""
    edits: tuple[Edit, ...] = field(default=(), repr=False)
    """What is done to the connections after that, in this order."""

    @property
    def listed(self) -> bool:
        """Whether a simulation lists its connections one by one before it builds them."""
        return bool(self.functions or self.edits) or getattr(self.rule, "listed", False)

    def space(self) -> spec.Space:
        """Where both of its ends lie; ParameterError where one lies nowhere."""
        return common_space(self.pre, self.post, f"projection {self.name!r}")

    @property
    def stream(self) -> str:
        """The name under which its connections are drawn."""
        return self.edges.stream if isinstance(self.edges, spec.Like) else self.name

    @property
    def delay_bounds(self) -> tuple[int, int]:
        """Least and greatest delay, in steps."""
        low, high = bounds(self.delay)
        return (whole_steps(low), whole_steps(high)) if low <= high else (1, 1)


def projection(
    name: str,
    route: Route,
    rule: Rule,
    synapse: Synapse,
    receptor: str | None,
    dt: float,
    like: Projection | None = None,
    procedural: bool = False,
) -> Projection:
    """A checked projection on a grid of dt ms; it has the connections of `like`, if that is given."""
    who, pre, post = f"projection {name!r}", route.pre, route.post
    _check_rule(rule, who)
    _check_synapse(synapse, who)
    pair = candidates(post.population, receptor, who)
    unit = post.population.model.receptors[pair[0]].unit
    with on_behalf_of(who):
        same = pre.population is post.population
        if getattr(rule, "spatial", False):
            edges, expected, per_target = _lower_in(rule, pre, post, same)
        else:
            edges = rule.lower(pre.subset, post.subset, same)
            expected, per_target = (float(f(len(pre), len(post))) for f in (rule.expected, rule.per_target))
    made = Carried(who, pre, post, edges)
    weight = made.values(synapse.weight, unit, "weight")
    receptors = entered(post.population, pair, receptor, bounds(weight), who)
    if isinstance(post.population.dynamics, spec.Relay):
        _check_relayed(weight, who)
    delay = made.values(synapse.delay, "ms", "delay")
    if "delay" not in made.functions:
        delay = delay_steps(delay, dt, who)
    _check_functions(made.functions, synapse, expected, who)
    edges = made.edges
    if like is not None and not isinstance(edges, spec.Like):
        edges = spec.Like(edges, like.stream)
    ends = (name, pre, post, rule, synapse, receptor, edges, weight, delay, receptors)
    plasticity = modulator = None
    if isinstance(synapse, SynapseModel):
        plasticity = _plasticity(synapse, weight, post, receptors, made)
        modulator = _modulator(synapse, dt, who) if synapse.on_modulator else None
    if not isinstance(procedural, bool):
        raise KindError(f"{who}: procedural must be True or False, not {procedural!r}")
    if procedural:
        values = {"weight": weight, "delay": delay} | dict.fromkeys(made.functions)
        _check_procedural(rule, edges, plasticity, values, who)
    shared = None if like is None else like.name
    return Projection(*ends, expected, per_target, plasticity, shared, modulator, procedural, made.functions)


def _lower_in(rule: Rule, pre: Selection, post: Selection, same: bool) -> tuple[spec.Rule, float, float]:
    space = common_space(pre, post, shown(rule))
    found: tuple[spec.Rule, float, float] = rule.lower_in(space, pre.subset, post.subset, same)  # type: ignore[attr-defined]
    return found


def _plasticity(
    synapse: SynapseModel, weight: spec.Value, post: Selection, receptors: tuple[int, int], made: Carried
) -> spec.Plasticity:
    """The rule of synapses that change; their weights have one sign, and reach one receptor."""
    who = made.who
    if isinstance(post.population.dynamics, spec.Relay):
        raise ParameterError(
            f"{who}: parrots only count spikes of positive weight; {type(synapse).__name__} changes nothing there"
        )
    if receptors[0] != receptors[1]:
        raise ParameterError(
            f"{who}: weights of both signs cannot change by one rule; connect each sign on its own, or name a receptor"
        )
    states = post.population.model.states()
    for name in synapse.reads:
        if name not in states:
            target = f"{who}: {type(synapse).__name__} reads a state of its target; {type(post.population.model).__name__}"
            raise unknown_name(target, "state", name, states)
    return synapse.lower(weight, post.population.model.receptors[receptors[0]].magnitude, who, made.parameter)


def _modulator(synapse: SynapseModel, dt: float, who: str) -> tuple[str, int]:
    """The population whose spikes are a third factor, and their delay in steps."""
    given = getattr(synapse, "modulator", None)
    if not isinstance(given, Population):
        kind = type(synapse).__name__
        raise KindError(f"{who}: {kind} needs modulator=, the population whose spikes act on its synapses, not {given!r}")
    delay = delay_steps(as_value(synapse.modulator_delay, 1, "ms", f"{who}: modulator_delay"), dt, f"{who}: modulator_delay")
    if not isinstance(delay, spec.Fixed):
        raise ParameterError(f"{who}: modulator_delay is one time for all synapses, not {synapse.modulator_delay!r}")
    return given.name, int(delay.value)


def plain(p: Projection) -> Projection:
    """As it is drawn, with 1 for what functions give."""
    return replace(p, functions=(), edits=())


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
            if isinstance(delay, spec.Shaped):
                delay = replace(delay, shapes=tuple(None if shape is None else shape / dt for shape in delay.shapes))
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


def _check_rule(rule: object, who: str) -> None:
    if not offers(rule, "lower", "expected", "per_target"):
        raise KindError(
            f"{who}: {shown(rule)} is no connection rule; give one such as FixedIndegree(100) or AllToAll(), before the synapse"
        )


def _check_synapse(synapse: object, who: str) -> None:
    if not offers(synapse, "weight", "delay"):
        raise KindError(f"{who}: {shown(synapse)} is no synapse; give Static(weight=..., delay=...) after the rule")


def check_listed(expected: float, who: str) -> None:
    """Whether so many connections can be listed one by one."""
    if expected > LISTED:
        raise ParameterError(
            f"{who}: about {expected:,.0f} synapses would be listed one by one, and at most {LISTED:,} can be; give numbers, "
            "distributions or functions of the distance, or connect fewer at a time"
        )


def _check_functions(functions: Sequence[str], synapse: Synapse, expected: float, who: str) -> None:
    if functions:
        check_listed(expected, f"{who}: {functions[0]}: for its function")
    if functions and isinstance(synapse, SynapseModel):
        raise ParameterError(
            f"{who}: {functions[0]}: synapses that change take a function with connections that are known beforehand: Explicit, "
            "OneToOne or AllToAll"
        )


def _check_procedural(
    rule: Rule, edges: spec.Rule, plasticity: spec.Plasticity | None, values: Mapping[str, spec.Value | None], who: str
) -> None:
    """Whether the row of one source can be drawn again from counters, with its values (None: a function)."""
    if plasticity is not None:
        raise ParameterError(f"{who}: procedural=True keeps no synapse, and weights that change have to be kept; leave it out")
    for word, value in values.items():
        one = isinstance(value, spec.Fixed) or (isinstance(value, spec.Drawn) and len(value.tables) == 1)
        if not one or isinstance(value, spec.Shaped):
            raise ParameterError(
                f"{who}: procedural=True draws a {word} again with each spike, from one draw of its own: give a number or a "
                "distribution, not an array, a function or a sum of distributions"
            )
    if getattr(rule, "listed", False):
        raise ParameterError(
            f"{who}: procedural=True keeps no synapse, and the way back of another projection must be kept; leave it out"
        )
    if not isinstance(spec.plain_rule(edges), spec.EverySource | spec.SameSource | spec.DrawnTargets):
        raise ParameterError(
            f"{who}: procedural=True lets a spike draw the row of its source again, which AllToAll, OneToOne and FixedOutdegree "
            f"without p and mask can; {type(rule).__name__} has to be kept. FixedOutdegree(n) may stand in its place"
        )


def _check_relayed(weight: spec.Value, who: str) -> None:
    """A parrot counts weights > 0 only, which a stored draw could not tell."""
    if isinstance(weight, spec.Drawn) and weight.low <= 0.0:
        raise ParameterError(
            f"{who}: parrots relay spikes of positive weight, and this weight can be {weight.low:g}; give a constant weight"
        )
