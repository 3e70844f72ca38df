# mypy: disable-error-code="arg-type, call-arg, call-overload, operator"
"""Scripts that are wrong in one place, what they go wrong on, and the error of each."""

from __future__ import annotations

from collections.abc import Callable

import eventsnn as snn
from eventsnn.models import AllToAll, IafPscDelta, IafPscExp, Parrot, Poisson, Static
from eventsnn.network import Network
from eventsnn.selection import Population

STATIC = Static(weight=20.0, delay=1.5)
MISSING = None


class Bench:
    """A small network for a script to go wrong on."""

    def __init__(self) -> None:
        self.net = Network(seed=1, dt=0.1)
        self.exc = self.net.population("exc", 10, IafPscExp())
        self.delta = self.net.population("delta", 4, IafPscDelta())
        self.src = self.net.population("src", 3, Poisson(rate=5.0))
        self.par = self.net.population("par", 3, Parrot())

    def population(self, name: object = "new", n: object = 10, model: object = MISSING, **values: object) -> Population:
        chosen = IafPscExp() if model is MISSING else model
        return self.net.population(name, n, chosen, **values)

    def connect(self, rule: object = MISSING, synapse: object = STATIC, post: object = MISSING, **options: object) -> object:
        route = self.exc >> (self.exc if post is MISSING else post)
        return self.net.connect(route, AllToAll() if rule is MISSING else rule, synapse, **options)


class Channels(snn.NeuronModel):
    """Three receptors, none of them "ex" or "in"."""

    V_m = snn.State(0.0, "mV")
    equations = "dV_m/dt = -V_m/(10*ms)"
    receptors = tuple(snn.Receptor(name, "mV", "V_m += w") for name in ("ampa", "nmda", "gaba"))
    threshold = "V_m >= 1"
    reset = "V_m = 0"


Script = Callable[[Bench], object]
Wrong = tuple[str, Script, type[Exception], str]
