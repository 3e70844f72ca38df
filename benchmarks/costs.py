"""What it costs to lose nothing: `python -m benchmarks.costs [checkpoint recording recovery memory hour]`.

Figures go to results/costs.json. Ratios come from runs in turns, in one process or one after the other.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

import eventsnn as snn
from eventsnn.models.networks import microcircuit
from eventsnn.spec import RecordingSpec, Subset
from eventsnn.storage.packing import unpack
from eventsnn.storage.recorder import Recorder

RESULTS = Path(__file__).resolve().parent / "results" / "costs.json"

T = TypeVar("T")


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def checkpoint(folder: Path) -> dict[str, Any]:
    """Checkpoints of the microcircuit at full scale, and taking one up."""
    store, seconds = folder / "run.zarr", []
    with snn.Simulation(microcircuit(1.0), store=store) as sim:
        sim.run(100.0)
        for _ in range(5):
            began = time.perf_counter()
            sim.checkpoint()
            seconds.append(time.perf_counter() - began)
            sim.run(20.0)
        build = sim.report()["seconds"]["build"]  # type: ignore[index]
    sizes = [size(path) for path in (store / "checkpoints").iterdir()]
    began = time.perf_counter()
    with snn.resume(store):
        again = time.perf_counter() - began
    return {
        "seconds": [round(s, 3) for s in seconds],
        "bytes": max(sizes),
        "build_s": round(float(build), 2),
        "resume_s": round(again, 2),
    }


def recording(folder: Path) -> dict[str, Any]:
    """Recording all spikes of the microcircuit at full scale, in turns with recording none: seconds of two seconds."""
    ratios, with_, without = [], [], []
    for turn in range(4):
        found = {}
        for recorded in (True, False) if turn % 2 else (False, True):
            net = microcircuit(1.0)
            if not recorded:
                net._recordings.clear()
            store = folder / f"{turn}.zarr" if recorded else None
            with snn.Simulation(net, store=store) as sim:
                sim.run(200.0)
                began = time.perf_counter()
                sim.run(2000.0)
                found[recorded] = time.perf_counter() - began
        with_.append(found[True])
        without.append(found[False])
        ratios.append(found[True] / found[False])
    return {"with_s": with_, "without_s": without, "ratios": ratios, "median": statistics.median(ratios)}


def recovery(folder: Path) -> dict[str, Any]:
    """A worker is killed, in the middle of a run over two workers; seconds from the loss to going on, and those spent waiting."""
    from distributed import LocalCluster

    told: list[tuple[float, str]] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append((time.perf_counter(), record.getMessage()))

    log = logging.getLogger("eventsnn")
    log.addHandler(Listener())
    killed: list[float] = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        cluster.get_client() as client,
        snn.Simulation(microcircuit(0.1), store=folder / "run.zarr", client=client, checkpoint_every=200.0) as sim,
    ):
        pid = client.run(os.getpid)[sim.plan.shares[1].place.address]

        def kill() -> None:
            killed.append(time.perf_counter())
            os.kill(pid, signal.SIGKILL)

        built = sim.report()["seconds"]["build"]  # type: ignore[index]
        threading.Timer(2.0, kill).start()
        sim.run(10000.0)
    return {"build_s": built, "events": [(round(t - killed[0], 3), text.split(";")[0][:60]) for t, text in told]}


MEMORY = """
import sys, eventsnn as snn
from eventsnn.models.networks import microcircuit
net = microcircuit(0.1)
with snn.Simulation(net, store=sys.argv[1], checkpoint_wall=2.0) as sim:
    sim.run(1000.0)
    for _ in range(int(sys.argv[2])):
        sim.run(1000.0)
        print(next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS")), flush=True)
"""


def memory(folder: Path) -> dict[str, Any]:
    """Resident memory (kB) after every second of biological time, recorded and with checkpoints, of a run of 20 s."""
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, str(folder / "run.zarr"), "20"], capture_output=True, text=True, check=True
    )
    kb = [int(line) for line in out.stdout.split()]
    return {"kB": kb, "growth_over_ten_times_kB": max(kb) - kb[1]}


def hour(folder: Path, neurons: int = 100_000, rate: float = 10.0, seconds: float = 3600.0) -> dict[str, Any]:
    """The spikes of an hour of 100,000 neurons at 10 Hz, made up, recorded, read, packed and read again."""
    store, dt, leg = folder / "hour.zarr", 0.1, 1000
    table = RecordingSpec("exc/spikes", 0, Subset(0, neurons), "spikes", 0, "", "")
    rng = np.random.default_rng(1)
    steps = int(seconds * 1000.0 / dt)
    per_leg = int(neurons * rate * leg * dt / 1000.0)
    pool = [_leg(rng, neurons, leg, per_leg) for _ in range(8)]
    began = time.perf_counter()
    recorder = Recorder(store, [table], {"seed": 1}, dt=dt, parts=1)
    for k, first in enumerate(range(0, steps, leg)):
        recorder.put(0, first + leg, {0: pool[k % len(pool)] + (np.uint64(first) << np.uint64(32))})
    recorder.close()
    wrote = time.perf_counter() - began
    live, events = _read(store)
    began = time.perf_counter()
    before, after = snn.pack(store)
    packing = time.perf_counter() - began
    packed, _ = _read(store)
    began = time.perf_counter()
    unpack(store)
    return {
        "events": events,
        "write_s": round(wrote, 1),
        "bytes_per_event": round(live["bytes"] / events, 2),
        "as recorded": {"files": before, **live},
        "packed": {"files": after, **packed},
        "pack_s": round(packing, 1),
        "unpack_s": round(time.perf_counter() - began, 1),
    }


def _read(store: Path) -> tuple[dict[str, Any], int]:
    """Seconds to open a store, to read 100 ms in its middle, and one neuron over all its time: all events are looked through."""
    opened, run = _timed(lambda: snn.open(store))
    spikes = run["exc/spikes"].to_dataset()
    index = run["exc/spikes/index"].to_dataset()
    middle = run.attrs["committed_ms"] / 2
    seen, some = _timed(lambda: _between(spikes, index, middle, middle + 100.0))
    alone, one = _timed(lambda: _of(spikes, 5))
    return {
        "bytes": size(store),
        "largest_file": max(path.stat().st_size for path in store.rglob("*")),
        "open_s": round(opened, 3),
        "read_100_ms_s": round(seen, 3),
        "events_in_100_ms": some,
        "read_one_neuron_s": round(alone, 1),
        "events_of_one_neuron": one,
    }, int(spikes.sizes["event"])


def _leg(rng: np.random.Generator, neurons: int, steps: int, events: int) -> Any:
    found = (rng.integers(1, steps + 1, events).astype(np.uint64) << np.uint64(32)) | rng.integers(0, neurons, events).astype(
        np.uint64
    )
    return np.unique(found)


def _between(spikes: Any, index: Any, since: float, until: float) -> int:
    stop, end = index["stop"].values, index["end_ms"].values
    low, high = np.searchsorted(end, since, side="right") - 1, np.searchsorted(end, until)
    part = spikes.isel(event=slice(int(stop[low]), int(stop[high])))
    times = part["time"].values
    return int(((times > since) & (times <= until)).sum())


def _of(spikes: Any, neuron: int, piece: int = 1 << 26) -> int:
    """Events of one neuron; so many at a time are in memory."""
    pieces = (spikes.isel(event=slice(first, first + piece)) for first in range(0, spikes.sizes["event"], piece))
    return sum(int((part["neuron"].values == neuron).sum()) for part in pieces)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


CASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "checkpoint": checkpoint,
    "recording": recording,
    "recovery": recovery,
    "memory": memory,
    "hour": hour,
}


@click.command()
@click.argument("cases", nargs=-1, type=click.Choice(list(CASES)))
def main(cases: tuple[str, ...]) -> None:
    """Measure, print, and keep."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in cases or CASES:
        with tempfile.TemporaryDirectory() as folder:
            found = CASES[name](Path(folder))
        found["when"], found["machine"] = str(date.today()), f"{platform.machine()}, {os.cpu_count()} cores"
        kept[name] = found
        click.echo(f"{name}: {json.dumps(found)}")
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
