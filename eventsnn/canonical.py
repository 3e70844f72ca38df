"""A network as JSON: what is kept with its recordings, compared before a run is resumed, and made a network again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import singledispatch
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn import algebra, distance, models, positions, regions, spec, values
from eventsnn.algebra import Distribution, Operation
from eventsnn.model import Model, NeuronModel, Param, State
from eventsnn.network import Network
from eventsnn.plasticity import SynapseModel
from eventsnn.projection import Projection
from eventsnn.receptors import candidates
from eventsnn.recording import Recording
from eventsnn.selection import Population, Selection
from eventsnn.stimulation import Stimulation
from eventsnn.units import magnitude, own_unit

Array = npt.NDArray[Any]

LONGEST = 1000
"""Arrays with more elements are kept as their shape, type and SHA-256."""
LIBRARY: dict[str, type] = {name: c for name in models.__all__ if isinstance(c := getattr(models, name), type)}
"""The classes that a description may name and a store need not explain."""
KINDS: dict[str, type] = {name: c for name, c in LIBRARY.items() if is_dataclass(c)} | {
    c.__name__: c
    for home in (algebra, distance, values)
    for c in vars(home).values()
    if isinstance(c, type) and issubclass(c, Distribution) and is_dataclass(c) and c is not Operation
}
KINDS |= {c.__name__: c for c in (positions.Free, positions.Grid, positions.Ring, positions.Scattered)}
KINDS |= {c.__name__: c for c in (regions.Annulus, regions.Ball, regions.Box)}
"""Those of description objects, of distributions, and of where neurons lie."""
CODE = {"dynamics", "multiplicity", "kernel", "declaration"}
"""What a model that is given by its declaration alone leaves to NeuronModel."""
LATER = ("always", "release")
"""Words of a declaration that are kept only where a model uses them."""
FOR_PEOPLE = ("doc", "order")
"""Fields of a Param or a State that decide nothing."""
SECTIONS = {
    "populations": ("population", "name"),
    "projections": ("projection", "name"),
    "stimuli": ("stimulus", None),
    "recordings": ("recording", "path"),
}
"""The parts of a description: what an entry is, and what tells it from the others."""
CONTAINERS = ("model", "values", "declaration", "params", "states", "receptors", "rule", "synapse", "stimulus", "functions")
"""Words of a description that say nothing to who wrote the network."""
SHOWN = 80
"""Characters of a value in a message."""
ABSENT = object()


def canonical(network: Network) -> dict[str, Any]:
    """Everything that decides the results, as JSON; equal networks give equal descriptions.

    An object of the library is {"kind": class, field: value, ...}. One of the user's own class is {"own": class, ...}: its values
    can be compared, but the class cannot be made from them. A NeuronModel that declares equations is never "own".
    """
    described: dict[str, Any] = hashed(_network(network))
    return described


def big_arrays(network: Network) -> dict[str, Array]:
    """The arrays of which `canonical` keeps the SHA-256, by that; two with the same bytes, whatever their type, are one."""
    return {sha256(array): array for array in _arrays(_network(network))}


def sha256(array: Array) -> str:
    """Of the elements in C order, as `canonical` keeps it; the array is little-endian."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def hashed(described: Any) -> Any:
    """The same with its arrays as their shape, type and SHA-256."""
    match described:
        case dict():
            return {name: hashed(value) for name, value in described.items()}
        case list():
            return [hashed(value) for value in described]
        case np.ndarray():
            return {"shape": list(described.shape), "dtype": described.dtype.str, "sha256": sha256(described)}
    return described


def first_difference(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """The first thing in which the network in a store and a given one differ, in words; None where they are the same.

    Both as `canonical` describes them. In the order seed, dt, populations, projections, stimuli, recordings.
    """
    for name in ("seed", "dt"):
        if stored.get(name, ABSENT) != given.get(name, ABSENT):
            return _told("", name, stored.get(name, ABSENT), given.get(name, ABSENT))
    for section in SECTIONS:
        one, other = (_entries(section, side.get(section)) for side in (stored, given))
        for name in {**one, **other}:
            found = _difference(one.get(name, ABSENT), other.get(name, ABSENT), ())
            if found is not None:
                return _told(name, _words(found[0]), *found[1:])
        if list(one) != list(other):
            a, b = next(pair for pair in zip(one, other, strict=True) if pair[0] != pair[1])
            return f"the {section} come in another order: {a} in the store where {b} is in this network"
    found = _difference(dict(stored), dict(given), ())
    return None if found is None else _told("", _words(found[0]), *found[1:])


def called(section: str, entries: list[Any]) -> list[str]:
    """What a user calls the entries of a section; stimuli are numbered on each population."""
    kind, key = SECTIONS[section]
    if key is not None:
        return [f"{kind} {_part(entry, key)!r}" for entry in entries]
    populations = [repr(_part(_part(entry, "target"), "population")) for entry in entries]
    numbers = {name: count() for name in populations}
    return [f"{kind} {next(numbers[name])} on {name}" for name in populations]


def declared(model: type[NeuronModel]) -> dict[str, Any]:
    """The declaration of a model: all that decides what it does, in an order that does."""
    declaration = model.declaration()
    texts = {f.name: plain(getattr(declaration, f.name)) for f in fields(declaration) if f.name != "name"}
    for name in LATER:
        if not texts[name].strip():
            del texts[name]
    for name in ("equations", "threshold", "reset", *(name for name in LATER if name in texts)):
        texts[name] = _stripped(texts[name])
    return {
        **texts,
        **({} if model.check_units else {"check_units": False}),
        "params": [_word(name, p, default=p.default) for name, p in model.params().items()],
        "states": [_word(name, s, initial=s.initial) for name, s in model.states().items()],
        "receptors": [_attributes(r) for r in model.receptors],
    }


def declared_rule(synapse: type[SynapseModel]) -> dict[str, Any]:
    """The declaration of a synapse that changes."""
    declaration = synapse.declaration()
    texts = {name: _stripped(getattr(declaration, name)) for name in ("release", "on_pre", "on_post", "on_modulator", "sent")}
    traces = {
        side: [{"name": name, "tau": tau, "nearest": nearest} for name, tau, nearest in getattr(declaration, side)]
        for side in ("pre", "post")
    }
    return {
        **texts,
        **traces,
        "bounds": list(declaration.bounds),
        "when": _stripped(declaration.when),
        "reads": list(declaration.reads),
        "values": [{"name": name, "expression": text} for name, text in declaration.values],
        "past": [{"name": name, "state": state} for name, state in declaration.past],
        "params": [_word(name, p, default=p.default) for name, p in synapse.params().items()],
        "states": [{"name": name, "initial": plain(initial)} for name, initial in declaration.states],
        "variables": [{"name": name, "initial": plain(v), "tau": tau} for name, v, tau in declaration.variables],
    }


@singledispatch
def plain(given: Any) -> Any:
    """A value or description object as JSON, but for arrays that are longer than LONGEST."""
    if hasattr(given, "is_compatible_with"):
        return _in_unit(given, own_unit(given))
    kind = type(given).__name__
    if KINDS.get(kind) is type(given):
        return {"kind": kind, **{name.rstrip("_"): value for name, value in _attributes(given).items()}}
    return {"own": getattr(given, "__qualname__", kind), "values": _held(given)}


@plain.register
def _rule(given: SynapseModel) -> Any:
    kind, params = type(given), given.params()
    values = {name: _in_unit(value, params[name].unit) for name, value in given.values.items()}
    ends = {"weight": plain(given.weight), "delay": plain(given.delay)}
    if given.on_modulator:
        ends |= {"modulator": getattr(given.modulator, "name", None), "modulator_delay": plain(given.modulator_delay)}
    if kind.lower is not SynapseModel.lower:
        return {"own": kind.__qualname__, **ends, "values": values}
    return {"rule": kind.__name__, **ends, "values": values, "declaration": declared_rule(kind)}


@plain.register(str)
@plain.register(bool)
@plain.register(int)
@plain.register(type(None))
def _as_it_is(given: Any) -> Any:
    return given


@plain.register(float)
@plain.register(np.floating)
def _number(given: Any) -> Any:
    number = float(given)
    return number if math.isfinite(number) else {"float": repr(number)}


@plain.register(list)
@plain.register(tuple)
def _sequence(given: Any) -> Any:
    return plain(np.asarray(given)) if len(given) > LONGEST else [plain(item) for item in given]


@plain.register
def _array(given: np.ndarray) -> Any:
    if given.dtype.kind not in "biuf":
        return [plain(item) for item in given.tolist()] if given.ndim else plain(given.item())
    if given.size <= LONGEST:
        return plain(given.tolist())
    # no result depends on more than 64 bits, and a wider type means another one on another machine
    narrow = given.dtype if given.dtype.itemsize <= 8 else np.dtype(np.float64)
    return np.ascontiguousarray(given, dtype=narrow.newbyteorder("<"))


@plain.register
def _numpy_number(given: np.generic) -> Any:
    return plain(given.item())


@plain.register
def _mapping(given: Mapping) -> dict[str, Any]:  # type: ignore[type-arg]
    return {str(name): plain(value) for name, value in given.items()}


@plain.register
def _operation(given: Operation) -> dict[str, Any]:
    """The tree in postfix order: draws are numbered, so that x + x is told from the sum of two draws."""
    draws: list[algebra.Leaf] = []
    program = given.program(draws)
    return {"kind": "Operation", "draws": [plain(leaf) for leaf in draws], "program": [list(word) for word in program]}


def _attributes(given: Any, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a dataclass; those that came later, where they are used."""
    shown = (
        f.name for f in fields(given) if f.name not in but and ("absent" not in f.metadata or getattr(given, f.name) is not None)
    )
    return {name: plain(getattr(given, name)) for name in shown}


def _word(name: str, given: Param | State, **values: Any) -> dict[str, Any]:
    """A parameter or a state, whose value is in its unit."""
    described = {"name": name, **_attributes(given, FOR_PEOPLE)}
    return described | {field: _in_unit(value, given.unit) for field, value in values.items()}


def _held(given: Any) -> Any:
    """What an object of a class that is not ours holds; never its address."""
    if is_dataclass(given):
        return _attributes(given)
    if hasattr(given, "__dict__"):
        return {} if hasattr(given, "__qualname__") else plain(vars(given))
    kind: Any = type(given)
    return {} if kind.__repr__ is object.__repr__ else repr(given)


def _in_unit(given: Any, unit: str) -> Any:
    """A value as the number(s) that it means in a unit; a quantity of another dimension keeps its own."""
    if not hasattr(given, "is_compatible_with"):
        return plain(given)
    if not given.is_compatible_with(unit or "dimensionless"):
        return {"magnitude": plain(given.magnitude), "unit": str(given.units)}
    return plain(magnitude(given, unit, "value"))


def _network(network: Network) -> dict[str, Any]:
    return {
        "seed": network.seed,
        "dt": network.dt,
        **({"subnetworks": list(network.subnetworks)} if network.subnetworks else {}),
        "populations": [_population(p) for p in network.populations.values()],
        "projections": [_projection(p) for p in network.projections.values()],
        "stimuli": [_stimulation(s) for s in network.stimulations],
        "recordings": [_recording(r) for r in network.recordings.values()],
    }


def _recording(r: Recording) -> dict[str, Any]:
    described = {"path": r.path, "target": _selection(r.target), "what": r.what, "every": r.every, "dtype": r.dtype}
    optional = {
        "keep": r.keep or None,
        "projection": r.projection,
        "sources": None if r.sources is None else _selection(r.sources),
    }
    return {**described, **{name: value for name, value in optional.items() if value is not None}}


def _population(p: Population) -> dict[str, Any]:
    described = {"name": p.name, "n": p.n, "model": _model(p.model), "values": _values(p.model, p.values)}
    return described if p.places is None else {**described, "positions": plain(p.places.given)}


def _model(model: Model) -> dict[str, Any]:
    kind = type(model)
    word = "own" if _has_code(kind) and LIBRARY.get(kind.__name__) is not kind else "kind"
    described = {word: kind.__name__, "values": _values(model, model.values)}
    return {**described, "declaration": declared(kind)} if issubclass(kind, NeuronModel) else described


def _has_code(kind: type[Model]) -> bool:
    """Whether a model is more than its declaration."""
    if not issubclass(kind, NeuronModel):
        return True
    known = (*NeuronModel.__mro__, *LIBRARY.values())  # ours add no more than checks
    own = [parent for parent in kind.__mro__ if parent not in known]
    return kind.step is not None or any(CODE & vars(parent).keys() for parent in own)


def _values(model: Model, given: Mapping[str, Any]) -> dict[str, Any]:
    words: dict[str, Param | State] = {**model.params(), **model.states()}
    return {name: _in_unit(value, words[name].unit if name in words else "") for name, value in given.items()}


def _projection(p: Projection) -> dict[str, Any]:
    ends = {"name": p.name, "pre": _selection(p.pre), "post": _selection(p.post)}
    rule, synapse = plain(p.rule), _weighted(p.synapse, p.post.population, p.receptor)
    shared = {} if p.like is None else {"like": p.like}
    kept = {"procedural": True} if p.procedural else {}
    functions = _given_by_functions(p, rule, synapse)
    told = {"functions": functions} if functions else {}
    return {**ends, "rule": rule, "synapse": synapse, "receptor": p.receptor, **shared, **kept, **told}


def _given_by_functions(p: Projection, rule: Any, synapse: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers, or tables over the distance, that the user's own functions gave: to be compared, not to be kept."""
    given: dict[str, Any] = {}
    if _holds_code(rule):
        lowered = spec.plain_rule(p.edges)
        given |= {"p": plain(lowered.profile)} if hasattr(lowered, "profile") else {"edges": plain(lowered)}
    for word, name, value in (("weight", "weight", p.weight), ("delay", "delay (steps)", p.delay)):
        if word not in p.functions and _holds_code(synapse.get(word)):
            given[name] = _evaluated(value)
    found: dict[str, Any] = hashed(given)
    return found


def _holds_code(described: Any) -> bool:
    match described:
        case dict():
            return "own" in described or any(map(_holds_code, described.values()))
        case list():
            return any(map(_holds_code, described))
    return False


def _evaluated(value: spec.Value) -> Any:
    match value:
        case spec.Fixed(number):
            return plain(number)
        case spec.Given(numbers):
            return plain(numbers)
        case spec.Shaped():
            tables = [shape for shape in value.shapes if shape is not None]
            return {"reach": value.reach, **{f"table {k}": plain(table) for k, table in enumerate(tables)}}
    return None


def _stimulation(s: Stimulation) -> dict[str, Any]:
    stimulus = plain(s.stimulus) if s.pulse is None else _weighted(s.stimulus, s.target.population, s.receptor)
    return {"target": _selection(s.target), "stimulus": stimulus, "receptor": s.receptor}


def _weighted(given: Any, target: Population, receptor: str | None) -> Any:
    """A synapse or a stimulus, whose weight is in the unit of its receptor."""
    described = plain(given)
    if "weight" in described:
        unit = target.model.receptors[candidates(target, receptor, target.name)[0]].unit
        described["weight"] = _in_unit(given.weight, unit)
    return described


def _selection(selection: Selection) -> dict[str, Any]:
    subset = selection.subset
    span = {"start": subset.start, "stop": subset.stop}
    return {"population": selection.population.name, **(span if subset.ids is None else {"ids": plain(subset.ids)})}


def _arrays(described: Any) -> Iterator[Array]:
    match described:
        case dict():
            for value in described.values():
                yield from _arrays(value)
        case list():
            for value in described:
                yield from _arrays(value)
        case np.ndarray():
            yield described


# ---- differences


def _entries(section: str, given: Any) -> dict[str, Any]:
    return dict(zip(called(section, given), given, strict=True)) if isinstance(given, list) else {}


def _part(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, Mapping) else None


def _difference(a: Any, b: Any, path: tuple[str, ...]) -> tuple[tuple[str, ...], Any, Any] | None:
    """(path, one, other) of the first leaves that differ; lists of named things are looked into."""
    if a == b:
        return None
    if _alike(a, b):
        for name in {**a, **b}:
            found = _difference(a.get(name, ABSENT), b.get(name, ABSENT), (*path, name))
            if found is not None:
                return found
    if isinstance(a, list) and isinstance(b, list) and [_part(x, "name") for x in a] == [_part(x, "name") for x in b]:
        for x, y in zip(a, b, strict=True):
            found = _difference(x, y, (*path, x["name"])) if _part(x, "name") else None
            if found is not None:
                return found
    return path, a, b


def _alike(a: Any, b: Any) -> bool:
    """Whether two descriptions are of one kind of thing, whose fields are worth comparing one by one."""
    if not (isinstance(a, Mapping) and isinstance(b, Mapping)) or {"float", "sha256", "population", "program"} & {*a, *b}:
        return False
    return all(a.get(word) == b.get(word) for word in ("kind", "own"))


def _words(path: tuple[str, ...]) -> str:
    """The path without words that are the house's own."""
    return ".".join([*(str(name) for name in path[:-1] if name not in CONTAINERS), *map(str, path[-1:])])


def _told(who: str, what: str, stored: Any, given: Any) -> str:
    about = ": ".join(part for part in (who, what) if part)
    if stored is ABSENT or given is ABSENT:
        return f"{about} is in {'this network' if stored is ABSENT else 'the store'} only"
    one, other = _shown(stored), _shown(given)
    if one == other:
        return f"{about} is {one} in both, but not the same one"
    return f"{about} is {one} in the store and {other} in this network"


def _shown(described: Any) -> str:
    """A short text of a value."""
    match described:
        case {"float": number}:
            text = str(number)
        case {"sha256": _, "shape": [*shape]}:
            text = f"an array of shape {tuple(shape)}"
        case {"population": name, "start": start, "stop": stop}:
            text = f"{name}[{start}:{stop}]"
        case {"population": name, "ids": ids}:
            text = f"{name}[{_shown(ids)}]"
        case {"program": [*program]}:
            text = f"an expression of {len(program)} terms"
        case {"kind": kind, "values": _} | {"own": kind}:
            text = str(kind)
        case {"kind": kind, **parts}:
            text = f"{kind}({', '.join(f'{name}={_shown(part)}' for name, part in parts.items())})"
        case _:
            text = repr(described)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _stripped(text: str) -> str:
    """Statements without the depth that they are written at."""
    return "\n".join(line.strip() for line in text.strip().split("\n"))
