# mypy: disable-error-code="arg-type, call-arg, call-overload, operator"
"""Wrong stimuli and recordings."""

from __future__ import annotations

from eventsnn.errors import KindError, ParameterError, ShapeError, UnknownName
from eventsnn.models import (
    Poisson,
    PoissonInput,
    StepCurrent,
)
from wrong import Wrong

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
