"""Spike-timing dependent plasticity of nearest neighbours."""

from __future__ import annotations

from eventsnn.models.synapses.stdp import Stdp
from eventsnn.plasticity import PostTrace, PreTrace, Variable


class StdpNnSymm(Stdp):
    """A spike counts with the last one of the other side before it (Morrison, Diesmann, Gerstner, Biol. Cybern. 98 (2008) 459,
    fig. 7a); NEST: stdp_nn_symm_synapse."""

    K_plus = PreTrace("tau_plus", nearest=True)
    K_minus = PostTrace("tau_minus", nearest=True)


class StdpNnRestr(Stdp):
    """A spike counts with the last one of the other side, where that has not counted yet (Morrison, Diesmann, Gerstner, 2008,
    fig. 7c); NEST: stdp_nn_restr_synapse."""

    K_plus = PreTrace("tau_plus", nearest=True)
    K_minus = PostTrace("tau_minus", nearest=True)

    on_post = "w += where(since_post >= since_pre, lambda_*Wmax * (1 - w/Wmax)**mu_plus * K_plus, 0)"
    on_pre = "w -= where(since_post < since_pre, alpha*lambda_*Wmax * (w/Wmax)**mu_minus * K_minus, 0)"


class StdpNnPreCentered(Stdp):
    """All spikes of the source since the last one of the target count at the next of the target, and each with the last of the
    target before it (Morrison, Diesmann, Gerstner, 2008, fig. 7b); NEST: stdp_nn_pre_centered_synapse."""

    K_plus = Variable(0.0, "the source's spikes since the last of the target", tau="tau_plus")  # type: ignore[assignment]
    K_minus = PostTrace("tau_minus", nearest=True)

    on_post = "w += lambda_*Wmax * (1 - w/Wmax)**mu_plus * K_plus; K_plus = 0"
    on_pre = "w -= alpha*lambda_*Wmax * (w/Wmax)**mu_minus * K_minus; K_plus += 1"
