"""Sparse random networks of excitatory and inhibitory delta-synapse neurons: Brunel (2000), doi:10.1023/A:1008925309027."""

from __future__ import annotations

import math

from eventsnn.errors import ParameterError
from eventsnn.models import FixedIndegree, IafPscDelta, PoissonInput, Static
from eventsnn.network import Network
from eventsnn.values import Uniform

THRESHOLD, TAU_M = 20.0, 20.0


def brunel(neurons: int = 12_500, seed: int = 1, g: float = 5.0, eta: float = 2.0, dt: float = 0.1) -> Network:
    """The network of NEST's example `brunel_delta_nest`: 80 % excitatory, in-degrees 1000 + 250, J = 0.1 mV, delay 1.5 ms.

    `g` is the strength of inhibition, `eta` the background in units of the rate that alone reaches the threshold. Potentials
    start uniformly between reset and threshold. With g = 5, eta = 2 inhibition dominates and neurons fire at 32 Hz on average.
    """
    if neurons < 1_250:
        raise ParameterError(
            f"brunel: neurons={neurons} cannot hold in-degrees of 1000 + 250; give at least 1250, or use small()"
        )
    return _network(neurons, (1_000, 250), 0.1, seed, g, eta, dt)


def small(neurons: int = 1_000, seed: int = 1, dt: float = 0.1) -> Network:
    """Brunel's network with in-degrees of a tenth of each population; J = 0.1 sqrt(1000/C) keeps the fluctuations."""
    if neurons < 50:
        raise ParameterError(f"small: neurons={neurons} is too few for in-degrees of a tenth; give at least 50")
    excitatory, inhibitory = _sizes(neurons)
    degrees = (excitatory // 10, inhibitory // 10)
    return _network(neurons, degrees, 0.1 * math.sqrt(1_000 / degrees[0]), seed, 5.0, 2.0, dt)


def _sizes(neurons: int) -> tuple[int, int]:
    excitatory = int(0.8 * neurons)
    return excitatory, neurons - excitatory


def _network(neurons: int, degrees: tuple[int, int], weight: float, seed: int, g: float, eta: float, dt: float) -> Network:
    net = Network(seed=seed, dt=dt)
    model = IafPscDelta(tau_m=TAU_M, C_m=1.0, t_ref=2.0, E_L=0.0, V_reset=0.0, V_th=THRESHOLD)
    sizes = _sizes(neurons)
    exc = net.population("exc", sizes[0], model, V_m=Uniform(0.0, THRESHOLD))
    inh = net.population("inh", sizes[1], model, V_m=Uniform(0.0, THRESHOLD))
    # nu_th = V_th / (J C tau_m) per afferent in 1/ms; C of them, in Hz
    rate = 1_000.0 * eta * THRESHOLD / (weight * TAU_M)
    for post in (exc, inh):
        net.stimulate(post, PoissonInput(rate=rate, weight=weight))
        net.connect(exc >> post, FixedIndegree(degrees[0]), Static(weight=weight, delay=1.5))
        net.connect(inh >> post, FixedIndegree(degrees[1]), Static(weight=-g * weight, delay=1.5))
        net.record(post, "spikes")
    return net
