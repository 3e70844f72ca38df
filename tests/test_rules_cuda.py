"""Connection rules on backend cuda: the same synapses as on backend cpu, on a GPU (`pytest -m gpu`) and in Numba's simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_cuda_engine import assert_same, result

import eventsnn as snn
from eventsnn.devices import find_gpu
from eventsnn.distance import Distance, Gaussian
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    FixedDegrees,
    FixedIndegree,
    FixedOutdegree,
    IafPscExp,
    Nearest,
    OneToOne,
    PairwisePoisson,
    Poisson,
    Static,
    SymmetricBernoulli,
)
from eventsnn.positions import Scattered
from eventsnn.regions import Ball, Box

GPU = find_gpu()
RULES: dict[str, Any] = {
    "poisson": PairwisePoisson(0.2, autapses=False),
    "symmetric": SymmetricBernoulli(0.1),
    "stubs": FixedDegrees(5, 5),
    "pairs": Bernoulli(Gaussian(std=0.2), mask=Ball(0.4)),
    "indegree": FixedIndegree(6, p=Gaussian(std=0.2)),
    "outdegree": FixedOutdegree(4, p=Gaussian(std=0.2), multapses=False),
    "nearest": Nearest(4),
}


@pytest.mark.gpu
@pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}")
def test_every_rule_makes_the_same_synapses_and_spikes() -> None:
    net = snn.Network(seed=3, dt=0.1)
    where = Scattered(Box((0.0, 0.0), (1.0, 1.0)), edge_wrap=True)
    source = net.population("source", 20, Poisson(rate=1500.0))
    cells = net.population("cells", 60, IafPscExp(), V_m=snn.Uniform(-60.0, -50.5), positions=where)
    net.connect(source >> cells, FixedIndegree(4), Static(weight=400.0, delay=0.2))
    for name, rule in RULES.items():
        weight = 20.0 * Gaussian(std=0.3) + snn.Uniform(0.0, 4.0)
        net.connect(cells >> cells, rule, Static(weight=weight, delay=0.3 + 2.0 * Distance()), name=name)
    net.connect(like="poisson", weight=-3.0, delay=1.1, name="like")
    net.record(cells, "spikes")
    found = {}
    for backend in ("cpu", "cuda"):
        with snn.Simulation(net, backend=backend) as sim:
            edges = {name: dict(sim[name].weights()) for name in (*RULES, "like")}
            sim.run(4.0)
            spikes = snn.open(sim)["cells/spikes"].to_dataset().load()
            found[backend] = edges, sim["cells"].get("V_m"), spikes
    for name, expected in found["cpu"][0].items():
        assert len(expected["pre"]), name
        assert all(np.array_equal(expected[word], found["cuda"][0][name][word]) for word in expected), name
    assert found["cpu"][2].sizes["event"] > 3
    assert np.array_equal(found["cpu"][1], found["cuda"][1]) and found["cpu"][2].identical(found["cuda"][2])


def procedural(precision: str = "float64") -> snn.Network:
    """Connections that are drawn with each spike: every rule that can be, on whole populations and on parts of them."""
    net = snn.Network(seed=4, dt=0.1)
    source = net.population("source", 20, Poisson(rate=4000.0))
    a = net.population("a", 30, IafPscExp(), V_m=snn.Uniform(-60.0, -50.5))
    b = net.population("b", 35, IafPscExp(), V_m=snn.Uniform(-60.0, -50.5))
    signs = Static(weight=snn.Normal(30.0, 60.0), delay=snn.Uniform(0.1, 1.3))
    net.connect(source >> a, FixedOutdegree(9), Static(weight=200.0, delay=0.2), name="fixed", procedural=True)
    net.connect(a >> b, FixedOutdegree(7), signs, name="drawn", procedural=True)
    net.connect(b[1::2] >> b[:20], FixedOutdegree(5, autapses=False), signs, name="others", procedural=True)
    net.connect(a[3:28] >> b[4:29], OneToOne(), signs, name="one", procedural=True)
    net.connect(
        b >> b[::3], AllToAll(autapses=False), Static(weight=-2.0, delay=snn.Uniform(0.2, 0.6)), name="all", procedural=True
    )
    net.connect(source >> a[::2], FixedIndegree(3), Static(weight=20.0, delay=0.3), name="kept")
    net.connect(like="drawn", weight=5.0, name="like", procedural=True)
    for cells in (a, b):
        net.record(cells, "spikes")
        for what in ("ex", "in"):
            net.record(cells, what, every=0.1, dtype="float64")
    return net


@pytest.mark.gpu
@pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}")
@pytest.mark.parametrize("where", [{}, {"parts": 2}])
def test_connections_that_are_drawn_with_each_spike(where: dict[str, int]) -> None:
    states = [("a", "V_m"), ("b", "V_m")]
    expected = result(procedural(), states, (2.0, 2.0), backend="cpu", threads=1)
    for name in ("a", "b"):
        assert expected[0][f"{name}/spikes"].sizes["event"] > 3
    assert_same(result(procedural(), states, (1.3, 2.7), backend="cuda", **where), expected)


@pytest.mark.gpu
@pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}")
@pytest.mark.parametrize("room", [1 << 26, 40])
def test_distinct_sources(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, all, all but one, few and more than half of the candidates; all targets at once, and a few at a time."""
    from eventsnn.backends.cpu import strands
    from eventsnn.backends.cuda import choose, device

    monkeypatch.setattr(choose, "ROOM", room)
    degrees = np.array([0, 1, 7, 6, 3, 4, 0, 1, 20, 11, 9, 2])
    candidates = np.array([5, 1, 7, 7, 7, 7, 0, 30, 20, 20, 20, 100_000])
    posts = np.arange(12) * 3 + 1
    expected = strands.distinct(posts, candidates, degrees, (7, 9))
    found = device.to_host(choose.distinct(posts, candidates, degrees, (7, 9)))
    np.testing.assert_array_equal(found, expected)
    rows = np.split(expected, np.cumsum(degrees)[:-1])
    for row, n in zip(rows, candidates, strict=True):
        assert len(set(row.tolist())) == len(row) and (row < n).all()
