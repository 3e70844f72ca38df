"""A run on a cluster that loses workers ends with the bits of one that was left alone."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster, Security

import eventsnn as snn
import eventsnn.part
from eventsnn.scheduler import actors, engine, watch
from eventsnn.scheduler.errors import ClusterLost, NotJoined, WorkerLost
from eventsnn.scheduler.recovery import RecoveringParts
from eventsnn.storage.checkpoints import Checkpoints
from tests.test_resume import assert_equal, change, mixed

TIME = 5000.0
"""ms"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "run.zarr"
    with snn.Simulation(mixed(), store=store) as sim:
        sim.run(50.0)
        change(sim)
        sim.run(TIME)
    return store


@contextmanager
def cluster(n: int, **options: Any) -> Iterator[Client]:
    with (
        dask.config.set({"eventsnn.link-deadline": 2.0}),
        LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1", **options) as made,
        made.get_client() as client,
    ):
        yield client


def after(ms: float, act: Callable[[], None]) -> Callable[[float, int], None]:
    """A progress function that acts once, when the run has come so far."""
    acted = threading.Event()

    def report(reached: float, spikes: int) -> None:
        if reached >= ms and not acted.is_set():
            acted.set()
            act()

    return report


def strike(pids: dict[str, int], sim: list[snn.Simulation], rank: int, number: int) -> None:
    """A signal to the worker of a part."""
    os.kill(pids[sim[0].plan.shares[rank].place.address], number)


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGSTOP", "SIGTERM", "SIGTERM, TLS"])
def test_a_lost_worker_costs_no_bit(tmp_path: Path, undisturbed: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The one that records, or the other."""
    sims: list[snn.Simulation] = []
    rank = 0 if kind == "SIGKILL" else 1
    name, *tls = kind.split(", ")
    options: dict[str, Any] = {"security": Security.temporary()} if tls else {}
    with cluster(2, **options) as client, caplog.at_level(logging.WARNING, "eventsnn"):
        pids = client.run(os.getpid)
        progress = after(400.0, lambda: strike(pids, sims, rank, getattr(signal, name)))
        with snn.Simulation(
            mixed(), store=tmp_path / "run.zarr", client=client, checkpoint_every=200.0, progress=progress
        ) as sim:
            sims.append(sim)
            sim.run(50.0)
            change(sim)
            sim.run(TIME)
            assert sim.time == 50.0 + TIME
    assert_equal(tmp_path / "run.zarr", undisturbed)
    assert "going back to" in caplog.text and "going on from" in caplog.text
    assert ("workers were told to stop" in caplog.text) == (name == "SIGTERM")  # and left a checkpoint of the moment
    assert not list(tmp_path.rglob("*.tmp"))


def test_changes_between_runs_are_made_again(tmp_path: Path) -> None:
    """Without a store, and with the worker lost between runs: everything since the beginning is done again."""
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(50.0)
        change(sim)
        sim.run(50.0)
        expected = sim["exc"].counts()
    with cluster(2) as client, snn.Simulation(mixed(), client=client, store=tmp_path / "run.zarr") as sim:
        sim.run(50.0)
        change(sim)
        sim.run(20.0)
        strike(client.run(os.getpid), [sim], 1, signal.SIGKILL)
        time.sleep(0.5)
        sim["exc"].get("V_m")
        sim.run(30.0)
        assert (sim["exc"].counts() == expected).all()
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")


def test_changes_that_checkpoints_hold_are_not_remembered(tmp_path: Path) -> None:
    def phases(sim: snn.Simulation, keep: bool) -> None:
        for k in range(6):
            sim["exc"].set("I_e", 20.0 * k)
            sim.run(10.0)
            if keep:
                sim.checkpoint()

    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        phases(sim, keep=False)
        sim["exc"].set("V_m", -60.0)
        sim.run(20.0)
    with cluster(2) as client, snn.Simulation(mixed(), client=client, store=tmp_path / "run.zarr") as sim:
        phases(sim, keep=True)
        assert len(sim._parts._journal) == 1  # type: ignore[attr-defined]
        sim["exc"].set("V_m", -60.0)
        strike(client.run(os.getpid), [sim], 0, signal.SIGKILL)
        sim.run(20.0)
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")


def test_recovery_goes_on_with_fewer_workers(tmp_path: Path, undisturbed: Path) -> None:
    """Workers without nannies do not come back."""
    with (
        dask.config.set({"eventsnn.recovery-wait": 1.0, "distributed.scheduler.worker-ttl": None}),
        Workers(tmp_path, 2) as workers,
        Client(scheduler_file=workers.file) as client,
    ):
        client.wait_for_workers(2, timeout=30)
        progress = after(300.0, workers.processes[1].kill)
        with snn.Simulation(
            mixed(), store=tmp_path / "run.zarr", client=client, checkpoint_every=100.0, progress=progress
        ) as sim:
            sim.run(50.0)
            change(sim)
            sim.run(TIME)
            assert len(sim.plan.shares) == 1
    assert_equal(tmp_path / "run.zarr", undisturbed)


def test_without_recovery_the_error_names_all(tmp_path: Path) -> None:
    with cluster(2) as client:
        sims: list[snn.Simulation] = []
        pids = client.run(os.getpid)
        progress = after(300.0, lambda: strike(pids, sims, 1, signal.SIGKILL))
        sim = snn.Simulation(
            mixed(), store=tmp_path / "run.zarr", client=client, checkpoint_every=100.0, recover=False, progress=progress
        )
        told = r"worker tcp://.* was lost during the run.*; it held .*inh.*; the last checkpoint is at [2-9]\d\d ms"
        with pytest.raises(WorkerLost, match=told), sim:
            sims.append(sim)
            sim.run(1e6)


def test_a_lost_scheduler_leaves_a_checkpoint_of_the_moment(tmp_path: Path) -> None:
    with Workers(tmp_path, 2) as workers:
        client = Client(scheduler_file=workers.file)
        client.wait_for_workers(2, timeout=30)
        sim = snn.Simulation(mixed(), store=tmp_path / "run.zarr", client=client, progress=after(300.0, workers.scheduler.kill))
        with pytest.raises(ClusterLost, match="the Dask scheduler"), sim:
            sim.run(1e6)
        client.close()
        assert soon(lambda: all(p.poll() is not None for p in workers.processes)), "workers outlive their scheduler"
    with snn.resume(tmp_path / "run.zarr") as sim:
        assert sim.time >= 300.0
        sim.run(50.0)
        end = sim.time
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(end)
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")


def test_a_killed_client_leaves_a_checkpoint_of_the_moment(tmp_path: Path) -> None:
    script = f"""
import eventsnn as snn
from distributed import Client
from tests.test_resume import mixed
client = Client(scheduler_file={str(tmp_path / "s.json")!r})
with snn.Simulation(mixed(), store={str(tmp_path / "run.zarr")!r}, client=client) as sim:
    sim.run(20.0)
    print("running", flush=True)
    sim.run(1e8)
"""
    with Workers(tmp_path, 2) as workers, Client(scheduler_file=workers.file) as client:
        client.wait_for_workers(2, timeout=30)
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
        assert process.stdout is not None and process.stdout.readline() == b"running\n"
        time.sleep(1.0)
        process.kill()
        process.communicate(timeout=5)

        def engines() -> int:
            return sum(thread.name.startswith("eventsnn-part") for thread in threading.enumerate())

        assert soon(lambda: not any(client.run(engines).values())), "an engine outlives its client"
    assert [p.name for p in (tmp_path / "run.zarr" / "checkpoints").iterdir() if p.suffix != ".tmp"]
    with snn.resume(tmp_path / "run.zarr", parts=3) as sim:
        assert sim.time > 20.0
        end = sim.time + 20.0
        sim.run(20.0)
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(end)
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")


def soon(true: Callable[[], Any], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return bool(true())


class Workers:
    """A scheduler and workers without nannies, each a process of its own."""

    def __init__(self, folder: Path, n: int) -> None:
        self.file, self._n = str(folder / "s.json"), n
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Workers:
        self.scheduler = self._start("distributed.cli.dask_scheduler", "--port", "0")
        assert soon(lambda: os.path.exists(self.file))
        self.processes = [self._start("distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny") for _ in range(self._n)]
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.processes, self.scheduler):
            process.kill()
            process.wait(5)

    def _start(self, module: str, *args: str) -> subprocess.Popen[bytes]:
        common = ["--scheduler-file", self.file, "--host", "127.0.0.1", "--no-dashboard"]
        return subprocess.Popen([sys.executable, "-m", module, *common, *args], stderr=subprocess.DEVNULL)


def test_a_worker_that_hangs_while_the_first_links_are_made_is_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, silent = actors.meet, RecoveringParts._silent
    hung: list[str] = []

    def meet(door: Any, *args: Any) -> Any:
        if door.rank == 1 and not hung:
            hung.append("")
            raise TimeoutError("part 0 did not connect to part 1 in time")
        return plain(door, *args)

    def found(self: Any) -> list[str]:
        hung[0] = hung[0] or self.plan.shares[0].place.address
        return [hung[0]] if len(self.plan.shares) == 2 else silent(self)

    monkeypatch.setattr(actors, "meet", meet)
    monkeypatch.setattr(RecoveringParts, "_silent", found)
    monkeypatch.setattr(watch, "GRACE", 0.2)
    here = {"processes": False, "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"eventsnn.recovery-wait": 1.0}),
        LocalCluster(n_workers=2, threads_per_worker=1, **here) as made,
        made.get_client() as client,
        snn.Simulation(mixed(), store=tmp_path / "run.zarr", client=client) as sim,
    ):
        assert len(sim.plan.shares) == 1
        sim.run(10.0)
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(10.0)
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")


@pytest.mark.parametrize(("failures", "error"), [(1, ConnectionRefusedError("refused")), (99, TimeoutError("in time"))])
def test_parts_that_cannot_be_linked_after_a_loss_are_another_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, error: OSError
) -> None:
    """And not for ever; before any loss it is the user who must know."""
    plain, leg, left = actors.meet, eventsnn.part.Part.run, iter(range(failures))
    lost = threading.Event()

    def meet(door: Any, *args: Any) -> Any:
        if lost.is_set() and door.rank == 1 and next(left, None) is not None:
            raise error
        return plain(door, *args)

    def run(self: Any, *args: Any) -> Any:
        if self.rank == 0 and not lost.is_set():
            lost.set()
            raise self._links.lost(1, self.step, "it hung up")
        return leg(self, *args)

    monkeypatch.setattr(actors, "meet", meet)
    monkeypatch.setattr(eventsnn.part.Part, "run", run)
    monkeypatch.setattr(watch, "GRACE", 0.2)
    here = {"processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, threads_per_worker=1, **here) as made, made.get_client() as client:
        with snn.Simulation(mixed(), store=tmp_path / "run.zarr", client=client) as sim:
            if failures == 1:
                sim.run(10.0)
            else:
                with pytest.raises(NotJoined, match=r"^in time; it is the 4th loss after the checkpoint at 0 ms: given up"):
                    sim.run(10.0)
        if failures == 1:
            with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
                sim.run(10.0)
            assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")
        else:
            with (
                pytest.raises(NotJoined, match="^in time\n"),
                snn.Simulation(mixed(), store=tmp_path / "new.zarr", client=client),
            ):
                pass


@pytest.mark.parametrize("what", ["completes another", "deletes it"])
def test_a_part_that_was_given_up_and_goes_on_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """While the parts are built again from a checkpoint, the one that made it completes another, or two and so deletes it."""
    plain, leg, store = engine.pieces, eventsnn.part.Part.run, tmp_path / "run.zarr"
    lost, late = threading.Event(), threading.Event()

    def run(self: Any, *args: Any) -> Any:
        if self.rank == 0 and self.step >= 60 and not lost.is_set():
            lost.set()
            raise self._links.lost(1, self.step, "it hung up")
        return leg(self, *args)

    def pieces(target: Any, name: str, *args: Any) -> Any:
        if not late.is_set():
            late.set()
            kept = Checkpoints(target)
            manifest = kept.get(name).manifest
            for k in range(1 + (what == "deletes it")):
                later = f"{int(name[:6]) + 1 + k:06d}{name[6:]}"
                kept.complete(later, {**manifest, "files": [kept.write(later, 0, {"a": np.zeros(3)})]})
            assert (name in kept.names()) == (what == "completes another")
            for found in kept.names() if what == "deletes it" else ():
                shutil.rmtree(store / "checkpoints" / found)  # theirs hold nothing that could be taken up
        return plain(target, name, *args)

    monkeypatch.setattr(engine, "pieces", pieces)
    monkeypatch.setattr(eventsnn.part.Part, "run", run)
    monkeypatch.setattr(watch, "GRACE", 0.2)
    here = {"processes": False, "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **here) as made,
        made.get_client() as client,
        snn.Simulation(mixed(), store=store, client=client, checkpoint_every=2.0) as sim,
    ):
        sim.run(10.0)
    assert late.is_set()
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(10.0)
    assert_equal(store, tmp_path / "alone.zarr")
