"""Where neurons lie: grids, random and given positions, rings; parameters and selections by position."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

import eventsnn as snn
from eventsnn.canonical import big_arrays, canonical
from eventsnn.distance import Distance, Exponential, Gaussian
from eventsnn.errors import EventsnnError
from eventsnn.models import Bernoulli, FixedIndegree, IafPscExp, Static
from eventsnn.positions import Free, Grid, Ring, Scattered
from eventsnn.regions import Annulus, Ball, Box, within
from eventsnn.restored import restore


def lying(where: Any, n: int, name: str = "cells", seed: int = 1) -> Any:
    return snn.Network(seed=seed, dt=0.1).population(name, n, IafPscExp(), positions=where)


def test_grids_are_the_middles_of_cells() -> None:
    assert lying(Grid((4,)), 4).positions[:, 0].tolist() == [-0.375, -0.125, 0.125, 0.375]
    found = lying(Grid((2, 3), extent=(4.0, 6.0), center=(1.0, 10.0)), 6).positions
    assert found.tolist() == [[0.0, 8.0], [0.0, 10.0], [0.0, 12.0], [2.0, 8.0], [2.0, 10.0], [2.0, 12.0]]
    assert lying(Grid((2, 2, 2)), 8).positions.shape == (8, 3)


def test_rings_are_even() -> None:
    found = lying(Ring(radius=2.0, center=(1.0, -1.0)), 8).positions - [1.0, -1.0]
    assert np.allclose(np.hypot(*found.T), 2.0, rtol=1e-15)
    assert np.allclose(np.unwrap(np.arctan2(found[:, 1], found[:, 0])), np.arange(8) * np.pi / 4, atol=1e-15)
    assert found[0].tolist() == [2.0, 0.0] and found[2].tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("where", "law"),
    [
        (Scattered(Box((0.0, -1.0, 5.0), (2.0, 1.0, 6.0))), lambda x: (x - [0.0, -1.0, 5.0]) / [2.0, 2.0, 1.0]),
        (Scattered(Ball(2.0, (1.0, 1.0))), lambda x: ((x - 1.0) ** 2).sum(1, keepdims=True) / 4.0),
        (Scattered(Ball(1.0), dimensions=3), lambda x: (x**2).sum(1, keepdims=True) ** 1.5),
        (Scattered(Annulus(1.0, 2.0)), lambda x: ((x**2).sum(1, keepdims=True) - 1.0) / 3.0),
    ],
    ids=lambda x: repr(x)[:30],
)
def test_random_positions_are_even(where: Scattered, law: Any) -> None:
    """What the law makes of the coordinates is uniform in (0, 1), by Kolmogorov and Smirnov."""
    found = lying(where, 5000).positions
    for column in law(found).T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    assert within(where.region, found).all()


def test_random_positions_depend_on_seed_and_name_alone() -> None:
    where = Scattered(Ball(1.0))
    found = lying(where, 100).positions
    assert np.array_equal(lying(where, 300).positions[:100], found)
    assert not np.array_equal(lying(where, 100, seed=2).positions, found)
    assert not np.array_equal(lying(where, 100, name="others").positions, found)
    # of philox(neuron, attempt, half, 0) by the paper's own rounds, in plain integers
    key, m = snn_key(1, "positions", "cells"), (0xD2511F53, 0xCD9E8D57)
    a, b, c, d, k0, k1 = 0, 0, 0, 0, *key
    for _ in range(10):
        p, q = a * m[0], c * m[1]
        a, b, c, d = (q >> 32) ^ b ^ k0, q & 0xFFFFFFFF, (p >> 32) ^ d ^ k1, p & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    box = lying(Scattered(Box((0.0, 0.0), (1.0, 1.0))), 10).positions
    assert np.allclose(box[0], [(a + b / 2**32) / 2**32, (c + d / 2**32) / 2**32], rtol=1e-15)


def snn_key(*words: object) -> tuple[int, int]:
    from eventsnn.keys import key

    return key(words[0], *words[1:])  # type: ignore[arg-type]


def test_selections_by_position() -> None:
    cells = lying(Scattered(Box((0.0, 0.0), (1.0, 1.0))), 1000)
    x = cells.positions
    near = cells.where(Ball(0.3, (0.5, 0.5)))
    assert np.array_equal(near.subset.array(), np.flatnonzero(np.hypot(*(x - 0.5).T) <= 0.3))
    left = near.where(lambda pos: pos[:, 0] < 0.5)
    assert np.array_equal(left.subset.array(), np.flatnonzero((np.hypot(*(x - 0.5).T) <= 0.3) & (x[:, 0] < 0.5)))
    assert np.array_equal(cells[::7].where(Box((0.0, 0.0), (0.5, 1.0))).positions, x[::7][x[::7, 0] <= 0.5])
    assert np.array_equal((near & left).positions, left.positions)
    for wrong in (0.3, lambda pos: pos[:, 0], Ball(0.1, (9.0, 9.0)), Ball(0.1, (0.0, 0.0, 0.0))):
        with pytest.raises(EventsnnError):
            cells.where(wrong)
    with pytest.raises(EventsnnError, match="no positions"):
        _ = snn.Network(seed=1, dt=0.1).population("bare", 3, IafPscExp()).positions


def test_parameters_are_functions_of_positions() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 50, IafPscExp(), positions=Ring(), V_m=lambda x: -65.0 + x[:, 0], I_e=lambda x: 12.5)
    with snn.Simulation(net) as sim:
        assert np.array_equal(sim["cells"].get("V_m"), -65.0 + cells.positions[:, 0])
        assert (sim["cells"].get("I_e") == 12.5).all()
    with pytest.raises(EventsnnError, match="positions"):
        net.population("bare", 3, IafPscExp(), V_m=lambda x: x[:, 0])
    with pytest.raises(EventsnnError, match="shape"):
        net.population("wrong", 3, IafPscExp(), positions=Ring(), V_m=lambda x: x)


def test_a_selection_is_connected_like_its_population() -> None:
    """Positions go with the neurons: pairs of a selection have the distances of their population."""
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 400, IafPscExp(), positions=Scattered(Box((0.0, 0.0), (1.0, 1.0))))
    some = cells.where(Ball(0.4, (0.5, 0.5)))
    net.connect(some >> cells[::3], Bernoulli(1.0, mask=Ball(0.2)), Static(weight=1.0, delay=1.0 + Distance()), name="p")
    with snn.Simulation(net, parts=2) as sim:
        e = sim["p"].weights()
    d = np.linalg.norm(cells.positions[:, None] - cells.positions[None, :], axis=2)
    pairs = {(i, j) for i in some.subset.array() for j in range(0, 400, 3) if d[i, j] <= 0.2}
    assert set(zip(e["pre"].tolist(), e["post"].tolist(), strict=True)) == pairs


def test_populations_of_their_own_origin_share_a_periodic_space() -> None:
    """Positions of one side may lie whole periods away from those of the other."""
    net = snn.Network(seed=1, dt=0.1)
    x = np.linspace(0.05, 0.95, 10)
    here = net.population("here", 10, IafPscExp(), positions=Free(x, extent=[1.0], edge_wrap=True))
    there = net.population("there", 10, IafPscExp(), positions=Free(x + 7.0, extent=[1.0], edge_wrap=True))
    net.connect(here >> there, Bernoulli(1.0, mask=Ball(0.12)), Static(weight=1.0 - Distance(), delay=1.0), name="p")
    with snn.Simulation(net) as sim:
        e = sim["p"].weights()
    apart = (e["pre"].astype(int) - e["post"].astype(int) + 1) % 10
    assert len(apart) == 30 and set(apart) == {0, 1, 2}
    assert np.allclose(e["weight"], 1.0 - 0.1 * np.abs(apart - 1), atol=2.0**-15)


@pytest.mark.parametrize("positions", ["array", "grid", "ball", "ring", "wrapped"])
def test_positions_come_back_from_a_store(positions: str) -> None:
    where = {
        "array": np.arange(2400.0).reshape(1200, 2),
        "grid": Grid((30, 40), extent=(1.0, 2.0), edge_wrap=True),
        "ball": Scattered(Ball(1.0, (1.0, 2.0))),
        "ring": Ring(3.0),
        "wrapped": Scattered(Box((0.0, 0.0), (1.0, 1.0)), edge_wrap=True),
    }[positions]
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 1200, IafPscExp(), positions=where)
    shape = 0.5 * Gaussian(std=0.1, mean=0.05) + 0.1 * Exponential(2.0)
    net.connect(cells >> cells, Bernoulli(shape, mask=Annulus(0.0, 0.5)), Static(weight=1.0 + Distance(), delay=1.0))
    net.connect(cells >> cells, FixedIndegree(3), Static(weight=1.0, delay=1.0))
    described = json.loads(json.dumps(canonical(net)))
    made = restore(described, big_arrays(net).__getitem__)
    assert canonical(made) == described
    assert np.array_equal(made["cells"].positions, cells.positions)
    assert "mask" not in described["projections"][1]["rule"]


WRONG = {
    "too few": lambda: lying(Grid((3, 3)), 8),
    "array": lambda: lying(np.zeros((3, 4)), 3),
    "rows": lambda: lying(np.zeros((3, 2)), 4),
    "not finite": lambda: lying([0.0, np.nan], 2),
    "text": lambda: lying("grid", 3),
    "class": lambda: lying(Grid, 3),
    "shape": lambda: Grid((0, 3)),
    "extent": lambda: Grid((3, 3), extent=(1.0,)),
    "wrap": lambda: Free(np.zeros((3, 2)), edge_wrap=True),
    "outside": lambda: Free(np.arange(3.0), extent=[1.0], edge_wrap=True),
    "ball wraps": lambda: Scattered(Ball(1.0), edge_wrap=True),
    "region": lambda: Scattered((0.0, 1.0)),
    "box": lambda: Box((0.0, 1.0), (1.0, 0.0)),
    "annulus": lambda: Annulus(2.0, 1.0),
    "radius": lambda: Ball(-1.0),
    "ring": lambda: Ring(0.0),
}


@pytest.mark.parametrize("name", WRONG)
def test_impossible_positions_raise(name: str) -> None:
    with pytest.raises(EventsnnError):
        WRONG[name]()


def test_ends_in_different_spaces_raise() -> None:
    net = snn.Network(seed=1, dt=0.1)
    line = net.population("line", 4, IafPscExp(), positions=Grid((4,)))
    sheet = net.population("sheet", 4, IafPscExp(), positions=Grid((2, 2)))
    torus = net.population("torus", 4, IafPscExp(), positions=Grid((2, 2), edge_wrap=True))
    for pre, post in ((line, sheet), (sheet, torus)):
        with pytest.raises(EventsnnError, match="positions of the sources"):
            net.connect(pre >> post, Bernoulli(Gaussian(0.1)), Static(weight=1.0, delay=1.0))
