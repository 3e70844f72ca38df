"""Connections by distance: probabilities, masks, fixed degrees, nearest neighbours, weights and delays; any layout the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import eventsnn as snn
from eventsnn.distance import Distance, Exponential, Gaussian, OfDistance
from eventsnn.errors import EventsnnError
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    IafPscExp,
    Nearest,
    OneToOne,
    Static,
)
from eventsnn.positions import Free, Grid, Scattered
from eventsnn.regions import Annulus, Ball, Box

TORUS = Scattered(Box((0.0, 0.0), (1.0, 1.0)), edge_wrap=True)
SHEET = Scattered(Box((0.0, 0.0), (1.0, 1.0)))
CUBE = Scattered(Box((0.0, 0.0, -1.0), (1.0, 1.0, 1.0)))
LINE = Scattered(Box(0.0, 3.0), edge_wrap=True)


def network(rule: Any, n_pre: int, n_post: int, where: Any, same: bool = False, seed: int = 1, **synapse: Any) -> snn.Network:
    net = snn.Network(seed=seed, dt=0.1)
    pre = net.population("pre", n_pre, IafPscExp(), positions=where)
    post = pre if same else net.population("post", n_post, IafPscExp(), positions=where)
    net.connect(pre >> post, rule, Static(**{"weight": 1.0, "delay": 1.0, **synapse}), name="p")
    return net


def edges(net: snn.Network, **how: Any) -> dict[str, np.ndarray]:
    with snn.Simulation(net, **how) as sim:
        return dict(sim["p"].weights())


def apart(net: snn.Network) -> np.ndarray:
    """Displacements of targets from sources, shape (sources, targets, dimensions), straight from the positions."""
    p = net.projections["p"]
    x = p.post.positions[None, :, :] - p.pre.positions[:, None, :]
    period = p.pre.population.places.period
    for axis in np.flatnonzero(period):
        x[..., axis] = (x[..., axis] + 0.5 * period[axis]) % period[axis] - 0.5 * period[axis]
    return x


def distances(net: snn.Network) -> np.ndarray:
    return np.linalg.norm(apart(net), axis=2)


def table(e: dict[str, np.ndarray], net: snn.Network) -> np.ndarray:
    p = net.projections["p"]
    out = np.zeros((len(p.pre), len(p.post)), int)
    np.add.at(out, (e["pre"], e["post"]), 1)
    return out


RULES = {
    "pairs": (Bernoulli(0.9 * Gaussian(std=0.08), mask=Ball(0.3)), TORUS),
    "pairs of all": (Bernoulli(Exponential(beta=0.2)), CUBE),
    "box": (Bernoulli(0.4, mask=Box((-0.1, -0.2), (0.3, 0.1))), SHEET),
    "indegree": (FixedIndegree(30, p=Gaussian(std=0.1), autapses=False), TORUS),
    "distinct": (FixedIndegree(30, p=Gaussian(std=0.1), multapses=False, mask=Ball(0.45)), TORUS),
    "outdegree": (FixedOutdegree(30, p=Gaussian(std=0.1), multapses=False), SHEET),
    "nearest": (Nearest(12), CUBE),
    "plain": (FixedIndegree(30, autapses=False), TORUS),
}


@pytest.mark.parametrize("name", RULES)
def test_layout_changes_no_edge(name: str) -> None:
    rule, where = RULES[name]
    synapse = {"weight": 3.0 * Gaussian(std=0.2) + snn.Uniform(0.0, 0.5), "delay": 0.4 + 2.0 * Distance()}
    net = network(rule, 700, 700, where, same=True, **synapse)
    alone = edges(net, threads=1)
    assert len(alone["pre"]) > 2000
    for how in ({"threads": 2}, {"parts": 3}):
        other = edges(net, **how)
        assert all(np.array_equal(alone[word], other[word]) for word in alone)


@pytest.mark.parametrize("where", [TORUS, SHEET, CUBE, LINE], ids=["torus", "sheet", "cube", "line"])
@pytest.mark.parametrize("shape", ["gaussian", "exponential", "user"])
def test_pairs_follow_their_probability(where: Scattered, shape: str) -> None:
    """Numbers of connections in 12 bins of the distance against the sum of the probabilities there, by chi-square."""
    p, f = {
        "gaussian": (0.8 * Gaussian(std=0.15), lambda d: 0.8 * np.exp(-(d**2) / 2 / 0.15**2)),
        "exponential": (Exponential(beta=0.1), lambda d: np.exp(-d / 0.1)),
        "user": (OfDistance(lambda d: 0.5 * np.cos(9.0 * d) ** 2 * (d < 0.4)), lambda d: 0.5 * np.cos(9.0 * d) ** 2 * (d < 0.4)),
    }[shape]
    net = network(Bernoulli(p), 900, 800, where, seed=7)
    e, d = edges(net), distances(net)
    t = table(e, net)
    assert t.max() == 1
    expected = f(d)
    bins = np.quantile(d[expected > 1e-4], np.linspace(0.0, 1.0, 13))
    where_in = np.digitize(d, bins[1:-1])
    observed = np.bincount(where_in.ravel(), t.ravel(), 12)
    mean = np.bincount(where_in.ravel(), expected.ravel(), 12)
    variance = np.bincount(where_in.ravel(), (expected * (1.0 - expected)).ravel(), 12)
    assert stats.chi2.sf(((observed - mean) ** 2 / variance).sum(), 12) > 1e-3
    assert abs(net.projections["p"].expected / mean.sum() - 1.0) < 0.1
    for axis, total in ((0, t.sum(0)), (1, t.sum(1))):
        spread = (expected * (1.0 - expected)).sum(axis)
        assert stats.chi2.sf(((total - expected.sum(axis)) ** 2 / spread).sum(), len(total)) > 1e-3
    assert net.projections["p"].per_target >= t.sum(0).max()


def test_certain_pairs_are_all_there_and_no_other() -> None:
    net = network(Bernoulli(1.0, mask=Ball(0.25)), 300, 200, SHEET)
    assert np.array_equal(table(edges(net), net) > 0, distances(net) <= 0.25)
    net = network(Bernoulli(1.0, mask=Box((-0.1, 0.0), (0.2, 0.3))), 300, 200, SHEET)
    x = apart(net)
    inside = (x[..., 0] >= -0.1) & (x[..., 0] <= 0.2) & (x[..., 1] >= 0.0) & (x[..., 1] <= 0.3)
    assert np.array_equal(table(edges(net), net) > 0, inside)
    net = network(Bernoulli(1.0, mask=Annulus(0.1, 0.2), autapses=False), 300, 300, TORUS, same=True)
    assert np.array_equal(table(edges(net), net) > 0, (distances(net) >= 0.1) & (distances(net) <= 0.2))


@pytest.mark.parametrize("multapses", [True, False])
def test_fixed_degrees_by_distance_are_exact_and_fall_off(multapses: bool) -> None:
    shape = Gaussian(std=0.2)
    for rule, axis in (
        (FixedIndegree(40, p=shape, multapses=multapses, autapses=False), 0),
        (FixedOutdegree(40, p=shape, multapses=multapses, autapses=False), 1),
    ):
        net = network(rule, 600, 600, TORUS, same=True, seed=3)
        t, d = table(edges(net), net), distances(net)
        assert (t.sum(axis) == 40).all() and not np.diag(t).any()
        assert t.sum(0).max() <= net.projections["p"].per_target
        if not multapses:
            assert t.max() == 1
            continue
        weight = np.exp(-(d**2) / 2 / 0.04)
        np.fill_diagonal(weight, 0.0)
        mean = 40 * weight / weight.sum(axis, keepdims=True)
        bins = np.digitize(d, np.linspace(0.0, 0.6, 16))
        observed, expected = (np.bincount(bins.ravel(), x.ravel(), 17)[1:] for x in (t, mean))
        assert stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), 15) > 1e-3


def test_distinct_partners_in_a_small_mask_are_all_that_are_there() -> None:
    """Where a neuron draws as many as it can reach, it must get each of them: the draw ends in a list of what is left."""
    net = network(FixedIndegree(9, p=Gaussian(std=0.02), multapses=False, mask=Box((-0.15, -0.15), (0.15, 0.15))), 100, 100,
                  Grid((10, 10), edge_wrap=True), same=True)  # fmt: skip
    assert np.array_equal(table(edges(net), net) > 0, np.abs(apart(net)).max(2) < 0.15)


@pytest.mark.parametrize("where", [TORUS, SHEET, CUBE, LINE, Grid((20, 30), extent=(1.0, 2.0), edge_wrap=True)], ids=str)
def test_nearest_are_the_nearest(where: Any) -> None:
    net = network(Nearest(7), 600, 600, where, same=True)
    e, d = edges(net), distances(net)
    np.fill_diagonal(d, np.inf)
    order = np.lexsort((np.broadcast_to(np.arange(600)[:, None], d.shape), np.round(d, 12)), axis=0)[:7]
    found = e["pre"].reshape(600, 7)
    reached = np.take_along_axis(d, found.T, 0)
    assert np.allclose(np.sort(reached, 0), np.take_along_axis(d, order, 0), rtol=0, atol=1e-12)
    assert all(len(set(row)) == 7 for row in found)


def test_nearest_with_itself_and_with_everything() -> None:
    net = network(Nearest(1, autapses=True), 50, 50, SHEET, same=True)
    assert np.array_equal(table(edges(net), net), np.eye(50))
    net = network(Nearest(50), 50, 20, CUBE)
    assert (table(edges(net), net) == 1).all()


def test_weights_and_delays_are_functions_of_the_distance() -> None:
    synapse = {"weight": 8.0 * Gaussian(std=0.3), "delay": 0.2 + 5.0 * Distance()}
    for rule in (FixedIndegree(50), AllToAll(), Bernoulli(0.3), FixedIndegree(20, p=Exponential(0.3)), FixedOutdegree(20)):
        net = network(rule, 200, 150, TORUS, **synapse)
        e = edges(net)
        d = distances(net)[e["pre"], e["post"]]
        assert np.abs(e["weight"] - 8.0 * np.exp(-(d**2) / 2 / 0.09)).max() <= 2.0**-12 + 1e-6  # half of the 16-bit grid
        assert np.allclose(e["delay"], np.maximum(np.floor((0.2 + 5.0 * d) / 0.1 + 0.5), 1) * 0.1, atol=1e-9)


def test_random_parts_keep_their_distribution() -> None:
    net = network(
        FixedIndegree(100), 300, 300, TORUS, weight=10.0 * Distance() + snn.Normal(3.0, 0.5), delay=snn.Uniform(0.5, 2.0)
    )
    e = edges(net)
    d = distances(net)[e["pre"], e["post"]]
    assert stats.kstest(e["weight"] - 10.0 * d, stats.norm(3.0, 0.5).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(e["weight"] - 10.0 * d, e["delay"])[0, 1]) < 0.02


def test_functions_of_the_synapses() -> None:
    """By argument name, of connections that are known beforehand; of the distance alone, of any."""
    pre, post = np.array([0, 3, 3, 5]), np.array([1, 0, 2, 2])
    where = Free(np.arange(12.0).reshape(6, 2))
    net = network(Explicit(pre, post), 6, 6, where, same=True, weight=lambda pre, post: 10.0 * pre + post,
                  delay=lambda pos_pre, pos_post: 0.1 + np.abs(pos_post - pos_pre).max(axis=1))  # fmt: skip
    e = edges(net)
    assert np.array_equal(e["weight"], 10.0 * e["pre"] + e["post"])
    assert np.allclose(e["delay"], 0.1 + 2.0 * np.abs(e["pre"] - e["post"]))
    for rule in (OneToOne(), AllToAll(autapses=False)):
        e = edges(network(rule, 6, 6, where, same=True, weight=lambda pre, post: 1.0 + pre * post))
        assert np.array_equal(e["weight"], 1.0 + e["pre"] * e["post"]) and len(e["pre"]) == (
            6 if rule.__class__ is OneToOne else 30
        )
    net = network(FixedIndegree(3), 6, 6, where, same=True, weight=lambda distance: 2.0 - distance / 20.0)
    e = edges(net)
    assert np.allclose(e["weight"], 2.0 - distances(net)[e["pre"], e["post"]] / 20.0, atol=2e-4)


def test_the_table_keeps_its_bound() -> None:
    """(r/n)**2/8 max|f''| as distance.py states it, against the formula."""
    from eventsnn.distance import profile

    for std, reach in ((0.1, 0.7), (1.0, 2.0)):
        t = profile(Gaussian(std=std), reach)
        d = np.linspace(0.0, reach, 100_001)
        error = np.abs(np.interp(d, np.linspace(0.0, reach, len(t)), t) - np.exp(-(d**2) / 2 / std**2)).max()
        assert error < 7.5e-9 * (reach / std) ** 2


BAD = {
    "p is a number by distance": lambda: Bernoulli("0.3"),
    "needs positions": lambda: network(Bernoulli(Gaussian(0.1)), 4, 4, None),
    "too likely": lambda: network(Bernoulli(2.0 * Gaussian(0.1)), 4, 4, SHEET),
    "negative": lambda: network(FixedIndegree(2, p=0.5 - Distance()), 40, 4, SHEET),
    "random p": lambda: network(Bernoulli(Gaussian(0.1) + snn.Uniform(0.0, 0.1)), 4, 4, SHEET),
    "out of reach": lambda: network(FixedIndegree(9, mask=Ball(0.05), multapses=False), 100, 10, SHEET),
    "no shape": lambda: FixedIndegree(3, p=0.3),
    "no region": lambda: FixedIndegree(3, mask=0.3),
    "dimensions": lambda: network(Bernoulli(0.1, mask=Box((0.0,), (1.0,))), 4, 4, SHEET),
    "too many": lambda: network(Nearest(4), 4, 4, SHEET, same=True),
    "delay": lambda: network(AllToAll(), 4, 4, SHEET, delay=0.0 * Distance()),
    "no positions": lambda: network(AllToAll(), 4, 4, None, weight=Distance()),
    "unknown word": lambda: network(AllToAll(), 4, 4, SHEET, weight=lambda source: source),
    "no positions of drawn ones": lambda: network(FixedIndegree(2), 4, 4, None, weight=lambda pre, pos_pre: pre),
    "of a neuron": lambda: snn.Network(seed=1, dt=0.1).population("a", 3, IafPscExp(), V_m=Distance()),
}


@pytest.mark.parametrize("name", BAD)
def test_impossible_things_raise_where_they_are_asked_for(name: str) -> None:
    with pytest.raises(EventsnnError):
        BAD[name]()


def test_set_weights_and_checkpoints_keep_located_edges(tmp_path: Any) -> None:
    def build() -> snn.Network:
        synapse = {"weight": 9.0 * Gaussian(std=0.3), "delay": 1.0 + Distance()}
        net = network(Bernoulli(Gaussian(std=0.2)), 100, 100, TORUS, same=True, **synapse)
        net.record(net["pre"], "spikes")
        return net

    with snn.Simulation(build(), store=tmp_path / "run.zarr", threads=2) as sim:
        before = dict(sim["p"].weights())
        sim["p"].set_weights(before["weight"] * 0.5)
        sim.run(1.0)
        sim.checkpoint()
    with snn.resume(tmp_path / "run.zarr", parts=2) as sim:
        after = dict(sim["p"].weights())
    assert all(np.array_equal(before[word], after[word]) for word in ("pre", "post", "delay"))
    assert np.allclose(after["weight"], before["weight"] * 0.5, rtol=0, atol=2.0**-12)


def test_like_has_the_same_edges_by_distance() -> None:
    for rule in (Bernoulli(Gaussian(std=0.2)), FixedOutdegree(9, p=Gaussian(std=0.2)), FixedIndegree(9), Nearest(5)):
        net = network(rule, 100, 90, TORUS, weight=2.0 * Gaussian(std=0.3), delay=1.0 + Distance())
        net.connect(like="p", weight=4.0 * Gaussian(std=0.3), name="q")
        with snn.Simulation(net, parts=2) as sim:
            p, q = sim["p"].weights(), sim["q"].weights()
        assert all(np.array_equal(p[word], q[word]) for word in ("pre", "post", "delay"))
        assert np.allclose(q["weight"], 2.0 * p["weight"], rtol=0, atol=2.0**-12)


def test_a_network_is_told_with_its_rules_and_positions() -> None:
    net = network(Bernoulli(0.5 * Gaussian(std=0.1), mask=Ball(0.3)), 10, 10, Grid((10,)))
    told = net.describe()
    assert "Bernoulli(p=0.5 * Gaussian(std=0.1), mask=Ball(radius=0.3))" in told
    assert "Grid(shape=(10,), extent=(1.0,), center=(0.0,), edge_wrap..." in told


def test_bounds_hold_where_neurons_lie_in_heaps() -> None:
    """The integer input is scaled by a bound on in-degrees: it holds for every target, however positions are spread."""
    rng = np.random.default_rng(2)
    heaps = np.concatenate([rng.normal(x, 0.001, (60, 2)) for x in ([0.0, 0.0], [1.0, 0.3], [0.4, 0.9])] + [rng.random((20, 2))])
    near = Gaussian(std=0.0005)
    with pytest.raises(EventsnnError, match="source 180 has 1 neurons within reach"):
        network(FixedOutdegree(3, p=near, multapses=False), 200, 200, Free(heaps), same=True)
    heaps = heaps[:180]
    for rule in (
        FixedOutdegree(6, p=near),
        FixedOutdegree(3, p=near, multapses=False),
        Bernoulli(near),
        FixedOutdegree(5, mask=Ball(0.002)),
    ):
        net = network(rule, 180, 180, Free(heaps), same=True)
        t = table(edges(net), net)
        assert t.sum(0).max() <= net.projections["p"].per_target <= 200 * 6
        if isinstance(rule, FixedOutdegree):
            assert (t.sum(1) == rule.outdegree).all()
