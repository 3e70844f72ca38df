"""Sources and stimuli: what they lower to, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pint
import pytest

from eventsnn import spec
from eventsnn.errors import EventsnnError, KindError, ParameterError, ShapeError, UnitError, UnknownName
from eventsnn.model import StimulusTarget
from eventsnn.models import Parrot, Poisson, PoissonInput, SpikeTrain, StepCurrent
from eventsnn.values import Uniform

KEY = (1, 2)


def train(size: int = 3, dt: float = 0.1, **values: object) -> spec.Train:
    model = SpikeTrain(**values)
    return model.dynamics(size, dt, model.values, KEY)


def target(n: int = 3, exponent: int = 0) -> StimulusTarget:
    return StimulusTarget(4, spec.Subset(0, n), 0.1, KEY, 1, exponent)


def test_spike_trains_are_sorted_and_may_repeat():
    given = train(times=[0.5, 0.1, 0.5, 0.3, 0.5], ids=[1, 2, 0, 2, 1])
    assert given.steps.tolist() == [1, 3, 5, 5, 5]
    assert given.ids.tolist() == [2, 2, 0, 1, 1]
    model = SpikeTrain([0.5, 0.1, 0.5], [1, 2, 1])
    assert model.multiplicity(3, 0.1, model.values) == 2
    assert SpikeTrain([], []).multiplicity(3, 0.1, SpikeTrain([], []).values) == 1


def test_spike_trains_are_rounded_only_when_asked():
    assert train(times=[0.14, 0.16], ids=[0, 0], round=True).steps.tolist() == [1, 2]
    with pytest.raises(ParameterError, match=r"SpikeTrain: times: 0.14 ms is not a multiple of dt = 0.1 ms.*or give round=True"):
        train(times=[0.14], ids=[0])


def test_every_decimal_time_lies_on_its_grid():
    ticks = np.arange(1, 200_000)
    for dt in (0.1, 0.05, 0.025, 0.2):
        assert np.array_equal(train(dt=dt, times=np.round(ticks * dt, 10), ids=np.zeros(len(ticks), int)).steps, ticks)


def test_poisson_sources_know_how_many_spikes_a_step_can_have():
    model = Poisson(100.0)
    made = model.dynamics(5, 0.1, model.values, KEY)
    assert made == spec.PoissonSource({"rate": spec.Fixed(100.0)}, KEY)
    assert Poisson(0.0).multiplicity(5, 0.1, {"rate": 0.0}) == model.multiplicity(5, 0.1, model.values) == 8
    assert 20 <= model.multiplicity(5, 0.1, {"rate": 40_000.0}) <= 24
    assert Poisson(1e6).multiplicity(1, 0.1, {"rate": 1e6}) == 255
    per_neuron = model.dynamics(2, 0.1, {"rate": np.array([1.0, 2.0])}, KEY).parameters["rate"]
    assert isinstance(per_neuron, spec.Given)
    assert isinstance(model.dynamics(2, 0.1, {"rate": Uniform(0.0, 9.0)}, KEY).parameters["rate"], spec.Drawn)


def test_parrots_relay():
    assert Parrot().dynamics(3, 0.1, {}, KEY) == spec.Relay()
    assert Parrot().multiplicity(3, 0.1, {}) == 255
    assert [r.name for r in Parrot.receptors] == ["in"]
    assert Poisson.receptors == SpikeTrain.receptors == ()


def test_a_poisson_input_becomes_integers_of_the_accumulator():
    made = PoissonInput(9000.0, 87.8).lower(target(exponent=-10))
    assert made == spec.PoissonStimulus(4, spec.Subset(0, 3), spec.Fixed(9000.0), 1, round(87.8 * 1024), KEY)
    assert PoissonInput(9000.0, 87.8).pulse("pA", "x") == 87.8
    assert 10 <= PoissonInput(9000.0, 1.0).most(3, 0.1) <= 14
    assert PoissonInput(np.array([0.0, 1e5, 0.0]), 1.0).most(3, 0.1) > 30


def test_a_poisson_input_takes_quantities():
    u = pint.UnitRegistry()
    stimulus = PoissonInput(9.0 * u.kHz, 0.0878 * u.nA)
    assert stimulus.pulse("pA", "x") == pytest.approx(87.8)
    assert stimulus.lower(target(exponent=-10)).weight == round(87.8 * 1024)
    with pytest.raises(UnitError, match="x must be in mV, not in nanoampere"):
        stimulus.pulse("mV", "x")


def test_a_step_current_acts_per_time_or_per_neuron():
    one = StepCurrent([0.0, 10.0], [300.0, 0.0]).lower(target())
    assert (one.steps.tolist(), one.values.tolist()) == ([0, 100], [300.0, 0.0])
    assert StepCurrent([5.0], [[1.0, 2.0, 3.0]]).lower(target()).values.shape == (1, 3)
    assert StepCurrent([5.0], [1.0]).pulse("pA", "x") is None


CROWD = SpikeTrain([0.1] * 256, [0] * 256)
WRONG: dict[str, tuple[Callable[[], object], type[EventsnnError], str]] = {
    "rate missing": (lambda: Poisson(), KindError, r"Poisson needs rate: Poisson\(rate=...\)"),
    "rate negative": (
        lambda: Poisson(-1.0).dynamics(1, 0.1, {"rate": -1.0}, KEY),
        ParameterError,
        "rate must be >= 0 Hz, not -1",
    ),
    "rate too high": (lambda: Poisson(1e7).dynamics(1, 0.1, {"rate": 1e7}, KEY), ParameterError, "1000 spikes per step"),
    "typo": (lambda: Poisson(rat=1.0), UnknownName, "Poisson has no parameter or state 'rat'; did you mean 'rate'"),
    "lengths": (lambda: train(times=[0.1, 0.2], ids=[0]), ShapeError, "2 times but 1 ids"),
    "id": (lambda: train(times=[0.1], ids=[3]), ParameterError, r"id 3 is not the index of one of the 3 neurons \(0 to 2\)"),
    "half id": (lambda: train(times=[0.1], ids=[0.5]), ParameterError, "id 0.5 is not the index"),
    "time 0": (lambda: train(times=[0.0], ids=[0]), ParameterError, "a spike at 0 ms; times must be > 0"),
    "text": (lambda: train(times=["a"], ids=[0]), KindError, "times must be numbers"),
    "nan": (lambda: train(times=[float("nan")], ids=[0]), ParameterError, "times must be finite"),
    "scalar": (lambda: train(times=1.0, ids=0), ShapeError, "times must be a list"),
    "crowd": (lambda: SpikeTrain([0.1], [0]).multiplicity(1, 0.1, CROWD.values), ParameterError, "256 spikes"),
    "ids missing": (lambda: SpikeTrain([1.0]), KindError, "SpikeTrain needs ids"),
    "weights": (lambda: PoissonInput(1.0, [1.0, 2.0]).pulse("pA", "weight"), ShapeError, "weight has shape"),
    "drawn weight": (lambda: PoissonInput(1.0, Uniform(0.0, 1.0)).pulse("pA", "weight"), KindError, "weight must be one number"),
    "input rate": (lambda: PoissonInput(-1.0, 1.0).lower(target()), ParameterError, "rate must be >= 0 Hz"),
    "input shape": (lambda: PoissonInput([1.0, 2.0], 1.0).lower(target()), ShapeError, "rate has shape"),
    "input typo": (lambda: PoissonInput(rate=1.0, wieght=1.0), UnknownName, "did you mean 'weight'"),
    "descending": (lambda: StepCurrent([2.0, 1.0], [0.0, 0.0]).lower(target()), ParameterError, "2 ms is followed by 1 ms"),
    "off the grid": (
        lambda: StepCurrent([0.05], [0.0]).lower(target()),
        ParameterError,
        "0.05 ms is not a multiple of dt = 0.1 ms",
    ),
    "before 0": (lambda: StepCurrent([-1.0], [0.0]).lower(target()), ParameterError, "times must be >= 0 ms, not -1"),
    "values": (
        lambda: StepCurrent([1.0], [0.0, 1.0]).lower(target()),
        ShapeError,
        r"give 1 values, one per time, or shape \(1, 3\)",
    ),
    "no times": (lambda: StepCurrent([], []).lower(target()), ShapeError, "at least one time"),
    "inf": (lambda: StepCurrent([1.0], [float("inf")]).lower(target()), ParameterError, "values must be finite"),
    "words": (lambda: StepCurrent([1.0], ["a"]).lower(target()), KindError, "values must be numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused(name: str):
    make, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        make()
