"""Pair plasticity whose window has no area."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostTrace, PreTrace, SynapseModel


class StdpSfa(SynapseModel):
    """A symmetric window A (exp(-|t|/tau_fast) - tau_fast/tau_slow exp(-|t|/tau_slow)), whose integral is 0: it follows the
    changes of rates, not rates, as slow feature analysis does (Sprekeler, Michaelis, Wiskott, PLoS Comput. Biol. 3 (2007) e112).
    """

    tau_fast = Param(20.0, "ms", "", above=0.0)
    tau_slow = Param(100.0, "ms", "", above=0.0)
    A = Param(1e-5, "", "change by spikes at one time, in the unit of the receptor")
    Wmax = Param(1.0, "", "largest weight, in the unit of the receptor", above=0.0)

    x_fast = PreTrace("tau_fast")
    x_slow = PreTrace("tau_slow")
    y_fast = PostTrace("tau_fast")
    y_slow = PostTrace("tau_slow")

    on_post = "w += A * (x_fast - tau_fast/tau_slow * x_slow)"
    on_pre = "w += A * (y_fast - tau_fast/tau_slow * y_slow)"
