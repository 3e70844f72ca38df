"""What a user waits or pays for besides the speed of a long run: `python -m benchmarks.weak_points`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from benchmarks.environments import ROOT
from benchmarks.report import machine

RESULTS = ROOT / "benchmarks" / "results" / "weak_points.json"

FIRST_SPIKE = """
import time; started = time.perf_counter()
import eventsnn as snn
imported = time.perf_counter() - started
from eventsnn.models import FixedIndegree, IafPscExp, PoissonInput, Static
net = snn.Network(seed=1, dt=0.1)
exc = net.population("exc", 100, IafPscExp())
net.stimulate(exc, PoissonInput(rate=9000.0, weight=50.0))
net.connect(exc >> exc, FixedIndegree(10), Static(weight=20.0, delay=1.5))
net.record(exc, "spikes")
with snn.Simulation(net) as sim:
    sim.run(100.0)
    assert len(snn.open(sim)["exc/spikes"].to_dataset()["tick"]) > 0
import json; print(json.dumps({"import_s": imported, "first_spike_s": time.perf_counter() - started}))
"""


def first_result() -> dict[str, float]:
    """Seconds from starting Python to the first spikes of a small script, with nothing compiled yet and again."""
    with tempfile.TemporaryDirectory() as cache:
        # every folder in which compiled kernels could be kept
        places = dict.fromkeys(("EVENTSNN_CACHE", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"), cache)
        cold, warm = (_child(FIRST_SPIKE, places) for _ in range(2))
    return {"import_s": warm["import_s"], "cold_s": cold["first_spike_s"], "warm_s": warm["first_spike_s"]}


def build() -> dict[str, float]:
    """Building the microcircuit at scale 0.3, 27 million synapses: seconds, and bytes per synapse of growth in memory."""
    text = """
import json, resource, time
import eventsnn as snn
from eventsnn.models.networks import brunel, microcircuit
from eventsnn.models.networks.microcircuit import Microcircuit
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
with snn.Simulation(brunel(1250)) as sim:
    sim.run(1.0)
before, started = peak(), time.perf_counter()
with snn.Simulation(microcircuit(0.3)) as sim:
    seconds = time.perf_counter() - started
synapses = sum(Microcircuit.at(0.3).synapses(post, pre) for post in range(8) for pre in range(8))
print(json.dumps({"seconds": seconds, "synapses": synapses, "bytes_per_synapse": (peak() - before) / synapses}))
"""
    return _child(text, {})


def by_distance() -> dict[str, float]:
    """100 million synapses between 100,000 neurons on a torus, p = 0.64 exp(-d^2/(2 0.05^2)): seconds of connect and of building,
    and the peak of memory."""
    text = """
import json, resource, time
import numpy as np
import eventsnn as snn
from eventsnn.distance import Gaussian
from eventsnn.models import Bernoulli, IafPscExp, Static
from eventsnn.positions import Scattered
from eventsnn.regions import Box
def network(n):
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", n, IafPscExp(), positions=Scattered(Box((0.0, 0.0), (1.0, 1.0)), edge_wrap=True))
    net.connect(cells >> cells, Bernoulli(0.64 * Gaussian(std=0.05)), Static(weight=1.0, delay=1.5))
    return net
with snn.Simulation(network(1000)):
    pass
started = time.perf_counter()
net = network(100_000)
connected = time.perf_counter()
with snn.Simulation(net) as sim:
    built = time.perf_counter()
    synapses = sim.report()["parts"][0]["synapses"]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"connect_s": connected - started, "build_s": built - connected, "synapses": synapses, "peak_bytes": peak}))
"""
    return _child(text, {})


def one_call() -> dict[str, float]:
    """Microseconds of one sim.run call of a single step, and of one more step within a call, 100 neurons."""
    import eventsnn as snn
    from eventsnn.models.networks import small

    with snn.Simulation(small(100), threads=1) as sim:
        sim.run(100.0)
        started = time.perf_counter()
        for _ in range(1000):
            sim.run(0.1)
        calls = time.perf_counter() - started
        started = time.perf_counter()
        sim.run(1000.0)
        steps = time.perf_counter() - started
    return {"call_us": calls / 1000 * 1e6, "step_us": steps / 10_000 * 1e6}


def epochs(workers: int, steps: int = 20_000) -> dict[str, float]:
    """Epochs of one step per second over local workers: a ring of populations, one on each, with the shortest delay."""
    from distributed import LocalCluster

    import eventsnn as snn
    from eventsnn.models import FixedIndegree, IafPscExp, PoissonInput, Static

    net = snn.Network(seed=1, dt=0.1)
    ring = [net.population(f"p{k}", 64, IafPscExp()) for k in range(workers)]
    for k, pre in enumerate(ring):
        net.stimulate(pre, PoissonInput(rate=9000.0, weight=45.0))
        net.connect(pre >> ring[(k + 1) % workers], FixedIndegree(8), Static(weight=1.0, delay=0.1))
    options = {"processes": True, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=workers, **options) as cluster,
        cluster.get_client() as client,
        snn.Simulation(net, client=client) as sim,
    ):
        sim.run(10.0)
        started = time.perf_counter()
        sim.run(steps * 0.1)
        seconds = time.perf_counter() - started
    return {"epochs_per_s": steps / seconds}


def many_populations(workers: int = 2, populations: int = 2000) -> dict[str, float]:
    """Seconds to build 2,000 populations of ten neurons over local workers and run them for 10 ms."""
    from distributed import LocalCluster

    import eventsnn as snn
    from eventsnn.models import FixedIndegree, IafPscExp, Static

    net = snn.Network(seed=1, dt=0.1)
    ring = [net.population(f"p{k}", 10, IafPscExp(I_e=400.0)) for k in range(populations)]
    for k, pre in enumerate(ring):
        net.connect(pre >> ring[(k + 1) % populations], FixedIndegree(2), Static(weight=10.0, delay=1.5))
    options = {"processes": True, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=workers, **options) as cluster, cluster.get_client() as client:
        started = time.perf_counter()
        with snn.Simulation(net, client=client) as sim:
            sim.run(10.0)
            return {"seconds": time.perf_counter() - started}


def _child(text: str, environment: Mapping[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


MEASURED: Mapping[str, Callable[[], dict[str, Any]]] = {
    "first result": first_result,
    "build": build,
    "by distance": by_distance,
    "one call": one_call,
    "epochs, 2 workers": lambda: epochs(2),
    "epochs, 4 workers": lambda: epochs(4),
    "2,000 populations": many_populations,
}


@click.command()
@click.option("--only", help="Part of a name.", default="")
def main(only: str) -> None:
    """Measure the weak points on this machine, print them and keep them."""
    kept = json.loads(RESULTS.read_text())["measured"] if RESULTS.exists() else {}
    for name, measure in MEASURED.items():
        if only in name:
            kept[name] = measure()
            print(name, {key: float(f"{value:.4g}") for key, value in kept[name].items()}, flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "measured": kept}, indent=1) + "\n")


if __name__ == "__main__":
    main()
