"""On a Dask cluster: the same bits as in-process over every kind of link, and nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from distributed.security import Security

import eventsnn as snn
import eventsnn.part
from eventsnn.errors import KindError, ParameterError
from eventsnn.models import FixedIndegree, IafPscExp, PoissonInput, Static
from eventsnn.scheduler.errors import PlanError
from eventsnn.storage.errors import StoreExists, StoreUnusable


def network(n: int = 1000, drive: float = 30.0) -> snn.Network:
    net = snn.Network(seed=1, dt=0.1)
    exc = net.population("exc", 4 * n // 5, IafPscExp(), V_m=snn.Uniform(-70.0, -55.0))
    inh = net.population("inh", n // 5, IafPscExp(), V_m=snn.Uniform(-70.0, -55.0))
    for post in (exc, inh):
        net.stimulate(post, PoissonInput(rate=9000.0, weight=drive))
        net.connect(exc >> post, FixedIndegree(n // 20), Static(weight=20.0, delay=snn.Uniform(0.5, 3.0)))
        net.connect(inh >> post, FixedIndegree(n // 80), Static(weight=-100.0, delay=0.8))
    net.record(exc, "spikes")
    net.record(inh[5:100], "V_m", every=0.5, dtype="float64")
    return net


def silent(n: int = 1000) -> snn.Network:
    """Nothing is recorded, so no store is needed."""
    net = snn.Network(seed=1, dt=0.1)
    exc = net.population("exc", n, IafPscExp())
    net.connect(exc >> exc, FixedIndegree(10), Static(weight=20.0, delay=1.5))
    return net


def contents(source: object) -> tuple[Any, ...]:
    tree = snn.open(source)
    spikes = tree["exc/spikes"].to_dataset()
    return spikes["tick"].values, spikes["neuron"].values, tree["inh/V_m"]["V_m"].values


@contextmanager
def cluster(n: int, **options: Any) -> Iterator[Client]:
    loopback = {"host": "127.0.0.1"} if options.get("processes", True) else {}
    with (
        LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address="127.0.0.1:0", **loopback, **options) as made,
        made.get_client() as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster(2) as client:
        yield client


@pytest.fixture
def threads() -> Iterator[Client]:
    """Two workers in this process."""
    with cluster(2, processes=False) as client:
        yield client


@pytest.fixture(scope="module")
def truth() -> tuple[Any, ...]:
    with snn.Simulation(network()) as sim:
        sim.run(60.0)
        return (*contents(sim), sim["exc"].get("V_m"), sim["inh_to_exc"].weights()["pre"])


def check(client: Client, truth: tuple[Any, ...], store: Path, kind: str, **options: Any) -> None:
    with snn.Simulation(network(), client=client, store=store, **options) as sim:
        for piece in (0.3, 20.0, 39.7):
            sim.run(piece)
        assert {k for kinds in sim._parts.links for k in kinds.values()} == {kind}  # type: ignore[attr-defined]
        V, pre = sim["exc"].get("V_m"), sim["inh_to_exc"].weights()["pre"]
    for found, true in zip((*contents(store), V, pre), truth, strict=True):
        np.testing.assert_array_equal(found, true)


@pytest.mark.parametrize(("unix", "kind"), [(True, "AF_UNIX"), (False, "AF_INET")])
def test_two_workers_do_not_change_a_bit(client: Client, truth: tuple[Any, ...], tmp_path: Path, unix: bool, kind: str) -> None:
    with dask.config.set({"eventsnn.unix-sockets": unix}):
        check(client, truth, tmp_path / "run.zarr", kind)


def test_workers_of_one_process_do_not_change_a_bit(threads: Client, truth: tuple[Any, ...], tmp_path: Path) -> None:
    check(threads, truth, tmp_path / "run.zarr", "AF_UNIX")


def test_tls_clusters_do_not_change_a_bit(truth: tuple[Any, ...], tmp_path: Path) -> None:
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        cert,
        "-days",
        "2",
        "-subj",
        "/CN=snn",
    ]
    subprocess.run(make, check=True, capture_output=True)
    roles = {
        f"tls_{role}_{part}": file for role in ("client", "scheduler", "worker") for part, file in (("cert", cert), ("key", key))
    }
    with cluster(2, security=Security(tls_ca_file=cert, require_encryption=True, **roles)) as client:
        assert client.scheduler_info()["address"].startswith("tls://")
        check(client, truth, tmp_path / "run.zarr", "tls")


def test_handles_are_the_same_as_in_process(client: Client) -> None:
    def use(sim: Any) -> list[Any]:
        sim["exc"].set("V_m", snn.Uniform(-70.0, -60.0))
        sim["exc"][3:700:5].set("tau_m", 12.0)
        sim["exc"][[1, 799]].inject([1.0, 2.0], [0, 1])
        sim.run(5.0)
        report = sim.report()
        return [
            sim["exc"].get("V_m"),
            sim["exc"].get("tau_m"),
            sim["exc"].counts(),
            *sim["exc_to_exc"].weights().values(),
            report["spikes"],
        ]

    with snn.Simulation(silent(800)) as here, snn.Simulation(silent(800), client=client) as there:
        for a, b in zip(use(here), use(there), strict=True):
            np.testing.assert_array_equal(a, b)


def test_two_simulations_and_two_clients_at_once(client: Client, truth: tuple[Any, ...], tmp_path: Path) -> None:
    scheduler = client.scheduler_info()["address"]
    with (
        Client(scheduler) as other,
        snn.Simulation(network(), client=client, store=tmp_path / "a.zarr") as a,
        snn.Simulation(network(), client=other, store=tmp_path / "b.zarr") as b,
    ):
        runs = [threading.Thread(target=sim.run, args=(60.0,)) for sim in (a, b)]
        for run in runs:
            run.start()
        for run in runs:
            run.join(60)
        np.testing.assert_array_equal(a["exc"].get("V_m"), truth[3])
        np.testing.assert_array_equal(b["exc"].get("V_m"), truth[3])
    for name in ("a.zarr", "b.zarr"):
        np.testing.assert_array_equal(contents(tmp_path / name)[0], truth[0])


def test_nothing_stays_on_the_workers(client: Client) -> None:
    def left(dask_worker: Any) -> tuple[list[str], list[str], int]:
        mine = [thread.name for thread in threading.enumerate() if thread.name.startswith("eventsnn")]
        return [name for name in dask_worker.extensions if name.startswith("eventsnn")], mine, len(dask_worker.state.actors)

    with snn.Simulation(silent(), client=client) as sim:
        sim.run(1.0)
        assert all(names and threads and actors == 2 for names, threads, actors in client.run(left).values())
    end = time.monotonic() + 5
    while (found := list(client.run(left).values())) != [([], [], 0)] * 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert found == [([], [], 0)] * 2


def test_progress_reaches_the_client(client: Client) -> None:
    told: list[tuple[float, int]] = []
    with snn.Simulation(silent(), client=client, progress=lambda ms, spikes: told.append((ms, spikes))) as sim:
        sim.run(200.0)
        assert told[-1] == (200.0, int(sim["exc"].counts().sum()))
    assert told == sorted(told)


def test_many_populations_are_quick(client: Client) -> None:
    """Actors of 400 populations are made, used and released in a fraction of what 2,000 may take (5 s)."""
    net = snn.Network(seed=1, dt=0.1)
    ring = [net.population(f"p{k}", 10, IafPscExp(I_e=400.0)) for k in range(400)]
    for k, pre in enumerate(ring):
        net.connect(pre >> ring[k - 1], FixedIndegree(2), Static(weight=10.0, delay=1.5))
    start = time.monotonic()
    with snn.Simulation(net, client=client) as sim:
        sim.run(10.0)
        assert sim["p399"].get("V_m").shape == (10,)
    assert time.monotonic() - start < 5.0


def test_an_interrupted_run_ends_in_order_and_goes_on(client: Client, tmp_path: Path) -> None:
    with snn.Simulation(network(), client=client, store=tmp_path / "run.zarr") as sim:
        threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            sim.run(1e6)
        reached = sim.time
        assert 0.0 < reached < 1e6
        assert snn.open(tmp_path / "run.zarr").attrs["committed_ms"] == reached
        sim.run(10.0)
        V = sim["exc"].get("V_m")
    with snn.Simulation(network()) as sim:
        sim.run(round(reached + 10.0, 10))
        np.testing.assert_array_equal(sim["exc"].get("V_m"), V)


def test_parts_may_be_fewer_than_workers_and_not_more(client: Client) -> None:
    with snn.Simulation(silent(), client=client, parts=1) as sim:
        sim.run(1.0)
        assert len(sim.plan.shares) == 1
    with (
        dask.config.set({"eventsnn.workers-timeout": 0.2}),
        pytest.raises(PlanError, match="has 2 workers after 0.2 s, 3 needed"),
    ):
        snn.Simulation(silent(), client=client, parts=3)


def test_more_threads_than_a_worker_has_are_refused(client: Client) -> None:
    with pytest.raises(PlanError, match=r"threads=2: tcp://.* has 1; more threads than cores"):
        snn.Simulation(silent(), client=client, threads=2)


def test_recordings_on_a_cluster_need_a_store_that_the_workers_see(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"on a cluster recordings need a store: give store='...'"):
        snn.Simulation(network(), client=client)
    with (
        pytest.raises(StoreUnusable, match="is not the one that the client sees"),
        snn.Simulation(network(), client=client, store="memory://elsewhere/run.zarr"),
    ):
        pass
    with snn.Simulation(network(), client=client, store=tmp_path / "run.zarr") as sim:
        sim.run(1.0)
    with pytest.raises(StoreExists):
        snn.Simulation(network(), client=client, store=tmp_path / "run.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["run.zarr"]
    assert not [path for path in (tmp_path / "run.zarr").iterdir() if "sentinel" in path.name]


def test_a_relative_store_is_that_of_the_client(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with snn.Simulation(network(), client=client, store="run.zarr") as sim:
        sim.run(1.0)
    assert snn.open(tmp_path / "run.zarr").attrs["committed_ms"] == 1.0


def test_a_wrong_client_is_told_what_is_right(client: Client) -> None:
    with pytest.raises(KindError, match=r"is no distributed.Client; a cluster's is cluster.get_client\(\)"):
        snn.Simulation(silent(), client=client.cluster)
    closed = Client(client.scheduler_info()["address"])
    closed.close()
    with pytest.raises(ParameterError, match="client is closed"):
        snn.Simulation(silent(), client=closed)
