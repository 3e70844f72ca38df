"""Sources with intervals of a gamma distribution."""

from __future__ import annotations

from eventsnn.model import NeuronModel, Param, State


class GammaSource(NeuronModel):
    """Each neuron emits every gamma_shape-th event of a Poisson process of rate gamma_shape rate: intervals have a gamma
    distribution of that shape, mean 1/rate and coefficient of variation 1/sqrt(gamma_shape).

    An event is due when an exponential number has been used up by the rate; what is used beyond is kept, so rates are exact while
    gamma_shape rate dt is well below 1 (at most one event per step). It begins with an event at 0. NEST: gamma_sup_generator with
    n_proc = 1.
    """

    rate = Param(10.0, "Hz", "mean number of spikes per second", low=0.0)
    gamma_shape = Param(12.0, "", "events per spike: a whole number", low=1.0)
    left = State(0.0, "", "what is left of an exponential number")
    events = State(-1.0, "", "events since the last spike")
    equations = "dleft/dt = -gamma_shape*rate/1000"
    always = """
        events = events + 1 if left <= 0 else events
        left = left - log(uniform()) if left <= 0 else left
    """
    threshold = "events >= gamma_shape"
    reset = "events -= gamma_shape"
