"""Drawn connections that are listed before a run: functions of both neurons, edges cut and added, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.errors import EventsnnError, KindError, ParameterError, ShapeError
from eventsnn.explicit import explicit
from eventsnn.lower import lower
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedDegrees,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    IafCondExp,
    IafPscExp,
    Nearest,
    OneToOne,
    PairwisePoisson,
    SpikeTrain,
    Static,
    Stdp,
    SymmetricBernoulli,
)
from eventsnn.positions import Scattered
from eventsnn.regions import Box

SHEET = Scattered(Box((0.0, 0.0), (1.0, 1.0)), edge_wrap=True)
Table = dict[str, np.ndarray]


def network(rule: Any, same: bool = False, name: str = "p", places: Any = None, **synapse: Any) -> snn.Network:
    net = snn.Network(seed=11, dt=0.1)
    pre = net.population("pre", 80, IafPscExp(), positions=places)
    post = pre if same else net.population("post", 70, IafPscExp(), positions=places)
    net.connect(pre >> post, rule, Static(**{"weight": 1.0, "delay": 1.0, **synapse}), name=name)
    return net


def edges(net: snn.Network, name: str = "p", **how: Any) -> Table:
    with snn.Simulation(net, **how) as sim:
        return dict(sim[name].weights())


def rows(e: Table) -> list[tuple[float, ...]]:
    return sorted(zip(*(e[word].tolist() for word in ("pre", "post", "weight", "delay")), strict=True))


# ---- functions of both neurons

DRAWN = [
    FixedIndegree(7),
    FixedIndegree(7, multapses=False),
    FixedOutdegree(6),
    FixedOutdegree(6, multapses=False),
    FixedTotalNumber(400),
    Bernoulli(0.1),
    PairwisePoisson(0.1),
    FixedDegrees(8, 7),
]
ALIKE = [FixedDegrees(6, 6, autapses=False), SymmetricBernoulli(0.1)]
DELAYS = snn.Uniform(0.5, 4.0)


@pytest.mark.parametrize("rule", [*DRAWN, *ALIKE], ids=str)
def test_functions_see_the_connections_that_any_layout_draws(rule: Any) -> None:
    """The same edges and delays as with a number for a weight; whole numbers below 2**31 are kept exactly."""
    same = any(rule is r for r in ALIKE)
    plain = edges(network(rule, same, delay=DELAYS))
    calls: list[int] = []

    def weight(post: Any, pre: Any) -> Any:
        calls.append(len(pre))
        return 100.0 * pre - post

    for how in ({"threads": 1}, {"threads": 2}, {"parts": 3}):
        found = edges(network(rule, same, delay=DELAYS, weight=weight), **how)
        assert len(found["pre"]) > 100 and all(np.array_equal(found[word], plain[word]) for word in ("pre", "post", "delay"))
        assert np.array_equal(found["weight"], 100.0 * found["pre"] - found["post"])
    assert calls == [len(plain["pre"])] * 3


def test_functions_of_positions_and_delays() -> None:
    net = network(
        Bernoulli(0.2),
        places=SHEET,
        weight=lambda pos_pre, pos_post: np.where(pos_pre[:, 0] < pos_post[:, 0], 3.0, 5.0),
        delay=lambda distance, pre: 0.5 + distance + 0.1 * (pre % 2),
    )
    at, to = net["pre"].positions, net["post"].positions
    e = edges(net, parts=2)
    assert np.array_equal(e["weight"], np.where(at[e["pre"], 0] < to[e["post"], 0], 3.0, 5.0))
    apart = np.abs(at[e["pre"]] - to[e["post"]])
    apart = np.sqrt((np.minimum(apart, 1.0 - apart) ** 2).sum(1))
    steps = (0.5 + apart + 0.1 * (e["pre"] % 2)) / 0.1
    assert np.abs(e["delay"] / 0.1 - steps).max() <= 0.5 + 1e-6
    near = edges(network(Nearest(5), places=SHEET, weight=lambda pre, post: pre + 2.0 * post))
    assert np.array_equal(near["weight"], near["pre"] + 2.0 * near["post"])


@pytest.mark.parametrize("part", [slice(None), slice(20, 60), slice(None, None, 3)])
def test_each_sign_reaches_its_receptor(part: slice) -> None:
    """One spike of each source: the input of a receptor adds up to the weights of its sign."""
    net = snn.Network(seed=2, dt=0.1)
    pre = net.population("pre", 90, SpikeTrain(times=np.full(90, 1.0), ids=np.arange(90)))
    post = net.population("post", 40, IafPscExp())
    weight: Any = lambda pre, post: (pre % 5 - 2.0) * (1 + post % 3)  # noqa: E731
    net.connect(pre[part] >> post[::2], FixedIndegree(9), Static(weight=weight, delay=lambda pre: 0.5 + pre % 2), name="p")
    for receptor in ("ex", "in"):
        net.record(post, receptor, dtype="float64")
    with snn.Simulation(net, parts=2) as sim:
        e = sim["p"].weights()
        sim.run(5.0)
        found = snn.open(sim).load()
    assert set(e["pre"]) <= set(range(90)[part]) and set(e["post"]) <= set(range(0, 40, 2))
    expected = weight(e["pre"], e["post"])
    for receptor, mine in (("ex", expected > 0.0), ("in", expected < 0.0)):
        totals = np.bincount(e["post"][mine], expected[mine], 40)
        assert np.array_equal(found[f"post/{receptor}"][receptor].values.sum(0), totals) and totals.any()


def test_a_stored_run_needs_no_function(tmp_path: Path) -> None:
    net = network(FixedIndegree(5), weight=lambda pre, post: pre - 2.0 * post, delay=DELAYS)
    net.prune("p", lambda weight: weight < 50.0)
    net.record(net["post"], "spikes")
    with snn.Simulation(net, store=tmp_path / "run.zarr") as sim:
        before = rows(sim["p"].weights())
        sim.run(1.0)
        sim.checkpoint()
    for given in (None, net):
        with snn.resume(tmp_path / "run.zarr", given, parts=2) as sim:
            assert rows(sim["p"].weights()) == before


@pytest.mark.parametrize(
    ("synapse", "kind", "told"),
    [
        ({"weight": lambda pre: np.ones(3)}, ShapeError, r"projection 'p': weight has shape \(3,\), but there are 560 elements"),
        ({"weight": lambda pre: np.where(pre == 7, np.nan, 1.0)}, ParameterError, "projection 'p': weight must be finite"),
        ({"weight": lambda pre: "heavy"}, KindError, "projection 'p': weight must be a number"),
        ({"delay": lambda pre: 0.01 * pre}, ParameterError, "projection 'p'.* less than one step"),
    ],
)
def test_what_a_function_returns_is_checked_before_anything_runs(synapse: Any, kind: Any, told: str) -> None:
    net = network(FixedOutdegree(7), **synapse)
    with pytest.raises(kind, match=told):
        snn.Simulation(net)


def test_a_conductance_takes_no_negative_weight() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 20, IafCondExp())
    net.connect(cells >> cells, FixedIndegree(3), Static(weight=lambda pre: pre - 5.0, delay=1.0), receptor="ex", name="p")
    with pytest.raises(ParameterError, match="receptor 'ex' is a conductance"):
        snn.Simulation(net)


def test_what_no_function_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    weight: Any = lambda pre, post: pre + post  # noqa: E731
    with pytest.raises(ParameterError, match="weight: a function takes some of pre, post.* not source"):
        network(FixedIndegree(3), weight=lambda source: source)
    with pytest.raises(ParameterError, match="its function needs positions, and population 'pre'"):
        network(FixedIndegree(3), weight=lambda pre, pos_pre: pre)
    with pytest.raises(ParameterError, match="synapses that change take a function with connections that are known"):
        net = snn.Network(seed=1, dt=0.1)
        cells = net.population("cells", 20, IafPscExp())
        net.connect(cells >> cells, FixedIndegree(3), Stdp(weight=weight, delay=1.0))
    monkeypatch.setattr("eventsnn.projection.LISTED", 200)
    network(FixedIndegree(2), weight=weight)
    with pytest.raises(ParameterError, match="projection 'p': weight: for its function: about 210 synapses .* at most 200"):
        network(FixedIndegree(3), weight=weight)
    with pytest.raises(ParameterError, match="projection 'p': prune: about 210 synapses .* at most 200"):
        network(FixedIndegree(3)).prune("p", lambda pre: pre > 3)
    net = network(FixedIndegree(3))
    with pytest.raises(ParameterError, match="like='p' and a route back: about 210 synapses .* at most 200"):
        net.connect(net["post"] >> net["pre"], like="p")


def test_nothing_else_takes_a_network_that_is_not_listed() -> None:
    net = network(FixedIndegree(3), weight=lambda pre: pre + 0.0)
    assert "a function" in net.describe()
    with pytest.raises(ParameterError, match="projection 'p': its connections are listed first"):
        lower(net)
    assert lower(explicit(net)).projections[0].expected == 210.0
    plain = network(FixedIndegree(3))
    assert explicit(plain) is plain


# ---- edges cut, scaled and added


@pytest.mark.parametrize("rule", [FixedIndegree(6), FixedOutdegree(5), Bernoulli(0.1), AllToAll(), OneToOne()], ids=str)
def test_drawn_edges_are_cut_scaled_and_added_in_order(rule: Any) -> None:
    """By hand, from the edges of the network that was left alone."""
    synapse = {"weight": snn.Normal(1.0, 1.0), "delay": DELAYS}
    same = isinstance(rule, OneToOne)
    alone = edges(network(rule, same, **synapse))
    net = network(rule, same, **synapse)
    net.prune("p", lambda weight, pre, delay: (weight > 0.25) & (pre % 3 > 0) & (delay > 1.0))
    net.scale("p", 0.5)
    net.prune(net.projections["p"], lambda weight: weight > 0.25)
    net.extend("p", [1, 1], [2, 3], weight=[-1.0, 0.125], delay=2.0)
    keep = (alone["weight"] > 0.5) & (alone["pre"] % 3 > 0) & (alone["delay"] > 1.0)
    expected = [(pre, post, 0.5 * w, d) for pre, post, w, d in rows({word: x[keep] for word, x in alone.items()})]
    for how in ({"threads": 2}, {"parts": 3}):
        assert rows(edges(net, **how)) == sorted([*expected, (1, 2, -1.0, 2.0), (1, 3, 0.125, 2.0)])
    assert len(expected) > 10
    for made, start in ((net.copy(), ""), (_merged(net), "x/")):
        assert made.projections[start + "p"].listed and len(edges(made, start + "p")["pre"]) > 2


def _merged(net: snn.Network) -> snn.Network:
    whole = snn.Network(seed=11, dt=0.1)
    whole.merge(net, "x")
    return whole


def test_synapses_that_change_and_weights_by_function_are_cut_as_well() -> None:
    net = snn.Network(seed=4, dt=0.1)
    cells = net.population("cells", 50, IafPscExp())
    net.connect(cells >> cells, FixedIndegree(8), Stdp(weight=snn.Uniform(1.0, 2.0), delay=1.0, Wmax=8.0), name="plastic")
    net.connect(cells >> cells, FixedIndegree(8), Static(weight=lambda pre, post: pre - post, delay=1.0), name="function")
    whole = edges(net, "plastic")
    net.prune("plastic", lambda pre, post: pre < post)
    net.scale("function", 2.0)
    net.prune("function", lambda weight: weight > 10.0)
    cut, function = edges(net, "plastic"), edges(net, "function")
    keep = whole["pre"] < whole["post"]
    assert rows(cut) == rows({word: x[keep] for word, x in whole.items()}) and 0 < keep.sum() < 400
    assert np.array_equal(function["weight"], 2.0 * (function["pre"] - function["post"])) and function["weight"].min() > 10.0


CHANGES = {
    "mask": (lambda net: net.prune("p", np.ones(420, bool)), "edges are drawn by FixedIndegree .* so a mask has no order"),
    "word": (lambda net: net.prune("p", lambda x: x), "takes some of pre, post, weight, delay here, not x"),
    "nowhere": (lambda net: net.prune("p", lambda distance: distance > 1), "here, not distance"),
    "range": (lambda net: net.extend("p", [0], [70], 1.0, 1.0), r"post holds 70, but that side has 70 neurons \(0 to 69\)"),
    "kinds": (lambda net: net.extend("p", [0.5], [7], 1.0, 1.0), "pre must hold whole numbers"),
    "pairs": (lambda net: net.extend("p", [0, 1], [7], 1.0, 1.0), "give one pair per connection"),
    "weight": (lambda net: net.extend("p", [0], [7], delay=1.0), "the new edges need weight="),
    "shape": (lambda net: net.extend("p", [0], [7], [1.0, 2.0], 1.0), "extend: weight has shape"),
    "short": (lambda net: net.extend("p", [0], [7], 1.0, 0.01), "extend: a delay of 0.01 ms is less than one step"),
    "drawn": (
        lambda net: net.extend("p", [0], [7], snn.Uniform(0.0, 1.0), 1.0),
        "extend: weight of single edges must be a number or",
    ),
    "drawn delay": (
        lambda net: net.extend("p", [0], [7], 1.0, DELAYS),
        "extend: delay of single edges must be a number or an array",
    ),
    "function": (lambda net: net.extend("p", [0], [7], lambda pre: pre), "extend: weight of single edges must be a number or"),
    "text": (
        lambda net: net.extend("p", [0], [7], "x"),
        "extend: weight of single edges must be a number or an array of 1, not 'x'",
    ),
    "star": (lambda net: net.prune("p", lambda *pre: pre), r"not \*pre"),
    "silent": (lambda net: net.prune("p", np.multiply), "does not tell its arguments|not x1"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_checked_where_they_are_asked_for(name: str) -> None:
    net = network(FixedIndegree(6), weight=snn.Normal(0.0, 1.0))
    change, told = CHANGES[name]
    with pytest.raises(EventsnnError, match=rf"projection 'p': .*{told}"):
        change(net)
    assert not net.projections["p"].listed


def plastic(rule: Any) -> snn.Network:
    net = network(rule)
    net.connect(net["pre"] >> net["post"], rule, Stdp(weight=1.0, delay=1.0, Wmax=8.0), name="plastic")
    return net


@pytest.mark.parametrize("rule", [FixedIndegree(6), Explicit([0, 3], [1, 2])], ids=["drawn", "known"])
def test_added_weights_have_to_fit_the_rule_by_which_they_change(rule: Any) -> None:
    net = plastic(rule)
    for weight, told in ((9.0, "Stdp keeps weights between 0 and 8, and they start at .*9"), (-1.0, "weights of both signs")):
        with pytest.raises(ParameterError, match=f"projection 'plastic': .*{told}"):
            net.extend("plastic", [0], [1], weight=weight)
    assert not net.projections["plastic"].listed
    net.extend("plastic", [0, 1], [1, 1], weight=[8.0, 0.5])
    assert {8.0, 0.5} <= set(edges(net, "plastic")["weight"].tolist())


@pytest.mark.parametrize("rule", [FixedIndegree(6), Explicit([0, 3], [1, 2])], ids=["drawn", "known"])
def test_no_edges_may_be_added(rule: Any) -> None:
    net = network(rule)
    net.extend("p", [], [])
    net.extend("p", [], [], weight=[], delay=2.0)
    assert rows(edges(net)) == rows(edges(network(rule)))


def test_edges_are_added_beside_those_whose_weights_a_function_gave() -> None:
    """Once, before anything is cut."""
    net = network(AllToAll(), weight=lambda pre: np.arange(len(pre)) + 1.0)
    net.prune("p", lambda pre, post: (pre == 1) & (post < 2))
    net.extend("p", [2], [3], weight=0.5)
    assert rows(edges(net)) == [(1, 0, 2.0, 1.0), (1, 1, 82.0, 1.0), (2, 3, 0.5, 1.0)]


def test_a_function_of_known_edges_gives_those_that_are_added_as_well() -> None:
    net = network(Explicit([0, 3], [1, 2]), weight=lambda pre: pre + 1.0)
    net.extend("p", [5], [4])
    assert rows(edges(net)) == [(0, 1, 1.0, 1.0), (3, 2, 4.0, 1.0), (5, 4, 6.0, 1.0)]
    with pytest.raises(ParameterError, match="the new edges need weight=, and those that are there a number or an array"):
        net.extend("p", [5], [4], weight=1.0)


@pytest.mark.parametrize("function", [lambda *pre: pre[0], lambda **pre: pre, lambda pre, /: pre], ids=["*", "**", "/"])
def test_arguments_that_have_no_name_of_their_own_are_refused(function: Any) -> None:
    for rule in (FixedIndegree(6), AllToAll()):
        with pytest.raises(ParameterError, match=r"weight: a function takes some of pre, .*, not (\*pre|\*\*pre|pre, /)$"):
            network(rule, weight=function)


def test_changed_and_unkept_edges_are_not_shared() -> None:
    net = network(AllToAll())
    net.connect(like="p", name="before")
    net.prune("p", lambda pre: pre > 3)
    assert len(edges(net, "p")["pre"]) == 76 * 70 and len(edges(net, "before")["pre"]) == 80 * 70
    with pytest.raises(ParameterError, match="like='p': its drawn edges were changed by prune or extend"):
        net.connect(like="p")
    net.connect(like="before", name="unkept", procedural=True)
    for change in (lambda: net.prune("unkept", lambda pre: pre > 3), lambda: net.extend("unkept", [0], [0])):
        with pytest.raises(ParameterError, match="projection 'unkept': .*procedural=True keeps no edge"):
            change()


def test_like_takes_the_function_too() -> None:
    net = network(FixedIndegree(6), weight=lambda pre, post: pre + post, delay=DELAYS)
    net.connect(like="p", name="again")
    net.connect(like="p", name="other", weight=lambda pre, post: pre * post)
    net.connect(like="p", name="number", weight=2.0)
    p, again, other, number = (edges(net, name) for name in ("p", "again", "other", "number"))
    assert rows(p) == rows(again) and np.array_equal(other["weight"], p["pre"] * p["post"]) and (number["weight"] == 2.0).all()
    assert all(np.array_equal(p[word], x[word]) for x in (other, number) for word in ("pre", "post", "delay"))


# ---- the way back


@pytest.mark.parametrize("rule", [Bernoulli(0.1), FixedIndegree(5), Explicit([0, 3, 3], [1, 2, 2]), Nearest(4)], ids=str)
def test_the_same_pairs_in_both_directions(rule: Any) -> None:
    net = network(rule, places=SHEET)
    net.connect(net["post"] >> net["pre"], like="p", weight=lambda pre, post: pre - post, delay=DELAYS, name="back")
    net.connect(like="back", weight=-3.0, name="third")
    for made, start in ((net, ""), (net.copy(), ""), (_merged(net), "x/")):
        there, back, third = (edges(made, start + name, parts=2) for name in ("p", "back", "third"))
        assert sorted(zip(there["pre"], there["post"], strict=True)) == sorted(zip(back["post"], back["pre"], strict=True))
        assert np.array_equal(back["weight"], back["pre"] - back["post"]) and len(back["pre"]) >= 3
        assert (third["weight"] == -3.0).all()
        assert all(np.array_equal(back[word], third[word]) for word in ("pre", "post", "delay"))


def test_the_way_back_is_the_only_route_beside_like() -> None:
    net = network(Bernoulli(0.1))
    pre, post = net["pre"], net["post"]
    back = net.connect(post >> pre, like="p", weight=2.0)
    for wrong, kind, told in (
        (lambda: net.connect(pre >> post, like="p"), ParameterError, "leads from pre to post; a route .* must lead back"),
        (lambda: net.connect(post[:9] >> pre, like="p"), ParameterError, "must lead back, not be post"),
        (lambda: net.connect(post >> pre, AllToAll(), like="p"), KindError, "like='p' stands for a route and a rule"),
        (lambda: net.connect(pre >> post, like=back), ParameterError, "is the way back of 'p'; take that one"),
        (lambda: network(SymmetricBernoulli(0.1)), ParameterError, r"there = net.connect\(a >> b, Bernoulli\(p\).*like=there"),
    ):
        with pytest.raises(kind, match=told):
            wrong()
