"""Every neuron of the library on backend cuda gives the bits of backend cpu: on a GPU, and in Numba's simulator."""

from __future__ import annotations

import numpy as np
import pytest
from numba import config
from test_cuda_engine import GPU, assert_same, result
from test_neurons_steps import GIVEN, MODELS, drive

import eventsnn as snn
from eventsnn.models import AllToAll, SpikeTrain, Static, StepCurrent
from eventsnn.spec import Equations

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}")]
N = 2 if config.ENABLE_CUDASIM else 500
LONG = 1.2 if config.ENABLE_CUDASIM else 50.0


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


def test_draws_in_float32() -> None:
    net = everyone("float32", ("EscapeLif", "PhaseIf", "HhPscAlpha"))
    options = {"precision": "float32"}
    expected = result(net, states(net), (LONG,), backend="cpu", threads=1, **options)
    assert expected[0]["EscapeLif/spikes"].sizes["event"] > 0
    assert_same(result(net, states(net), (LONG,), backend="cuda", parts=2, **options), expected)
