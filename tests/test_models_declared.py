"""Models that a user declares: values, errors, pickling by value, other numerical methods, and a step given as a function."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import eventsnn as snn
from eventsnn import spec
from eventsnn.codegen.reference import plain_step
from eventsnn.errors import KindError, ModelError, ParameterError, ShapeError, UnknownName
from eventsnn.model import NeuronModel, Param, Receptor, State
from eventsnn.models import IafPscExp
from eventsnn.values import Uniform

KEY = (0, 0)


class Adex(NeuronModel):
    """Adaptive exponential integrate-and-fire: R. Brette, W. Gerstner, J. Neurophysiol. 94 (2005) 3637."""

    C_m = Param(281.0, "pF", above=0.0)
    g_L = Param(30.0, "nS")
    E_L = Param(-70.6, "mV")
    V_T = Param(-50.4, "mV")
    Delta_T = Param(2.0, "mV")
    a = Param(4.0, "nS")
    b = Param(80.5, "pA")
    tau_w = Param(144.0, "ms")
    V_peak = Param(-30.0, "mV")
    tau_syn = Param(5.0, "ms")
    I_e = Param(0.0, "pA")
    V_m = State("E_L", "mV")
    w = State(0.0, "pA")
    I_ex = State(0.0, "pA")
    equations = """
        dV_m/dt = (-g_L*(V_m - E_L) + g_L*Delta_T*exp((min(V_m, V_peak) - V_T)/Delta_T) - w + I_ex + I_e)/C_m
        dw/dt = (a*(V_m - E_L) - w)/tau_w
        dI_ex/dt = -I_ex/tau_syn
    """
    receptors = (Receptor("ex", "pA", "I_ex += w"),)
    threshold = "V_m >= V_peak"
    reset = "V_m = E_L; w += b"
    current = "I_e"


class Conductance(NeuronModel):
    """A leaky membrane with one conductance: affine in its own potential."""

    tau = Param(10.0, "ms")
    V_m = State(-60.0, "mV")
    g = State(2.0)
    equations = "dV_m/dt = (-60 - V_m - g*V_m)/tau; dg/dt = -g/(5*ms)"
    receptors = (Receptor("ex", "", "g += w", magnitude=True),)
    threshold = "V_m >= 0"


class Crossing(NeuronModel):
    """A forced oscillation whose spikes are upward crossings."""

    x = State(1.0)
    y = State(0.0)
    equations = "dx/dt = -y; dy/dt = x"
    threshold = "x >= 0.5"
    crossing = True


class Counter(NeuronModel):
    """A step by hand."""

    leak = Param(0.5)
    t_ref = Param(0.2, "ms")
    I_e = Param(0.0, "pA")
    v = State(0.0)
    receptors = (Receptor("ex", "mV", "v += w"),)
    refractory = "t_ref"
    current = "I_e"

    @staticmethod
    def step(v, refr, w_ex, I_stim, leak, I_e, NREF):  # type: ignore[no-untyped-def]
        v = fma(leak, v, w_ex + I_e + I_stim)  # noqa: F821
        fire = (v >= 1.0) & (refr <= I0)  # noqa: F821
        v = 0.0 if fire else v
        return v, NREF if fire else max(refr - I1, I0), I1 if fire else I0  # noqa: F821


def run(model: NeuronModel, steps: int, dt: float, start: list[float]) -> tuple[np.ndarray, list[int]]:
    kernel = model.kernel()
    step, constants = plain_step(kernel), kernel.constants(model.values, dt, False)
    given = [np.float64(constants[n]) for n in kernel.constant_names(False)]
    state, trace, spikes = [np.float64(v) for v in start], [], []
    for k in range(1, steps + 1):
        *state, fired = step(*state, *(np.float64(0.0) for _ in kernel.receptors), *given)
        trace.append(state)
        if fired:
            spikes.append(k)
    return np.array(trace), spikes


def test_a_nonlinear_model_follows_its_equations():
    model, dt = Adex(I_e=1000.0), 0.02
    trace, spikes = run(model, 1500, dt, [-70.6, 0.0, 300.0])
    p = model.values

    def field(_: float, y: np.ndarray) -> list[float]:
        v, w, i = y
        grow = p["g_L"] * p["Delta_T"] * np.exp((min(v, -30.0) - p["V_T"]) / p["Delta_T"])
        return [
            (-p["g_L"] * (v - p["E_L"]) + grow - w + i + p["I_e"]) / p["C_m"],
            (p["a"] * (v - p["E_L"]) - w) / p["tau_w"],
            -i / p["tau_syn"],
        ]

    before = spikes[0] - 10  # the upstroke itself is as steep as one likes
    times = dt * np.arange(1, before + 1)
    exact = solve_ivp(field, (0.0, times[-1]), [-70.6, 0.0, 300.0], t_eval=times, method="DOP853", rtol=1e-12, atol=1e-12).y.T
    np.testing.assert_allclose(trace[:before], exact, rtol=0.0, atol=2e-6)
    after = trace[spikes[0] - 1]
    assert after[0] == -70.6
    assert after[1] - trace[spikes[0] - 2][1] == pytest.approx(80.5, abs=1.0)
    assert len(spikes) >= 2


def test_runge_kutta_is_of_fourth_order():
    class Cubic(NeuronModel):
        x = State(0.1)
        equations = "dx/dt = x - x**3"
        threshold = "x >= 10"

    exact = 1.0 / np.sqrt(1.0 + (1.0 / 0.01 - 1.0) * np.exp(-4.0))
    errors = [abs(run(Cubic(), n, 2.0 / n, [0.1])[0][-1][0] - exact) for n in (20, 40)]
    assert errors[1] < errors[0] / 12.0 < 1e-6


def test_exponential_euler_is_chosen_where_it_is_affine_and_converges():
    text = Conductance.kernel().step_source(False)
    assert "V_m__phi" in text
    assert "k1" not in text

    def field(_: float, y: np.ndarray) -> list[float]:
        return [(-60.0 - y[0] - y[1] * y[0]) / 10.0, -y[1] / 5.0]

    exact = solve_ivp(field, (0.0, 10.0), [-60.0, 2.0], rtol=1e-11, atol=1e-12).y[:, -1]
    errors = [abs(run(Conductance(), n, 10.0 / n, [-60.0, 2.0])[0][-1][0] - exact[0]) for n in (200, 400)]
    assert errors[1] == pytest.approx(errors[0] / 2.0, rel=0.05)


def test_exponential_euler_is_exact_for_constant_coefficients_at_any_step():
    class Decay(NeuronModel):
        k = Param(1.0)
        x = State(1.0)
        g = State(1.0)
        equations = "dx/dt = -k*g*x + 1; dg/dt = 0*g"
        receptors = (Receptor("ex", "", "g += w"),)
        threshold = "x >= 10"

    for k in (1e-9, 1e-3, 0.06, 0.07, 1.0, 30.0):
        found = run(Decay(k=k), 1, 1.0, [2.0, 1.0])[0][0][0]
        assert found == pytest.approx(2.0 * np.exp(-k) - np.expm1(-k) / k, rel=3e-15 / min(k, 1.0) if k < 1e-8 else 1e-14)


def test_a_crossing_is_found_once_per_passage():
    trace, spikes = run(Crossing(), 2000, 0.01, [1.0, 0.0])
    x = np.concatenate([[1.0], trace[:, 0]])
    assert spikes == (1 + np.flatnonzero((x[1:] >= 0.5) & (x[:-1] < 0.5))).tolist()
    assert len(spikes) == 3


def test_a_step_may_be_a_plain_function():
    kernel = Counter.kernel()
    assert kernel.constant_names(True) == ("leak", "I_e")
    assert "1.0" not in kernel.step_source(True).replace("F(1.0)", "")
    for current, extra in ((False, ()), (True, (np.float64(0.0),))):
        step = plain_step(kernel, current)
        v, refr, spikes = np.float64(0.0), np.int32(0), []
        for k in range(12):
            v, refr, fired = step(v, refr, np.float64(0.6), *extra, np.float64(0.5), np.float64(0.0), np.int32(2))
            spikes += [k] if fired else []
        assert spikes == [2, 5, 8, 11]  # 0.6, 0.9, 1.05; then 2 steps of refractoriness
    assert kernel.constants(Counter().values, 0.1, False)["NREF"] == 2


def test_a_step_with_other_arguments_is_refused():
    class Wrong(Counter):
        @staticmethod
        def step(v, w_ex):  # type: ignore[no-untyped-def]
            return v, 0

    with pytest.raises(ModelError, match=r"Wrong: step must take \(v, refr, w_ex, I_stim, leak, I_e, NREF\), not \(v, w_ex\)"):
        Wrong.kernel()


def test_dynamics_carry_values_defaults_and_starts():
    model = IafPscExp(tau_m=20.0, I_ex=3.0)
    made = model.dynamics(4, 0.1, {**model.values, "V_m": Uniform(-70.0, -55.0), "I_e": np.arange(4.0)}, KEY)
    assert made.parameters["tau_m"] == spec.Fixed(20.0)
    assert isinstance(made.parameters["I_e"], spec.Given)
    assert isinstance(made.initial["V_m"], spec.Drawn)
    assert made.initial["I_ex"] == spec.Fixed(3.0)
    assert made.initial_from == {}
    assert IafPscExp().dynamics(4, 0.1, {}, KEY).initial_from == {"V_m": "E_L"}


def test_a_refractory_time_off_the_grid_warns():
    with pytest.warns(UserWarning, match="IafPscExp: t_ref = 2.04 ms is not a multiple of dt = 0.1 ms; it is rounded"):
        IafPscExp(t_ref=2.04).dynamics(1, 0.1, {"t_ref": 2.04}, KEY)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"tau_m": 0.0}, ParameterError, "IafPscExp: tau_m must be > 0 ms, not 0"),
        ({"tau_m": np.array([1.0, -2.0])}, ParameterError, "tau_m must be > 0 ms, not -2 ... 1"),
        ({"tau_m": Uniform(-1.0, 2.0)}, ParameterError, "tau_m must be > 0 ms"),
        ({"t_ref": -1.0}, ParameterError, "t_ref must be >= 0 ms"),
        ({"V_m": np.zeros(3)}, ShapeError, "IafPscExp: V_m has shape"),
        ({"V_m": "rest"}, UnknownName, "has no parameter 'rest'"),
        ({"E_L": "x"}, KindError, "E_L must be a number"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, object], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        IafPscExp().dynamics(2, 0.1, values, KEY)


def test_models_are_values_with_names_that_are_checked():
    model = IafPscExp(tau_m=20.0)
    assert repr(model) == "IafPscExp(tau_m=20.0)"
    assert (model.values["tau_m"], model.values["C_m"]) == (20.0, 250.0)
    assert list(IafPscExp.states()) == ["V_m", "I_ex", "I_in"]
    assert pickle.loads(pickle.dumps(model)).values == model.values
    with pytest.raises(AttributeError, match="cannot change"):
        model.tau_m = 3.0  # type: ignore[misc, assignment]
    with pytest.raises(UnknownName, match="IafPscExp has no parameter or state 'tau_n'; did you mean 'tau_m'"):
        IafPscExp(tau_n=1.0)
    with pytest.raises(KindError, match="takes its values by keyword"):
        IafPscExp(20.0)


def test_a_model_of_the_script_travels_by_value():
    script = textwrap.dedent(
        """
        import subprocess, sys
        import cloudpickle
        from eventsnn.model import NeuronModel, Param, Receptor, State

        class Mine(NeuronModel):
            tau = Param(10.0, "ms", above=0.0)
            V_th = Param(1.0, "mV")
            v = State(0.0, "mV")
            equations = "dv/dt = -v/tau"
            receptors = (Receptor("ex", "mV", "v += w"),)
            threshold = "v >= V_th"
            reset = "v = 0"

        data = cloudpickle.dumps((Mine(tau=5.0), Mine().dynamics(3, 0.1, {"tau": 5.0}, (0, 0))))
        there = (
            "import pickle, sys; m, d = pickle.load(sys.stdin.buffer); assert 'sympy' not in sys.modules;"
            "print(m, list(m.params()), d.kernel.step_source(False) == m.kernel().step_source(False))"
        )
        print(subprocess.run([sys.executable, "-c", there], input=data, capture_output=True, check=True).stdout.decode())
        """
    )
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "Mine(tau=5.0) ['tau', 'V_th'] True"


def test_importing_the_models_is_light():
    heavy = ("sympy", "mpmath", "numba", "scipy", "dask", "xarray", "pint")
    code = f"import sys, eventsnn.models; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("base", "body", "told"),
    [
        (snn.NeuronModel, {"refactory": "t_ref"}, "'refactory' declares nothing; did you mean 'refractory'"),
        (snn.NeuronModel, {"holds": ("V_m",)}, "did you mean 'hold'"),
        (snn.NeuronModel, {"tau": 10.0}, r"'tau' declares nothing; .* Parameters are Param"),
        (snn.SynapseModel, {"on_pos": "w += 1"}, "did you mean 'on_post'"),
    ],
)
def test_a_word_that_declares_nothing_is_told(base: type, body: dict[str, object], told: str) -> None:
    with pytest.raises(UnknownName, match=f"Mine: .*{told}"):
        type("Mine", (base,), body)
    made = type("Mine", (base,), {"_mine": 3, "__doc__": "A model."})
    type("Child", (made,), {"_mine": 4})
