"""Leaky integrate-and-fire neuron that fires by chance."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, Receptor, State


class EscapeLif(NeuronModel):
    """A membrane as that of IafPscExp; in a step it fires with probability 1 - exp(-rho dt), rho = r_max/(1 + exp(-beta (V -
    V_th))).

    Then V_m stays at V_reset for t_ref. W. Gerstner, W. M. Kistler, R. Naud, L. Paninski, Neuronal Dynamics (Cambridge, 2014),
    chapter 9.
    """

    C_m = Param(250.0, "pF", "membrane capacitance", above=0.0)
    tau_m = Param(10.0, "ms", "membrane time constant", above=0.0)
    E_L = Param(-70.0, "mV", "resting potential")
    V_th = Param(-50.0, "mV", "potential of half the largest rate")
    beta = Param(0.2, "1/mV", "steepness")
    r_max = Param(20.0, "Hz", "largest rate", low=0.0)
    V_reset = Param(-70.0, "mV", "potential after a spike")
    t_ref = Param(2.0, "ms", "refractory time", low=0.0)
    tau_syn_ex = Param(2.0, "ms", "time constant of excitatory currents", above=0.0)
    tau_syn_in = Param(2.0, "ms", "time constant of inhibitory currents", above=0.0)
    I_e = Param(0.0, "pA", "constant current")
    V_m = State("E_L", "mV", "membrane potential")
    I_ex = State(0.0, "pA", "excitatory current")
    I_in = State(0.0, "pA", "inhibitory current")
    equations = """
        rho = r_max/(1 + exp(-beta*(V_m - V_th)))
        dV_m/dt = -(V_m - E_L)/tau_m + (I_ex + I_in + I_e)/C_m
        dI_ex/dt = -I_ex/tau_syn_ex
        dI_in/dt = -I_in/tau_syn_in
    """
    receptors = (Receptor("ex", "pA", "I_ex += w"), Receptor("in", "pA", "I_in += w"))
    threshold = "uniform() < 1 - exp(-rho*dt/1000)"
    reset = "V_m = V_reset"
    refractory = "t_ref"
    hold = ("V_m",)
    current = "I_e"
