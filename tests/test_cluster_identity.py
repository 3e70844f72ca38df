"""One network with every model and rule, the same bits on any cluster: workers, links, threads, cuts, places, pieces, changes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from distributed.security import Security
from test_engine_identity import assert_same, mixed, run

import eventsnn as snn
from eventsnn.models import Explicit, IafPscExp, SpikeTrain, Static
from eventsnn.scheduler.partition import whole
from eventsnn.scheduler.placement import Place
from eventsnn.spec import Layout, NetworkSpec, Slice

Result = tuple[xr.DataTree, dict[str, np.ndarray]]
Use = Callable[[snn.Simulation], None]
STATES = (("exc", "V_m"), ("exc", "I_ex"), ("inh", "I_in"), ("fast", "V_m"))
CUTS = np.sort(np.random.default_rng(3).choice(np.arange(1, 600), 36, replace=False))
PIECES = tuple(np.round(np.diff(np.concatenate(([0], CUTS, [600]))) * 0.1, 10).tolist())
"""37 unequal ones, 60 ms together."""
LINKS = {"unix": "AF_UNIX", "tcp": "AF_INET", "tls": "tls"}


def uneven(spec: NetworkSpec, n: int) -> list[list[Slice]]:
    """Five unequal slices of each population, dealt to two or three parts only: some hold two slices of it, some none."""
    parts: list[list[Slice]] = [[] for _ in range(n)]
    for k, population in enumerate(spec.populations):
        ends = [round(population.size * share) for share in (0.0, 0.13, 0.2, 0.55, 0.61, 1.0)]
        for start, stop, turn in zip(ends, ends[1:], (0, 1, 0, 0, 2), strict=False):
            if stop > start:
                parts[(k + turn) % n].append(Slice(k, start, stop))
    return parts


def backwards(layout: Layout, places: Sequence[Place]) -> list[int]:
    return list(range(len(layout)))[::-1]


@contextmanager
def cluster(n: int, threads: int, **options: Any) -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=n, threads_per_worker=threads, dashboard_address="127.0.0.1:0", host="127.0.0.1", **options
        ) as made,
        made.get_client() as client,
    ):
        yield client


@pytest.fixture(scope="module")
def two() -> Iterator[Client]:
    with cluster(2, threads=2) as client:
        yield client


@pytest.fixture(scope="module")
def four() -> Iterator[Client]:
    with cluster(4, threads=1) as client:
        yield client


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=snn"]
    subprocess.run([*request, "-keyout", key, "-out", cert], check=True, capture_output=True)
    roles = {
        f"tls_{who}_{what}": file for who in ("client", "scheduler", "worker") for what, file in (("cert", cert), ("key", key))
    }
    with cluster(4, threads=1, security=Security(tls_ca_file=cert, require_encryption=True, **roles)) as client:
        yield client


@pytest.fixture(scope="module")
def reference() -> Result:
    return run(threads=1)


def use(sim: snn.Simulation, pieces: Sequence[float | Use]) -> Result:
    """Runs the pieces that are times, calls those that are not; what is recorded so far, and the states."""
    for piece in pieces:
        if callable(piece):
            piece(sim)
        else:
            sim.run(piece)
    states = {f"{p}/{s}": sim[p].get(s) for p, s in STATES}
    return snn.open(sim).load(), states


def check(client: Client, store: Path, link: str, pieces: Sequence[float | Use], expected: Result, **options: Any) -> None:
    with (
        dask.config.set({"eventsnn.unix-sockets": link == "unix"}),
        snn.Simulation(mixed(), client=client, store=store, **options) as sim,
    ):
        n = len(sim.plan.shares)
        assert {kind for kinds in sim._parts.links for kind in kinds.values()} == {LINKS[link]}  # type: ignore[attr-defined]
        assert all(len(kinds) == n - 1 for kinds in sim._parts.links)  # type: ignore[attr-defined]
        found = use(sim, pieces)
    assert_same(found, expected)
    assert_same((snn.open(store).load(), found[1]), expected)


@pytest.mark.parametrize(
    ("workers", "link", "pieces", "options"),
    [
        ("two", "unix", (60.0,), {"threads": 2}),
        ("two", "unix", PIECES, {"threads": 1, "partition": whole}),
        ("two", "tcp", PIECES, {"threads": 2, "partition": uneven, "placement": backwards}),
        ("four", "unix", (60.0,), {"partition": uneven}),
        ("four", "tcp", (60.0,), {"partition": whole, "placement": backwards}),
        ("four", "unix", PIECES, {"parts": 3}),
        ("encrypted", "tls", (60.0,), {"partition": uneven}),
        ("encrypted", "tls", PIECES, {"parts": 2, "placement": backwards}),
    ],
    ids=["2-threads", "2-whole", "2-tcp-uneven", "4-uneven", "4-tcp-whole", "3-of-4", "4-tls-uneven", "2-of-4-tls"],
)
def test_no_cluster_changes_a_bit(
    workers: str, link: str, pieces: Sequence[float], options: dict[str, Any], reference: Result, tmp_path: Path, request: Any
) -> None:
    check(request.getfixturevalue(workers), tmp_path / "run.zarr", link, pieces, reference, **options)


def parameters_and_spikes(sim: Any) -> None:
    """A state and a parameter of every kind of population, by number, array and distribution; spikes put in by hand."""
    sim["exc"].set("V_m", snn.Normal(-62.0, 3.0))
    sim["exc"][3:500:7].set("tau_m", 12.5)
    sim["inh"][np.arange(300) % 3 == 1].set("I_e", np.linspace(50.0, 200.0, 100))
    sim["source"][20:].set("rate", snn.Uniform(50.0, 200.0))
    now = sim.time
    sim["exc"][::5].inject(now + np.array([0.1, 0.1, 3.0, 40.0]), [0, 139, 7, 20])
    sim["train"].inject(now + np.array([0.2, 0.3, 0.3]), [3, 3, 9])
    sim["parrot"].inject(now + 0.1, np.arange(100))
    assert sim["parrot"].counts().shape == (100,)


def weights(sim: Any) -> None:
    """Of drawn, constant and given weights; by arrays and by a function."""
    sim["exc_to_exc"].set_weights(sim["exc_to_exc"].weights()["weight"] * 0.5)
    sim["inh_to_exc"].set_weights(lambda w: -20.0 - 0.1 * (w["post"] % 100))
    sim["fast_to_exc"].set_weights(lambda w: np.roll(w["weight"], 1))


CHANGED: tuple[float | Use, ...] = (10.0, parameters_and_spikes, 7.3, weights, 0.1, parameters_and_spikes, 22.6)


@pytest.fixture(scope="module")
def changed() -> Result:
    with snn.Simulation(mixed(), threads=1) as sim:
        return use(sim, CHANGED)


@pytest.mark.parametrize(
    ("workers", "options"), [("two", {"threads": 2}), ("four", {"partition": uneven, "placement": backwards})], ids=["2", "4"]
)
def test_changes_between_runs_are_the_same_on_a_cluster(
    workers: str, options: dict[str, Any], reference: Result, changed: Result, tmp_path: Path, request: Any
) -> None:
    assert not np.array_equal(changed[1]["exc/V_m"], reference[1]["exc/V_m"])
    check(request.getfixturevalue(workers), tmp_path / "run.zarr", "unix", CHANGED, changed, **options)


def test_large_lists_are_cut_for_each_worker_and_change_nothing(
    four: Client, changed: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given edges and trains, of which every worker gets its own rows only, with weights that are set later."""
    monkeypatch.setattr("eventsnn.scheduler.cluster.LARGE", 0)
    check(four, tmp_path / "run.zarr", "unix", CHANGED, changed, partition=uneven)


def given() -> snn.Network:
    """2 MB of edges: targets 0-999 by positive weights only, the others by negative ones."""
    net = snn.Network(seed=2, dt=0.1)
    rng = np.random.default_rng(1)
    train = net.population("train", 500, SpikeTrain(times=np.repeat(np.arange(1, 101) * 0.4, 50), ids=rng.integers(0, 500, 5000)))
    cell = net.population("cell", 2000, IafPscExp(I_e=350.0))
    pre, post = rng.integers(0, 500, 60_000), rng.integers(0, 2000, 60_000)
    size = rng.uniform(1.0, 40.0, 60_000)
    weight = np.where(post < 1000, size, -0.2 * size)
    net.connect(train >> cell, Explicit(pre, post), Static(weight=weight, delay=1.0), receptor="ex")
    return net


def test_weights_of_large_lists_may_become_what_the_whole_list_allows(two: Client) -> None:
    """A worker that was sent only small or only negative weights holds no other law than the whole list's."""

    def halves(spec: NetworkSpec, n: int) -> list[list[Slice]]:
        return [[Slice(0, 0, 250), Slice(1, 0, 1000)], [Slice(0, 250, 500), Slice(1, 1000, 2000)]]

    def potentials(**options: Any) -> np.ndarray:
        with snn.Simulation(given(), **options) as sim:
            sim.run(10.0)
            sim["train_to_cell"].set_weights(lambda w: np.where(w["post"] % 2, -w["weight"], 1.5 * w["weight"]))
            sim.run(10.0)
            return np.concatenate([sim["cell"].get("V_m"), sim["cell"].get("I_ex")])

    np.testing.assert_array_equal(potentials(client=two, threads=1, partition=halves), potentials(threads=1))
