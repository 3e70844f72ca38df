"""Parameters that every synapse has of its own: as projections with one number each, and drawn as distributions say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

import eventsnn as snn
from eventsnn.models import Explicit, FixedIndegree, FixedOutdegree, IafPscExp, OneToOne, SpikeTrain, Stdp, StdpReward

PRE = np.array([10.0, 23.4, 31.0, 55.5, 71.2, 80.0])
POST = np.array([12.0, 22.0, 40.3, 52.0, 70.0])
N = 7
LAMBDA, ALPHA, WEIGHT = np.linspace(0.01, 0.3, N), np.linspace(0.5, 2.0, N)[::-1], np.linspace(20.0, 60.0, N)


def trained(connect: Any, store: Any = None) -> npt.NDArray[np.float64]:
    """Weights after spikes given to N pairs of neurons, in the order of targets; `store`: with a checkpoint on the way."""
    net = snn.Network(seed=2, dt=0.1)
    source = net.population("source", N, SpikeTrain(times=np.repeat(PRE, N), ids=np.tile(np.arange(N), len(PRE))))
    cells = net.population("cells", N, IafPscExp(V_th=1e6))
    names = connect(net, source, cells)
    with snn.Simulation(net, store=store) as sim:
        sim["cells"].inject(np.repeat(POST, N), np.tile(np.arange(N), len(POST)))
        sim.run(100.0 if store is None else 45.0)
        if store is None:
            return np.concatenate([sim[name].weights()["weight"] for name in names])
        sim.checkpoint()
    with snn.resume(store, parts=2) as sim:
        sim["cells"].inject(np.repeat(POST[POST > 45.0], N), np.tile(np.arange(N), 2))
        sim.run(55.0)
        return np.concatenate([sim[name].weights()["weight"] for name in names])


def test_as_projections_with_one_number_each(tmp_path: Path) -> None:
    def one_by_one(net: Any, source: Any, cells: Any) -> list[str]:
        for k in range(N):
            rule = Stdp(weight=WEIGHT[k], delay=1.0, lambda_=LAMBDA[k], alpha=ALPHA[k])
            net.connect(source[[k]] >> cells[[k]], OneToOne(), rule, name=f"s{k}")
        return [f"s{k}" for k in range(N)]

    def together(net: Any, source: Any, cells: Any) -> list[str]:
        order = np.array([3, 0, 6, 1, 5, 2, 4])
        rule = Stdp(weight=WEIGHT[order], delay=1.0, lambda_=LAMBDA[order], alpha=ALPHA[order])
        net.connect(source >> cells, Explicit(order, order), rule, name="all")
        return ["all"]

    expected = trained(one_by_one)
    assert np.array_equal(trained(together), expected)
    assert np.array_equal(trained(together, tmp_path / "run.zarr"), expected)
    assert len(np.unique(np.round(expected - WEIGHT, 6))) == N


class Counter(snn.SynapseModel):
    """Grows by a number of each synapse with each spike of its source; starts to do so from another."""

    gain = snn.Param(1.0)
    start = snn.Param(0.0)
    Wmax = snn.Param(1e6)
    sum = snn.Variable("start")
    on_pre = "sum += gain; w = sum"


@pytest.mark.parametrize("rule", [FixedIndegree(50), FixedOutdegree(50)])
@pytest.mark.parametrize("where", [{"threads": 1}, {"threads": 2, "parts": 2}])
def test_distributions(rule: Any, where: dict[str, int]) -> None:
    """Uniform and normal numbers, independent of one another and of the weights and delays."""
    net = snn.Network(seed=7, dt=0.1)
    source = net.population("source", 600, SpikeTrain(times=np.full(600, 0.1), ids=np.arange(600)))
    cells = net.population("cells", 600, IafPscExp())
    given = {"gain": snn.Uniform(10.0, 20.0), "start": snn.Normal(1000.0, 5.0)}
    net.connect(source >> cells, rule, Counter(weight=snn.Uniform(0.0, 1.0), delay=snn.Uniform(0.1, 2.0), **given), name="s")
    with snn.Simulation(net, **where) as sim:
        first = sim["s"].weights()
        sim.run(5.0)
        made = sim["s"].weights()["weight"] - 1000.0
    assert len(made) == 30_000
    expected = stats.norm(15.0, np.sqrt(25.0 + 100.0 / 12.0))
    assert np.mean(made) == pytest.approx(15.0, abs=5.0 * expected.std() / np.sqrt(len(made)))
    assert np.std(made) == pytest.approx(expected.std(), rel=5.0 / np.sqrt(2 * len(made)))
    for other in (first["weight"], first["delay"]):
        assert abs(np.corrcoef(made, other)[0, 1]) < 5.0 / np.sqrt(len(made))


def test_any_layout_gives_the_same_numbers() -> None:
    found = []
    for where in ({"threads": 1}, {"threads": 2}, {"threads": 1, "parts": 3}):
        net = snn.Network(seed=7, dt=0.1)
        cells = net.population("cells", 600, IafPscExp(I_e=600.0), V_m=snn.Uniform(-70.0, -50.0))
        dopamine = net.population("dopamine", 2, SpikeTrain(times=[20.0, 30.0], ids=[0, 1]))
        rule = StdpReward(weight=10.0, delay=snn.Uniform(0.5, 2.0), modulator=dopamine, A_plus=snn.Uniform(0.0, 2.0))
        net.connect(cells >> cells, FixedIndegree(20), rule, name="s")
        with snn.Simulation(net, **where) as sim:
            sim.run(50.0)
            found.append(sim["s"].weights()["weight"])
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert len(np.unique(found[0])) > 1000
