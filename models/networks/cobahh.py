"""Sparse networks of Hodgkin-Huxley neurons with conductance synapses: benchmark 3 of Brette et al. (2007)."""

from __future__ import annotations

from eventsnn.models import Bernoulli, HhCondExpTraub, Static
from eventsnn.network import Network
from eventsnn.values import Normal

WEIGHTS = (6.0, 67.0)
"""nS"""


def cobahh(seed: int = 1, dt: float = 0.1) -> Network:
    """3200 excitatory and 800 inhibitory neurons, p = 0.02, doi:10.1007/s10827-007-0038-6; NEST's and Brian2's examples share it.

    Potentials and conductances start as in Brian2's example, conductances at 0 where that draws them negative. The original has
    no delay; here it is one step, the shortest there is.
    """
    net = Network(seed=seed, dt=dt)
    start = {
        "V_m": Normal(-65.0, 5.0),
        "g_ex": Normal(40.0, 15.0).clip(0.0, None),
        "g_in": Normal(200.0, 120.0).clip(0.0, None),
    }
    exc = net.population("exc", 3_200, HhCondExpTraub(), **start)
    inh = net.population("inh", 800, HhCondExpTraub(), **start)
    for post in (exc, inh):
        for pre, weight, receptor in ((exc, WEIGHTS[0], "ex"), (inh, WEIGHTS[1], "in")):
            net.connect(pre >> post, Bernoulli(0.02), Static(weight=weight, delay=dt), receptor)
        net.record(post, "spikes")
    return net
