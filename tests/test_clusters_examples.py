"""The examples for batch systems: their settings exist, their jobs are what the tools they call accept, and they run on SLURM."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import yaml
from dask.utils import parse_timedelta
from distributed import LocalCluster, Worker

import eventsnn as snn
from eventsnn.models.networks import small
from eventsnn.scheduler.errors import WorkerLost, WorkersLeft

SLURMCTLD = shutil.which("slurmctld", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
LIFETIME = "DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION"


@pytest.fixture(autouse=True, scope="module")
def interrupts() -> Iterator[None]:
    """Importing dask_jobqueue replaces what Ctrl-C does in the whole process."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def examples(root: Path) -> Path:
    return root / "examples" / "clusters"


@pytest.fixture
def settings(examples: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((examples / "jobqueue.yaml").read_text())
    return loaded


def test_every_setting_is_one_that_is_read(root: Path, settings: dict[str, Any]) -> None:
    jobqueue = pytest.importorskip("dask_jobqueue")
    known = yaml.safe_load((Path(jobqueue.__file__).parent / "jobqueue.yaml").read_text())["jobqueue"]
    assert {"slurm", "pbs"} == settings["jobqueue"].keys()
    for system, given in settings["jobqueue"].items():
        assert given.keys() <= known[system].keys()
    text = "".join(path.read_text() for room in ("eventsnn", "scheduler") for path in (root / room).glob("*.py"))
    for name in settings["eventsnn"]:
        assert f'"eventsnn.{name}"' in text, name


def test_the_page_names_every_setting_of_eventsnn_with_its_default(root: Path) -> None:
    text = "".join(path.read_text() for room in ("eventsnn", "scheduler") for path in (root / room).glob("*.py"))
    read = dict(re.findall(r'config\.get\("(eventsnn\.[a-z-]+)", ([\w.]+)\)', text))
    shown = dict(re.findall(r"^\| `(eventsnn\.[a-z-]+)` \| (\S+) \|", (root / "docs" / "clusters.md").read_text(), re.MULTILINE))
    assert len(read) >= 6
    assert {name: yaml.safe_load(value.lower()) for name, value in read.items()} == {
        name: yaml.safe_load(value) for name, value in shown.items()
    }


@contextmanager
def job_script(examples: Path, name: str, settings: dict[str, Any]) -> Iterator[str]:
    """What an example would submit, with its scheduler on loopback."""
    given = {
        f"jobqueue.{system}.{key}": value
        for system, all_of_it in settings["jobqueue"].items()
        for key, value in {
            **all_of_it,
            "interface": "lo",
            "scheduler-options": {"dashboard_address": "127.0.0.1:0"},
        }.items()
    }
    with dask.config.set(given), runpy.run_path(str(examples / name))["cluster"]() as cluster:
        yield cluster.job_script()


@pytest.mark.skipif(sys.platform != "linux", reason="the loopback interface is called lo on Linux")
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("slurm.py", ["#SBATCH -p debug", "#SBATCH --cpus-per-task=16", "#SBATCH --mem=30G", "#SBATCH -t 04:00:00"]),
        ("slurm_tls.py", ["#SBATCH -p debug", "#SBATCH -t 04:00:00"]),
        ("slurm_gpu.py", ["#SBATCH --gres=gpu:4", "#SBATCH --cpus-per-task=32", "#SBATCH -t 04:00:00"]),
        ("pbs.py", ["#PBS -q workq", "#PBS -l select=1:ncpus=16:mem=30GB", "#PBS -l walltime=04:00:00"]),
        ("pbs_gpu.py", ["#PBS -l select=1:ncpus=32:ngpus=4:mem=128gb", "#PBS -l walltime=04:00:00"]),
    ],
)
def test_a_job_asks_for_what_it_needs_and_its_worker_understands_its_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, examples: Path, settings: dict[str, Any], name: str, wanted: list[str]
) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.chdir(tmp_path)  # for logs
    monkeypatch.setenv("HOME", str(tmp_path))  # for certificates
    monkeypatch.syspath_prepend(examples)
    with job_script(examples, name, settings) as script:
        lines = script.splitlines()
        assert [line for line in wanted if line not in lines] == [], script
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=20)
        python, m, module, *words = shlex.split(os.path.expandvars(lines[-1]))
        assert (python, m) == (sys.executable, "-m")
        given = parsed(module, words)  # reads the certificates' names while they are there
    assert given["scheduler"].startswith("tls://127.0.0.1" if "tls" in name else "tcp://127.0.0.1")
    assert given["nthreads"] == (1 if "gpu" in name else 16)
    assert (given["tls_key"] is not None) == ("tls" in name)


def parsed(module: str, words: list[str]) -> dict[str, Any]:
    """How the command of a worker reads its options; raises where it does not know one."""
    if module == "dask_cuda.cli":
        command = pytest.importorskip("dask_cuda.cli").worker
    else:
        assert module == "distributed.cli.dask_worker"
        from distributed.cli.dask_worker import main as command
    params: dict[str, Any] = command.make_context("worker", words).params
    return params


def lifetime(prologue: list[str], squeue: str, folder: Path) -> str:
    """What a job's first lines leave in the environment, where `squeue` says when the job ends."""
    said = folder / "squeue"
    said.write_text(f"#!/bin/sh\necho '{squeue}'\n")
    said.chmod(0o755)
    script = "\n".join([*prologue, f'echo "${{{LIFETIME}:-none}}"'])
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "1", "PBS_O_WORKDIR": str(folder)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def test_a_slurm_worker_leaves_two_minutes_before_its_job_ends(tmp_path: Path, settings: dict[str, Any]) -> None:
    prologue = settings["jobqueue"]["slurm"]["job-script-prologue"]
    end = datetime.now() + timedelta(hours=1)
    left = parse_timedelta(lifetime(prologue, end.isoformat(timespec="seconds"), tmp_path))
    assert 3600 - 120 - 20 <= left <= 3600 - 120


@pytest.mark.parametrize("said", ["N/A", "NONE", ""])
def test_a_slurm_job_without_an_end_has_workers_without_one(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    assert lifetime(settings["jobqueue"]["slurm"]["job-script-prologue"], said, tmp_path) == "none"


def test_a_pbs_worker_leaves_two_minutes_before_its_job_ends(tmp_path: Path, settings: dict[str, Any]) -> None:
    pbs = settings["jobqueue"]["pbs"]
    hours, minutes, seconds = map(int, pbs["walltime"].split(":"))
    left = parse_timedelta(lifetime(pbs["job-script-prologue"], "", tmp_path))
    assert left == hours * 3600 + minutes * 60 + seconds - 120


def end_lifetime(dask_worker: Worker) -> None:
    """What a worker does when its lifetime is over, with a nanny that starts another one."""
    dask_worker.loop.add_callback(dask_worker.close_gracefully, restart=True)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_at_the_end_of_its_lifetime_leaves_a_checkpoint(tmp_path: Path, rank: int) -> None:
    loopback = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    far = threading.Event()
    options: dict[str, Any] = {"checkpoint_wall": 1e6, "progress": lambda ms, spikes: ms > 100.0 and far.set()}
    with LocalCluster(n_workers=2, threads_per_worker=1, **loopback) as cluster, cluster.get_client() as client:
        sim = snn.Simulation(small(1000), store=tmp_path / "run.zarr", client=client, recover=False, **options)
        leaver = sim.plan.shares[rank].place.address

        def leave() -> None:
            far.wait(60.0)
            client.run(end_lifetime, workers=[leaver])

        leaving = threading.Thread(target=leave)
        with pytest.raises((WorkersLeft, WorkerLost)), sim:
            leaving.start()
            sim.run(1e7)
        leaving.join()
    with snn.resume(tmp_path / "run.zarr") as sim:
        assert sim.time > 100.0  # no checkpoint was made but that one
        sim.run(50.0)
    with snn.Simulation(small(1000), store=tmp_path / "alone.zarr") as alone:
        alone.run(sim.time)
    for name in ("exc", "inh"):
        one, other = (snn.open(tmp_path / store)[f"{name}/spikes"].to_dataset() for store in ("run.zarr", "alone.zarr"))
        np.testing.assert_array_equal(one["time"].values, other["time"].values)
        np.testing.assert_array_equal(one["neuron"].values, other["neuron"].values)


@pytest.mark.timeout(120)
def test_a_run_that_was_just_resumed_can_be_stored_at_once(tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    with snn.Simulation(small(1000), store=store) as sim:
        sim.run(50.0)
        sim.checkpoint()
    loopback = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **loopback) as cluster,
        cluster.get_client() as client,
        snn.resume(store, client=client) as sim,
    ):
        sim.checkpoint()  # no part has anything to report yet
    with snn.resume(store) as sim:
        assert sim.time == 50.0


@pytest.mark.parametrize("name", ["examples/clusters/job.sh", "benchmarks/slurm.sh"])
def test_bash_can_read_the_scripts(root: Path, name: str) -> None:
    subprocess.run(["bash", "-n", name], cwd=root, check=True, timeout=20)


def slurm(root: Path, seconds: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a SLURM of one node, which ends with it, or after `seconds`."""
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(root)}
    bounded = ["timeout", str(seconds), "bash", str(root / "benchmarks" / "slurm.sh"), *command]
    done = subprocess.run(bounded, env=environment, capture_output=True, text=True, timeout=seconds + 60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.skipif(SLURMCTLD is None, reason="SLURM is not installed")
def test_slurm_would_run_the_jobs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Path, examples: Path, settings: dict[str, Any]
) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(examples)
    for name in ("slurm.py", "slurm_gpu.py"):
        with job_script(examples, name, settings) as script:
            (tmp_path / f"{name}.sh").write_text(script)
    ask = 'for job in "$@"; do sbatch --test-only "$job" || exit 1; done'
    done = slurm(root, 200, "bash", "-c", ask, "ask", *map(str, sorted(tmp_path.glob("*.sh"))))
    assert re.findall(r"using (\d+) processors", done.stderr) == ["16", "32"]


@pytest.mark.skipif(SLURMCTLD is None, reason="SLURM is not installed")
def test_a_network_runs_in_one_slurm_job(root: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    assert "the same bits" in slurm(root, 220, sys.executable, "-m", "benchmarks.slurm", "runner").stdout


@pytest.mark.skipif(SLURMCTLD is None, reason="SLURM is not installed")
@pytest.mark.skipif("EVENTSNN_SLURM" not in os.environ, reason="takes ten minutes: EVENTSNN_SLURM=1 runs it")
@pytest.mark.timeout(1600)
@pytest.mark.parametrize("case", ["told in time", "killed", "chain"])
def test_a_run_outlives_its_slurm_jobs(root: Path, case: str) -> None:
    pytest.importorskip("dask_jobqueue")
    assert "the same bits" in slurm(root, 1500, sys.executable, "-m", "benchmarks.slurm", case).stdout
