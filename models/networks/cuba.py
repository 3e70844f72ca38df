"""Self-sustained activity with current-based synapses: Vogels & Abbott (2005), benchmark 2 of Brette et al. (2007)."""

from __future__ import annotations

from eventsnn.models import Bernoulli, IafPscExp, Static
from eventsnn.network import Network
from eventsnn.values import Uniform


def cuba(seed: int = 1, dt: float = 0.1) -> Network:
    """3200 excitatory and 800 inhibitory neurons, p = 0.02, doi:10.1007/s10827-007-0038-6, with the values of Brian2's example.

    That example writes synaptic drive in mV, w_e = 1.62, w_i = -9 mV; with C_m = 200 pF and tau_m = 20 ms one mV of it is a
    current of C_m / tau_m = 10 pA. The original has no delay; here it is one step, the shortest there is.
    """
    model = IafPscExp(C_m=200.0, tau_m=20.0, E_L=-49.0, V_th=-50.0, V_reset=-60.0, t_ref=5.0, tau_syn_ex=5.0, tau_syn_in=10.0)
    net = Network(seed=seed, dt=dt)
    exc = net.population("exc", 3_200, model, V_m=Uniform(-60.0, -50.0))
    inh = net.population("inh", 800, model, V_m=Uniform(-60.0, -50.0))
    for post in (exc, inh):
        net.connect(exc >> post, Bernoulli(0.02), Static(weight=16.2, delay=dt))
        net.connect(inh >> post, Bernoulli(0.02), Static(weight=-90.0, delay=dt))
        net.record(post, "spikes")
    return net
