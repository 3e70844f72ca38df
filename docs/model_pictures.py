"""Runs a model of the library and draws what it does."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

import eventsnn as snn
from eventsnn import models
from eventsnn.model import NeuronModel
from eventsnn.models import IafPscExp, OneToOne, PoissonInput, SpikeTrain, StepCurrent
from eventsnn.plasticity import SynapseModel

DT = 0.05
AMPLITUDES = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 700.0, 1000.0, 2000.0, 5000.0, 1e4, 5e4)
"""In the unit of the current: the first that makes a neuron fire at least five times more in half a second is shown."""
WEIGHTS = (0.05, 0.2, 1.0, 3.0, 10.0, 50.0, 200.0, 1000.0)
RATES = np.r_[1.0, 5.0:51.0:5.0]
"""Of pairs, in Hz."""


def mark(made: type) -> str:
    """What a picture was made from: its model's declaration, with all numbers, and this file; of the engine it says nothing."""
    states = made.states() if issubclass(made, NeuronModel) else {}
    told = (made.declaration(), made.params(), states, _noise(made), Path(__file__).read_text())  # type: ignore[attr-defined]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def draw(made: type, path: Path, told: str) -> None:
    """`told` is kept in the picture, as its identifier."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = path.stem
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.0, 2.4), layout="constrained")
    (_draw_synapse if issubclass(made, SynapseModel) else _draw_neuron)(made, axes)
    figure.savefig(path, metadata={"Date": None, "Identifier": told})
    pyplot.close(figure)


def caption(made: type[NeuronModel] | type[SynapseModel]) -> str:
    """What the picture of a model shows."""
    if issubclass(made, NeuronModel):
        begins = "Half a second of current from 100 ms on" if made.current else "Poisson input" if made.receptors else "No input"
        return f"{begins}: `{_state(made)}`, and spikes above."
    if made.release.strip():
        return "What each of ten spikes at 20 Hz carries, then one 500 ms later."
    if made.when:
        return "Change of the weight by 25 spikes of the source while the target is held at a voltage."
    if made.on_modulator:
        beats = _beats(made)
        when = "at 300, 600 and 900 ms" if len(beats) == 3 else f"every {beats[1] - beats[0]:g} ms"
        shown = " The source also fires every 50 ms from 250 ms on, which brings the weight up to date." if _late(made) else ""
        return f"The weight: a pair at 100 ms, spikes of the modulator {when}.{shown}"
    if issubclass(made, models.StdpTriplet):
        return "Change of the weight by sixty pairs of spikes at a distance of 10 ms."
    return "Change of the weight by one pair of spikes."


# ---- neurons


def _noise(made: type) -> dict[str, float]:
    """Values other than the defaults: a model with noise is shown with some."""
    return {"noise_std": 200.0} if "noise_std" in made.params() else {}  # type: ignore[attr-defined]


def _state(made: type[NeuronModel]) -> str:
    """The first state in the condition of a spike, else the first of all."""
    return next((n for n in re.findall(r"\w+", made.threshold) if n in made.states()), next(iter(made.states())))


def _draw_neuron(made: type[NeuronModel], axes: Any) -> None:
    state, found = _state(made), None
    for size in AMPLITUDES if made.current else WEIGHTS:
        found = _neuron(made, state, size)
        if _caused(made, found[2]) >= 5:
            break
    assert found is not None
    times, values, spikes, told = found
    axes.plot(times, values, lw=0.8)
    top = float(np.nanmax(values)) + 0.08 * (np.ptp(values) or 1.0)
    axes.plot(spikes, np.full(len(spikes), top), "|", color="black", ms=6)
    axes.set(xlabel="time (ms)", ylabel=f"{state} ({made.states()[state].unit or '1'})", title=f"{made.__name__}, {told}")


def _caused(made: type[NeuronModel], spikes: Any) -> float:
    """Spikes while the current flows beyond those that the rest of the time lets expect; all of a model without one."""
    flows = (spikes > 100.0) & (spikes <= 600.0) if made.current else np.ones(len(spikes), bool)
    return float(flows.sum() - 2.5 * (~flows).sum())


def _neuron(made: type[NeuronModel], state: str, size: float) -> tuple[Any, Any, Any, str]:
    net = snn.Network(seed=1, dt=DT)
    cell = net.population("cell", 1, made(**_noise(made)))
    told = "without input"
    if made.current:
        net.stimulate(cell, StepCurrent(times=[100.0, 600.0], values=[size, 0.0]))
        told = f"a current of {size:g} {made.params()[made.current].unit}".rstrip()
    elif made.receptors:
        receptor = made.receptors[0]
        net.stimulate(cell, PoissonInput(rate=1000.0, weight=size), receptor=receptor.name)
        told = f"Poisson spikes at 1 kHz, weight {size:g} {receptor.unit}".rstrip()
    net.record(cell, state, dtype="float64")
    net.record(cell, "spikes")
    with snn.Simulation(net, threads=1, backend="cpu") as sim:
        sim.run(700.0)
    run = snn.open(sim)
    series = run[f"cell/{state}"].to_dataset()[state]
    return series["time"].values, series.values[:, 0], run["cell/spikes"].to_dataset()["time"].values, told


# ---- synapses


def _draw_synapse(made: type[SynapseModel], axes: Any) -> None:
    if made.release.strip():
        spikes = np.r_[50.0 + 50.0 * np.arange(10), 1000.0]
        _, arrived = _pairs(made, [(spikes, [])], 1100.0)
        axes.stem(spikes, arrived[arrived != 0.0], basefmt=" ")
        axes.set(xlabel="time (ms)", ylabel="carried", title=made.__name__)
        return
    if made.when:
        voltages = np.linspace(-80.0, -20.0, 61)
        axes.plot(voltages, _held(made, voltages), lw=0.8)
        axes.axhline(0.0, color="grey", lw=0.5)
        axes.set(xlabel="voltage (mV)", ylabel="change of w", title=made.__name__)
        return
    if made.on_modulator:
        axes.plot(*_rewarded(made), drawstyle="steps-post")
        axes.set(xlabel="time (ms)", ylabel="change of w", title=made.__name__)
        return
    if issubclass(made, models.StdpTriplet):
        for gap in (10.0, -10.0):
            pairs = [(250.0 + np.arange(60) * np.round(1000.0 / f, 1), gap) for f in RATES]
            weights, _ = _pairs(made, [(times, np.round(times + gap, 1)) for times, gap in pairs], 61_000.0)
            axes.plot(RATES, weights, ".-", lw=0.8, ms=3, label=f"target {'after' if gap > 0 else 'before'} source")
        axes.axhline(0.0, color="grey", lw=0.5)
        axes.legend(frameon=False)
        axes.set(xlabel="rate of the pairs (Hz)", ylabel="change of w", title=made.__name__)
        return
    gaps = np.concatenate([-np.arange(0.5, 80.0, 1.5)[::-1], np.arange(0.5, 80.0, 1.5)])
    weights, _ = _pairs(made, [([200.0], [round(200.0 + g, 1)]) for g in gaps], 900.0)
    axes.plot(gaps, weights, ".-", lw=0.8, ms=3)
    axes.axhline(0.0, color="grey", lw=0.5)
    axes.set(xlabel="spike of the target - spike of the source (ms)", ylabel="change of w", title=made.__name__)


class Held(NeuronModel):
    """A neuron whose voltage stays."""

    V = snn.Param(-50.0, "mV")
    tau = snn.Param(10.0, "ms")
    V_m = snn.State("V", "mV")
    u_bar_plus = snn.State("V", "mV")
    u_bar_minus = snn.State("V", "mV")
    I_ex = snn.State(0.0, "pA")
    equations = """
        dV_m/dt = (V - V_m) / tau
        du_bar_plus/dt = (V_m - u_bar_plus) / tau
        du_bar_minus/dt = (V_m - u_bar_minus) / tau
        dI_ex/dt = -I_ex / tau
    """
    receptors = (snn.Receptor("ex", "pA", "I_ex += w"),)
    threshold = "V_m > 1000"
    check_units = False


def _held(made: type[SynapseModel], voltages: Any) -> Any:
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 1, SpikeTrain(times=40.0 * np.arange(1, 26), ids=np.zeros(25, int)))
    target = net.population("target", len(voltages), Held(), V=voltages)
    net.connect(source >> target, models.AllToAll(), made(weight=50.0, delay=1.0), name="synapse")
    with snn.Simulation(net, threads=1, backend="cpu") as sim:
        sim.run(1500.0)
        return sim["synapse"].weights()["weight"] - 50.0


def _beats(made: type[SynapseModel]) -> Any:
    """When the modulator spikes (ms): three times, or as a clock with the model's period."""
    period = made.params().get("period")
    return np.array([300.0, 600.0, 900.0]) if period is None else np.arange(1.0, 1200.0, float(period.default))  # type: ignore[arg-type]


def _late(made: type[SynapseModel]) -> bool:
    """Whether the weight changes with time, and is only brought up to date at spikes."""
    return re.search(r"\bw\s*[+-]?=", made.on_pre) is not None


def _rewarded(made: type[SynapseModel]) -> tuple[Any, Any]:
    net = snn.Network(seed=1, dt=0.1)
    given = np.r_[100.0, np.arange(250.0, 1200.0, 50.0)] if _late(made) else np.array([100.0])
    source = net.population("source", 1, SpikeTrain(times=given, ids=np.zeros(len(given), int)))
    beats = _beats(made)
    third = net.population("third", 1, SpikeTrain(times=beats, ids=np.zeros(len(beats), int)))
    target = net.population("target", 1, IafPscExp(C_m=1e12))
    net.connect(source >> target, OneToOne(), made(weight=50.0, delay=1.0, modulator=third), name="synapse")
    times, found = [0.0], [0.0]
    with snn.Simulation(net, threads=1, backend="cpu") as sim:
        sim["target"].inject([105.0], [0])
        while sim.time < 1200.0:
            sim.run(10.0)
            times.append(sim.time)
            found.append(sim["synapse"].weights()["weight"][0] - 50.0)
    return times, found


def _pairs(made: type[SynapseModel], protocols: list[tuple[Any, Any]], until: float) -> tuple[Any, Any]:
    """Changes of the weight by spikes of a source and a target, one pair for each protocol; what arrives at the first target."""
    n = len(protocols)
    largest = {p: made.params()[p].default for p in made.params()}.get("Wmax", 100.0)
    weight = min(0.5 * largest, 50.0)
    net = snn.Network(seed=1, dt=0.1)
    ids = np.concatenate([np.full(len(pre), k) for k, (pre, _) in enumerate(protocols)])
    source = net.population("source", n, SpikeTrain(times=np.concatenate([pre for pre, _ in protocols]), ids=ids.astype(int)))
    target = net.population("target", n, IafPscExp(C_m=1e12))
    net.connect(source >> target, OneToOne(), made(weight=weight, delay=0.1), name="synapse")
    net.record(target[:1], "ex", dtype="float64")
    with snn.Simulation(net, threads=1, backend="cpu") as sim:
        for k, (_, post) in enumerate(protocols):
            if len(post):
                sim["target"].inject(post, np.full(len(post), k))
        sim.run(until)
        found = sim["synapse"].weights()["weight"] - weight
    return found, snn.open(sim)["target/ex"]["ex"].values[:, 0]
