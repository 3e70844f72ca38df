"""Faults on a Dask cluster: each is one error with the names of what it hit, within a bound; no engine outlives its client."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

import eventsnn as snn
import eventsnn.part
from eventsnn.models import FixedIndegree, IafPscExp, Static
from eventsnn.scheduler.errors import PlanError, WorkerLost


def silent(n: int = 1000) -> snn.Network:
    """Nothing is recorded, so no store is needed."""
    net = snn.Network(seed=1, dt=0.1)
    exc = net.population("exc", n, IafPscExp())
    net.connect(exc >> exc, FixedIndegree(10), Static(weight=20.0, delay=1.5))
    return net


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


def test_a_killed_worker_is_one_error_with_the_names_of_what_it_held() -> None:
    with cluster(2) as client:
        pids = {address: info["pid"] for address, info in client.run(lambda: {"pid": os.getpid()}).items()}
        with snn.Simulation(silent(), client=client, recover=False) as sim:
            address = sim.plan.shares[1].place.address
            threading.Timer(0.5, os.kill, (pids[address], signal.SIGKILL)).start()
            start = time.monotonic()
            with pytest.raises(
                WorkerLost, match=r"worker tcp://127.0.0.1:\d+ was lost during the run; it held exc\[500:1000\]"
            ) as caught:
                sim.run(1e7)
            assert caught.value.worker == address
            assert time.monotonic() - start < 6.0
        assert time.monotonic() - start < 20.0


def test_a_hung_worker_is_noticed_at_the_deadline() -> None:
    with cluster(2) as client, dask.config.set({"eventsnn.link-deadline": 1.0}):
        pids = {address: info["pid"] for address, info in client.run(lambda: {"pid": os.getpid()}).items()}
        with snn.Simulation(silent(), client=client, recover=False) as sim:
            pid = pids[sim.plan.shares[1].place.address]
            threading.Timer(0.5, os.kill, (pid, signal.SIGSTOP)).start()
            start = time.monotonic()
            try:
                with pytest.raises(WorkerLost, match=r"lost its link to part 1 .*no checkpoint"):
                    sim.run(1e7)
                assert time.monotonic() - start < 8.0
            finally:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("method", ["__init__", "run"])
def test_an_error_on_a_worker_is_one_error_of_its_type(threads: Client, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    plain = getattr(eventsnn.part.Part, method)

    def faulty(self: Any, *args: Any) -> Any:
        if (args[2] if method == "__init__" else self.rank) == 1:
            raise ZeroDivisionError("nothing is as it was")
        return plain(self, *args)

    monkeypatch.setattr(eventsnn.part.Part, method, faulty)
    start = time.monotonic()
    told = r"part 1 \(exc\[500:1000\]\) on inproc://.*: nothing is as it was"
    with pytest.raises(ZeroDivisionError, match=told) as caught, snn.Simulation(silent(), client=threads) as sim:
        sim.run(1e7)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "in faulty" in "".join(caught.value.__cause__.__notes__)
    assert time.monotonic() - start < 10.0


def test_an_error_that_cannot_travel_is_told_in_words(threads: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")
            self.lock = threading.Lock()

    def faulty(self: Any, *args: Any) -> Any:
        raise Odd(1, 2)

    monkeypatch.setattr(eventsnn.part.Part, "run", faulty)
    with pytest.raises(RuntimeError, match=r"part 0 .*Odd: 1 and 2"), snn.Simulation(silent(), client=threads) as sim:
        sim.run(1.0)


def test_an_engine_without_a_client_ends(client: Client) -> None:
    """A client that goes away in the middle of a run takes its engines with it."""

    def engines(dask_worker: Any) -> int:
        return sum(thread.name.startswith("eventsnn-part") for thread in threading.enumerate())

    gone = Client(client.scheduler_info()["address"])
    sim = snn.Simulation(silent(), client=gone)
    sim.__enter__()
    calls = [part.run(10**9, None, {}) for part in sim._parts._parts._parts.values()]  # type: ignore[attr-defined]
    time.sleep(0.3)
    assert all(client.run(engines).values())
    gone.close()
    end = time.monotonic() + 10
    while any(client.run(engines).values()) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(client.run(engines).values())
    del calls


def test_a_cluster_without_workers_is_an_error_after_a_bounded_wait() -> None:
    with (
        cluster(0) as client,
        dask.config.set({"eventsnn.workers-timeout": 0.3}),
        pytest.raises(PlanError, match="has 0 workers after 0.3 s, at least 1 needed; start workers"),
    ):
        snn.Simulation(silent(), client=client)


def test_a_worker_without_memory_is_refused_before_anything_is_built() -> None:
    with (
        cluster(1, memory_limit="1MiB") as client,
        pytest.raises(PlanError, match=r"needs about 0.\d\d GB while it is built and tcp://.* has 0.00 GB"),
    ):
        snn.Simulation(silent(100_000), client=client)


def test_an_end_in_the_middle_of_the_build_prints_nothing_of_dask(threads: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The part of a busy worker does not exist yet when the other one is lost."""
    sim = snn.Simulation(silent(), client=threads, recover=False)
    busy, lost = (share.place.address for share in sim.plan.shares)
    waiting = threads.submit(time.sleep, 2.0, workers=[busy], pure=False)
    worker = next(worker for worker in threads.cluster.workers.values() if worker.address == lost)
    threading.Timer(0.5, threads.cluster.sync, (worker.close,)).start()
    with caplog.at_level("ERROR"):
        with pytest.raises(WorkerLost, match="was lost while the network was built"):
            sim.__enter__()
        waiting.result(10)
        time.sleep(0.5)
    assert not [record.getMessage() for record in caplog.records]
