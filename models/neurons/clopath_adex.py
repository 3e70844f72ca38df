"""Adaptive exponential neuron with an after-depolarisation and the filtered potentials of voltage-based plasticity."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class ClopathAdEx(NeuronModel):
    """C dV/dt = -g_L (V - E_L) + g_L Delta_T exp((V - V_T)/Delta_T) - w + z + I_e, tau_w dw/dt = a (V - E_L) - w,
    tau_z dz/dt = -z, tau_V_th dV_T/dt = V_th_rest - V_T; filtered potentials tau du/dt = V - u; a weight (mV) is added to V.

    A spike where V_m >= V_peak; then w += b, z = I_sp, V_T = V_th_max, and V_m stays at V_clamp for t_clamp and becomes V_reset.
    During the clamp w stands still. With g_clamp > 0 an electrode pulls V_m to V_command: a voltage clamp, neuron by neuron.
    NEST: aeif_psc_delta_clopath. C. Clopath, L. Buesing, E. Vasilaki, W. Gerstner, Nat. Neurosci. 13 (2010) 344,
    doi:10.1038/nn.2479.
    """

    C_m = Param(281.0, "pF", "membrane capacitance", above=0.0)
    g_L = Param(30.0, "nS", "leak conductance", above=0.0)
    E_L = Param(-70.6, "mV", "leak reversal potential")
    V_th_rest = Param(-50.4, "mV", "onset of a spike at rest")
    V_th_max = Param(30.4, "mV", "onset of a spike after a spike")
    tau_V_th = Param(50.0, "ms", "time constant of the onset", above=0.0)
    Delta_T = Param(2.0, "mV", "sharpness of a spike's onset", above=0.0)
    V_peak = Param(33.0, "mV", "threshold of detection")
    V_clamp = Param(33.0, "mV", "potential during a spike")
    t_clamp = Param(2.0, "ms", "duration of a spike, at least a step", above=0.0)
    V_reset = Param(-60.0, "mV", "potential after a spike")
    a = Param(4.0, "nS", "adaptation below threshold")
    b = Param(80.5, "pA", "adaptation by a spike")
    tau_w = Param(144.0, "ms", "time constant of adaptation", above=0.0)
    I_sp = Param(400.0, "pA", "depolarising current after a spike")
    tau_z = Param(40.0, "ms", "time constant of it", above=0.0)
    tau_u_bar_minus = Param(10.0, "ms", "time constant of u_bar_minus", above=0.0)
    tau_u_bar_plus = Param(7.0, "ms", "time constant of u_bar_plus", above=0.0)
    tau_u_bar_bar = Param(500.0, "ms", "time constant of u_bar_bar", above=0.0)
    g_clamp = Param(0.0, "nS", "conductance of an electrode", low=0.0)
    V_command = Param(-70.6, "mV", "potential of the electrode")
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    w = State(0.0, "pA", "adaptation current")
    z = State(0.0, "pA", "depolarising current")
    V_T = State("V_th_rest", "mV", "onset of a spike")
    u_bar_minus = State("E_L", "mV", "filtered potential, for depression")
    u_bar_plus = State("E_L", "mV", "filtered potential, for potentiation")
    u_bar_bar = State("E_L", "mV", "u_bar_minus, filtered slowly")
    equations = """
        V = min(V_m, V_peak)
        spike = g_L*Delta_T*exp((V - V_T)/Delta_T)
        dV_m/dt = (-g_L*(V - E_L) + spike - w + z + g_clamp*(V_command - V) + I_e)/C_m
        dw/dt = (a*(V - E_L) - w)/tau_w
        dz/dt = -z/tau_z
        dV_T/dt = (V_th_rest - V_T)/tau_V_th
        du_bar_minus/dt = (V - u_bar_minus)/tau_u_bar_minus
        du_bar_plus/dt = (V - u_bar_plus)/tau_u_bar_plus
        du_bar_bar/dt = (u_bar_minus - u_bar_bar)/tau_u_bar_bar
    """
    receptors = (Receptor("delta", "mV", "V_m += w"),)
    threshold = "V_m >= V_peak"
    reset = "V_m = V_clamp; w += b; z = I_sp; V_T = V_th_max"
    release = "V_m = V_reset"
    refractory = "t_clamp"
    hold = ("V_m", "w")
    current = "I_e"
    method = "rk4_divided"
