"""Spike-timing dependent plasticity whose potentiation grows with a power of the weight."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostTrace, PreTrace, SynapseModel


class StdpPl(SynapseModel):
    """Morrison, Aertsen, Diesmann, Neural Comput. 19 (2007) 1437; NEST: stdp_pl_synapse_hom, where weights have no bound."""

    tau_plus = Param(20.0, "ms", "time constant of potentiation", above=0.0)
    tau_minus = Param(20.0, "ms", "time constant of depression", above=0.0)
    lambda_ = Param(0.1, "", "size of a step", low=0.0)
    alpha = Param(1.0, "", "depression for one of potentiation", low=0.0)
    mu = Param(0.4, "", "exponent of potentiation", low=0.0)
    Wmax = Param(1e4, "", "largest weight, in the unit of the receptor", above=0.0)

    K_plus = PreTrace("tau_plus")
    K_minus = PostTrace("tau_minus")

    on_post = "w += lambda_ * w**mu * K_plus"
    on_pre = "w -= lambda_*alpha * w * K_minus"
