"""Izhikevich's model in physical units."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class Izhikevich2007(NeuronModel):
    """C dV/dt = k (V - V_r)(V - V_t) - U + I_e, dU/dt = a (b (V - V_r) - U); an arriving weight (pA) is added to I_syn,
    dI_syn/dt = -I_syn/tau_syn.

    A spike where V_m >= V_peak; then V_m = c, U_m += d. Classical Runge-Kutta; the defaults are a regular spiking cell.
    E. M. Izhikevich, Dynamical Systems in Neuroscience (MIT Press, 2007), chapter 8.
    """

    C_m = Param(100.0, "pF", "membrane capacitance", above=0.0)
    k = Param(0.7, "nS/mV", "steepness", above=0.0)
    V_r = Param(-60.0, "mV", "resting potential")
    V_t = Param(-40.0, "mV", "onset of a spike")
    V_peak = Param(35.0, "mV", "threshold of detection")
    a = Param(0.03, "1/ms", "rate of recovery")
    b = Param(-2.0, "nS", "sensitivity of recovery to the potential")
    c = Param(-50.0, "mV", "potential after a spike")
    d = Param(100.0, "pA", "recovery by a spike")
    tau_syn = Param(2.0, "ms", "time constant of input currents", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("V_r", "mV", "membrane potential")
    U_m = State(0.0, "pA", "recovery current")
    I_syn = State(0.0, "pA", "input current")
    equations = """
        V = min(V_m, V_peak)
        dV_m/dt = (k*(V - V_r)*(V - V_t) - U_m + I_syn + I_e)/C_m
        dU_m/dt = a*(b*(V - V_r) - U_m)
        dI_syn/dt = -I_syn/tau_syn
    """
    receptors = (Receptor("in", "pA", "I_syn += w"),)
    threshold = "V_m >= V_peak"
    reset = "V_m = c; U_m += d"
    current = "I_e"
    method = "rk4"
