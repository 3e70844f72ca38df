"""The neuron of Diehl and Cook's network for recognising digits."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class DiehlCook(NeuronModel):
    """tau_m dV/dt = E_L - V + g_ex (E_ex - V) + g_in (E_in - V), dg/dt = -g/tau_syn, g in units of the leak; |weight| is added
    to g.

    A spike where V_m >= V_th + theta; then V_m stays at V_reset for t_ref, and theta rises by theta_plus, to theta_max at most;
    dtheta/dt = -theta/tau_theta. Exponential Euler with conductances as they are in the middle of a step; they and theta are
    exact. The defaults are the excitatory neurons.

    P. U. Diehl, M. Cook, Front. Comput. Neurosci. 9 (2015) 99, doi:10.3389/fncom.2015.00099.
    """

    tau_m = Param(100.0, "ms", "membrane time constant", above=0.0)
    E_L = Param(-65.0, "mV", "resting potential")
    V_th = Param(-72.0, "mV", "threshold without theta")
    V_reset = Param(-65.0, "mV", "potential after a spike")
    t_ref = Param(5.0, "ms", "refractory time", low=0.0)
    theta_plus = Param(0.05, "mV", "rise of the threshold by a spike")
    theta_max = Param(35.0, "mV", "largest rise of the threshold")
    tau_theta = Param(1e7, "ms", "time constant of the threshold", above=0.0)
    E_ex = Param(0.0, "mV", "excitatory reversal potential")
    E_in = Param(-100.0, "mV", "inhibitory reversal potential")
    tau_syn_ex = Param(1.0, "ms", "time constant of excitatory conductances", above=0.0)
    tau_syn_in = Param(2.0, "ms", "time constant of inhibitory conductances", above=0.0)
    V_m = State("E_L", "mV", "membrane potential")
    g_ex = State(0.0, "", "excitatory conductance")
    g_in = State(0.0, "", "inhibitory conductance")
    theta = State(20.0, "mV", "rise of the threshold")
    equations = """
        dV_m/dt = (E_L - V_m + g_ex*(E_ex - V_m) + g_in*(E_in - V_m))/tau_m
        dg_ex/dt = -g_ex/tau_syn_ex
        dg_in/dt = -g_in/tau_syn_in
        dtheta/dt = -theta/tau_theta
    """
    receptors = (Receptor("ex", "", "g_ex += w", magnitude=True), Receptor("in", "", "g_in += w", magnitude=True))
    threshold = "V_m >= V_th + theta"
    reset = "V_m = V_reset; theta = min(theta + theta_plus, theta_max)"
    refractory = "t_ref"
    hold = ("V_m",)
    method = "staggered"
