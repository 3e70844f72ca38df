"""What a GPU gives: `python -m benchmarks.gpu` on a machine with one; figures go to results/gpu.json.

The microcircuit at full scale with and without recording, its bits against the CPU's, the tests of backend cuda, what each launch
of a step costs, and Brunel's, CUBA's and small networks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import click
import numpy as np

import eventsnn as snn
from benchmarks.cases import CASES
from eventsnn.devices import Gpu, find_gpu
from eventsnn.models.networks import microcircuit

RESULTS = Path(__file__).resolve().parent / "results" / "gpu.json"
REFERENCE = (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829)


def full(recorded: bool, duration: float) -> dict[str, Any]:
    """The microcircuit at full scale, after half a second."""
    net = microcircuit(1.0)
    if not recorded:
        net._recordings.clear()
    began = time.perf_counter()
    with snn.Simulation(net, backend="cuda") as sim:
        built = time.perf_counter()
        sim.run(500.0)
        before, started = _counts(sim, net), time.perf_counter()
        sim.run(duration)
        ended = time.perf_counter()
        rates = (_counts(sim, net) - before) / (duration * 1e-3)
        facts = sim.report()["parts"][0]  # type: ignore[index]
    return {
        "recorded": recorded,
        "build_s": built - began,
        "real_time_factor": (ended - started) / (duration * 1e-3),
        "us_per_step": (ended - started) / (duration / 0.1) * 1e6,
        "rates_Hz": rates.round(3).tolist(),
        "largest_deviation_from_nest": float(np.abs(rates / REFERENCE - 1.0).max()),
        "synapses": facts["synapses"],
        "bytes_per_synapse": facts["synapse_bytes"] / max(1, facts["synapses"]),
        "bytes": facts["bytes"],
    }


def _counts(sim: Any, net: snn.Network) -> Any:
    return np.array([sim[name].counts().mean() for name in net.populations])


def identity(duration: float = 100.0) -> dict[str, Any]:
    """The full microcircuit on GPU and CPU: every spike."""
    found = []
    for backend in ("cuda", "cpu"):
        net = microcircuit(1.0)
        with snn.Simulation(net, backend=backend) as sim:
            sim.run(duration)
            found.append(snn.open(sim).load())
    same = all(a.to_dataset().identical(b.to_dataset()) for a, b in zip(found[0].leaves, found[1].leaves, strict=True))
    return {"ms": duration, "identical": bool(same), "spikes": sum(int(n.sizes["event"]) for n in found[0].leaves)}


def case(name: str) -> dict[str, Any]:
    """Real-time factor and time of a step of one of the side-by-side networks."""
    c = CASES[name]
    net = c.network(1)
    with snn.Simulation(net, backend="cuda") as sim:
        sim.run(100.0)
        started = time.perf_counter()
        sim.run(1000.0)
        wall = time.perf_counter() - started
    return {"case": name, "real_time_factor": wall, "us_per_step": wall / (1000.0 / net.dt) * 1e6}


def parts_of_a_step() -> dict[str, float]:
    """us per step of the full microcircuit, and without its update: then no neuron spikes and nothing is delivered."""
    from eventsnn.backends.cuda import steps

    out = {}
    add = steps.Steps.add
    for left_out in ("nothing", "update"):

        def without(self: Any, kernel: Any, items: int, *arguments: Any, name: str = left_out) -> None:
            if kernel.py_func.__name__ != name:
                add(self, kernel, items, *arguments)

        steps.Steps.add = without  # type: ignore[method-assign]
        try:
            net = microcircuit(1.0)
            net._recordings.clear()
            with snn.Simulation(net, backend="cuda") as sim:
                sim.run(200.0)
                started = time.perf_counter()
                sim.run(1000.0)
                out[f"without {left_out}"] = (time.perf_counter() - started) / 1e4 * 1e6
        finally:
            steps.Steps.add = add  # type: ignore[method-assign]
    return out


def tests() -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/test_cuda_engine.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=RESULTS.parents[2])
    return {"returncode": done.returncode, "last": done.stdout[-1500:]}


@click.command()
@click.option("--time", "duration", default=10_000.0, show_default=True, help="ms of the full microcircuit.")
@click.option("--out", default=str(RESULTS), show_default=True, help="Where the figures go.")
@click.option("--skip", multiple=True, help="Leave out: tests, identity, full, recorded, cases, parts.")
def main(duration: float, out: str, skip: tuple[str, ...]) -> None:
    """Measure, and keep every figure as soon as it is there."""
    gpu = find_gpu()
    if not isinstance(gpu, Gpu) or gpu.simulated:
        raise click.ClickException(f"no GPU: {gpu}")
    rows: dict[str, Any] = {"date": date.today().isoformat(), "gpu": gpu.name, "versions": _versions()}
    work: dict[str, Callable[[], Any]] = {
        "full": lambda: full(False, duration),
        "identity": identity,
        "recorded": lambda: full(True, duration),
        "tests": tests,
        "parts": parts_of_a_step,
        "cases": lambda: [case(name) for name in ("brunel", "pd01", "cuba", "small1000", "small100")],
    }
    for name, measure in work.items():
        if name in skip:
            continue
        began = time.perf_counter()
        try:
            rows[name] = measure()
        except Exception as error:  # the others are still worth having
            rows[name] = {"error": f"{type(error).__name__}: {error}"}
        click.echo(f"{name} ({time.perf_counter() - began:.1f} s): {json.dumps(rows[name])}")
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(rows, indent=1) + "\n")


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    told = {name: version(name) for name in ("numba", "numba-cuda", "cupy-cuda13x", "numpy")}
    smi = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if os.system("command -v nvidia-smi > /dev/null") == 0:
        told["driver"] = subprocess.run(smi, capture_output=True, text=True, timeout=20).stdout.strip()
    return told


if __name__ == "__main__":
    main()
