"""A leaky integrator without units and without a refractory time."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class LifDelta(NeuronModel):
    """tau_m dV/dt = -V + I_e; an arriving weight is added to V. A spike where V_m >= V_th; then V_m = V_reset. Integrated
    exactly.
    """

    tau_m = Param(100.0, "ms", "membrane time constant", above=0.0)
    V_th = Param(1.0, "", "threshold")
    V_reset = Param(0.0, "", "potential after a spike")
    I_e = Param(0.0, "", "constant drive: where the potential would go")
    V_m = State(0.0, "", "membrane potential")
    equations = "dV_m/dt = (I_e - V_m)/tau_m"
    receptors = (Receptor("delta", "", "V_m += w"),)
    threshold = "V_m >= V_th"
    reset = "V_m = V_reset"
    current = "I_e"
