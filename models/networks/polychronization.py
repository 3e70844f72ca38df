"""A network in which groups of neurons come to fire with the delays between them: E. M. Izhikevich, Neural Comput. 18 (2006) 245.

Parameters and the order of events are those of the program that the paper publishes (`spnet`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn.draws import philox
from eventsnn.errors import ParameterError
from eventsnn.keys import key
from eventsnn.model import NeuronModel, Param, Receptor, State
from eventsnn.models import Explicit, FixedOutdegree, OneToOne, Parrot, Poisson, Static
from eventsnn.network import Network
from eventsnn.plasticity import SynapseModel, Variable

TARGETS, LONGEST = 100, 20
"""Of each neuron; ms, the longest delay of excitatory synapses."""
PERIOD = 1000
"""ms between two changes of the weights."""


class TwoHalfSteps(NeuronModel):
    """dV/dt = 0.04 V^2 + 5 V + 140 - U + I, dU/dt = a (b V - U), in steps of 1 ms: two Euler steps of V by half of one, then one
    of U; I is what arrived in this millisecond. A spike where V_m >= V_th; then V_m = c, U_m += d."""

    a = Param(0.02, "1/ms", "rate of recovery")
    b = Param(0.2, "", "sensitivity of recovery to the potential")
    c = Param(-65.0, "mV", "potential after a spike")
    d = Param(8.0, "mV", "recovery by a spike")
    V_th = Param(30.0, "mV", "threshold")
    V_m = State(-65.0, "mV", "membrane potential")
    U_m = State(-13.0, "mV", "recovery")
    I = State(0.0, "mV", "input of this millisecond")  # noqa: E741
    equations = """
        dV_m/dt = 0
        dU_m/dt = 0
        dI/dt = 0
    """
    receptors = (Receptor("in", "mV", "I += w"),)
    always = """
        V_m = V_m + 0.5*((0.04*V_m + 5)*V_m + 140 - U_m + I)
        V_m = V_m + 0.5*((0.04*V_m + 5)*V_m + 140 - U_m + I)
        U_m = U_m + a*(b*V_m - U_m)
        I = 0
    """
    threshold = "V_m >= V_th"
    reset = "V_m = c; U_m += d"
    check_units = False


class Clock(NeuronModel):
    """A spike whenever `period` is over."""

    period = Param(1000.0, "ms", "between two spikes", above=0.0)
    phase = State(0.0, "ms", "time since the last spike")
    equations = "dphase/dt = 1"
    threshold = "phase >= period"
    reset = "phase -= period"


class StdpOnceASecond(SynapseModel):
    """Nearest pairs of spikes change the derivative sd of the weight; a spike of `modulator` then makes w += drift + sd and
    sd *= keep.

    The delay of the synapse is 1 ms, and the rest of it lies before its source: a spike that leaves the source at p meets those
    of its target up to p (each takes A_minus by the last of them) and after (each adds A_plus), and traces lose as much in every
    millisecond. Steps are of 1 ms: a spike of the target at p is at the synapse 1 ms after that of the source, and counts as
    earlier.
    """

    tau = Param(19.495725746223673, "ms", "of both traces: 0.95 is left after 1 ms", above=0.0)
    A_plus = Param(0.1, "", "added where the target is later", low=0.0)
    A_minus = Param(0.12, "", "taken where the target is earlier", low=0.0)
    left = Param(0.95, "", "of a trace after 1 ms", above=0.0)
    drift = Param(0.01, "", "growth of a weight in every period")
    keep = Param(0.9, "", "of the derivative from one period to the next", low=0.0)
    Wmax = Param(10.0, "", "largest weight, in the unit of the receptor", above=0.0)

    sd = Variable(0.0, "derivative of the weight")
    late = Variable(0.0, "trace of the last spike of the source", tau="tau")
    early = Variable(0.0, "trace of its last but one", tau="tau")
    fired = Variable(0.0, "trace of the last spike of the target", tau="tau")

    on_pre = """
        sd -= A_minus * left * fired
        early = late
        late = 1
    """
    on_post = """
        sd += A_plus/left**2 * where(since_pre > 1.5, late, early) - where(since_pre > 1.5, 0, A_minus * (1 - fired))
        fired = 1
    """
    on_modulator = """
        w += drift + sd
        sd = keep * sd
    """


def polychronization(seed: int = 1) -> Network:
    """800 excitatory and 200 inhibitory neurons with 100 targets each, on a grid of 1 ms.

    Excitatory synapses (6 mV, at most 10) have delays of 1, 2, ... 20 ms, five of each neuron's for each, and learn; inhibitory
    ones (-5 mV) 1 ms, onto excitatory neurons. Every neuron is kicked by 20 mV once a second on average. In the paper delays lie
    before the synapse: so do they here, by parrots that repeat a spike 1 to 19 ms later.
    """
    net = Network(seed=seed, dt=1.0)
    split = np.arange(1000) < 800
    cells = net.population("cells", 1000, TwoHalfSteps(), a=np.where(split, 0.02, 0.1), d=np.where(split, 8.0, 2.0))
    thalamus = net.population("thalamus", 1000, Poisson(rate=1.0))
    clock = net.population("clock", 1, Clock(period=float(PERIOD)), phase=2.0)
    net.connect(thalamus >> cells, OneToOne(), Static(weight=20.0, delay=1.0))
    targets = _targets(seed, 800, 1000).reshape(800, LONGEST, TARGETS // LONGEST)
    for late in range(LONGEST):
        source = cells[:800]
        if late:
            source = net.population(f"late_{late}", 800, Parrot())[:]
            net.connect(cells[:800] >> source, OneToOne(), Static(weight=1.0, delay=float(late)))
        edges = Explicit(np.repeat(np.arange(800), TARGETS // LONGEST), targets[:, late].ravel())
        synapse = StdpOnceASecond(weight=6.0, delay=1.0, modulator=clock, modulator_delay=1.0)
        net.connect(source >> cells, edges, synapse, name=f"delay_{late + 1}")
    net.connect(cells[800:] >> cells[:800], FixedOutdegree(TARGETS, multapses=False), Static(weight=-5.0, delay=1.0))
    net.record(cells, "spikes")
    return net


def _targets(seed: int, sources: int, n: int) -> npt.NDArray[np.int64]:
    """TARGETS of the n neurons for each source, all different and not itself, in a random order."""
    if n % 4:
        raise ParameterError(f"polychronization: {n} neurons; give a multiple of 4")
    words = philox(np.arange(sources * n // 4), 0, 0, 0, key(seed, "targets", "polychronization")).reshape(sources, n)
    order = np.argsort(words, axis=1, kind="stable")
    others = order[order != np.arange(sources)[:, None]].reshape(sources, n - 1)
    chosen: npt.NDArray[np.int64] = others[:, :TARGETS].astype(np.int64)
    return chosen
