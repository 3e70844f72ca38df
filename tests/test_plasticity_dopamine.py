"""The weight under a concentration: NEST's numbers, a closed form, and what cannot be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.errors import KindError, ParameterError
from eventsnn.models import IafPscExp, OneToOne, SpikeTrain, StdpDopamine

NEST = json.loads((Path(__file__).parent / "data" / "dopamine_nest.json").read_text())
PRE, POST, DOPAMINE, DELAY = NEST["pre"], NEST["post"], NEST["dopamine"], NEST["delay"]
LATE = NEST["late"] - DELAY
"""modulator_delay: NEST's transmitter is at the synapse after its own delay, ours after that of the synapse, too."""


def sent(**parameters: Any) -> list[float]:
    """The weight of each spike of the source, when it arrives."""
    net = snn.Network(seed=1, dt=0.1)
    source, dopamine = (
        net.population(name, 1, SpikeTrain(times=times, ids=[0] * len(times)))
        for name, times in (("source", PRE), ("dopamine", DOPAMINE))
    )
    target = net.population("target", 1, IafPscExp(C_m=1e12))
    synapse = StdpDopamine(weight=NEST["weight"], delay=DELAY, modulator=dopamine, modulator_delay=LATE, **parameters)
    net.connect(source >> target, OneToOne(), synapse, name="synapse")
    net.record(target, "ex", dtype="float64")
    found: list[float] = []
    with snn.Simulation(net) as sim:
        sim["target"].inject(POST, [0] * len(POST))
        for time in PRE:
            sim.run(round(time + DELAY - sim.time, 6))
            found.append(float(sim["synapse"].weights()["weight"][0]))
        arrived = snn.open(sim)["target/ex"]["ex"].values[:, 0]
    np.testing.assert_allclose(arrived[arrived != 0.0], found, rtol=0.0, atol=2.0**-32)  # spikes carry these weights
    return found


@pytest.mark.parametrize("name", ["defaults", "baseline"])
def test_weights_of_nest(name: str) -> None:
    case = NEST["cases"][name]
    found = sent(**case["parameters"])
    assert np.ptp(found) > 1.0
    np.testing.assert_allclose(found, case["sent"], rtol=0.0, atol=1e-10)


def test_bounds_of_nest() -> None:
    """NEST also clips every millisecond, ahead of spikes that are on their way: it gives the fourth of them 41.2 by going back
    from 40. Without bounds it has 40.4689 there, as the equations say.
    """
    case = NEST["cases"]["bounds"]
    found = sent(**case["parameters"])
    assert {40.0, 60.0} <= set(found)
    assert found[3] == pytest.approx(40.468886, abs=1e-6)
    np.testing.assert_allclose(np.delete(found, 3), np.delete(case["sent"], 3), rtol=0.0, atol=1e-10)


def test_the_integral_of_the_published_equations() -> None:
    """w + the integral of c (n - b): c and n are sums of exponentials, and so are the integrals of their products."""
    tau, tau_c, tau_n, plus, minus, b = 20.0, 300.0, 120.0, 1.0, 0.8, 0.001
    late, modulated = [q + DELAY for q in POST], [x + LATE + DELAY for x in DOPAMINE]

    def trace(times: list[float], at: float) -> float:
        return sum(math.exp(-(at - t) / tau) for t in times if t < at - 1e-9)

    jumps = [(q, plus * trace(PRE, q)) for q in late] + [(p, -minus * trace(late, p)) for p in PRE]

    def integral(first: float, rate: float, until: float) -> float:
        return (math.exp(-rate * first) - math.exp(-rate * until)) / rate

    def weight(until: float) -> float:
        made = NEST["weight"]
        for start, size in jumps:
            if start < until:
                made -= b * size * math.exp(start / tau_c) * integral(start, 1 / tau_c, until)
            for spike in modulated:
                if max(start, spike) < until:
                    growth = math.exp(start / tau_c + spike / tau_n) / tau_n
                    made += size * growth * integral(max(start, spike), 1 / tau_c + 1 / tau_n, until)
        return made

    found = sent(tau_c=tau_c, tau_n=tau_n, A_plus=plus, A_minus=minus, b=b)
    np.testing.assert_allclose(found, [weight(p) for p in PRE], rtol=0.0, atol=1e-9)
    assert np.ptp(found) > 1.0


def test_concentration_and_eligibility_are_recorded() -> None:
    """n a delay ago: the sum of exp(-t/tau_n)/tau_n over the spikes of the modulator."""
    net = snn.Network(seed=1, dt=0.1)
    silent = net.population("silent", 3, SpikeTrain(times=[], ids=[]))
    dopamine = net.population("dopamine", 1, SpikeTrain(times=DOPAMINE, ids=[0] * len(DOPAMINE)))
    cells = net.population("cells", 3, IafPscExp())
    synapse = StdpDopamine(weight=1.0, delay=DELAY, modulator=dopamine, modulator_delay=LATE)
    net.connect(silent >> cells, OneToOne(), synapse, name="synapse")
    net.record("synapse", "n", every=50.0, dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(700.0)
    found = snn.open(sim)["projections/synapse/n"]["n"]
    for time in found["time"].to_numpy():
        clock = time - DELAY + 1e-9
        there = [x + LATE + DELAY for x in DOPAMINE if x + LATE + DELAY <= clock]
        expected = sum(math.exp(-(clock - x) / 200.0) for x in there) / 200.0
        np.testing.assert_allclose(found.sel(time=time), [expected] * 3, rtol=1e-9, atol=1e-15)
    assert float(found.max()) > 0.01


def test_what_cannot_be() -> None:
    with pytest.raises(KindError, match="StdpDopamine needs modulator"):
        StdpDopamine(weight=1.0, delay=1.0)
    with pytest.raises(ParameterError, match="between 60 and 200, and they start at 50"):
        sent(Wmin=60.0)
