"""Leaky integrate-and-fire neuron with exponential conductances."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class IafCondExp(NeuronModel):
    """C dV/dt = -g_L (V - E_L) - g_ex (V - E_ex) - g_in (V - E_in) + I_e, dg/dt = -g/tau_syn; |weight| (nS) is added to g.

    A spike where V_m >= V_th; then V_m stays at V_reset for t_ref. Classical Runge-Kutta, conductances exact. NEST: iaf_cond_exp.
    H. Meffin, A. N. Burkitt, D. B. Grayden, J. Comput. Neurosci. 16 (2004) 159, doi:10.1023/B:JCNS.0000014108.03012.81.
    """

    C_m = Param(250.0, "pF", "membrane capacitance", above=0.0)
    g_L = Param(16.6667, "nS", "leak conductance", low=0.0)
    E_L = Param(-70.0, "mV", "leak reversal potential")
    V_th = Param(-55.0, "mV", "threshold")
    V_reset = Param(-60.0, "mV", "potential after a spike")
    t_ref = Param(2.0, "ms", "refractory time", low=0.0)
    E_ex = Param(0.0, "mV", "excitatory reversal potential")
    E_in = Param(-85.0, "mV", "inhibitory reversal potential")
    tau_syn_ex = Param(0.2, "ms", "time constant of excitatory conductances", above=0.0)
    tau_syn_in = Param(2.0, "ms", "time constant of inhibitory conductances", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    g_ex = State(0.0, "nS", "excitatory conductance")
    g_in = State(0.0, "nS", "inhibitory conductance")
    equations = """
        dV_m/dt = (-g_L*(V_m - E_L) - g_ex*(V_m - E_ex) - g_in*(V_m - E_in) + I_e)/C_m
        dg_ex/dt = -g_ex/tau_syn_ex
        dg_in/dt = -g_in/tau_syn_in
    """
    receptors = (Receptor("ex", "nS", "g_ex += w", magnitude=True), Receptor("in", "nS", "g_in += w", magnitude=True))
    threshold = "V_m >= V_th"
    reset = "V_m = V_reset"
    refractory = "t_ref"
    hold = ("V_m",)
    current = "I_e"
    method = "rk4"
