"""Pair plasticity that is gated by the concentration of a modulator."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostTrace, PreTrace, SynapseModel, Variable


class StdpDopamine(SynapseModel):
    """dw/dt = c (n - b): the eligibility c jumps at pairs of spikes and decays with tau_c; the concentration n grows by 1/tau_n
    with each spike of `modulator` and decays with tau_n. Integrated exactly from event to event, kept within the bounds there.

    Izhikevich, Cereb. Cortex 17 (2007) 2443; Potjans, Morrison, Diesmann, Front. Comput. Neurosci. 4 (2010) 141; NEST:
    stdp_dopamine_synapse, where a spike of the modulator is at all synapses after the delay of the volume transmitter, which is
    modulator_delay and the delay of the synapse here. Weights that are read are as of the last event of the synapse.
    """

    tau_plus = Param(20.0, "ms", "time constant of pairs, source first", above=0.0)
    tau_minus = Param(20.0, "ms", "time constant of pairs, target first", above=0.0)
    tau_c = Param(1000.0, "ms", "decay of eligibility", above=0.0)
    tau_n = Param(200.0, "ms", "decay of the concentration", above=0.0)
    A_plus = Param(1.0, "", "eligibility by a pair, source first, in the unit of the weight", low=0.0)
    A_minus = Param(1.5, "", "eligibility taken by a pair, target first", low=0.0)
    b = Param(0.0, "1/ms", "baseline of the concentration")
    Wmin = Param(0.0, "", "least weight, in the unit of the receptor")
    Wmax = Param(200.0, "", "largest weight, in the unit of the receptor")

    c = Variable(0.0, "eligibility", tau="tau_c")
    n = Variable(0.0, "concentration, 1/ms", tau="tau_n")
    c_then = Variable(0.0, "eligibility just after the last event")
    n_then = Variable(0.0, "concentration just after it")
    K_plus = PreTrace("tau_plus")
    K_minus = PostTrace("tau_minus")

    bounds = ("Wmin", "Wmax")
    on_pre = """
        w += (c_then*n_then - c*n) * tau_c*tau_n/(tau_c + tau_n) - b*tau_c * (c_then - c)
        c -= A_minus * K_minus
        c_then = c
        n_then = n
    """
    on_post = """
        w += (c_then*n_then - c*n) * tau_c*tau_n/(tau_c + tau_n) - b*tau_c * (c_then - c)
        c += A_plus * K_plus
        c_then = c
        n_then = n
    """
    on_modulator = """
        w += (c_then*n_then - c*n) * tau_c*tau_n/(tau_c + tau_n) - b*tau_c * (c_then - c)
        n += 1/tau_n
        c_then = c
        n_then = n
    """
