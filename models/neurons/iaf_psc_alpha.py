"""Leaky integrate-and-fire neuron with alpha-shaped postsynaptic currents."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class IafPscAlpha(NeuronModel):
    """As IafPscExp, but each input makes a current w (t/tau_syn) exp(1 - t/tau_syn), whose peak w (pA) comes after tau_syn.

    dI/dt = y - I/tau_syn, dy/dt = -y/tau_syn; an arriving weight adds w e/tau_syn to y. Integrated exactly. NEST: iaf_psc_alpha.
    S. Rotter, M. Diesmann, Biol. Cybern. 81 (1999) 381, doi:10.1007/s004220050570.
    """

    C_m = Param(250.0, "pF", "membrane capacitance", above=0.0)
    tau_m = Param(10.0, "ms", "membrane time constant", above=0.0)
    E_L = Param(-70.0, "mV", "resting potential")
    V_th = Param(-55.0, "mV", "threshold")
    V_reset = Param(-70.0, "mV", "potential after a spike")
    t_ref = Param(2.0, "ms", "refractory time", low=0.0)
    tau_syn_ex = Param(2.0, "ms", "rise time of excitatory currents", above=0.0)
    tau_syn_in = Param(2.0, "ms", "rise time of inhibitory currents", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    I_ex = State(0.0, "pA", "excitatory current")
    y_ex = State(0.0, "pA/ms", "rise of the excitatory current")
    I_in = State(0.0, "pA", "inhibitory current")
    y_in = State(0.0, "pA/ms", "rise of the inhibitory current")
    equations = """
        dV_m/dt = -(V_m - E_L)/tau_m + (I_ex + I_in + I_e)/C_m
        dI_ex/dt = y_ex - I_ex/tau_syn_ex
        dy_ex/dt = -y_ex/tau_syn_ex
        dI_in/dt = y_in - I_in/tau_syn_in
        dy_in/dt = -y_in/tau_syn_in
    """
    receptors = (Receptor("ex", "pA", "y_ex += w*e/tau_syn_ex"), Receptor("in", "pA", "y_in += w*e/tau_syn_in"))
    threshold = "V_m >= V_th"
    reset = "V_m = V_reset"
    refractory = "t_ref"
    hold = ("V_m",)
    current = "I_e"
