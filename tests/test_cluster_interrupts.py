"""Ctrl-C, whatever it raises: a run ends in order at one step and goes on; one that is being recovered is given up."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

import eventsnn as snn
import eventsnn.part
from tests.test_resume import assert_equal, mixed


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two workers in this process."""
    here: dict[str, Any] = {"processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, threads_per_worker=1, **here) as cluster, cluster.get_client() as client:
        yield client


@pytest.fixture(params=[None, 3])
def raised(request: pytest.FixtureRequest) -> Iterator[tuple[type[BaseException], object]]:
    """What Ctrl-C raises, as Python has it or as importing dask_jobqueue.runner has it, and its exit code."""
    before = signal.getsignal(signal.SIGINT)
    if request.param is not None:
        signal.signal(signal.SIGINT, lambda *_: sys.exit(request.param))
    yield (KeyboardInterrupt, None) if request.param is None else (SystemExit, request.param)
    signal.signal(signal.SIGINT, before)


def interrupt(seconds: float) -> None:
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


def lose(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object] = lambda: None) -> None:
    """The next leg of part 0 finds that part 1 has gone; `then` is called in the one after it, which runs again what was lost."""
    leg, legs = eventsnn.part.Part.run, itertools.count()

    def run(self: Any, *args: Any) -> Any:
        number = next(legs) if self.rank == 0 else None
        if number == 0:
            raise self._links.lost(1, self.step, "it hung up")
        if number == 1:
            then()
        return leg(self, *args)

    monkeypatch.setattr(eventsnn.part.Part, "run", run)


@pytest.mark.parametrize("where", ["here", "cluster"])
def test_an_interrupted_run_ends_in_order_and_is_reported(
    tmp_path: Path, client: Client, where: str, raised: tuple[type[BaseException], object]
) -> None:
    options: dict[str, Any] = {"client": client} if where == "cluster" else {"parts": 2}
    kind, code = raised
    with snn.Simulation(mixed(), store=tmp_path / "run.zarr", **options) as sim:
        interrupt(0.8)
        with pytest.raises(kind) as caught:
            sim.run(1e6)
        assert getattr(caught.value, "code", None) == code
        reached = sim.time
        assert 0.0 < reached < 1e6
        assert snn.open(tmp_path / "run.zarr").attrs["committed_ms"] == reached
        seconds: Any = sim.report()["seconds"]
        assert 0.2 < seconds["wall"] < 10.0
        sim.run(5.0)
        assert sim.report()["seconds"]["wall"] > seconds["wall"]  # type: ignore[index]
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(round(reached + 5.0, 10))
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")


def test_what_was_changed_after_an_interrupt_is_made_again_at_its_step(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with snn.Simulation(mixed(), store=tmp_path / "run.zarr", client=client) as sim:
        sim.run(5.0)
        interrupt(0.5)
        with pytest.raises(KeyboardInterrupt):
            sim.run(1e6)
        reached = sim.time
        sim["exc"].set("V_m", -60.0)
        lose(monkeypatch)
        sim.run(5.0)
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(reached)
        sim["exc"].set("V_m", -60.0)
        sim.run(5.0)
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")


def test_a_recovery_that_is_interrupted_is_not_gone_on_from(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with snn.Simulation(mixed(), store=tmp_path / "run.zarr", client=client) as sim:
        sim.run(500.0)
        lose(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            sim.run(5.0)
        assert sim.time == 500.0
        with pytest.raises(RuntimeError, match="the simulation is failed"):
            sim.run(5.0)
    with snn.resume(tmp_path / "run.zarr") as sim:
        sim.run(10.0)
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(10.0)
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")
