"""The library's neurons are NEST's, and those of the papers: traces, spike trains, rates by current, firing patterns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_cell import run_cells
from scipy.integrate import solve_ivp

from eventsnn.models import (
    AEifCondExp,
    AEifPscExp,
    HhCondExpTraub,
    HhPscAlpha,
    HodgkinHuxley,
    IafCondExp,
    Izhikevich,
    Mat2PscExp,
)

DATA = Path(__file__).resolve().parent / "data"


@pytest.fixture(scope="module")
def nest(data: Path) -> dict[str, Any]:
    return json.loads((data / "neurons_nest.json").read_text())


@pytest.fixture(scope="module")
def patterns(data: Path) -> dict[str, Any]:
    return json.loads((data / "izhikevich_patterns.json").read_text())


def test_conductances_give_the_trace_of_nest(data: Path) -> None:
    protocol, trace = json.loads((data / "nest_iaf_cond_exp.json").read_text()), np.load(data / "nest_iaf_cond_exp.npz")
    times = np.array(protocol["input_spike_times"])
    inputs = [("ex" if c["weight"] > 0 else "in", abs(c["weight"]), times + c["delay"]) for c in protocol["connections"]]
    spikes, states = run_cells(IafCondExp(**protocol["neuron"]), 200.0, states=("V_m", "g_ex", "g_in"), inputs=inputs)
    rows = np.rint(trace["times"] / 0.1).astype(int) - 1
    rows, kept = rows[rows < 2000], rows < 2000
    for name, found in states.items():
        np.testing.assert_allclose(found[rows, 0], trace[name][kept], rtol=0.0, atol=1e-7)
    assert spikes[0].tolist() == np.rint(trace["spikes"] / 0.1).tolist() and len(spikes[0]) == 3


@pytest.mark.parametrize("name", ["RS", "FS", "CH", "IB", "LTS"])
@pytest.mark.parametrize("h", [1.0, 0.1])
def test_izhikevich_spikes_with_nest(nest: dict[str, Any], name: str, h: float) -> None:
    case = nest["izh_nest"][f"{name},h={h},consistent=True"]
    spikes, _ = run_cells(Izhikevich(**case["params"], V_m=case["V0"], U_m=case["U0"]), 500.0, h)
    assert spikes[0][:12].tolist() == np.rint(np.array(case["spikes"]) / h).tolist()
    assert abs(len(spikes[0]) - case["n"]) <= (1 if (name, h) == ("FS", 0.1) else 0)  # one at 500 ms


class Figure(Izhikevich):
    """As in the program of the paper's figure: the recovery sees the new potential."""

    method = "sequential_euler"


class Class1(Figure):
    """With the other parabola, of class 1 neurons."""

    equations = "dV_m/dt = 0.04*V_m**2 + 4.1*V_m + 108 - U_m + I_e; dU_m/dt = a*(b*V_m - U_m)"


class Accommodating(Figure):
    """With a recovery that does not decay."""

    equations = "dV_m/dt = 0.04*V_m**2 + 5*V_m + 140 - U_m + I_e; dU_m/dt = a*(b*(V_m + 65))"


def current(letter: str, t: np.ndarray, end: float) -> np.ndarray:
    """Of the figure: E. M. Izhikevich, IEEE Trans. Neural Netw. 15 (2004) 1063, and its program."""
    tenth = end / 10.0

    def pulses(length: float, *starts: float) -> np.ndarray:
        return np.any([(t > s) & (t < s + length) for s in starts], axis=0)

    match letter:
        case "A" | "C" | "E" | "F" | "B" | "D":
            start = 20.0 if letter in "BD" else 22.0 if letter == "C" else tenth
            return {"A": 14.0, "C": 15.0, "E": 10.0, "F": 30.0, "B": 0.5, "D": 0.6}[letter] * (t > start)
        case "G":
            return np.where(t > 30.0, 0.075 * (t - 30.0), 0.0)
        case "H":
            return np.where(t > 30.0, -0.5 + 0.015 * (t - 30.0), -0.5)
        case "I":
            return 7.04 * pulses(3.0, tenth)
        case "J":
            return 2.0 * pulses(5.0, tenth)
        case "K":
            return 0.65 * pulses(4.0, tenth, tenth + 20.0, 0.7 * end, 0.7 * end + 40.0)
        case "L":
            return 9.0 * pulses(2.0, end / 11.0, end / 11.0 + 5.0, 0.7 * end, 0.7 * end + 10.0)
        case "M" | "N":
            return -15.0 * pulses(5.0, 20.0)
        case "O":
            return 1.0 * pulses(5.0, 10.0, 80.0) - 6.0 * pulses(5.0, 70.0)
        case "P":
            return np.where(pulses(5.0, end / 8.0, 216.0), 1.24, 0.24)
        case "Q":
            return 20.0 * (np.abs(t - 10.0) < 1.0)
        case "R":
            return np.select([t < 200.0, t < 300.0, t < 312.5], [t / 25.0, 0.0, (t - 300.0) / 12.5 * 4.0], 0.0)
        case _:
            return np.where((t < 50.0) | (t > 250.0), 80.0, 75.0)


@pytest.mark.parametrize("letter", "ABCDEFGHIJKLMNOPQRST")
def test_the_twenty_patterns_of_izhikevich(patterns: dict[str, Any], letter: str) -> None:
    case = next(v for k, v in patterns.items() if k.startswith(f"{letter} "))
    p, dt, end = case["params"], case["dt"], float(case["T"])
    t = np.arange(0.0, end + dt / 2, dt)
    kind = Accommodating if "acc" in p else Class1 if "x" in p else Figure
    model = kind(a=p["a"], b=p["b"], c=p["c"], d=p["d"], V_m=p["V"], U_m=p.get("u", p["b"] * p["V"]), V_th=30.0 + 1e-12)
    spikes, states = run_cells(model, round(end / dt + 1) * dt, dt, states=("V_m", "U_m"), current=(t, current(letter, t, end)))
    assert spikes[0].tolist() == (np.rint(np.array(case["spikes"]) / dt) + 1).tolist()
    assert states["V_m"][-1, 0] == pytest.approx(case["V_end"], abs=1e-2 if letter == "H" else 1e-6)  # H: 14 spikes on a ramp
    assert states["U_m"][-1, 0] == pytest.approx(case["u_end"], abs=1e-2 if letter == "H" else 1e-6)


@pytest.mark.parametrize(("name", "model"), [("hh_psc_alpha", HhPscAlpha), ("hh_cond_exp_traub", HhCondExpTraub)])
@pytest.mark.parametrize("dt", [0.1, 0.025])
def test_rates_of_hodgkin_huxley_neurons_are_those_of_nest(nest: dict[str, Any], name: str, model: Any, dt: float) -> None:
    counts = nest["hh_fI"][name]["counts"]
    spikes, _ = run_cells(model(I_e=np.array([float(i) for i in counts])), 1000.0, dt, len(counts))
    expected = np.array([case["n"] for case in counts.values()])
    off = np.abs(np.array([len(s) for s in spikes]) - expected)
    assert off.max() <= 1 and off.sum() <= (6 if dt == 0.1 else 1), off
    for train, case in zip(spikes, counts.values(), strict=True):
        assert train[: len(case["first"])] * dt == pytest.approx(np.array(case["first"]), abs=0.8 if dt == 0.1 else 0.15)


def test_the_axon_begins_to_fire_at_6_3_microampere() -> None:
    spikes, _ = run_cells(HodgkinHuxley(I_e=np.array([5.0, 6.2, 6.3, 10.0])), 500.0, 0.05, 4)
    assert [len(s) for s in spikes] == [1, 3, 27, 35]


def test_mat2_spikes_with_nest() -> None:
    """2400 pA from 0.2 ms on: testsuite/pytests/test_mat2_psc_exp.py of NEST has spikes in steps 11, 32 and 54."""
    spikes, _ = run_cells(Mat2PscExp(), 8.0, current=([0.2], [2400.0]))
    assert spikes[0][:3].tolist() == [11, 32, 54]


def test_an_exponential_neuron_meets_the_exact_times(data: Path) -> None:
    """A spike is stamped with the end of the step that its exact time lies in."""
    protocol = json.loads((data / "ode_aeif_cond_exp_tonic.json").read_text())
    exact = np.load(data / "ode_aeif_cond_exp_tonic.npz")["spikes"]
    for model in (AEifCondExp, AEifPscExp):
        given = {k: v for k, v in protocol["neuron"].items() if k in model.params()}
        for dt in (0.1, 0.02):
            np.testing.assert_array_equal(run_cells(model(**given), 500.0, dt)[0][0], np.ceil(exact / dt))


NAUD = {
    "tonic": (200, 10, -70, 2, 30, 0, -58, 500),
    "adapting": (200, 12, -70, 2, 300, 60, -58, 500),
    "initial burst": (130, 18, -58, 4, 150, 120, -50, 400),
    "regular bursting": (200, 10, -58, 2, 120, 100, -46, 210),
    "delayed accelerating": (200, 12, -70, -10, 300, 0, -58, 300),
    "delayed bursting": (100, 10, -65, -10, 90, 30, -47, 110),
    "transient": (100, 10, -65, 10, 90, 100, -47, 180),
    "irregular": (100, 12, -60, -11, 130, 30, -48, 160),
}
"""C, g_L, E_L, a, tau_w, b, V_reset, I: R. Naud, N. Marcille, C. Clopath, W. Gerstner, Biol. Cybern. 99 (2008) 335, table 1, with
the changes of P. Mueller that give the paper's figures, as in Brian2's example Naud_et_al_2008_adex_firing_patterns.py.
"""


SHOWS: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {
    "tonic": lambda times, intervals: np.ptp(intervals[12:]) < 0.06,
    "adapting": lambda times, intervals: intervals[-1] > 2 * intervals[0],
    "initial burst": lambda times, intervals: intervals[-1] > 3 * intervals[0],
    "regular bursting": lambda times, intervals: (intervals > 5 * intervals.min()).sum() >= 2,
    "delayed accelerating": lambda times, intervals: times[0] > 20.0 and intervals[-1] < intervals[0],
    "delayed bursting": lambda times, intervals: times[0] > 20.0 and (intervals > 5 * intervals.min()).sum() >= 2,
    "transient": lambda times, intervals: times[-1] < 50.0,
    "irregular": lambda times, intervals: intervals.std() > 0.2 * intervals.mean(),
}
"""What a pattern shows, of spike times and intervals (ms)."""


def exactly(values: dict[str, float], end: float) -> tuple[np.ndarray, np.ndarray]:
    """(times of spikes, V_m and w at the end) of an exponential neuron, from spike to spike by a method of order 8."""
    C, g, E, a, tau, b = (values[name] for name in ("C_m", "g_L", "E_L", "a", "tau_w", "b"))

    def field(_: float, y: np.ndarray) -> list[float]:
        v = min(y[0], 0.0)
        return [(-g * (v - E) + 2.0 * g * np.exp((v + 50.0) / 2.0) - y[1] + values["I_e"]) / C, (a * (v - E) - y[1]) / tau]

    def peak(_: float, y: np.ndarray) -> float:
        return y[0] - min(values["V_peak"], -10.0)  # from there to 0 mV it takes less than a millionth of a ms

    peak.terminal = True  # type: ignore[attr-defined]
    t, y, times = 0.0, np.array([E, 0.0]), []
    while t < end:
        done = solve_ivp(field, (t, end), y, method="DOP853", events=peak, rtol=1e-12, atol=1e-12)
        t, y = done.t[-1], done.y[:, -1]
        if done.t_events[0].size:
            times.append(t)
            y = np.array([values["V_reset"], y[1] + b])
    return np.array(times), y


@pytest.mark.parametrize("name", NAUD)
def test_the_eight_patterns_of_adex(name: str) -> None:
    """Every spike, and the potential after the last, is to 1e-3 ms where a solution of high order has it."""
    C, g, E, a, tau, b, V_reset, current = map(float, NAUD[name])
    values = {"C_m": C, "g_L": g, "E_L": E, "a": a, "tau_w": tau, "b": b, "V_reset": V_reset, "I_e": current, "V_peak": 0.0}
    end = 50.0 if name == "irregular" else 300.0  # chaotic
    exact, (V, w) = exactly(values, end)
    for dt in (0.1, 0.05):
        trains, states = run_cells(AEifCondExp(**values, V_th=-50.0), end, dt, states=("V_m", "w"))
        found = trains[0]
        late = found * dt - exact
        assert len(found) == len(exact) and np.all((late > -1e-3) & (late < dt + 1e-3)), late
        slope = (-g * (V - E) + 2.0 * g * np.exp((V + 50.0) / 2.0) - w + current) / C
        assert abs(states["V_m"][-1, 0] - V) < 1e-3 * abs(slope) + 1e-5
    if name != "irregular":
        assert SHOWS[name](found * dt, np.diff(found) * dt)


@pytest.mark.parametrize("V_peak", [-46.0, -41.0])
@pytest.mark.parametrize("current", [400.0, 1500.0])
def test_a_threshold_that_is_crossed_before_the_potential_runs_away(V_peak: float, current: float) -> None:
    values = {"C_m": 200.0, "g_L": 10.0, "E_L": -70.0, "a": 2.0, "tau_w": 30.0, "b": 20.0, "V_reset": -58.0, "I_e": current}
    exact, _ = exactly(values | {"V_peak": V_peak}, 60.0)
    late = run_cells(AEifCondExp(**values, V_th=-50.0, V_peak=V_peak), 60.0)[0][0] * 0.1 - exact
    assert len(exact) > 2 and np.all((late > -1e-3) & (late < 0.101))


def test_a_chaotic_pattern_is_irregular() -> None:
    C, g, E, a, tau, b, V_reset, current = NAUD["irregular"]
    model = AEifCondExp(C_m=C, g_L=g, E_L=E, a=a, tau_w=tau, b=b, V_reset=V_reset, I_e=current, V_th=-50.0, V_peak=0.0)
    found = run_cells(model, 300.0, 0.05)[0][0] * 0.05
    assert len(found) > 10 and SHOWS["irregular"](found, np.diff(found))
