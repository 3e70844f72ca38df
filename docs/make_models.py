"""Writes a page for every model of the library, from its declaration, with a picture of what it does.

`python docs/make_models.py`; with `--text` it leaves the pictures as they are.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp

import eventsnn as snn
from eventsnn import models
from eventsnn.codegen.equations import read
from eventsnn.model import Model, NeuronModel
from eventsnn.models import IafPscExp, OneToOne, PoissonInput, SpikeTrain, StepCurrent
from eventsnn.plasticity import SynapseModel

FOLDER = Path(__file__).resolve().parent / "models"
AMPLITUDES = (20.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 700.0, 1000.0, 2000.0, 5000.0, 1e4, 5e4)
"""pA: the first that makes a neuron fire at least five times in half a second is shown."""
GREEK = ("tau", "delta", "alpha", "beta", "gamma", "theta", "rho", "omega", "sigma", "lambda", "mu", "eta")
WEIGHTS = (0.05, 0.2, 1.0, 3.0, 10.0, 50.0, 200.0, 1000.0)


def library() -> dict[str, type]:
    """Every class that a user can name, by name."""
    return {name: made for name in models.__all__ if isinstance(made := getattr(models, name), type)}


def kinds() -> dict[str, list[str]]:
    """Names by the folder that their file lies in."""
    found: dict[str, list[str]] = {}
    for name, made in library().items():
        found.setdefault(made.__module__.split(".")[-2], []).append(name)
    return found


def page(name: str) -> str:
    """The text of a model's page."""
    made = library()[name]
    lines = [f"# {name}", "", inspect.cleandoc(made.__doc__ or ""), ""]
    if issubclass(made, NeuronModel):
        lines += _equations(made)
    elif issubclass(made, SynapseModel):
        lines += _rule(made)
    if issubclass(made, Model | SynapseModel):
        lines += _parameters(made)
    if issubclass(made, Model):
        lines += _states(made)
    if issubclass(made, NeuronModel | SynapseModel):
        lines += [f"![What {name} does]({name}.svg)", "", _caption(made), ""]
    source = made.__module__.replace("eventsnn.", "", 1).replace(".", "/")
    return "\n".join([*lines, f"Declared in [`{source}.py`](../../{source}.py)."]) + "\n"


def index() -> str:
    lines = ["# Models", "", "Made from their declarations by `python docs/make_models.py`.", ""]
    for kind, names in sorted(kinds().items()):
        lines += [f"## {kind.capitalize()}", "", *(f"- [{n}]({n}.md): {_first(library()[n])}" for n in names), ""]
    return "\n".join(lines)


def _first(made: type) -> str:
    return inspect.cleandoc(made.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _equations(made: type[NeuronModel]) -> list[str]:
    if made.step is not None:
        return ["The step is given as a function: see its source.", ""]
    d = made.declaration()
    system = read(d)
    lines = ["## Equations", ""]
    for name, e in system.derivatives.items():
        if e != 0:
            lines += ["$$" + rf"\frac{{d\,{_tex(name)}}}{{dt}} = {sp.latex(e, symbol_names=_symbols(system))}" + "$$", ""]
    if d.threshold:
        lines += [f"A spike: `{' '.join(d.threshold.split())}`" + (", when it becomes true." if d.crossing else "."), ""]
    if d.reset.strip():
        lines += [
            "After it: " + "; ".join(f"`{line.strip()}`" for line in d.reset.replace(";", "\n").strip().split("\n")) + ".",
            "",
        ]
    if d.refractory:
        held = f", and {', '.join(f'`{n}`' for n in d.hold)} held" if d.hold else ""
        lines += [f"Refractory for `{d.refractory}`{held}.", ""]
    for name, effect in d.receptors:
        lines += [f"Receptor `{name}`: `{'; '.join(x.strip() for x in effect.strip().splitlines())}`."]
    return [*lines, ""] if d.receptors else lines


def _symbols(system: Any) -> dict[Any, str]:
    return {symbol: _tex(name) for name, symbol in system.symbols.items()}


def _tex(name: str) -> str:
    head, *tail = name.split("_")
    head = f"\\{head}" if head.lower() in GREEK else head
    return head if not tail else rf"{head}_{{\mathrm{{{','.join(tail)}}}}}"


def _rule(made: type[SynapseModel]) -> list[str]:
    d = made.declaration()
    lines = ["## Rule", "", "```"]
    for side, traces in (("of the source", d.pre), ("of the target", d.post)):
        for name, tau, nearest in traces:
            lines.append(f"{name}: trace {side}, decays with {tau}, {'set to' if nearest else 'grows by'} 1 at a spike")
    lines += [f"{name}: kept with each source, at first {initial}" for name, initial in d.states]
    lines += [
        f"{name}: kept with each synapse, at first {v}{f', decays with {tau}' if tau else ''}" for name, v, tau in d.variables
    ]
    if d.when:
        lines.append(f"instead of spikes of the target: steps in which {' '.join(d.when.split())}")
    lines += [f"{name} = {text}" for name, text in d.values]
    lines += [f"{name}: {state} of the target, a delay before the spike of the source" for name, state in d.past]
    for what, text in (
        ("at a spike of the source, first", d.release),
        ("at a spike of the source", d.on_pre),
        ("at a spike of the target", d.on_post),
        ("at a spike of the modulator", d.on_modulator),
    ):
        if text.strip():
            lines += [f"{what}:", *(f"    {line.strip()}" for line in text.replace(";", "\n").strip().split("\n"))]
    if d.sent != "w":
        lines.append(f"a spike carries {d.sent}")
    return [*lines, "```", ""]


def _parameters(made: Any) -> list[str]:
    rows = [f"| `{n}` | {_shown(p.default)} | {p.unit or '1'} | {p.doc} |" for n, p in made.params().items()]
    return ["## Parameters", "", "| name | default | unit | |", "| --- | --- | --- | --- |", *rows, ""] if rows else []


def _shown(default: object) -> str:
    return "" if default is None else f"{default:g}" if isinstance(default, int | float) else f"`{default}`"


def _states(made: type[Model]) -> list[str]:
    rows = [f"| `{n}` | {_shown(s.initial)} | {s.unit or '1'} | {s.doc} |" for n, s in made.states().items()]
    return ["## States", "", "| name | at first | unit | |", "| --- | --- | --- | --- |", *rows, ""] if rows else []


def _caption(made: type) -> str:
    if not issubclass(made, SynapseModel):
        return "Half a second of input from 100 ms on: the first state, and spikes above."
    if made.release.strip():
        return "What each of ten spikes at 20 Hz carries, then one 500 ms later."
    if made.when:
        return "Change of the weight by 25 spikes of the source while the target is held at a voltage."
    if made.on_modulator:
        beats = _beats(made)
        when = "at 300, 600 and 900 ms" if len(beats) == 3 else f"every {beats[1] - beats[0]:g} ms"
        return f"The weight: a pair at 100 ms, spikes of the modulator {when}."
    return "Change of the weight by one pair of spikes."


# ---- pictures


def picture(name: str) -> None:
    """Runs the model and draws what it did."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = name
    from matplotlib import pyplot

    made = library()[name]
    figure, axes = pyplot.subplots(figsize=(6.0, 2.4), layout="constrained")
    (_draw_synapse if issubclass(made, SynapseModel) else _draw_neuron)(made, axes)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def _draw_neuron(made: type[NeuronModel], axes: Any) -> None:
    state = next(iter(made.states()))
    found = None
    for size in AMPLITUDES if made.current else WEIGHTS:
        found = _neuron(made, state, size)
        if len(found[2]) >= 5:
            break
    assert found is not None
    times, values, spikes, told = found
    axes.plot(times, values, lw=0.8)
    top = float(np.nanmax(values)) + 0.08 * (np.ptp(values) or 1.0)
    axes.plot(spikes, np.full(len(spikes), top), "|", color="black", ms=6)
    axes.set(xlabel="time (ms)", ylabel=f"{state} ({made.states()[state].unit or '1'})", title=f"{made.__name__}, {told}")


def _neuron(made: type[NeuronModel], state: str, size: float) -> tuple[Any, Any, Any, str]:
    net = snn.Network(seed=1, dt=0.05)
    cell = net.population("cell", 1, made())
    told = "without input"
    if made.current:
        net.stimulate(cell, StepCurrent(times=[100.0, 600.0], values=[size, 0.0]))
        told = f"a current of {size:g} pA"
    elif made.receptors:
        receptor = made.receptors[0]
        net.stimulate(cell, PoissonInput(rate=1000.0, weight=size), receptor=receptor.name)
        told = f"Poisson spikes at 1 kHz, weight {size:g} {receptor.unit}"
    net.record(cell, state, every=0.5, dtype="float64")
    net.record(cell, "spikes")
    with snn.Simulation(net, threads=1, backend="cpu") as sim:
        sim.run(700.0)
    run = snn.open(sim)
    series = run[f"cell/{state}"].to_dataset()[state]
    return series["time"].values, series.values[:, 0], run["cell/spikes"].to_dataset()["time"].values, told


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


def _rewarded(made: type[SynapseModel]) -> tuple[Any, Any]:
    net = snn.Network(seed=1, dt=0.1)
    # later spikes of the source show the weight
    source = net.population("source", 1, SpikeTrain(times=[100.0], ids=[0]))
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


def main(arguments: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, made in library().items():
        (FOLDER / f"{name}.md").write_text(page(name))
        if "--text" not in arguments and issubclass(made, NeuronModel | SynapseModel):
            print(name, flush=True)
            picture(name)
    (FOLDER / "README.md").write_text(index())


if __name__ == "__main__":
    main(sys.argv[1:])
