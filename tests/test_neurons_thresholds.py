"""When neurons fire: thresholds that adapt, phases that leak and tremble, peaks of a membrane of Hodgkin and Huxley."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from one_cell import run_cells

from eventsnn.models import Alif, HhPscAlpha, PhaseIf


@pytest.mark.parametrize(("beta", "tau"), [(1.7, 200.0), (4.0, 60.0)])
def test_an_alif_fires_where_its_closed_form_meets_its_threshold(beta: float, tau: float) -> None:
    """From -70 mV towards -70 + 32 mV with 10 ms; -55 mV + beta times the decayed count of spikes; 20 steps of rest."""
    given = {} if (beta, tau) == (1.7, 200.0) else {"beta": beta, "tau_adapt": tau}
    trains, _ = run_cells(Alif(I_e=800.0, **given), 400.0)
    expected: list[int] = []
    begins = 0  # step after which the potential leaves -70 mV
    while True:
        k = np.arange(begins + 1, 4001)
        V = -70.0 - 32.0 * np.expm1(-(k - begins) * 0.01)
        A = sum((np.exp(-(k - s) * 0.1 / tau) for s in expected), np.zeros(len(k)))
        over = np.flatnonzero(-55.0 + beta * A <= V)
        if not len(over):
            break
        expected.append(int(k[over[0]]))
        begins = expected[-1] + 20
    assert len(expected) > 10 and trains[0].tolist() == expected


def test_a_phase_that_leaks_ends_below_its_rate_times_its_time_constant() -> None:
    """phi = r tau (1 - exp(-t/tau)), with r of a potential that stands still."""
    V = np.array([-70.0, -65.0, -64.0])
    states = run_cells(PhaseIf(E_L=V), 200.0, 0.1, 3, states=("phi",))[1]["phi"]
    r = 0.3 / (1.0 + np.exp(-0.2 * (V + 50.0)))
    t = 0.1 * np.arange(1, 2001)[:, None]
    np.testing.assert_allclose(states, -r * 50.0 * np.expm1(-t / 50.0), rtol=0.0, atol=1e-9)
    fast = run_cells(PhaseIf(tau_phi=20.0), 200.0, states=("phi",))[1]["phi"][:, 0]
    np.testing.assert_allclose(fast, -r[1] * 20.0 * np.expm1(-t[:, 0] / 20.0), rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("dt", [0.1, 0.5])
def test_the_jitter_of_a_phase_is_that_of_an_ornstein_uhlenbeck_process(dt: float) -> None:
    """Variance jitter^2 tau/2 (1 - exp(-2 t/tau)): 4000 neurons tell its root to 1.1 %; no bound is within 9 deviations."""
    n, jitter, tau = 4000, 0.01, 50.0
    model = PhaseIf(E_L=-50.0, r_max=20.0, tau_phi=tau, jitter=jitter, phi=0.5)
    trains, states = run_cells(model, 150.0, dt, n, states=("phi",), every=5.0)
    assert not any(map(len, trains))
    for k, t in ((0, 5.0), (9, 50.0), (29, 150.0)):
        exact = jitter * math.sqrt(tau / 2.0 * -math.expm1(-2.0 * t / tau))
        assert states["phi"][k].std() == pytest.approx(exact, rel=0.045 + dt / tau)
        assert states["phi"][k].mean() == pytest.approx(0.5, abs=5.0 * exact / math.sqrt(n))


@pytest.mark.parametrize("dt", [0.1, 0.05, 0.025])
def test_spikes_of_hodgkin_and_huxley_are_the_peaks_of_an_exact_solution(data: Path, dt: float) -> None:
    """A spike is stamped within two steps of its peak; a method of second order falls behind by a time that grows with dt^2."""
    peaks = np.load(data / "ode_hh_psc_alpha_dc650.npz")["peaks"]
    found = run_cells(HhPscAlpha(I_e=650.0), 300.0, dt)[0][0] * dt
    assert len(found) == len(peaks) == 17
    late = found - peaks
    assert np.all((late > 0.0) & (late < 2.0 * dt + 0.7 * dt**2 * peaks)), late  # 0.14 ms after 300 ms with 0.025 ms
