"""Every neuron of the library on backend cuda gives the bits of backend cpu: on a GPU, and in Numba's simulator."""

from __future__ import annotations

import numpy as np
import pytest
from numba import config
from test_cuda_engine import GPU, assert_same, result
from test_neurons_steps import GIVEN, MODELS, drive

import eventsnn as snn
from eventsnn.devices import Gpu
from eventsnn.models import (
    AcCurrent,
    AllToAll,
    GammaSource,
    IafPscDelta,
    NoiseCurrent,
    Poisson,
    PoissonInput,
    Rates,
    Sinusoid,
    SpikeTrain,
    Static,
    StepCurrent,
)
from eventsnn.spec import Equations

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}")]
N = 2 if config.ENABLE_CUDASIM else 500
LONG = 1.2 if config.ENABLE_CUDASIM else 20.0 if isinstance(GPU, Gpu) and GPU.simulated else 50.0


def everyone(precision: str, names: tuple[str, ...] = ()) -> snn.Network:
    """A population of each model, driven by a current and by spikes."""
    net = snn.Network(seed=9, dt=0.05)
    train = net.population("train", 1, SpikeTrain(times=[0.1, 0.15, 0.5], ids=[0, 0, 0]))
    for kind in MODELS:
        name = kind.__name__
        if names and name not in names:
            continue
        cells = net.population(name, N, kind(**GIVEN.get(name, {})))
        weights, current = drive(kind)
        for receptor, weight in weights.items():
            net.connect(train >> cells, AllToAll(), Static(weight=weight, delay=0.1), receptor=receptor)
        if kind.current is not None:
            net.stimulate(cells, StepCurrent([0.3], [current]))
        net.record(cells, "spikes")
        state = next(iter(kind.states()))
        net.record(cells, state, every=0.2, dtype=precision)
    return net


def states(net: snn.Network) -> list[tuple[str, str]]:
    return [(p.name, s) for p in net.populations.values() if isinstance(p.dynamics, Equations) for s in p.dynamics.kernel.states]


def test_every_neuron() -> None:
    net = everyone("float64")
    expected = result(net, states(net), (LONG,), backend="cpu", threads=1)
    assert sum(expected[0][f"{kind.__name__}/spikes"].sizes["event"] > 0 for kind in MODELS) > 15
    assert all(np.isfinite(x).all() for x in expected[1].values())
    assert_same(result(everyone("float64"), states(net), (0.35, LONG - 0.35), backend="cuda"), expected)


def inputs(precision: str = "float64") -> snn.Network:
    """Rates and currents that change with time, noise, a source by equations."""
    net = snn.Network(seed=3, dt=0.1)
    n = 6 * N
    cells = net.population("cells", n, IafPscDelta(), V_m=snn.Uniform(-70.0, -56.0))
    more = net.population("more", n, IafPscDelta())
    table = Rates([0.3, 0.6, 0.9], np.array([[2000.0], [0.0], [9000.0]]) * (1 + np.arange(n) % 12))
    source = net.population("source", n, Poisson(Sinusoid(3000.0, 5000.0, 2500.0)))
    other = net.population("other", n, Poisson(table))
    gamma = net.population("gamma", n, GammaSource(rate=500.0, gamma_shape=2.0))
    net.stimulate(cells, PoissonInput(rate=Rates([0.0, 0.5], [30_000.0, 200_000.0]), weight=0.25))
    net.stimulate(more[2:5], PoissonInput(rate=Rates([0.2], [[5000.0, 50_000.0, 9000.0]]), weight=0.5))
    net.stimulate(more, PoissonInput(rate=4000.0, weight=0.5))
    net.stimulate(cells, NoiseCurrent(mean=100.0, std=snn.Uniform(0.0, 900.0), dt=0.3, stop=1.0))
    net.stimulate(more[1:], AcCurrent(300.0, 1000.0, start=0.2))
    net.stimulate(more[:4], NoiseCurrent(mean=0.0, std=50.0))
    for population in (cells, more, source, other, gamma):
        net.record(population, "spikes")
    net.record(cells, "V_m", every=0.1, dtype=precision)
    net.record(more, "V_m", every=0.1, dtype=precision)
    return net


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_inputs_that_change_with_time(precision: str) -> None:
    expected = result(inputs(precision), [("cells", "V_m")], (LONG,), backend="cpu", threads=1, precision=precision)
    for name in ("source", "other"):
        assert expected[0][f"{name}/spikes"].sizes["event"] > 3, name
    options = {"parts": 2} if precision == "float64" else {}
    found = result(inputs(precision), [("cells", "V_m")], (0.5, LONG - 0.5), backend="cuda", precision=precision, **options)
    assert_same(found, expected)


def test_draws_in_float32() -> None:
    net = everyone("float32", ("EscapeLif", "PhaseIf", "HhPscAlpha"))
    options = {"precision": "float32"}
    expected = result(net, states(net), (LONG,), backend="cpu", threads=1, **options)
    assert expected[0]["EscapeLif/spikes"].sizes["event"] > 0
    assert_same(result(net, states(net), (LONG,), backend="cuda", parts=2, **options), expected)
