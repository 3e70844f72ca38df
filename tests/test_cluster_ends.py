"""However a simulation on a cluster ends, it ends within seconds, in one error that says what was lost, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

import eventsnn as snn
from eventsnn.models import FixedIndegree, IafPscExp, Static
from eventsnn.scheduler.cluster import DaskParts
from eventsnn.scheduler.errors import ClusterLost, WorkerLost, WorkersLeft

BOUND = 10.0
"""Seconds that any of these may take."""


def network(n: int = 1000, indegree: int = 10, record: bool = False) -> snn.Network:
    net = snn.Network(seed=1, dt=0.1)
    exc = net.population("exc", n, IafPscExp(I_e=400.0))
    net.connect(exc >> exc, FixedIndegree(indegree), Static(weight=20.0, delay=1.5))
    if record:
        net.record(exc, "spikes")
    return net


@contextmanager
def cluster(n: int = 2) -> Iterator[Client]:
    with (
        LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as made,
        made.get_client() as client,
    ):
        yield client


@pytest.fixture
def client() -> Iterator[Client]:
    with cluster() as client:
        yield client


def pids(client: Client) -> dict[str, int]:
    return dict(client.run(os.getpid))


def kill(client: Client, sim: snn.Simulation, rank: int = 1) -> None:
    os.kill(pids(client)[sim.plan.shares[rank].place.address], signal.SIGKILL)


@contextmanager
def bounded(seconds: float = BOUND) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def soon(what: Callable[[], bool]) -> bool:
    until = time.monotonic() + BOUND
    while not what() and time.monotonic() < until:
        time.sleep(0.05)
    return what()


def later(seconds: float, what: Callable[..., Any], *args: Any) -> threading.Timer:
    timer = threading.Timer(seconds, what, args)
    timer.start()
    return timer


def held(dask_worker: Any) -> list[Any]:
    """What of simulations is in a worker's process."""
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("eventsnn")]
    keys = [key for key in dask_worker.extensions if key.startswith("eventsnn")]
    return [*names, *keys, *dask_worker.state.actors]


def doors() -> int:
    """Abstract Unix sockets of ours on this machine that anybody still has open."""
    return sum("@eventsnn-" in line for line in Path("/proc/net/unix").read_text().splitlines())


def sockets(dask_worker: Any) -> int:
    """Unix sockets and listeners of a worker's process; Dask's own connections come and go."""
    folder = f"/proc/{os.getpid()}"
    mine = {os.readlink(f"{folder}/fd/{fd}") for fd in os.listdir(f"{folder}/fd") if os.path.exists(f"{folder}/fd/{fd}")}
    rows = [line.split() for line in Path(f"{folder}/net/tcp").read_text().splitlines()[1:]]
    listening = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
    unix = {f"socket:[{line.split()[6]}]" for line in Path(f"{folder}/net/unix").read_text().splitlines()[1:]}
    return len(mine & (listening | unix))


def nothing_is_left(client: Client) -> None:
    assert soon(lambda: not any(client.run(held).values())), client.run(held)
    assert soon(lambda: doors() == 0)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("eventsnn")]
    with snn.Simulation(network(), client=client) as sim:  # the cluster is as good as before
        sim.run(5.0)


def test_an_ordinary_end_leaves_no_socket(client: Client) -> None:
    before = client.run(sockets)
    for _ in range(3):
        with snn.Simulation(network(), client=client) as sim:
            sim.run(5.0)
            assert doors() >= 2
    nothing_is_left(client)
    assert soon(lambda: client.run(sockets) == before), (client.run(sockets), before)


@pytest.mark.parametrize("method", ["_send", "_submit_populations", "_open_store"])
def test_a_worker_killed_at_any_point_of_the_build(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    plain = getattr(DaskParts, method)
    sim = snn.Simulation(network(record=True), client=client, recover=False, store=tmp_path / "run.zarr")

    def faulty(self: DaskParts, *args: Any) -> Any:
        kill(client, sim)
        return plain(self, *args)

    monkeypatch.setattr(DaskParts, method, faulty)
    with bounded(), pytest.raises(WorkerLost, match=r"was lost (while|before) .*; it held exc\[500:1000\]"):
        sim.__enter__()
    monkeypatch.undo()
    nothing_is_left(client)


def test_a_worker_killed_while_it_draws_its_synapses(client: Client) -> None:
    sim = snn.Simulation(network(20_000, 2000), client=client, recover=False)
    later(0.4, kill, client, sim)
    with bounded(), pytest.raises(WorkerLost, match="was lost while the network was built"):
        sim.__enter__()
    nothing_is_left(client)


def test_a_worker_killed_between_runs_and_replaced_by_its_nanny(client: Client) -> None:
    old = pids(client)
    with (
        bounded(2 * BOUND),
        pytest.raises(WorkerLost, match="was lost during the run"),
        snn.Simulation(network(), client=client, recover=False) as sim,
    ):
        sim.run(5.0)
        kill(client, sim)
        with bounded(), pytest.raises(WorkerLost, match=r"was lost between runs; it held exc\[500:1000\]"):
            sim["exc"].get("V_m")
        assert soon(lambda: len(client.ncores()) == 2 and set(client.ncores()) != set(old))
        sim.run(5.0)
    nothing_is_left(client)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_killed_before_the_close_costs_nothing_that_was_recorded(client: Client, tmp_path: Path, rank: int) -> None:
    sim = snn.Simulation(network(record=True), client=client, recover=False, store=tmp_path / "run.zarr")
    sim.__enter__()
    sim.run(30.0)
    counted = int(sim["exc"].counts().sum())
    kill(client, sim, rank)
    with bounded(), pytest.raises(WorkerLost, match="was lost while the simulation was closed"):
        sim.close()
    run = snn.open(tmp_path / "run.zarr")
    assert run.attrs["committed_ms"] == 30.0 and run["exc/spikes"].sizes["event"] == counted > 0
    nothing_is_left(client)


def test_a_client_that_is_closed_during_a_run(client: Client) -> None:
    gone = Client(client.scheduler_info()["address"])
    sim = snn.Simulation(network(), client=gone)
    sim.__enter__()
    later(0.5, gone.close)
    with bounded(5.0), pytest.raises(ClusterLost, match="the Dask client was closed during the run"):
        sim.run(1e8)
    with bounded(1.0):
        sim.close()
    nothing_is_left(client)


def test_workers_that_come_later_are_none_of_our_business(client: Client) -> None:
    with snn.Simulation(network(), client=client) as here, snn.Simulation(network()) as alone:
        here.run(5.0)
        client.cluster.scale(3)
        client.wait_for_workers(3)
        here.run(5.0)
        (new,) = set(pids(client)) - {share.place.address for share in here.plan.shares}
        os.kill(pids(client)[new], signal.SIGKILL)
        here.run(5.0)
        alone.run(15.0)
        assert (here["exc"].get("V_m") == alone["exc"].get("V_m")).all()
    nothing_is_left(client)


def test_a_cluster_that_is_closed_during_a_run_takes_its_workers_with_it(tmp_path: Path) -> None:
    made = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1")
    client = made.get_client()
    processes = list(pids(client).values())
    sim = snn.Simulation(network(record=True), client=client, recover=False, store=tmp_path / "run.zarr")
    sim.__enter__()
    closing = later(0.5, made.close)
    with bounded(), pytest.raises((WorkerLost, WorkersLeft, ClusterLost)):
        sim.run(1e8)
    with bounded(), contextlib.suppress(WorkerLost, WorkersLeft, ClusterLost):
        sim.close()
    closing.join(BOUND)
    client.close()
    assert soon(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in processes))
    assert doors() == 0
    assert snn.open(tmp_path / "run.zarr").attrs["committed_ms"] >= 0.0


@contextmanager
def processes(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], list[subprocess.Popen[bytes]]]]:
    """Address and process of a scheduler, and its two workers without nannies."""
    file = folder / "scheduler.json"
    common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]

    def start(module: str, *args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", module, *common, *args], stderr=subprocess.DEVNULL)

    scheduler = start("distributed.cli.dask_scheduler", "--port", "0")
    assert soon(file.exists)
    workers = [start("distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny") for _ in range(2)]
    try:
        yield str(file), scheduler, workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait(5)


@pytest.mark.parametrize("running", [True, False], ids=["during a run", "between runs"])
def test_a_killed_scheduler_ends_client_and_workers(tmp_path: Path, running: bool) -> None:
    with processes(tmp_path) as (file, scheduler, workers), Client(scheduler_file=file) as client:
        client.wait_for_workers(2, timeout=20)
        sim = snn.Simulation(network(record=True), client=client, store=tmp_path / "run.zarr")
        sim.__enter__()
        sim.run(5.0)
        later(0.5 if running else 0.0, scheduler.kill).join(None if not running else 0.0)
        with bounded(), pytest.raises(ClusterLost, match="the Dask scheduler"):
            sim.run(1e8)
        with bounded(1.0):
            sim.close()
        assert soon(lambda: all(worker.poll() is not None for worker in workers)), "workers outlive their scheduler"
        assert soon(lambda: doors() == 0)
    assert snn.open(tmp_path / "run.zarr").attrs["committed_ms"] >= 5.0


def test_a_client_that_is_killed_leaves_its_workers_clean(client: Client, tmp_path: Path) -> None:
    script = f"""
from distributed import Client
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_cluster_ends import network
import eventsnn as snn
with snn.Simulation(network(record=True), client=Client({client.scheduler_info()["address"]!r}), store="run.zarr") as sim:
    sim.run(5.0)
    print("running", flush=True)
    sim.run(1e8)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout is not None and process.stdout.readline() == b"running\n"
    time.sleep(0.3)
    process.kill()
    process.communicate(timeout=5)
    with bounded():
        nothing_is_left(client)
    assert snn.open(tmp_path / "run.zarr").attrs["committed_ms"] >= 5.0


def test_a_population_may_have_any_name(client: Client) -> None:
    """Names of actors are made of those of populations, and never clash."""
    net = snn.Network(seed=1, dt=0.1)
    for name in ("part", "part-0", "run"):
        net.population(name, 600, IafPscExp(I_e=400.0))
    with snn.Simulation(net, client=client) as here, snn.Simulation(net) as alone:
        here.run(20.0)
        alone.run(20.0)
        for name in net.populations:
            assert (here[name].get("V_m") == alone[name].get("V_m")).all()
