"""A spike of known weight through a receptor does what the equations of the model say: closed forms, solutions of order 8."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from one_cell import run_cells
from scipy.integrate import solve_ivp

from eventsnn.model import NeuronModel
from eventsnn.models import Alif, DiehlCook, EscapeLif, HodgkinHuxley, IafPscExpGated, Izhikevich2007, PhaseIf, PowerLawAlif

Field = Callable[[float, np.ndarray], list[float]]


def solved(field: Field, y: list[float], jumps: Sequence[tuple[float, int, float]], end: float, dt: float) -> np.ndarray:
    """The first state after each step; at a jump (time, state, by how much) the state changes."""
    found, begins, now = [], 0.0, np.array(y)
    for at, k, by in [*sorted(jumps), (end, 0, 0.0)]:
        if at > begins:
            steps = np.arange(round(begins / dt) + 1, round(at / dt) + 1) * dt
            t = np.minimum(steps, at)
            parts = solve_ivp(field, (begins, at), now, method="DOP853", t_eval=t, rtol=1e-11, atol=1e-11).y
            found.append(parts[0])
            now, begins = parts[:, -1], at
        now[k] += by
    return np.concatenate(found)


@pytest.mark.parametrize("model", [Alif, EscapeLif, IafPscExpGated, PhaseIf, PowerLawAlif])
def test_currents_that_decay_give_the_closed_form_of_a_psp(model: type[NeuronModel]) -> None:
    """w/C tau_m tau/(tau_m - tau) (exp(-t/tau_m) - exp(-t/tau)): 40 pA of 1 ms after 5 ms, -25 pA of 3 ms after 9 ms."""
    silent = {"r_max": 0.0} if model in (EscapeLif, PhaseIf) else {}
    given = {"C_m": 200.0, "tau_m": 8.0, "E_L": -68.0, "tau_syn_ex": 1.0, "tau_syn_in": 3.0, **silent}
    inputs = [("ex", 40.0, [5.0]), ("in", -25.0, [9.0])]
    trains, states = run_cells(model(**given), 40.0, inputs=inputs, states=("V_m",))
    t, expected = 0.1 * np.arange(1, 401), np.full(400, -68.0)
    for weight, at, tau in ((40.0, 5.0, 1.0), (-25.0, 9.0, 3.0)):
        s = np.maximum(t - at, 0.0)
        expected += weight / 200.0 * 8.0 * tau / (8.0 - tau) * (np.exp(-s / 8.0) - np.exp(-s / tau))
    assert not len(trains[0])
    np.testing.assert_allclose(states["V_m"][:, 0], expected, rtol=0.0, atol=1e-7 if model is PhaseIf else 1e-12)


def axon(_: float, y: np.ndarray) -> list[float]:
    """Of Hodgkin and Huxley: J. Physiol. 117 (1952) 500, at rest at -65 mV; its input falls with 2 ms."""
    V, m, h, n, I_syn = y
    rates = (
        (0.1 * (V + 40.0) / -math.expm1(-(V + 40.0) / 10.0), 4.0 * math.exp(-(V + 65.0) / 18.0)),
        (0.07 * math.exp(-(V + 65.0) / 20.0), 1.0 / (1.0 + math.exp(-(V + 35.0) / 10.0))),
        (0.01 * (V + 55.0) / -math.expm1(-(V + 55.0) / 10.0), 0.125 * math.exp(-(V + 65.0) / 80.0)),
    )
    gates = [opens * (1.0 - x) - closes * x for (opens, closes), x in zip(rates, (m, h, n), strict=True)]
    current = -120.0 * m**3 * h * (V - 50.0) - 36.0 * n**4 * (V + 77.0) - 0.3 * (V + 54.387) + I_syn
    return [current, *gates, -I_syn / 2.0]


def regular(_: float, y: np.ndarray) -> list[float]:
    """Izhikevich's regular spiking cell of 2007, Dynamical Systems in Neuroscience, chapter 8; its input falls with 2 ms."""
    V, U, I_syn = y
    return [(0.7 * (V + 60.0) * (V + 40.0) - U + I_syn) / 100.0, 0.03 * (-2.0 * (V + 60.0) - U), -I_syn / 2.0]


@pytest.mark.parametrize(
    ("model", "field", "start", "weights", "within"),
    [
        (HodgkinHuxley, axon, [-65.0, 0.05293248525724958, 0.5961207535084603, 0.3176769140606974, 0.0], (1.0, -2.0), 1e-4),
        (Izhikevich2007, regular, [-60.0, 0.0, 0.0], (200.0, -300.0), 1e-5),
    ],
)
def test_currents_give_the_solution_of_high_order(
    model: type[NeuronModel], field: Field, start: list[float], weights: tuple[float, float], within: float
) -> None:
    dt = 0.05
    exact = solved(field, start, [(5.0, -1, weights[0]), (14.0, -1, weights[1])], 30.0, dt)
    inputs = [("in", weights[0], [5.0]), ("in", weights[1], [14.0])]
    trains, states = run_cells(model(), 30.0, dt, inputs=inputs, states=("V_m",))
    assert not len(trains[0]) and np.ptp(exact) > 2.0
    np.testing.assert_allclose(states["V_m"][:, 0], exact, rtol=0.0, atol=within)


CELLS = {
    "excitatory": ({}, 100.0, -65.0, -100.0),
    "inhibitory": ({"tau_m": 10.0, "E_L": -60.0, "E_in": -85.0, "V_th": -40.0, "theta": 0.0}, 10.0, -60.0, -85.0),
}
"""Of Diehl and Cook: parameters, then tau_m, E_L and E_in of the paper."""


@pytest.mark.parametrize("cell", CELLS)
def test_a_membrane_of_diehl_and_cook(cell: str) -> None:
    """Conductances in the middle of a step make an error of second order."""
    given, tau_m, rest, reversal = CELLS[cell]
    ex, inh = (4.0, 4.0) if cell == "excitatory" else (0.5, 0.5)

    def field(_: float, y: np.ndarray) -> list[float]:
        V, g_ex, g_in = y
        return [(rest - V - g_ex * V + g_in * (reversal - V)) / tau_m, -g_ex / 1.0, -g_in / 2.0]

    arrivals = {"ex": [5.0, 20.0], "in": [12.0, 20.5]}
    jumps = [(at, 1, ex) for at in arrivals["ex"]] + [(at, 2, inh) for at in arrivals["in"]]
    exact = solved(field, [rest, 0.0, 0.0], jumps, 40.0, 0.5)
    inputs = [("ex", ex, arrivals["ex"]), ("in", inh, arrivals["in"])]
    V = {}
    for dt in (0.1, 0.05):
        trains, states = run_cells(DiehlCook(**given), 40.0, dt, inputs=inputs, states=("V_m",), every=0.5)
        assert not len(trains[0])
        V[dt] = states["V_m"][:, 0]
    first = np.abs(V[0.1] - exact).max()
    assert np.ptp(exact) > 2.5 and first < 1e-3 * np.ptp(exact)
    np.testing.assert_allclose(V[0.05], exact, rtol=0.0, atol=0.3 * first)


@pytest.mark.parametrize("dt", [0.5, 0.1])
@pytest.mark.parametrize(("receptor", "tau", "driving"), [("ex", 1.0, 65.0), ("in", 2.0, -35.0)])
def test_a_potential_of_diehl_and_cook(dt: float, receptor: str, tau: float, driving: float) -> None:
    """Small weights: of an exponential, the sum of what it is in the middle of steps is its integral times x/sinh(x)."""
    weight = 2.0**-10
    states = run_cells(DiehlCook(), 40.0, dt, inputs=[(receptor, weight, [5.0])], states=("V_m",))[1]
    exact = weight * driving * tau / (100.0 - tau) * (math.exp(-35.0 / 100.0) - math.exp(-35.0 / tau))
    x = dt / tau / 2.0
    assert (states["V_m"][-1, 0] + 65.0) / exact == pytest.approx(x / math.sinh(x), rel=1e-3)
