"""Hodgkin-Huxley neuron with alpha-shaped currents."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State
from eventsnn.models.neurons.hodgkin_huxley import RATES


class HhPscAlpha(NeuronModel):
    """C dV/dt = -g_Na m^3 h (V - E_Na) - g_K n^4 (V - E_K) - g_L (V - E_L) + I_ex + I_in + I_e; an arriving weight w (pA) makes a
    current w (t/tau_syn) exp(1 - t/tau_syn).

    A spike where V_m has begun to fall at or above 0 mV; none follows within t_ref. Staggered exponential Euler. NEST:
    hh_psc_alpha. A. L. Hodgkin, A. F. Huxley, J. Physiol. 117 (1952) 500, doi:10.1113/jphysiol.1952.sp004764.
    """

    C_m = Param(100.0, "pF", "membrane capacitance", above=0.0)
    g_Na = Param(12000.0, "nS", "sodium conductance")
    g_K = Param(3600.0, "nS", "potassium conductance")
    g_L = Param(30.0, "nS", "leak conductance")
    E_Na = Param(50.0, "mV", "sodium reversal potential")
    E_K = Param(-77.0, "mV", "potassium reversal potential")
    E_L = Param(-54.402, "mV", "leak reversal potential")
    t_ref = Param(2.0, "ms", "time without a second spike", low=0.0)
    tau_syn_ex = Param(0.2, "ms", "rise time of excitatory currents", above=0.0)
    tau_syn_in = Param(2.0, "ms", "rise time of inhibitory currents", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State(-65.0, "mV", "membrane potential")
    Act_m = State(0.05293248525724958, "", "activation of sodium")
    Inact_h = State(0.5961207535084603, "", "inactivation of sodium")
    Act_n = State(0.3176769140606974, "", "activation of potassium")
    I_ex = State(0.0, "pA", "excitatory current")
    y_ex = State(0.0, "pA/ms", "rise of the excitatory current")
    I_in = State(0.0, "pA", "inhibitory current")
    y_in = State(0.0, "pA/ms", "rise of the inhibitory current")
    equations = f"""
        {RATES}
        I_Na = g_Na*Act_m**3*Inact_h*(V_m - E_Na)
        I_K = g_K*Act_n**4*(V_m - E_K)
        dV_m/dt = (-I_Na - I_K - g_L*(V_m - E_L) + I_ex + I_in + I_e)/C_m
        dI_ex/dt = y_ex - I_ex/tau_syn_ex
        dy_ex/dt = -y_ex/tau_syn_ex
        dI_in/dt = y_in - I_in/tau_syn_in
        dy_in/dt = -y_in/tau_syn_in
    """
    receptors = (Receptor("ex", "pA", "y_ex += w*e/tau_syn_ex"), Receptor("in", "pA", "y_in += w*e/tau_syn_in"))
    threshold = "V_m >= 0 and before(V_m) > V_m"
    refractory = "t_ref"
    current = "I_e"
    method = "staggered"
