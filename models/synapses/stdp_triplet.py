"""Spike-timing dependent plasticity of triplets."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostTrace, PreTrace, SynapseModel


class StdpTriplet(SynapseModel):
    """Pfister, Gerstner, J. Neurosci. 26 (2006) 9673, all-to-all; NEST: stdp_triplet_synapse.

    The defaults fit visual cortex (table 4 there).
    """

    tau_plus = Param(16.8, "ms", "fast trace of the source", above=0.0)
    tau_plus_triplet = Param(101.0, "ms", "slow trace of the source", above=0.0)
    tau_minus = Param(33.7, "ms", "fast trace of the target", above=0.0)
    tau_minus_triplet = Param(125.0, "ms", "slow trace of the target", above=0.0)
    Aplus = Param(5e-10, "", "potentiation by a pair", low=0.0)
    Aminus = Param(7e-3, "", "depression by a pair", low=0.0)
    Aplus_triplet = Param(6.2e-3, "", "potentiation by a triplet", low=0.0)
    Aminus_triplet = Param(2.3e-4, "", "depression by a triplet", low=0.0)
    Wmax = Param(100.0, "", "largest weight, in the unit of the receptor", above=0.0)

    r1 = PreTrace("tau_plus")
    r2 = PreTrace("tau_plus_triplet")
    o1 = PostTrace("tau_minus")
    o2 = PostTrace("tau_minus_triplet")

    on_post = "w += r1 * (Aplus + Aplus_triplet*o2)"
    on_pre = "w -= o1 * (Aminus + Aminus_triplet*r2)"
