"""Connections and random input as they are built: exact degrees, uniform draws, distributions, reported weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import eventsnn as snn
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    IafPscExp,
    OneToOne,
    Parrot,
    Poisson,
    PoissonInput,
    Static,
)


def edges(
    rule: Any, n_pre: int, n_post: int, same: bool = False, seed: int = 1, threads: int | None = None, **synapse: Any
) -> dict[str, Any]:
    """The connections of one projection."""
    net = snn.Network(seed=seed, dt=0.1)
    pre = net.population("pre", n_pre, IafPscExp())
    post = pre if same else net.population("post", n_post, IafPscExp())
    net.connect(pre >> post, rule, Static(**{"weight": 1.0, "delay": 1.0, **synapse}), name="p")
    with snn.Simulation(net, threads=threads) as sim:
        return dict(sim["p"].weights())


def table(e: dict[str, Any], n_pre: int, n_post: int) -> np.ndarray:
    out = np.zeros((n_pre, n_post), int)
    np.add.at(out, (e["pre"], e["post"]), 1)
    return out


def test_all_to_all_and_one_to_one_are_exact() -> None:
    assert (table(edges(AllToAll(), 7, 9), 7, 9) == 1).all()
    assert (table(edges(AllToAll(autapses=False), 8, 8, same=True), 8, 8) == 1 - np.eye(8)).all()
    assert (table(edges(OneToOne(), 9, 9), 9, 9) == np.eye(9)).all()


def test_explicit_edges_keep_their_weights_and_delays() -> None:
    rng = np.random.default_rng(5)
    pre, post = rng.integers(0, 30, 200), rng.integers(0, 40, 200)
    weight, delay = rng.normal(size=200), rng.integers(1, 90, 200) * 0.1
    e = edges(Explicit(pre, post), 30, 40, weight=weight, delay=delay)
    order = np.argsort(post, kind="stable")
    assert np.array_equal(e["pre"], pre[order]) and np.array_equal(e["post"], post[order])
    assert np.allclose(e["weight"], weight[order], rtol=0, atol=np.abs(weight).max() * 2.0**-31)
    assert np.allclose(e["delay"], delay[order])


@pytest.mark.parametrize("multapses", [True, False])
@pytest.mark.parametrize("autapses", [True, False])
def test_fixed_degrees_are_exact(multapses: bool, autapses: bool) -> None:
    t = table(edges(FixedIndegree(37, autapses=autapses, multapses=multapses), 60, 60, same=True), 60, 60)
    assert (t.sum(0) == 37).all()
    assert multapses or t.max() == 1
    assert autapses or not np.diag(t).any()
    t = table(edges(FixedOutdegree(37, autapses=autapses, multapses=multapses), 60, 60, same=True), 60, 60)
    assert (t.sum(1) == 37).all()
    assert multapses or t.max() == 1
    assert autapses or not np.diag(t).any()


def uniform_p(t: np.ndarray) -> float:
    return float(stats.chisquare(t.ravel()).pvalue)


@pytest.mark.parametrize(
    "rule",
    [FixedIndegree(200), FixedOutdegree(200), FixedTotalNumber(20000), FixedIndegree(50, multapses=False), Bernoulli(0.3)],
    ids=str,
)
def test_every_pair_is_equally_likely(rule: Any) -> None:
    """Chi-square over many seeds: p values of a uniform draw are uniform (Kolmogorov-Smirnov)."""
    total = np.zeros((100, 100), int)
    p = []
    for seed in range(12):
        t = table(edges(rule, 100, 100, seed=seed), 100, 100)
        total += t
        counts = t.sum(1) if isinstance(rule, FixedIndegree) else t.sum(0)
        if isinstance(rule, FixedTotalNumber):
            p.append(float(stats.chisquare(counts).pvalue))
    blocks = total.reshape(10, 10, 10, 10).sum((1, 3))
    spread = 1.0 if not isinstance(rule, Bernoulli) and getattr(rule, "multapses", True) else 0.7
    assert stats.chi2.sf(((blocks - blocks.mean()) ** 2 / blocks.mean()).sum() / spread, 99) > 1e-4
    assert not p or stats.kstest(p, "uniform").pvalue > 1e-3


def test_a_total_number_is_dealt_exactly_and_binomially() -> None:
    t = table(edges(FixedTotalNumber(123457), 300, 500), 300, 500)
    assert t.sum() == 123457
    indegree = t.sum(0)
    assert abs(indegree.var() / (123457 / 500) - 1.0) < 0.35
    assert stats.chisquare(indegree).pvalue > 1e-4


def test_bernoulli_numbers_are_binomial() -> None:
    t = table(edges(Bernoulli(0.1), 400, 400), 400, 400)
    assert t.max() == 1
    assert abs(t.sum() - 16000) < 4 * np.sqrt(16000 * 0.9)
    assert abs(t.sum(0).var() / (400 * 0.09) - 1.0) < 0.4


def test_binomial_draws_have_the_binomial_distribution() -> None:
    from eventsnn.backends.cpu.degrees import binomial, binomial_pmf

    for n, p in ((10, 0.3), (1000, 0.02), (50_000_000, 1e-5), (45_000_000, 0.5)):
        mode = int((n + 1) * p)
        for k in (0, mode, min(n, mode + 7)):
            assert np.isclose(binomial_pmf(n, p, k), stats.binom.pmf(k, n, p), rtol=1e-6, atol=1e-290)
        u = (np.arange(4000) + 0.5) / 4000
        draws = np.array([binomial(n, p, x) for x in u])
        expected = stats.binom(n, p)
        assert abs(draws.mean() - expected.mean()) < 0.1 * expected.std()
        assert abs(draws.std() / expected.std() - 1.0) < 0.05


@pytest.mark.parametrize("rule", [FixedIndegree(500), FixedOutdegree(1000), FixedOutdegree(1000, autapses=False)], ids=str)
def test_drawn_weights_and_delays_follow_their_distributions(rule: Any) -> None:
    e = edges(
        rule,
        200,
        400,
        weight=snn.Normal(87.8, 8.78).truncate(0.0, None),
        delay=snn.Normal(1.5, 0.75).truncate(0.05, None),
    )
    assert abs(e["weight"].mean() - 87.8) < 4 * 8.78 / np.sqrt(2e5)
    assert stats.kstest(e["weight"], stats.norm(87.8, 8.78).cdf).pvalue > 1e-4
    assert e["delay"].min() == 0.1
    x = stats.truncnorm((0.05 - 1.5) / 0.75, np.inf, 1.5, 0.75)
    steps = np.rint(e["delay"] / 0.1).astype(int)
    expected = np.diff(x.cdf((np.arange(0, 40) + 0.5) * 0.1)) * len(steps)
    found = np.bincount(steps, minlength=40)[1:40]
    assert stats.chi2.sf(((found - expected) ** 2 / expected).sum(), 38) > 1e-4
    pairs = np.corrcoef([e["weight"], e["delay"], e["post"], e["pre"]])[np.triu_indices(4, 1)]
    assert np.abs(pairs).max() < 4.5 / np.sqrt(2e5)


def test_mixed_signs_split_between_receptors() -> None:
    """A weight goes to the receptor of its own sign; every synapse is delivered once."""
    net = snn.Network(seed=2, dt=0.1)
    source = net.population("source", 50, Poisson(rate=300.0))
    cell = net.population("cell", 20, IafPscExp(V_th=1e9))
    net.connect(source >> cell, AllToAll(), Static(weight=snn.Normal(0.0, 10.0), delay=snn.Uniform(1.0, 3.0)), name="p")
    net.record(source, "spikes")
    net.record(cell, "ex", dtype="float64")
    net.record(cell, "in", dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(50.0)
        w, run = sim["p"].weights(), snn.open(sim)
    assert (w["weight"] > 0).any() and (w["weight"] < 0).any()
    spikes = run["source/spikes"]
    expected = {"ex": np.zeros((500, 20)), "in": np.zeros((500, 20))}
    for tick, neuron in zip(spikes["tick"].values, spikes["neuron"].values, strict=True):
        for k in np.flatnonzero(w["pre"] == neuron):
            due = tick + round(w["delay"][k] / 0.1) - 1
            if due < 500:
                expected["ex" if w["weight"][k] >= 0 else "in"][due, w["post"][k]] += w["weight"][k]
    for name, values in expected.items():
        assert np.allclose(run[f"cell/{name}"][name].values, values, atol=1e-9)


@pytest.mark.parametrize("rate", [500.0, 5000.0, 90000.0, 250000.0])
def test_poisson_input_has_poisson_counts(rate: float) -> None:
    """Mean and variance of the counts per step; large means are sums of exact parts."""
    net = snn.Network(seed=7, dt=0.1)
    cell = net.population("cell", 500, IafPscExp(V_th=1e9))
    net.stimulate(cell, PoissonInput(rate=rate, weight=1.0))
    net.record(cell, "ex", dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(20.0)
        counts = snn.open(sim)["cell/ex"]["ex"].values
    mean = rate * 1e-4
    n = counts.size
    assert np.array_equal(counts, np.rint(counts))
    assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / n)
    assert abs(counts.var() - mean) < 4 * np.sqrt((mean + 2 * mean**2) / n)
    columns = np.corrcoef(counts[:, :20].T)
    assert np.abs(columns[~np.eye(20, dtype=bool)]).max() < 0.4


@pytest.mark.parametrize("rate", [10.0, np.linspace(0.0, 200.0, 300), snn.Uniform(10.0, 20.0)], ids=["one", "each", "drawn"])
def test_poisson_neurons_keep_their_rates(rate: Any) -> None:
    net = snn.Network(seed=7, dt=0.1)
    source = net.population("source", 300, Poisson(rate=rate))
    net.record(source, "spikes")
    with snn.Simulation(net) as sim:
        rates = sim["source"].get("rate")
        sim.run(5000.0)
        counts = sim["source"].counts()
        spikes = snn.open(sim)["source/spikes"]
        assert np.array_equal(np.bincount(spikes["neuron"].values, minlength=300), counts)
    expected = rates * 5.0
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected) + 1e-9).all()
    assert abs(counts.sum() - expected.sum()) < 4 * np.sqrt(expected.sum())


def test_a_selection_draws_what_the_population_would() -> None:
    def currents(selection: Any) -> np.ndarray:
        net = snn.Network(seed=7, dt=0.1)
        cell = net.population("cell", 1000, IafPscExp(V_th=1e9))
        net.stimulate(cell[selection], PoissonInput(rate=5000.0, weight=3.0))
        net.record(cell, "ex", dtype="float64")
        with snn.Simulation(net) as sim:
            sim.run(5.0)
            return snn.open(sim)["cell/ex"]["ex"].values  # type: ignore[no-any-return]

    whole = currents(slice(None))
    for selection in (slice(0, 100), [3, 500, 501, 999]):
        part = currents(selection)
        inside = np.zeros(1000, bool)
        inside[selection] = True
        assert np.array_equal(part[:, inside], whole[:, inside]) and not part[:, ~inside].any()


def test_parrots_repeat_every_spike_with_its_multiplicity() -> None:
    net = snn.Network(seed=7, dt=0.1)
    source = net.population("source", 20, Poisson(rate=8000.0))
    parrot = net.population("parrot", 20, Parrot())
    echo = net.population("echo", 20, Parrot())
    net.connect(source >> parrot, OneToOne(), Static(weight=1.0, delay=1.0))
    net.connect(parrot >> echo, OneToOne(), Static(weight=1.0, delay=0.5))
    for p in (source, parrot, echo):
        net.record(p, "spikes")
    with snn.Simulation(net) as sim:
        sim.run(20.0)
        run = snn.open(sim)
    trains = {
        name: np.stack([run[f"{name}/spikes"][x].values for x in ("tick", "neuron")]) for name in ("source", "parrot", "echo")
    }
    assert (np.unique(trains["source"], axis=1, return_counts=True)[1] > 1).any()
    for name, late in (("parrot", 10), ("echo", 15)):
        expected = trains["source"][:, trains["source"][0] + late <= 200] + [[late], [0]]
        assert np.array_equal(trains[name], expected)
