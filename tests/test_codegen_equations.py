"""Equations become steps: what is wrong is named with its line, and the text depends on nothing but the declaration."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from eventsnn.codegen.declaration import Declaration
from eventsnn.codegen.kernel import Kernel, generate
from eventsnn.codegen.reference import plain_step
from eventsnn.errors import ModelError
from eventsnn.models import IafPscAlpha, IafPscExp

GOOD = Declaration(
    name="Cell",
    params=("tau", "V_th", "I_e", "t_ref"),
    states=("V", "g"),
    equations="dV/dt = (g + I_e - V)/tau\n dg/dt = -g/5.0",
    receptors=(("ex", "g += w"),),
    threshold="V >= V_th",
    reset="V = 0",
    refractory="t_ref",
    hold=("V",),
    current="I_e",
    method=None,
    crossing=False,
    step=None,
)

WRONG: dict[str, tuple[dict[str, object], str]] = {
    "unknown name": ({"equations": "dV/dt = -V/tua"}, "Cell.equations: 'dV/dt = -V/tua': unknown name 'tua'; did you mean 'tau'"),
    "unknown state": ({"equations": "dU/dt = -V/tau"}, r"'U' is not a State; .*Valid: V, g"),
    "two equations": ({"equations": "dV/dt = -V\ndV/dt = -V"}, "'V' has a second equation"),
    "no derivative": ({"equations": "V = -V/tau"}, "an equation reads dx/dt = expression"),
    "grammar": ({"equations": "dV/dt = -V/*tau"}, "not a Python expression"),
    "caret": ({"equations": "dV/dt = V^2"}, r"a power is \*\*, not \^"),
    "function": ({"equations": "dV/dt = cosh(V)"}, "unknown function 'cosh'; .*Valid: exp, log"),
    "arguments": ({"equations": "dV/dt = exp(V, g)"}, "exp takes 1 arguments"),
    "attribute": ({"equations": "dV/dt = np.exp(V)"}, "unknown function 'np.exp'; did you mean 'exp'"),
    "subscript": ({"equations": "dV/dt = V[0]"}, r"'V\[0\]' is not allowed"),
    "text in equation": ({"equations": "dV/dt = 'a'"}, "'a' is not a number"),
    "frozen state": ({"equations": "dV/dt = -V/tau", "receptors": ()}, "nothing ever changes state 'g'"),
    "no threshold": ({"threshold": " "}, "Cell has no threshold"),
    "threshold is no condition": ({"threshold": "V - V_th"}, "a threshold is a condition"),
    "threshold without state": ({"threshold": "V_th >= 1"}, "depends on no state"),
    "equality": ({"threshold": "V == V_th"}, "compare with >, >=, < or <="),
    "reset of a parameter": ({"reset": "tau = 0"}, "a reset reads 'state = expression'. States: V, g"),
    "reset unknown": ({"reset": "V = V_reset"}, "unknown name 'V_reset'"),
    "effect without w": ({"receptors": (("ex", "g += 1"),)}, "must be proportional to w"),
    "quadratic effect": ({"receptors": (("ex", "g += w*w"),)}, "must be proportional to w"),
    "effect on nothing": ({"receptors": (("ex", "h += w"),)}, "an effect reads 'state [+]= expression of w'. States: V, g"),
    "empty effect": ({"receptors": (("ex", ""),)}, "receptor 'ex' has no effect"),
    "receptor twice": ({"receptors": (("ex", "g += w"), ("ex", "g += w"))}, "declares receptor 'ex' twice"),
    "refractory": ({"refractory": "tref"}, "refractory = 'tref' names nothing declared; did you mean 't_ref'"),
    "hold": ({"hold": ("v",)}, "hold = 'v' names nothing declared; did you mean 'V'"),
    "hold alone": ({"refractory": None}, "hold needs refractory"),
    "current": ({"current": "I"}, "current = 'I' names nothing declared"),
    "method": (
        {"method": "heun"},
        "method must be None, 'exponential_euler', 'rk4', 'rk4_divided', 'staggered', 'euler' or 'sequential_euler', not 'heun'",
    ),
    "current in a factor": ({"equations": "dV/dt = -V*I_e/tau\ndg/dt = -g"}, "must contain the current 'I_e' as a term"),
    "no states": ({"states": ()}, "declares no State"),
    "reserved": ({"params": ("tau", "V_th", "I_e", "t_ref", "exp")}, "'exp' cannot be the name"),
    "dunder": ({"params": ("tau", "V_th", "I_e", "t_ref", "a__b")}, "'a__b' cannot be the name"),
    "divided line": ({"method": "rk4_divided"}, r"needs one exp\(k\*V\) in dV/dt"),
    "divided by two": ({"method": "rk4_divided", "equations": "dV/dt = exp(V) + exp(2*V)"}, r"needs one exp\(k\*V\) in dV/dt"),
    "divided threshold": ({"method": "rk4_divided", "threshold": "V*V >= V_th"}, "needs a threshold 'state >= parameter'"),
    "divided crossing": ({"method": "rk4_divided", "crossing": True}, "does not go with crossing"),
    "kink": ({"equations": "dV/dt = abs(V)", "method": "exponential_euler", "current": None}, "use method = 'rk4'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_declaration_is_named_with_its_line_and_what_is_valid(name: str):
    changes, message = WRONG[name]
    with pytest.raises(ModelError, match=message):
        generate(replace(GOOD, **changes))  # type: ignore[arg-type]


def test_the_linear_step_takes_the_fewest_operations():
    text = generate(GOOD).step_source(False)
    assert "V__new = fma(A__V__V, V, fma(A__V__g, g, b__V))" in text
    assert "g__new = mul(A__g__g, g)" in text
    assert "A__g__V" not in text
    assert "I_stim" not in text
    assert "fma(B__V, I_stim, b__V)" in generate(GOOD).step_source(True)


def test_every_literal_is_typed_and_every_product_explicit():
    nonlinear = replace(GOOD, equations="dV/dt = 0.04*V**2 + 5*V + 140 - g\ndg/dt = -g/5.0", current=None)
    text = generate(nonlinear).step_source(False)
    assert " * " not in text
    assert "F(0.04)" in text
    bare = [w for w in text.replace("F(", "@").replace("(", " ").replace(")", " ").split() if w[0].isdigit()]
    assert bare == []


def test_the_text_is_the_same_in_every_process():
    code = (
        "import hashlib; from eventsnn.models import IafPscAlpha; from tests_adex import Adex;"
        "print(hashlib.sha256((IafPscAlpha.kernel().step_source(True) + Adex.kernel().step_source(True)).encode()).hexdigest())"
    )
    adex = (
        "from eventsnn.model import NeuronModel, Param, State, Receptor\n"
        "class Adex(NeuronModel):\n"
        "    a = Param(4.0); b = Param(80.0); D = Param(2.0); g = Param(30.0); C = Param(281.0)\n"
        "    I = Param(0.0); tw = Param(144.0)\n"
        "    v = State(-70.0); w = State(0.0)\n"
        "    equations = 'dv/dt = (-g*(v + 70) + g*D*exp((v + 50)/D) - w + I)/C; dw/dt = (a*(v + 70) - w)/tw'\n"
        "    receptors = (Receptor('ex', 'pA', 'v += w'),); current = 'I'\n"
        "    threshold = 'v >= 0'; reset = 'v = -70; w += b'\n"
    )
    module = f"m = types.ModuleType('tests_adex'); exec({adex!r}, m.__dict__); sys.modules['tests_adex'] = m"
    script = f"import sys, types; {module}; {code}"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1


def test_the_text_does_not_depend_on_parameter_values():
    assert IafPscExp(E_L=0.0, tau_m=2.0).kernel() is IafPscExp().kernel()


def test_a_kernel_is_plain_data_and_needs_no_sympy_where_it_runs():
    kernel = IafPscAlpha.kernel()
    assert isinstance(kernel, Kernel)
    code = (
        "import pickle, sys; k = pickle.load(sys.stdin.buffer);"
        "c = k.constants({n: 1.0 for n in 'C_m tau_m E_L V_th V_reset t_ref tau_syn_ex tau_syn_in I_e'.split()}, 0.1, True);"
        "assert k.step_source(True) and c; print('sympy' in sys.modules, 'mpmath' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(kernel), capture_output=True, check=True)
    assert done.stdout.split() == [b"False", b"False"]


def test_a_coupled_linear_system_is_exact_while_its_potential_is_held():
    """Adaptation driven by the potential: the exponential of the 2 x 2 system, and of w alone with V at rest while refractory."""
    d = replace(
        GOOD, params=("tau", "a", "V_th", "t_ref"), states=("V", "w"), equations="dV/dt = (20 - V - w)/tau; dw/dt = (a*V - w)/50",
        receptors=(), reset="V = 2; w += 1", current=None,
    )  # fmt: skip
    kernel, p, h = generate(d), {"tau": 10.0, "a": 0.5, "V_th": 11.0, "t_ref": 3.0}, 0.5
    step, constants = plain_step(kernel), kernel.constants(p, h, False)
    given = [np.float64(constants[n]) for n in kernel.constant_names(False)]
    V, w, refr, V_ref, w_ref, hold, fired = np.float64(0.0), np.float64(0.0), np.int32(0), 0.0, 0.0, 0, 0
    for _ in range(120):
        V, w, refr, spike = step(V, w, refr, *given, np.int32(constants["NREF"]))

        def field(_: float, y: list[float], held: bool = hold > 0) -> list[float]:
            return [0.0 if held else (20.0 - y[0] - y[1]) / 10.0, (0.5 * y[0] - y[1]) / 50.0]

        V_ref, w_ref = solve_ivp(field, (0.0, h), [V_ref, w_ref], rtol=1e-11, atol=1e-12).y[:, -1]
        hold = max(hold - 1, 0)
        if V_ref >= 11.0:
            V_ref, w_ref, hold, fired = 2.0, w_ref + 1.0, 6, fired + 1
        assert (V, w, bool(spike)) == (pytest.approx(V_ref, abs=1e-8), pytest.approx(w_ref, abs=1e-8), hold == 6)
    assert fired >= 2


def test_functions_and_conditions_are_computed_as_written():
    d = replace(
        GOOD, states=("V", "g"), hold=(), refractory=None, current=None, method="rk4", receptors=(), params=("tau", "V_th"),
        equations="dV/dt = tau*where(g > 0.5 and V < 10, tanh(g) + sqrt(g), min(abs(V), 2, g**-1.5)) + max(g, log(g + 1))\n"
        "dg/dt = g*(1 - g)/(1 + exp(-V)) + pi",
        threshold="V >= V_th or g > 1e3", reset="V -= V_th",
    )  # fmt: skip
    kernel = generate(d)
    step, c = plain_step(kernel), kernel.constants({"tau": 1.5, "V_th": 1e9}, 1e-3, False)
    constants = [np.float64(c[n]) for n in kernel.constant_names(False)]
    V, g = np.float64(-1.0), np.float64(0.2)

    def field(_: float, y: list[float]) -> list[float]:
        v, q = y
        piece = np.tanh(q) + np.sqrt(q) if q > 0.5 and v < 10 else min(abs(v), 2.0, q**-1.5)
        return [1.5 * piece + max(q, np.log(q + 1.0)), q * (1.0 - q) / (1.0 + np.exp(-v)) + np.pi]

    for _ in range(50):
        V, g, _ = step(V, g, *constants)
    exact = solve_ivp(field, (0.0, 0.05), [-1.0, 0.2], rtol=1e-10, atol=1e-12).y[:, -1]
    assert [V, g] == pytest.approx(exact, rel=1e-8)
