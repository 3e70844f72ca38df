"""Generalised leaky integrate-and-fire neurons of the Allen Institute."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class GlifPsc(NeuronModel):
    """C dV/dt = -g (V - E_L) + ASC_1 + ASC_2 + I_ex + I_in + I_e; an arriving weight w (pA) makes w (t/tau_syn) exp(1 -
    t/tau_syn).

    After-spike currents dASC/dt = -asc_decay ASC; the threshold V_th + th_s + th_v, dth_s/dt = -th_spike_decay th_s,
    dth_v/dt = th_voltage_index (V - E_L) - th_voltage_decay th_v. After a spike V_m, ASC, th_s and th_v stand still for t_ref,
    with ASC = asc_amp + asc_r ASC exp(-asc_decay t_ref), th_s = th_spike_add + th_s exp(-th_spike_decay t_ref), and V_m =
    V_reset, or, with spike_dependent_threshold, E_L + voltage_reset_fraction (V - E_L) + voltage_reset_add, V before the step.

    Five levels by three parameters of 0 or 1 (spike_dependent_threshold, after_spike_currents, adapting_threshold): LIF (0, 0,
    0), LIF-R (1, 0, 0), LIF-ASC (0, 1, 0), LIF-R-ASC (1, 1, 0), LIF-R-ASC-A (1, 1, 1). Integrated exactly. NEST: glif_psc with
    two after-spike currents, of which it takes the mean of each step.
    C. Teeter et al., Nat. Commun. 9 (2018) 709, doi:10.1038/s41467-017-02717-4.
    """

    C_m = Param(58.72, "pF", "membrane capacitance", above=0.0)
    g = Param(9.43, "nS", "leak conductance", above=0.0)
    E_L = Param(-78.85, "mV", "resting potential")
    V_th = Param(-51.68, "mV", "threshold at rest")
    V_reset = Param(-78.85, "mV", "potential after a spike")
    t_ref = Param(3.75, "ms", "refractory time", low=0.0)
    spike_dependent_threshold = Param(0.0, "", "1: the threshold and the reset depend on spikes", low=0.0)
    after_spike_currents = Param(0.0, "", "1: spikes make currents", low=0.0)
    adapting_threshold = Param(0.0, "", "1: the threshold depends on the potential", low=0.0)
    th_spike_add = Param(0.37, "mV", "rise of the threshold by a spike")
    th_spike_decay = Param(0.009, "1/ms", "decay of it", low=0.0)
    voltage_reset_fraction = Param(0.2, "", "part of the potential that a spike leaves")
    voltage_reset_add = Param(18.51, "mV", "what a spike adds to it")
    th_voltage_index = Param(0.005, "1/ms", "rise of the threshold with the potential")
    th_voltage_decay = Param(0.09, "1/ms", "decay of it", low=0.0)
    asc_amp_1 = Param(-9.18, "pA", "first current by a spike")
    asc_amp_2 = Param(-198.94, "pA", "second current by a spike")
    asc_decay_1 = Param(0.003, "1/ms", "decay of the first current", low=0.0)
    asc_decay_2 = Param(0.1, "1/ms", "decay of the second current", low=0.0)
    asc_r_1 = Param(1.0, "", "part of the first current that a spike leaves")
    asc_r_2 = Param(1.0, "", "part of the second current that a spike leaves")
    tau_syn_ex = Param(2.0, "ms", "rise time of excitatory currents", above=0.0)
    tau_syn_in = Param(2.0, "ms", "rise time of inhibitory currents", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    ASC_1 = State(0.0, "pA", "first after-spike current")
    ASC_2 = State(0.0, "pA", "second after-spike current")
    th_s = State(0.0, "mV", "rise of the threshold by spikes")
    th_v = State(0.0, "mV", "rise of the threshold by the potential")
    I_ex = State(0.0, "pA", "excitatory current")
    y_ex = State(0.0, "pA/ms", "rise of the excitatory current")
    I_in = State(0.0, "pA", "inhibitory current")
    y_in = State(0.0, "pA/ms", "rise of the inhibitory current")
    equations = """
        dV_m/dt = (-g*(V_m - E_L) + ASC_1 + ASC_2 + I_ex + I_in + I_e)/C_m
        dASC_1/dt = -asc_decay_1*ASC_1
        dASC_2/dt = -asc_decay_2*ASC_2
        dth_s/dt = -th_spike_decay*th_s
        dth_v/dt = adapting_threshold*th_voltage_index*(V_m - E_L) - th_voltage_decay*th_v
        dI_ex/dt = y_ex - I_ex/tau_syn_ex
        dy_ex/dt = -y_ex/tau_syn_ex
        dI_in/dt = y_in - I_in/tau_syn_in
        dy_in/dt = -y_in/tau_syn_in
    """
    receptors = (Receptor("ex", "pA", "y_ex += w*e/tau_syn_ex"), Receptor("in", "pA", "y_in += w*e/tau_syn_in"))
    threshold = "V_m >= V_th + th_s + th_v"
    reset = """
        V_m = E_L + voltage_reset_fraction*(before(V_m) - E_L) + voltage_reset_add if spike_dependent_threshold > 0 else V_reset
        th_s = spike_dependent_threshold*(th_spike_add + th_s*exp(-th_spike_decay*t_ref))
        ASC_1 = after_spike_currents*(asc_amp_1 + asc_r_1*ASC_1*exp(-asc_decay_1*t_ref))
        ASC_2 = after_spike_currents*(asc_amp_2 + asc_r_2*ASC_2*exp(-asc_decay_2*t_ref))
    """
    refractory = "t_ref"
    hold = ("V_m", "ASC_1", "ASC_2", "th_s", "th_v")
    current = "I_e"
