"""What a model is: parameters, states and equations, declared as class attributes. Pure data; nothing here computes."""

from __future__ import annotations

import inspect
import textwrap
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from itertools import count
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar, cast, dataclass_transform

import numpy as np

from eventsnn import spec
from eventsnn.codegen.declaration import Declaration
from eventsnn.errors import KindError, ModelError, ParameterError, UnknownName, unknown_name, valid
from eventsnn.units import off_grid
from eventsnn.values import Normal, as_value, bounds

C = TypeVar("C")
D = TypeVar("D", "Param", "State")

_ORDER = count()
"""Numbers declarations as they are read: a class that was pickled by value comes back with its attributes sorted by name."""


@dataclass(frozen=True)
class Param:
    """A parameter: constant over a step, one number or one per neuron. A default of None means that it must be given."""

    default: Any
    unit: str = ""
    doc: str = ""
    _: KW_ONLY
    above: float | None = None
    low: float | None = None
    below: float | None = None
    high: float | None = None
    order: int = field(default_factory=_ORDER.__next__, compare=False, repr=False)

    def value(self, given: object, size: int, who: str) -> spec.Value:
        """The value for `size` elements, in the unit declared and inside the range declared, or an error naming `who`."""
        return self.checked(as_value(given, size, self.unit, who), who)

    def checked(self, value: spec.Value, who: str) -> spec.Value:
        """The value, inside the range declared, or an error naming `who`."""
        least, most = bounds(value)
        wrong = (
            (self.above is not None and not least > self.above and f"> {self.above:g}")
            or (self.low is not None and not least >= self.low and f">= {self.low:g}")
            or (self.below is not None and not most < self.below and f"< {self.below:g}")
            or (self.high is not None and not most <= self.high and f"<= {self.high:g}")
        )
        if wrong:
            span = f"{least:g}" if least == most else f"{least:g} ... {most:g}"
            raise ParameterError(f"{who} must be {wrong} {self.unit}".rstrip() + f", not {span}")
        return value


@dataclass(frozen=True)
class State:
    """A state variable; `initial` is a number or the name of the parameter that it starts from."""

    initial: float | str
    unit: str = ""
    doc: str = ""
    order: int = field(default_factory=_ORDER.__next__, compare=False, repr=False)


@dataclass(frozen=True)
class Receptor:
    """Where spikes arrive: `effect` says what their summed weight w does, such as "I_ex += w".

    A conductance receptor has magnitude=True: it takes |w|.
    """

    name: str
    unit: str
    effect: str
    magnitude: bool = False


class Model(ABC):
    """Something that a population is made of; an immutable value: `IafPscExp(tau_m=20.0)`.

    Parameters without a default may be given by position. Values are scalars, arrays (one per neuron), distributions or pint
    quantities; they are checked when the population's size is known.
    """

    receptors: ClassVar[tuple[Receptor, ...]] = ()
    current: ClassVar[str | None] = None
    """The parameter that a stimulus current adds to; None: the model takes no current."""

    def __init__(self, *required: object, **values: object) -> None:
        params, who = self.params(), type(self).__name__
        needed = [name for name, p in params.items() if p.default is None]
        if len(required) > len(needed):
            raise KindError(f"{who} takes its values by keyword: {', '.join((*params, *self.states()))}")
        values = {name: kept(v) for name, v in {**dict(zip(needed, required, strict=False)), **values}.items()}
        for name in values:
            if name not in params and name not in self.states():
                raise unknown_name(who, "parameter or state", name, (*params, *self.states()))
        missing = [name for name in needed if values.get(name) is None]
        if missing:
            raise KindError(f"{who} needs {', '.join(missing)}: {who}({', '.join(f'{m}=...' for m in missing)})")
        self.__dict__.update({name: p.default for name, p in params.items()} | values)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is a value and cannot change; make another one")

    def __repr__(self) -> str:
        params = self.params()
        given = {k: v for k, v in self.values.items() if k not in params or not _same(v, params[k].default)}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    @property
    def values(self) -> dict[str, Any]:
        """Every parameter, and the initial values of states where they were given."""
        return dict(self.__dict__)

    @classmethod
    def params(cls) -> dict[str, Param]:
        return _declared(cls, Param)

    @classmethod
    def states(cls) -> dict[str, State]:
        return _declared(cls, State)

    @abstractmethod
    def dynamics(self, size: int, dt: float, values: Mapping[str, object], key: spec.Key) -> spec.Dynamics:
        """What `size` of these do on a grid of `dt` ms; `values` are the model's, overridden by the population's."""

    def multiplicity(self, size: int, dt: float, values: Mapping[str, object]) -> int:
        """Most spikes of one of them in one step."""
        return 1


class NeuronModel(Model):
    """A neuron given by equations, from which its update is generated.

    `equations` has one line "dx/dt = ..." per state; a state without one changes only by receptors and reset. A line
    "name = expression" names an expression for the lines below, effects, threshold and reset. `threshold` is a condition on the
    states after the update, `reset` are assignments made on a spike, one after the other ("V_m = V_reset; u += d"). `refractory`
    names the parameter with the refractory time, during which no spike is made and the states in `hold` keep their values and
    drop their input; `release` are assignments made in the last step of it, `always` those of every step, before the threshold is
    tested. With `crossing`, a spike is made when the condition becomes true. What is not linear is integrated by `method`:
    "exponential_euler" (default where every such equation is affine in its own state), "rk4" (else), "rk4_divided", "euler", or
    "sequential_euler", where an equation speaks of the new values of the states above it. The step is fixed: a
    term that explodes needs a bound, such as exp((min(V_m, V_peak) - V_T)/Delta_T). With "rk4_divided", for a potential with one
    such exponential and a threshold V_m >= V_peak, the step of a spike is divided: the crossing is located, the reset made there,
    and the rest of the step goes on from it. The spike is stamped with the end of the step, where input arrives and, if there is
    one, the refractory time begins.

    An expression takes + - * / **, comparisons, and, or, not, `a if condition else b`, where(condition, a, b), exp, log,
    sqrt, tanh, sin, cos, abs, sign, min, max, clip(x, low, high) and exprel(x) = (exp(x) - 1)/x. A term factor*xi in an
    equation is white noise of unit 1/sqrt(ms), exact on the grid where the equation is linear and the factor made of
    parameters, else integrated by Euler and Maruyama; xi_1, xi_2, ... are independent of it and of each other. In conditions
    and assignments each uniform() is a number in (0, 1) and each normal() one of mean 0 and variance 1, drawn in every step;
    dt is the step, and before(x) what the state x was before it. Draws are functions of (seed, population, neuron, step):
    nothing else changes them.

    The units of parameters, states and receptors are held against every line, unless `check_units` is False or none is declared.
    Bare numbers may be added to anything; names of units stand for 1 (10*mV).

    Instead of equations, `step` may be a plain function on scalars (a staticmethod): it takes the states, `refr` where
    `refractory`, the arrived weight of each receptor, `I_stim` where `current`, the parameters but the refractory time, and
    `NREF` where `refractory`; it returns the new states, the new refr where `refractory`, and 0 or 1. It may call
    fma, mul, exp, log, abs, min, max, and use I0 and I1 (integers 0 and 1).
    """

    equations: ClassVar[str] = ""
    threshold: ClassVar[str] = ""
    reset: ClassVar[str] = ""
    always: ClassVar[str] = ""
    release: ClassVar[str] = ""
    refractory: ClassVar[str | None] = None
    hold: ClassVar[tuple[str, ...]] = ()
    method: ClassVar[str | None] = None
    crossing: ClassVar[bool] = False
    check_units: ClassVar[bool] = True
    step: ClassVar[Callable[..., Any] | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        check_words(cls, NeuronModel)

    @classmethod
    def declaration(cls) -> Declaration:
        """The declaration as plain text, for the code generator."""
        return Declaration(
            name=cls.__name__,
            params=tuple(cls.params()),
            states=tuple(cls.states()),
            equations=cls.equations,
            receptors=tuple((r.name, r.effect) for r in cls.receptors),
            threshold=cls.threshold,
            reset=cls.reset,
            refractory=cls.refractory,
            hold=tuple(cls.hold),
            current=cls.current,
            method=cls.method,
            crossing=cls.crossing,
            step=None if cls.step is None else _source(cls, cls.step),
            always=cls.always,
            release=cls.release,
        )

    @classmethod
    def kernel(cls) -> spec.KernelSpec:
        """The generated update."""
        from eventsnn.codegen.kernel import generate  # sympy: only where a kernel is made

        declaration = cls.declaration()
        kernel = cast(spec.KernelSpec, generate(declaration))  # frozen, where a Protocol's attributes can be set
        if cls.check_units:
            from eventsnn.codegen.checking import check

            words: dict[str, Param | State] = {**cls.params(), **cls.states()}
            names = tuple((name, word.unit) for name, word in words.items())
            check(declaration, names, tuple((r.name, r.unit) for r in cls.receptors))
        return kernel

    def dynamics(self, size: int, dt: float, values: Mapping[str, object], key: spec.Key) -> spec.Equations:
        who, params = type(self).__name__, self.params()
        kernel = self.kernel()
        parameters = {n: p.value(values.get(n, p.default), size, f"{who}: {n}") for n, p in params.items()}
        start = {n: values.get(n, s.initial) for n, s in self.states().items()}
        initial_from = {n: v for n, v in start.items() if isinstance(v, str)}
        for name, source in initial_from.items():
            if source not in params:
                raise unknown_name(f"{who}: the initial value of {name}:", "parameter", source, params)
        units = {n: s.unit for n, s in self.states().items()}
        initial = {n: as_value(v, size, units[n], f"{who}: {n}") for n, v in start.items() if n not in initial_from}
        if self.refractory is not None:
            warn_off_grid(parameters[self.refractory], dt, f"{who}: {self.refractory}")
        normal = Normal(0.0, 1.0).drawn() if "normal" in kernel.draws else None
        return spec.Equations(kernel, parameters, initial, initial_from, normal)


class Synapse(Protocol):
    """What a synapse carries: weight in the unit of the receptor, delay in ms."""

    @property
    def weight(self) -> object: ...

    @property
    def delay(self) -> object: ...


class Rule(Protocol):
    """Which neurons a projection connects."""

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.Rule:
        """The rule for these ends; `same`: both lie in one population. An impossible degree raises."""

    def expected(self, n_pre: int, n_post: int) -> float:
        """Expected number of synapses."""

    def per_target(self, n_pre: int, n_post: int) -> float:
        """A bound on the number of synapses of one target."""


@dataclass(frozen=True)
class StimulusTarget:
    """Where a stimulus enters: a subset of a population, and the accumulator (receptor, its unit, exponent) of a pulse."""

    population: int
    subset: spec.Subset
    dt: float
    key: spec.Key
    receptor: int = -1
    exponent: int = 0
    unit: str | None = None
    """None: the unit of this house that has the dimension of the weight."""


class Stimulus(Protocol):
    """An input that lives inside its target."""

    def pulse(self, unit: str, who: str) -> float | None:
        """Weight of one pulse, in the unit of the receptor; None: it is a current."""

    def most(self, size: int, dt: float) -> int:
        """Most pulses into one neuron in one step."""

    def lower(self, target: StimulusTarget) -> spec.Stimulus: ...


@dataclass_transform(frozen_default=True)
def value_object(cls: type[C]) -> type[C]:
    """A frozen dataclass whose unknown keywords are answered with the nearest valid one."""
    made = dataclass(frozen=True, eq=False)(cls)  # arrays have no truth value: objects are equal only to themselves
    plain: Callable[..., None] = made.__init__
    names = [f.name for f in fields(made) if f.init]  # type: ignore[arg-type]

    def __init__(self: C, *args: object, **values: object) -> None:
        for name in values:
            if name not in names:
                raise unknown_name(cls.__name__, "argument", name, names)
        try:
            inspect.signature(plain).bind(self, *args, **values)
        except TypeError as error:
            raise KindError(f"{cls.__name__}({', '.join(names)}): {error}") from None
        plain(self, *map(kept, args), **{name: kept(v) for name, v in values.items()})

    made.__init__ = __init__  # type: ignore[method-assign, assignment]
    return made


def check_words(cls: type, base: type) -> None:
    """UnknownName where the body of a class declares, as text, number or tuple, what its base knows nothing of."""
    words = [name for part in base.__mro__ for name in getattr(part, "__annotations__", {}) if name in vars(part)]
    for name, value in vars(cls).items():
        plain = isinstance(value, str | bool | int | float | tuple | list | dict | set)
        if plain and not name.startswith("_") and not any(hasattr(parent, name) for parent in cls.__bases__):
            raise UnknownName(
                f"{cls.__name__}: {name!r} declares nothing; {valid(name, words)} Parameters are Param(...); a constant of "
                "your own has a name with an underscore in front."
            )


def _same(value: object, default: object) -> bool:
    return value is default or (isinstance(value, int | float) and value == default)


def _declared(cls: type, kind: type[D]) -> dict[str, D]:
    """The attributes of one kind in the order of the text, those of parents first; a child may replace one."""
    found: dict[str, D] = {}
    for parent in reversed(cls.__mro__):
        own = {name: v for name, v in vars(parent).items() if isinstance(v, kind)}
        found |= dict(sorted(own.items(), key=lambda item: item[1].order))
    return {name: v for name, v in found.items() if getattr(cls, name) is v}


def kept(value: Any) -> Any:
    """The value itself, but a copy of what its owner could still change."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, np.ndarray) or not value.flags.writeable:
        return value
    value = value.copy()
    value.setflags(write=False)
    return value


def _source(cls: type, step: Callable[..., Any]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(step))
    except (OSError, TypeError) as error:
        what = f"the text of its step cannot be read ({error}); define it in a file or notebook"
        raise ModelError(f"{cls.__name__}: {what}") from None


def warn_off_grid(value: spec.Value, dt: float, who: str) -> None:
    """A UserWarning where a time is no multiple of dt."""
    match value:
        case spec.Fixed(number):
            given = np.array([number])
        case spec.Given(numbers):
            given = numbers
        case _:
            return  # every draw falls between two steps
    off = off_grid(given, dt)
    if off.size:
        message = f"{who} = {off[0]:g} ms is not a multiple of dt = {dt:g} ms; it is rounded to whole steps"
        warnings.warn(message, UserWarning, stacklevel=2)
