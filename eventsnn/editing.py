"""Connections of a network that are changed before it runs: fewer, more, weaker or stronger ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import is_dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.algebra import Distribution
from eventsnn.carried import Carried, arguments_of, distances
from eventsnn.errors import KindError, ParameterError, ShapeError
from eventsnn.model import Rule, Synapse
from eventsnn.plasticity import SynapseModel
from eventsnn.projection import Edit, Projection, check_listed, delay_steps
from eventsnn.receptors import candidates, entered
from eventsnn.values import as_value, bounds

Ids = npt.NDArray[Any]
WORDS = ("pre", "post", "pos_pre", "pos_post", "distance", "weight", "delay")
NOWHERE = ("pre", "post", "weight", "delay")
"""Of these, what there is without positions."""


def pruned(p: Projection, keep: object) -> tuple[Rule, Synapse]:
    """Without the edges where `keep` is false: a mask, or a function of some of WORDS that returns one."""
    who = f"projection {p.name!r}: prune"
    edges = _explicit(p)
    mask = np.asarray(_called(p, edges, keep, who) if callable(keep) else keep)
    if mask.dtype != np.bool_ or mask.shape != edges.pre.shape:
        raise ShapeError(
            f"{who}: a mask {mask.dtype} of shape {mask.shape} was given for {len(edges.pre)} edges; give one truth each"
        )
    kept = {word: value[mask] for word in ("weight", "delay") if (value := _array(getattr(p.synapse, word))) is not None}
    return _with(p.rule, who, pre=edges.pre[mask], post=edges.post[mask]), _with(p.synapse, who, **kept)


def extended(p: Projection, pre: npt.ArrayLike, post: npt.ArrayLike, weight: object, delay: object) -> tuple[Rule, Synapse]:
    """With more edges, after those that are there; None: the weight or the delay that all have."""
    who = f"projection {p.name!r}: extend"
    edges = _explicit(p)
    more = _pairs(p, pre, post, who)
    joined = {}
    for word, given, unit in (("weight", weight, _unit(p)), ("delay", delay, "ms")):
        there = getattr(p.synapse, word)
        if given is None and _array(there) is None:
            continue
        if given is None or isinstance(there, Distribution) or is_function(there):
            raise ParameterError(
                f"{who}: the new edges need {word}=, and those that are there a number or an array, not {there!r}"
            )
        columns = ((there, len(edges.pre)), (given, len(more[0])))
        joined[word] = np.concatenate([_numbers(x, n, unit, f"{who}: {word}") for x, n in columns])
    rule = _with(p.rule, who, pre=np.concatenate([edges.pre, more[0]]), post=np.concatenate([edges.post, more[1]]))
    return rule, _with(p.synapse, who, **joined)


def rescaled(p: Projection, factor: float) -> tuple[Rule, Synapse]:
    """With every weight times a factor."""
    return p.rule, scaled(p, factor)


def scaled(p: Projection, factor: float) -> Synapse:
    """The synapse with every weight times a factor."""
    weight = p.synapse.weight
    if is_function(weight):
        raise ParameterError(f"projection {p.name!r}: scale: its weight is a function; give one that returns other numbers")
    given = _array(weight)
    return cast(
        Synapse,
        _with(p.synapse, f"projection {p.name!r}: scale", weight=(cast(Any, weight) if given is None else given) * factor),
    )


def with_values(synapse: Synapse, weight: object, delay: object, who: str) -> Synapse:
    """The same synapse with another weight or delay, where they are given."""
    given = {word: value for word, value in (("weight", weight), ("delay", delay)) if value is not None}
    return cast(Synapse, _with(synapse, who, **given)) if given else synapse


def is_drawn(p: Projection) -> bool:
    """Whether its edges are not known before a simulation is made."""
    return p.listed or not (isinstance(spec.plain_rule(p.edges), spec.Edges) and hasattr(p.rule, "pre"))


def edited(p: Projection, edit: Edit, who: str) -> Projection:
    """Of drawn edges: the same, to be edited as a simulation is made."""
    who = f"projection {p.name!r}: {who}"
    if p.procedural:
        raise ParameterError(f"{who}: procedural=True keeps no edge that could be changed; connect it without")
    check_listed(p.expected, who)
    return replace(p, edits=(*p.edits, edit))


def check_pruned(p: Projection, keep: object) -> None:
    """As far as `keep` can be judged before the edges are drawn."""
    who = f"projection {p.name!r}: prune"
    if not callable(keep):
        raise ParameterError(
            f"{who}: its edges are drawn by {type(p.rule).__name__} as a simulation is made, so a mask has no order to follow; "
            f"give a function of some of {', '.join(WORDS)}"
        )
    placed = p.pre.population.places is not None and p.post.population.places is not None
    _check_words(arguments_of(keep, who), WORDS if placed else NOWHERE, who)


def check_extended(p: Projection, dt: float, pre: Ids, post: Ids, weight: object, delay: object) -> None:
    """What can be judged of more edges before the others are drawn."""
    who = f"projection {p.name!r}: extend"
    edges = spec.Edges(*_pairs(p, pre, post, who))
    for word, given in (("weight", weight), ("delay", delay)):
        there = getattr(p.synapse, word)
        if given is None and (isinstance(there, Distribution) or is_function(there)):
            raise ParameterError(f"{who}: the new edges need {word}=, as those that are there do not share one number")
    if weight is not None:
        _check_weights(p, edges, spec.Given(_numbers(weight, len(pre), _unit(p), f"{who}: weight")), who)
    if delay is not None:
        delay_steps(spec.Given(_numbers(delay, len(pre), "ms", f"{who}: delay")), dt, who)


def _pairs(p: Projection, pre: npt.ArrayLike, post: npt.ArrayLike, who: str) -> tuple[Ids, Ids]:
    """Sources and targets, as positions in their sides."""
    sides = np.asarray(pre), np.asarray(post)
    if sides[0].shape != sides[1].shape or sides[0].ndim != 1:
        raise ShapeError(f"{who}: {sides[0].shape} sources but {sides[1].shape} targets; give one pair per connection")
    for word, ids, n in zip(("pre", "post"), sides, (len(p.pre), len(p.post)), strict=True):
        if ids.size and ids.dtype.kind not in "iu":
            raise KindError(f"{who}: {word} must hold whole numbers, positions in its side, not {ids.dtype}")
        if ids.size and not 0 <= ids.min() <= ids.max() < n:
            raise ParameterError(
                f"{who}: {word} holds {ids[(ids < 0) | (ids >= n)][0]}, but that side has {n} neurons (0 to {n - 1})"
            )
    return sides[0].astype(np.int64), sides[1].astype(np.int64)


def _numbers(given: object, n: int, unit: str, who: str) -> npt.NDArray[np.float64]:
    """One for each of n edges, in `unit`."""
    wrong = KindError(f"{who} of single edges must be a number or an array of {n}, not {given!r}")
    if isinstance(given, Distribution) or is_function(given):
        raise wrong
    try:
        value = as_value(given, n, unit, who)
    except KindError:
        raise wrong from None
    return np.full(n, value.value) if isinstance(value, spec.Fixed) else cast(spec.Given, value).values


def _unit(p: Projection) -> str:
    return p.post.population.model.receptors[p.receptors[0]].unit


def _check_weights(p: Projection, edges: spec.Edges, weight: spec.Given, who: str) -> None:
    """Whether more edges can have these weights beside those that are there."""
    spans = [bounds(value) for value in (p.weight, weight)]
    span = min(low for low, _ in spans), max(high for _, high in spans)
    target = p.post.population
    receptors = entered(target, candidates(target, p.receptor, who), p.receptor, span, who)
    if not isinstance(p.synapse, SynapseModel):
        return
    if receptors[0] != receptors[1]:
        raise ParameterError(f"{who}: weights of both signs cannot change by one rule; those that are there have the other sign")
    p.synapse.lower(weight, target.model.receptors[receptors[0]].magnitude, who, Carried(who, p.pre, p.post, edges).parameter)


def is_function(given: object) -> bool:
    return callable(given) and not hasattr(given, "magnitude")


def _explicit(p: Projection) -> spec.Edges:
    inner = spec.plain_rule(p.edges)
    assert isinstance(inner, spec.Edges)
    return inner


def _check_words(words: list[str], known: Collection[str], who: str) -> None:
    wrong = [word for word in words if word not in known]
    if wrong or not words:
        raise ParameterError(f"{who}: a function takes some of {', '.join(known)} here, not {', '.join(wrong) or 'none'}")


def _called(p: Projection, edges: spec.Edges, keep: Callable[..., Any], who: str) -> Any:
    words = arguments_of(keep, who)
    given: dict[str, Any] = {"pre": p.pre.subset.array()[edges.pre], "post": p.post.subset.array()[edges.post]}
    if p.pre.population.places is not None and p.post.population.places is not None:
        given |= {"pos_pre": p.pre.positions[edges.pre], "pos_post": p.post.positions[edges.post]}
        given["distance"] = distances(p.space(), edges)
    for word in ("weight", "delay"):
        value = getattr(p.synapse, word)
        if not isinstance(value, Distribution) and not callable(value):
            given[word] = np.broadcast_to(np.asarray(value, np.float64), len(edges.pre))
    _check_words(words, given, who)
    return keep(**{word: given[word] for word in words})


def _array(given: object) -> Any:
    """What is given edge by edge; None of anything else."""
    plain = getattr(given, "magnitude", given)
    if isinstance(plain, np.ndarray | list | tuple) and np.ndim(plain) > 0:
        return given if hasattr(given, "magnitude") else np.asarray(given)
    return None


def _with(given: Any, who: str, **values: object) -> Any:
    if not values:
        return given
    if isinstance(given, SynapseModel):
        return type(given)(**{**vars(given), **values})
    if not is_dataclass(given) or isinstance(given, type):
        raise KindError(f"{who}: {given!r} cannot be made again with another {', '.join(values)}; connect it anew")
    return replace(given, **values)
