"""Runs on a real SLURM whose jobs end in the middle, compared bit by bit with runs in one process.

usage: bash benchmarks/slurm.sh, which writes benchmarks/results/slurm.md; words after `python -m benchmarks.slurm` select cases.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import dask
import numpy as np
from dask_jobqueue.slurm import SLURMCluster
from distributed import Client, Security

import eventsnn as snn
from eventsnn.errors import EventsnnError
from eventsnn.models.networks import microcircuit, small

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "clusters"
RESULTS = Path(__file__).resolve().parent / "results" / "slurm.md"
HERE = {
    "interface": "lo",
    "cores": 1,
    "memory": "1GB",
    "death-timeout": 120,
    "scheduler-options": {"dashboard_address": "127.0.0.1:0"},
}
"""What differs from the examples' jobqueue.yaml: this machine."""
PIECE = 50_000.0
"""ms: of a run of which nobody knows beforehand how long it takes to lose two jobs."""
BOUND = 600.0
"""Seconds that a case may take."""


@dataclass(frozen=True)
class Case:
    """A run on two jobs: one is cancelled, all others end by their walltime."""

    name: str
    tls: bool
    event: str
    """What happens to one job."""
    walltime: str
    margin: int | None
    """Seconds before its end that a worker leaves by itself; None: it is ended by SLURM."""


CASES = (
    Case("told in time", False, "scancel", "00:03:00", 70),
    Case("told in time, TLS", True, "scancel", "00:03:00", 70),
    Case("killed, and ended by SLURM", False, "kill -9", "00:02:00", None),
)


@dataclass
class Story(logging.Handler):
    """What a run said of its losses, and when."""

    told: list[tuple[float, str]] = field(default_factory=list)
    reached: float = 0.0
    """ms, as last reported."""
    struck: float = 0.0
    """When a job was ended from outside."""
    again: list[float] = field(default_factory=list)
    """ms that each loss made the run do again."""

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = logging.Handler.__hash__

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.told.append((time.monotonic(), text))
        if back := re.search(r"; going back to (\S+) ms", text):
            self.again.append(max(0.0, self.reached - float(back[1])))
        print("   ", text, flush=True)

    def progress(self, ms: float, spikes: int) -> None:
        self.reached = ms

    def losses(self) -> list[tuple[float, str, float]]:
        """When each was seen, its text, and when the run went on after it."""
        found = []
        for k, (when, text) in enumerate(self.told):
            if "; going back to " in text:
                on = next((t for t, later in self.told[k:] if later.startswith("going on from")), None)
                if on is not None:
                    found.append((when, text, on))
        return found


@contextmanager
def jobs(case: Case, folder: Path) -> Iterator[tuple[SLURMCluster, Client]]:
    """Two jobs of one worker each, replaced when they end."""
    shipped = dask.config.collect([str(EXAMPLES / "jobqueue.yaml")], env={})
    job = shipped["jobqueue"]["slurm"] | HERE | {"walltime": case.walltime, "log-directory": str(folder / "logs")}
    job |= {"local-directory": str(folder), "shared-temp-directory": str(folder)}
    if case.margin is None:
        job["job-script-prologue"] = [line for line in job["job-script-prologue"] if line.startswith("trap")]
    settings = {f"jobqueue.slurm.{key}": value for key, value in job.items()}
    settings |= {f"eventsnn.{key}": value for key, value in shipped["eventsnn"].items()}
    os.environ["MARGIN"] = str(case.margin)
    security = Security.temporary() if case.tls else None
    with dask.config.set(settings), SLURMCluster(security=security) as cluster, cluster.get_client() as client:
        cluster.adapt(minimum_jobs=2, maximum_jobs=2)
        client.wait_for_workers(2, timeout=120)
        yield cluster, client


def job_of(cluster: SLURMCluster, client: Client, address: str) -> str:
    """The SLURM job of a worker."""
    name = client.scheduler_info(n_workers=-1)["workers"][address]["id"]
    return str(cluster.workers[name].job_id)


def lose(case: Case, folder: Path) -> list[str]:
    """Runs until a job was cancelled and another ended by its walltime, and the run had gone on after both; rows of the table."""
    print(case.name, flush=True)
    story = Story()
    logging.getLogger("eventsnn").addHandler(story)
    store = folder / "run.zarr"
    until = time.monotonic() + BOUND
    try:
        with (
            jobs(case, folder) as (cluster, client),
            snn.Simulation(small(1000), store=store, client=client, checkpoint_wall=5.0, progress=story.progress) as sim,
        ):
            first = {share.rank: job_of(cluster, client, share.place.address) for share in sim.plan.shares}

            def strike(job: str = first[1]) -> None:
                story.struck = time.monotonic()
                end_job(case.event, job)

            threading.Timer(5.0, strike).start()
            while len(story.losses()) < 2 or time.monotonic() - story.losses()[-1][2] < 5.0:
                if time.monotonic() > until:
                    raise TimeoutError(f"{case.name}: {BOUND:g} s have passed, and the run has told of {story.told}")
                sim.run(PIECE)
            end, ended = sim.time, states()
    finally:
        logging.getLogger("eventsnn").removeHandler(story)
    assert ended[first[1]] in ("CANCELLED", "FAILED") and ended[first[0]] in ("COMPLETED", "TIMEOUT"), ended
    with snn.Simulation(small(1000), store=folder / "alone.zarr") as alone:
        alone.run(end)
    spikes = same(store, folder / "alone.zarr")
    losses, rows = story.losses(), []
    struck = next(k for k, (seen, _, _) in enumerate(losses) if seen > story.struck)
    for k, (seen, text, on) in enumerate(losses):
        what, after = (case.event, f"{seen - story.struck:.1f}") if k == struck else ("walltime", "")
        rows.append(f"| {case.name} | {what} | {plain(text)} | {story.again[k]:.0f} | {after} | {on - seen:.1f} |")
    rows.append(f"| {case.name} | end, at {end:g} ms | {spikes:,} spikes, the same bits as in one process | | | |")
    return rows


def end_job(event: str, job: str) -> None:
    """Ends a job from outside, or as the loss of its node would: all of its processes at once, unasked."""
    if event == "scancel":
        subprocess.run(["scancel", job], check=True, timeout=60)
        return
    told = subprocess.run(["scontrol", "listpids", job], capture_output=True, text=True, check=True, timeout=60)
    for line in told.stdout.splitlines()[1:]:
        pid = int(line.split()[0])
        if pid > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def states() -> dict[str, str]:
    """What became of each job so far."""
    told = subprocess.run(["squeue", "-h", "-t", "all", "-o", "%i %T"], capture_output=True, text=True, check=True, timeout=60)
    return dict(line.split() for line in told.stdout.splitlines())


def plain(text: str) -> str:
    """What was said, without addresses and lists of what a worker held."""
    return re.sub(r"\(.*?\)", "", re.sub(r"; it held .*?;", ";", re.sub(r"(tcp|tls)://\S+", "...", text))).replace("  ", " ")


def same(one: Path, other: Path) -> int:
    """Raises where two stores differ in a bit; the number of spikes."""
    a, b = snn.open(one), snn.open(other)
    spikes = 0
    assert [node.path for node in a.subtree] == [node.path for node in b.subtree]
    for node in a.subtree:
        mine, others = node.to_dataset(), b[node.path].to_dataset()
        for name in {**mine.data_vars, **mine.coords}:
            x, y = np.asarray(mine[name].values), np.asarray(others[name].values)
            assert x.dtype == y.dtype and x.tobytes() == y.tobytes(), f"{node.path}/{name} differs"
        spikes += int(mine.sizes.get("event", 0))
    assert spikes > 0
    return spikes


def example(folder: Path) -> dict[str, str]:
    """A folder to run the examples in, and their environment."""
    for file in EXAMPLES.iterdir():
        if file.is_file():
            (folder / file.name).write_text(file.read_text())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "INTERFACE": "lo", "MARGIN": "25"}


def check(store: Path, ms: float) -> int:
    with snn.Simulation(microcircuit(0.1), store=store.parent / "alone.zarr") as alone:
        alone.run(ms)
    return same(store, store.parent / "alone.zarr")


def runner(folder: Path) -> str:
    """One job with a scheduler, a client and two workers."""
    began = time.monotonic()
    command = ["srun", "-n", "4", "--mem=4G", sys.executable, "slurm_runner.py"]
    subprocess.run(command, cwd=folder, env=example(folder), check=True, timeout=BOUND)
    took, spikes = time.monotonic() - began, check(folder / "microcircuit.zarr", 1000.0)
    return f"- `srun -n 4 python slurm_runner.py`: {took:.0f} s, {spikes:,} spikes, the same bits."


def chain(folder: Path) -> str:
    """Jobs in a row, each with a scheduler, a client and two workers; the first is cancelled when it has recorded something."""
    ms, environment, store = 10_000.0, example(folder), folder / "microcircuit.zarr"
    options = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--mem=3G", "--time=30", "--dependency=singleton"]
    command = ["sbatch", "--parsable", *options, "job.sh", str(ms)]
    submit = partial(subprocess.run, command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60)
    first, *_ = [submit().stdout.strip() for _ in range(3)]
    until = time.monotonic() + 2 * BOUND
    wait(lambda: recorded(store), until, folder)
    subprocess.run(["scancel", first], check=True, timeout=60)
    wait((folder / "finished").exists, until, folder)
    resumed = [float(at) for at in re.findall(r"going on from ([\d.]+) ms", output(folder))]
    assert resumed and resumed[0] > 0.0, output(folder)
    told = f"the first job cancelled: resumed at {resumed[0]:g} ms; {check(store, ms):,} spikes, the same bits"
    return f"- `sbatch --dependency=singleton job.sh {ms:g}` three times, {told}."


def recorded(store: Path) -> bool:
    try:
        return bool(snn.open(store)["L4E/spikes"].sizes["event"])
    except (EventsnnError, KeyError):
        return False


def output(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob("slurm-*.out")))


def wait(there: Callable[[], bool], until: float, folder: Path) -> None:
    while not there():
        if time.monotonic() > until:
            raise TimeoutError(output(folder))
        time.sleep(0.2)


def main() -> None:
    rows: list[str] = []
    lines: list[str] = []
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        for case in CASES:
            if chosen(case.name, wanted):
                rows += lose(case, fresh(name))
                gc.collect()  # a cluster deletes its certificates when it is collected
                print(*rows, sep="\n", flush=True)
        for what, work in (("runner", runner), ("chain", chain)):
            if chosen(what, wanted):
                lines.append(work(fresh(name)))
                print(*lines, sep="\n", flush=True)
    text = page(rows, lines)
    print(text)
    if not wanted:
        RESULTS.write_text(text)


def chosen(name: str, wanted: list[str]) -> bool:
    return not wanted or any(word in name for word in wanted)


def fresh(inside: str) -> Path:
    return Path(tempfile.mkdtemp(dir=inside))


def page(rows: list[str], lines: list[str]) -> str:
    slurm = subprocess.run(["sinfo", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    versions = ", ".join(f"{name} {version(name)}" for name in ("dask", "distributed", "dask-jobqueue", "eventsnn"))
    head = f"""# Jobs that end in the middle

`bash benchmarks/slurm.sh`, with {slurm}, {versions}, Python {sys.version.split()[0]}.
One node, loopback, {os.cpu_count()} cores shared with other work: seconds are of one run, and noisy. Two jobs of one worker each,
kept at two by `adapt`.

| case | event | what the run said | run again (ms) | seen after (s) | going on after (s) |
| --- | --- | --- | --- | --- | --- |
"""
    return head + "\n".join([*rows, "", *lines, ""])


if __name__ == "__main__":
    main()
