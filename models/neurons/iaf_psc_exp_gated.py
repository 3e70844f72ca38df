"""Leaky integrate-and-fire neuron that integrates while it is refractory."""

from __future__ import annotations

from eventsnn.models.neurons.iaf_psc_exp import IafPscExp


class IafPscExpGated(IafPscExp):
    """As IafPscExp, but V_m goes on from V_reset at once: for t_ref spikes are gated, and input is kept."""

    hold = ()
