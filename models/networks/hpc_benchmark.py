"""The network that NEST's scaling is measured with: balanced, with 11,250 synapses onto every neuron, those among excitatory ones
plastic. Parameters: NEST's example `hpc_benchmark`; the rule: Morrison, Aertsen, Diesmann, Neural Comput. 19 (2007) 1437.
"""

from __future__ import annotations

from eventsnn.errors import ParameterError
from eventsnn.models import FixedIndegree, IafPscAlpha, PoissonInput, Static, StdpPl
from eventsnn.network import Network
from eventsnn.values import Normal

NEURON = {"C_m": 250.0, "tau_m": 10.0, "t_ref": 0.5, "V_th": 20.0, "V_reset": 0.0, "E_L": 0.0}
TAU_SYN = 0.32582722403722841
"""ms: the potential rises for 1.700759 ms."""
WEIGHT, G, DELAY = 45.6096, 5.0, 1.5
"""pA, for a peak of 0.14 mV; inhibition over excitation; ms."""
RATE = 20_856.04
"""Hz, of the background of each neuron."""
RULE = {"tau_plus": 15.0, "tau_minus": 30.0, "lambda_": 0.1, "alpha": 0.0513, "mu": 0.4}


def hpc_benchmark(scale: float = 0.1, seed: int = 1, dt: float = 0.1, indegrees: float = 1.0) -> Network:
    """9,000 excitatory and 2,250 inhibitory neurons times `scale`, with in-degrees of 9,000 + 2,250 at any scale.

    At small scale pairs are connected many times, neurons fire together, and potentiation runs away after 150 ms or so, in NEST,
    too. `indegrees`: a factor on them by which the network stays irregular; weights grow by the inverse of its root, and the rate
    of the background falls by its root, which leaves the mean of that.
    """
    sizes = [round(n * scale) for n in (9_000, 2_250)]
    if min(sizes) < 2:
        raise ParameterError(f"hpc_benchmark: scale={scale:g} leaves {sizes[1]} inhibitory neurons; give at least 0.001")
    degrees = [round(n * indegrees) for n in (9_000, 2_250)]
    if min(degrees) < 1:
        raise ParameterError(f"hpc_benchmark: indegrees={indegrees:g} leaves no inhibitory synapse; give at least 0.0005")
    root = float(indegrees) ** 0.5
    weight = WEIGHT / root
    net = Network(seed=seed, dt=dt)
    model = IafPscAlpha(**NEURON, tau_syn_ex=TAU_SYN, tau_syn_in=TAU_SYN)
    exc, inh = (net.population(name, n, model, V_m=Normal(5.7, 7.2)) for name, n in zip(("exc", "inh"), sizes, strict=True))
    rules = {pre: FixedIndegree(n, autapses=False) for pre, n in zip((exc, inh), degrees, strict=True)}
    for post in (exc, inh):
        net.stimulate(post, PoissonInput(rate=RATE * root, weight=weight))
        plastic = StdpPl(weight=weight, delay=DELAY, **RULE)
        net.connect(exc >> post, rules[exc], plastic if post is exc else Static(weight=weight, delay=DELAY))
        net.connect(inh >> post, rules[inh], Static(weight=-G * weight, delay=DELAY))
        net.record(post, "spikes")
    return net
