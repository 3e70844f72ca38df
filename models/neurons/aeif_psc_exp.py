"""Adaptive exponential integrate-and-fire neuron with exponential currents."""

from __future__ import annotations

from collections.abc import Mapping

from eventsnn import spec
from eventsnn.model import NeuronModel, Param, Receptor, State
from eventsnn.models.neurons.aeif_cond_exp import MEMBRANE, checked


class AEifPscExp(NeuronModel):
    """C dV/dt = -g_L (V - E_L) + g_L Delta_T exp((V - V_th)/Delta_T) + I_ex + I_in - w + I_e,
    tau_w dw/dt = a (V - E_L) - w, dI/dt = -I/tau_syn; an arriving weight (pA) is added to I.

    A spike where V_m >= V_peak; then V_m = V_reset for t_ref, w += b. Classical Runge-Kutta, currents exact, the
    crossing located within the step. NEST: aeif_psc_exp.
    R. Brette, W. Gerstner, J. Neurophysiol. 94 (2005) 3637, doi:10.1152/jn.00686.2005.
    """

    C_m = Param(281.0, "pF", "membrane capacitance", above=0.0)
    g_L = Param(30.0, "nS", "leak conductance", above=0.0)
    E_L = Param(-70.6, "mV", "leak reversal potential")
    V_th = Param(-50.4, "mV", "onset of a spike")
    Delta_T = Param(2.0, "mV", "sharpness of a spike's onset", above=0.0)
    V_peak = Param(0.0, "mV", "threshold of detection")
    V_reset = Param(-60.0, "mV", "potential after a spike")
    t_ref = Param(0.0, "ms", "refractory time", low=0.0)
    a = Param(4.0, "nS", "adaptation below threshold")
    b = Param(80.5, "pA", "adaptation by a spike")
    tau_w = Param(144.0, "ms", "time constant of adaptation", above=0.0)
    tau_syn_ex = Param(0.2, "ms", "time constant of excitatory currents", above=0.0)
    tau_syn_in = Param(2.0, "ms", "time constant of inhibitory currents", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    w = State(0.0, "pA", "adaptation current")
    I_ex = State(0.0, "pA", "excitatory current")
    I_in = State(0.0, "pA", "inhibitory current")
    equations = f"""
        {MEMBRANE}
        dV_m/dt = (-g_L*(V - E_L) + spike + I_ex + I_in - w + I_e)/C_m
        dI_ex/dt = -I_ex/tau_syn_ex
        dI_in/dt = -I_in/tau_syn_in
    """
    receptors = (Receptor("ex", "pA", "I_ex += w"), Receptor("in", "pA", "I_in += w"))
    threshold = "V_m >= V_peak"
    reset = "V_m = V_reset; w += b"
    refractory = "t_ref"
    hold = ("V_m",)
    current = "I_e"
    method = "rk4_divided"

    def dynamics(self, size: int, dt: float, values: Mapping[str, object], key: spec.Key) -> spec.Equations:
        return checked(super().dynamics(size, dt, values, key), type(self).__name__)
