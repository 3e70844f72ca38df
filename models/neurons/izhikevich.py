"""Izhikevich's simple model."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class Izhikevich(NeuronModel):
    """dV/dt = 0.04 V^2 + 5 V + 140 - U + I_e, dU/dt = a (b V - U), in mV and ms; an arriving weight (mV) is added to V.

    A spike where V_m >= V_th; then V_m = c, U_m += d. Forward Euler, both from old values, as NEST: izhikevich with
    consistent_integration = True; steps of 1 ms are too long for exact times. Its numbers hide units, which are not checked.
    E. M. Izhikevich, IEEE Trans. Neural Netw. 14 (2003) 1569, doi:10.1109/TNN.2003.820440.
    """

    a = Param(0.02, "1/ms", "rate of recovery")
    b = Param(0.2, "", "sensitivity of recovery to the potential")
    c = Param(-65.0, "mV", "potential after a spike")
    d = Param(8.0, "mV", "recovery by a spike")
    V_th = Param(30.0, "mV", "threshold")
    V_min = Param(-1e10, "mV", "lower bound of the potential")
    I_e = Param(0.0, "pA", "constant current, which stands for as many mV/ms")
    V_m = State(-65.0, "mV", "membrane potential")
    U_m = State(-13.0, "mV", "recovery; it begins at b V_m of the defaults")
    equations = """
        dV_m/dt = 0.04*V_m**2 + 5*V_m + 140 - U_m + I_e
        dU_m/dt = a*(b*V_m - U_m)
    """
    receptors = (Receptor("delta", "mV", "V_m += w"),)
    always = "V_m = max(V_m, V_min)"
    threshold = "V_m >= V_th"
    reset = "V_m = c; U_m += d"
    current = "I_e"
    method = "euler"
    check_units = False
