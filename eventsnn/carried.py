"""What each connection of a projection carries: weights and delays as numbers, draws, arrays and functions of its two neurons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import Parameter, signature

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.arguments import on_behalf_of
from eventsnn.distance import OfDistance, shaped, shapes_of
from eventsnn.errors import KindError, ParameterError
from eventsnn.positions import farthest, space_of
from eventsnn.selection import Selection
from eventsnn.values import as_value

F8 = npt.NDArray[np.float64]
WORDS = ("pre", "post", "pos_pre", "pos_post", "distance")
"""Arguments of a function that gives weights or delays: indices in the populations, positions, and distances of all synapses."""
LISTED = 50_000_000
"""Most synapses of one projection whose weights or delays a function gives one by one."""


def common_space(pre: Selection, post: Selection, what: str) -> spec.Space:
    """The space of both ends; ParameterError where one lies nowhere, or they do not lie in the same one."""
    ends = [s.population.places for s in (pre, post)]
    if ends[0] is not None and ends[1] is not None:
        return space_of(ends[0], pre.subset, ends[1], post.subset)
    without = " and ".join(
        repr(name) for name in dict.fromkeys(s.population.name for s in (pre, post) if not s.population.places)
    )
    raise ParameterError(f"{what} needs positions, and population {without} has none; make it with positions=")


class Carried:
    """Weights and delays of the connections that a rule makes; `edges` are listed, or located, where a value needs it.

    `functions`: those of them that a function gives once the connections have been drawn. Until then they are 1.
    """

    def __init__(self, who: str, pre: Selection, post: Selection, edges: spec.Rule) -> None:
        self.who, self.pre, self.post, self.edges = who, pre, post, edges
        self.functions: tuple[str, ...] = ()

    def values(self, given: object, unit: str, word: str) -> spec.Value:
        """A weight or a delay: a number, a distribution, a function, or an array, one entry per explicit edge."""
        who = f"{self.who}: {word}"
        if callable(given) and not hasattr(given, "magnitude"):
            given = self._called(given, who)
            if given is None:
                self.functions = (*self.functions, word)
                return spec.Fixed(1.0)
        if not shapes_of(given):
            return _per_synapse(given, spec.plain_rule(self.edges), unit, who)
        with on_behalf_of(who):
            if not isinstance(self.edges, spec.Located):
                self.edges = spec.Located(self.edges, common_space(self.pre, self.post, repr(given)))  # type: ignore[arg-type]
            rule = self.edges.rule
            near = isinstance(rule, spec.NearPairs | spec.NearSources | spec.NearTargets)
            return shaped(given, rule.profile.reach if near else farthest(self.edges.space))  # type: ignore[arg-type, union-attr]

    def parameter(self, given: object, unit: str, word: str) -> spec.Value:
        """A parameter of synapses: a number, a distribution, or an array, one entry per explicit edge."""
        who = f"{self.who}: {word}"
        if (callable(given) and not hasattr(given, "magnitude")) or shapes_of(given):
            raise ParameterError(f"{who} must be a number, a distribution or an array; only weights and delays may be functions")
        return _per_synapse(given, spec.plain_rule(self.edges), unit, who)

    def _called(self, function: Callable[..., object], who: str) -> object:
        """What a function gives for connections that are known; None where they are drawn first."""
        words = arguments_of(function, who)
        wrong = [word for word in words if word not in WORDS]
        if wrong or not words:
            raise ParameterError(
                f"{who}: a function takes some of {', '.join(WORDS)} as arguments, not {', '.join(wrong) or 'none'}"
            )
        listed = self._listed()
        if listed is None and words == ["distance"]:
            return OfDistance(function)  # type: ignore[arg-type]
        if set(words) & set(WORDS[2:]):
            with on_behalf_of(who):
                space = common_space(self.pre, self.post, "its function")
        if listed is None:
            return None
        pre, post = self.pre.subset.array()[listed.pre], self.post.subset.array()[listed.post]
        given: dict[str, object] = {"pre": pre, "post": post}
        if set(words) & set(WORDS[2:]):
            d = space.dimensions
            given |= {"pos_pre": space.pre[listed.pre, :d], "pos_post": space.post[listed.post, :d]}
            given["distance"] = distances(space, listed)
        self.edges = replace(self.edges, rule=listed) if isinstance(self.edges, spec.Located) else listed
        made = np.asarray(function(**{word: given[word] for word in words}))
        return np.broadcast_to(made, len(pre)) if made.ndim == 0 else made

    def _listed(self) -> spec.Edges | None:
        """The connections, where they follow from the rule alone."""
        match spec.plain_rule(self.edges):
            case spec.Edges() as edges:
                return edges
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


def arguments_of(function: Callable[..., object], who: str) -> list[str]:
    """Names of its arguments, with the signs of those that cannot be given by name."""
    signs = {int(Parameter.VAR_POSITIONAL): "*{}", int(Parameter.VAR_KEYWORD): "**{}", int(Parameter.POSITIONAL_ONLY): "{}, /"}
    try:
        found = signature(function).parameters.values()
    except (TypeError, ValueError):
        raise KindError(f"{who}: {function!r} does not tell its arguments; give such as lambda pre, post: ...") from None
    return [signs.get(int(argument.kind), "{}").format(argument.name) for argument in found]


def distances(space: spec.Space, edges: spec.Edges) -> F8:
    """Of the two neurons of each edge."""
    apart = space.pre[edges.pre] - space.post[edges.post]
    wrapped = np.where(space.period > 0.0, space.period, 1.0)
    apart = np.where(space.period > 0.0, apart - np.floor(apart / wrapped + 0.5) * wrapped, apart)
    return np.sqrt(apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1] + apart[:, 2] * apart[:, 2])


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
