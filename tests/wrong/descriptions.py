# mypy: disable-error-code="arg-type, call-arg, call-overload, operator"
"""Wrong networks, populations, selections and values."""

from __future__ import annotations

import numpy as np

import eventsnn as snn
from eventsnn.errors import KindError, ParameterError, SelectionError, ShapeError, UnknownName
from eventsnn.lower import lower
from eventsnn.models import (
    IafPscExp,
    Poisson,
    SpikeTrain,
)
from eventsnn.network import Network
from wrong import Bench, Wrong

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

VALUES: list[Wrong] = [
    ("uniform upside down", lambda b: snn.Uniform(2.0, 1.0), ParameterError, "Uniform(low, high) needs low <= high, not 2 > 1"),
    ("one bound", lambda b: snn.Uniform(2e-5), TypeError, "missing 1 required positional argument: 'high'"),
    ("negative spread", lambda b: snn.Normal(0.0, -1.0), ParameterError, "Normal(mean, std) needs std >= 0, not -1"),
    ("nothing left", lambda b: snn.Uniform(0.0, 1.0).truncate(2.0, None), ParameterError, "leaves nothing of"),
    ("truncated sum", lambda b: (snn.Normal(0, 1) + snn.Normal(0, 1)).truncate(0.0, None), ParameterError, "truncate its parts"),
]  # fmt: skip
