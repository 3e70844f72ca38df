"""What a step of a neuron costs on one thread: `python -m benchmarks.neurons [--out FILE]`.

Populations without synapses, under a constant current, from scattered potentials. A figure is the least of several runs: what
others do on the machine only adds.
"""

from __future__ import annotations

import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import click

import eventsnn as snn
from benchmarks.report import machine
from eventsnn.model import NeuronModel
from eventsnn.models import AEifCondExp, HhPscAlpha, IafPscExp, Izhikevich

MODELS: dict[str, NeuronModel] = {
    "AdEx": AEifCondExp(I_e=760.0),
    "AdEx, fast": AEifCondExp(C_m=200.0, g_L=10.0, E_L=-70.0, a=2.0, tau_w=30.0, b=0.0, V_reset=-58.0, V_th=-50.0, I_e=500.0),
    "Hodgkin-Huxley": HhPscAlpha(I_e=650.0),
    "Izhikevich": Izhikevich(I_e=5.0),
    "iaf_psc_exp": IafPscExp(I_e=380.0),
}
DT, SETTLED, TIMED = 0.1, 500.0, 100.0
"""ms: the step, what runs before, and what is timed."""


def measure(model: NeuronModel, precision: str, neurons: int, repeats: int) -> dict[str, Any]:
    """ns per neuron and step, and the rate at which the neurons fire meanwhile."""
    net = snn.Network(seed=1, dt=DT)
    cells = net.population("cells", neurons, model, V_m=snn.Uniform(-70.0, -56.0))
    seconds = []
    with snn.Simulation(net, threads=1, precision=precision) as sim:
        sim.run(SETTLED)
        before = sim[cells.name].counts().sum()
        for _ in range(repeats):
            began = time.perf_counter()
            sim.run(TIMED)
            seconds.append(time.perf_counter() - began)
        spikes = sim[cells.name].counts().sum() - before
    rate = float(spikes) / (neurons * repeats * TIMED / 1000.0)
    return {"ns": round(min(seconds) * 1e9 / (neurons * TIMED / DT), 2), "rate_Hz": round(rate, 1)}


@click.command()
@click.option("--neurons", default=10_000, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=10, show_default=True, help="The least is kept.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file for the figures, as JSON.")
def main(neurons: int, repeats: int, out: Path | None) -> None:
    """Measure and print a table."""
    rows = []
    click.echo("| model | precision | ns per neuron and step | rate (Hz) |\n|---|---|---|---|")
    for name, model in MODELS.items():
        for precision in ("float64", "float32"):
            row = {"model": name, "precision": precision, **measure(model, precision, neurons, repeats)}
            rows.append(row)
            click.echo(f"| {name} | {precision} | {row['ns']:.2f} | {row['rate_Hz']:.1f} |")
    if out is not None:
        facts = {"machine": machine(), "date": date.today().isoformat(), "neurons": neurons, "dt_ms": DT, "rows": rows}
        out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
