"""What a model may say: named expressions, conditions, noise, draws, assignments of every step; and the units of its lines."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
from one_cell import run_cells
from test_cuda_engine import Theta

import eventsnn as snn
from eventsnn.canonical import canonical
from eventsnn.codegen.dimension import parse
from eventsnn.codegen.hostmath import exprel
from eventsnn.codegen.reference import names, plain_step
from eventsnn.errors import ModelError
from eventsnn.model import NeuronModel, Param, Receptor, State
from eventsnn.models import IafPscExp
from eventsnn.restored import restore
from eventsnn.spec import Equations


class Noisy(NeuronModel):
    """Two coupled noises, a threshold by chance, a reset with a draw, and bounds."""

    tau = Param(10.0, "ms")
    sigma = Param(2.0, "mV")
    rho = Param(0.02, "1/ms")
    t_ref = Param(0.5, "ms")
    V = State(0.0, "mV")
    y = State(0.0, "mV")
    jumped = State(0.0, "")
    equations = """
        strength = sigma*sqrt(2/tau)  # a name for an expression
        dV/dt = -V/tau + strength*xi
        dy/dt = -y/tau + 0.6*strength*xi + 0.8*strength*xi_1
    """
    receptors = (Receptor("in", "mV", "V += w"),)
    always = "y = clip(y, -8, 8)"
    threshold = "uniform() < 1 - exp(-rho*dt)"
    reset = "jumped = normal() if uniform() < 0.5 else 3"
    refractory = "t_ref"


def noisy(parts: int = 1, threads: int = 1, pieces: tuple[float, ...] = (60.0,), extra: bool = False) -> Any:
    net = snn.Network(seed=4, dt=0.1)
    if extra:
        net.population("other", 5, Noisy())
    cells = net.population("cells", 400, Noisy())
    if extra:
        net.population("more", 7, Noisy(sigma=snn.Uniform(0.0, 1.0)))
    net.record(cells, "spikes")
    with snn.Simulation(net, parts=parts, threads=threads) as sim:
        for piece in pieces:
            sim.run(piece)
        events = snn.open(sim)["cells/spikes"].to_dataset().load()
        return events["time"].values, events["neuron"].values, *(sim["cells"].get(s) for s in ("V", "y", "jumped"))


def test_draws_depend_on_nothing_but_seed_population_neuron_and_step() -> None:
    expected = noisy()
    assert len(expected[0]) > 100
    for found in (noisy(parts=3), noisy(threads=2), noisy(pieces=(0.1, 3.3, 0.5, 56.1)), noisy(extra=True, parts=2)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_run_that_is_resumed_draws_on(tmp_path: Any) -> None:
    def net() -> snn.Network:
        made = snn.Network(seed=4, dt=0.1)
        made.record(made.population("cells", 50, Noisy()), "V", every=1.0, dtype="float64")
        return made

    with snn.Simulation(net(), store=tmp_path / "whole.zarr") as sim:
        sim.run(20.0)
    with snn.Simulation(net(), store=tmp_path / "cut.zarr", checkpoint_every=5.0) as sim:
        sim.run(10.3)
    with snn.resume(tmp_path / "cut.zarr") as sim:
        assert 0.0 < sim.time <= 10.3
        sim.run(20.0 - sim.time)
    found, expected = (snn.open(tmp_path / f"{name}.zarr")["cells/V"]["V"].values for name in ("cut", "whole"))
    np.testing.assert_array_equal(found, expected)


def test_white_noise_has_the_moments_of_an_ornstein_uhlenbeck_process() -> None:
    """Variance sigma^2, correlations; within 3 standard errors of as many independent samples."""
    n, every = 2000, 40.0
    states = run_cells(Noisy(rho=0.0), 600.0, 0.5, n, states=("V", "y"), every=every, seed=8)[1]
    V, y = states["V"][3:].ravel(), states["y"][3:].ravel()
    variance = 4.0
    samples = len(V)
    assert abs(V.mean()) < 3.0 * math.sqrt(variance / samples)
    assert abs(V.var() / variance - 1.0) < 3.0 * math.sqrt(2.0 / samples) + 3e-4  # the table of quantiles
    assert abs(np.corrcoef(V, y)[0, 1] - 0.6) < 3.0 * (1.0 - 0.36) / math.sqrt(samples) + 2e-3  # clipped at 4 sigma
    assert np.abs(y).max() <= 8.0
    lag = run_cells(Noisy(rho=0.0), 200.0, 0.5, n, states=("V",), every=5.0, seed=8)[1]["V"][20:]
    assert np.corrcoef(lag[:-1].ravel(), lag[1:].ravel())[0, 1] == pytest.approx(math.exp(-0.5), abs=0.015)


def test_noise_with_a_factor_of_states_is_taken_at_the_start_of_the_step() -> None:
    class Geometric(NeuronModel):
        x = State(1.0)
        equations = "dx/dt = 0*x + 0.2*x*xi"
        threshold = "x >= 1e9"

    n = 4000
    x = run_cells(Geometric(), 10.0, 0.05, n, states=("x",), every=10.0, seed=3)[1]["x"][-1]
    growth = (1.0 + 0.04 * 0.05) ** 200  # of the second moment: Ito
    assert abs(x.mean() - 1.0) < 3.0 * math.sqrt((growth - 1.0) / n)
    assert (x**2).mean() == pytest.approx(growth, rel=0.1)


def test_a_draw_per_call_and_its_distribution() -> None:
    class Drawing(NeuronModel):
        a = State(0.0)
        b = State(0.0)
        equations = ""
        receptors = (Receptor("in", "", "a += w"),)
        always = "a = uniform(); b = normal()"
        threshold = "a > 2"

    states = run_cells(Drawing(), 100.0, 0.1, 300, states=("a", "b"))[1]
    a, b = states["a"].ravel(), states["b"].ravel()
    n = len(a)
    assert a.min() > 0.0 and a.max() < 1.0
    assert abs(a.mean() - 0.5) < 3.0 / math.sqrt(12.0 * n) and abs(b.mean()) < 3.0 / math.sqrt(n)
    assert abs((a < 0.1).mean() - 0.1) < 3.0 * math.sqrt(0.09 / n) and abs(b.std() - 1.0) < 3.0 / math.sqrt(2.0 * n) + 2e-4
    assert abs(np.corrcoef(a, b)[0, 1]) < 3.0 / math.sqrt(n) and abs(np.corrcoef(a[:-300], a[300:])[0, 1]) < 3.0 / math.sqrt(n)


def test_assignments_of_every_step_of_a_release_and_of_the_value_before() -> None:
    class Clock(NeuronModel):
        t_ref = Param(0.4, "ms")
        t = State(0.0)
        top = State(0.0)
        ends = State(0.0)
        phase = State(0.0)
        equations = "dphase/dt = 1"
        always = "t += 1; top = max(top, t) if t < 12 else 12"
        threshold = "phase >= 1 and before(phase) < 1"
        release = "ends += 1; phase = 0"
        refractory = "t_ref"

    spikes, states = run_cells(Clock(), 3.0, states=("t", "top", "ends"))
    assert states["t"][:, 0].tolist() == list(range(1, 31))
    assert states["top"][:, 0].tolist() == [*range(1, 12), *([12] * 19)]
    assert spikes[0].tolist() == [10, 24] or spikes[0].tolist() == [11, 26]  # ten steps of 0.1 ms may come to less than 1
    first = spikes[0][0]
    assert np.flatnonzero(np.diff(states["ends"][:, 0]))[0] + 2 == first + 4  # the last of four refractory steps


def test_exprel_is_accurate_everywhere() -> None:
    for precision, bound in (("float64", 4e-16), ("float32", 3e-7)):
        mine = names(precision)["exprel"]
        for x in (-50.0, -1.0, -0.0626, -0.0624, -1e-5, 0.0, 1e-300, 1e-9, 0.03, 0.0626, 2.0, 40.0):
            value = np.dtype(precision).type(x)
            exact = math.expm1(value) / value if value else 1.0
            assert float(mine(value)) == pytest.approx(exact, rel=8 * bound)
            assert float(exprel(np.float64(value))) == pytest.approx(exact, rel=4e-16)


def test_euler_and_sequential_euler_are_what_they_say() -> None:
    class Turning(NeuronModel):
        x = State(1.0)
        y = State(0.0)
        equations = "dx/dt = -y*abs(x)**0; dy/dt = x*x"
        threshold = "x >= 10"
        method: ClassVar[str | None] = "euler"

    class Sequential(Turning):
        method = "sequential_euler"

    x, y, h = 1.0, 0.0, 0.1
    found = {c: run_cells(c(), 0.2, h, states=("x", "y"))[1] for c in (Turning, Sequential)}
    for c in (Turning, Sequential):
        x, y = 1.0, 0.0
        for k in range(2):
            new = x - h * y
            x, y = new, y + h * (new if c is Sequential else x) ** 2
            assert (found[c]["x"][k, 0], found[c]["y"][k, 0]) == (pytest.approx(x), pytest.approx(y))


def test_a_stored_model_comes_back_with_all_that_it_says() -> None:
    net = snn.Network(seed=4, dt=0.1)
    net.population("cells", 3, Noisy())

    class Odd(Noisy):
        check_units = False
        release = "y = 0"
        equations = "dV/dt = -V; dy/dt = 1"

    net.population("odd", 3, Odd())
    described = canonical(net)
    made = restore(described, {}.__getitem__)
    assert canonical(made) == described
    for name in ("cells", "odd"):
        a, b = (n.populations[name].dynamics for n in (made, net))
        assert isinstance(a, Equations) and isinstance(b, Equations) and a.kernel == b.kernel
    assert "always" not in canonical(plain())["populations"][0]["model"]["declaration"]


def plain() -> snn.Network:
    net = snn.Network(seed=1, dt=0.1)
    net.population("cells", 1, IafPscExp())
    return net


def test_a_copy_of_a_model_of_the_library_is_that_model_bit_for_bit() -> None:
    class Mine(NeuronModel):
        C_m, tau_m, E_L = Param(250.0, "pF"), Param(10.0, "ms"), Param(-70.0, "mV")
        V_th, V_reset, t_ref = Param(-55.0, "mV"), Param(-70.0, "mV"), Param(2.0, "ms")
        tau_syn_ex, tau_syn_in, I_e = Param(2.0, "ms"), Param(2.0, "ms"), Param(0.0, "pA")
        V_m, I_ex, I_in = State("E_L", "mV"), State(0.0, "pA"), State(0.0, "pA")
        equations = """
            I_syn = I_ex + I_in
            dV_m/dt = -(V_m - E_L)/tau_m + (I_syn + I_e)/C_m; dI_ex/dt = -I_ex/tau_syn_ex; dI_in/dt = -I_in/tau_syn_in
        """
        receptors = (Receptor("ex", "pA", "I_ex += w"), Receptor("in", "pA", "I_in += w"))
        threshold, reset, refractory, hold, current = "V_m >= V_th", "V_m = V_reset", "t_ref", ("V_m",), "I_e"

    inputs = [("ex", 700.0, np.arange(1.0, 80.0, 1.3)), ("in", -300.0, np.arange(2.0, 80.0, 2.9))]
    found, expected = (run_cells(m(), 80.0, states=("V_m", "I_in"), inputs=inputs) for m in (Mine, IafPscExp))
    assert found[0][0].tolist() == expected[0][0].tolist() and len(found[0][0]) > 3
    for name in ("V_m", "I_in"):
        np.testing.assert_array_equal(found[1][name], expected[1][name])
    assert Mine.kernel().step_source(True) == IafPscExp.kernel().step_source(True)


# ---- what is wrong


def declared(**changes: Any) -> type[NeuronModel]:
    body = {
        "tau": Param(10.0, "ms"), "g_L": Param(10.0, "nS"), "C_m": Param(250.0, "pF"), "E_L": Param(-70.0, "mV"),
        "rate": Param(5.0, "Hz"), "t_ref": Param(2.0, "ms"), "V": State(-70.0, "mV"), "w": State(0.0, "pA"),
        "equations": "leak = -g_L*(V - E_L)\ndV/dt = (leak - w)/C_m\ndw/dt = -w/tau",
        "receptors": (Receptor("in", "pA", "w += w"),), "threshold": "V >= E_L + 20", "reset": "V = E_L; w += 5*pA",
    }  # fmt: skip
    return type("Cell", (NeuronModel,), {**body, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"equations": "dV/dt = -g_L*(V - E_L)\ndw/dt = -w/tau"}, r"equations: 'dV/dt = .*': dV/dt is in mV/ms, .*in pA"),
        ({"equations": "dV/dt = (E_L - V + w)/tau"}, r"'E_L - V' is in mV, but 'w' in pA"),
        ({"equations": "dV/dt = exp(V)*w/C_m"}, r"'V' is in mV, but the argument of exp must be a plain number"),
        ({"equations": "leak = g_L*V\ndV/dt = leak/tau"}, r"dV/dt is in mV/ms, but the right side in pA/ms"),
        ({"threshold": "V >= w"}, r"Cell.threshold: 'V >= w': 'V' is in mV, but 'w' in pA"),
        ({"reset": "V = w"}, r"Cell.reset: 'V = w': V is in mV, but the right side in pA"),
        ({"always": "w = max(w, V)"}, r"Cell.always: .*'w' is in pA, but 'V' in mV"),
        ({"receptors": (Receptor("in", "nS", "w += w"),)}, r"receptor 'in': 'w \+= w': w is in pA, but the right side in nS"),
        ({"equations": "dV/dt = (E_L - V)/tau + g_L*xi/C_m\ndw/dt = -w/tau"}, r"'\(E_L - V\) / tau' is in mV/ms, but"),
        ({"threshold": "uniform() < rate*dt"}, r"'rate \* dt' in 10\*\*-3"),
        ({"E_L": Param(-70.0, "mVolt")}, "Cell: E_L: 'mVolt' is no unit"),
        ({"E_L": Param(-70.0, "pA/(ms*mV)")}, "has parentheses; write a/b/c"),
        ({"refractory": "g_L"}, "the refractory time g_L must be in ms, not in nS"),
        ({"equations": "dV/dt = (E_L - V)/tau*xi\ndw/dt = -w/tau*xi*xi"}, "must contain white noise as a term"),
        ({"reset": "V = xi"}, "unknown name 'xi'"),
        ({"equations": "dV/dt = uniform()*mV/ms\ndw/dt = -w/tau"}, "only; white noise in an equation is xi"),
        ({"equations": "dV/dt = before(V)/tau\ndw/dt = -w/tau"}, r"before\(x\) may stand in conditions and assignments only"),
        ({"threshold": "before(E_L) > 0"}, r"before\(x\) takes the name of a state. States: V, w"),
        ({"threshold": "uniform(3) > 0"}, r"uniform\(\) takes no arguments"),
        ({"equations": "dV/dt = -V/tau\ndw/dt = -w/tau\nE_L = 3"}, "a name for an expression"),
        ({"equations": "a = 3\na = 4\ndV/dt = -V/tau"}, "'a' is defined a second time"),
        ({"equations": "exp = 3\ndV/dt = -V/tau"}, "'exp' cannot be the name of an expression"),
        ({"release": "V = E_L"}, "release needs refractory"),
        ({"always": "V == 3"}, "an always reads 'state = expression'"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_with_both_units(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        declared(**changes).kernel()


def test_units_that_agree_pass() -> None:
    for changes in (
        {},
        {"equations": "dV/dt = 1000*(E_L - V)*w/(g_L*1000*mV*tau)\ndw/dt = -w/tau"},
        {"threshold": "uniform() < rate*dt/1000"},
        {"threshold": "V >= E_L + 20 or V**2 > 400*mV**2"},
        {"equations": "dV/dt = where(V > 0, E_L, clip(V, -80, 20*mV))/tau + mV/sqrt(ms)*xi\ndw/dt = -w/tau"},
        {"reset": "V = 0; w = w if V > E_L else 3*nA*1000"},
        {"check_units": False, "reset": "V = w"},
        {"g_L": Param(0.01, "uS"), "equations": "dV/dt = 1000*g_L*(E_L - V)/C_m\ndw/dt = -w/tau"},
    ):
        declared(**changes).kernel()
    with pytest.raises(ModelError, match="dV/dt is in mV/ms"):
        declared(g_L=Param(0.01, "uS"), equations="dV/dt = g_L*(E_L - V)/C_m\ndw/dt = -w/tau").kernel()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("pA", "nS*mV"),
        ("pF*mV/ms", "pA"),
        ("uA/cm**2", "mS/cm^2*mV"),
        ("1/ms", "kHz"),
        ("V", "A/S"),
        ("pC", "pA*s"),
        ("mM", "mol/m**3"),
    ],
)
def test_units_are_products_of_each_other(a: str, b: str) -> None:
    assert parse(a, "").common(parse(b, "")) is not None
    assert parse(a, "").common(parse(f"{b}*mV", "")) is None
    assert str(parse(a, "")) == str(parse(b, ""))


def test_the_step_of_a_model_without_noise_has_none() -> None:
    step = declared().kernel()
    assert step.draws == () and "draw" not in step.step_source(False)
    assert plain_step(step) is not None


def test_a_phase_with_waves_has_the_period_of_the_quadratic_neuron() -> None:
    """pi/sqrt(I) (Ermentrout, Kopell, SIAM J. Appl. Math. 46 (1986) 233); a spike is stamped with the end of its step."""
    net = snn.Network(seed=1, dt=0.01)
    drives = np.array([0.05, 0.3, 2.0])
    cells = net.population("cells", 3, Theta(I=drives))
    net.record(cells, "spikes")
    with snn.Simulation(net) as sim:
        sim.run(400.0)
        spikes = snn.open(sim)["cells/spikes"].to_dataset()
        turns = sim["cells"].get("turns")
    for k, drive in enumerate(drives):
        times = spikes["time"].values[spikes["neuron"].values == k]
        assert np.diff(times).mean() == pytest.approx(np.pi / np.sqrt(drive), abs=0.02 / len(times))
        assert times[0] == pytest.approx(np.pi / np.sqrt(drive) / 2.0, abs=0.011)  # from the middle of a turn
        assert turns[k] == -len(times)  # just after -pi the sine is negative
