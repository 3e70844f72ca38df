"""The integrate-and-fire models are NEST's: traces, postsynaptic potentials and spike trains of the generated plain step."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.canonical import canonical
from eventsnn.codegen.reference import plain_step
from eventsnn.errors import ParameterError
from eventsnn.model import NeuronModel
from eventsnn.models import (
    AEifCondAlpha,
    AEifCondExp,
    AEifPscAlpha,
    AEifPscDelta,
    AEifPscExp,
    IafPscAlpha,
    IafPscDelta,
    IafPscExp,
)
from eventsnn.restored import restore

DT = 0.1


Arrivals = Mapping[int, Mapping[str, float]]
"""step -> receptor -> weight"""
Current = Callable[[int], float]


def drive(
    model: NeuronModel, steps: int, arrivals: Arrivals, stimulus: Current | None = None, dt: float = DT
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """States after each step, and the steps with a spike, of one neuron."""
    kernel, current = model.kernel(), stimulus is not None
    step = plain_step(kernel, current)
    constants = kernel.constants(model.values, dt, current)
    given = [np.float64(constants[n]) for n in kernel.constant_names(current)]
    start = [model.values.get(n, s.initial) for n, s in model.states().items()]
    state = [np.float64(model.values[v] if isinstance(v, str) else v) for v in start]
    refr, spikes, trace = np.int32(0), [], []
    for k in range(1, steps + 1):
        inputs = [np.float64(arrivals.get(k, {}).get(r, 0.0)) for r in kernel.receptors]
        extra = [np.float64(stimulus(k))] if stimulus else []
        *state, refr, fired = step(*state, refr, *inputs, *extra, *given, np.int32(constants["NREF"]))
        trace.append(state)
        if fired:
            spikes.append(k)
    return {n: np.array([s[i] for s in trace]) for i, n in enumerate(kernel.states)}, np.array(spikes, dtype=np.int64)


def arriving(protocol: Mapping[str, object], names: tuple[str, ...]) -> dict[int, dict[str, float]]:
    """When what arrives, from a trace's protocol; the sign of a weight chooses the receptor."""
    found: dict[int, dict[str, float]] = {}
    for connection in protocol["connections"]:  # type: ignore[attr-defined]
        name = names[0] if connection["weight"] >= 0 else names[-1]
        for t in protocol["input_spike_times"]:  # type: ignore[attr-defined]
            here = found.setdefault(round((t + connection["delay"]) / DT), {})
            here[name] = here.get(name, 0.0) + connection["weight"]
    return found


@pytest.mark.parametrize(
    ("trace", "model", "receptors"),
    [
        ("nest_iaf_psc_exp_sub", IafPscExp, ("ex", "in")),
        ("nest_iaf_psc_exp_supra", IafPscExp, ("ex", "in")),
        ("nest_iaf_psc_alpha_sub", IafPscAlpha, ("ex", "in")),
        ("nest_iaf_psc_delta", IafPscDelta, ("delta",)),
    ],
)
def test_traces_are_those_of_nest(data: Path, trace: str, model: type[NeuronModel], receptors: tuple[str, ...]):
    protocol = json.loads((data / f"{trace}.json").read_text())
    nest = np.load(data / f"{trace}.npz")
    neuron = model(**protocol["neuron"], I_e=protocol["I_e"], V_m=protocol["V0"])
    states, spikes = drive(neuron, 2000, arriving(protocol, receptors))
    ticks = np.rint(nest["times"] / DT).astype(int)
    np.testing.assert_allclose(states["V_m"][ticks - 1], nest["V_m"], rtol=0.0, atol=1e-9)
    for recorded, state in (("I_syn_ex", "I_ex"), ("I_syn_in", "I_in")):
        if recorded in nest:
            np.testing.assert_allclose(states[state][ticks - 1], nest[recorded], rtol=0.0, atol=1e-9)
    assert (spikes * DT).tolist() == pytest.approx(nest["spikes"].tolist())
    assert ("supra" in trace or "delta" in trace) == bool(len(spikes))


@pytest.mark.parametrize("model", [IafPscExp, IafPscAlpha, IafPscDelta])
@pytest.mark.parametrize(
    ("current", "first", "period", "count"),
    [(1000.0, 48, 68, 29), (1450.0, 30, 50, 40), (376.0, 593, 613, 3), (500.0, 139, 159, 12)],
)
def test_spike_trains_of_constant_currents_are_the_closed_form(
    model: type[NeuronModel], current: float, first: int, period: int, count: int
):
    expected = [first + k * period for k in range(count)]
    assert drive(model(I_e=current), 2000, {})[1].tolist() == expected
    assert drive(model(), 2000, {}, lambda k: current)[1].tolist() == expected
    assert first == math.ceil(-10.0 * math.log(1.0 - 15.0 * 250.0 / (current * 10.0)) / DT)


@pytest.mark.parametrize("dt", [0.1, 0.2, 0.5, 1.0])
def test_spikes_on_the_grid_do_not_depend_on_the_step(dt: float):
    assert (drive(IafPscAlpha(I_e=1450.0), round(10.0 / dt), {}, dt=dt)[1] * dt).tolist() == pytest.approx([3.0, 8.0])


def test_postsynaptic_potentials_are_the_closed_forms(data: Path):
    models = {"iaf_psc_exp": IafPscExp, "iaf_psc_alpha": IafPscAlpha}
    for case in json.loads((data / "neurons_nest.json").read_text())["psp"]:
        neuron = models[case["model"]](tau_m=case["tau_m"], tau_syn_ex=case["tau_syn"], C_m=case["C"], E_L=0.0, V_th=1e9)
        states, _ = drive(neuron, 1000, {round(case["arrival_ms"] / DT): {"ex": case["weight_pA"]}})
        cancels = 0.0 < abs(case["tau_m"] - case["tau_syn"]) < 0.01  # the closed form loses its digits there
        closed = {} if cancels else case["samples"]
        for time, volts in case["NEST"].items():
            found = states["V_m"][round(float(time) / DT) - 1]
            assert found == pytest.approx(volts, abs=1e-9), (case["model"], time)
            assert found == pytest.approx(closed.get(time, found), abs=1e-11), (case["model"], time)


def test_delta_input_jumps_at_arrival_and_is_lost_while_refractory():
    neuron = IafPscDelta(E_L=0.0, V_reset=0.0, V_th=15.0)
    states, spikes = drive(
        neuron, 60, {20: {"delta": 0.5}, 25: {"delta": 20.0}, 30: {"delta": 5.0}, 45: {"delta": 5.0}, 46: {"delta": 5.0}}
    )
    assert states["V_m"][18:20].tolist() == [0.0, 0.5]
    assert spikes.tolist() == [25]
    # reset at 25, refractory from 26 to 45: what arrives at 30 and 45 is lost
    assert states["V_m"][24:45].tolist() == [0.0] * 21
    assert states["V_m"][45] == 5.0


@pytest.mark.parametrize(("t_ref", "interval"), [(0.0, 1), (0.1, 2), (2.0, 21)])
def test_the_shortest_interval_is_one_step_more_than_the_refractory_time(t_ref: float, interval: int):
    strong = IafPscExp(I_e=1e7, t_ref=t_ref)
    assert set(np.diff(drive(strong, 100, {})[1]).tolist()) == {interval}


def test_a_potential_above_threshold_at_the_start_fires_in_the_first_step():
    assert drive(IafPscAlpha(V_m=-50.0), 5, {})[1].tolist() == [1]


def test_a_weight_is_the_peak_of_an_alpha_current():
    current = drive(IafPscAlpha(tau_syn_ex=2.0), 100, {10: {"ex": 80.0}})[0]["I_ex"]
    assert current.max() == pytest.approx(80.0, rel=1e-12)
    assert current.argmax() + 1 == 30


def test_defaults_are_those_of_nest():
    defaults = {"C_m": 250.0, "tau_m": 10.0, "E_L": -70.0, "V_th": -55.0, "V_reset": -70.0, "t_ref": 2.0, "I_e": 0.0}
    synapses = {"tau_syn_ex": 2.0, "tau_syn_in": 2.0}
    assert IafPscDelta().values == defaults
    assert IafPscExp().values == IafPscAlpha().values == defaults | synapses


@pytest.mark.parametrize("model", [AEifCondAlpha, AEifCondExp, AEifPscAlpha, AEifPscDelta, AEifPscExp])
def test_an_exponential_neuron_is_reset_below_its_peak(model: type[NeuronModel]):
    """As in NEST, which refuses V_reset >= V_peak."""
    net = snn.Network(seed=1, dt=DT)
    for wrong in (
        {"V_reset": 0.0},
        {"V_peak": -70.0},
        {"V_reset": np.array([-60.0, 1.0])},
        {"V_reset": np.array([-60.0, -40.0]), "V_peak": np.array([0.0, -50.0])},
        {"V_reset": snn.Uniform(-60.0, 5.0)},
    ):
        for make in (lambda w: net.population("a", 2, model(**w)), lambda w: net.population("a", 2, model(), **w)):
            with pytest.raises(ParameterError, match=f"{model.__name__}: V_reset must be below V_peak, but can be"):
                make(wrong)
    net.population("a", 2, model(V_reset=np.array([-60.0, -30.0]), V_peak=np.array([-50.0, -20.0])))
    net.population("b", 2, model(V_reset=snn.Normal(-60.0, 2.0)))


def test_an_own_model_with_an_exponential_neurons_check_is_still_data():
    class Quiet(AEifPscExp):
        I_e = snn.Param(-10.0, "pA", "constant current")

    net = snn.Network(seed=1, dt=DT)
    net.population("a", 2, Quiet())
    assert restore(canonical(net), {}.__getitem__)["a"].model.values == Quiet().values
