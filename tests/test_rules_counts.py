"""Rules by numbers: Poisson pairs, symmetric pairs, stubs that are matched; connections shared, cut, scaled and added."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse, stats

import eventsnn as snn
from eventsnn import edges as arrays
from eventsnn.errors import EventsnnError
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedDegrees,
    FixedIndegree,
    IafPscExp,
    PairwisePoisson,
    Static,
    Stdp,
    SymmetricBernoulli,
)


def network(rule: Any, n_pre: int, n_post: int, same: bool = False, seed: int = 1, **synapse: Any) -> snn.Network:
    net = snn.Network(seed=seed, dt=0.1)
    pre = net.population("pre", n_pre, IafPscExp())
    post = pre if same else net.population("post", n_post, IafPscExp())
    net.connect(pre >> post, rule, Static(**{"weight": 1.0, "delay": 1.0, **synapse}), name="p")
    return net


def edges(net: snn.Network, name: str = "p", **how: Any) -> dict[str, np.ndarray]:
    with snn.Simulation(net, **how) as sim:
        return dict(sim[name].weights())


def table(e: dict[str, np.ndarray], n_pre: int, n_post: int) -> np.ndarray:
    out = np.zeros((n_pre, n_post), int)
    np.add.at(out, (e["pre"], e["post"]), 1)
    return out


@pytest.mark.parametrize(
    "rule",
    [
        PairwisePoisson(0.05, autapses=False),
        SymmetricBernoulli(0.03),
        FixedDegrees(20, 20),
        FixedDegrees(20, 20, multapses=False, autapses=False),
    ],
    ids=str,
)
def test_layout_changes_no_edge(rule: Any) -> None:
    net = network(rule, 800, 800, same=True, weight=snn.Normal(1.0, 0.1), delay=snn.Uniform(0.5, 3.0))
    alone = edges(net, threads=1)
    assert len(alone["pre"]) > 10_000
    for how in ({"threads": 2}, {"parts": 3}):
        other = edges(net, **how)
        assert all(np.array_equal(alone[word], other[word]) for word in alone)


def test_poisson_pairs() -> None:
    """Each pair's number is Poisson, by chi-square over what pairs have; in-degrees are Poisson as well."""
    for mean, n_pre in ((0.02, 400), (0.7, 300), (3.0, 60)):
        net = network(PairwisePoisson(mean), n_pre, 300, seed=4)
        t = table(edges(net), n_pre, 300)
        k = np.arange(12)
        expected = stats.poisson.pmf(k, mean) * t.size
        enough = expected > 5
        observed = np.bincount(t.ravel(), minlength=12)[:12]
        pooled = np.append(observed[enough], t.size - observed[enough].sum())
        pmf = np.append(expected[enough], t.size - expected[enough].sum())
        assert stats.chi2.sf(((pooled - pmf) ** 2 / pmf).sum(), len(pmf) - 1) > 1e-3
        into = t.sum(0)
        assert stats.chi2.sf(((into - mean * n_pre) ** 2 / (mean * n_pre)).sum(), 300) > 1e-3
        assert abs(t.sum() - mean * t.size) < 3.5 * np.sqrt(mean * t.size)
        assert net.projections["p"].per_target > into.max()
    assert not np.diag(table(edges(network(PairwisePoisson(2.0, autapses=False), 50, 50, same=True)), 50, 50)).any()
    assert not len(edges(network(PairwisePoisson(0.0), 50, 50))["pre"])


def test_poisson_draws_have_the_poisson_distribution() -> None:
    from eventsnn.backends.cpu.degrees import poisson, poisson_pmf

    for mean in (0.3, 4.0, 77.7, 1e5, 1e9):
        mode = int(mean)
        for k in (0, mode, mode + 3):
            assert np.isclose(poisson_pmf(mean, k), stats.poisson.pmf(k, mean), rtol=1e-6, atol=1e-290)
        u = (np.arange(4000) + 0.5) / 4000
        draws = np.array([poisson(mean, x) for x in u])
        assert abs(draws.mean() - mean) < 0.1 * np.sqrt(mean)
        assert abs(draws.std() / np.sqrt(mean) - 1.0) < 0.05


def test_symmetric_pairs() -> None:
    for p in (0.02, 0.5, 1.0):
        net = network(SymmetricBernoulli(p), 300, 300, same=True, seed=9)
        t = table(edges(net), 300, 300)
        assert np.array_equal(t, t.T) and t.max() == 1 and not np.diag(t).any()
        pairs = 300 * 299 / 2
        assert abs(t.sum() / 2 - p * pairs) <= 3.5 * np.sqrt(pairs * p * (1.0 - p))
        if p < 1.0:
            spread = 299 * p * (1.0 - p)
            assert stats.chi2.sf(((t.sum(0) - 299 * p) ** 2 / spread).sum(), 300) > 1e-3
    chosen = network(AllToAll(), 40, 40, same=True)
    some = chosen["pre"][::3]
    chosen.connect(some >> some, SymmetricBernoulli(0.6), Static(weight=1.0, delay=1.0), name="some")
    e = edges(chosen, "some")
    assert len(e["pre"]) and set(e["pre"]) | set(e["post"]) <= set(range(0, 40, 3))


@pytest.mark.parametrize("multapses", [True, False])
@pytest.mark.parametrize("autapses", [True, False])
def test_matched_stubs_have_both_degrees(multapses: bool, autapses: bool) -> None:
    t = table(edges(network(FixedDegrees(12, 12, autapses, multapses), 90, 90, same=True)), 90, 90)
    assert (t.sum(0) == 12).all() and (t.sum(1) == 12).all()
    assert multapses or t.max() == 1
    assert autapses or not np.diag(t).any()
    t = table(edges(network(FixedDegrees(30, 20, multapses=multapses), 60, 40)), 60, 40)
    assert (t.sum(0) == 30).all() and (t.sum(1) == 20).all()
    assert (t > 1).any() == multapses


def test_matched_stubs_are_even_over_pairs() -> None:
    total = sum(table(edges(network(FixedDegrees(10, 10), 40, 40, seed=s)), 40, 40) for s in range(30))
    mean = 30 * 10 / 40
    assert stats.chi2.sf(((total - mean) ** 2 / mean).sum() / (1 - 1 / 40) ** 2, 39 * 39) > 1e-3
    full = table(edges(network(FixedDegrees(8, 8, multapses=False), 8, 8)), 8, 8)
    assert (full == 1).all()


def test_permutations_are_permutations() -> None:
    from eventsnn.backends.cpu.matching import permuted

    for n in (1, 2, 3, 17, 1000, 4099):
        assert sorted(permuted(x, n, 5, 6) for x in range(n)) == list(range(n))


def test_unequal_products_name_both() -> None:
    with pytest.raises(EventsnnError, match=r"40 targets \* indegree 3 = 120, but 60 sources \* outdegree 3 = 180"):
        network(FixedDegrees(3, 3), 60, 40)


# ---- shared connections


@pytest.mark.parametrize("how", [{"threads": 1}, {"parts": 2}], ids=str)
def test_like_has_the_same_edges_and_delays(how: dict[str, Any]) -> None:
    for rule in (FixedIndegree(20), Bernoulli(0.1), Explicit(np.arange(60), np.arange(60)[::-1])):
        net = network(rule, 60, 60, delay=snn.Uniform(0.5, 4.0))
        p = net.projections["p"]
        net.connect(like=p, weight=-snn.Uniform(1.0, 2.0), receptor="in", name="other")
        net.connect(like="other", delay=7.0, name="third")
        first, other, third = (edges(net, name, **how) for name in ("p", "other", "third"))
        for e in (other, third):
            assert np.array_equal(e["pre"], first["pre"]) and np.array_equal(e["post"], first["post"])
        assert np.array_equal(other["delay"], first["delay"]) and (third["delay"] == 7.0).all()
        assert (other["weight"] < -0.99).all() and np.array_equal(third["weight"], other["weight"])


def test_like_survives_copy_merge_and_the_store() -> None:
    from eventsnn.canonical import canonical
    from eventsnn.restored import restore

    net = network(FixedIndegree(20), 60, 60)
    net.connect(like="p", weight=2.0, name="q")
    whole = snn.Network(seed=1, dt=0.1)
    whole.merge(net, "part")
    for made, start in ((net.copy(), ""), (restore(canonical(net), {}.__getitem__), ""), (whole, "part/")):
        e, f = edges(made, f"{start}p"), edges(made, f"{start}q")
        assert np.array_equal(e["pre"], f["pre"]) and (f["weight"] == 2.0).all()
    for wrong in ({"like": "nothing"}, {"weight": 3.0}, {"like": "p", "rule": AllToAll()}, {"like": 3}):
        with pytest.raises(EventsnnError):
            net.connect(**wrong)


def test_plastic_synapses_are_shared_and_scaled_as_well() -> None:
    net = network(FixedIndegree(20), 60, 60)
    made = net.connect(net["pre"] >> net["post"], FixedIndegree(4), Stdp(weight=1.0, delay=1.0, Wmax=8.0), name="plastic")
    assert net.scale(made, 2.0).synapse.weight == 2.0
    shared = net.connect(like="plastic", weight=3.0)
    assert (type(shared.synapse), shared.synapse.weight, shared.synapse.Wmax) == (Stdp, 3.0, 8.0)


# ---- edges as arrays


def test_matrices_and_tables() -> None:
    rng = np.random.default_rng(3)
    matrix = sparse.random_array((30, 40), density=0.2, rng=rng)
    for given in (matrix, matrix.tocsr(), matrix.toarray()):
        e = arrays.from_matrix(given)
        net = network(e.rule, 30, 40, weight=e.weight, delay=1.0)
        back = arrays.to_scipy(edges(net), (30, 40)).toarray()
        assert np.allclose(back, matrix.toarray(), rtol=0, atol=2.0**-30)
    rows = np.array([[0, 1, 2.5, 0.5], [3, 1, 1.5, 0.7]])
    named = np.rec.fromarrays(rows.T, names="pre,post,weight,delay")
    for given in (rows, rows.tolist(), named, dict(zip(("pre", "post", "weight", "delay"), rows.T, strict=True))):
        e = arrays.from_table(given)
        found = edges(network(e.rule, 4, 4, weight=e.weight, delay=e.delay))
        assert found["pre"].tolist() == [0, 3] and found["weight"].tolist() == [2.5, 1.5]
        assert np.allclose(found["delay"], [0.5, 0.7])
    assert arrays.from_table(rows[:, :2]).weight is None
    for wrong in (rows[:, :1], {"pre": [1]}, [[0.5, 1.0]], np.zeros((2, 2, 2))):
        with pytest.raises(EventsnnError):
            arrays.from_table(wrong)
    with pytest.raises(EventsnnError):
        arrays.from_matrix(np.zeros(3))


def test_degrees_are_counted() -> None:
    e = {"pre": np.array([0, 0, 1, 2]), "post": np.array([1, 1, 1, 2]), "weight": np.ones(4)}
    out, into = arrays.degrees(e, (3, 4))
    assert out.tolist() == [2, 1, 1] and into.tolist() == [0, 3, 1, 0]
    told = arrays.degree_table(e, (3, 4))
    assert told["number"] == {"synapses": 4, "multapses": 1, "autapses": 2}
    assert told["in"] == {"mean": 1.0, "std": float(np.std([0, 3, 1, 0])), "min": 0.0, "max": 3.0}


def test_shares_of_the_fan_in() -> None:
    assert arrays.fan_in_shares(1000, {"a": 0.8, "b": 0.19, "c": 0.01}) == {"a": 800, "b": 190, "c": 10}
    assert arrays.fan_in_shares(10, {"a": 1, "b": 1, "c": 1}) == {"a": 4, "b": 3, "c": 3}
    assert sum(arrays.fan_in_shares(997, {str(k): k for k in range(1, 20)}).values()) == 997
    for wrong in ((10, {}), (10, {"a": -1.0}), (-1, {"a": 1.0}), (10, {"a": 0.0})):
        with pytest.raises(EventsnnError):
            arrays.fan_in_shares(*wrong)


def test_edges_are_cut_scaled_and_added_before_the_run() -> None:
    pre, post = np.array([0, 1, 2, 3]), np.array([3, 2, 1, 0])
    net = network(Explicit(pre, post), 4, 4, weight=np.array([1.0, 2.0, 3.0, 4.0]), delay=1.5)
    net.prune("p", np.array([True, False, True, True]))
    net.prune("p", lambda pre, weight: (pre != 0) & (weight < 3.5))
    assert edges(net)["weight"].tolist() == [3.0]
    net.scale("p", 2.0)
    net.extend("p", [0, 0], [0, 1], weight=0.5, delay=2.0)
    e = edges(net)
    assert sorted(zip(e["pre"], e["post"], e["weight"], e["delay"], strict=True)) == [
        (0, 0, 0.5, 2.0), (0, 1, 0.5, 2.0), (2, 1, 6.0, 1.5)]  # fmt: skip
    drawn = network(FixedIndegree(3), 10, 10, weight=snn.Uniform(1.0, 2.0))
    before = edges(drawn)
    drawn.scale("p", 3.0)
    assert np.allclose(edges(drawn)["weight"], 3.0 * before["weight"], rtol=0, atol=3.1e-4)
    with pytest.raises(EventsnnError, match="drawn by FixedIndegree"):
        drawn.prune("p", np.ones(30, bool))
    for wrong in (
        lambda: net.prune("p", [True]),
        lambda: net.prune("p", lambda x: x),
        lambda: net.extend("p", [0], [9], 1.0, 1.0),
        lambda: net.extend("p", [0], [1, 2]),
        lambda: net.extend("p", [0], [1]),
        lambda: net.extend("p", [0, 1], [1, 1], snn.Uniform(0.0, 1.0), 1.0),
        lambda: net.extend("p", [0, 1], [1, 1], lambda pre: pre, 1.0),
        lambda: net.extend("p", [0, 1], [1, 1], "x", 1.0),
        lambda: net.extend("p", [0, 1], [1, 1], [1.0, 2.0, 3.0], 1.0),
        lambda: net.extend("p", [0, -1], [1, 1], 1.0, 1.0),
        lambda: net.scale("nothing", 2.0),
    ):
        with pytest.raises(EventsnnError):
            wrong()


WRONG = {
    "different": lambda: network(SymmetricBernoulli(0.1), 4, 4),
    "p": lambda: SymmetricBernoulli(1.1),
    "mean": lambda: PairwisePoisson(-1.0),
    "text": lambda: PairwisePoisson("1"),
    "too few": lambda: network(FixedDegrees(5, 5, multapses=False), 4, 4),
    "many": lambda: network(PairwisePoisson(2e9), 4, 4),
}


@pytest.mark.parametrize("name", WRONG)
def test_impossible_things_raise_where_they_are_asked_for(name: str) -> None:
    with pytest.raises(EventsnnError):
        WRONG[name]()
