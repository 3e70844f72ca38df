"""Leaky integrate-and-fire neuron with an adaptive threshold."""

from __future__ import annotations

from eventsnn.model import Param, State
from eventsnn.models.neurons.iaf_psc_exp import IafPscExp


class Alif(IafPscExp):
    """As IafPscExp, but with the threshold V_th + beta A: dA/dt = -A/tau_adapt, and a spike adds 1 to A. Integrated exactly.

    G. Bellec et al., Advances in Neural Information Processing Systems 31 (2018) 787.
    """

    tau_adapt = Param(200.0, "ms", "time constant of the adaptation", above=0.0)
    beta = Param(1.7, "mV", "threshold by adaptation")
    A = State(0.0, "", "adaptation")
    equations = IafPscExp.equations + "dA/dt = -A/tau_adapt"
    threshold = "V_m >= V_th + beta*A"
    reset = "V_m = V_reset; A += 1"
