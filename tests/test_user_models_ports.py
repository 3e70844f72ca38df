"""The models of examples/published_models.py against solutions that know nothing of it, or against the library's own."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_cell import run_cells
from scipy.integrate import solve_ivp

from eventsnn.models import AEifPscExp, HhCondExpTraub, Izhikevich


@pytest.fixture(scope="module")
def ports(root: Path) -> dict[str, Any]:
    return runpy.run_path(str(root / "examples" / "published_models.py"))


def crossings(field: Callable[..., Any], y: list[float], end: float, level: float, **options: Any) -> np.ndarray:
    """Times at which the first variable rises through a level."""

    def event(t: float, y: np.ndarray, *_: float) -> float:
        return float(y[0]) - level

    event.direction = 1.0  # type: ignore[attr-defined]
    return solve_ivp(field, (0.0, end), y, events=event, rtol=1e-9, atol=1e-9, **options).t_events[0]


def test_an_adaptive_threshold(ports: dict[str, Any]) -> None:
    """Pulses on the grid: the potential and the threshold have closed forms between them."""
    pulses = np.arange(2.0, 60.0, 0.7)
    spikes, states = run_cells(ports["AdaptiveThreshold"](), 60.0, 0.1, states=("V_m", "V_th"), inputs=[("in", 2.5, pulses)])
    V, top, at, expected = 0.0, 10.0, set(np.rint(pulses / 0.1).astype(int).tolist()), []
    for k in range(1, 601):
        V = V * math.exp(-0.01) + 2.5 * (k in at)
        top = 10.0 + (top - 10.0) * math.exp(-0.1 / 15.0)
        if top < V:
            V, top = 0.0, top + 3.0
            expected.append(k)
        assert (states["V_m"][k - 1, 0], states["V_th"][k - 1, 0]) == (pytest.approx(V, abs=1e-9), pytest.approx(top, abs=1e-9))
    assert spikes[0].tolist() == expected and len(expected) > 3


def test_brette_and_gerstner(ports: dict[str, Any]) -> None:
    """The library's neuron with the same threshold of detection and the same method, and to the nearest step with its own."""

    class Undivided(AEifPscExp):
        method = "rk4"

    given = {"I_e": 1000.0, "V_peak": -40.4, "V_reset": -70.6}
    library, divided = Undivided(**given), AEifPscExp(**given)
    found, expected = (run_cells(m, 300.0, 0.05)[0][0] for m in (ports["BretteGerstner"](), library))
    assert found.tolist() == expected.tolist() and len(found) > 5
    late = found - run_cells(divided, 300.0, 0.05)[0][0]
    assert np.all((np.diff(late) >= 0) & (np.diff(late) <= 1)) and late[-1] > 0


def test_izhikevich(ports: dict[str, Any]) -> None:
    mine, library = ports["Izhikevich"](), Izhikevich(I_e=10.0, U_m=-13.0)
    found, expected = (run_cells(m, 300.0, 0.1)[0][0] for m in (mine, library))
    assert np.abs(found - expected).max() <= 1 and len(found) > 5


def test_a_user_s_traub_neuron_is_the_library_s(ports: dict[str, Any]) -> None:
    """Up to the last bits of a potential: both texts say the same in another order."""
    inputs = [("ex", 60.0, [2.0, 20.0]), ("in", 67.0, [25.0])]
    found = run_cells(ports["TraubMiles"](), 40.0, 0.05, states=("v", "g_e"), inputs=inputs)
    gates = {"Act_m": 0.0, "Inact_h": 1.0, "Act_n": 0.0}
    expected = run_cells(HhCondExpTraub(**gates), 40.0, 0.05, states=("V_m", "g_ex"), inputs=inputs)
    np.testing.assert_allclose(found[1]["v"], expected[1]["V_m"], atol=1e-7)
    np.testing.assert_array_equal(found[1]["g_e"], expected[1]["g_ex"])
    assert len(found[0][0]) == len(expected[0][0]) > 1


def test_wang_and_buzsaki(ports: dict[str, Any]) -> None:
    def field(_: float, y: np.ndarray, current: float) -> list[float]:
        v, h, n = y
        a = 0.1 * (v + 35.0) / (1.0 - math.exp(-0.1 * (v + 35.0)))
        m = a / (a + 4.0 * math.exp(-(v + 60.0) / 18.0))
        dh = 0.07 * math.exp(-(v + 58.0) / 20.0) * (1.0 - h) - h / (1.0 + math.exp(-0.1 * (v + 28.0)))
        rise = 0.01 * (v + 34.0) / (1.0 - math.exp(-0.1 * (v + 34.0)))
        dn = rise * (1.0 - n) - 0.125 * math.exp(-(v + 44.0) / 80.0) * n
        ions = -35.0 * m**3 * h * (v - 55.0) - 9.0 * n**4 * (v + 90.0) - 0.1 * (v + 65.0)
        return [ions + current, 5.0 * dh, 5.0 * dn]

    dt = 0.02
    spikes, _ = run_cells(ports["WangBuzsaki"](I=np.array([0.0, 0.5, 2.0])), 100.0, dt, 3)
    for found, current in zip(spikes, (0.0, 0.5, 2.0), strict=True):
        exact = crossings(field, [-70.0, 1.0, 0.0], 100.0, 0.0, args=(current,)) if current else []
        assert len(found) == len(exact)
        assert np.all(np.abs(found * dt - exact) < 0.03)


def test_unreliable_spikes(ports: dict[str, Any]) -> None:
    """Without noise every tau ln 11; with it, trials part: the spread grows from spike to spike."""
    quiet, _ = run_cells(ports["Unreliable"](sigma=0.0), 500.0, 0.1)
    assert set(np.diff(quiet[0]).tolist()) == {math.ceil(20.0 * math.log(11.0) / 0.1)}
    trials, _ = run_cells(ports["Unreliable"](), 500.0, 0.1, 200, seed=3)
    times = np.array([t[:9] for t in trials]) * 0.1
    assert np.all(np.diff(times.std(axis=0)[[0, 2, 5, 8]]) > 0.0)
    assert times.std(axis=0)[8] / times.std(axis=0)[0] == pytest.approx(3.0, rel=0.25)  # a renewal process: sqrt(9)
