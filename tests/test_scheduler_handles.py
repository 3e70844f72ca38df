"""Handles read and change a running simulation over all parts, in the order of the population, from the next step on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.errors import EventsnnError
from eventsnn.models import FixedIndegree, IafPscExp, OneToOne, Parrot, Poisson, SpikeTrain, Static, Stdp


def network() -> snn.Network:
    net = snn.Network(seed=1, dt=0.1)
    exc = net.population("exc", 300, IafPscExp(), V_m=snn.Uniform(-70.0, -60.0))
    par = net.population("par", 20, Parrot())
    net.population("noise", 5, Poisson(rate=100.0))
    net.population("train", 5, SpikeTrain(times=[1.0], ids=[0]))
    net.connect(exc >> exc, FixedIndegree(10), Static(weight=snn.Normal(20.0, 4.0), delay=snn.Uniform(0.5, 3.0)))
    net.connect(par >> exc[:20], OneToOne(), Static(weight=1000.0, delay=1.0), name="push")
    net.record(par, "spikes")
    return net


@pytest.fixture(params=[1, 3])
def sim(request: pytest.FixtureRequest) -> Iterator[Any]:
    with snn.Simulation(network(), parts=request.param) as sim:
        yield sim


def test_get_returns_the_population_in_its_own_order(sim: Any) -> None:
    V = sim["exc"].get("V_m")
    with snn.Simulation(network()) as one:
        np.testing.assert_array_equal(V, one["exc"].get("V_m"))
    assert V.shape == (300,)
    assert len(set(V.tolist())) == 300
    np.testing.assert_array_equal(sim["exc"][10:200:7].get("V_m"), V[10:200:7])
    np.testing.assert_array_equal(sim["exc"][V > -65.0][5:9].get("V_m"), V[V > -65.0][5:9])
    np.testing.assert_array_equal(sim["exc"].get("tau_m"), np.full(300, 10.0))
    np.testing.assert_array_equal(sim["noise"].get("rate"), np.full(5, 100.0))


def test_set_takes_numbers_arrays_and_distributions(sim: Any) -> None:
    exc = sim["exc"]
    values = np.linspace(-69.0, -61.0, 300)
    exc.set("V_m", values)
    np.testing.assert_array_equal(exc.get("V_m"), values)
    exc[[3, 150, 299]].set("V_m", [-1.0, -2.0, -3.0])
    values[[3, 150, 299]] = [-1.0, -2.0, -3.0]
    np.testing.assert_array_equal(exc.get("V_m"), values)
    exc[100:].set("V_m", -65.0)
    np.testing.assert_array_equal(exc.get("V_m"), np.where(np.arange(300) < 100, values, -65.0))
    exc.set("V_m", snn.Uniform(-70.0, -60.0))
    drawn = exc.get("V_m")
    assert (drawn >= -70.0).all()
    assert (drawn < -60.0).all()
    assert abs(drawn.mean() + 65.0) < 5 * 10.0 / np.sqrt(12 * 300)


def test_a_draw_belongs_to_the_neuron_and_not_to_the_selection(sim: Any) -> None:
    sim["exc"].set("V_m", snn.Normal(-65.0, 1.0))
    whole = sim["exc"].get("V_m")
    sim["exc"].set("V_m", 0.0)
    sim["exc"][50:60].set("V_m", snn.Normal(-65.0, 1.0))
    np.testing.assert_array_equal(sim["exc"][50:60].get("V_m"), whole[50:60])


def test_a_state_that_is_set_acts_from_the_next_step(sim: Any) -> None:
    """V decays towards E_L with tau_m: 10 mV above it, 1 ms later exp(-0.1) of that is left."""
    sim["exc"].set("V_m", -60.0)
    sim.run(0.4)
    np.testing.assert_allclose(sim["exc"].get("V_m"), -70.0 + 10.0 * np.exp(-0.04), rtol=0, atol=1e-9)


def test_injected_spikes_are_emitted_at_their_time_and_arrive_after_their_delay(sim: Any) -> None:
    sim.run(1.0)
    sim["par"].inject([1.5, 2.0, 2.0], [3, 19, 4])
    sim.run(1.4)
    before = sim["exc"][:20].get("I_ex")
    sim.run(0.1)
    arrived = sim["exc"][:20].get("I_ex")
    sim.run(2.5)
    spikes = snn.open(sim)["par/spikes"].to_dataset()
    assert list(zip(spikes["time"].values.tolist(), spikes["neuron"].values.tolist(), strict=True)) == [
        (1.5, 3),
        (2.0, 4),
        (2.0, 19),
    ]
    assert before[3] == 0.0
    assert arrived[3] == pytest.approx(1000.0, rel=1e-4)
    assert sim["par"].counts().tolist() == [1 if k in (3, 4, 19) else 0 for k in range(20)]
    assert sim["par"][[4, 5]].counts().tolist() == [1, 0]


def test_weights_are_those_of_one_part_whatever_the_parts(sim: Any) -> None:
    found = sim["exc_to_exc"].weights()
    with snn.Simulation(network()) as one:
        truth = one["exc_to_exc"].weights()
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(("pre", "post", "weight", "delay"), (3000,))
    for name in truth:
        np.testing.assert_array_equal(found[name], truth[name])
    assert (np.bincount(found["post"], minlength=300) == 10).all()
    assert set(np.round(found["delay"] / 0.1).astype(int)) <= set(range(5, 31))
    assert sim["push"].weights()["post"].tolist() == list(range(20))


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (lambda sim: sim["ecx"], "did you mean 'exc'"),
        (lambda sim: sim["exc_to_ex"], "did you mean 'exc_to_exc'"),
        (lambda sim: sim["exc"].get("Vm"), r"sim\['exc'\] has no state or parameter 'Vm'; did you mean 'V_m'"),
        (lambda sim: sim["train"].get("times"), "has no state or parameter 'times'; It has none"),
        (lambda sim: sim["exc"].set("V_m", [1.0, 2.0]), r"shape \(2,\), but there are 300"),
        (lambda sim: sim["exc"].set("tau_m", -1.0), r"sim\['exc'\].set\('tau_m'\) must be > 0 ms, not -1"),
        (lambda sim: sim["exc"].set("V_m", np.nan), "must be finite"),
        (lambda sim: sim["exc"].set("V_m", "high"), "must be a number"),
        (lambda sim: sim["exc"][300], "there is no neuron 300; give 0 to 299"),
        (lambda sim: sim["par"].inject([0.05], [0]), "0.05 ms is not a multiple of dt"),
        (lambda sim: sim["par"].inject([0.0], [0]), "0 ms is not after the present, 0 ms"),
        (lambda sim: sim["par"].inject([1.0], [20]), "there is no neuron 20; give 0 to 19"),
        (lambda sim: sim["par"].inject([1.0], [0.5]), "ids are integers"),
        (lambda sim: sim["par"].inject([np.inf], [0]), "times must be finite"),
        (lambda sim: sim["exc_to_exc"].set_weights([1.0]), r"\(1,\) values for 3000 synapses"),
        (lambda sim: sim["exc_to_exc"].set_weights(np.nan), "weights must be finite"),
        (lambda sim: sim["exc_to_exc"].set_weights(True), "set_weights: weights must be numbers, not True"),
        (
            lambda sim: sim["exc_to_exc"].set_weights(lambda w: w["weight"] > 1.0),
            "set_weights: weights must be numbers, not array",
        ),
        (lambda sim: sim["exc_to_exc"].set_weights(10**400), "set_weights: weights must be numbers"),
        (lambda sim: sim["exc_to_exc"].normalise("a"), "normalise: norms must be numbers, not 'a'"),
        (lambda sim: sim["exc_to_exc"].normalise(True), "normalise: norms must be numbers, not True"),
        (lambda sim: sim["exc_to_exc"].normalise([1.0, 2.0]), r"normalise: \(2,\) targets for 300 neurons"),
        (lambda sim: sim["exc_to_exc"].normalise(1.0, norm=True), "norm is 1 or 2 .* not True"),
    ],
)
def test_wrong_questions_are_answered_with_what_is_right(sim: Any, use: Any, told: str) -> None:
    with pytest.raises((EventsnnError, ValueError), match=told):
        use(sim)
    sim.run(0.1)


def test_a_name_that_is_assigned_is_told_how_to_be_set(sim: Any) -> None:
    with pytest.raises(AttributeError, match=r"\.V_m cannot be set like this; use sim\['exc'\]\.set\('V_m', \.\.\.\)"):
        sim["exc"].V_m = -60.0
    with pytest.raises(AttributeError, match=r"a projection has \.set_weights"):
        sim[sim.spec.projections[0].name].weight = 1.0


def test_a_report_says_what_was_done(sim: Any) -> None:
    sim["exc"].set("V_m", 0.0)
    sim.run(2.0)
    report = sim.report()
    assert report["time"] == 2.0
    assert report["spikes"] == sum(int(sim[name].counts().sum()) for name in ("exc", "par", "noise", "train"))
    assert sum(part["synapses"] for part in report["parts"]) == 3020
    assert report["seconds"]["wall"] > 0.0


def test_weights_that_are_set_come_back_on_the_projections_grid(sim: Any) -> None:
    before = sim["exc_to_exc"].weights()
    sim["exc_to_exc"].set_weights(lambda w: np.where(w["post"] < 150, 0.5 * w["weight"], w["weight"]))
    after = sim["exc_to_exc"].weights()
    half = np.where(before["post"] < 150, 0.5, 1.0) * before["weight"]
    np.testing.assert_allclose(after["weight"], half, rtol=0, atol=np.abs(before["weight"]).max() / 32767)
    np.testing.assert_array_equal(after["pre"], before["pre"])


def test_learning_is_any_number() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 3, IafPscExp())
    net.connect(cells >> cells, OneToOne(), Stdp(weight=1.0, delay=1.0), name="c")
    with snn.Simulation(net) as sim:
        for given in (np.int64(-2), np.float32(0.5), np.float64(0.25), np.bool_(False), np.bool_(True), Fraction(1, 4), True, 3):
            sim["c"].learning = given
            assert sim["c"].learning == float(given)
        for wrong in (10**400, -(10**400), np.nan, np.inf, "1", None, [1.0], 1j):
            with pytest.raises(EventsnnError, match=r"sim\['c'\].learning must be True, False or a number such as -1"):
                sim["c"].learning = wrong
        assert sim["c"].learning == 3.0
