"""Adaptive exponential integrate-and-fire neuron with exponential conductances."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eventsnn import spec
from eventsnn.errors import ParameterError
from eventsnn.model import NeuronModel, Param, Receptor, State
from eventsnn.values import bounds

MEMBRANE = """
        V = min(V_m, V_peak)
        spike = g_L*Delta_T*exp((V - V_th)/Delta_T)
        dw/dt = (a*(V - E_L) - w)/tau_w
"""
"""What the exponential models share; V bounds what explodes."""


def checked(made: spec.Equations, who: str) -> spec.Equations:
    """The same; ParameterError where V_reset >= V_peak, or can be by a distribution: every step would make a spike."""
    reset, peak = made.parameters["V_reset"], made.parameters["V_peak"]
    most = reset.values if isinstance(reset, spec.Given) else np.array([bounds(reset)[1]])
    least = peak.values if isinstance(peak, spec.Given) else np.array([bounds(peak)[0]])
    for above, below in zip(*(x[most >= least] for x in np.broadcast_arrays(most, least)), strict=True):
        raise ParameterError(f"{who}: V_reset must be below V_peak, but can be {above:g} mV where V_peak is {below:g} mV")
    return made


class AEifCondExp(NeuronModel):
    """C dV/dt = -g_L (V - E_L) + g_L Delta_T exp((V - V_th)/Delta_T) - g_ex (V - E_ex) - g_in (V - E_in) - w + I_e,
    tau_w dw/dt = a (V - E_L) - w, dg/dt = -g/tau_syn; |weight| (nS) is added to g.

    A spike where V_m >= V_peak; then V_m = V_reset for t_ref, w += b. Classical Runge-Kutta, conductances exact; the spike and
    the reset lie where V_m crosses within the step, its stamp and the beginning of t_ref at the end. NEST: aeif_cond_exp.
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
    E_ex = Param(0.0, "mV", "excitatory reversal potential")
    E_in = Param(-85.0, "mV", "inhibitory reversal potential")
    tau_syn_ex = Param(0.2, "ms", "time constant of excitatory conductances", above=0.0)
    tau_syn_in = Param(2.0, "ms", "time constant of inhibitory conductances", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    w = State(0.0, "pA", "adaptation current")
    g_ex = State(0.0, "nS", "excitatory conductance")
    g_in = State(0.0, "nS", "inhibitory conductance")
    equations = f"""
        {MEMBRANE}
        dV_m/dt = (-g_L*(V - E_L) + spike - g_ex*(V - E_ex) - g_in*(V - E_in) - w + I_e)/C_m
        dg_ex/dt = -g_ex/tau_syn_ex
        dg_in/dt = -g_in/tau_syn_in
    """
    receptors = (Receptor("ex", "nS", "g_ex += w", magnitude=True), Receptor("in", "nS", "g_in += w", magnitude=True))
    threshold = "V_m >= V_peak"
    reset = "V_m = V_reset; w += b"
    refractory = "t_ref"
    hold = ("V_m",)
    current = "I_e"
    method = "rk4_divided"

    def dynamics(self, size: int, dt: float, values: Mapping[str, object], key: spec.Key) -> spec.Equations:
        return checked(super().dynamics(size, dt, values, key), type(self).__name__)
