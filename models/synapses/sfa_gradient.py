"""Plasticity that makes a neuron slow: against the product of changes on both sides."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostTrace, PreTrace, SynapseModel, Variable


class SfaGradient(SynapseModel):
    """With x and y the trains of source and target, low-passed with tau: at every spike of the modulator, a clock,

    w += -eta (x - x')(y - y')/period^2 - beta (1000 y/tau - rate) w,

    x' and y' being what they were at its last one: the gradient of the slowness of the target's response (Wiskott, Sejnowski,
    Neural Comput. 14 (2002) 715), and a force that keeps its rate. `modulator`: a population that fires once in every `period`.
    """

    tau = Param(20.0, "ms", "low-pass of both trains", above=0.0)
    period = Param(1.0, "ms", "between two spikes of the modulator", above=0.0)
    eta = Param(1e-3, "", "speed of learning, in the unit of the weight times ms^2")
    beta = Param(0.0, "1/Hz", "strength of the force", low=0.0)
    rate = Param(5.0, "Hz", "rate of the target that it aims at", low=0.0)
    Wmax = Param(100.0, "", "largest weight, in the unit of the receptor", above=0.0)

    x = PreTrace("tau")
    y = PostTrace("tau")
    x_before = Variable(0.0, "x at the last spike of the modulator")
    y_before = Variable(0.0, "y at the last spike of the modulator")

    on_modulator = """
        w += -eta * (x - x_before) * (y - y_before) / period**2 - beta * (1000 * y / tau - rate) * w
        x_before = x
        y_before = y
    """
