"""Faults at random moments of runs on Dask clusters: `python -m benchmarks.torture --faults 200 --seed 1`.

A run must have every bit of one that nobody disturbed, whatever was killed, stopped, cut or filled on its way, and however often
it was taken up again; whoever reads its store meanwhile must see the beginning of the truth; nothing may hang, and neither a
process nor a file may be left.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import platform
import queue
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import psutil  # type: ignore[import-untyped]

import eventsnn as snn
from benchmarks.environments import ROOT
from eventsnn.models import (
    FixedIndegree,
    FixedOutdegree,
    IafPscAlpha,
    IafPscExp,
    OneToOne,
    Parrot,
    Poisson,
    PoissonInput,
    SpikeTrain,
    Static,
    Stdp,
)
from eventsnn.storage.checkpoints import Checkpoints
from eventsnn.storage.errors import StoreMissing, StoreUnusable
from eventsnn.storage.results import read_commit
from eventsnn.storage.targets import OWNER

KINDS = ("kill", "stop", "cut", "scheduler", "client", "full")
"""SIGKILL or SIGSTOP of a worker, a link between two of them, SIGKILL of the scheduler or of the client, a full disk."""
IN_SESSION = ("kill", "stop", "cut")
"""Faults that a client outlives."""
TLS_AND_WORKERS = [(tls, workers) for tls in (False, True) for workers in (2, 3, 4)]
RUN, CHANGE, EVERY = 1500.0, 600.0, 50.0
"""ms: of a run, of what is changed from outside in its midst, and between checkpoints."""
DEADLINE = 2.0
"""Seconds of silence after which a link counts as lost."""
TTL = 30
"""Seconds of silence after which the scheduler gives a worker up: outside of a run nobody else notices one that is stopped."""
QUIET = 150.0
"""Seconds that a client may show no progress."""
ENDING = 75.0
"""Seconds that engines and processes may take to end."""
DISK = 96 << 20
"""Bytes of the disk that is filled up."""
TAKEN_UP = 6
"""Times that one run may have to be taken up again."""

EACH = 12
"""Faults of a bout."""

Values = dict[str, npt.NDArray[Any]]


# ---- the run that is disturbed


def network() -> snn.Network:
    """Long and short delays, all kinds of sources, refractory neurons, weights that change; spikes and states are recorded."""
    net = snn.Network(seed=3, dt=0.1)
    exc = net.population("exc", 500, IafPscExp(tau_m=10.0, t_ref=2.0), V_m=snn.Uniform(-70.0, -55.0))
    inh = net.population("inh", 150, IafPscAlpha(), V_m=snn.Uniform(-70.0, -55.0))
    noise = net.population("noise", 40, Poisson(rate=60.0))
    train = net.population("train", 5, SpikeTrain(times=np.arange(1.0, RUN, 3.0), ids=np.arange(int(RUN) // 3) % 5))
    parrot = net.population("parrot", 5, Parrot())
    for post in (exc, inh):
        net.stimulate(post, PoissonInput(rate=9000.0, weight=20.0))
        excites = {"weight": 30.0, "delay": snn.Uniform(0.5, 18.0)}
        net.connect(exc >> post, FixedIndegree(40), Stdp(**excites, Wmax=60.0) if post is exc else Static(**excites))
        net.connect(inh >> post, FixedOutdegree(30), Static(weight=snn.Normal(-120.0, 10.0).clip(None, 0.0), delay=1.5))
        net.connect(noise >> post, FixedIndegree(3), Static(weight=50.0, delay=2.0))
    net.connect(train >> parrot, OneToOne(), Static(weight=1.0, delay=7.0))
    net.connect(parrot >> exc, FixedIndegree(1), Static(weight=300.0, delay=3.0))
    for population in (exc, inh, noise, parrot):
        net.record(population, "spikes")
    net.record(exc[10:30], "V_m", every=0.5, dtype="float64")
    net.record(inh, "ex", every=3.0)
    return net


def change(sim: snn.Simulation) -> None:
    """From outside; what is done twice is as if it were done once."""
    sim["exc"][:50].set("V_m", -68.0)
    sim["exc"].set("I_e", snn.Uniform(0.0, 50.0))
    sim["noise"].set("rate", 90.0)
    sim["exc_to_exc"].learning = 0.5
    weights = sim["exc_to_inh"].weights()
    changed = np.where(weights["pre"] % 2 == 0, 25.0, weights["weight"])
    if (changed != weights["weight"]).any():
        sim["exc_to_inh"].set_weights(changed)


def go_on(sim: snn.Simulation) -> None:
    """To the end, in two pieces."""
    if sim.time <= CHANGE:
        sim.run(round(CHANGE - sim.time, 10))
        change(sim)
    sim.run(round(RUN - sim.time, 10))


def take_part(order: Mapping[str, Any]) -> None:
    """What the process of a client does: begins the run, or takes it up, and tells how it gets on, line by line."""
    import dask
    from distributed import Client

    def tell(*words: object) -> None:
        print(*words, flush=True)

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            tell("going" if text.startswith("going on") else "said", text)

    logging.getLogger("eventsnn").addHandler(Told())
    dask.config.set({"eventsnn.link-deadline": DEADLINE, "eventsnn.recovery-wait": order["wait"]})
    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"progress": lambda ms, spikes: tell("at", ms)}
        if order["address"] is not None:
            options["client"] = stack.enter_context(Client(order["address"], security=security(order["tls"]), timeout=90))
        sim = None
        if order["resume"]:
            try:
                sim = snn.resume(order["store"], **options)
            except (StoreMissing, StoreUnusable) as nothing:
                tell("anew", nothing)
        if sim is None:
            sim = snn.Simulation(network(), store=order["store"], checkpoint_every=EVERY, overwrite=order["resume"], **options)
        tell("planned")
        with sim:
            tell("built", sim.time)
            go_on(sim)
            tell("recovered", len(sim.plan.shares))
    tell("ended")


def security(files: Mapping[str, str] | None) -> Any:
    """TLS from files of a certificate authority, a certificate and its key; None: no TLS."""
    if files is None:
        return None
    from distributed import Security

    ends = {f"tls_{end}_{what}": files[what] for end in ("client", "worker", "scheduler") for what in ("cert", "key")}
    return Security(tls_ca_file=files["ca"], require_encryption=True, **ends)


def undisturbed(store: Path) -> None:
    with snn.Simulation(network(), store=store, checkpoint_every=EVERY, threads=1) as sim:
        go_on(sim)


# ---- what is in a store


def recorded(store: object) -> tuple[float, Values]:
    """ms that are there, and every recorded array by its path."""
    tree = snn.open(store).load()
    found = {}
    for node in tree.subtree:
        data = node.to_dataset()
        for name, values in {**data.data_vars, **data.coords}.items():
            found[f"{node.path}/{name}"] = np.asarray(values.values)
    return float(tree.attrs["committed_ms"]), found


def differs(store: Path, truth: Values) -> str | None:
    """What a store shows that is not the truth up to when it says that it is; None where all of it is."""
    ms, found = recorded(store)
    if found.keys() != truth.keys():
        return f"arrays {sorted(found.keys() ^ truth.keys())}"
    for name, values in found.items():
        whole = truth[name]
        node, _, last = name.rpartition("/")
        times = truth.get(f"{node}/time")
        rows = len(whole)
        if node.endswith("/index"):
            rows = min(len(values), rows)
        elif times is not None and not (last == "neuron" and f"{node}/tick" not in truth):
            rows = int(np.searchsorted(times, ms + 1e-6))
        if values.dtype != whole.dtype or values.shape != (rows, *whole.shape[1:]):
            return f"{name} at {ms:g} ms: {values.dtype} {values.shape}, not {whole.dtype} {(rows, *whole.shape[1:])}"
        if not np.array_equal(np.ascontiguousarray(values).view(np.uint8), np.ascontiguousarray(whole[:rows]).view(np.uint8)):
            return f"{name} at {ms:g} ms: {np.flatnonzero((values != whole[:rows]).reshape(rows, -1).any(1))[:5]}"
    return None


def _step(store: Path) -> int:
    """That the store says that it is at."""
    return int(read_commit(store)[1]["attributes"]["committed_step"])


def _owner(store: Path) -> bytes:
    """Who writes the store; another one as soon as it is taken up."""
    file = store / OWNER
    return file.read_bytes() if file.exists() else b""


def keys(store: Path) -> set[str]:
    """Of all objects but those of checkpoints."""
    names = {str(file.relative_to(store)) for file in store.rglob("*") if file.is_file()}
    return {name for name in names if not name.startswith("checkpoints/")}


def faults_of(store: Path, truth: Values, expected: set[str]) -> list[str]:
    """What is wrong with the store of a run that has ended."""
    wrong = []
    ms, _ = recorded(store)
    if ms != RUN or snn.open(store).attrs["run"]["state"] != "ended":
        wrong.append(f"the store says {ms} ms and {snn.open(store).attrs['run']}")
    if (difference := differs(store, truth)) is not None:
        wrong.append(f"not the undisturbed run: {difference}")
    if keys(store) != expected:
        wrong.append(f"objects: {sorted(keys(store) ^ expected)}")
    kept = sorted(path.name for path in (store / "checkpoints").iterdir())
    if kept != Checkpoints(str(store)).names() or len(kept) != 2:
        wrong.append(f"checkpoints: {kept}")
    wrong += [f"left: {path.name}" for path in store.rglob("*") if path.suffix in (".tmp", ".partial")]
    return wrong


# ---- the cluster


class Cluster:
    """A scheduler, and workers below nannies, in two sessions of processes of their own."""

    def __init__(self, folder: Path, workers: int, tls: Mapping[str, str] | None) -> None:
        folder.mkdir(parents=True)
        self.workers, self.tls, self._folder = workers, tls, folder
        file = folder / "scheduler.json"
        words = [] if tls is None else ["--protocol", "tls"]
        self.scheduler = self._start("dask_scheduler", "--port", "0", "--scheduler-file", str(file), *words)
        eventually(lambda: file.exists() and file.stat().st_size > 0, 90.0, "the scheduler")
        self.address = json.loads(file.read_text())["address"]
        count = ["--nworkers", str(workers), "--nthreads", "1", "--local-directory", str(folder / "scratch")]
        count += ["--death-timeout", "45"]  # a worker that a nanny has just started would look for a dead scheduler for ever
        self.nannies = self._start("dask_worker", self.address, *count, *words)
        from distributed import Client

        self.client = Client(self.address, security=security(tls), timeout=90)
        self.ready()

    def ready(self) -> None:
        """Waits until all workers are there."""
        self.client.wait_for_workers(self.workers, timeout=180)

    def pids(self) -> list[int]:
        """Of the workers."""
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self.nannies.pid).children(recursive=True)
            return [p.pid for p in children if "spawn_main" in " ".join(p.cmdline())]
        return []

    def ask(self, what: Callable[..., Any], *args: Any, workers: Sequence[str] | None = None) -> dict[str, Any]:
        """Answers of the workers that answer within seconds."""
        run: Any = self.client._run
        with contextlib.suppress(Exception):
            answers = self.client.sync(run, what, *args, workers=workers, on_error="ignore", callback_timeout=5.0)
            return dict(answers)
        return {}

    def held(self) -> dict[str, Any]:
        """What the workers hold of simulations."""
        return self.ask(_held) or {"all": "no answer"}

    def end(self) -> list[str]:
        """Ends all processes, and says which would not end by themselves."""
        left = []
        self.client.close(timeout=5)
        for process in (self.nannies, self.scheduler):
            process.terminate()
            with contextlib.suppress(TimeoutError):
                eventually(lambda: process.poll() is not None and not session(process.pid), ENDING, "the end")  # noqa: B023
            for other in session(process.pid):
                with contextlib.suppress(psutil.Error):
                    left.append(f"process {other.pid} ({' '.join(other.cmdline())[-120:]})")
                    other.kill()
            process.wait(5)
        return left

    def _start(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        files = [] if self.tls is None else [w for k, f in self.tls.items() for w in (f"--tls-{k}{'-file' * (k == 'ca')}", f)]
        command = [sys.executable, "-m", f"distributed.cli.{module}", *words, "--host", "127.0.0.1", "--no-dashboard", *files]
        with open(self._folder / f"{module}.log", "wb") as log:
            settings = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{TTL} s"}
            return subprocess.Popen(command, cwd=ROOT, env=settings, stdout=log, stderr=log, start_new_session=True)


def certificates(folder: Path) -> dict[str, str]:
    from distributed import Security

    made: Any = Security.temporary()
    texts = {"ca": made.tls_ca_file, "cert": made.tls_worker_cert, "key": made.tls_worker_key}
    for name, text in texts.items():
        (folder / f"{name}.pem").write_text(text)
    return {name: str(folder / f"{name}.pem") for name in texts}


def session(leader: int) -> list[psutil.Process]:
    """Living processes of a session."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def eventually(what: Callable[[], bool], seconds: float, name: str, state: Callable[[], object] = str) -> None:
    """Waits; TimeoutError with the `state` of affairs after so many seconds."""
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(f"{name} took more than {seconds:g} s {state()}")
        time.sleep(0.1)


def _held(dask_worker: Any) -> list[str]:
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("eventsnn")]
    return [*names, *(key for key in dask_worker.extensions if key.startswith("eventsnn")), *dask_worker.state.actors]


def _cut(chosen: float, dask_worker: Any) -> str:
    """Shuts one connection of the engine of a worker, as a network that fails would; "" where it has none."""
    for key, held in dask_worker.extensions.items():
        if key.startswith("eventsnn-"):
            engine = held.engine
            sockets = [*getattr(engine.links, "_sockets", ())]
            records = [engine.sender._sock] if engine.sender is not None else []
            if sockets + records:
                cut = (sockets + records)[int(chosen * len(sockets + records))]
                from eventsnn.scheduler.links import shut

                shut(cut)
                return "records" if cut in records else "spikes"
    return ""


# ---- faults


@dataclass
class Fault:
    """One fault and what became of it."""

    kind: str
    tls: bool
    workers: int
    struck: float = 0.0
    """Moment, in seconds."""
    hit: str = ""
    way: str = "unfelt"
    """How the run went on: in its session, "resumed", or as if nothing had been."""
    seconds: float | None = None
    """From the fault until the run went on."""
    equal: bool = False


class Disk:
    """Where the stores are; it can be made full. A file system in memory where that may be mounted, else a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)]
        self._mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
        self._limited: dict[int, tuple[int, int]] = {}

    def fill(self, pids: Sequence[int], chance: random.Random) -> str:
        """Leaves no room for anybody, or for what these processes write."""
        if self._mounted and os.path.ismount(self.folder) and chance.random() < 0.5:
            left = chance.choice([0, 4096, 65536])
            free = shutil.disk_usage(self.folder).free
            with contextlib.suppress(OSError), open(self.folder / "filler", "wb", buffering=0) as file:
                for _ in range(max(0, free - left) // 4096):
                    file.write(b"x" * 4096)
            return f"full but for {left} bytes"
        size = chance.choice([0, 100, 5000])
        for pid in pids:
            with contextlib.suppress(OSError):
                self._limited[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, self._limited[pid][1]))
        return f"files of {size} bytes at most"

    def make_room(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)
        for pid, limit in self._limited.items():
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        self._limited.clear()

    def close(self) -> None:
        if self._mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)


class Attempt:
    """The process of a client, and what it says."""

    def __init__(self, order: Mapping[str, Any], log: Path) -> None:
        script = (
            "import faulthandler, json, signal, sys; faulthandler.register(signal.SIGUSR1); "
            "from benchmarks.torture import take_part; take_part(json.loads(sys.argv[1]))"
        )
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", script, json.dumps(order)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._lines: queue.Queue[tuple[float, str]] = queue.Queue()
        self.heard = time.monotonic()
        self.at = 0.0
        self.planned: float | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.log.with_suffix(".said").open("a") as said, self.process.stdout:
            for line in self.process.stdout:
                self._lines.put((time.monotonic(), line.strip()))
                said.write(f"{time.monotonic():.2f} {line}")
                said.flush()

    def news(self) -> Iterator[tuple[float, str, str]]:
        """Moment, word and rest of what was said since."""
        while not self._lines.empty():
            self.heard, line = self._lines.get()
            word, _, rest = line.partition(" ")
            if word == "at":
                self.at = float(rest)
            elif word == "planned":
                self.planned = self.heard
            yield self.heard, word, rest

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self._listener.join(10)


@dataclass
class Bout:
    """Some faults on clusters of one kind, over as many runs as it takes."""

    tls: bool
    workers: int
    deck: list[str]
    seed: int
    folder: Path
    reference: Path
    until: float = math.inf
    """Moment after which no run begins."""
    done: list[Fault] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Whatever is not as it was promised, in words."""
    runs: int = 0
    reads: int = 0
    overtaken: int = 0
    """Reads that were under way while the run went back."""
    left_behind: int = 0
    """Clients that were killed and waited for."""
    emergency: int = 0
    """Of these, whose workers made a last checkpoint."""

    def fight(self) -> Bout:
        self.folder.mkdir(parents=True)
        self._chance = random.Random(self.seed)
        _, self._truth = recorded(self.reference)
        self._keys = keys(self.reference)
        self._tls = certificates(self.folder) if self.tls else None
        self._disk = Disk(self.folder / "disk")
        self._cluster: Cluster | None = None
        self._clusters = 0
        try:
            while self.deck and self.runs < 4 * len(KINDS) and time.monotonic() < self.until:
                self._one_run()
        except Exception:
            self._complain(f"run {self.runs} could not be looked at: {traceback.format_exc()}")
        finally:
            self._end_cluster()
            self._disk.close()
        if not self.wrong:
            shutil.rmtree(self.folder)
        return self

    # ---- a run

    def _one_run(self) -> None:
        self.runs += 1
        chance, store = self._chance, self._disk.folder / f"run_{self.runs}.zarr"
        planned = [self.deck.pop() for _ in range(min(len(self.deck), chance.choice([0, 1, 2, 3, 3, 4, 4, 5])))]
        self._faults: list[Fault] = []
        self._shown = False
        """Whether a reader has found the store."""
        self._resume_stopped: list[tuple[float, int]] = []
        before = len(self.wrong)
        self._need_cluster()
        for attempt in range(TAKEN_UP + 1):
            alone = attempt > 0 and not planned and chance.random() < 0.4
            if not alone:
                self._need_cluster()
            if self._attempt(store, attempt > 0, alone, planned):
                break
            self._disk.make_room()
            if attempt == TAKEN_UP:
                self._complain(f"run {self.runs} was taken up {TAKEN_UP} times and has not ended")
        self._wake(everybody=True)
        self._disk.make_room()
        self.deck[:0] = planned  # the run ended before
        with self._noted("its store"):
            found = faults_of(store, self._truth, self._keys)
            for text in found:
                self._complain(f"run {self.runs}: {text}")
            for fault in self._faults:
                fault.equal = not found
        if self._cluster is not None and self._cluster.scheduler.poll() is None:
            self._let_go(self._cluster, "a run that has ended")
        self.done += self._faults
        with open(self.folder.parent / "faults.jsonl", "a") as file:
            file.writelines(json.dumps(asdict(fault)) + "\n" for fault in self._faults)
        if len(self.wrong) > before and store.exists():
            shutil.copytree(store, self.folder / store.name)
        shutil.rmtree(store, ignore_errors=True)

    def _attempt(self, store: Path, resume: bool, alone: bool, planned: list[str]) -> bool:
        """Starts a client and disturbs it; whether the run has ended."""
        chance, cluster = self._chance, self._cluster
        order = {
            "store": str(store),
            "address": None if alone or cluster is None else cluster.address,
            "tls": self._tls,
            "resume": resume,
            "wait": chance.choice([0.0, 5.0, 20.0]),
        }
        attempt = Attempt(order, self.folder / f"client_{self.runs}.log")
        next_at, next_time = self._next(0.0, first=True)
        since: float | None = None
        look = 0.0
        try:
            while attempt.process.poll() is None:
                time.sleep(0.02)
                now = time.monotonic()
                for moment, word, rest in attempt.news():
                    self._hear(moment, word, rest, resume, store)
                if attempt.planned is not None and planned and cluster is not None and not alone:
                    since = attempt.planned if since is None else since
                    if (attempt.at >= next_at and next_at >= 0) or (next_at < 0 and now > since + next_time):
                        if self._strike(planned[-1], attempt, cluster):
                            planned.pop()
                        since = time.monotonic()
                        next_at, next_time = self._next(attempt.at, first=False)
                if now > look:
                    self._read(store)
                    look = time.monotonic() + self._chance.uniform(0.0, 2.5)
                self._wake()
                if now > attempt.heard + QUIET:
                    attempt.process.send_signal(signal.SIGUSR1)
                    time.sleep(1.0)
                    self._complain(f"run {self.runs}: a client that says nothing for {QUIET:g} s after {self._last()}")
                    return False
        finally:
            attempt.kill()
        for moment, word, rest in attempt.news():
            self._hear(moment, word, rest, resume, store)
        ended = attempt.process.returncode == 0
        if not ended:
            self._after(attempt, store, alone)
        return ended

    def _hear(self, moment: float, word: str, rest: str, resume: bool, store: Path) -> None:
        if word == "going" or (word == "built" and resume):
            for fault in self._faults:
                bites = fault.kind == "full" and word == "going"  # until there is room
                if fault.seconds is None and fault.struck < moment and not bites:
                    fault.way = "session" if word == "going" else "resumed"
                    fault.seconds = moment - fault.struck
        if word == "anew":
            self._shown = False
            with contextlib.suppress(Exception):
                if Checkpoints(str(store)).latest() is not None:
                    self._complain(f"run {self.runs}: begun anew although there is a checkpoint ({rest})")

    def _after(self, attempt: Attempt, store: Path, alone: bool) -> None:
        """The client has ended before its time."""
        kinds = {fault.kind for fault in self._faults if fault.seconds is None}
        if not kinds - set(IN_SESSION) and "given up" not in _tail(attempt.log):
            self._complain(f"run {self.runs}: the client gave up after {self._last()}: {_tail(attempt.log)}")
        cluster = self._cluster
        if cluster is None or cluster.scheduler.poll() is not None:
            return
        if kinds == {"client"} and not alone and self._chance.random() < 0.5:
            self._let_go(cluster, "a client that was killed")
            last = Checkpoints(str(store)).latest() if store.exists() else None
            self.left_behind += 1
            self.emergency += last is not None and last.manifest["step"] % round(EVERY / 0.1) != 0

    def _let_go(self, cluster: Cluster, whom: str) -> None:
        """Waits until no worker holds anything of simulations."""
        with self._noted(f"what workers hold of {whom}"):
            eventually(lambda: not any(cluster.held().values()), ENDING, "letting go", cluster.held)

    # ---- what is done to it

    def _next(self, at: float, first: bool) -> tuple[float, float]:
        """The next fault: at a moment of the run (ms), or, where that is negative, so many seconds on."""
        if self._chance.random() < (0.15 if first else 0.4):
            return -1.0, self._chance.uniform(0.0, 3.0)
        return self._chance.uniform(at, 0.95 * RUN), 0.0

    def _strike(self, kind: str, attempt: Attempt, cluster: Cluster) -> bool:
        """Whether there was anything to hit."""
        chance, pids = self._chance, cluster.pids()
        fault = Fault(kind, self.tls, self.workers, struck=time.monotonic())
        if cluster.scheduler.poll() is not None:  # the client is about to notice
            return False
        if kind in ("kill", "stop"):
            if not pids:
                return False
            pid = chance.choice(pids)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
            if kind == "stop":
                again = chance.choice([0.5, 3.0, 8.0, 1e9])
                self._resume_stopped.append((time.monotonic() + again, pid))
                fault.hit = f"for {again:g} s"
        elif kind == "cut":
            workers = list(cluster.client.scheduler_info(n_workers=-1)["workers"])
            if not workers:
                return False
            fault.hit = next(iter(cluster.ask(_cut, chance.random(), workers=[chance.choice(workers)]).values()), "")
            if not fault.hit:
                return False
        elif kind == "scheduler":
            cluster.scheduler.kill()
            cluster.scheduler.wait(10)
        elif kind == "client":
            attempt.process.kill()
        else:
            fault.hit = self._disk.fill(pids, chance)
        self._faults.append(fault)
        return True

    def _wake(self, everybody: bool = False) -> None:
        now = time.monotonic()
        for entry in [entry for entry in self._resume_stopped if everybody or entry[0] < now]:
            self._resume_stopped.remove(entry)
            with contextlib.suppress(OSError):
                os.kill(entry[1], signal.SIGCONT)

    # ---- what is looked at

    def _read(self, store: Path) -> None:
        """As anybody may at any moment."""
        with self._noted("a live read"):
            try:
                began = _step(store)
            except (StoreMissing, StoreUnusable):
                if self._shown:
                    raise
                return
            self._shown = True
            self.reads += 1
            owner = _owner(store)
            difference = differs(store, self._truth)
            if difference is not None and (_step(store) < began or _owner(store) != owner):
                self.overtaken += 1
            elif difference is not None:
                self._complain(f"run {self.runs}: a reader saw {difference}, after {self._last()}")

    @contextlib.contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._complain(f"run {self.runs}: {what}: {type(error).__name__}: {error} after {self._last()}")

    def _need_cluster(self) -> None:
        if self._cluster is not None and self._cluster.scheduler.poll() is not None:
            self._end_cluster()
        if self._cluster is None:
            self._clusters += 1
            self._cluster = Cluster(self.folder / f"cluster_{self._clusters}", self.workers, self._tls)
        else:
            self._wake(everybody=True)
            self._cluster.ready()

    def _end_cluster(self) -> None:
        if self._cluster is not None:
            self._wake(everybody=True)
            for left in self._cluster.end():
                self._complain(f"left over after run {self.runs}: {left}")
            self._cluster = None

    def _complain(self, text: str) -> None:
        self.wrong.append(text)
        with open(self.folder / "wrong.txt", "a") as file:
            file.write(f"{time.monotonic():.2f} {text}\n")

    def _last(self) -> str:
        return ", ".join(f"{f.kind} {f.hit} {time.monotonic() - f.struck:.1f} s ago" for f in self._faults) or "no fault"


def _tail(log: Path) -> str:
    lines = log.read_text().strip().splitlines()
    return lines[-1] if lines else ""


# ---- the table


def table(faults: Sequence[Fault]) -> str:
    """A row for each kind, with and without TLS, and number of workers."""
    head = ("fault", "TLS", "workers", "injected", "in session", "resumed", "unfelt", "equal", "median s", "max s")
    rows = [head, tuple("---" for _ in head)]
    groups: list[tuple[str, str, str, list[Fault]]] = []
    for kind in KINDS:
        for tls, workers in TLS_AND_WORKERS:
            chosen = [f for f in faults if (f.kind, f.tls, f.workers) == (kind, tls, workers)]
            groups.append((kind, "yes" if tls else "no", str(workers), chosen))
        groups.append((f"{kind}, all", "", "", [f for f in faults if f.kind == kind]))
    groups.append(("all", "", "", list(faults)))
    for kind, tls_word, number, chosen in groups:
        if chosen:
            seconds = [f.seconds for f in chosen if f.seconds is not None]
            ways = [str(sum(f.way == way for f in chosen)) for way in ("session", "resumed", "unfelt")]
            spent = [f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}"] if seconds else ["", ""]
            rows.append((kind, tls_word, number, str(len(chosen)), *ways, str(sum(f.equal for f in chosen)), *spent))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def summary(bouts: Sequence[Bout], seconds: float) -> str:
    total = {name: sum(getattr(b, name) for b in bouts) for name in ("runs", "reads", "overtaken", "left_behind", "emergency")}
    return (
        f"{total['runs']} runs in {seconds / 60:.0f} minutes. {total['reads']} live reads, {total['overtaken']} of them "
        f"overtaken by a run that went back. {total['left_behind']} clients were killed and their workers waited for: "
        f"{total['emergency']} times the last checkpoint lay between two scheduled ones. "
        f"Found wrong: {sum(len(b.wrong) for b in bouts)}."
    )


def torture(faults: int, seed: int, lanes: int, folder: Path, kinds: Sequence[str], minutes: float) -> list[Bout]:
    """As many faults, EACH of them to a bout, on `lanes` clusters at one time; logs of what goes wrong stay in `folder`."""
    until = time.monotonic() + 60.0 * minutes
    reference = folder / "undisturbed.zarr"
    undisturbed(reference)
    chance = random.Random(seed)
    decks: dict[tuple[bool, int], list[str]] = {cell: [] for cell in TLS_AND_WORKERS}
    cells = [(kind, cell) for kind in kinds for cell in TLS_AND_WORKERS]
    while len(cells) < faults:
        cells += cells
    chance.shuffle(turn := cells[: len(kinds) * len(TLS_AND_WORKERS)])
    for kind, cell in (turn * (faults // len(turn) + 1))[:faults]:
        decks[cell].append(kind)
    bouts = []
    for (tls, workers), deck in decks.items():
        chance.shuffle(deck)
        for first in range(0, len(deck), EACH):
            name = f"bout_{'tls' if tls else 'tcp'}_{workers}_{first // EACH}"
            bouts.append(Bout(tls, workers, deck[first : first + EACH], chance.getrandbits(32), folder / name, reference, until))
    chance.shuffle(bouts)
    finished = []
    with ProcessPoolExecutor(lanes, mp_context=get_context("spawn")) as pool, _ended_with(pool):
        for future in as_completed([pool.submit(_in_lane, bout) for bout in bouts]):
            bout = future.result()
            finished.append(bout)
            kind = f"{'TLS' if bout.tls else 'TCP'}, {bout.workers} workers"
            click.echo(f"{kind}: {bout.runs} runs, {len(bout.done)} faults, {bout.reads} reads, {len(bout.wrong)} wrong")
            for text in bout.wrong:
                click.echo(f"  {bout.folder.name}: {text}")
    return finished


def _in_lane(bout: Bout) -> Bout:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it tells of every scheduler that is killed
    return bout.fight()


@contextlib.contextmanager
def _ended_with(pool: ProcessPoolExecutor) -> Iterator[None]:
    """A driver that is told to stop ends its lanes, and these their clusters."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in get_context("spawn").active_children():
            process.terminate()
        raise


@click.command()
@click.option("--faults", default=200, show_default=True, help="How many, over all kinds.")
@click.option("--seed", default=1, show_default=True, help="Of what is hit, and when.")
@click.option("--lanes", default=2, show_default=True, help="Clusters at one time.")
@click.option("--minutes", default=60.0, show_default=True, help="After which no run begins.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS, help="Only these.")
@click.option("--logs", type=click.Path(path_type=Path), help="A new folder for the logs of what goes wrong.")
@click.option("--save", is_flag=True, help="Write the table to benchmarks/results/torture.md.")
def main(faults: int, seed: int, lanes: int, minutes: float, kinds: Sequence[str], logs: Path | None, save: bool) -> None:
    """Disturb runs, and print what came of it."""
    folder = logs if logs is not None else Path(tempfile.mkdtemp(prefix="eventsnn-torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(f"logs of what goes wrong: {folder}")
    began = time.monotonic()
    bouts = torture(faults, seed, lanes, folder.resolve(), kinds, minutes)
    text = f"{table([f for b in bouts for f in b.done])}\n\n{summary(bouts, time.monotonic() - began)}\n"
    click.echo(text)
    if save:
        packages = ", ".join(f"{name} {version(name)}" for name in ("eventsnn", "distributed", "zarr", "numba"))
        options = f"--faults {faults} --seed {seed} --lanes {lanes} --minutes {minutes:g}"
        intro = f"`python -m benchmarks.torture {options}` on {date.today().isoformat()}"
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {packages}"
        (ROOT / "benchmarks" / "results" / "torture.md").write_text(f"# Torture\n\n{intro} ({machine}).\n\n{text}")
    sys.exit(1 if any(bout.wrong for bout in bouts) else 0)


if __name__ == "__main__":
    from benchmarks.torture import main as by_name  # what workers are asked to do must have a module that they find

    by_name()
