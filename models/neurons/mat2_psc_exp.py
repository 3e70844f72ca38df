"""Multi-timescale adaptive threshold neuron."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class Mat2PscExp(NeuronModel):
    """dV_m/dt = -(V_m - E_L)/tau_m + (I_ex + I_in + I_e)/C_m, dI/dt = -I/tau_syn; an arriving weight (pA) is added to I.

    A spike where V_m >= omega + V_th_1 + V_th_2, none within t_ref; then V_th_1 rises by alpha_1 and V_th_2 by alpha_2, which
    decay with tau_1 and tau_2. V_m is not reset. Integrated exactly. NEST: mat2_psc_exp.
    R. Kobayashi, Y. Tsubo, S. Shinomoto, Front. Comput. Neurosci. 3 (2009) 9, doi:10.3389/neuro.10.009.2009.
    """

    C_m = Param(100.0, "pF", "membrane capacitance", above=0.0)
    tau_m = Param(5.0, "ms", "membrane time constant", above=0.0)
    E_L = Param(-70.0, "mV", "resting potential")
    t_ref = Param(2.0, "ms", "time without a second spike", low=0.0)
    tau_syn_ex = Param(1.0, "ms", "time constant of excitatory currents", above=0.0)
    tau_syn_in = Param(3.0, "ms", "time constant of inhibitory currents", above=0.0)
    tau_1 = Param(10.0, "ms", "short time constant of the threshold", above=0.0)
    tau_2 = Param(200.0, "ms", "long time constant of the threshold", above=0.0)
    alpha_1 = Param(37.0, "mV", "short rise of the threshold by a spike")
    alpha_2 = Param(2.0, "mV", "long rise of the threshold by a spike")
    omega = Param(-51.0, "mV", "threshold at rest")
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    I_ex = State(0.0, "pA", "excitatory current")
    I_in = State(0.0, "pA", "inhibitory current")
    V_th_1 = State(0.0, "mV", "short rise of the threshold")
    V_th_2 = State(0.0, "mV", "long rise of the threshold")
    equations = """
        dV_m/dt = -(V_m - E_L)/tau_m + (I_ex + I_in + I_e)/C_m
        dI_ex/dt = -I_ex/tau_syn_ex
        dI_in/dt = -I_in/tau_syn_in
        dV_th_1/dt = -V_th_1/tau_1
        dV_th_2/dt = -V_th_2/tau_2
    """
    receptors = (Receptor("ex", "pA", "I_ex += w"), Receptor("in", "pA", "I_in += w"))
    threshold = "V_m >= omega + V_th_1 + V_th_2"
    reset = "V_th_1 += alpha_1; V_th_2 += alpha_2"
    refractory = "t_ref"
    current = "I_e"
