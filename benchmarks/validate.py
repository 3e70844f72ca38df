"""Statistics of whole networks beside those of NEST 3.10: `python -m benchmarks.validate`. At full scale, half a minute."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import click
import numpy as np
import numpy.typing as npt

import eventsnn as snn
from benchmarks.environments import ROOT
from benchmarks.report import machine
from eventsnn.models.networks import brunel, microcircuit
from eventsnn.models.networks.microcircuit import Microcircuit

RESULTS = ROOT / "benchmarks" / "results" / "validation.json"
SETTLE = 500.0
"""ms that are not counted."""
BRUNEL = {"rate": 32.1, "cv": 0.17, "fano": 60.0}
"""NEST's example brunel_delta_nest, one run of 200 to 1000 ms."""


def trains(node: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Times and neurons of the spikes after SETTLE."""
    late = node["time"].values > SETTLE
    return node["time"].values[late], node["neuron"].values[late].astype(np.int64)


def interval_cv(times: npt.NDArray[np.float64], neurons: npt.NDArray[np.int64], fewest: int = 10) -> float:
    """Mean over neurons, with at least `fewest` spikes, of the coefficient of variation of their intervals."""
    order = np.lexsort((times, neurons))
    pieces = np.split(times[order], np.flatnonzero(np.diff(neurons[order])) + 1)
    return float(np.mean([float(np.std(np.diff(p)) / np.mean(np.diff(p))) for p in pieces if len(p) >= fewest] or [np.nan]))


def fano(times: npt.NDArray[np.float64], until: float, width: float = 1.0) -> float:
    """Variance over mean of the population's count in bins of `width` ms."""
    counts = np.histogram(times, np.arange(SETTLE, until + width / 2, width))[0].astype(float)
    return float(counts.var() / counts.mean())


def check_microcircuit(scale: float, duration: float, seed: int) -> dict[str, Any]:
    """Rates (Hz), CVs and mean delays (ms) of a microcircuit after SETTLE, with NEST's rates."""
    net = microcircuit(scale, seed=seed)
    model = Microcircuit.at(scale)
    nest = model.nest_rates() or (np.nan,) * len(model.names)
    with snn.Simulation(net) as sim:
        sim.run(SETTLE + duration)
        run = snn.open(sim).load()
        smallest = {kind: min(pairs(net, kind), key=lambda p: p.expected) for kind in ("E", "I")}
        delays = {kind: float(sim[p.name].weights()["delay"].mean()) for kind, p in smallest.items()}
        synapses = {kind: int(p.expected) for kind, p in smallest.items()}
    rows = {}
    for k, name in enumerate(model.names):
        times, neurons = trains(run[f"{name}/spikes"])
        rate = len(times) / len(net[name][:]) / (duration / 1000.0)
        expected = nest[k]
        rows[name] = {"rate": rate, "nest": expected, "off": rate / expected - 1.0, "cv": interval_cv(times, neurons)}
    return {
        "scale": scale,
        "duration_ms": duration,
        "seed": seed,
        "populations": rows,
        "mean_delay_ms": delays,
        "delays_of": synapses,
    }


def pairs(net: snn.Network, kind: str) -> list[Any]:
    """Projections of a network from its excitatory or inhibitory populations, of at least 100,000 synapses."""
    from eventsnn.lower import lower

    spec = lower(net)
    return [p for p in spec.projections if spec.populations[p.pre].name.endswith(kind) and p.expected > 1e5]


def check_brunel(seed: int) -> dict[str, Any]:
    """Rate, CV and Fano factor of Brunel's delta network, of all neurons together."""
    until = SETTLE + 1000.0
    with snn.Simulation(brunel(seed=seed)) as sim:
        sim.run(until)
        run = snn.open(sim).load()
    times, neurons = zip(*(trains(run[f"{name}/spikes"]) for name in ("exc", "inh")), strict=True)
    whole = np.concatenate(times)
    found = {
        "rate": len(whole) / 12_500 / ((until - SETTLE) / 1000.0),
        "cv": interval_cv(times[0], neurons[0]),
        "fano": fano(whole, until),
    }
    return {"seed": seed, "found": found, "nest": BRUNEL}


@click.command()
@click.option("--scale", "scales", multiple=True, type=float, default=(0.1, 1.0), show_default=True)
@click.option("--time", "duration", default=10_000.0, show_default=True, help="ms after the first 500.")
@click.option("--seed", default=1, show_default=True)
def main(scales: tuple[float, ...], duration: float, seed: int) -> None:
    """Print and keep the statistics."""
    rows: dict[str, Any] = {
        "machine": machine(),
        "date": date.today().isoformat(),
        "brunel": check_brunel(seed),
        "microcircuit": [],
    }
    print("brunel", rows["brunel"])
    for scale in scales:
        rows["microcircuit"].append(check_microcircuit(scale, duration, seed))
        print(f"microcircuit x{scale}: mean delays {rows['microcircuit'][-1]['mean_delay_ms']}")
        for name, row in rows["microcircuit"][-1]["populations"].items():
            print(f"  {name}: {row['rate']:.3f} Hz, NEST {row['nest']:.3f} ({row['off']:+.1%}), CV {row['cv']:.3f}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
