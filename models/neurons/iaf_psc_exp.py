"""Leaky integrate-and-fire neuron with exponential postsynaptic currents."""

from __future__ import annotations

from typing import ClassVar

from eventsnn.model import NeuronModel, Param, Receptor, State


class IafPscExp(NeuronModel):
    """dV_m/dt = -(V_m - E_L)/tau_m + (I_ex + I_in + I_e)/C_m, dI/dt = -I/tau_syn; an arriving weight (pA) is added to I.

    A spike where V_m >= V_th; then V_m stays at V_reset for t_ref. Integrated exactly. NEST: iaf_psc_exp.
    M. Tsodyks, A. Uziel, H. Markram, J. Neurosci. 20 (2000) RC50; S. Rotter, M. Diesmann, doi:10.1007/s004220050570.
    """

    C_m = Param(250.0, "pF", "membrane capacitance", above=0.0)
    tau_m = Param(10.0, "ms", "membrane time constant", above=0.0)
    E_L = Param(-70.0, "mV", "resting potential")
    V_th = Param(-55.0, "mV", "threshold")
    V_reset = Param(-70.0, "mV", "potential after a spike")
    t_ref = Param(2.0, "ms", "refractory time", low=0.0)
    tau_syn_ex = Param(2.0, "ms", "time constant of excitatory currents", above=0.0)
    tau_syn_in = Param(2.0, "ms", "time constant of inhibitory currents", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    I_ex = State(0.0, "pA", "excitatory current")
    I_in = State(0.0, "pA", "inhibitory current")
    equations = """
        dV_m/dt = -(V_m - E_L)/tau_m + (I_ex + I_in + I_e)/C_m
        dI_ex/dt = -I_ex/tau_syn_ex
        dI_in/dt = -I_in/tau_syn_in
    """
    receptors = (Receptor("ex", "pA", "I_ex += w"), Receptor("in", "pA", "I_in += w"))
    threshold = "V_m >= V_th"
    reset = "V_m = V_reset"
    refractory = "t_ref"
    hold: ClassVar[tuple[str, ...]] = ("V_m",)
    current = "I_e"
