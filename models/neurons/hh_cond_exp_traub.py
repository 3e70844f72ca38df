"""Hodgkin-Huxley neuron of Traub and Miles with exponential conductances."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class HhCondExpTraub(NeuronModel):
    """C dV/dt = -g_Na m^3 h (V - E_Na) - g_K n^4 (V - E_K) - g_L (V - E_L) - g_ex (V - E_ex) - g_in (V - E_in) + I_e,
    dg/dt = -g/tau_syn; |weight| (nS) is added to g. V_T shifts the rates of the gates.

    A spike where V_m has begun to fall above V_T + 30 mV; none follows within t_ref. Staggered exponential Euler.
    NEST: hh_cond_exp_traub. R. D. Traub, R. Miles, Neuronal Networks of the Hippocampus (Cambridge, 1991), as in R. Brette et
    al., J. Comput. Neurosci. 23 (2007) 349, doi:10.1007/s10827-007-0038-6.
    """

    C_m = Param(200.0, "pF", "membrane capacitance", above=0.0)
    g_Na = Param(20000.0, "nS", "sodium conductance")
    g_K = Param(6000.0, "nS", "potassium conductance")
    g_L = Param(10.0, "nS", "leak conductance")
    E_Na = Param(50.0, "mV", "sodium reversal potential")
    E_K = Param(-90.0, "mV", "potassium reversal potential")
    E_L = Param(-60.0, "mV", "leak reversal potential")
    V_T = Param(-63.0, "mV", "shift of the gates")
    E_ex = Param(0.0, "mV", "excitatory reversal potential")
    E_in = Param(-80.0, "mV", "inhibitory reversal potential")
    tau_syn_ex = Param(5.0, "ms", "time constant of excitatory conductances", above=0.0)
    tau_syn_in = Param(10.0, "ms", "time constant of inhibitory conductances", above=0.0)
    t_ref = Param(2.0, "ms", "time without a second spike", low=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    Act_m = State(9.895563096746586e-09, "", "activation of sodium")
    Inact_h = State(0.999999999106396, "", "inactivation of sodium")
    Act_n = State(2.551577051602551e-07, "", "activation of potassium")
    g_ex = State(0.0, "nS", "excitatory conductance")
    g_in = State(0.0, "nS", "inhibitory conductance")
    equations = """
        V = V_m - V_T
        alpha_m = 1.28*exprel((13*mV - V)/(4*mV))**-1/ms
        beta_m = 1.4*exprel((V - 40*mV)/(5*mV))**-1/ms
        alpha_h = 0.128*exp((17*mV - V)/(18*mV))/ms
        beta_h = 4/(1 + exp((40*mV - V)/(5*mV)))/ms
        alpha_n = 0.16*exprel((15*mV - V)/(5*mV))**-1/ms
        beta_n = 0.5*exp((10*mV - V)/(40*mV))/ms
        I_Na = g_Na*Act_m**3*Inact_h*(V_m - E_Na)
        I_K = g_K*Act_n**4*(V_m - E_K)
        I_syn = g_ex*(V_m - E_ex) + g_in*(V_m - E_in)
        dAct_m/dt = alpha_m*(1 - Act_m) - beta_m*Act_m
        dInact_h/dt = alpha_h*(1 - Inact_h) - beta_h*Inact_h
        dAct_n/dt = alpha_n*(1 - Act_n) - beta_n*Act_n
        dV_m/dt = (-I_Na - I_K - g_L*(V_m - E_L) - I_syn + I_e)/C_m
        dg_ex/dt = -g_ex/tau_syn_ex
        dg_in/dt = -g_in/tau_syn_in
    """
    receptors = (Receptor("ex", "nS", "g_ex += w", magnitude=True), Receptor("in", "nS", "g_in += w", magnitude=True))
    threshold = "V_m >= V_T + 30*mV and before(V_m) > V_m"
    refractory = "t_ref"
    current = "I_e"
    method = "staggered"
