"""Spike-timing dependent plasticity of pairs."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostTrace, PreTrace, SynapseModel


class Stdp(SynapseModel):
    """All pairs of spikes count (Gütig, Aharonov, Rotter, Sompolinsky, J. Neurosci. 23 (2003) 3697); NEST: stdp_synapse.

    mu_plus = mu_minus = 0 is additive (Song, Miller, Abbott, Nat. Neurosci. 3 (2000) 919), 1 multiplicative (Rubin, Lee,
    Sompolinsky, Phys. Rev. Lett. 86 (2001) 364).
    """

    tau_plus = Param(20.0, "ms", "time constant of potentiation", above=0.0)
    tau_minus = Param(20.0, "ms", "time constant of depression", above=0.0)
    lambda_ = Param(0.01, "", "size of a step", low=0.0)
    alpha = Param(1.0, "", "depression for one of potentiation", low=0.0)
    mu_plus = Param(1.0, "", "exponent of potentiation", low=0.0)
    mu_minus = Param(1.0, "", "exponent of depression", low=0.0)
    Wmax = Param(100.0, "", "largest weight, in the unit of the receptor; negative for weights that are")

    K_plus = PreTrace("tau_plus")
    K_minus = PostTrace("tau_minus")

    on_post = "w += lambda_*Wmax * (1 - w/Wmax)**mu_plus * K_plus"
    on_pre = "w -= alpha*lambda_*Wmax * (w/Wmax)**mu_minus * K_minus"
