"""A stored network is a network again: the same description, the same bits below it; and a store that lies raises one error."""

from __future__ import annotations

import copy
import json
import pickle
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pint
import pytest

import eventsnn as snn
from eventsnn import models, values
from eventsnn.canonical import KINDS, big_arrays, canonical
from eventsnn.distance import Shape
from eventsnn.errors import EventsnnError, ParameterError
from eventsnn.lower import lower
from eventsnn.model import Model, NeuronModel, Param, Receptor, State
from eventsnn.models import (
    AllToAll,
    Explicit,
    FixedIndegree,
    IafPscDelta,
    IafPscExp,
    Parrot,
    Poisson,
    PoissonInput,
    SpikeTrain,
    Static,
    StepCurrent,
)
from eventsnn.models.networks import brunel, cuba, microcircuit, small
from eventsnn.models.rules.degrees import LATER
from eventsnn.network import Network
from eventsnn.plasticity import SynapseModel
from eventsnn.positions import Grid
from eventsnn.restored import restore
from eventsnn.spec import Fixed
from eventsnn.values import Constant, LogNormal, Normal, Uniform

pytestmark = pytest.mark.filterwarnings("ignore:.* is not a multiple of dt:UserWarning")


def unlike(a: Any, b: Any, where: str = "spec") -> str | None:
    """Where two specs differ, to the bit."""
    if type(a) is not type(b):
        return f"{where}: {type(a)} and {type(b)}"
    if isinstance(a, np.ndarray):
        same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        return None if same else where
    if is_dataclass(a):
        pairs = [(f.name, getattr(a, f.name), getattr(b, f.name)) for f in fields(a)]
    elif isinstance(a, Mapping):
        if list(a) != list(b):
            return f"{where}: {list(a)} and {list(b)}"
        pairs = [(name, a[name], b[name]) for name in a]
    elif isinstance(a, tuple | list):
        if len(a) != len(b):
            return f"{where}: lengths {len(a)} and {len(b)}"
        pairs = [(str(k), x, y) for k, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        return None if repr(a) == repr(b) else f"{where}: {a!r} and {b!r}"
    return next((found for name, x, y in pairs if (found := unlike(x, y, f"{where}.{name}"))), None)


def again(net: Network) -> Network:
    """The network after a way through a file."""
    described = json.loads(json.dumps(canonical(net), allow_nan=False))
    assert described == canonical(net)
    made = restore(described, big_arrays(net).__getitem__)
    assert canonical(made) == described
    assert unlike(lower(net), lower(made)) is None
    return made


# ---- all that eventsnn.models has; a class that is added there is here, too

GIVEN: dict[str, Any] = {
    "p": 0.3,
    "n": 7,
    "indegree": 2,
    "outdegree": 2,
    "k": 2,
    "mean": 0.4,
    "autapses": True,
    "multapses": True,
    "pre": [0, 3, 3],
    "post": [1, 0, 0],
    "weight": 2.5,
    "delay": 0.7,
    "rate": 40.0,
    "times": [0.3, 0.9, 1.2],
    "values": [1.0, -2.0, 0.5],
    "ids": [2, 0, 1],
    "round": True,
    "amplitude": 3.0,
    "frequency": 50.0,
    "phase": 0.5,
    "offset": -1.5,
    "std": 2.0,
    "dt": 0.3,
    "start": 0.2,
    "stop": 7.0,
}
"""What tests give an argument of that name."""


def arguments(kind: type) -> dict[str, Any]:
    names = (
        [name for name, p in kind.params().items()]
        if issubclass(kind, Model)
        else [f.name for f in fields(kind) if f.metadata != LATER]
    )
    return {name: GIVEN[name] for name in names if not issubclass(kind, NeuronModel)}


PUBLIC = {name: c for name in models.__all__ if isinstance(c := getattr(models, name), type) and name != "Channel"}
MODELS = {name: kind for name, kind in PUBLIC.items() if issubclass(kind, Model)}
RULES = {name: kind for name, kind in PUBLIC.items() if hasattr(kind, "per_target")}
STIMULI = {name: kind for name, kind in PUBLIC.items() if hasattr(kind, "pulse")}
RATES = {name: kind for name, kind in PUBLIC.items() if hasattr(kind, "profile")}
SYNAPSES = {name: kind for name, kind in PUBLIC.items() if name not in {*MODELS, *RULES, *STIMULI, *RATES}}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_comes_back(name: str) -> None:
    kind = MODELS[name]
    net = Network(seed=1, dt=0.1)
    made = net.population("cells", 4, kind(**arguments(kind)))
    for word in kind.states():
        net.record(made, word, every=0.3, dtype="float64")
    net.record(made, "spikes")
    restored = again(net)
    assert type(restored["cells"].model) is kind
    assert repr(restored["cells"].model) == repr(made.model)


@pytest.mark.parametrize("name", [name for name, kind in MODELS.items() if issubclass(kind, NeuronModel)])
def test_every_parameter_and_state_comes_back_from_model_and_population(name: str) -> None:
    kind, rng = MODELS[name], np.random.default_rng(3)
    words = {**kind.params(), **kind.states()}
    drawn = dict(zip(words, rng.uniform(1.0, 9.0, len(words)), strict=True))
    higher = {"V_peak": 10.0}  # than V_reset
    drawn = {word: value + higher.get(word, 0.0) for word, value in drawn.items()}
    net = Network(seed=1, dt=0.1)
    net.population("model", 4, kind(**drawn))
    net.population(
        "population", 4, kind(**drawn), **{word: list(rng.uniform(1.0, 9.0, 4) + higher.get(word, 0.0)) for word in words}
    )
    again(net)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_comes_back(name: str) -> None:
    kind = RULES[name]
    net = Network(seed=1, dt=0.1)
    pre, post = (net.population(name, 4, IafPscExp(), positions=Grid((4,))) for name in ("pre", "post"))
    alike = name in ("SymmetricBernoulli", "FixedDegrees")
    net.connect(pre >> (pre if alike else post), kind(**arguments(kind)), Static(weight=1.0, delay=1.0), name="p")
    for flag in {"autapses", "multapses"} & {f.name for f in fields(kind)}:
        if name != "FixedTotalNumber":
            some = pre if alike else pre[1:]
            net.connect(some >> pre, kind(**{**arguments(kind), flag: False}), Static(weight=1.0, delay=1.0), name=flag)
    assert type(again(net).projections["p"].rule) is kind


PLASTIC = {name: kind for name, kind in SYNAPSES.items() if issubclass(kind, SynapseModel)}


@pytest.mark.parametrize("name", PLASTIC)
def test_every_plastic_synapse_comes_back(name: str) -> None:
    kind = PLASTIC[name]
    net = Network(seed=1, dt=0.1)
    states = [*kind.reads] or ["V_m"]
    target = type("Target", (NeuronModel,), {
        **{state: State(-65.0, "mV") for state in states},
        "tau": Param(10.0, "ms"),
        "equations": "; ".join(f"d{state}/dt = -{state}/tau" for state in states),
        "receptors": (Receptor("ex", "mV", f"{states[0]} += w"),),
        "threshold": f"{states[0]} >= 0",
    })  # fmt: skip
    cells = net.population("cells", 4, target())
    net.population("third", 2, Poisson(rate=5.0))
    numbers = {p: 7.0 if given is None else 1.5 * given for p, given in ((p, kind.params()[p].default) for p in kind.params())}
    numbers = {p: min(number, kind.params()[p].high or number) for p, number in numbers.items()}
    third = {"modulator": net["third"], "modulator_delay": 2.5} if kind.on_modulator else {}
    net.connect(cells >> cells, AllToAll(), kind(weight=Uniform(0.2, 0.9), delay=Uniform(0.5, 2.0), **third, **numbers))
    made = again(net).projections["cells_to_cells"]
    assert type(made.synapse) is kind
    assert made.plasticity == net.projections["cells_to_cells"].plasticity
    assert made.synapse.values == numbers
    assert made.modulator == (("third", 25) if third else None)


@pytest.mark.parametrize("name", [name for name in SYNAPSES if name not in PLASTIC])
@pytest.mark.parametrize("receptor", [None, "in"])
def test_every_synapse_comes_back(name: str, receptor: str | None) -> None:
    kind = SYNAPSES[name]
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 4, IafPscExp())
    net.connect(cells >> cells, AllToAll(), kind(**arguments(kind)), receptor=receptor)
    explicit = Explicit([0, 1, 2], [3, 3, 3])
    net.connect(cells >> cells, explicit, kind(**{**arguments(kind), "weight": [1.0, -2.0, 0.0], "delay": [0.1, 0.25, 3.0]}))
    made = again(net).projections["cells_to_cells"]
    assert (type(made.synapse), made.receptor) == (kind, receptor)


@pytest.mark.parametrize("name", STIMULI)
def test_every_stimulus_comes_back(name: str) -> None:
    kind = STIMULI[name]
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 4, IafPscExp())
    net.stimulate(net.population("others", 4, IafPscExp()), kind(**arguments(kind)))
    for target in (cells, cells[1:3], cells[::2]):
        net.stimulate(target, kind(**arguments(kind)))
    assert [type(s.stimulus) for s in again(net).stimulations] == [kind] * 4


@pytest.mark.parametrize("name", RATES)
def test_every_rate_that_changes_comes_back(name: str) -> None:
    kind = RATES[name]
    rate = kind(**{**arguments(kind), **({"values": [1.0, 0.0, 5.0]} if name == "Rates" else {})})
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 4, IafPscExp())
    net.population("source", 4, Poisson(rate))
    net.stimulate(cells[1:], PoissonInput(rate, 2.0))
    assert type(again(net)["source"].model.values["rate"]) is kind


def distributions() -> Iterator[Any]:
    x = Normal(3.0, 0.25)
    yield from (Constant(2.0), Uniform(0.5, 2.0), Uniform(2, 3), Normal(5.0, 0.1), LogNormal(0.1, 0.2), Normal(4.0, 0.0))
    yield from (x + 1.0, 2.0 - x / 3.0, -x, 7.0 / Uniform(1.0, 2.0), 0.1 * x, x + x, x * Uniform(1.0, 2.0), x - Normal(0.0, 0.1))
    yield from (x.clip(2.5), x.clip(None, 3.5), (2 * x).clip(5.0, 6.5), x + x.clip(2.5, None))
    yield from (x.truncate(2.5), x.truncate(None, 3.5), (10.0 - 2.0 * x).truncate(3.0, 5.0))
    yield from (x.truncate(2.5).truncate(None, 3.5), x.truncate(2.5) + x, x.truncate(2.5).clip(None, 3.0) * 2.0)


@pytest.mark.parametrize("given", list(distributions()), ids=repr)
def test_every_distribution_comes_back(given: Any) -> None:
    least = values.bounds(values.as_value(given, 4, "ms", "given"))[0]
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 4, IafPscExp(E_L=given), I_e=given, V_m=given)
    net.connect(cells >> cells, AllToAll(), Static(weight=given, delay=given if least > 0.1 else 1.0))
    if least > 0.0:
        net.stimulate(cells, PoissonInput(rate=given, weight=2.0))
    assert repr(again(net)["cells"].model.values["E_L"]) == repr(given)


def test_those_are_all_kinds_of_values() -> None:
    def kinds(given: Any) -> Iterator[str]:
        yield type(given).__name__
        for name in ("left", "right", "leaf"):
            if hasattr(given, name):
                yield from kinds(getattr(given, name))

    named = {name for name in values.__all__ if isinstance(getattr(values, name), type)} - {"Distribution"}
    met = {name for given in distributions() for name in kinds(given)}
    assert named <= met
    everywhere = {name: kind for name, kind in KINDS.items() if not issubclass(kind, Shape)}
    assert met == {name for name, kind in everywhere.items() if issubclass(kind, values.Distribution)} | {"Operation"}


@pytest.mark.parametrize(
    "given",
    [3, 2.5, np.float32(0.1), np.int16(7), np.array(4.5), 5e-324, 1.7e308, 0.1 + 0.2, [1, 2.5, 3], (1.0, 2.0, 3.0)]
    + [np.array([1, 2, 3], dtype=t) for t in ("i1", "u2", ">i4", "u8", "f2", ">f8", "longdouble")]
    + [np.array([-0.0, 5e-324, 0.1]), np.arange(6.0)[::2]],
    ids=repr,
)
def test_every_kind_of_number_comes_back(given: Any) -> None:
    net = Network(seed=2**64 - 1, dt=0.1 + 0.2)
    net.population("cells", 3, IafPscExp(E_L=given), I_e=given, V_m=given)
    made = again(net)
    assert (made.seed, made.dt) == (2**64 - 1, 0.1 + 0.2)


@pytest.mark.parametrize("dtype", ["i1", "u2", ">i4", "u8", "f2", "f4", ">f8", "longdouble"])
def test_long_arrays_come_back_in_every_type(dtype: str) -> None:
    given = (np.arange(1500) % 100).astype(dtype)
    net = Network(seed=1, dt=0.1)
    net.population("cells", 1500, IafPscExp(E_L=given), I_e=given)
    again(net)


def test_arrays_of_the_same_bytes_are_kept_apart() -> None:
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 1200, IafPscExp(I_e=np.zeros(1200)), V_m=np.zeros(1200, np.int64))
    net.stimulate(cells, StepCurrent(times=[0.1], values=np.zeros((1, 1200))))
    assert len(big_arrays(net)) == 1
    again(net)


CHOSEN = {
    "whole": slice(None),
    "slice": slice(10, 1900),
    "stride": slice(None, None, 3),
    "one": 1999,
    "negative": -5,
    "few": [1, 7, 8, 1500],
    "contiguous": [4, 5, 6],
    "mask": np.arange(2000) % 7 == 0,
    "predicate": lambda ids: ids % 2 == 1,
    "many": np.flatnonzero(np.random.default_rng(1).random(2000) < 0.9),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_every_selection_comes_back(name: str) -> None:
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 2000, IafPscExp())
    chosen = cells[CHOSEN[name]]
    net.connect(chosen >> chosen, FixedIndegree(1), Static(weight=1.0, delay=1.0))
    net.stimulate(chosen, PoissonInput(rate=1.0, weight=1.0))
    net.record(chosen & cells[5:], "spikes")
    net.record(chosen, "V_m")
    assert repr(again(net).recordings["cells/V_m"].target) == repr(chosen)


def test_recordings_come_back_as_they_were_meant() -> None:
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 4, IafPscExp())
    for k, every in enumerate((None, 0.1, 0.3, 0.7, 2.3, 1e9)):
        net.record(cells, "V_m", every=every, dtype=("float32", "float64")[k % 2], name=f"slow_{k}")
    net.record(cells, "V_m")
    net.record(cells, "spikes")
    net.record(cells[:2], "spikes", name="few")
    net.record(cells, "ex", every=1.0)
    made = again(net)
    assert list(made.recordings) == list(net.recordings)
    assert [r.every for r in made.recordings.values()] == [1, 1, 3, 7, 23, 10**10, 1, 0, 0, 10]


def test_quantities_come_back_as_numbers() -> None:
    unit = pint.UnitRegistry()
    net = Network(seed=1, dt=100 * unit.us)
    cells = net.population("cells", 3, IafPscExp(tau_m=0.02 * unit.s), V_m=np.array([-65.0, -64.0, -63.0]) * unit.mV)
    net.connect(cells >> cells, AllToAll(), Static(weight=0.02 * unit.nA, delay=1500 * unit.us))
    net.stimulate(cells, PoissonInput(rate=0.9 * unit.kHz, weight=-0.02 * unit.nA))
    net.stimulate(cells, StepCurrent(times=np.array([1, 2]) * unit.ms, values=np.array([0.1, 0.2]) * unit.nA))
    train = net.population("train", 3, SpikeTrain(times=np.array([0.001]) * unit.s, ids=[0]))
    net.connect(train >> cells, AllToAll(), Static(weight=20.0 * unit.pA, delay=1.5))
    again(net)


def test_quantities_of_a_declaration_are_in_its_units() -> None:
    unit = pint.UnitRegistry()

    class Slow(NeuronModel):
        tau = snn.Param(20.0 * unit.ms, "s")
        rate = snn.Param(np.array([1.0, 2.0]) / unit.s, "1/ms")
        V_m = snn.State(-65.0 * unit.mV, "V")
        equations = "dV_m/dt = -V_m/tau*rate"
        check_units = False
        threshold = "V_m >= 1"

    net = Network(seed=1, dt=0.1)
    net.population("cells", 2, Slow())
    made = again(net)
    made.population("more", 2, type(made["cells"].model)())
    assert unlike(made["more"].dynamics, net["cells"].dynamics) is None
    assert made["more"].dynamics.initial["V_m"] == Fixed(-0.065)  # type: ignore[union-attr]


def test_values_of_the_population_go_before_those_of_the_model() -> None:
    net = Network(seed=1, dt=0.1)
    net.population("cells", 3, IafPscExp(tau_m=20.0, V_m="V_th", I_ex=3.0), tau_m=30.0, I_in="I_e")
    made = again(net)["cells"]
    assert (made.model.values["tau_m"], made.values["tau_m"], made.model.values["V_m"]) == (20.0, 30.0, "V_th")


@pytest.mark.filterwarnings("error")
def test_what_was_warned_of_when_it_was_made_is_not_told_again() -> None:
    net = Network(seed=1, dt=0.1)
    with pytest.warns(UserWarning, match="not a multiple"):
        net.population("cells", 3, IafPscExp(t_ref=0.23))
    again(net)


@pytest.mark.parametrize("make", [lambda: microcircuit(0.01), lambda: microcircuit(0.5, drive="dc"), brunel, small, cuba])
def test_networks_of_the_library_come_back(make: Callable[[], Network]) -> None:
    again(make())


# ---- models that a user declares


class Adapting(NeuronModel):
    """Everything that a declaration can say."""

    tau = snn.Param(10.0, "ms", "how fast", above=0.0, below=1e3)
    jump = snn.Param(np.array([0.5, 0.25, 0.125]), "mV")
    asked = snn.Param(float("nan"))
    never = snn.Param(None, "ms", low=0.0, high=5.0)
    V_m = snn.State("start", "mV")
    start = snn.Param(Uniform(0.0, 0.5), "mV")
    w = snn.State(0.125, "mV/ms")
    g = snn.State(0.0, "nS")
    I_e = snn.Param(0.0, "pA")
    equations = """
        dV_m/dt = -V_m/tau - w + I_e + exp(asked)/9 - 0*g  # a leak
        dw/dt = -w/100; dg/dt = -g/5
    """
    check_units = False
    receptors = (snn.Receptor("ex", "nS", "g += w", magnitude=True), snn.Receptor("kick", "mV", "V_m += w/2"))
    threshold = "V_m >= 1"
    reset = "V_m = 0; w += jump"
    refractory = "never"
    hold = ("V_m",)
    current = "I_e"
    method = "rk4"
    crossing = True


class Faster(IafPscExp):
    """A model of the library with another default, under a name of its own."""

    tau_m = snn.Param(5.0, "ms")


def declared() -> Network:
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 3, Adapting(2.0, asked=-1.0))
    net.population("more", 4, Adapting(3.0, jump=0.5), asked=0.5)
    fast = net.population("fast", 3, Faster())
    net.connect(fast >> cells, AllToAll(), Static(weight=1.0, delay=1.0), receptor="kick")
    net.stimulate(cells, PoissonInput(rate=9.0, weight=1.0), receptor="ex")
    net.stimulate(cells, StepCurrent(times=[1.0], values=[2.0]))
    return net


def test_a_declared_model_is_made_again_from_its_declaration() -> None:
    made = again(declared())
    kind = type(made["cells"].model)
    assert kind.__name__ == "Adapting"
    assert kind is not Adapting
    assert issubclass(kind, NeuronModel)
    assert kind.params()["tau"] == snn.Param(10.0, "ms", above=0.0, below=1e3)
    assert kind.states() == Adapting.states()
    with pytest.raises(ValueError, match="tau must be > 0 ms"):
        made.population("wrong", 3, kind(1.0, tau=-1.0, asked=0.0))


def test_a_model_that_only_borrows_a_name_keeps_its_own_declaration() -> None:
    body = {"V_m": snn.State(0.0, "mV"), "equations": "dV_m/dt = -V_m/(3*ms)", "threshold": "V_m >= 1"}
    net = Network(seed=1, dt=0.1)
    net.population("first", 2, type("IafPscExp", (NeuronModel,), body)())
    net.population("second", 2, type("Poisson", (NeuronModel,), body)())
    net.population("third", 2, IafPscExp())
    made = again(net)
    assert type(made["third"].model) is IafPscExp
    assert not {type(made["first"].model), type(made["second"].model)} & {IafPscExp, Poisson}


def test_a_declaration_of_an_earlier_version_wins_over_that_of_the_library() -> None:
    described = canonical(small(100))
    for p in described["populations"]:
        p["model"]["declaration"]["equations"] = "dV_m/dt = -(V_m - E_L)/(2*tau_m) + I_e/C_m"
    made = restore(described, dict[str, Any]().__getitem__)
    assert canonical(made) == described
    assert type(made["exc"].model) is not IafPscDelta


# ---- another process, which has never seen the script


def random_network(seed: int) -> Network:
    """Anything that can be asked for, from a few distributions: their tables take time."""
    rng = random.Random(seed)
    pool = [Normal(3.0, 0.5).truncate(1.0, 6.0), Uniform(1.0, 4.0), LogNormal(0.5, 0.1), 5.0 - Uniform(1.0, 4.0), 2.5, 3]

    def value(n: int) -> Any:
        return rng.choice([*pool, [rng.uniform(1.0, 5.0) for _ in range(n)], np.linspace(1.0, rng.uniform(2.0, 5.0), n)])

    def some(p: Any) -> Any:
        k = rng.randrange(1, p.n)
        mask = np.array([rng.random() < 0.7 for _ in range(p.n)])
        mask[k] = True
        return rng.choice([p, p[:k], p[k:], p[:: rng.randrange(1, 4)], p[mask], p[k]])

    net = Network(seed=rng.getrandbits(64), dt=rng.choice([0.1, 0.025, 1 / 3, 1.0]))
    dt = net.dt
    kinds = [IafPscExp, IafPscDelta, models.IafPscAlpha, Faster, Parrot, Poisson, SpikeTrain]
    for k in range(rng.randrange(1, 5)):
        kind, n = rng.choice(kinds), rng.choice([2, 9, 1001, 1500])
        words = [*kind.params(), *kind.states()] if issubclass(kind, NeuronModel) else []
        chosen = {word: value(n) for word in words if word != "t_ref" and rng.random() < 0.3}
        given = {"Poisson": {"rate": value(n)}, "SpikeTrain": {"times": [dt, 4 * dt, 2 * dt], "ids": [0, 1, 1]}}
        model = kind(**given.get(kind.__name__, {word: value(n) for word in words if word != "t_ref" and rng.random() < 0.2}))
        net.population(rng.choice(["p", "é ü", "1.5", "a|b"]) + str(k), n, model, **chosen)
    everyone = list(net.populations.values())
    takers = [p for p in everyone if p.model.receptors]
    for _ in range(rng.randrange(5) if takers else 0):
        pre, post = some(rng.choice(everyone)), some(rng.choice(takers))
        rule = rng.choice([AllToAll(rng.random() < 0.5), FixedIndegree(rng.randrange(4)), models.FixedTotalNumber(5)])
        rule = rng.choice([rule, models.Bernoulli(rng.random()), Explicit([0] * 3, [0] * 3), Explicit([0] * 1200, [0] * 1200)])
        n = len(rule.pre) if isinstance(rule, Explicit) else None
        weight = rng.choice([1.5, 2, pool[0]] + ([] if n is None else [np.linspace(1.0, 2.0, n)]))
        delay = rng.choice([2.0, dt * 7, pool[1].truncate(dt, None), *([] if n is None else [[rng.uniform(1.0, 9.0)] * n])])
        receptor = rng.choice([None, next(iter(post[:].population.model.receptors)).name])
        net.connect(pre >> post, rule, Static(weight=weight, delay=delay), receptor, rng.choice([None, f"c{_}"]))
    for p in takers:
        target = some(p)
        n = len(target)
        net.stimulate(target, PoissonInput(rate=rng.choice([value(n), 800.0]), weight=rng.choice([1, 1.5])))
        if p.model.current is not None:
            net.stimulate(target, StepCurrent(times=[0.0, 3 * dt], values=rng.choice([[1.0, 2.0], np.ones((2, n))])))
    for k, p in enumerate(everyone):
        for what in rng.sample(["spikes", *p.model.states(), *(r.name for r in p.model.receptors)], 1):
            every = None if what == "spikes" else rng.choice([None, dt * 3, dt * 1234])
            net.record(some(p), what, every, rng.choice(["float32", "float64"]), rng.choice([None, f"r {k}"]))
    return net


@pytest.mark.parametrize("seed", range(60))
def test_any_network_comes_back(seed: int) -> None:
    again(random_network(seed))


SCRIPT = """
    import json, pickle, sys
    from pathlib import Path
    import numpy as np

    sys.modules["pint"] = None  # not installed
    from eventsnn.lower import lower
    from eventsnn.restored import restore

    folder = Path(sys.argv[1])
    for path in folder.glob("*.json"):
        net = restore(json.loads(path.read_text()), lambda name: np.load(folder / f"{name}.npy", allow_pickle=False))
        path.with_suffix(".pickle").write_bytes(pickle.dumps(lower(net)))
    """


def test_a_fresh_process_makes_the_same_bits_from_files(tmp_path: Path) -> None:
    nets = {"declared": declared(), "microcircuit": microcircuit(0.01)}
    nets |= {f"random {seed}": random_network(seed) for seed in range(20)}
    for name, net in nets.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(canonical(net), allow_nan=False, sort_keys=name.endswith("1")))
        for digest, array in big_arrays(net).items():
            np.save(tmp_path / f"{digest}.npy", array, allow_pickle=False)
    assert list(tmp_path.glob("*.npy"))
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    for name, net in nets.items():
        restored = pickle.loads((tmp_path / f"{name}.pickle").read_bytes())
        assert unlike(lower(net), restored) is None, name


def test_two_networks_that_differ_in_one_bit_are_unlike() -> None:
    def net(last: float) -> Network:
        made = Network(seed=1, dt=0.1)
        made.population("cells", 3, IafPscExp(), V_m=[1.0, 2.0, last])
        return made

    assert unlike(lower(net(3.0)), lower(net(3.0))) is None
    assert unlike(lower(net(3.0)), lower(net(np.nextafter(3.0, 4.0)))) == "spec.populations.0.dynamics.initial.V_m.values"


# ---- what is not in a store


class Stepped(NeuronModel):
    """A step by hand."""

    v = snn.State(0.0)
    receptors = (snn.Receptor("in", "mV", "v += w"),)

    @staticmethod
    def step(v, w_in):  # type: ignore[no-untyped-def]
        v = v + w_in
        return v, I1 if v > 1.0 else I0  # noqa: F821


class Bursting(IafPscDelta):
    """A model that is more than its declaration."""

    def multiplicity(self, size: int, dt: float, values: Mapping[str, object]) -> int:
        return 3


class Silent(Poisson):
    """A source of the user's own."""


class Ring:
    """A rule of the user's own."""

    def lower(self, pre: Any, post: Any, same: bool) -> Any:
        return AllToAll().lower(pre, post, same)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(n_pre * n_post)

    def per_target(self, n_pre: int, n_post: int) -> float:
        return float(n_pre)


class Carried:
    """A synapse of the user's own."""

    weight, delay = 1.0, 1.0


class Current(StepCurrent):
    """A stimulus of the user's own."""


class Drawn(values.Uniform):
    """A distribution of the user's own."""


def with_code(kind: str) -> Network:
    net = Network(seed=1, dt=0.1)
    made = {"step": Stepped(), "method": Bursting(), "source": Silent(rate=1.0)}.get(kind, IafPscExp())
    cells = net.population("cells", 3, made)
    post = net.population("post", 3, IafPscExp(), V_m=Drawn(0.0, 1.0) if kind == "value" else 0.0)
    rule, synapse = (Ring() if kind == "rule" else AllToAll()), (Carried() if kind == "synapse" else SYNAPSE)
    net.connect(cells >> post, rule, synapse)
    if kind == "stimulus":
        net.stimulate(post, Current(times=[1.0], values=[1.0]))
    return net


SYNAPSE = Static(weight=1.0, delay=1.0)


@pytest.mark.parametrize(
    ("kind", "who", "code"),
    [
        ("step", "population 'cells'", "Stepped"),
        ("method", "population 'cells'", "Bursting"),
        ("source", "population 'cells'", "Silent"),
        ("value", "population 'post'", "Drawn"),
        ("rule", "projection 'cells_to_post'", "Ring"),
        ("synapse", "projection 'cells_to_post'", "Carried"),
        ("stimulus", "stimulus 0 on 'post'", "Current"),
    ],
)
def test_code_is_not_taken_from_a_store(kind: str, who: str, code: str) -> None:
    described = json.loads(json.dumps(canonical(with_code(kind)), allow_nan=False))
    assert described == canonical(with_code(kind))
    with pytest.raises(EventsnnError) as caught:
        restore(described, dict[str, Any]().__getitem__)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == (
        f"the stored network cannot be restored: {who}: the code of {code} is not in the store; "
        "give the network itself: snn.resume(store, net)"
    )


# ---- stores that lie


def lying(change: Callable[[dict[str, Any]], object]) -> str:
    """The error of a description after a change."""
    described = json.loads(json.dumps(canonical(declared())))
    change(described)
    with pytest.raises(ParameterError) as caught:
        restore(described, big_arrays(declared()).__getitem__)
    return str(caught.value)


def deep(levels: int) -> Any:
    made: Any = 1.0
    for _ in range(levels):
        made = [made]
    return made


LIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no seed": (lambda d: d.pop("seed"), "network: seed is missing"),
    "seed": (lambda d: d.update(seed="1"), "network: seed is '1'; it must be a whole number"),
    "true": (lambda d: d.update(seed=True), "network: seed is True; it must be a whole number"),
    "dt": (lambda d: d.update(dt=-0.1), "network: dt must be a time > 0 ms"),
    "no list": (lambda d: d.update(populations={}), "network: populations is {}; it must be a list"),
    "no population": (lambda d: d["populations"].append(3), "population None: 3 holds no model"),
    "size": (lambda d: d["populations"][0].update(n=10**30), "population 'cells': n must be a number of neurons from 1"),
    "huge": (lambda d: d["populations"][0].update(n=10**5000), "population 'cells': its description is damaged (ValueError"),
    "deep": (
        lambda d: d["populations"][0]["values"].update(tau=deep(5000)),
        "population 'cells': its description is damaged (RecursionError",
    ),
    "twice": (lambda d: d["populations"].append(d["populations"][0]), "population 'cells': this network has a population"),
    "folder": (lambda d: d["populations"][0].update(name="../x"), "population '../x': a name holds no '/'"),
    "class": (
        lambda d: d["populations"][2].update(model={"kind": "os.system", "values": {}}),
        "population 'fast': there is no model 'os.system' in this eventsnn; give the network itself",
    ),
    "no model": (
        lambda d: d["populations"][2].update(model={"kind": "Static", "values": {}}),
        "population 'fast': there is no model 'Static'",
    ),
    "dunder": (
        lambda d: d["populations"][0]["model"]["declaration"]["params"][0].update(name="__init__"),
        "population 'cells': '__init__' cannot be the name of a parameter or state",
    ),
    "method": (
        lambda d: d["populations"][0]["model"]["declaration"]["params"][0].update(name="kernel"),
        "population 'cells': 'kernel' cannot be the name of a parameter or state",
    ),
    "equation": (
        lambda d: d["populations"][0]["model"]["declaration"].update(equations="dV_m/dt = __import__('os')"),
        "population 'cells': Adapting.equations: \"dV_m/dt = __import__('os')\": unknown function '__import__'",
    ),
    "endless": (
        lambda d: d["populations"][0]["model"]["declaration"].update(equations="dV_m/dt = " + "-" * 200_000 + "1"),
        "population 'cells': ",
    ),
    "step": (
        lambda d: d["populations"][0]["model"]["declaration"].update(step="def step(): pass"),
        "population 'cells': the step of 'Adapting' is Python code, which is not taken from a store; give the network itself",
    ),
    "rule": (
        lambda d: d["projections"][0].update(rule={"kind": "eval", "x": "1"}),
        "projection 'fast_to_cells': there is no 'eval' in this eventsnn",
    ),
    "field": (
        lambda d: d["projections"][0]["rule"].update(atapses=True),
        "projection 'fast_to_cells': AllToAll has no argument 'atapses'; did you mean 'autapses'?",
    ),
    "synapse": (
        lambda d: d["projections"][0].update(synapse=d["projections"][0]["rule"]),
        "projection 'fast_to_cells': AllToAll(autapses=True) is no synapse",
    ),
    "stranger": (
        lambda d: d["projections"][0]["pre"].update(population="fst"),
        "projection 'fast_to_cells': network has no population 'fst'; did you mean 'fast'?",
    ),
    "outside": (
        lambda d: d["projections"][0]["pre"].update(stop=99),
        "network: it comes out as another one: projection 'fast_to_cells': pre is fast[0:99] in the store and fast[0:3]",
    ),
    "newer": (
        lambda d: d["projections"][0].update(plastic=True),
        "network: it comes out as another one: projection 'fast_to_cells': plastic is in the store only",
    ),
    "more": (lambda d: d.update(monitors=[1]), "network: it comes out as another one: monitors is in the store only"),
    "program": (
        lambda d: d["populations"][1]["values"].update(tau={"kind": "Operation", "draws": [], "program": [["add", 0]]}),
        "population 'more': ['add', 0] is no step of a program of 0 draws",
    ),
    "no draw": (
        lambda d: d["populations"][1]["values"].update(tau={"kind": "Operation", "draws": [1.0], "program": [["draw", 0]]}),
        "population 'more': ['draw', 0] is no step of a program of 1 draws",
    ),
    "by zero": (
        lambda d: d["populations"][1]["values"].update(
            tau={"kind": "Operation", "draws": [], "program": [["const", 1.0], ["const", 0.0], ["div", 0]]}
        ),
        "population 'more': Constant(value=1.0) cannot be divided by 0",
    ),
    "cut": (
        lambda d: d["populations"][1]["values"].update(
            tau={"kind": "Truncated", "leaf": 1.0, "scale": 1.0, "shift": 0.0, "low": 0.0, "high": 1.0}
        ),
        "population 'more': Truncated: leaf is 1.0; it must be a distribution of one draw",
    ),
    "path out of the store": (
        lambda d: d["populations"][1]["values"].update(tau={"shape": [4], "dtype": "<f8", "sha256": "../../etc/passwd"}),
        "population 'more': sha256='../../etc/passwd' is no SHA-256",
    ),
    "objects": (
        lambda d: d["populations"][1]["values"].update(tau={"shape": [4], "dtype": "|O", "sha256": "0" * 64}),
        "population 'more': dtype='|O' is no type of stored arrays",
    ),
    "no array": (
        lambda d: d["populations"][1]["values"].update(tau={"shape": [4], "dtype": "<f8", "sha256": "0" * 64}),
        f"population 'more': array {'0' * 64} cannot be read (KeyError",
    ),
    "quantity": (
        lambda d: d["populations"][1]["values"].update(tau={"magnitude": 1.0, "unit": "ms"}),
        "population 'more': {'magnitude': 1.0, 'unit': 'ms'} is no value",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_store_that_lies_is_told_where(name: str) -> None:
    change, words = LIES[name]
    told = lying(change)
    assert told.startswith(f"the stored network cannot be restored: {words}")
    assert len(told) < 1100


def test_an_array_that_was_changed_or_does_not_fit_is_refused() -> None:
    net = Network(seed=1, dt=0.1)
    net.population("cells", 1500, IafPscExp(), V_m=np.linspace(0.0, 1.0, 1500))
    described, ((digest, array),) = canonical(net), big_arrays(net).items()
    other = array.copy()
    other[7] = np.nextafter(other[7], 1.0)
    for wrong in (other, array[:-1], array.astype("f4"), array.astype(object)):
        with pytest.raises(ParameterError, match=f"population 'cells': array {digest} is damaged: its bytes"):
            restore(described, lambda _, wrong=wrong: wrong)
    for wrong in (array.tolist(), None):
        with pytest.raises(ParameterError, match="population 'cells': its description is damaged"):
            restore(described, lambda _, wrong=wrong: wrong)
    for change in ({"shape": [1499]}, {"shape": [-1]}, {"shape": [10**18]}, {"dtype": "<f4"}, {"shape": [True]}, {"shape": []}):
        lie = copy.deepcopy(described)
        lie["populations"][0]["values"]["V_m"].update(change)
        with pytest.raises(ParameterError, match="population 'cells': "):
            restore(lie, {digest: array}.__getitem__)


def places(described: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all entries."""
    for key, value in described.items() if isinstance(described, dict) else enumerate(described):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


WRONG: tuple[Any, ...] = (None, True, -1, 0, 10**30, 1e308, 5e-324, float("nan"), "x", "", [], {}, [[1.0]], deep(3000))


def attempt(described: Any, arrays: Mapping[str, Any]) -> tuple[Network | None, ParameterError | None]:
    try:
        return restore(described, arrays.__getitem__), None
    except ParameterError as error:
        return None, error


@pytest.mark.parametrize("seed", range(24))
def test_whatever_stands_anywhere_in_a_store_gives_that_network_or_one_error(seed: int) -> None:
    net = random_network(seed) if seed % 2 else declared()
    arrays, rng, refused = big_arrays(net), random.Random(seed), 0
    whole = canonical(net)
    paths = list(places(whole))
    for path in rng.sample(paths, min(60, len(paths))):
        described = copy.deepcopy(whole)
        holder = described
        for key in path[:-1]:
            holder = holder[key]
        wrong = rng.choice((*WRONG, KeyError))
        if wrong is KeyError:
            del holder[path[-1]]
        else:
            holder[path[-1]] = wrong
        made, error = attempt(described, arrays)
        assert error is None or str(error).startswith("the stored network cannot be restored: "), path
        assert made is None or canonical(made) == described, path
        refused += made is None
    assert refused > 20
