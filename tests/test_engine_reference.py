"""The engine against NEST 3.10: membrane traces, spike trains, the grid of time. Data: recorded with NEST, see tests/data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.models import Explicit, IafPscAlpha, IafPscDelta, IafPscExp, OneToOne, PoissonInput, SpikeTrain, Static, StepCurrent

MODELS = {"exp": IafPscExp, "alpha": IafPscAlpha, "delta": IafPscDelta}
CASES = ("exp_sub", "exp_supra", "alpha_sub", "delta")


def trace(case: str, data: Path) -> tuple[dict[str, Any], Any]:
    return json.loads((data / f"nest_iaf_psc_{case}.json").read_text()), np.load(data / f"nest_iaf_psc_{case}.npz")


def driven(case: str, parameters: dict[str, Any], synapse: Any) -> snn.Network:
    """One neuron with the trace's parameters, reached by the trace's input spikes over the trace's connections."""
    net = snn.Network(seed=1, dt=parameters["dt"])
    model = MODELS[case.split("_")[0]](**parameters["neuron"], I_e=parameters["I_e"])
    times = parameters["input_spike_times"]
    source = net.population("source", 1, SpikeTrain(times=times, ids=[0] * len(times)))
    cell = net.population("cell", 1, model, V_m=parameters["V0"])
    for connection in parameters["connections"]:
        net.connect(source >> cell, *synapse(connection["weight"], connection["delay"]))
    net.record(cell, "V_m", dtype="float64")
    net.record(cell, "spikes")
    return net


def by_edge(weight: float, delay: float) -> tuple[Any, Any]:
    return Explicit([0], [0]), Static(weight=np.array([weight]), delay=delay)


def constant(weight: float, delay: float) -> tuple[Any, Any]:
    return OneToOne(), Static(weight=weight, delay=delay)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("synapse", [by_edge, constant])
def test_membrane_and_spikes_equal_nest(case: str, synapse: Any, data: Path) -> None:
    parameters, expected = trace(case, data)
    net = driven(case, parameters, synapse)
    with snn.Simulation(net) as sim:
        sim.run(parameters["T"])
        run = snn.open(sim)
        V_m = run["cell/V_m"]["V_m"]
        there = np.rint(expected["times"] / parameters["dt"]).astype(int) - 1
        assert np.abs(V_m.values[there, 0] - expected["V_m"]).max() < 1e-9
        assert np.array_equal(run["cell/spikes"]["time"].values, np.round(expected["spikes"], 10))


@pytest.mark.parametrize("weight", [0.1, 87.80849352920845, -351.2339741168338, 1e-3, 3e4])
def test_constant_weights_keep_the_reported_quantisation(weight: float) -> None:
    from eventsnn.lower import lower, quantisation

    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 1, SpikeTrain(times=[1.0], ids=[0]))
    cell = net.population("cell", 1, IafPscExp(V_th=1e9))
    net.connect(source >> cell, OneToOne(), Static(weight=weight, delay=1.0))
    net.record(cell, "I_ex" if weight > 0 else "I_in", dtype="float64")
    bound = max(quantisation(lower(net)).values())
    assert bound <= 2.0**-16
    with snn.Simulation(net) as sim:
        sim.run(3.0)
        name = "I_ex" if weight > 0 else "I_in"
        current = snn.open(sim)[f"cell/{name}"][name].values[:, 0]
    assert not current[:19].any()
    assert abs(current[19] / weight - 1.0) <= bound * (1.0 + 1e-9)


@pytest.mark.parametrize("kind", ["exp", "alpha", "delta"])
@pytest.mark.parametrize("current", [376.0, 500.0, 1000.0, 1450.0])
def test_spikes_under_a_constant_current(kind: str, current: float, data: Path) -> None:
    """Grid spikes of t1 = -tau ln(1 - (V_th - E_L) C / (I tau)), period = grid + t_ref."""
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 1, MODELS[kind](I_e=current))
    net.record(cell, "spikes")
    with snn.Simulation(net) as sim:
        sim.run(200.0)
        found = snn.open(sim)["cell/spikes"]["time"].values
    first = np.ceil(-10.0 * np.log(1.0 - 15.0 * 250.0 / (current * 10.0)) / 0.1 - 1e-9) * 0.1
    expected = np.arange(first, 200.0 + 1e-9, first + 2.0)
    assert np.allclose(found, expected, atol=1e-9) and len(found) == len(expected)


MINDELAY = {
    1: -70.0,
    2: -70.0,
    3: -66.55725,
    4: -63.07837,
    5: -59.93054,
    6: -57.08227,
    7: -70.0,
    8: -70.0,
    9: -69.60199,
    10: -65.83337,
}
"""V_m at full ms of NEST's test_iaf_psc_alpha_mindelay: a generator of 1000 pA with delay 2 ms, whose
current NEST hands on one step late: it acts from 2.1 ms."""


@pytest.mark.parametrize("epoch", [0.1, 0.2, 0.4, 0.5, 0.7, 1.0, 1.3, 2.0])
def test_the_epoch_length_changes_nothing(epoch: float) -> None:
    """Peers' table at eight epoch lengths, forced by another connection of that delay between two parts."""
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 1, IafPscAlpha(E_L=-70.0, V_th=-55.0))
    other = net.population("other", 1, IafPscAlpha())
    net.connect(other >> cell, OneToOne(), Static(weight=0.0, delay=epoch))
    net.stimulate(cell, StepCurrent(times=[2.1], values=[1000.0]))
    net.record(cell, "V_m", every=1.0, dtype="float64")
    with snn.Simulation(net, parts=2) as sim:
        for _ in range(20):
            sim.run(0.5)
        V_m = snn.open(sim)["cell/V_m"]["V_m"].values[:, 0]
    assert np.allclose(V_m, list(MINDELAY.values()), rtol=1e-7)


@pytest.mark.parametrize("dt", [0.1, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("delay", [1.0, 2.0])
def test_a_spike_acts_one_delay_later_at_every_resolution(dt: float, delay: float) -> None:
    """I_e = 1450 pA spikes at 3.0 ms exactly; V then follows the alpha PSP that starts at 3 + delay (closed form)."""
    net = snn.Network(seed=1, dt=dt)
    pre = net.population("pre", 1, IafPscAlpha(I_e=1450.0))
    post = net.population("post", 1, IafPscAlpha())
    net.connect(pre >> post, Explicit([0], [0]), Static(weight=np.array([100.0]), delay=delay))
    net.record(pre, "spikes")
    net.record(post, "V_m", dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(7.0)
        run = snn.open(sim)
        assert run["pre/spikes"]["time"].values[0] == 3.0
        V_m = run["post/V_m"]["V_m"]
        t = np.maximum(V_m["time"].values - 3.0 - delay, 0.0)
    a, b = 1.0 / 10.0, 1.0 / 2.0
    psp = 100.0 * np.e * b / 250.0 * ((np.exp(-a * t) - np.exp(-b * t)) / (b - a) ** 2 - t * np.exp(-b * t) / (b - a))
    assert np.allclose(V_m.values[:, 0] + 70.0, psp, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("delay", [1, 2, 31, 63, 64, 65, 200, 500])
def test_delays_from_one_step_to_five_hundred(delay: int) -> None:
    net = snn.Network(seed=1, dt=0.1)
    train = net.population("train", 2, SpikeTrain(times=[0.1, 3.0, 3.1, 47.3], ids=[0, 1, 0, 1]))
    cell = net.population("cell", 2, IafPscDelta(V_th=1e9, E_L=0.0, V_reset=0.0, tau_m=1e6))
    net.connect(train >> cell, OneToOne(), Static(weight=1.0, delay=delay * 0.1))
    net.record(cell, "V_m", dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(110.0)
        V_m = snn.open(sim)["cell/V_m"]["V_m"].values
    jumps = np.argwhere(np.diff(V_m, axis=0, prepend=0.0) > 0.5)
    expected = sorted((step + delay - 1, cell) for step, cell in ((1, 0), (30, 1), (31, 0), (473, 1)))
    assert [tuple(x) for x in jumps] == expected


def test_the_free_membrane_under_poisson_input() -> None:
    """Campbell on the grid: mean = w m / (1 - e^(-h/tau)), variance = w^2 m / (1 - e^(-2h/tau)), m counts per step."""
    net = snn.Network(seed=3, dt=0.1)
    cell = net.population("cell", 2000, IafPscDelta(V_th=1e9, E_L=0.0, V_reset=0.0, tau_m=20.0))
    net.stimulate(cell, PoissonInput(rate=20000.0, weight=0.1))
    net.record(cell, "V_m", every=50.0, dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(1000.0)
        V_m = snn.open(sim)["cell/V_m"]["V_m"].values[5:]
    mean, variance = 0.2 / -np.expm1(-0.005), 0.02 / -np.expm1(-0.01)
    assert abs(V_m.mean() - mean) < 4 * np.sqrt(variance / V_m.size * 1.2)
    assert abs(V_m.var() / variance - 1.0) < 4 * np.sqrt(2.4 / V_m.size)


def test_a_membrane_above_threshold_spikes_at_the_first_step() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 1, IafPscExp(), V_m=0.0)
    net.record(cell, "spikes")
    with snn.Simulation(net) as sim:
        sim.run(1.0)
        assert snn.open(sim)["cell/spikes"]["time"].values.tolist() == [0.1]


def test_the_shortest_interval_is_t_ref_and_one_step() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 1, IafPscDelta(t_ref=2.0))
    net.stimulate(cell, PoissonInput(rate=50000.0, weight=100.0))
    net.record(cell, "spikes")
    with snn.Simulation(net) as sim:
        sim.run(100.0)
        intervals = np.diff(snn.open(sim)["cell/spikes"]["tick"].values)
    assert intervals.min() == 21
