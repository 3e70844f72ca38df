"""What a GPU gives: `python -m benchmarks.gpu` on a machine with one; figures go to results/gpu.json.

The microcircuit at full scale with and without recording, its energy, and its bits against the CPU's; the tests of backend cuda,
and compute-sanitizer where it is installed; what each launch of a step costs; the side-by-side networks; up to a million neurons.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import click
import numpy as np

import eventsnn as snn
from benchmarks.cases import CASES
from eventsnn.devices import Gpu, find_gpu
from eventsnn.lower import lower
from eventsnn.models.networks import brunel, microcircuit

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
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
        with Power() as power:
            sim.run(duration)
            ended = time.perf_counter()
        rates = (_counts(sim, net) - before) / (duration * 1e-3)
        facts = sim.report()["parts"][0]  # type: ignore[index]
    return {
        "recorded": recorded,
        "build_s": built - began,
        "real_time_factor": (ended - started) / (duration * 1e-3),
        "us_per_step": (ended - started) / (duration / 0.1) * 1e6,
        "watts": power.watts,
        "nJ_per_event": None if power.watts is None else power.watts * (ended - started) / _events(net, rates, duration) * 1e9,
        "rates_Hz": rates.round(3).tolist(),
        "largest_deviation_from_nest": float(np.abs(rates / REFERENCE - 1.0).max()),
        "synapses": facts["synapses"],
        "bytes_per_synapse": facts["synapse_bytes"] / max(1, facts["synapses"]),
        "bytes": facts["bytes"],
    }


class Power:
    """The mean power of the GPU while it is used with `with`, by nvidia-smi; None where that tells nothing."""

    watts: float | None = None

    def __enter__(self) -> Power:
        ask = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--loop-ms=100"]
        self._asked = subprocess.Popen(ask, stdout=subprocess.PIPE, text=True) if shutil.which(ask[0]) else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._asked is not None:
            self._asked.terminate()
            told = [float(x) for x in self._asked.communicate(timeout=20)[0].split("\n")[:-1] if x.replace(".", "", 1).isdigit()]
            self.watts = sum(told) / len(told) if told else None


def _counts(sim: Any, net: snn.Network) -> Any:
    return np.array([sim[name].counts().mean() for name in net.populations])


def _events(net: snn.Network, rates: Any, duration: float) -> float:
    """Synaptic events of a run."""
    sent = [p.rule.degree.total * float(rates[p.pre]) for p in lower(net).projections]  # type: ignore[union-attr]
    return sum(sent) * duration * 1e-3


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
        sim.run(c.settle)
        started = time.perf_counter()
        sim.run(c.time)
        wall = time.perf_counter() - started
    return {"case": name, "real_time_factor": wall / c.time * 1e3, "us_per_step": wall / (c.time / net.dt) * 1e6}


def scaling(neurons: int) -> dict[str, Any]:
    """Brunel's network with so many neurons, in-degrees of 1000 + 250."""
    net = brunel(neurons)
    net._recordings.clear()
    began = time.perf_counter()
    with snn.Simulation(net, backend="cuda") as sim:
        built = time.perf_counter()
        sim.run(100.0)
        started = time.perf_counter()
        sim.run(500.0)
        wall = time.perf_counter() - started
        facts = sim.report()["parts"][0]  # type: ignore[index]
    told = {"build_s": built - began, "real_time_factor": wall / 0.5, "synapses": facts["synapses"], "bytes": facts["bytes"]}
    return {"neurons": neurons, **told}


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
    """`pytest -m gpu`: the bits of backend cpu, of every model, rule and synapse."""
    return _pytest(450.0, "-m", "gpu", *(str(f) for f in (ROOT / "tests").glob("test_*cuda*.py")))


def references() -> dict[str, Any]:
    """The tests against NEST's traces, closed forms and statistics, which take the GPU where there is one."""
    names = ("engine_reference", "engine_bruteforce", "neurons_nest", "neurons_states", "plasticity", "networks_statistics")
    return _pytest(300.0, *(f"tests/test_{name}.py" for name in names))


def _pytest(timeout: float, *what: str) -> dict[str, Any]:
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.Popen(
        [*pytest, *what], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment
    )
    try:
        said, late = run.communicate(timeout=timeout)[0], False
    except subprocess.TimeoutExpired:
        run.kill()
        said, late = run.communicate(timeout=60)[0], True
    return {"returncode": run.returncode, "late": late, "last": said[-3000:]}


def sanitizer() -> dict[str, Any]:
    """memcheck and racecheck of a network of 250 neurons."""
    if not shutil.which("compute-sanitizer"):
        return {"skipped": "compute-sanitizer is not installed"}
    script = "import eventsnn as snn; from eventsnn.models.networks import small; "
    script += "sim = snn.Simulation(small(250), backend='cuda'); sim.run(20.0); sim.close()"
    out = {}
    for tool in ("memcheck", "racecheck"):
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
        out[tool] = {"returncode": done.returncode, "last": done.stdout[-600:]}
    return out


def profile() -> dict[str, Any]:
    """Time, traffic and load of the launches of three steps of the full microcircuit, by Nsight Compute."""
    if not shutil.which("ncu"):
        return {"skipped": "ncu is not installed"}
    metrics = ("gpu__time_duration.sum", "dram__bytes.sum", "sm__throughput.avg.pct_of_peak_sustained_elapsed")
    options = ["--clock-control", "none", "--csv", "--metrics", ",".join(metrics), "--launch-skip", "2000", "--launch-count", "6"]
    names = ["--kernel-name-base", "mangled", "--kernel-name", "regex:update|deliver"]
    script = "import eventsnn as snn; from eventsnn.models.networks import microcircuit; "
    script += "sim = snn.Simulation(microcircuit(1.0), backend='cuda'); sim.run(150.0); sim.close()"
    done = subprocess.run(
        ["ncu", *options, *names, sys.executable, "-c", script], capture_output=True, text=True, timeout=240, cwd=ROOT
    )
    rows = [line for line in done.stdout.splitlines() if line.startswith('"')]
    return {"returncode": done.returncode, "rows": rows, "last": done.stdout[-600:] if not rows else ""}


@click.command()
@click.option("--time", "duration", default=10_000.0, show_default=True, help="ms of the full microcircuit.")
@click.option("--out", default=str(RESULTS), show_default=True, help="Where the figures go.")
@click.option(
    "--skip",
    multiple=True,
    help="Leave out: full, identity, recorded, tests, references, parts, profile, cases, scaling, sanitizer.",
)
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
        "references": references,
        "parts": parts_of_a_step,
        "profile": profile,
        "cases": lambda: [case(name) for name in ("brunel", "pd01", "cuba", "cobahh", "hpc", "small1000", "small100")],
        "scaling": lambda: [scaling(n) for n in (10_000, 100_000, 1_000_000)],
        "sanitizer": sanitizer,
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
    names = {"numba", "numba-cuda", "cuda-core", "cupy-cuda13x", "cupy", "numpy"}
    told = {d.name: d.version for d in distributions() if d.name in names}
    smi = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if os.system("command -v nvidia-smi > /dev/null") == 0:
        told["driver"] = subprocess.run(smi, capture_output=True, text=True, timeout=20).stdout.strip()
    return told


if __name__ == "__main__":
    main()
