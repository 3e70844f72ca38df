"""Inhibitory plasticity that balances excitation."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostTrace, PreTrace, SynapseModel


class VogelsSprekeler(SynapseModel):
    """Vogels, Sprekeler, Zenke, Clopath, Gerstner, Science 334 (2011) 1569; NEST: vogels_sprekeler_synapse.

    A target that fires at rate rho keeps its weights where alpha = 2 rho tau (rho in 1/ms).
    """

    tau = Param(20.0, "ms", "time constant of both traces", above=0.0)
    eta = Param(0.001, "", "size of a step, in the unit of the receptor", low=0.0)
    alpha = Param(0.12, "", "depression by a spike of the source", low=0.0)
    Wmax = Param(1.0, "", "largest weight, in the unit of the receptor; negative for weights that are")

    x = PreTrace("tau")
    y = PostTrace("tau")

    on_post = "w += Wmax/abs(Wmax) * eta * x"
    on_pre = "w = Wmax/abs(Wmax) * (min(abs(w) + eta*y, abs(Wmax)) - alpha*eta)"
