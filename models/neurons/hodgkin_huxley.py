"""The squid axon of Hodgkin and Huxley."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State

RATES = """
        alpha_m = exprel(-(V_m + 40*mV)/(10*mV))**-1/ms
        beta_m = 4*exp(-(V_m + 65*mV)/(18*mV))/ms
        alpha_h = 0.07*exp(-(V_m + 65*mV)/(20*mV))/ms
        beta_h = 1/(1 + exp(-(V_m + 35*mV)/(10*mV)))/ms
        alpha_n = 0.1*exprel(-(V_m + 55*mV)/(10*mV))**-1/ms
        beta_n = 0.125*exp(-(V_m + 65*mV)/(80*mV))/ms
        dAct_m/dt = alpha_m*(1 - Act_m) - beta_m*Act_m
        dInact_h/dt = alpha_h*(1 - Inact_h) - beta_h*Inact_h
        dAct_n/dt = alpha_n*(1 - Act_n) - beta_n*Act_n
"""
"""Of the gates, for a resting potential of -65 mV."""


class HodgkinHuxley(NeuronModel):
    """C dV/dt = -g_Na m^3 h (V - E_Na) - g_K n^4 (V - E_K) - g_L (V - E_L) + I_e, by membrane area; an arriving weight
    (uA/cm^2) is added to I_syn, dI_syn/dt = -I_syn/tau_syn.

    A spike where V_m rises above V_th. Classical Runge-Kutta, stable for steps up to 0.05 ms.
    A. L. Hodgkin, A. F. Huxley, J. Physiol. 117 (1952) 500, doi:10.1113/jphysiol.1952.sp004764, shifted to rest at -65 mV.
    """

    C_m = Param(1.0, "uF/cm**2", "membrane capacitance", above=0.0)
    g_Na = Param(120.0, "mS/cm**2", "sodium conductance")
    g_K = Param(36.0, "mS/cm**2", "potassium conductance")
    g_L = Param(0.3, "mS/cm**2", "leak conductance")
    E_Na = Param(50.0, "mV", "sodium reversal potential")
    E_K = Param(-77.0, "mV", "potassium reversal potential")
    E_L = Param(-54.387, "mV", "leak reversal potential")
    V_th = Param(0.0, "mV", "what a spike crosses")
    tau_syn = Param(2.0, "ms", "time constant of input currents", above=0.0)
    I_e = Param(0.0, "uA/cm**2", "constant current")
    V_m = State(-65.0, "mV", "membrane potential")
    Act_m = State(0.05293248525724958, "", "activation of sodium")
    Inact_h = State(0.5961207535084603, "", "inactivation of sodium")
    Act_n = State(0.3176769140606974, "", "activation of potassium")
    I_syn = State(0.0, "uA/cm**2", "input current")
    equations = f"""
        {RATES}
        I_Na = g_Na*Act_m**3*Inact_h*(V_m - E_Na)
        I_K = g_K*Act_n**4*(V_m - E_K)
        dV_m/dt = (-I_Na - I_K - g_L*(V_m - E_L) + I_syn + I_e)/C_m
        dI_syn/dt = -I_syn/tau_syn
    """
    receptors = (Receptor("in", "uA/cm**2", "I_syn += w"),)
    threshold = "V_m >= V_th"
    crossing = True
    current = "I_e"
    method = "rk4"
