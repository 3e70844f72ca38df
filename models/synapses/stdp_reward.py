"""Pair plasticity that waits for a third factor."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostTrace, PreTrace, SynapseModel, Variable


class StdpReward(SynapseModel):
    """Pairs of spikes leave an eligibility c, which decays with tau_c; a spike of `modulator` changes the weight by reward * c
    (Izhikevich, Cereb. Cortex 17 (2007) 2443, with rewards that last for no time).

    Modulators are a population, so that rewards may come from the network itself; they reach all synapses after modulator_delay
    (ms) and the delay of the synapse.
    """

    tau_plus = Param(20.0, "ms", "time constant of pairs, source first", above=0.0)
    tau_minus = Param(20.0, "ms", "time constant of pairs, target first", above=0.0)
    tau_c = Param(1000.0, "ms", "decay of eligibility", above=0.0)
    A_plus = Param(1.0, "", "eligibility by a pair, source first, in the unit of the weight", low=0.0)
    A_minus = Param(1.5, "", "eligibility taken by a pair, target first", low=0.0)
    reward = Param(1.0, "", "change of the weight by a spike of the modulator, for one of eligibility")
    Wmax = Param(200.0, "", "largest weight, in the unit of the receptor", above=0.0)

    c = Variable(0.0, "eligibility", tau="tau_c")
    K_plus = PreTrace("tau_plus")
    K_minus = PostTrace("tau_minus")

    on_post = "c += A_plus * K_plus"
    on_pre = "c -= A_minus * K_minus"
    on_modulator = "w += reward * c"
