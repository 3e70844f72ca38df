"""Connections that are not kept: drawn again by every spike, they are those that a table would hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import eventsnn as snn
from eventsnn.canonical import big_arrays, canonical
from eventsnn.distance import Distance, Gaussian
from eventsnn.errors import EventsnnError, KindError, ParameterError
from eventsnn.lower import lower
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedDegrees,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    IafPscExp,
    Nearest,
    OneToOne,
    PairwisePoisson,
    Parrot,
    Poisson,
    PoissonInput,
    SpikeTrain,
    Static,
    Stdp,
    SymmetricBernoulli,
)
from eventsnn.positions import Grid
from eventsnn.restored import restore
from eventsnn.scheduler.errors import PlanError
from eventsnn.scheduler.placement import Place
from eventsnn.scheduler.plan import make_plan

RULES = [
    AllToAll(),
    AllToAll(autapses=False),
    OneToOne(),
    FixedOutdegree(30),
    FixedOutdegree(0),
    FixedOutdegree(40, autapses=False),
    FixedOutdegree(25, multapses=False),
    FixedOutdegree(170, autapses=False, multapses=False),
]
VALUES = {
    "fixed": {"weight": 15.0, "delay": 1.5},
    "delays": {"weight": 15.0, "delay": snn.Uniform(0.2, 4.0)},
    "both signs": {"weight": snn.Normal(0.0, 20.0), "delay": snn.Uniform(0.2, 14.0)},
    "weights": {"weight": -1.0 * snn.LogNormal(2.0, 0.5), "delay": 0.3},
}


def network(rule: Any, procedural: bool, **synapse: Any) -> snn.Network:
    """Within and between populations, whole and in scattered pieces; stored ones besides."""
    net = snn.Network(seed=7, dt=0.1)
    a = net.population("a", 200, IafPscExp(), V_m=snn.Uniform(-65.0, -50.0))
    b = net.population("b", 230, IafPscExp(), V_m=snn.Uniform(-65.0, -50.0))
    for cells in (a, b):
        net.stimulate(cells, PoissonInput(rate=8000.0, weight=80.0))
        for what in ("spikes", "ex", "in"):
            net.record(cells, what, dtype="float64")
    net.connect(a >> a, rule, Static(**synapse), name="within", procedural=procedural)
    net.connect(a[10:195] >> b[40:225], rule, Static(**synapse), name="slices", procedural=procedural)
    net.connect(b[::2][:100] >> b[10:210:2], _fewer(rule), Static(**synapse), name="scattered", procedural=procedural)
    net.connect(b >> a, FixedIndegree(20), Static(weight=snn.Normal(-30.0, 5.0), delay=2.0), name="kept")
    net.connect(like="slices", weight=2.0, name="like", procedural=procedural)
    return net


def _fewer(rule: Any) -> Any:
    return replace(rule, outdegree=min(90, rule.outdegree)) if isinstance(rule, FixedOutdegree) else rule


def run(net: snn.Network, store: Path, **how: Any) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    with snn.Simulation(net, store=store, overwrite=True, **how) as sim:
        sim.run(20.0)
        sim["kept"].set_weights(lambda e: e["weight"] * 0.5)  # what is on its way is taken out of the rings, and put back
        sim.run(20.0)
        edges = {name: dict(sim[name].weights()) for name in ("within", "slices", "scattered", "like")}
    return recorded(store), edges


def recorded(store: Path) -> dict[str, np.ndarray]:
    found = {}
    for node in snn.open(store).subtree:
        data = node.to_dataset()
        found |= {f"{node.path}/{name}": np.asarray(x.values) for name, x in {**data.data_vars, **data.coords}.items()}
    return found


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsnn.backends.cpu.threads.FEWEST", 1)
    monkeypatch.setattr("eventsnn.simulation.cores", lambda: 3)
    monkeypatch.setattr("eventsnn.scheduler.engine.cores", lambda: 3)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_bits_are_those_of_kept_connections(rule: Any, values: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, edges = run(network(rule, False, **VALUES[values]), tmp_path / "s.zarr", threads=1)
    assert len(kept["/a/spikes/tick"]) > 500 and kept["/a/ex/ex"].std() > 0.0
    monkeypatch.setattr("eventsnn.backends.cpu.threads.LARGEST", 60)
    for how in ({"threads": 3}, {"parts": 3}):
        found, same = run(network(rule, True, **VALUES[values]), tmp_path / "s.zarr", **how)
        assert kept.keys() == found.keys()
        assert all(np.array_equal(kept[name], found[name]) for name in kept), how
        assert all(np.array_equal(edges[p][word], same[p][word]) for p in edges for word in edges[p]), how


def test_a_checkpoint_between_two_layouts(tmp_path: Path) -> None:
    """Input on its way is kept with the neurons; the option is part of the description."""
    rule, store = FixedOutdegree(30), tmp_path / "half.zarr"
    whole, _ = run(network(rule, False, **VALUES["both signs"]), tmp_path / "whole.zarr")
    with snn.Simulation(network(rule, True, **VALUES["both signs"]), store=store, threads=1) as sim:
        sim.run(20.0)
        sim["kept"].set_weights(lambda e: e["weight"] * 0.5)
        sim.run(7.3)
        sim.checkpoint()
        sim.run(3.0)
    with snn.resume(store, parts=3) as sim:
        assert all(sim.network.projections[name].procedural for name in ("within", "slices", "scattered", "like"))
        sim.run(12.7)
    found = recorded(store)
    assert all(np.array_equal(whole[name], found[name]) for name in whole)


def test_the_option_is_kept_wherever_a_network_goes() -> None:
    net = network(FixedOutdegree(30), True, **VALUES["fixed"])
    names = [name for name, p in net.projections.items() if p.procedural]
    assert names == ["within", "slices", "scattered", "like"]
    net.scale("slices", 2.0)
    bigger = snn.Network(seed=1, dt=0.1)
    bigger.merge(net, "left")
    for made, start in (
        (net, ""),
        (net.copy(), ""),
        (restore(canonical(net), big_arrays(net).__getitem__), ""),
        (bigger, "left/"),
    ):
        assert [name for name, p in made.projections.items() if p.procedural] == [start + name for name in names]
        assert [p.name for p in lower(made).projections if p.procedural] == [start + name for name in names]
    part = snn.Network(seed=1, dt=0.1).subnetwork("x")
    cells = part.population("cells", 5, IafPscExp())
    assert part.connect(cells >> cells, AllToAll(), Static(weight=1.0, delay=1.0), procedural=True).procedural


def test_a_source_carries_its_draws_to_its_targets() -> None:
    """Of FixedOutdegree, weights and delays belong to a source and its k-th target: with fewer targets, the first ones stay."""

    def edges(n: int) -> set[tuple[float, ...]]:
        net = snn.Network(seed=3, dt=0.1)
        pre, post = net.population("pre", 50, IafPscExp()), net.population("post", 60, IafPscExp())
        synapse = Static(weight=snn.Normal(0.0, 1.0) + snn.Uniform(0.0, 1.0), delay=snn.Uniform(1.0, 5.0))
        net.connect(pre >> post, FixedOutdegree(n), synapse, name="p")
        with snn.Simulation(net) as sim:
            e = sim["p"].weights()
        return set(zip(*(e[word].tolist() for word in ("pre", "post", "weight", "delay")), strict=True))

    few, many = edges(7), edges(20)
    assert len(few) == 350 and len(many) == 1000 and few < many


# ---- memory


def large(procedural: bool) -> snn.Network:
    """600 million synapses; 400 of 100,000 sources fire once."""
    net = snn.Network(seed=5, dt=0.1)
    times = 0.1 + 0.1 * (np.arange(400) % 10)
    pre = net.population("pre", 100_000, SpikeTrain(times=times, ids=np.arange(400) * 250))
    post = net.population("post", 100_000, Parrot())
    net.connect(pre >> post, FixedOutdegree(6000), Static(weight=1.0, delay=0.5), procedural=procedural)
    return net


def test_memory_is_in_proportion_to_neurons() -> None:
    """All of 2.4 million spikes arrive, spread evenly over the targets; kept, the synapses would take 1.2 GB."""
    plain = make_plan(lower(large(False)), [Place("here", "", 2, 0)], 1, None)
    assert plain.bytes > 1.2e9
    with snn.Simulation(large(True)) as sim:
        assert sim.plan.shares[0].cost.synapses == 6e8 and sim.plan.shares[0].cost.peak < 2e7
        sim.run(2.0)
        counts = sim["post"].counts()
        assert sum(part["bytes"] for part in sim.report()["parts"]) < 2e7
    assert counts.sum() == 400 * 6000
    assert stats.chi2.sf(((counts - 24.0) ** 2 / 24.0).sum(), len(counts) - 1) > 1e-3


@pytest.mark.parametrize("rule", [AllToAll(), OneToOne(), FixedOutdegree(100, multapses=False)], ids=str)
@pytest.mark.parametrize("weight", [1.0, snn.Normal(0.0, 1.0)], ids=["fixed", "drawn"])
def test_the_plan_counts_what_is_allocated(rule: Any, weight: Any) -> None:
    """What rings and targets take, beside the same network without the projection."""

    def both(connected: bool) -> tuple[float, float]:
        net = snn.Network(seed=5, dt=0.1)
        pre, post = net.population("pre", 4000, Poisson(rate=1.0)), net.population("post", 4000, IafPscExp())
        net.connect(post >> post, OneToOne(), Static(weight=weight, delay=1.0), name="kept")
        if connected:
            net.connect(pre >> post, rule, Static(weight=weight, delay=snn.Uniform(1.0, 9.0)), procedural=True)
        with snn.Simulation(net, threads=2) as sim:
            return sim.plan.bytes, sum(part["bytes"] for part in sim.report()["parts"])

    planned, found = np.subtract(both(True), both(False))
    rings = 128 * 8000 * 4 * (1 if weight == 1.0 else 2)
    assert rings < found < rings + 4000 * 40 + 100_000
    assert abs(planned - found) < 0.1 * found


def test_the_description_counts_no_synapse() -> None:
    assert "2.4 MB" not in large(True).describe() and "1.2 GB" in large(False).describe()


# ---- what cannot be


CELLS = {"positions": Grid((5, 4))}
SYNAPSE = Static(weight=1.0, delay=1.0)
REFUSED = [
    *(
        (rule, SYNAPSE, rf"{type(rule).__name__} has to be kept.*AllToAll, OneToOne and FixedOutdegree|FixedOutdegree\(n\)")
        for rule in (
            FixedIndegree(3),
            Bernoulli(0.1),
            FixedTotalNumber(10),
            PairwisePoisson(0.1),
            FixedDegrees(2, 2),
            SymmetricBernoulli(0.1),
            Explicit([0, 1], [1, 2]),
            Nearest(3),
            FixedOutdegree(3, p=Gaussian(std=1.0)),
        )
    ),
    (AllToAll(), Stdp(weight=1.0, delay=1.0), "procedural=True keeps no synapse, and weights that change have to be kept"),
    (AllToAll(), Static(weight=lambda pre, post: pre + 1.0, delay=1.0), "draws a weight again .* not an array, a function"),
    (AllToAll(), Static(weight=1.0, delay=1.0 + Distance()), "draws a delay again .* not an array, a function"),
    (FixedOutdegree(3), Static(weight=snn.Normal(0, 1) + snn.Uniform(0, 1), delay=1.0), "draws a weight again .* or a sum"),
    (Explicit([0, 1], [1, 2]), Static(weight=[1.0, 2.0], delay=1.0), "draws a weight again .* not an array"),
]


@pytest.mark.parametrize(("rule", "synapse", "told"), REFUSED)
def test_what_cannot_be_drawn_again_is_refused(rule: Any, synapse: Any, told: str) -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 20, IafPscExp(), **CELLS)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=rf"projection 'p': .*{told}"):
        net.connect(cells >> cells, rule, synapse, name="p", procedural=True)
    assert not net.projections
    net.connect(cells >> cells, rule, synapse, name="p", procedural=False)
    with pytest.raises(ParameterError, match="projection 'q'"):
        net.connect(like="p", name="q", procedural=True)


def test_the_way_back_is_kept() -> None:
    net = snn.Network(seed=1, dt=0.1)
    a, b = (net.population(name, 20, IafPscExp()) for name in "ab")
    there = net.connect(a >> b, Bernoulli(0.2), SYNAPSE, name="there")
    with pytest.raises(ParameterError, match="the way back of another projection must be kept; leave it out"):
        net.connect(b >> a, like=there, procedural=True)


def test_it_is_true_or_false() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 20, IafPscExp())
    with pytest.raises(KindError, match="projection 'p': procedural must be True or False, not 'yes'"):
        net.connect(cells >> cells, AllToAll(), SYNAPSE, name="p", procedural="yes")  # type: ignore[arg-type]


def test_weights_that_are_not_kept_are_not_set() -> None:
    net = network(OneToOne(), True, **VALUES["fixed"])
    with snn.Simulation(net) as sim:
        for change in (lambda: sim["within"].set_weights(1.0), lambda: sim["within"].normalise(1.0)):
            with pytest.raises(
                ParameterError, match="sim\\['within'\\].set_weights: its synapses are not kept.* procedural=True"
            ):
                change()


def test_a_gpu_is_not_asked_for_different_targets() -> None:
    rule = FixedOutdegree(30, multapses=False)
    spec = lower(network(rule, True, **VALUES["fixed"]))
    with pytest.raises(PlanError, match="projection 'within' is procedural, and a GPU cannot draw different targets again"):
        make_plan(spec, [Place("here", "", 2, 0)], 1, None, backend="cuda")
    assert make_plan(spec, [Place("here", "", 2, 0)], 1, None, backend="auto").shares[0].backend == "cpu"
    with pytest.raises(EventsnnError, match="within"):
        snn.Simulation(network(rule, True, **VALUES["fixed"]), backend="cuda")
