"""Small random networks against a naive simulation that knows nothing of the engine: edges from `weights()`, steps one by one.

The naive simulation takes the connections that a run reports, the spikes of Poisson sources and the counts of Poisson inputs from
its recordings, and computes everything else anew: what arrives, by matrix exponentials what becomes of it, and who fires.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import eventsnn as snn
from eventsnn.algebra import Distribution
from eventsnn.codegen.reference import plain_step
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    IafPscAlpha,
    IafPscDelta,
    IafPscExp,
    OneToOne,
    Parrot,
    Poisson,
    PoissonInput,
    SpikeTrain,
    Static,
    StepCurrent,
)
from eventsnn.selection import Population, Selection

DT = 0.1
RECEPTORS = {"exp": ("ex", "in"), "magnitude": ("ex", "in"), "alpha": ("ex", "in"), "delta": ("delta",), "parrot": ("in",)}


class Magnitude(IafPscExp):
    """Takes |w| at both receptors, as conductances do, and gives the sign itself: so that the same equations hold."""

    receptors = (snn.Receptor("ex", "pA", "I_ex += w", magnitude=True), snn.Receptor("in", "pA", "I_in -= w", magnitude=True))


MODELS: dict[str, type[snn.NeuronModel]] = {
    "exp": IafPscExp,
    "magnitude": Magnitude,
    "alpha": IafPscAlpha,
    "delta": IafPscDelta,
}


# ---- the naive simulation


@dataclass
class Projection:
    """Edges of one projection; `weights[k]` are those of spikes emitted after step `since[k]`."""

    pre: str
    post: str
    sources: np.ndarray
    targets: np.ndarray
    delays: np.ndarray
    receptor: str | None
    since: list[int] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)

    def arriving(self, step: int, spikes: np.ndarray) -> np.ndarray:
        """Weight times spikes of every edge at this step."""
        sent = step - self.delays
        which = np.searchsorted(self.since, sent, side="left") - 1
        weight = np.array(self.weights)[np.maximum(which, 0), np.arange(len(sent))]
        return np.where(sent > 0, spikes[np.maximum(sent, 0), self.sources] * weight, 0.0)


class Cells:
    """Neurons of one linear model, by the exponential of its matrix."""

    def __init__(self, kind: str, parameters: dict[str, np.ndarray], states: dict[str, np.ndarray]) -> None:
        self.kind, self.p = kind, parameters
        self.states = states
        self.refractory = np.zeros(len(states["V_m"]), int)
        self.exponentials: dict[bytes, np.ndarray] = {}

    def step(self, arrived: dict[str, np.ndarray], current: np.ndarray) -> np.ndarray:
        """Spikes of this step."""
        p, old = self.p, self.states
        names = list(old)
        n = len(old["V_m"])
        held = self.refractory > 0
        new = {name: np.empty(n) for name in names}
        for i in range(n):
            x = np.array([*(old[name][i] for name in names), 1.0])
            y = self._exponential(DT * self._matrix(names, i, current[i])) @ x
            for k, name in enumerate(names):
                new[name][i] = y[k]
        new["V_m"] = np.where(held, old["V_m"], new["V_m"])
        if self.kind == "delta":
            new["V_m"] += np.where(held, 0.0, arrived["delta"])
        elif self.kind == "alpha":
            for side in ("ex", "in"):
                new[f"y_{side}"] += arrived[side] * np.e / p[f"tau_syn_{side}"]
        else:
            new["I_ex"] += arrived["ex"]
            new["I_in"] += -arrived["in"] if self.kind == "magnitude" else arrived["in"]
        fired = (new["V_m"] >= p["V_th"]) & ~held
        new["V_m"] = np.where(fired, p["V_reset"], new["V_m"])
        quiet = np.floor(p["t_ref"] / DT + 0.5).astype(int)
        self.refractory = np.where(fired, quiet, np.maximum(self.refractory - 1, 0))
        self.states = new
        return fired.astype(int)

    def _exponential(self, m: np.ndarray) -> np.ndarray:
        if m.tobytes() not in self.exponentials:
            self.exponentials[m.tobytes()] = expm(m)
        return self.exponentials[m.tobytes()]

    def _matrix(self, names: list[str], i: int, current: float) -> np.ndarray:
        """d(states, 1)/dt = matrix @ (states, 1)."""
        p = {name: values[i] for name, values in self.p.items()}
        m = np.zeros((len(names) + 1, len(names) + 1))
        v = names.index("V_m")
        m[v, v] = -1.0 / p["tau_m"]
        m[v, -1] = p["E_L"] / p["tau_m"] + (p["I_e"] + current) / p["C_m"]
        for side in ("ex", "in") if self.kind != "delta" else ():
            k = names.index(f"I_{side}")
            m[v, k] = 1.0 / p["C_m"]
            m[k, k] = -1.0 / p[f"tau_syn_{side}"]
            if self.kind == "alpha":
                y = names.index(f"y_{side}")
                m[k, y], m[y, y] = 1.0, -1.0 / p[f"tau_syn_{side}"]
        return m


class PlainCells:
    """Neurons whose update is the model's generated step, as plain Python on scalars of the run's precision: the same bits."""

    def __init__(self, model: snn.NeuronModel, precision: str, parameters: dict[str, np.ndarray], states: Any) -> None:
        self.kernel, self.real = model.kernel(), np.dtype(precision).type
        self.run = plain_step(self.kernel, True, precision)
        self.p, self.states = parameters, {name: values.astype(precision) for name, values in states.items()}
        self.refractory = np.zeros(len(states["V_m"]), np.int32)

    def step(self, arrived: dict[str, np.ndarray], current: np.ndarray) -> np.ndarray:
        n, real = len(self.refractory), self.real
        out = np.zeros(n, int)
        new = {name: np.empty(n, real) for name in self.states}
        for i in range(n):
            constants = self.kernel.constants({k: v[i] for k, v in self.p.items()}, DT, True)
            inputs = [real(arrived[r][i]) for r in self.kernel.receptors]
            arguments = [self.states[s][i] for s in self.kernel.states]
            arguments += [self.refractory[i], *inputs, real(current[i])]
            arguments += [real(constants[c]) for c in self.kernel.constant_names(True)]
            *values, refractory, out[i] = self.run(*arguments, np.int32(constants["NREF"]))
            self.refractory[i] = refractory
            for name, value in zip(self.kernel.states, values, strict=True):
                new[name][i] = value
        self.states = new
        return out


# ---- random networks


@dataclass
class World:
    """A network, and what the naive simulation must be told of it."""

    net: snn.Network
    kinds: dict[str, str]
    receptors: dict[str, str | None] = field(default_factory=dict)
    """Of projections: the receptor that was named."""
    currents: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    """(population, ids, steps, values (steps, ids))"""
    drives: dict[tuple[str, str], list[tuple[np.ndarray, float]]] = field(default_factory=dict)
    """(population, receptor) -> (ids, weight) of Poisson inputs."""


def some(rng: np.random.Generator, population: Population) -> Population | Selection:
    """All of it, a slice, one neuron, or scattered ones."""
    n = len(population)
    match rng.integers(5):
        case 0:
            return population[int(rng.integers(n))]
        case 1:
            return population[np.sort(rng.choice(n, rng.integers(1, n + 1), replace=False))]
        case 2:
            low = int(rng.integers(n))
            return population[low : int(rng.integers(low + 1, n + 1))]
        case _:
            return population


def a_rule(rng: np.random.Generator, pre: Any, post: Any) -> tuple[Any, int | None]:
    """A rule, and the number of its edges where they are explicit."""
    n_pre, n_post = len(pre), len(post)
    match rng.integers(9):
        case 0:
            return AllToAll(), None
        case 1:
            return FixedIndegree(int(rng.integers(0, 6))), None
        case 2:
            return FixedIndegree(int(rng.integers(0, n_pre + 1)), multapses=False), None
        case 3:
            return FixedOutdegree(int(rng.integers(0, 6))), None
        case 4:
            return FixedTotalNumber(int(rng.integers(0, 40))), None
        case 5:
            return Bernoulli(float(rng.choice([0.0, 0.4, 1.0]))), None
        case 6 if n_pre == n_post:
            return OneToOne(), None
        case 7:
            return AllToAll(autapses=False), None
        case _:
            n = int(rng.integers(1, 40))
            return Explicit(rng.integers(0, n_pre, n), rng.integers(0, n_post, n)), n


def a_synapse(rng: np.random.Generator, scale: float, edges: int | None, sign: int, relay: bool) -> Static:
    """`sign`: 0 for both."""
    longest = float(rng.choice([0.1, 0.5, 3.0, 30.0]))
    delays = [longest, snn.Uniform(0.1, longest), (snn.Normal(longest / 2, longest / 3) + snn.Uniform(0.0, 0.3)).clip(0.1, None)]
    delay: Any = delays[rng.integers(3)]
    weight: Any = float(rng.choice([-1.0, 1.0] if sign == 0 else [sign])) * scale * rng.uniform(0.2, 1.5)
    if rng.random() < 0.1:
        weight = 0.0
    if not relay and rng.random() < 0.5:
        spread = snn.Normal(0.3 * scale, scale) if sign == 0 else sign * snn.LogNormal(np.log(scale), 0.5)
        weight = spread if rng.random() < 0.7 else spread * snn.Uniform(0.5, 1.0)
    if edges is not None and rng.random() < 0.7:
        weight = scale * (rng.normal(0.3, 1.0, edges) if sign == 0 else sign * rng.uniform(0.0, 1.5, edges))
    if edges is not None and rng.random() < 0.7:
        delay = rng.integers(1, round(longest / DT) + 1, edges) * DT
    return Static(weight=weight, delay=delay)


SCALE = {"exp": 400.0, "magnitude": 400.0, "alpha": 300.0, "delta": 8.0, "parrot": 1.0}


def a_population(rng: np.random.Generator, net: snn.Network, kind: str, name: str, arrays: bool) -> None:
    n = int(rng.integers(1, 9))
    values: dict[str, Any] = {
        "t_ref": float(rng.choice([0.0, 0.1, 2.0])),
        "V_reset": -68.0,
        "I_e": float(rng.choice([0.0, 500.0])),
        "V_th": float(rng.choice([-55.0, -63.0])),
        "V_m": snn.Uniform(-70.0, -54.0),
        "tau_m": rng.uniform(1.0, 20.0, n) if arrays else float(rng.choice([2.0, 10.0, 0.3])),
    }
    net.population(name, n, MODELS[kind](), **values)


def world(seed: int) -> World:
    """A network of every kind of population with 5 to 10 projections."""
    rng = np.random.default_rng(seed)
    net = snn.Network(seed=int(rng.integers(2**63)), dt=DT)
    kinds = {"noise": "noise", "train": "train", "parrot": "parrot", "second": "parrot"}
    net.population("noise", int(rng.integers(1, 6)), Poisson(rate=snn.Uniform(0.0, 4000.0) if seed % 2 else 1000.0))
    events = int(rng.integers(0, 60))
    steps, ids = np.unique(np.stack([rng.integers(1, 300, events), rng.integers(0, 4, events)]), axis=1)
    net.population("train", 4, SpikeTrain(times=steps * DT, ids=ids))
    net.population("parrot", int(rng.integers(1, 6)), Parrot())
    net.population("second", int(rng.integers(1, 4)), Parrot())
    for k, kind in enumerate(rng.choice(list(MODELS), 3)):
        kinds[f"{kind}{k}"] = str(kind)
        a_population(rng, net, str(kind), f"{kind}{k}", arrays=seed % 3 == 0)
    made = World(net, kinds)
    for _ in range(int(rng.integers(5, 11))):
        a_projection(rng, made)
    neurons = [name for name, kind in kinds.items() if kind in MODELS]
    for name in neurons:
        a_current(rng, made, name)
    if rng.random() < 0.5:
        a_drive(rng, made, neurons[0])
    for name, kind in kinds.items():
        net.record(net[name], "spikes")
        for receptor in RECEPTORS.get(kind, ()):
            net.record(net[name], receptor, dtype="float64")
        if kind in MODELS:
            net.record(net[name], "V_m", dtype="float64")
            net.record(net[name][-1], "V_m", every=0.7, name="again")
            net.record(net[name], "V_m", every=1e4, name="never")
    return made


def a_projection(rng: np.random.Generator, w: World) -> None:
    names = list(w.kinds)
    pre = some(rng, w.net[str(rng.choice(names))])
    goal = str(rng.choice(names[2:]))
    post, kind = some(rng, w.net[goal]), w.kinds[goal]
    rule, edges = a_rule(rng, pre, post)
    named = str(rng.choice(RECEPTORS[kind])) if rng.random() < 0.3 else None
    sign = 1 if named and kind == "magnitude" else int(rng.choice([0, 1, -1]))
    synapse = a_synapse(rng, SCALE[kind], edges, sign, kind == "parrot")
    if isinstance(rule, AllToAll) and len(pre) == len(post) == 1:
        return
    procedural = len(w.receptors) % 3 > 0 and can_be_procedural(rule, synapse)
    w.receptors[w.net.connect(pre >> post, rule, synapse, receptor=named, procedural=procedural).name] = named


def can_be_procedural(rule: Any, synapse: Static) -> bool:
    draws = [len(v.drawn().tables) for v in (synapse.weight, synapse.delay) if isinstance(v, Distribution)]
    return isinstance(rule, AllToAll | OneToOne | FixedOutdegree) and max(draws, default=1) == 1


def a_current(rng: np.random.Generator, w: World, name: str) -> None:
    for _ in range(int(rng.integers(1, 3))):
        target = some(rng, w.net[name])[:]
        steps = np.sort(rng.choice(200, 3, replace=False))
        values = rng.uniform(-300.0, 900.0, (3, len(target)) if rng.random() < 0.5 else 3)
        w.net.stimulate(target, StepCurrent(times=steps * DT, values=values))
        each = values if values.ndim == 2 else np.repeat(values[:, None], len(target), axis=1)
        w.currents.append((name, target.subset.array(), steps, each))


def a_drive(rng: np.random.Generator, w: World, name: str) -> None:
    """Weights that are powers of two are kept exactly by any accumulator."""
    kind, target = w.kinds[name], some(rng, w.net[name])[:]
    weight = 0.5 if kind == "delta" else 128.0
    w.net.stimulate(target, PoissonInput(rate=3000.0, weight=weight))
    receptor = RECEPTORS[kind][0]
    w.drives.setdefault((name, receptor), []).append((target.subset.array(), weight))


# ---- a run, and the same run again by hand


@dataclass
class Change:
    """Between two runs, at `step`."""

    step: int
    injected: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """population -> (steps, ids)"""
    states: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """population -> (ids, V_m)"""
    currents: dict[str, float] = field(default_factory=dict)
    """population -> I_e"""
    weights: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass
class Run:
    """What a run said."""

    steps: int
    tree: Any
    changes: list[Change]
    edges: dict[str, dict[str, np.ndarray]]
    initial: dict[str, dict[str, np.ndarray]]
    parameters: dict[str, dict[str, np.ndarray]]
    counts: dict[str, np.ndarray]
    last: dict[str, np.ndarray]


def a_change(rng: np.random.Generator, w: World, sim: Any, steps: int) -> Change:
    """Injects, sets states, parameters and weights, each now and then."""
    now = round(sim.time / DT)
    change = Change(now)
    if rng.random() < 0.7:
        name = str(rng.choice(["parrot", "second"]))
        n = len(sim[name])
        when = np.concatenate([[now + 1, steps + 1000], rng.integers(now + 1, steps + 1, 6)])
        ids = rng.integers(0, n, 8)
        sim[name].inject(when * DT, ids)
        change.injected[name] = (when, ids)
    for name, kind in w.kinds.items():
        if kind in MODELS and rng.random() < 0.4:
            ids = some(rng, w.net[name])[:].subset.array()
            values = rng.uniform(-75.0, -56.0, len(ids))
            sim[name][ids].set("V_m", values)
            change.states[name] = (ids, values)
        if kind in MODELS and rng.random() < 0.2:
            change.currents[name] = float(rng.uniform(0.0, 600.0))
            sim[name].set("I_e", change.currents[name])
    for name in w.receptors:
        p = w.net.projections[name]
        if rng.random() < 0.2 and w.kinds[p.post.population.name] != "parrot" and not p.procedural:
            factor = rng.uniform(0.0, 1.0)
            sim[name].set_weights(lambda e, factor=factor: e["weight"] * factor)
            change.weights[name] = sim[name].weights()["weight"]
    return change


def run(w: World, seed: int, steps: int, **options: Any) -> Run:
    rng = np.random.default_rng([seed, 1])
    cuts = np.sort(rng.choice(np.arange(1, steps), int(rng.integers(0, 5)), replace=False))
    changes = []
    neurons = [name for name, kind in w.kinds.items() if kind in MODELS]
    with snn.Simulation(w.net, **options) as sim:
        edges = {name: sim[name].weights() for name in w.receptors}
        initial = {name: {s: sim[name].get(s) for s in w.net[name].model.states()} for name in neurons}
        parameters = {name: {p: sim[name].get(p) for p in w.net[name].model.params()} for name in neurons}
        for cut in cuts:
            sim.run(round((cut - round(sim.time / DT)) * DT, 10))
            changes.append(a_change(rng, w, sim, steps))
        sim.run(round((steps - round(sim.time / DT)) * DT, 10))
        counts = {name: sim[name].counts() for name in w.kinds}
        last = {name: sim[name].get("V_m") for name in neurons}
        return Run(steps, snn.open(sim).load(), changes, edges, initial, parameters, counts, last)


def recorded(r: Run, name: str, n: int) -> np.ndarray:
    """Spikes as counts, shape (steps + 1, neurons)."""
    out = np.zeros((r.steps + 1, n), int)
    events = r.tree[f"{name}/spikes"].to_dataset()
    np.add.at(out, (events["tick"].values, events["neuron"].values), 1)
    return out


class Naive:
    """The network again, step by step."""

    def __init__(self, w: World, r: Run, precision: str) -> None:
        self.w, self.r = w, r
        self.sizes = {name: len(w.net[name]) for name in w.kinds}
        self.found = {node.path[1:]: node[node.name].values for node in r.tree.leaves if node.name in node.data_vars}
        self.again = {name: r.tree[f"{name}/again"]["V_m"].values for name, kind in w.kinds.items() if kind in MODELS}
        self.spikes = {name: np.zeros((r.steps + 1, n), int) for name, n in self.sizes.items()}
        self.spikes["noise"] = recorded(r, "noise", self.sizes["noise"])
        train = w.net["train"].model
        for time, i in zip(np.asarray(train.values["times"]), np.asarray(train.values["ids"]), strict=True):
            if round(time / DT) <= r.steps:
                self.spikes["train"][round(time / DT), int(i)] += 1
        self.projections = []
        for name, named in w.receptors.items():
            p, e = w.net.projections[name], r.edges[name]
            delays = np.round(e["delay"] / DT).astype(int)
            made = Projection(p.pre.population.name, p.post.population.name, e["pre"], e["post"], delays, named)
            made.since, made.weights = [0], [e["weight"]]
            for change in r.changes:
                if name in change.weights:
                    made.since.append(change.step)
                    made.weights.append(change.weights[name])
            self.projections.append(made)
        self.cells: dict[str, Any] = {}
        for name, kind in w.kinds.items():
            if kind in MODELS and precision == "float64":
                self.cells[name] = Cells(kind, dict(r.parameters[name]), dict(r.initial[name]))
            elif kind in MODELS:
                self.cells[name] = PlainCells(
                    w.net[name].model, precision, dict(r.parameters[name]), {s: r.initial[name][s] for s in r.initial[name]}
                )

    def run(self, tolerance: float) -> None:
        injected = {name: np.zeros_like(s) for name, s in self.spikes.items()}
        for step in range(1, self.r.steps + 1):
            for change in (c for c in self.r.changes if c.step == step - 1):
                self._apply(change, injected)
            for name, kind in self.w.kinds.items():
                if kind == "parrot":
                    got = self._arrived(step, name, kind)["in"]
                    self._check_input(step, name, "in", got)
                    self.spikes[name][step] = np.minimum(got + injected[name][step], 255)
                elif kind in MODELS:
                    self._advance(step, name, kind, tolerance)
        for name, spikes in self.spikes.items():
            assert np.array_equal(recorded(self.r, name, self.sizes[name]), spikes), name
            assert np.array_equal(self.r.counts[name], spikes.sum(0)), name

    def _apply(self, change: Change, injected: dict[str, np.ndarray]) -> None:
        for name, (steps, ids) in change.injected.items():
            soon = steps <= self.r.steps
            np.add.at(injected[name], (steps[soon], ids[soon]), 1)
        for name, (ids, values) in change.states.items():
            self.cells[name].states["V_m"][ids] = values
        for name, value in change.currents.items():
            self.cells[name].p["I_e"] = np.full(self.sizes[name], value)

    def _arrived(self, step: int, name: str, kind: str) -> dict[str, np.ndarray]:
        """By receptor; a parrot counts spikes of positive weight."""
        names = RECEPTORS[kind]
        total = {r: np.zeros(self.sizes[name]) for r in names}
        for p in self.projections:
            if p.post != name:
                continue
            w = p.arriving(step, self.spikes[p.pre])
            by_sign = np.where(w >= 0, names[0], names[-1])
            for r in names:
                mine = w * (by_sign == r if p.receptor is None else p.receptor == r)
                np.add.at(total[r], p.targets, np.abs(mine) if kind == "magnitude" else mine)
        return total

    def _advance(self, step: int, name: str, kind: str, tolerance: float) -> None:
        arrived = self._arrived(step, name, kind)
        for receptor, values in arrived.items():
            self._check_input(step, name, receptor, values)
        current = np.zeros(self.sizes[name])
        for population, ids, steps, values in self.w.currents:
            k = np.searchsorted(steps, step) - 1
            if population == name and k >= 0:
                current[ids] += values[k]
        cells = self.cells[name]
        self.spikes[name][step] = cells.step(arrived, current)
        V = self.found[f"{name}/V_m"][step - 1]
        assert np.abs(V - cells.states["V_m"]).max() <= tolerance, (name, step)
        if step % 7 == 0:
            assert self.again[name][step // 7 - 1] == V[-1:].astype(np.float32)

    def _check_input(self, step: int, name: str, receptor: str, values: np.ndarray) -> None:
        """Exactly what was recorded, but for whole numbers of Poisson pulses, which are taken over."""
        found = self.found[f"{name}/{receptor}"][step - 1]
        for ids, weight in self.w.drives.get((name, receptor), ()):
            pulses = (found[ids] - values[ids]) / weight
            assert np.array_equal(pulses, np.round(pulses)) and (pulses >= 0).all() and (pulses < 12).all(), (name, step)
            values[ids] += pulses * weight
        assert np.array_equal(found, values), (name, receptor, step)


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and target blocks for networks of any size, on any machine."""
    monkeypatch.setattr("eventsnn.backends.cpu.threads.FEWEST", 1)
    monkeypatch.setattr("eventsnn.simulation.cores", lambda: 3)
    monkeypatch.setattr("eventsnn.scheduler.engine.cores", lambda: 3)


def options(seed: int, size: int) -> dict[str, int]:
    return {"threads": 1 + seed % 3, "parts": min(1 + seed // 3 % 4, size)}


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.usefixtures("many_cores")
def test_random_networks_do_what_a_naive_simulation_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs and spikes exactly, potentials within 1e-9 mV; over rows, calendars and small blocks alike."""
    monkeypatch.setattr("eventsnn.backends.cpu.tables.SHORT", (0.0, 10.0, 1e9)[seed % 3])
    monkeypatch.setattr("eventsnn.backends.cpu.threads.LARGEST", (65536, 9)[seed % 2])
    w = world(seed)
    r = run(w, seed, 350, **options(seed, w.net.size))
    Naive(w, r, "float64").run(1e-9)
    for name, kind in w.kinds.items():
        if kind in MODELS:
            assert np.array_equal(r.last[name], r.tree[f"{name}/V_m"]["V_m"].values[-1])
            assert r.tree[f"{name}/never"].sizes["time"] == 0


@pytest.mark.parametrize("seed", range(100, 103))
@pytest.mark.usefixtures("many_cores")
def test_single_precision_is_that_of_the_plain_step(seed: int) -> None:
    """The bits of V_m and every spike, in float32, from the model's step as plain Python."""
    w = world(seed)
    r = run(w, seed, 60, precision="float32", **options(seed, w.net.size))
    Naive(w, r, "float32").run(0.0)


def test_the_random_networks_are_worth_it() -> None:
    """Most of them have neurons that fire, and input that arrives."""
    spikes = []
    for seed in range(0, 24, 4):
        w = world(seed)
        with snn.Simulation(w.net) as sim:
            sim.run(35.0)
            spikes.append(sum(int(sim[name].counts().sum()) for name, kind in w.kinds.items() if kind in MODELS))
    assert np.median(spikes) > 30 and sum(spikes) > 300
