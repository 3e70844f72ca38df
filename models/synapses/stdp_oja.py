"""Pair plasticity with Oja's decay."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostTrace, PreTrace, SynapseModel, Variable


class StdpOja(SynapseModel):
    """Additive pairs, and weights that decay at oja y(t)^2 per ms, y being the target's trace.

    E. Oja, J. Math. Biol. 15 (1982) 267.

    The decay is made up for at each spike of the target, exactly: from one spike, after which the trace is Y, to the next, s ms
    later, the integral of y^2 is tau_minus/2 Y^2 (1 - exp(-2 s/tau_minus)).
    """

    tau_plus = Param(20.0, "ms", "time constant of potentiation", above=0.0)
    tau_minus = Param(20.0, "ms", "time constant of depression", above=0.0)
    A_plus = Param(1e-4, "", "potentiation by a pair, in the unit of the receptor", low=0.0)
    A_minus = Param(1.2e-4, "", "depression by a pair, in the unit of the receptor", low=0.0)
    oja = Param(1e-5, "1/ms", "decay for one of the squared trace", low=0.0)
    Wmax = Param(1.0, "", "largest weight, in the unit of the receptor", above=0.0)

    x = PreTrace("tau_plus")
    y = PostTrace("tau_minus")
    Y = Variable(0.0, "y just after the last spike of the target")

    on_post = """
        w *= exp(-oja * tau_minus/2 * Y**2 * (1 - exp(-2 * since_post/tau_minus)))
        w += A_plus * x
        Y = y + 1
    """
    on_pre = "w -= A_minus * y"
