"""What a synapse that changes is: parameters, traces of its neurons, and what a spike on either side does to its weight.

All of the delay lies on the side of the target, as in NEST: a presynaptic spike of time t meets the postsynaptic spikes of times
up to t - delay, and carries the weight to its target at t + delay. Where both are there at once, the postsynaptic one comes
first, and the trace that the presynaptic one reads does not hold it yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn, Self, TypeVar

from eventsnn import spec
from eventsnn.codegen.declaration import RuleDeclaration
from eventsnn.errors import KindError, ParameterError, unknown_name
from eventsnn.model import _ORDER, Param, check_words, kept
from eventsnn.values import bounds

D = TypeVar("D")


@dataclass(frozen=True)
class Trace:
    """A number of a neuron that decays with the time constant that the parameter `tau` names, and grows by 1 with each of its
    spikes; with nearest=True a spike sets it to 1."""

    tau: str
    doc: str = ""
    nearest: bool = False
    order: int = field(default_factory=_ORDER.__next__, compare=False, repr=False)


class PreTrace(Trace):
    """Of the source, as its synapses see it."""


class PostTrace(Trace):
    """Of the target, as its synapses see it: a delay later."""


@dataclass(frozen=True)
class PreState:
    """A number that all synapses of a source with one delay share, changed by `release`; `initial`: a number or a parameter."""

    initial: float | str
    doc: str = ""
    order: int = field(default_factory=_ORDER.__next__, compare=False, repr=False)


@dataclass(frozen=True)
class PostValue:
    """A number that is kept with each step that `when` chooses: an expression of the states that are read."""

    expression: str
    doc: str = ""
    order: int = field(default_factory=_ORDER.__next__, compare=False, repr=False)


@dataclass(frozen=True)
class PostPast:
    """A state of the target as it was a delay before the spike of the source: as it is at the synapse, for `on_pre`."""

    state: str
    doc: str = ""
    order: int = field(default_factory=_ORDER.__next__, compare=False, repr=False)


@dataclass(frozen=True)
class Variable:
    """A number of each synapse besides its weight; it decays where `tau` names a parameter."""

    initial: float | str
    doc: str = ""
    tau: str | None = None
    order: int = field(default_factory=_ORDER.__next__, compare=False, repr=False)


class SynapseModel:
    """A synapse that changes; an immutable value: `Stdp(weight=45.0, delay=1.5, Wmax=90.0)`.

    `on_pre` and `on_post` are assignments to the weight `w` and to Variables, made when a spike of the source, or of the target,
    is at the synapse: "w -= A_minus * post". They read parameters, traces and states, `since_pre` and `since_post` (ms since the
    last spike of that side before this one, or since the start). `release` are assignments to PreStates, made first at a spike of
    the source; `first` is 1 there at its first spike, else 0. `sent` is what a spike carries. After each of them the weight is
    kept between `bounds`, in any order; without bounds, where weights do not change, they are those of the description.

    `on_modulator` are assignments made when a spike of the population `modulator` is at the synapse, modulator_delay (ms) after
    it was and a delay later, as one of the target would be: a third factor, such as dopamine. Where one of the target is there
    at once, that comes first. A rule with a modulator cannot read since_post.

    With `when`, a condition on the states of the target that `reads` names, the steps in which it holds take the place of the
    target's spikes: PostValues are kept with them for `on_post`. A PostPast is a state as `on_pre` needs it.

    weight: in the unit of the receptor; delay: ms; both as for Static. A parameter is one number for all synapses, or a
    distribution or, with explicit edges, an array: then each synapse has its own. Bounds, time constants, exponents, and what
    `release` and `when` read are one number. Raises KindError, ParameterError, ModelError.
    """

    on_pre: ClassVar[str] = ""
    on_post: ClassVar[str] = ""
    on_modulator: ClassVar[str] = ""
    release: ClassVar[str] = ""
    sent: ClassVar[str] = "w"
    when: ClassVar[str] = ""
    reads: ClassVar[tuple[str, ...]] = ()
    bounds: ClassVar[tuple[str, ...]] = ("0", "Wmax")

    weight: Any
    delay: Any
    modulator: Any
    modulator_delay: Any

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        check_words(cls, SynapseModel)

    def __init__(self, *, weight: object = None, delay: object = None, **values: object) -> None:
        who, params = type(self).__name__, self.params()
        third = {}
        if self.on_modulator:
            third = {"modulator": values.pop("modulator", None), "modulator_delay": values.pop("modulator_delay", 1.0)}
        for name in values:
            if name not in params:
                raise unknown_name(who, "parameter", name, ("weight", "delay", *third, *params))
        given = {"weight": weight, "delay": delay, **third, **{name: p.default for name, p in params.items()}, **values}
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise KindError(f"{who} needs {', '.join(missing)}: {who}({', '.join(f'{m}=...' for m in missing)})")
        self.__dict__.update({name: kept(value) for name, value in given.items()})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is a value and cannot change; make another one")

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in self.params().items()}
        given = {k: v for k, v in self.__dict__.items() if k not in defaults or v != defaults[k]}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    @property
    def values(self) -> dict[str, Any]:
        """Every parameter."""
        return {name: self.__dict__[name] for name in self.params()}

    def modulated_by(self, modulator: object) -> Self:
        """The same with another population as `modulator`."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__ | {"modulator": modulator})
        return made

    @classmethod
    def check(cls, values: Mapping[str, float]) -> None:
        """Hook: a ParameterError where parameters that are one number for all synapses do not go together."""

    @classmethod
    def params(cls) -> dict[str, Param]:
        return _declared(cls, Param)

    @classmethod
    def declaration(cls) -> RuleDeclaration:
        """The declaration as plain text, for the code generator."""

        def traces(kind: type[Trace]) -> tuple[tuple[str, str, bool], ...]:
            return tuple((name, t.tau, t.nearest) for name, t in _declared(cls, kind).items())

        return RuleDeclaration(
            name=cls.__name__,
            params=tuple(cls.params()),
            pre=traces(PreTrace),
            post=traces(PostTrace),
            states=tuple((name, s.initial) for name, s in _declared(cls, PreState).items()),
            variables=tuple((name, v.initial, v.tau) for name, v in _declared(cls, Variable).items()),
            values=tuple((name, v.expression) for name, v in _declared(cls, PostValue).items()),
            past=tuple((name, s.state) for name, s in _declared(cls, PostPast).items()),
            reads=tuple(cls.reads),
            when=cls.when,
            release=cls.release,
            on_pre=cls.on_pre,
            on_post=cls.on_post,
            on_modulator=cls.on_modulator,
            sent=cls.sent,
            bounds=tuple(cls.bounds),
        )

    def lower(
        self, weight: spec.Value, magnitude: bool, who: str, values: Callable[[object, str, str], spec.Value]
    ) -> spec.Plasticity:
        """The rule as plain data; `values` makes a value of what is given, in a unit, by a name.

        ParameterError where a weight lies outside the bounds, or a value outside its range.
        """
        from eventsnn.codegen.learning import generate  # sympy: only where a rule is made

        shared: dict[str, float] = {}
        each: dict[str, spec.Value] = {}
        for name, p in self.params().items():
            word = f"{type(self).__name__}: {name}"
            value = p.checked(values(self.__dict__[name], p.unit, word), f"{who}: {word}")
            if isinstance(value, spec.Fixed):
                shared[name] = value.value
            else:
                each[name] = value
        self.check(shared)
        low, high = bounds(weight)
        if magnitude:
            low, high = min(abs(low), abs(high)) if low * high > 0.0 else 0.0, max(abs(low), abs(high))
        made = generate(self.declaration(), shared, each)
        if not self.bounds:
            return replace(made, low=min(low, 0.0), high=max(high, 0.0))
        if low <= high and not made.low <= low <= high <= made.high:
            span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            raise ParameterError(
                f"{who}: {type(self).__name__} keeps weights between {made.low:g} and {made.high:g}, and they start at {span}; "
                f"give bounds ({' and '.join(self.bounds)}) that hold them"
            )
        return made


def _declared(cls: type, kind: type[D]) -> dict[str, D]:
    found: dict[str, D] = {}
    for parent in reversed(cls.__mro__):
        own = {name: v for name, v in vars(parent).items() if isinstance(v, kind)}
        found |= dict(sorted(own.items(), key=lambda item: item[1].order))  # type: ignore[attr-defined]
    return {name: v for name, v in found.items() if getattr(cls, name) is v}


__all__ = ["PostPast", "PostTrace", "PostValue", "PreState", "PreTrace", "SynapseModel", "Trace", "Variable"]
