"""What the library's neurons do, against closed forms, high-order solutions and the numbers of their papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from one_cell import run_cells
from scipy.integrate import quad, solve_ivp

from eventsnn.errors import ModelError, UnknownName
from eventsnn.model import NeuronModel
from eventsnn.models import (
    AMPA,
    GABA,
    NMDA,
    AEifCondAlpha,
    AEifCondExp,
    AEifPscAlpha,
    AEifPscDelta,
    AEifPscExp,
    Alif,
    Channel,
    ClopathAdEx,
    DiehlCook,
    EscapeLif,
    GlifPsc,
    HhCondExpTraub,
    HhPscAlpha,
    IafCondAlpha,
    IafPscExp,
    IafPscExpGated,
    Izhikevich2007,
    LifDelta,
    PhaseIf,
    PowerLawAlif,
    conductance_lif,
    iaf_psc_exp_multisynapse,
    power_law_alif,
)

TIMES = np.array([2.0, 5.0, 5.5, 11.0])
"""Arrivals, ms."""


def alpha(t: float, tau: float) -> float:
    """The sum of alpha functions of all arrivals."""
    s = t - TIMES[t > TIMES]
    return float(np.sum(s / tau * np.exp(1.0 - s / tau)))


def decay(t: float, tau: float) -> float:
    return float(np.sum(np.exp(-(t - TIMES[t > TIMES]) / tau)))


@pytest.mark.parametrize("model", [AEifCondExp, AEifCondAlpha, AEifPscExp, AEifPscAlpha, IafCondAlpha])
def test_potentials_below_threshold_are_those_of_a_high_order_solution(model: type[NeuronModel]) -> None:
    weight = {AEifPscExp: 200.0, AEifPscAlpha: 150.0, IafCondAlpha: 2.0}.get(model, 5.0)
    shape = alpha if model.__name__.endswith("Alpha") else decay
    spikes, states = run_cells(model(tau_syn_ex=2.0), 20.0, states=("V_m",), inputs=[("ex", weight, TIMES)])
    p = model().values

    def field(t: float, y: np.ndarray) -> list[float]:
        V, w = y
        g = weight * shape(t, 2.0)
        current = g if "Psc" in model.__name__ else -g * (V - p["E_ex"])
        if model is IafCondAlpha:
            return [(-p["g_L"] * (V - p["E_L"]) + current) / p["C_m"], 0.0]
        spike = p["g_L"] * p["Delta_T"] * math.exp((V - p["V_th"]) / p["Delta_T"])
        return [(-p["g_L"] * (V - p["E_L"]) + spike + current - w) / p["C_m"], (p["a"] * (V - p["E_L"]) - w) / p["tau_w"]]

    y, exact = [p["E_L"], 0.0], []
    for k in range(200):  # arrivals lie on the grid, where the field is not smooth
        y = solve_ivp(field, (k * 0.1 + 1e-12, (k + 1) * 0.1), y, rtol=1e-10, atol=1e-10, method="DOP853").y[:, -1]
        exact.append(y[0])
    assert not len(spikes[0]) and np.ptp(exact) > 2.0
    np.testing.assert_allclose(states["V_m"][:, 0], exact, rtol=0.0, atol=2e-6)


def test_jumps_of_an_exponential_neuron() -> None:
    """A jump of 5 mV, one over the threshold, and one that is lost while the neuron is refractory."""
    spikes, states = run_cells(
        AEifPscDelta(t_ref=3.0), 12.0, states=("V_m",), inputs=[("delta", 5.0, [2.0]), ("delta", 60.0, [5.0, 6.0])]
    )
    V = states["V_m"][:, 0]
    assert V[19] == pytest.approx(-70.6 + 5.0, abs=1e-3) and spikes[0].tolist() == [51] and np.all(V[50:81] == -60.0)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_an_upstroke_that_overflows_stays_finite(precision: str) -> None:
    """Where Delta_T is small and the reset lies above the onset, exp((V - V_th)/Delta_T) is beyond single precision."""
    sharp = np.array([0.1, 0.3, 1.0])
    model = AEifCondExp(Delta_T=sharp, V_reset=np.array([-40.0, -45.0, -46.0]), I_e=3000.0, V_peak=30.0)
    spikes, states = run_cells(model, 5.0, 0.1, 3, states=("V_m", "w"), precision=precision)
    assert all(np.isfinite(values).all() for values in states.values())
    assert all(len(train) > 10 and np.diff(train).min() == 1 for train in spikes)


@pytest.mark.parametrize("model", [HhPscAlpha, HhCondExpTraub])
def test_staggered_integration_is_of_second_order(model: type[NeuronModel]) -> None:
    """Below threshold, from rest: half the step gives a quarter of the error."""
    rest, step = (0.0, 100.0) if model is HhPscAlpha else (-50.0, 40.0)
    ends = [
        run_cells(model(I_e=rest), 608.0, dt, states=("V_m",), every=1.0, current=([600.0], [step]))[1]["V_m"][-1, 0]
        for dt in (0.1, 0.05, 0.025, 0.0125)
    ]
    fine = ends[-1] + (ends[-1] - ends[-2]) / 3.0
    errors = np.abs(np.array(ends[:3]) - fine)
    assert errors[1] < errors[0] / 2.5 and errors[2] < errors[1] / 2.5 and errors[0] < 0.05


def test_a_seed_s_current_based_neuron_fires_every_16_steps() -> None:
    """u = 15 mV, tau = 10 ms, 10 mV to the threshold, t_ref = 5 ms, steps of 1 ms: 11 steps to the threshold, 5 of rest."""
    spikes, _ = run_cells(IafPscExp(C_m=1.0, tau_m=10.0, E_L=-60.0, V_reset=-60.0, V_th=-50.0, t_ref=5.0, I_e=1.5), 200.0, 1.0)
    assert set(np.diff(spikes[0]).tolist()) == {16}


def test_a_delta_neuron_without_units() -> None:
    states = run_cells(LifDelta(), 20.0, 1.0, states=("V_m",), inputs=[("delta", 0.25, [3.0, 5.0])])[1]["V_m"][:, 0]
    t = np.arange(1.0, 21.0)
    assert states == pytest.approx(sum(0.25 * np.exp(-(t - s) / 100.0) * (t >= s) for s in (3.0, 5.0)), abs=1e-12)
    for drive in (1.1, 1.5, 3.0):
        spikes, _ = run_cells(LifDelta(I_e=drive), 1000.0, 1.0)
        assert set(np.diff(spikes[0]).tolist()) == {math.ceil(-100.0 * math.log(1.0 - 1.0 / drive))}


def test_refractory_neurons_that_are_gated_integrate() -> None:
    """Constant current: a gated neuron is above threshold again when its refractory time ends, if that is long enough."""
    strong, weak = 1000.0, 400.0
    spikes, states = run_cells(IafPscExpGated(I_e=np.array([strong, weak]), t_ref=8.0), 200.0, n=2, states=("V_m",))
    assert set(np.diff(spikes[0]).tolist()) == {81}  # r + 1: threshold passed meanwhile
    assert set(np.diff(spikes[1]).tolist()) == {math.ceil(-10.0 * math.log(1.0 - 15.0 / 16.0) / 0.1)}
    first = spikes[0][0]
    t = 0.1 * np.arange(1, 80)
    assert states["V_m"][first : first + 79, 0] == pytest.approx(-70.0 + 40.0 * (1.0 - np.exp(-t / 10.0)), abs=1e-9)
    assert set(np.diff(run_cells(IafPscExp(I_e=strong, t_ref=8.0), 200.0)[0][0]).tolist()) == {80 + 48}


def test_the_threshold_of_an_alif_rises_with_its_spikes() -> None:
    spikes, states = run_cells(Alif(I_e=800.0), 300.0, states=("A",))
    assert len(spikes[0]) > 5 and np.diff(spikes[0])[-1] > np.diff(spikes[0])[0]
    now = 3000 * 0.1
    assert states["A"][-1, 0] == pytest.approx(sum(np.exp(-(now - 0.1 * s) / 200.0) for s in spikes[0]), rel=1e-12)
    V = run_cells(Alif(I_e=800.0), 300.0, states=("V_m",))[1]["V_m"][:, 0]
    held = -55.0 + 1.7 * np.concatenate([[0.0], states["A"][:-1, 0] * np.exp(-0.1 / 200.0)])
    assert np.all(held + 1e-9 > V)


def test_a_power_law_and_a_rate_that_is_found() -> None:
    names = [f"A_{k}" for k in range(10)]
    spikes, states = run_cells(PowerLawAlif(I_e=600.0, eta=0.0), 50.0, states=names)
    t = 0.1 * np.arange(1, 501)
    taus = 10.0 * 500.0 ** (np.arange(10) / 9.0)
    for k, name in enumerate(names):
        exact = sum(np.exp(-(t - 0.1 * s) / taus[k]) * (t >= 0.1 * s - 1e-9) for s in spikes[0])
        assert states[name][:, 0] == pytest.approx(exact, rel=1e-5)
    weights = taus**-0.5
    weights[-1] *= 0.5 + 9.0 / (0.5 * math.log(500.0))
    s = np.geomspace(20.0, 2000.0, 30)
    kernel = np.exp(-s[:, None] / taus) @ weights
    assert np.polyfit(np.log(s), np.log(kernel), 1)[0] == pytest.approx(-0.5, abs=0.03)
    crossed = run_cells(PowerLawAlif(I_e=600.0, eta=0.0), 50.0, states=("V_m",))[1]["V_m"][:, 0]
    A = np.stack([states[name][:, 0] for name in names])
    assert np.all(crossed < -55.0 + 1.7 * (weights / weights.sum()) @ A + 1e-6)
    fast = power_law_alif(bases=4, shortest=10.0, longest=200.0)
    cells = fast(I_e=np.array([500.0, 700.0]), eta=2e-4, r_target=20.0)
    trains, _ = run_cells(cells, 20_000.0, 0.5, 2)
    for train in trains:
        assert np.sum(train * 0.5 > 10_000.0) / 10.0 == pytest.approx(20.0, rel=0.03)


def test_the_rate_of_escape_is_that_of_the_clamped_potential() -> None:
    """N spikes scatter by sqrt(N); the refractory time is given its due."""
    potentials = np.array([-60.0, -50.0, -45.0, -30.0])
    n, time = 400, 2000.0
    for V in potentials:
        model = EscapeLif(E_L=V, V_reset=V, t_ref=0.0, r_max=200.0)
        trains, _ = run_cells(model, time, 0.1, n, seed=5)
        rho = 200.0 / (1.0 + math.exp(-0.2 * (V + 50.0))) / 1000.0
        expected = n * time / 0.1 * -math.expm1(-rho * 0.1)
        count = sum(map(len, trains))
        assert abs(count - expected) < 3.0 * math.sqrt(expected), (V, count, expected)
    intervals = np.concatenate([np.diff(train) for train in trains])
    assert intervals.std() / intervals.mean() == pytest.approx(1.0, abs=0.03)


def test_a_phase_fires_at_its_rate() -> None:
    model = PhaseIf(tau_phi=1e12, E_L=np.array([-60.0, -50.0, -40.0]))
    trains, _ = run_cells(model, 2000.0, 0.1, 3)
    for train, V in zip(trains, (-60.0, -50.0, -40.0), strict=True):
        assert len(train) == pytest.approx(2.0 * 300.0 / (1.0 + math.exp(-0.2 * (V + 50.0))), abs=1.01)
    noisy, states = run_cells(PhaseIf(jitter=0.05, E_L=-50.0), 2000.0, 0.1, 50, states=("phi",))
    assert states["phi"].min() >= 0.0
    assert np.std([len(t) for t in noisy]) > 1.0
    trains, states = run_cells(PhaseIf(V_ahp=5.0, E_L=-50.0), 50.0, 0.1, states=("V_m",))
    assert states["V_m"][trains[0][0] - 1, 0] == pytest.approx(-55.0, abs=1e-9)


def test_thresholds_of_diehl_and_cook() -> None:
    model = DiehlCook(theta=np.array([20.0, 34.97]), theta_plus=0.05, tau_theta=1000.0)
    trains, states = run_cells(model, 100.0, 0.5, 2, states=("theta", "V_m"), inputs=[("ex", 2.6, np.arange(1.0, 100.0, 2.0))])
    assert len(trains[0]) > 3 and np.diff(trains[0]).min() >= 11
    t = 0.5 * np.arange(1, 201)
    exact = 20.0 * np.exp(-t / 1000.0) + sum(0.05 * np.exp(-(t - 0.5 * s) / 1000.0) * (t >= 0.5 * s) for s in trains[0])
    assert states["theta"][:, 0] == pytest.approx(exact, abs=1e-9)
    capped = run_cells(DiehlCook(theta=34.97, tau_theta=1e9, V_th=-100.0), 20.0, 0.5, states=("theta",))[1]["theta"]
    assert capped.max() == 35.0


def test_clopath_s_neuron_has_an_after_depolarisation() -> None:
    """At least 1 mV above the same neuron without it; a spike of 2 ms; an onset that falls back with 50 ms."""
    values = {}
    for kick in (0.0, 400.0):
        spikes, states = run_cells(
            ClopathAdEx(I_sp=kick), 100.0, 0.05, states=("V_m", "V_T", "w", "u_bar_minus"), current=([10.0, 12.0], [4000.0, 0.0])
        )
        assert len(spikes[0]) == 1
        values[kick] = states
    first = spikes[0][0]
    V = values[400.0]["V_m"][:, 0]
    assert np.all(V[first - 1 : first + 39] == 33.0) and V[first + 39] == -60.0
    assert (V - values[0.0]["V_m"][:, 0]).max() > 1.0
    t = 0.05 * np.arange(1, 200)
    onset = values[400.0]["V_T"][first - 1 :, 0]
    assert 30.4 - 80.8 * 0.05 / 50.0 <= onset[0] < 30.4  # the spike lies within the step
    assert onset[1:200] + 50.4 == pytest.approx((onset[0] + 50.4) * np.exp(-t / 50.0), abs=1e-9)
    filtered, low = [-70.6], math.exp(-0.05 / 10.0)
    for k in range(len(V) - 1):
        filtered.append(filtered[-1] * low + (1.0 - low) * 0.5 * (V[k] + V[k + 1]))
    assert values[400.0]["u_bar_minus"][1:, 0] == pytest.approx(np.array(filtered)[1:], abs=0.4)
    clamped = ClopathAdEx(g_clamp=np.array([0.0, 5000.0]), V_command=-55.0, I_e=300.0)
    V = run_cells(clamped, 50.0, 0.05, 2, states=("V_m",))[1]["V_m"]
    assert V[-1, 1] == pytest.approx(-55.0, abs=0.2) and abs(V[-1, 0] + 55.0) > 1.0


def test_the_2007_neuron_with_the_numbers_of_a_seed() -> None:
    seed = {"C_m": 250.0, "a": 0.01, "b": -2.0, "k": 2.5, "d": 200.0, "V_r": -60.0, "c": -65.0, "V_t": -20.0, "V_peak": 30.0}
    for dt in (0.5, 0.05):
        trains, _ = run_cells(Izhikevich2007(I_e=np.array([0.0, 500.0, 1000.0]), **seed), 1000.0, dt, 3)
        assert [len(t) for t in trains] == [0, 0, 4]


def test_a_regular_spiking_cell_of_2007_meets_the_exact_times_but_for_the_grid() -> None:
    """Against a solution of order 8 that resets where the peak is: intervals of 75 ms differ by less than 0.03 ms."""
    p, dt = Izhikevich2007().values, 0.01

    def field(_: float, y: np.ndarray) -> list[float]:
        V, U = y
        return [
            (p["k"] * (V - p["V_r"]) * (V - p["V_t"]) - U + 100.0) / p["C_m"],
            p["a"] * (p["b"] * (V - p["V_r"]) - U),
        ]

    def peak(_: float, y: np.ndarray) -> float:
        return float(y[0] - p["V_peak"])

    peak.terminal = True  # type: ignore[attr-defined]
    t, y, exact = 0.0, [p["V_r"], 0.0], []
    while True:
        done = solve_ivp(field, (t, 600.0), y, method="DOP853", events=peak, rtol=1e-11, atol=1e-11)
        if not done.t_events[0].size:
            break
        t, y = done.t[-1], [p["c"], done.y[1, -1] + p["d"]]
        exact.append(t)
    late = run_cells(Izhikevich2007(I_e=100.0), 600.0, dt)[0][0] * dt - np.array(exact)
    assert len(exact) > 5 and np.abs(np.diff(late, prepend=0.0)).max() < 3.0 * dt, late


# ---- receptors by name


def test_as_many_exponential_currents_as_are_named() -> None:
    model = iaf_psc_exp_multisynapse(fast=0.5, slow=100.0, minus=10.0)
    inputs = [("fast", 800.0, [2.0]), ("slow", 30.0, [3.0]), ("minus", -60.0, [4.0])]
    V = run_cells(model(), 60.0, states=("V_m",), inputs=inputs)[1]["V_m"][:, 0]
    alone = [
        run_cells(IafPscExp(tau_syn_ex=tau, tau_syn_in=tau), 60.0, states=("V_m",), inputs=[("ex" if w > 0 else "in", w, [at])])
        for tau, w, at in ((0.5, 800.0, 2.0), (100.0, 30.0, 3.0), (10.0, -60.0, 4.0))
    ]
    assert pytest.approx(sum(states["V_m"][:, 0] + 70.0 for _, states in alone), abs=1e-10) == V + 70.0
    with pytest.raises(ModelError, match="needs receptors"):
        iaf_psc_exp_multisynapse()


def kernel(t: np.ndarray, rise: float, fall: float) -> np.ndarray:
    return np.where(t >= 0.0, np.exp(-np.maximum(t, 0.0) / fall) - np.exp(-np.maximum(t, 0.0) / rise), 0.0)


def test_normalisations_of_a_conductance() -> None:
    """5 and 10 ms: the peak comes after 6.93 ms."""
    t = 0.1 * np.arange(1, 2001)
    shape = kernel(t - 1.0, 5.0, 10.0)
    top = 10.0 * math.log(2.0)
    for normalisation, factor in (("peak", 1.0 / kernel(np.array([top]), 5.0, 10.0)[0]), ("area", 1.0 / 5.0), ("rates", 0.1)):
        model = conductance_lif(normalisation=normalisation, syn=Channel(5.0, 10.0, 0.0))
        states = run_cells(model(V_th=1e9), 200.0, states=("d_syn", "r_syn"), inputs=[("syn", 2.0, [1.0])])[1]
        g = (states["d_syn"] - states["r_syn"])[:, 0]
        assert g == pytest.approx(2.0 * factor * shape, abs=1e-9)
        assert 0.1 * (g.argmax() + 1) - 1.0 == pytest.approx(6.93, abs=0.051)
        if normalisation == "peak":
            assert g.max() == pytest.approx(2.0, rel=1e-4)
        if normalisation == "area":
            assert quad(lambda s: float(kernel(np.array([s]), 5.0, 10.0)[0]) / 5.0, 0.0, 200.0)[0] == pytest.approx(1.0, rel=1e-6)
            assert g.sum() * 0.1 == pytest.approx(2.0, rel=1e-3)
    with pytest.raises(UnknownName, match="normalisation"):
        conductance_lif(normalisation="peek")
    with pytest.raises(ModelError, match="must differ"):
        conductance_lif(syn=Channel(5.0, 5.0, 0.0))


def test_channels_with_and_without_magnesium_are_those_of_a_high_order_solution() -> None:
    model = conductance_lif(ampa=AMPA, gaba=GABA, nmda=NMDA)
    inputs = [("ampa", 1.0, [2.0]), ("gaba", 2.0, [10.0]), ("nmda", 3.0, [4.0])]

    def peak(rise: float, fall: float) -> float:
        at = rise * fall / (fall - rise) * math.log(fall / rise)
        return math.exp(-at / fall) - math.exp(-at / rise)

    def field(t: float, y: np.ndarray) -> list[float]:
        V = y[0]
        g = [
            w * float(kernel(np.array([t - at]), c.tau_rise, c.tau_decay)[0]) / peak(c.tau_rise, c.tau_decay)
            for c, w, at in ((AMPA, 1.0, 2.0), (GABA, 2.0, 10.0), (NMDA, 3.0, 4.0))
        ]
        block = 1.0 + math.exp(-0.062 * V) / 3.57
        return [(-25.0 * (V + 65.0) - g[0] * V - g[1] * (V + 70.0) - g[2] * V / block) / 250.0]

    exact = solve_ivp(field, (0.0, 50.0), [-65.0], rtol=1e-10, atol=1e-10, max_step=0.5).y[0, -1]
    errors = []
    for dt in (0.1, 0.05):
        V = run_cells(model(), 50.0, dt, states=("V_m",), inputs=inputs)[1]["V_m"][-1, 0]
        errors.append(abs(V - exact))
    assert errors[0] < 2e-4 and errors[1] < 0.3 * errors[0]


def test_a_small_input_gives_the_closed_form_of_a_psp() -> None:
    """A conductance so small that the driving force stays: a sum of three exponentials, to 1e-6 of its peak."""
    model = conductance_lif(syn=Channel(1.0, 5.0, 65.0), normalisation="area")
    w, dt = 2.0**-20, 0.005  # a power of two: a weight is kept as an integer
    V = run_cells(model(E_L=0.0, V_th=1e3), 30.0, dt, states=("V_m",), inputs=[("syn", w, [1.0])])[1]["V_m"][:, 0]
    t = dt * np.arange(1, 6001) - 1.0

    def low_passed(tau: float) -> np.ndarray:
        s = np.maximum(t, 0.0)
        return tau * 10.0 / (10.0 - tau) * (np.exp(-s / 10.0) - np.exp(-s / tau))

    exact = w / 4.0 * 65.0 / 250.0 * (low_passed(5.0) - low_passed(1.0))
    assert np.abs(V - exact).max() < 1e-6 * exact.max()


# ---- five levels of a GLIF


@pytest.mark.parametrize("level", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 1)])
def test_levels_of_glif(level: tuple[int, int, int]) -> None:
    """Against its equations, solved from spike to spike with what the grid says of spikes."""
    R, ASC, A = level
    model = GlifPsc(spike_dependent_threshold=R, after_spike_currents=ASC, adapting_threshold=A, I_e=400.0, t_ref=3.7)
    p, dt, steps = model.values, 0.1, 1500
    found = run_cells(model, steps * dt)[0][0]

    def field(_: float, y: np.ndarray) -> list[float]:
        V, a1, a2, ts, tv = y
        rise = A * p["th_voltage_index"] * (V - p["E_L"]) - p["th_voltage_decay"] * tv
        current = a1 + a2 + 400.0
        return [(-p["g"] * (V - p["E_L"]) + current) / p["C_m"], -0.003 * a1, -0.1 * a2, -p["th_spike_decay"] * ts, rise]

    y, k, expected = np.array([p["E_L"], 0.0, 0.0, 0.0, 0.0]), 0, []
    while k < steps:
        t = np.arange(1, min(1000, steps - k) + 1) * dt
        done = solve_ivp(field, (0.0, t[-1]), y, t_eval=t, rtol=1e-10, atol=1e-10, method="DOP853").y
        above = np.flatnonzero(done[0] >= p["V_th"] + done[3] + done[4])
        if not len(above):
            break
        k += int(above[0]) + 1
        expected.append(k)
        _, a1, a2, ts, tv = done[:, above[0]]
        before = done[0, above[0] - 1] if above[0] else y[0]
        V = p["E_L"] + 0.2 * (before - p["E_L"]) + 18.51 if R else p["V_reset"]
        a1 = ASC * (p["asc_amp_1"] + a1 * math.exp(-0.003 * 3.7))
        a2 = ASC * (p["asc_amp_2"] + a2 * math.exp(-0.1 * 3.7))
        y = np.array([V, a1, a2, R * (0.37 + ts * math.exp(-0.009 * 3.7)), tv])
        k += 37
    assert len(expected) >= 3 and found.tolist() == [s for s in expected if s <= steps]
