"""Leaky integrate-and-fire neuron whose inputs are jumps of the potential."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class IafPscDelta(NeuronModel):
    """dV_m/dt = -(V_m - E_L)/tau_m + I_e/C_m; an arriving weight (mV) is added to V_m, and lost while refractory.

    A spike where V_m >= V_th; then V_m stays at V_reset for t_ref. Integrated exactly. NEST: iaf_psc_delta with
    refractory_input = False. S. Rotter, M. Diesmann, Biol. Cybern. 81 (1999) 381, doi:10.1007/s004220050570.
    """

    C_m = Param(250.0, "pF", "membrane capacitance", above=0.0)
    tau_m = Param(10.0, "ms", "membrane time constant", above=0.0)
    E_L = Param(-70.0, "mV", "resting potential")
    V_th = Param(-55.0, "mV", "threshold")
    V_reset = Param(-70.0, "mV", "potential after a spike")
    t_ref = Param(2.0, "ms", "refractory time", low=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    equations = "dV_m/dt = -(V_m - E_L)/tau_m + I_e/C_m"
    receptors = (Receptor("delta", "mV", "V_m += w"),)
    threshold = "V_m >= V_th"
    reset = "V_m = V_reset"
    refractory = "t_ref"
    hold = ("V_m",)
    current = "I_e"
