"""A stored network made a network again. A store may say anything: nothing that it names is imported or evaluated."""

from __future__ import annotations

import keyword
import re
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from eventsnn.algebra import Constant, Distribution, Leaf
from eventsnn.canonical import (
    FOR_PEOPLE,
    KINDS,
    LATER,
    LIBRARY,
    Array,
    called,
    canonical,
    declared,
    declared_rule,
    first_difference,
    hashed,
    sha256,
)
from eventsnn.errors import EventsnnError, ParameterError, unknown_name
from eventsnn.model import Model, NeuronModel, Param, Receptor, State
from eventsnn.network import Network
from eventsnn.plasticity import PostPast, PostTrace, PostValue, PreState, PreTrace, SynapseModel, Variable
from eventsnn.selection import Route, Selection

T = TypeVar("T")
Arrays = Callable[[str], Array]
"""The array of a SHA-256."""

NUMBERS = re.compile(r"\|[biu]1|<[iuf][248]")
"""Types of stored arrays."""
LONGEST = 1000
"""Characters of a reason that are told."""
GIVE = "give the network itself: snn.resume(store, net)"


def restore(description: Mapping[str, Any], arrays: Arrays) -> Network:
    """The network of which `description` is the canonical one; `arrays` gives those that it only names.

    ParameterError where the description is damaged, or where Python code of the user's own is part of the network.
    """
    reader = _Reader(arrays)
    with reader.restoring(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they were given where the network was made
        network = Network(seed=_entry(description, "seed", int), dt=_entry(description, "dt", float))
        for path in _entry(description, "subnetworks", list) if "subnetworks" in description else ():
            network.subnetwork(_fitting(path, "subnetworks", str))
        for section, add in (
            ("populations", reader.population),
            ("projections", reader.projection),
            ("stimuli", reader.stimulus),
            ("recordings", reader.recording),
        ):
            entries = _entry(description, section, list)
            for name, entry in zip(called(section, entries), entries, strict=True):
                reader.who = name
                add(network, entry)
            reader.who = "network"
        difference = first_difference(description, canonical(network))
        if difference is not None:
            raise ParameterError(f"it comes out as another one: {difference}")
    return network


class _Reader:
    """Makes values and objects from their descriptions."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._network: Network | None = None
        self.who = "network"
        """What is being restored, for errors."""

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """One kind of error, naming what could not be restored, for all that a stored text makes anything below raise."""
        try:
            yield
            return
        except EventsnnError as error:
            why = str(error)
        except Exception as error:
            why = f"its description is damaged ({type(error).__name__}: {error})"
        about = why if why.startswith(self.who) else f"{self.who}: {why}"
        cut = about if len(about) <= LONGEST else f"{about[:LONGEST]}..."
        raise ParameterError(f"the stored network cannot be restored: {cut}")

    def population(self, network: Network, given: Any) -> None:
        model, values = self._model(_entry(given, "model", Mapping)), self._values(given)
        lying = self.value(given["positions"]) if "positions" in given else None
        network.population(_entry(given, "name", str), _entry(given, "n", int), model, positions=lying, **values)

    def projection(self, network: Network, given: Any) -> None:
        route = Route(self._selection(network, given, "pre"), self._selection(network, given, "post"))
        self._network = network
        rule, synapse = self.value(_entry(given, "rule", Mapping)), self.value(_entry(given, "synapse", Mapping))
        receptor, name = _entry(given, "receptor", str, types.NoneType), _entry(given, "name", str)
        procedural = _entry(given, "procedural", bool) if "procedural" in given else False
        if "like" in given:
            network.connect(None, None, synapse, receptor, name, like=_entry(given, "like", str), procedural=procedural)
        else:
            network.connect(route, rule, synapse, receptor, name, procedural=procedural)

    def stimulus(self, network: Network, given: Any) -> None:
        target, stimulus = self._selection(network, given, "target"), self.value(_entry(given, "stimulus", Mapping))
        network.stimulate(target, stimulus, _entry(given, "receptor", str, types.NoneType))

    def recording(self, network: Network, given: Any) -> None:
        target, what = self._selection(network, given, "target"), _entry(given, "what", str)
        name = _entry(given, "path", str).rpartition("/")[2]
        every, dtype = _entry(given, "every", int), _entry(given, "dtype", str)
        options: dict[str, Any] = {"every": every * network.dt, "dtype": dtype} if every else {}
        options["name"] = None if name == what else name
        options["keep"] = _entry(given, "keep", int) * network.dt if "keep" in given else None
        if "projection" not in given:
            network.record(target, what, **options)
            return
        pre = self._selection(network, given, "sources") if "sources" in given else None
        network.record(_entry(given, "projection", str), what, pre=pre, post=target, **options)

    def value(self, given: Any) -> Any:
        """A number, text, array, distribution or description object."""
        match given:
            case None | bool() | int() | float() | str():
                return given
            case list():
                return tuple(self.value(item) for item in given)
            case {"float": "nan" | "inf" | "-inf" as text}:
                return float(text)
            case {"shape": [*shape], "dtype": str(dtype), "sha256": str(digest)}:
                return self._array(shape, dtype, digest)
            case {"own": str(kind)}:
                raise ParameterError(f"the code of {kind} is not in the store; {GIVE}")
            case {"rule": str(kind), "weight": weight, "delay": delay}:
                third = {}
                if "modulator" in given:
                    assert self._network is not None
                    population = self._network[_entry(given, "modulator", str)]
                    third = {"modulator": population, "modulator_delay": self.value(_entry(given, "modulator_delay"))}
                ends = {"weight": self.value(weight), "delay": self.value(delay)}
                return self._rule(kind, given)(**ends, **third, **self._values(given))
            case {"kind": "Operation", "draws": [*draws], "program": [*program]}:
                return _expression([self.value(draw) for draw in draws], program)
            case {"kind": str(kind), **parts}:
                return self._object(kind, {str(name): self.value(part) for name, part in parts.items()})
        raise ParameterError(f"{_short(given)} is no value")

    def _array(self, shape: list[Any], dtype: str, digest: str) -> Array:
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise ParameterError(f"sha256={_short(digest)} is no SHA-256")
        if not NUMBERS.fullmatch(dtype):
            raise ParameterError(f"dtype={_short(dtype)} is no type of stored arrays")
        try:
            found = self._arrays(digest)
        except (KeyError, OSError, ValueError) as error:
            raise ParameterError(f"array {digest} cannot be read ({type(error).__name__}: {error})") from None
        ordered = np.array(found, dtype=found.dtype.newbyteorder("<"), order="C")
        if sha256(ordered) != digest:
            raise ParameterError(f"array {digest} is damaged: its bytes have another SHA-256")
        made = ordered.reshape(-1).view(np.uint8).view(dtype).reshape([_whole(length) for length in shape])
        made.setflags(write=False)
        return made

    def _object(self, kind: str, parts: dict[str, Any]) -> Any:
        made_of = KINDS.get(kind)
        if made_of is None:
            raise ParameterError(f"there is no {_short(kind)} in this eventsnn; {GIVE}")
        if issubclass(made_of, Distribution):
            for name, part in parts.items():
                _fitting(part, f"{kind}: {name}", Leaf if name == "leaf" else float)
        return made_of(**parts)

    def _values(self, given: Any) -> dict[str, Any]:
        return {str(name): self.value(value) for name, value in _entry(given, "values", Mapping).items()}

    def _model(self, given: Mapping[str, Any]) -> Model:
        if "own" in given:
            raise ParameterError(f"the code of {_entry(given, 'own', str)} is not in the store; {GIVE}")
        kind, values = _entry(given, "kind", str), self._values(given)
        known = LIBRARY.get(kind, object)
        if "declaration" in given and not (issubclass(known, NeuronModel) and hashed(declared(known)) == given["declaration"]):
            known = self._declared(kind, _entry(given, "declaration", Mapping))
        if not issubclass(known, Model):
            raise ParameterError(f"there is no model {_short(kind)} in this eventsnn; {GIVE}")
        return known(**values)

    def _declared(self, name: str, given: Mapping[str, Any]) -> type[NeuronModel]:
        """A class as its declaration says."""
        if given.get("step") is not None:
            raise ParameterError(f"the step of {_short(name)} is Python code, which is not taken from a store; {GIVE}")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ParameterError(f"{_short(name)} cannot be the name of a model")
        body: dict[str, Any] = {word: _entry(given, word, str) for word in ("equations", "threshold", "reset")}
        body |= {word: _entry(given, word, str, types.NoneType) for word in ("refractory", "current", "method")}
        body |= {word: _fitting(given.get(word, ""), word, str) for word in LATER}
        body["crossing"] = _entry(given, "crossing", bool)
        body["check_units"] = _fitting(given.get("check_units", True), "check_units", bool)
        body["hold"] = tuple(_fitting(word, "hold", str) for word in _entry(given, "hold", list))
        body["receptors"] = tuple(self._declared_part(Receptor, r) for r in _entry(given, "receptors", list))
        for word, part in (("params", Param), ("states", State)):
            for entry in _entry(given, word, list):
                attribute = _entry(entry, "name", str)
                if not attribute.isidentifier() or attribute.startswith("_") or hasattr(NeuronModel, attribute):
                    raise ParameterError(f"{_short(attribute)} cannot be the name of a parameter or state")
                body[attribute] = self._declared_part(part, {k: v for k, v in entry.items() if k != "name"})
        return types.new_class(name, (NeuronModel,), exec_body=lambda made: made.update(body))

    def _rule(self, name: str, parts: Mapping[str, Any]) -> type[SynapseModel]:
        """The class of a synapse that changes, as its declaration says."""
        given = _entry(parts, "declaration", Mapping)
        known = LIBRARY.get(name, object)
        if issubclass(known, SynapseModel) and hashed(declared_rule(known)) == given:
            return known
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ParameterError(f"{_short(name)} cannot be the name of a synapse")
        body: dict[str, Any] = {
            word: _entry(given, word, str) for word in ("release", "on_pre", "on_post", "on_modulator", "sent")
        }
        body["when"] = _entry(given, "when", str)
        body["reads"] = tuple(_fitting(word, "reads", str) for word in _entry(given, "reads", list))
        body["bounds"] = tuple(_fitting(word, "bounds", str) for word in _entry(given, "bounds", list))

        def named(word: str, make: Callable[[Mapping[str, Any]], Any]) -> None:
            for entry in _entry(given, word, list):
                attribute = _entry(entry, "name", str)
                if not attribute.isidentifier() or attribute.startswith("_") or hasattr(SynapseModel, attribute):
                    raise ParameterError(f"{_short(attribute)} cannot be the name of a parameter, trace, state or variable")
                body[attribute] = make({k: v for k, v in entry.items() if k != "name"})

        named("params", lambda entry: self._declared_part(Param, entry))
        for side, trace in (("pre", PreTrace), ("post", PostTrace)):
            named(side, lambda e, trace=trace: trace(_entry(e, "tau", str), nearest=_entry(e, "nearest", bool)))  # type: ignore[misc]
        named("values", lambda e: PostValue(_entry(e, "expression", str)))
        named("past", lambda e: PostPast(_entry(e, "state", str)))
        named("states", lambda e: PreState(_entry(e, "initial", str, float)))
        named("variables", lambda e: Variable(_entry(e, "initial", str, float), tau=_entry(e, "tau", str, types.NoneType)))
        return types.new_class(name, (SynapseModel,), exec_body=lambda made: made.update(body))

    def _declared_part(self, kind: type[T], given: Any) -> T:
        """A Param, State or Receptor."""
        names = [f.name for f in fields(kind) if f.name not in FOR_PEOPLE]  # type: ignore[arg-type]
        parts = {name: self.value(_entry(given, name)) for name in names}
        return kind(**{name: _fitting(part, name, *_PARTS.get(name, ())) for name, part in parts.items()})

    def _selection(self, network: Network, given: Any, name: str) -> Selection:
        chosen = _entry(given, name, Mapping)
        called = _entry(chosen, "population", str)
        if called not in network.populations:
            raise unknown_name("network", "population", called, network.populations)
        population = network.populations[called]
        if "ids" in chosen:
            return population[np.asarray(self.value(chosen["ids"]))]
        return population[_entry(chosen, "start", int) : _entry(chosen, "stop", int)]


_PARTS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "unit": (str,),
    "effect": (str,),
    "magnitude": (bool,),
    **dict.fromkeys(("above", "low", "below", "high"), (float, types.NoneType)),
}
"""Kinds of the fields of a Param, a State or a Receptor."""


def _expression(draws: list[Any], program: list[Any]) -> Distribution:
    """What a postfix program over draws stands for, by the algebra that made it."""
    stack: list[Any] = []
    for word in program:
        match word:
            case ["draw", int(k)] if 0 <= k < len(draws) and isinstance(draws[k], Leaf):
                stack.append(draws[k])
            case ["const", int(number) | float(number)]:
                stack.append(Constant(number))
            case [str(name), _] if name in _OPERATIONS and len(stack) > 1:
                right = stack.pop()
                stack.append(_OPERATIONS[name](stack.pop(), right))
            case _:
                raise ParameterError(f"{_short(word)} is no step of a program of {len(draws)} draws")
    if len(stack) != 1:
        raise ParameterError(f"a program of {len(program)} steps leaves {len(stack)} values, not one")
    made: Distribution = stack[0]
    return made


def _bound(given: Distribution) -> float:
    if not isinstance(given, Constant):
        raise ParameterError(f"min and max take a number, not {given!r}")
    return given.value


_OPERATIONS: dict[str, Callable[[Distribution, Distribution], Distribution]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "max": lambda a, b: a.clip(low=_bound(b)),
    "min": lambda a, b: a.clip(high=_bound(b)),
}


def _entry(given: Any, name: str, *kinds: type) -> Any:
    """The entry of a stored object, of one of these kinds where they are told."""
    if not isinstance(given, Mapping):
        raise ParameterError(f"{_short(given)} holds no {name}")
    if name not in given:
        raise ParameterError(f"{name} is missing")
    return _fitting(given[name], name, *kinds)


def _fitting(found: Any, name: str, *kinds: type) -> Any:
    """What was found, of one of these kinds: a whole number is a float, too, but a truth value is no number."""
    allowed = (*kinds, int) if float in kinds else kinds
    if kinds and (not isinstance(found, allowed) or (isinstance(found, bool) and bool not in kinds)):
        raise ParameterError(f"{name} is {_short(found)}; it must be {' or '.join(_WORDS[kind] for kind in kinds)}")
    return found


_WORDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    Mapping: "an object",
    types.NoneType: "null",
    Leaf: "a distribution of one draw",
}


def _whole(given: Any) -> int:
    return int(_fitting(given, "shape", int))


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."
