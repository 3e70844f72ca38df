"""Constants of generated kernels: exact propagators for any parameters, with bits that depend on nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mpmath import mp
from scipy.linalg import expm

from eventsnn.codegen.hostmath import exp, exp_and_phi, log
from eventsnn.codegen.poisson import most_events
from eventsnn.errors import ParameterError
from eventsnn.models import IafPscAlpha, IafPscDelta, IafPscExp


def exact(tau_m: float, tau_s: float, C: float, h: float) -> dict[str, float]:
    """The closed forms of exponential and alpha currents, in 60 digits."""
    with mp.workdps(60):
        tm, ts, c, h = (mp.mpf(v) for v in (tau_m, tau_s, C, h))
        d = 1 / ts - 1 / tm
        em, es = mp.exp(-h / tm), mp.exp(-h / ts)
        p21 = h * em / c if d == 0 else em * -mp.expm1(-h * d) / (d * c)
        p31 = em * h * h / 2 / c if d == 0 else (em * -mp.expm1(-h * d) / d - h * es) / (d * c)
        values = {"V_m__V_m": em, "V_m__I_ex": p21, "V_m__y_ex": p31, "I_ex__I_ex": es, "I_ex__y_ex": h * es}
        return {k: float(v) for k, v in values.items()} | {"current": float(tm / c * -mp.expm1(-h / tm))}


@pytest.mark.parametrize("near", [0.0, 1e-10, -1e-8, 1e-6, -1e-4, 1e-3, -1e-2, 1e-1])
@pytest.mark.parametrize(("tau_m", "h"), [(10.0, 0.1), (1.0, 1.0), (100.0, 0.001), (10.0, 5.0)])
def test_propagators_are_exact_near_equal_time_constants(near: float, tau_m: float, h: float):
    tau_s = tau_m + near
    truth = exact(tau_m, tau_s, 250.0, h)
    alpha = IafPscAlpha.kernel().constants(IafPscAlpha(tau_m=tau_m, tau_syn_ex=tau_s).values, h, True)
    plain = IafPscExp.kernel().constants(IafPscExp(tau_m=tau_m, tau_syn_ex=tau_s).values, h, True)
    for name, value in truth.items():
        found = alpha["B__V_m"] if name == "current" else alpha[f"A__{name}"]
        assert found == pytest.approx(value, rel=2e-14), name
    assert plain["A__V_m__I_ex"] == pytest.approx(truth["V_m__I_ex"], rel=2e-14)


def test_propagators_are_those_of_nest(data: Path):
    table = json.loads((data / "neurons_nest.json").read_text())["propagators"]
    for key, forms in table.items():
        h, tau_m, tau_s, C = (float(part.split("=")[1]) for part in key.split(","))
        k = IafPscAlpha.kernel().constants(IafPscAlpha(tau_m=tau_m, tau_syn_ex=tau_s, C_m=C).values, h, True)
        nest = forms["alpha"]
        found = {"P11": k["A__y_ex__y_ex"], "P21": k["A__I_ex__y_ex"], "P31": k["A__V_m__y_ex"], "P32": k["A__V_m__I_ex"]}
        found |= {"P33": k["A__V_m__V_m"], "P30": k["B__V_m"]}
        for name, value in found.items():
            assert value == pytest.approx(nest[name], rel=1e-9), (key, name)


@pytest.mark.parametrize("cyclic", [False, True])
def test_the_matrix_exponential_is_that_of_scipy(cyclic: bool):
    rng = np.random.default_rng(3)
    for scale in (1e-3, 0.3, 4.0, 20.0):
        a = rng.normal(size=(4, 4)) * scale
        if not cyclic:
            a = np.triu(a)
            a[np.diag_indices(4)] = -np.abs(np.diag(a))
        power, phi = exp_and_phi({(i, j): a[i, j] for i in range(4) for j in range(4) if a[i, j]}, 4, cyclic)
        block = expm(np.block([[a, np.eye(4)], [np.zeros((4, 8))]]))
        for got, want in ((power, block[:4, :4]), (phi, block[:4, 4:])):
            dense = np.array([[got.get((i, j), 0.0) for j in range(4)] for i in range(4)])
            np.testing.assert_allclose(dense, want, rtol=1e-11, atol=1e-12 * np.abs(want).max())


def test_bits_do_not_depend_on_neighbours_or_on_how_values_came():
    rng = np.random.default_rng(5)
    n = 40
    arrays = {name: 10.0 ** rng.uniform(-1.5, 2.0, n) for name in ("tau_m", "tau_syn_ex", "C_m")}
    kernel, values = IafPscAlpha.kernel(), IafPscAlpha().values
    together = kernel.constants({**values, **arrays}, 0.1, True)
    for i in range(n):
        alone = kernel.constants({**values, **{name: float(a[i]) for name, a in arrays.items()}}, 0.1, True)
        for name, number in alone.items():
            there = together[name]
            assert (there[i] if np.ndim(there) else there) == number, name
    for cut in (slice(0, 7), slice(7, 40), slice(3, 40, 5)):
        part = kernel.constants({**values, **{name: a[cut] for name, a in arrays.items()}}, 0.1, True)
        for name in alone:
            if np.ndim(together[name]):
                np.testing.assert_array_equal(part[name], together[name][cut])


def test_only_what_depends_on_an_array_becomes_one():
    kernel, values = IafPscExp.kernel(), IafPscExp().values
    constants = kernel.constants({**values, "I_e": np.array([0.0, 100.0])}, 0.1, True)
    assert [n for n, v in constants.items() if np.ndim(v)] == ["b__V_m"]
    constants = kernel.constants({**values, "tau_syn_in": np.array([0.01, 100.0])}, 0.1, True)
    assert sorted(n for n, v in constants.items() if np.ndim(v)) == ["A__I_in__I_in", "A__V_m__I_in"]
    assert set(constants) == {*kernel.constant_names(True), "NREF"}
    constants = kernel.constants({**values, "t_ref": np.array([0.5, 2.0])}, 0.1, False)
    assert constants["NREF"].dtype == np.int32
    assert constants["NREF"].tolist() == [5, 20]


def test_a_stimulus_current_acts_as_the_constant_current_does():
    kernel, h = IafPscDelta.kernel(), 0.1
    none, some = (kernel.constants(IafPscDelta(I_e=i).values, h, True) for i in (0.0, 400.0))
    assert some["b__V_m"] - none["b__V_m"] == pytest.approx(400.0 * none["B__V_m"], rel=1e-12)


def test_a_zero_time_constant_is_an_error_not_a_nan():
    with pytest.raises(ParameterError, match="is not finite; check the parameters"):
        IafPscExp.kernel().constants({**IafPscExp().values, "tau_syn_ex": 0.0}, 0.1, False)


def test_exp_and_log_of_the_host_round_correctly():
    x = np.random.default_rng(1).uniform(-700.0, 700.0, 300)
    with mp.workdps(40):
        assert exp(x).tolist() == [float(mp.exp(mp.mpf(float(v)))) for v in x]
        assert log(np.abs(x)).tolist() == [float(mp.log(mp.mpf(float(abs(v))))) for v in x]


@pytest.mark.parametrize("mean", [1e-6, 0.01, 0.9, 4.0, 10.0, 10.5, 47.0])
def test_no_word_draws_more_events_than_the_bound(mean: float):
    parts = max(1, int(np.ceil(mean / 10.0)))
    with mp.workdps(40):
        m = mp.mpf(mean) / parts
        tail = lambda k: mp.gammainc(k + 1, 0, m, regularized=True)  # noqa: E731  P(X > k)
        k = most_events(mean) // parts
        assert tail(k) < mp.mpf(2) ** -33
        assert k == 0 or tail(k - 1) >= mp.mpf(2) ** -33
