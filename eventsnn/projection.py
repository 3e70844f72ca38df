"""A projection: which neurons are connected, with what weights and delays, checked at the line that asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from inspect import signature

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.arguments import offers, on_behalf_of, shown
from eventsnn.distance import OfDistance, shaped, shapes_of
from eventsnn.errors import KindError, ParameterError, unknown_name
from eventsnn.model import Rule, Synapse
from eventsnn.plasticity import SynapseModel
from eventsnn.positions import farthest, space_of
from eventsnn.receptors import candidates, entered
from eventsnn.selection import Route, Selection
from eventsnn.values import as_value, bounds

F8 = npt.NDArray[np.float64]
WORDS = ("pre", "post", "pos_pre", "pos_post", "distance")
"""Arguments of a function that gives weights or delays: indices in the populations, positions, and distances of all synapses."""
LISTED = 50_000_000
"""Most synapses of AllToAll whose weights or delays a function gives one by one."""
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
    expected: float = field(repr=False)
    """Expected number of synapses."""
    per_target: float = field(repr=False)
    """A bound on the number of synapses of one target."""
    plasticity: spec.Plasticity | None = field(default=None, repr=False)
    like: str | None = None
    """The projection whose connections it shares."""

    def space(self) -> spec.Space:
        """Where both of its ends lie; ParameterError where one lies nowhere."""
        found = _space(self.pre, self.post)
        if found is None:
            raise ParameterError(f"projection {self.name!r}: both of its populations need positions=")
        return found

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
    name: str, route: Route, rule: Rule, synapse: Synapse, receptor: str | None, dt: float, like: Projection | None = None
) -> Projection:
    """A checked projection on a grid of dt ms; it has the connections of `like`, if that is given."""
    who, pre, post = f"projection {name!r}", route.pre, route.post
    _check_rule(rule, who)
    _check_synapse(synapse, who)
    pair = candidates(post.population, receptor, who)
    unit = post.population.model.receptors[pair[0]].unit
    with on_behalf_of(who):
        space, same = _space(pre, post), pre.population is post.population
        if getattr(rule, "spatial", False):
            edges, expected, per_target = _lower_in(rule, space, pre, post, same)
        else:
            edges = rule.lower(pre.subset, post.subset, same)
            expected, per_target = (float(f(len(pre), len(post))) for f in (rule.expected, rule.per_target))
    made = _Synapses(who, pre, post, edges, space)
    weight = made.values(synapse.weight, unit, "weight")
    receptors = entered(post.population, pair, receptor, bounds(weight), who)
    if isinstance(post.population.dynamics, spec.Relay):
        _check_relayed(weight, who)
    delay = delay_steps(made.values(synapse.delay, "ms", "delay"), dt, who)
    edges = made.edges
    if like is not None and not isinstance(edges, spec.Like):
        edges = spec.Like(edges, like.stream)
    ends = (name, pre, post, rule, synapse, receptor, edges, weight, delay, receptors)
    plasticity = _plasticity(synapse, weight, post, receptors, who) if isinstance(synapse, SynapseModel) else None
    return Projection(*ends, expected, per_target, plasticity, None if like is None else like.name)


def _space(pre: Selection, post: Selection) -> spec.Space | None:
    """The space of both ends; None where one of them has no positions."""
    sources, targets = pre.population.places, post.population.places
    return None if sources is None or targets is None else space_of(sources, pre.subset, targets, post.subset)


def _lower_in(
    rule: Rule, space: spec.Space | None, pre: Selection, post: Selection, same: bool
) -> tuple[spec.Rule, float, float]:
    if space is None:
        without = " and ".join(repr(p.name) for p in {id(s): s.population for s in (pre, post)}.values() if p.places is None)
        raise ParameterError(f"{shown(rule)} needs positions, and population {without} has none; make it with positions=")
    found: tuple[spec.Rule, float, float] = rule.lower_in(space, pre.subset, post.subset, same)  # type: ignore[attr-defined]
    return found


class _Synapses:
    """Weights and delays of the connections that a rule makes; `edges` are listed, or located, where a value needs it."""

    def __init__(self, who: str, pre: Selection, post: Selection, edges: spec.Rule, space: spec.Space | None) -> None:
        self.who, self.pre, self.post, self.edges, self.space = who, pre, post, edges, space

    def values(self, given: object, unit: str, word: str) -> spec.Value:
        """A weight or a delay: a number, a distribution, a function, or an array, one entry per explicit edge."""
        who = f"{self.who}: {word}"
        if callable(given) and not hasattr(given, "magnitude"):
            given = self._called(given, who)
        if shapes_of(given):
            if self.space is None:
                raise ParameterError(f"{who}: {given!r} is a function of the distance, but not both populations have positions=")
            with on_behalf_of(who):
                made = shaped(given, self._reach())  # type: ignore[arg-type]
            self.edges = self.edges if isinstance(self.edges, spec.Located) else spec.Located(self.edges, self.space)  # type: ignore[arg-type]
            return made
        inner = self.edges.rule if isinstance(self.edges, spec.Located) else self.edges
        return _per_synapse(given, inner, unit, who)

    def _called(self, function: Callable[..., object], who: str) -> object:
        words = list(signature(function).parameters)
        wrong = [word for word in words if word not in WORDS]
        if wrong or not words:
            raise ParameterError(
                f"{who}: a function takes some of {', '.join(WORDS)} as arguments, not {', '.join(wrong) or 'none'}"
            )
        places = [word for word in words if word in WORDS[2:]]
        if places and self.space is None:
            raise ParameterError(f"{who}: its function takes {places[0]}, but not both populations have positions=")
        listed = self._listed()
        if listed is None and words == ["distance"]:
            return OfDistance(function)  # type: ignore[arg-type]
        if listed is None:
            raise ParameterError(
                f"{who}: a function of {', '.join(words)} goes with connections that are known beforehand (Explicit, OneToOne, "
                f"AllToAll up to {LISTED:,} synapses); with others, only one of the distance does"
            )
        self.edges = listed
        pre, post = self.pre.subset.array()[listed.pre], self.post.subset.array()[listed.post]
        given: dict[str, object] = {"pre": pre, "post": post}
        if places and self.space is not None:
            d = self.space.dimensions
            given |= {"pos_pre": self.space.pre[listed.pre, :d], "pos_post": self.space.post[listed.post, :d]}
            given["distance"] = distances(self.space, listed)
        made = np.asarray(function(**{word: given[word] for word in words}))
        return np.broadcast_to(made, len(pre)) if made.ndim == 0 else made

    def _listed(self) -> spec.Edges | None:
        """The connections, where they follow from the rule alone."""
        match self.edges:
            case spec.Edges():
                return self.edges
            case spec.SameSource():
                every = np.arange(len(self.pre), dtype=np.int64)
                return spec.Edges(every, every)
            case spec.EverySource(autapses) if len(self.pre) * len(self.post) <= LISTED:
                post, pre = np.divmod(np.arange(len(self.pre) * len(self.post), dtype=np.int64), len(self.pre))
                if autapses:
                    return spec.Edges(pre, post)
                other = self.pre.subset.array()[pre] != self.post.subset.array()[post]
                return spec.Edges(pre[other], post[other])
        return None

    def _reach(self) -> float:
        rule = self.edges.rule if isinstance(self.edges, spec.Located) else self.edges
        if isinstance(rule, spec.NearPairs | spec.NearSources | spec.NearTargets):
            return rule.profile.reach
        return farthest(self.space) if self.space is not None else 0.0


def distances(space: spec.Space, edges: spec.Edges) -> F8:
    """Of the two neurons of each edge."""
    apart = space.pre[edges.pre] - space.post[edges.post]
    wrapped = np.where(space.period > 0.0, space.period, 1.0)
    apart = np.where(space.period > 0.0, apart - np.floor(apart / wrapped + 0.5) * wrapped, apart)
    return np.sqrt(apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1] + apart[:, 2] * apart[:, 2])


def _plasticity(
    synapse: SynapseModel, weight: spec.Value, post: Selection, receptors: tuple[int, int], who: str
) -> spec.Plasticity:
    """The rule of synapses that change; their weights have one sign, and reach one receptor."""
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
    return synapse.lower(weight, post.population.model.receptors[receptors[0]].magnitude, who)


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
