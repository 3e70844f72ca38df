# mypy: disable-error-code="arg-type, call-arg, call-overload, operator"
"""Wrong scripts raise at the wrong line, before anything runs, and say who, what was given, what is allowed and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.errors import EventsnnError, KindError, ParameterError, SelectionError, ShapeError, UnitError, UnknownName
from eventsnn.lower import lower
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    IafPscDelta,
    IafPscExp,
    OneToOne,
    Parrot,
    Poisson,
    PoissonInput,
    SpikeTrain,
    Static,
    StepCurrent,
)
from eventsnn.network import Network
from eventsnn.selection import Population

STATIC = Static(weight=20.0, delay=1.5)
MISSING = None


class Bench:
    """A small network for a script to go wrong on."""

    def __init__(self) -> None:
        self.net = Network(seed=1, dt=0.1)
        self.exc = self.net.population("exc", 10, IafPscExp())
        self.delta = self.net.population("delta", 4, IafPscDelta())
        self.src = self.net.population("src", 3, Poisson(rate=5.0))
        self.par = self.net.population("par", 3, Parrot())

    def population(self, name: object = "new", n: object = 10, model: object = MISSING, **values: object) -> Population:
        chosen = IafPscExp() if model is MISSING else model
        return self.net.population(name, n, chosen, **values)

    def connect(self, rule: object = MISSING, synapse: object = STATIC, post: object = MISSING, **options: object) -> object:
        route = self.exc >> (self.exc if post is MISSING else post)
        return self.net.connect(route, AllToAll() if rule is MISSING else rule, synapse, **options)


class Channels(snn.NeuronModel):
    """Three receptors, none of them "ex" or "in"."""

    V_m = snn.State(0.0, "mV")
    equations = "dV_m/dt = -V_m/10"
    receptors = tuple(snn.Receptor(name, "mV", "V_m += w") for name in ("ampa", "nmda", "gaba"))
    threshold = "V_m >= 1"
    reset = "V_m = 0"


Script = Callable[[Bench], object]
Wrong = tuple[str, Script, type[Exception], str]

NETWORK: list[Wrong] = [
    ("seed missing", lambda b: Network(dt=0.1), TypeError, "missing 1 required keyword-only argument: 'seed'"),
    (
        "seed negative",
        lambda b: Network(seed=-1, dt=0.1),
        ParameterError,
        r"network: seed must be a whole number in [0, 2**64), not -1",
    ),
    ("seed too large", lambda b: Network(seed=2**64, dt=0.1), ParameterError, "network: seed must be a whole number"),
    ("seed real", lambda b: Network(seed=1.5, dt=0.1), ParameterError, "in [0, 2**64), not 1.5"),
    ("dt zero", lambda b: Network(seed=1, dt=0.0), ParameterError, "network: dt must be a time > 0 ms, not 0"),
    ("dt not a number", lambda b: Network(seed=1, dt=float("nan")), ParameterError, "network: dt must be finite, but holds nan"),
    ("dt text", lambda b: Network(seed=1, dt="0.1"), KindError, "network: dt must be one number or a pint quantity, not '0.1'"),
    ("lookup typo", lambda b: b.net["ecx"], UnknownName, "network has no population 'ecx'; did you mean 'exc'?"),
    ("network looped over", lambda b: list(b.net), KindError, "loop over network.populations.values()"),
    ("nothing in it", lambda b: lower(Network(seed=1, dt=0.1)), ParameterError, "there is no population; add one"),
    ("precision typo", lambda b: lower(b.net, "flaot32"), UnknownName, "no precision 'flaot32'; did you mean 'float32'?"),
]

POPULATIONS: list[Wrong] = [
    ("name twice", lambda b: b.population("exc"), ParameterError, "population 'exc': this network has a population of that name"),
    (
        "name of a projection",
        lambda b: (b.connect(), b.population("exc_to_exc")),
        ParameterError,
        "has a projection of that name",
    ),
    (
        "name reserved",
        lambda b: b.population("time"),
        ParameterError,
        "population 'time': this name is reserved, as are projections",
    ),
    ("name with a slash", lambda b: b.population("l4/exc"), ParameterError, "population 'l4/exc': a name holds no '/'"),
    ("name empty", lambda b: b.population(""), ParameterError, "a name must be printable text without blanks around it"),
    ("name a number", lambda b: b.population(3), KindError, "population: a name must be text, not 3"),
    ("no neurons", lambda b: b.population(n=0), ParameterError, "population 'new': n must be a number of neurons from 1"),
    ("negative n", lambda b: b.population(n=-5), ParameterError, "from 1 to 2**31 - 1, not -5"),
    ("n real", lambda b: b.population(n=10.0), KindError, "population 'new': n must be a whole number of neurons, not 10.0"),
    ("n true", lambda b: b.population(n=True), KindError, "n must be a whole number of neurons, not True"),
    (
        "model class",
        lambda b: b.population(model=IafPscExp),
        KindError,
        "the class IafPscExp is no model; give an object such as",
    ),
    ("model text", lambda b: b.population(model="iaf_psc_exp"), KindError, "'iaf_psc_exp' is no model; give an object such as"),
    (
        "keyword typo",
        lambda b: b.population(tau_mem=20.0),
        UnknownName,
        "population 'new': IafPscExp has no parameter or state 'tau_mem'; did you mean 'tau_m'?",
    ),
    (
        "keyword typo in the model",
        lambda b: IafPscExp(vth=-50.0),
        UnknownName,
        "IafPscExp has no parameter or state 'vth'; did you mean 'V_th'?",
    ),
    ("old keyword", lambda b: b.population(vrest=-70.0), UnknownName, "IafPscExp has no parameter or state 'vrest'"),
    ("array too short", lambda b: b.population(tau_m=np.ones(9)), ShapeError, "tau_m has shape (9,), but there are 10 elements"),
    (
        "array of two dimensions",
        lambda b: b.population(V_m=np.ones((10, 1))),
        ShapeError,
        "V_m has shape (10, 1), but there are 10",
    ),
    (
        "time constant zero",
        lambda b: b.population(tau_m=0.0),
        ParameterError,
        "population 'new': IafPscExp: tau_m must be > 0 ms, not 0",
    ),
    (
        "time constant drawn negative",
        lambda b: b.population(tau_m=snn.Uniform(-1.0, 5.0)),
        ParameterError,
        "tau_m must be > 0 ms, not -1 ... 5",
    ),
    ("refractory time negative", lambda b: b.population(t_ref=-1.0), ParameterError, "t_ref must be >= 0 ms, not -1"),
    ("not finite", lambda b: b.population(V_m=[0.0] * 9 + [np.nan]), ParameterError, "V_m must be finite, but holds nan"),
    ("text for a number", lambda b: b.population(C_m="250 pF"), KindError, "C_m must be a number, an array"),
    (
        "train beyond the end",
        lambda b: b.population(model=SpikeTrain(times=[1.0], ids=[10])),
        ParameterError,
        "SpikeTrain: id 10 is not the index of one of the 10 neurons (0 to 9)",
    ),
    (
        "train off the grid",
        lambda b: b.population(model=SpikeTrain(times=[0.25], ids=[0])),
        ParameterError,
        "0.25 ms is not a multiple of dt = 0.1 ms",
    ),
    (
        "train at zero",
        lambda b: b.population(model=SpikeTrain(times=[0.0], ids=[0])),
        ParameterError,
        "SpikeTrain: a spike at 0 ms; times must be > 0",
    ),
    ("rate missing", lambda b: Poisson(), KindError, "Poisson needs rate: Poisson(rate=...)"),
    ("rate negative", lambda b: b.population(model=Poisson(rate=-5.0)), ParameterError, "rate must be >= 0 Hz, not -5"),
]

SELECTIONS: list[Wrong] = [
    ("beyond the end", lambda b: b.exc[10], SelectionError, "exc: there is no neuron 10; give 0 to 9, or -10 to -1"),
    ("empty", lambda b: b.exc[5:5], SelectionError, "exc[5:5] selects no neuron of 10; choose at least one"),
    (
        "mask of wrong length",
        lambda b: b.exc[[True, False]],
        SelectionError,
        "exc: a mask of shape (2,) was given; it must have shape (10,)",
    ),
    ("positions unsorted", lambda b: b.exc[[3, 1]], SelectionError, "exc[[3, 1]]: positions must ascend and differ; sort them"),
    (
        "of another network",
        lambda b: b.net.record(Bench().exc, "spikes"),
        SelectionError,
        "record: population 'exc' belongs to another network",
    ),
    ("two populations and-ed", lambda b: b.exc & b.delta, SelectionError, "exc & delta: two populations share no neuron"),
]

CONNECTIONS: list[Wrong] = [
    (
        "no route",
        lambda b: b.net.connect((b.exc, b.exc), AllToAll(), STATIC),
        KindError,
        "is no route; give connect(pre >> post, rule, synapse)",
    ),
    ("route to text", lambda b: b.connect(post="exc"), KindError, "exc >> ...: 'exc' is no population"),
    (
        "end of another network",
        lambda b: b.connect(post=Bench().exc),
        SelectionError,
        "connect: population 'exc' belongs to another network",
    ),
    (
        "rule and synapse swapped",
        lambda b: b.connect(STATIC, AllToAll()),
        KindError,
        "is no connection rule; give one such as FixedIndegree(100)",
    ),
    ("rule class", lambda b: b.connect(AllToAll), KindError, "projection 'exc_to_exc': the class AllToAll is no connection rule"),
    (
        "weight for a synapse",
        lambda b: b.connect(synapse=20.0),
        KindError,
        "20.0 is no synapse; give Static(weight=..., delay=...)",
    ),
    (
        "synapse without delay",
        lambda b: Static(weight=1.0),
        KindError,
        "Static(weight, delay): missing a required argument: 'delay'",
    ),
    (
        "delay zero",
        lambda b: b.connect(synapse=Static(weight=1.0, delay=0.0)),
        ParameterError,
        "a delay of 0 ms is less than one step of dt = 0.1 ms",
    ),
    (
        "delay below half a step",
        lambda b: b.connect(synapse=Static(weight=1.0, delay=0.04)),
        ParameterError,
        "a delay of 0.04 ms is less than one step",
    ),
    (
        "delay drawn too short",
        lambda b: b.connect(synapse=Static(weight=1.0, delay=snn.Uniform(0.0, 2.0))),
        ParameterError,
        "below dt/2 = 0.05 ms; delays are at least one step: add .truncate(0.1, None) (redraws) or .clip(0.1, None) (piles up)",
    ),
    (
        "delay array too short",
        lambda b: b.connect(Explicit([0, 1], [0, 1]), Static(weight=1.0, delay=[1.0, 0.0])),
        ParameterError,
        "a delay of 0 ms",
    ),
    (
        "weight array without edges",
        lambda b: b.connect(synapse=Static(weight=[1.0] * 10, delay=1.0)),
        ParameterError,
        "goes with Explicit(pre, post) only",
    ),
    (
        "weight array of wrong length",
        lambda b: b.connect(Explicit([0, 1], [0, 1]), Static(weight=[1.0], delay=1.0)),
        ShapeError,
        "has shape (1,), but there are 2 elements",
    ),
    (
        "weight not finite",
        lambda b: b.connect(synapse=Static(weight=np.inf, delay=1.0)),
        ParameterError,
        "weight must be finite, but holds inf",
    ),
    (
        "weight text",
        lambda b: b.connect(synapse=Static(weight="20 pA", delay=1.0)),
        KindError,
        "weight must be a number, an array",
    ),
    (
        "receptor typo",
        lambda b: b.connect(receptor="exc"),
        UnknownName,
        "IafPscExp has no receptor 'exc'; did you mean 'ex'? Valid: ex, in.",
    ),
    (
        "receptor needed",
        lambda b: b.connect(post=b.population(model=Channels())),
        ParameterError,
        "say which with receptor=, one of ampa, nmda, gaba",
    ),
    ("into a source", lambda b: b.connect(post=b.src), ParameterError, "'src' is made of Poisson, which has no receptors"),
    (
        "drawn into a parrot",
        lambda b: b.connect(synapse=Static(weight=snn.Normal(0.0, 1.0), delay=1.0), post=b.par),
        ParameterError,
        "give a constant weight",
    ),
    (
        "name twice",
        lambda b: (b.connect(name="a"), b.connect(name="a")),
        ParameterError,
        "projection 'a': this network has a projection of that name",
    ),
    (
        "name of a population",
        lambda b: b.connect(name="delta"),
        ParameterError,
        "projection 'delta': this network has a population of that name",
    ),
    (
        "one to one of unequal sizes",
        lambda b: b.connect(OneToOne(), post=b.delta),
        ParameterError,
        r"OneToOne: 10 sources but 4 targets; both sides must have the same size",
    ),
    (
        "in-degree without repeats",
        lambda b: b.connect(FixedIndegree(11, multapses=False)),
        ParameterError,
        "FixedIndegree(11) from 10 sources: 11 different partners are asked for, but there are 10",
    ),
    (
        "in-degree without self",
        lambda b: b.connect(FixedIndegree(10, autapses=False, multapses=False)),
        ParameterError,
        "10 different partners are asked for, but there are 9 to choose from, itself left out",
    ),
    (
        "out-degree without repeats",
        lambda b: b.connect(FixedOutdegree(5, multapses=False), post=b.delta),
        ParameterError,
        "FixedOutdegree(5) to 4 targets: 5 different partners are asked for, but there are 4",
    ),
    (
        "in-degree negative",
        lambda b: b.connect(FixedIndegree(-1)),
        ParameterError,
        "FixedIndegree: indegree must be >= 0, not -1",
    ),
    (
        "probability above one",
        lambda b: b.connect(Bernoulli(1.5)),
        ParameterError,
        "Bernoulli: p is a probability and must be between 0 and 1, not 1.5",
    ),
    (
        "total without repeats",
        lambda b: b.connect(FixedTotalNumber(5, multapses=False)),
        ParameterError,
        "FixedTotalNumber: multapses=False isn't available for this rule, as in NEST",
    ),
    (
        "edges of unequal length",
        lambda b: b.connect(Explicit([0, 1], [0])),
        ParameterError,
        "Explicit: 2 sources but 1 targets; give one pair per connection",
    ),
    (
        "edges beyond the end",
        lambda b: b.connect(Explicit([0, 10], [0, 1])),
        ParameterError,
        "Explicit: pre holds 10, but that side has 10 neurons (0 to 9)",
    ),
    (
        "rule keyword typo",
        lambda b: FixedIndegree(5, multapse=False),
        UnknownName,
        "FixedIndegree has no argument 'multapse'; did you mean 'multapses'?",
    ),
    (
        "weights too far apart",
        lambda b: (
            b.connect(synapse=Static(weight=1e-9, delay=1.0)),
            b.connect(synapse=Static(weight=1e9, delay=1.0)),
            lower(b.net),
        ),
        ParameterError,
        "population 'exc', receptor 'ex': inputs with weights from 1e-09 to 1e+09 cannot share one 64-bit accumulator",
    ),
]

STIMULI: list[Wrong] = [
    ("a number", lambda b: b.net.stimulate(b.exc, 100.0), KindError, "stimulus on exc: 100.0 is no stimulus; give PoissonInput("),
    ("a class", lambda b: b.net.stimulate(b.exc, PoissonInput), KindError, "the class PoissonInput is no stimulus"),
    (
        "a source for a stimulus",
        lambda b: b.net.stimulate(b.exc, Poisson(rate=5.0)),
        KindError,
        "is no stimulus; give PoissonInput(",
    ),
    (
        "no target",
        lambda b: b.net.stimulate("exc", PoissonInput(rate=1.0, weight=1.0)),
        KindError,
        "stimulate: 'exc' is no population",
    ),
    (
        "into a source",
        lambda b: b.net.stimulate(b.src, PoissonInput(rate=1.0, weight=1.0)),
        ParameterError,
        "stimulus on src: a Poisson only emits spikes",
    ),
    (
        "current into a parrot",
        lambda b: b.net.stimulate(b.par, StepCurrent(times=[1.0], values=[1.0])),
        ParameterError,
        "Parrot takes no current",
    ),
    (
        "current with a receptor",
        lambda b: b.net.stimulate(b.exc, StepCurrent(times=[1.0], values=[1.0]), "ex"),
        ParameterError,
        "a current and enters no receptor",
    ),
    (
        "receptor typo",
        lambda b: b.net.stimulate(b.exc, PoissonInput(rate=1.0, weight=1.0), "inh"),
        UnknownName,
        "no receptor 'inh'; did you mean 'in'?",
    ),
    (
        "rate negative",
        lambda b: b.net.stimulate(b.exc, PoissonInput(rate=-1.0, weight=1.0)),
        ParameterError,
        "stimulus on exc: PoissonInput: rate must be >= 0 Hz, not -1",
    ),
    (
        "rates of wrong length",
        lambda b: b.net.stimulate(b.exc[:5], PoissonInput(rate=[1.0] * 10, weight=1.0)),
        ShapeError,
        "PoissonInput: rate has shape (10,), but there are 5 elements",
    ),
    (
        "current off the grid",
        lambda b: b.net.stimulate(b.exc, StepCurrent(times=[0.05], values=[1.0])),
        ParameterError,
        "0.05 ms is not a multiple of dt",
    ),
    (
        "current times unsorted",
        lambda b: b.net.stimulate(b.exc, StepCurrent(times=[2.0, 1.0], values=[1.0, 2.0])),
        ParameterError,
        "StepCurrent: times must ascend, but 2 ms is followed by 1 ms",
    ),
]

RECORDINGS: list[Wrong] = [
    ("variable typo", lambda b: b.net.record(b.exc, "V"), UnknownName, "IafPscExp has no variable 'V'; did you mean 'V_m'?"),
    ("a parameter", lambda b: b.net.record(b.exc, "tau_m"), UnknownName, "Valid: spikes, V_m, "),
    ("state of a source", lambda b: b.net.record(b.src, "V_m"), UnknownName, "Poisson has no variable 'V_m'; Valid: spikes."),
    (
        "off the grid",
        lambda b: b.net.record(b.exc, "V_m", every=0.25),
        ParameterError,
        "every: 0.25 ms is not a multiple of dt = 0.1 ms",
    ),
    (
        "every zero",
        lambda b: b.net.record(b.exc, "V_m", every=0.0),
        ParameterError,
        "every must be a time > 0 ms and a multiple of dt = 0.1 ms, not 0",
    ),
    (
        "every text",
        lambda b: b.net.record(b.exc, "V_m", every="fast"),
        KindError,
        "every must be one number or a pint quantity, not 'fast'",
    ),
    (
        "every of spikes",
        lambda b: b.net.record(b.exc, "spikes", every=1.0),
        ParameterError,
        "every spike is recorded at its own step; leave every=1.0 out",
    ),
    (
        "twice",
        lambda b: (b.net.record(b.exc, "V_m"), b.net.record(b.exc[:3], "V_m")),
        ParameterError,
        "recording 'exc/V_m' exists already; give this one another name=",
    ),
    (
        "dtype",
        lambda b: b.net.record(b.exc, "V_m", dtype="float16"),
        ParameterError,
        "dtype must be float32 or float64, not float16",
    ),
    (
        "reserved name",
        lambda b: b.net.record(b.exc, "V_m", name="index"),
        ParameterError,
        "recording 'index': this name is reserved",
    ),
]

VALUES: list[Wrong] = [
    ("uniform upside down", lambda b: snn.Uniform(2.0, 1.0), ParameterError, "Uniform(low, high) needs low <= high, not 2 > 1"),
    ("one bound", lambda b: snn.Uniform(2e-5), TypeError, "missing 1 required positional argument: 'high'"),
    ("negative spread", lambda b: snn.Normal(0.0, -1.0), ParameterError, "Normal(mean, std) needs std >= 0, not -1"),
    ("nothing left", lambda b: snn.Uniform(0.0, 1.0).truncate(2.0, None), ParameterError, "leaves nothing of"),
    ("truncated sum", lambda b: (snn.Normal(0, 1) + snn.Normal(0, 1)).truncate(0.0, None), ParameterError, "truncate its parts"),
]  # fmt: skip

SECTIONS = {
    "network": NETWORK,
    "population": POPULATIONS,
    "selection": SELECTIONS,
    "connection": CONNECTIONS,
    "stimulus": STIMULI,
    "recording": RECORDINGS,
    "value": VALUES,
}
SCRIPTS = [pytest.param(*rest, id=f"{section}: {name}") for section, wrong in SECTIONS.items() for name, *rest in wrong]


@pytest.mark.parametrize(("script", "error", "message"), SCRIPTS)
def test_a_wrong_script_says_what_to_do(script: Script, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        script(Bench())
    assert isinstance(caught.value, ValueError | TypeError)


def test_wrong_units_are_told_apart() -> None:
    pint = pytest.importorskip("pint")
    unit = pint.UnitRegistry()
    bench = Bench()
    with pytest.raises(UnitError, match="tau_m must be in ms, not in millivolt"):
        bench.population(tau_m=10.0 * unit.mV)
    with pytest.raises(UnitError, match="weight must be in pA, not in millivolt"):
        bench.connect(synapse=Static(weight=1.0 * unit.mV, delay=1.0))
    with pytest.raises(UnitError, match="delay must be in ms, not in picoampere"):
        bench.connect(synapse=Static(weight=1.0, delay=1.0 * unit.pA))


@pytest.mark.parametrize(("script", "error", "message"), SCRIPTS)
def test_a_refused_line_leaves_the_network_as_it_was(script: Script, error: type[Exception], message: str) -> None:
    bench, clean = Bench(), Bench()
    with pytest.raises(error):
        script(bench)
    added = {*bench.net.populations} - {*clean.net.populations}
    assert len(added) + len(bench.net.recordings) + len(bench.net.stimulations) <= 1
    bench.net.record(bench.exc, "spikes")
    assert bench.net["exc"] is bench.exc


def test_every_error_of_the_house_is_one_family() -> None:
    with pytest.raises(EventsnnError):
        Network(seed=-1, dt=0.1)


def test_a_refractory_time_off_the_grid_is_said() -> None:
    with pytest.warns(UserWarning, match=r"t_ref = 2.05 ms is not a multiple of dt = 0.1 ms; it is rounded to whole steps"):
        Bench().population(t_ref=2.05)
