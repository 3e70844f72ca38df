"""A neuron that integrates its rate, and fires when a phase is full."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class PhaseIf(NeuronModel):
    """dphi/dt = r - phi/tau_phi + jitter xi, r = r_max/(1 + exp(-beta (V - V_th))), phi >= 0; a membrane as that of IafPscExp.

    A spike where phi >= 1; then phi falls by 1 and V_m by V_ahp.
    """

    C_m = Param(250.0, "pF", "membrane capacitance", above=0.0)
    tau_m = Param(10.0, "ms", "membrane time constant", above=0.0)
    E_L = Param(-65.0, "mV", "resting potential")
    V_th = Param(-50.0, "mV", "potential of half the largest rate")
    beta = Param(0.2, "1/mV", "steepness")
    r_max = Param(300.0, "Hz", "largest rate", low=0.0)
    tau_phi = Param(50.0, "ms", "time constant of the phase", above=0.0)
    jitter = Param(0.0, "1/ms**0.5", "noise of the phase", low=0.0)
    V_ahp = Param(0.0, "mV", "hyperpolarisation by a spike")
    tau_syn_ex = Param(2.0, "ms", "time constant of excitatory currents", above=0.0)
    tau_syn_in = Param(2.0, "ms", "time constant of inhibitory currents", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    I_ex = State(0.0, "pA", "excitatory current")
    I_in = State(0.0, "pA", "inhibitory current")
    phi = State(0.0, "", "phase")
    equations = """
        r = r_max/(1 + exp(-beta*(V_m - V_th)))
        dphi/dt = r/1000 - phi/tau_phi + jitter*xi
        dV_m/dt = -(V_m - E_L)/tau_m + (I_ex + I_in + I_e)/C_m
        dI_ex/dt = -I_ex/tau_syn_ex
        dI_in/dt = -I_in/tau_syn_in
    """
    receptors = (Receptor("ex", "pA", "I_ex += w"), Receptor("in", "pA", "I_in += w"))
    always = "phi = max(phi, 0)"
    threshold = "phi >= 1"
    reset = "phi -= 1; V_m -= V_ahp"
    current = "I_e"
    method = "rk4"
