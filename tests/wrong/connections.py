# mypy: disable-error-code="arg-type, call-arg, call-overload, operator"
"""Wrong connections."""

from __future__ import annotations

import numpy as np

import eventsnn as snn
from eventsnn.errors import KindError, ParameterError, SelectionError, ShapeError, UnknownName
from eventsnn.lower import lower
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    Static,
)
from wrong import STATIC, Bench, Channels, Wrong

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
