"""A worker that is told to leave makes its checkpoint whatever its part does then: in the last leg of a run, before one, idle."""

from __future__ import annotations

import logging
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
import yaml
from distributed import Client, LocalCluster, Security

import eventsnn as snn
from eventsnn.scheduler.engine import Engine
from eventsnn.scheduler.errors import WorkersLeft
from eventsnn.storage.checkpoints import Checkpoints
from tests.test_resume import assert_equal, mixed


@contextmanager
def two_parts(store: Path, **options: Any) -> Iterator[tuple[snn.Simulation, list[Engine]]]:
    """In this process; their engines are driven one by one, as those of workers are."""
    with snn.Simulation(mixed(), store=store, parts=2, threads=1, **options) as sim:
        yield sim, sim._parts._engines  # type: ignore[attr-defined]


def kept(store: Path) -> float | None:
    """ms of the last checkpoint."""
    found = Checkpoints(store).latest()
    return None if found is None else float(found.manifest["time_ms"])


def alone(store: Path, ms: float) -> Path:
    with snn.Simulation(mixed(), store=store) as sim:
        sim.run(ms)
    return store


def soon(true: Callable[[], Any], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())


def test_a_part_that_is_told_in_the_last_leg_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with two_parts(tmp_path / "run.zarr") as (sim, engines):
        leg = engines[1].part.run

        def told(*args: Any) -> dict[str, float]:
            done = leg(*args)
            if engines[1].part.step == 200:
                engines[1].retire()
            return done

        monkeypatch.setattr(engines[1].part, "run", told)
        sim.run(20.0)
        assert kept(tmp_path / "run.zarr") == 20.0
        with pytest.raises(WorkersLeft, match="ended at step 200"):
            sim.run(5.0)


def test_a_part_that_is_told_between_runs_keeps_the_beginning_of_the_next(tmp_path: Path) -> None:
    with two_parts(tmp_path / "run.zarr") as (sim, engines):
        sim.run(20.0)
        sim["exc"].set("V_m", -60.0)  # counted by the note of the run
        engines[1].retire()
        sim.run(5.0)
    assert kept(tmp_path / "run.zarr") == 20.0


def test_a_part_that_leaves_is_heard_by_an_idle_one(tmp_path: Path) -> None:
    with two_parts(tmp_path / "run.zarr") as (sim, engines):
        sim.run(20.0)
        engines[1].retire()
        leaving = engines[1].submit(engines[1].leave)
        time.sleep(0.1)
        assert not leaving.done()
        assert soon(lambda: engines[0].listen() or leaving.done())
        leaving.result(0)
        assert kept(tmp_path / "run.zarr") == 20.0
        with pytest.raises(WorkersLeft, match="ended at step 200"):
            sim.checkpoint()


def test_a_checkpoint_before_the_first_run_knows_what_the_last_one_knew(tmp_path: Path) -> None:
    with snn.Simulation(mixed(), store=tmp_path / "run.zarr") as sim:
        sim.run(20.0)
        sim["exc_to_inh"].set_weights(lambda w: 0.5 * w["weight"])
        sim.checkpoint()
    first = Checkpoints(tmp_path / "run.zarr").latest()
    assert first is not None and first.manifest["note"]["sent"]
    with snn.resume(tmp_path / "run.zarr", parts=2, threads=1) as sim:
        engines = sim._parts._engines  # type: ignore[attr-defined]
        engines[1].retire()
        leaving = engines[1].submit(engines[1].leave)
        assert soon(lambda: engines[0].listen() or leaving.done())
        second = Checkpoints(tmp_path / "run.zarr").latest()
        assert second is not None and second.name != first.name
        assert second.manifest["note"] == first.manifest["note"]


@pytest.mark.parametrize("rank", [0, 1])
def test_no_checkpoint_between_runs_holds_a_change_that_its_note_does_not_count(tmp_path: Path, rank: int) -> None:
    with two_parts(tmp_path / "run.zarr") as (sim, engines):
        sim.run(20.0)
        piece = sim.plan.shares[rank].slices[0]
        sim[sim.spec.populations[piece.population].name].inject([21.0], [piece.start])
        engines[1].retire()
        leaving = engines[1].submit(engines[1].leave)
        assert soon(lambda: engines[0].listen() or leaving.done())
        assert kept(tmp_path / "run.zarr") is None


def test_a_run_that_one_part_hears_of_before_it_is_asked_changes_no_bit(tmp_path: Path) -> None:
    with two_parts(tmp_path / "run.zarr") as (sim, engines):
        sim.run(20.0)
        for until in (300, 400):
            first = engines[1].submit(engines[1].run, until, None, {})
            time.sleep(0.1)
            engines[0].listen()
            assert engines[0].submit(lambda: engines[0]._heard).result(5.0) == 0
            for engine, done in ((engines[0], engines[0].submit(engines[0].run, until, None, {})), (engines[1], first)):
                assert done.result(30.0)["step"] == engine.part.step == until
    assert_equal(tmp_path / "run.zarr", alone(tmp_path / "alone.zarr", 40.0))


def test_a_peer_that_is_gone_is_told_by_the_part_that_found_out(tmp_path: Path) -> None:
    with two_parts(tmp_path / "run.zarr") as (_, engines):
        engines[1].abort()
        engines[0].listen()
        engines[0].submit(lambda: None).result(5.0)
        with pytest.raises(RuntimeError, match="part 0 lost its link to part 1 at step 0"):
            engines[0].submit(engines[0].run, 100, None, {}).result(5.0)


def test_short_runs_have_their_checkpoints_too(tmp_path: Path) -> None:
    """Each is one leg."""
    with two_parts(tmp_path / "run.zarr", checkpoint_wall=0.01) as (sim, _):
        for _ in range(3):
            sim.run(1.0)
            time.sleep(0.02)
        assert kept(tmp_path / "run.zarr") == 3.0


@contextmanager
def cluster(tls: bool) -> Iterator[Client]:
    security = Security.temporary() if tls else None
    loopback = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, security=security, **loopback) as made,
        made.get_client() as client,
    ):
        yield client


def test_a_worker_that_leaves_while_its_client_does_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The part that records and completes checkpoints."""
    with (
        caplog.at_level(logging.WARNING, "eventsnn"),
        cluster(tls=True) as client,
        snn.Simulation(mixed(), store=tmp_path / "run.zarr", client=client) as sim,
    ):
        sim.run(20.0)
        os.kill(client.run(os.getpid)[sim.plan.shares[0].place.address], signal.SIGTERM)
        assert soon(lambda: kept(tmp_path / "run.zarr") == 20.0)
        sim["exc"].inject([25.0], [3])
        sim.run(10.0)
    assert "going back to 20 ms" in caplog.text
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(20.0)
        sim["exc"].inject([25.0], [3])
        sim.run(10.0)
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")


def test_a_worker_that_leaves_in_a_loop_of_short_runs(tmp_path: Path) -> None:
    """Wherever it is hit, nothing is run again."""

    def loop(sim: snn.Simulation, steps: int) -> Iterator[None]:
        for k in range(steps):
            sim["exc"].set("I_e", 10.0 * (k % 4))
            sim.run(2.0)
            yield

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append((sim.time, record.getMessage()))

    told: list[tuple[float, str]] = []
    with cluster(tls=False) as client, snn.Simulation(mixed(), store=tmp_path / "run.zarr", client=client) as sim:
        logging.getLogger("eventsnn").addHandler(handler := Told())
        for k, _ in enumerate(loop(sim, 30)):
            if k == 10:
                pid = client.run(os.getpid)[sim.plan.shares[1].place.address]
                threading.Timer(0.03, os.kill, (pid, signal.SIGTERM)).start()
    logging.getLogger("eventsnn").removeHandler(handler)
    back = [(ms, text) for ms, text in told if "going back" in text]
    assert back and all(text.endswith(f"; going back to {ms:g} ms") for ms, text in back), told
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        for _ in loop(sim, 30):
            pass
    assert_equal(tmp_path / "run.zarr", tmp_path / "alone.zarr")


@pytest.mark.parametrize("system", ["slurm", "pbs"])
def test_a_job_outlives_its_worker(root: Path, tmp_path: Path, system: str) -> None:
    """Many batch systems kill what is left of a job when its script has ended; all of its processes are told to stop at once."""
    settings = yaml.safe_load((root / "examples" / "clusters" / "jobqueue.yaml").read_text())
    worker = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), open("checkpoint", "w").close(), exit(0)))
open("running", "w").close()
signal.pause()
"""
    (tmp_path / "worker.py").write_text(worker)
    (tmp_path / "squeue").write_text("#!/bin/sh\necho N/A\n")
    (tmp_path / "squeue").chmod(0o755)
    lines = [*settings["jobqueue"][system]["job-script-prologue"], f"{sys.executable} worker.py"]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "1", "PBS_O_WORKDIR": str(tmp_path)}
    job = subprocess.Popen(["bash"], stdin=subprocess.PIPE, cwd=tmp_path, env=environment, start_new_session=True)
    assert job.stdin is not None
    job.stdin.write("\n".join(lines).encode())
    job.stdin.close()
    assert soon((tmp_path / "running").exists)
    os.killpg(job.pid, signal.SIGTERM)
    job.wait(10)
    assert (tmp_path / "checkpoint").exists()
