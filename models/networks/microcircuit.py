"""The cortical microcircuit of Potjans & Diesmann (2014), doi:10.1093/cercor/bhs358: 1 mm^2 of early sensory cortex."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from eventsnn.errors import ParameterError
from eventsnn.models import FixedTotalNumber, IafPscExp, PoissonInput, Static
from eventsnn.network import Network
from eventsnn.values import Normal

Drive = Literal["poisson", "dc"]


@cache
def _published() -> Mapping[str, Any]:
    text = files("eventsnn.models.networks").joinpath("microcircuit.json").read_text(encoding="utf-8")
    published: Mapping[str, Any] = json.loads(text)
    return published


def microcircuit(scale: float = 1.0, seed: int = 1, drive: Drive = "poisson", dt: float = 0.1) -> Network:
    """The network of eight populations, L23E to L6I, whose spikes are recorded.

    At scale 1: 77,169 neurons and 298,880,970 synapses. `scale` shrinks neurons and in-degrees alike; weights then grow by
    1/sqrt(scale) and a direct current keeps the mean input (as the authors' own down-scaling does), so rates change little while
    correlations grow. `drive` is the background: independent Poisson trains, or the direct current of the same mean. With the
    latter all populations fall silent one after the other below scale 0.4.
    """
    facts = Microcircuit.at(scale)
    if drive not in ("poisson", "dc"):
        raise ParameterError(f"microcircuit: drive={drive!r} is not known; give 'poisson' or 'dc'")
    net = Network(seed=seed, dt=dt)
    for k, name in enumerate(facts.names):
        current = facts.compensation(k, drive == "poisson") + (0.0 if drive == "poisson" else facts.external_current(k))
        start = Normal(facts.published["V_m_mean"][k], facts.published["V_m_sd"][k])
        neurons = net.population(name, facts.neurons[k], IafPscExp(**facts.published["neuron"]), V_m=start, I_e=current)
        if drive == "poisson":
            net.stimulate(neurons, PoissonInput(rate=facts.external_rate(k), weight=facts.weight(0, 0)))
        net.record(neurons, "spikes")
    for post, target in enumerate(facts.names):
        for pre, source in enumerate(facts.names):
            total = facts.synapses(post, pre)
            if total:
                net.connect(net[source] >> net[target], FixedTotalNumber(total), _synapse(facts, post, pre, dt))
    return net


def _synapse(facts: Microcircuit, post: int, pre: int, dt: float) -> Static:
    weight, delay = facts.weight(post, pre), facts.delay(pre)
    signed = Normal(weight, abs(weight) * facts.published["weight_relative_sd"])
    positive = Normal(delay, delay * facts.published["delay_relative_sd"])
    return Static(
        weight=signed.truncate(0.0, None) if weight > 0.0 else signed.truncate(None, 0.0),
        delay=positive.truncate(dt / 2.0, None),
    )


@dataclass(frozen=True)
class Microcircuit:
    """The numbers of the model at one scale. Rows are targets, columns sources; units mV, pA, ms, Hz."""

    published: Mapping[str, Any]
    scale: float

    @classmethod
    def at(cls, scale: float) -> Microcircuit:
        if not (math.isfinite(scale) and 0.0 < scale <= 1.0):
            raise ParameterError(f"microcircuit: scale={scale} is out of range; give 0 < scale <= 1, such as 0.1")
        facts = cls(_published(), float(scale))
        if min(facts.neurons) < 1:
            raise ParameterError(f"microcircuit: scale={scale} leaves a population without neurons; give at least 0.001")
        return facts

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.published["populations"])

    @property
    def neurons(self) -> tuple[int, ...]:
        return tuple(round(n * self.scale) for n in self.published["neurons"])

    def full_synapses(self, post: int, pre: int) -> float:
        """ln(1 - C) / ln(1 - 1/(N_post N_pre)), not rounded: drawn with replacement, a pair is connected with probability C."""
        n = self.published["neurons"]
        return math.log1p(-self.published["probability"][post][pre]) / math.log1p(-1.0 / (n[post] * n[pre]))

    def synapses(self, post: int, pre: int) -> int:
        return round(self.full_synapses(post, pre) * self.scale**2)

    def full_weight(self, post: int, pre: int) -> float:
        """pA: the current whose potential peaks at `psp` mV, times g from inhibitory sources."""
        doubled = [self.names[pre], self.names[post]] == self.published["doubled"]
        sign = self.published["g"] if pre % 2 else 1.0
        return float(self.published["psp"] * current_per_psp(self.published["neuron"]) * sign * (2.0 if doubled else 1.0))

    def weight(self, post: int, pre: int) -> float:
        return self.full_weight(post, pre) / math.sqrt(self.scale)

    def delay(self, pre: int) -> float:
        return float(self.published["delay_inhibitory" if pre % 2 else "delay_excitatory"])

    def external_rate(self, post: int) -> float:
        """Hz: all background afferents of one neuron together."""
        return float(self.published["external_indegree"][post] * self.published["external_rate"] * self.scale)

    def external_current(self, post: int) -> float:
        """pA: the mean current of the background at full scale."""
        rate = self.published["external_indegree"][post] * self.published["external_rate"]
        return float(1e-3 * self.published["neuron"]["tau_syn_ex"] * rate * self.full_weight(0, 0))

    def recurrent_current(self, post: int) -> float:
        """pA: the mean current of the full network at its published rates."""
        rates, size = self.published["nest_rates"]["1.0"], self.published["neurons"][post]
        total = sum(self.full_synapses(post, pre) / size * self.full_weight(post, pre) * rate for pre, rate in enumerate(rates))
        return float(1e-3 * self.published["neuron"]["tau_syn_ex"] * total)

    def compensation(self, post: int, poisson: bool) -> float:
        """pA: the mean input that is lost when in-degrees shrink by scale and weights grow by 1/sqrt(scale)."""
        lost = self.recurrent_current(post) + (self.external_current(post) if poisson else 0.0)
        return (1.0 - math.sqrt(self.scale)) * lost

    def nest_rates(self) -> tuple[float, ...] | None:
        """Hz: mean rates of NEST runs at this scale with Poisson drive; None where there were none."""
        rates = self.published["nest_rates"].get(str(self.scale))
        return None if rates is None else tuple(rates)


def current_per_psp(neuron: Mapping[str, float]) -> float:
    """pA per mV: peak of an exponential current per peak of the potential that it causes.

    V(t) = tau_m tau_s / (C_m (tau_m - tau_s)) (exp(-t/tau_m) - exp(-t/tau_s)), at its maximum.
    """
    tau_m, tau_s, c_m = neuron["tau_m"], neuron["tau_syn_ex"], neuron["C_m"]
    peak = math.log(tau_m / tau_s) / (1.0 / tau_s - 1.0 / tau_m)
    psp = tau_m * tau_s / (c_m * (tau_m - tau_s)) * (math.exp(-peak / tau_m) - math.exp(-peak / tau_s))
    return 1.0 / psp
