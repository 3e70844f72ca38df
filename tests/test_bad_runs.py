# mypy: disable-error-code="arg-type, call-arg"
"""What goes wrong with a simulation: each mistake is told exactly, and leaves no store, no thread and no changed state behind."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import eventsnn as snn
from eventsnn.errors import KindError, ParameterError, SelectionError, ShapeError, UnitError, UnknownName
from eventsnn.models import AllToAll, IafPscExp, OneToOne, Parrot, Poisson, SpikeTrain, Static
from eventsnn.scheduler import placement
from eventsnn.scheduler.errors import PlanError
from eventsnn.spec import Slice
from eventsnn.storage.errors import StoreExists, StoreMissing, StoreUnusable


def network(**values: Any) -> snn.Network:
    net = snn.Network(seed=1, dt=0.1)
    exc = net.population("exc", 10, IafPscExp(I_e=500.0), **values)
    net.population("noise", 4, Poisson(rate=100.0))
    net.population("train", 3, SpikeTrain(times=[1.0], ids=[0]))
    parrot = net.population("parrot", 3, Parrot())
    net.connect(exc >> exc, AllToAll(), Static(weight=1.0, delay=1.0))
    net.connect(exc[:3] >> parrot, OneToOne(), Static(weight=1.0, delay=1.0))
    net.record(exc, "spikes")
    return net


def recorded(path: Path) -> Path:
    """A store with a run of 5 ms."""
    with snn.Simulation(network(), store=path) as sim:
        sim.run(5.0)
    return path


def files(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def ours() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("eventsnn")]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """No thread of ours outlives a test."""
    before = sorted(ours())
    yield
    until = time.monotonic() + 5.0
    while sorted(ours()) != before and time.monotonic() < until:
        time.sleep(0.01)
    assert sorted(ours()) == before


def build(**options: Any) -> Callable[[Path], object]:
    return lambda path: snn.Simulation(network(), **options)


class Unready:
    """Looks like a cluster."""

    def get_client(self) -> None:
        """Never called."""


# ---- before anything is built: (what, how, error, text)

Wrong = tuple[str, Callable[[Path], object], type[Exception], str]

ARGUMENTS: list[Wrong] = [
    ("no network", lambda p: snn.Simulation("exc"), KindError, "'exc' is no network; make one with Network(seed=..., dt=...)"),
    ("a class", lambda p: snn.Simulation(snn.Network), KindError, "is no network; make one with Network(seed=..., dt=...)"),
    ("empty network", lambda p: snn.Simulation(snn.Network(seed=1, dt=0.1)), ParameterError, "network: there is no population"),
    ("option by position", lambda p: snn.Simulation(network(), "run.zarr"), TypeError, "takes 2 positional arguments but 3"),
    ("option typo", build(thread=2), TypeError, "unexpected keyword argument 'thread'"),
    ("threads none", build(threads=0), ParameterError, "threads=0: give at least 1, or None"),
    ("threads real", build(threads=2.0), KindError, "threads=2.0: give a whole number, or None"),
    ("threads text", build(threads="2"), KindError, "threads='2': give a whole number, or None"),
    ("threads too many", build(threads=4096), PlanError, "more threads than cores only slow each other down"),
    ("parts negative", build(parts=-1), ParameterError, "parts=-1: give at least 1, or None"),
    ("parts true", build(parts=True), KindError, "parts=True: give a whole number, or None"),
    (
        "parts too many",
        build(parts=21),
        PlanError,
        "parts=21: there must be at least 1 and at most as many parts as neurons (20)",
    ),
    (
        "backend cuda",
        build(backend="cuda"),
        PlanError,
        "backend='cuda': the card is on fire; or use backend='cpu'",
    ),
    ("backend typo", build(backend="cpuu"), UnknownName, "no backend 'cpuu'; did you mean 'cpu'?"),
    ("precision", build(precision="float46"), UnknownName, "no precision 'float46'; did you mean 'float64'?"),
    (
        "client address",
        build(client="tcp://127.0.0.1:1"),
        KindError,
        "is no distributed.Client; give one, or None to run in this",
    ),
    ("client a cluster", build(client=Unready()), KindError, "is no distributed.Client; a cluster's is cluster.get_client()"),
    (
        "progress",
        build(progress="yes"),
        KindError,
        "progress='yes': give True, False, or a function of (ms reached, spikes so far)",
    ),
    (
        "partition text",
        build(partition="balanced"),
        KindError,
        "partition='balanced': give a function (network spec, n) -> slices",
    ),
    ("placement list", build(placement=[0]), KindError, "placement=[0]: give a function (layout, places) -> place of each part"),
]

PLANS: list[Wrong] = [
    ("partition of nothing", build(partition=lambda s, n: None), PlanError, "returned None; it must return a sequence of slices"),
    ("partition of numbers", build(partition=lambda s, n: [3]), PlanError, "returned [3]; it must return a sequence of slices"),
    (
        "partition of ids",
        build(partition=lambda s, n: [[0, 1]]),
        PlanError,
        "part 0 holds 0; a layout is made of eventsnn.spec.Slice",
    ),
    ("parts missing", build(partition=lambda s, n: [], parts=2), PlanError, "returned 0 parts, 2 were asked for"),
    ("part empty", build(partition=lambda s, n: [[], []], parts=2), PlanError, "part 0 of 2 holds no neurons"),
    (
        "neurons missing",
        build(partition=lambda s, n: [[Slice(0, 0, 8)]]),
        PlanError,
        "neurons 8 to 9 of population 'exc' are in no part; give them to one",
    ),
    (
        "neurons twice",
        build(partition=lambda s, n: [[Slice(0, 0, 8), Slice(0, 7, 10)]]),
        PlanError,
        "neuron 7 of population 'exc' is in more than one part",
    ),
    (
        "slice too long",
        build(partition=lambda s, n: [[Slice(0, 0, 11)]]),
        PlanError,
        "slice [0:11] of population 'exc' is not within",
    ),
    (
        "no such population",
        build(partition=lambda s, n: [[Slice(9, 0, 1)]]),
        PlanError,
        "names population 9; there are 4, from 0",
    ),
    ("placement of nothing", build(placement=lambda s, p: None), PlanError, "returned None; it must return the index of a place"),
    ("placement of names", build(placement=lambda s, p: ["here"]), PlanError, "returned ['here']; it must return the index of"),
    ("placement short", build(placement=lambda s, p: []), PlanError, "the placement function chose 0 places for 1 parts"),
    ("placement beyond", build(placement=lambda s, p: [7]), PlanError, "put part 0 at place 7; there are 1, from 0"),
]


def occupied(path: Path) -> Path:
    (path / "results").mkdir()
    (path / "results" / "thesis.txt").write_text("dear")
    return path / "results"


def beneath_a_file(path: Path) -> Path:
    (path / "notes").write_text("dear")
    return path / "notes" / "run.zarr"


def store(make: Callable[[Path], Any], **options: Any) -> Callable[[Path], object]:
    return lambda path: snn.Simulation(network(), store=make(path), **options)


STORES: list[Wrong] = [
    (
        "exists",
        store(lambda p: recorded(p / "run.zarr")),
        StoreExists,
        "exists; give another path, or overwrite=True to replace it",
    ),
    ("not a store", store(occupied), StoreUnusable, "holds other things than a Zarr store (thesis.txt); it is left alone"),
    ("not a store, overwritten", store(occupied, overwrite=True), StoreUnusable, "it is left alone, with overwrite=True too"),
    ("a file", store(lambda p: beneath_a_file(p).parent, overwrite=True), StoreUnusable, "is a file; a store is a folder"),
    ("beneath a file", store(beneath_a_file), StoreUnusable, "cannot be"),
    ("nowhere", store(lambda p: ""), StoreUnusable, "store='' names nothing; give a path such as 'run.zarr'"),
    ("a number", store(lambda p: 3), StoreUnusable, "store=3 is a int; give a path, a URL such as"),
    ("bytes", store(lambda p: b"run.zarr"), StoreUnusable, "store=b'run.zarr' is a bytes; give a path"),
    ("unknown protocol", store(lambda p: "nosuch://run.zarr"), StoreUnusable, "store='nosuch://run.zarr' cannot be reached"),
    (
        "read only",
        store(lambda p: zarr.storage.MemoryStore(read_only=True)),
        StoreUnusable,
        "was opened read-only; give one that can be written",
    ),
]


@pytest.mark.parametrize(("use", "kind", "told"), [w[1:] for w in ARGUMENTS + PLANS], ids=[w[0] for w in ARGUMENTS + PLANS])
def test_a_simulation_that_cannot_be_is_refused_where_it_is_made(
    use: Callable[[Path], object], kind: type[Exception], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventsnn.simulation.find_gpu", lambda: "the card is on fire")
    before = ours()
    with pytest.raises(kind, match=re.escape(told)):
        use(tmp_path)
    assert ours() == before


@pytest.mark.parametrize(("use", "kind", "told"), [w[1:] for w in STORES], ids=[w[0] for w in STORES])
def test_a_store_that_cannot_be_is_refused_before_the_build_and_left_alone(
    use: Callable[[Path], object], kind: type[Exception], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, bytes | None]] = []
    first = snn.Simulation.__init__

    def init(self: Any, *args: Any, **options: Any) -> None:
        seen.append(files(tmp_path))
        first(self, *args, **options)

    monkeypatch.setattr(snn.Simulation, "__init__", init)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=re.escape(told)):
        use(tmp_path)
    assert files(tmp_path) == seen[-1]


def test_an_existing_store_is_byte_for_byte_the_same_after_it_was_refused(tmp_path: Path) -> None:
    before = files(recorded(tmp_path / "run.zarr"))
    with pytest.raises(StoreExists):
        snn.Simulation(network(), store=tmp_path / "run.zarr")
    with snn.Simulation(network(), store=tmp_path / "new.zarr") as sim:
        late = snn.Simulation(network(), store=tmp_path / "other.zarr")
        (tmp_path / "run.zarr").rename(tmp_path / "other.zarr")  # it comes into being between the two looks
        with pytest.raises(StoreExists), late:
            pass
        sim.run(1.0)
    assert files(tmp_path / "other.zarr") == before


def test_a_simulation_that_is_only_looked_at_leaves_no_folder(tmp_path: Path) -> None:
    sim = snn.Simulation(network(), store=tmp_path / "a" / "b" / "run.zarr", parts=2)
    assert str(sim.plan)
    assert files(tmp_path) == {}
    with sim:
        sim.run(1.0)
    assert snn.open(tmp_path / "a" / "b" / "run.zarr").attrs["committed_ms"] == 1.0


def test_a_machine_that_is_too_small_is_told_with_both_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(placement, "_memory", lambda: 1000)
    with pytest.raises(PlanError, match=r"part 0 \(exc, noise, train, parrot\) needs about .* and here has .*; use more workers"):
        snn.Simulation(network(), store=tmp_path / "run.zarr", backend="cpu")
    assert files(tmp_path) == {}


def test_a_build_that_fails_leaves_neither_store_nor_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def faulty(self: Any, *args: Any) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr("eventsnn.part.Part.wanted", faulty)
    sim = snn.Simulation(network(), store=tmp_path / "run.zarr", parts=2)
    with pytest.raises(MemoryError, match=r"part \d \(.*\): no memory"), sim:
        pass
    assert files(tmp_path) == {}
    with pytest.raises(RuntimeError, match="this simulation is closed; it can be entered once: make another one"):
        sim.__enter__()


# ---- while it runs

Use = tuple[str, Callable[[Any], object], type[Exception], str]

RUNS: list[Use] = [
    ("off the grid", lambda s: s.run(0.05), ParameterError, "sim.run: 0.05 ms is not a multiple of dt = 0.1 ms"),
    ("backwards", lambda s: s.run(-1.0), ParameterError, "sim.run(-1.0): give a finite time >= 0 ms"),
    ("for ever", lambda s: s.run(np.inf), ParameterError, "sim.run(inf): give a finite time >= 0 ms"),
    ("nan", lambda s: s.run(np.nan), ParameterError, "sim.run(nan): give a finite time >= 0 ms"),
    ("beyond the end", lambda s: s.run(1e9), ParameterError, "time ends at step 4294967295"),
    ("beyond all", lambda s: s.run(1e300), ParameterError, "sim.run: 1e+300 ms is beyond the end of time"),
    ("text", lambda s: s.run("a"), KindError, "sim.run(ms) takes a number of ms, not 'a'"),
    ("nothing", lambda s: s.run(None), KindError, "sim.run(ms) takes a number of ms, not None"),
    ("list", lambda s: s.run([1.0]), KindError, "sim.run(ms) takes a number of ms, not [1.0]"),
    ("array", lambda s: s.run(np.array([1.0])), KindError, "sim.run(ms) takes a number of ms, not array([1.])"),
    ("truth", lambda s: s.run(np.True_), KindError, "sim.run(ms) takes a number of ms, not"),
    ("complex", lambda s: s.run(1j), KindError, "sim.run(ms) takes a number of ms, not 1j"),
    ("no duration", lambda s: s.run(), TypeError, "missing 1 required positional argument: 'duration'"),
]

HANDLES: list[Use] = [
    ("name typo", lambda s: s["ecx"], UnknownName, "simulation has no population or projection 'ecx'; did you mean 'exc'?"),
    (
        "a population",
        lambda s: s[s.network["exc"]],
        KindError,
        "give the name of a population or of a projection, such as sim['exc']",
    ),
    ("a list of names", lambda s: s[["exc"]], KindError, "sim[['exc']]: give the name of a population or of a projection"),
    ("a late population", lambda s: s["late"], UnknownName, "simulation has no population or projection 'late'"),
    ("loop", lambda s: list(s["exc"]), TypeError, "not iterable"),
    ("neuron beyond", lambda s: s["exc"][10], SelectionError, "exc: there is no neuron 10; give 0 to 9, or -10 to -1"),
    ("no neuron", lambda s: s["exc"][:0], SelectionError, "exc[:0] selects no neuron of 10; choose at least one"),
    (
        "mask",
        lambda s: s["exc"][np.ones(9, bool)],
        SelectionError,
        "exc: a mask of shape (9,) was given; it must have shape (10,)",
    ),
    ("get typo", lambda s: s["exc"].get("v_m"), UnknownName, "sim['exc'] has no state or parameter 'v_m'; did you mean 'V_m'?"),
    ("get input", lambda s: s["exc"].get("ex"), UnknownName, "sim['exc'] has no state or parameter 'ex'"),
    (
        "get of a parrot",
        lambda s: s["parrot"].get("V_m"),
        UnknownName,
        "sim['parrot'] has no state or parameter 'V_m'; It has none",
    ),
    ("set typo", lambda s: s["exc"].set("tau", 1.0), UnknownName, "sim['exc'] has no state or parameter 'tau'; did you mean"),
    (
        "set short",
        lambda s: s["exc"].set("V_m", np.zeros(9)),
        ShapeError,
        "sim['exc'].set('V_m') has shape (9,), but there are 10",
    ),
    (
        "set flat",
        lambda s: s["exc"].set("V_m", np.zeros((10, 1))),
        ShapeError,
        "sim['exc'].set('V_m') has shape (10, 1), but there",
    ),
    ("set narrow", lambda s: s["exc"][:3].set("V_m", np.zeros(10)), ShapeError, "has shape (10,), but there are 3 elements"),
    ("set nan", lambda s: s["exc"].set("V_m", np.nan), ParameterError, "sim['exc'].set('V_m') must be finite, but holds nan"),
    (
        "set text",
        lambda s: s["exc"].set("V_m", "-70"),
        KindError,
        "sim['exc'].set('V_m') must be a number, an array with one number",
    ),
    ("set true", lambda s: s["exc"].set("V_m", True), KindError, "sim['exc'].set('V_m') must be a number, an array"),
    ("set out of range", lambda s: s["exc"].set("C_m", 0.0), ParameterError, "sim['exc'].set('C_m') must be > 0 pF, not 0"),
    (
        "set drawn out of range",
        lambda s: s["exc"].set("tau_m", snn.Uniform(-1.0, 1.0)),
        ParameterError,
        "sim['exc'].set('tau_m') must be > 0 ms, not -1 ... 1",
    ),
    ("rate negative", lambda s: s["noise"].set("rate", -1.0), ParameterError, "sim['noise'].set('rate') must be >= 0 Hz, not -1"),
    (
        "rate beyond the description",
        lambda s: s["noise"].set("rate", [1.0, 1.0, 1.0, 1e5]),
        ParameterError,
        "the input of the targets is scaled for 8; describe the population with the highest rate that it will have",
    ),
    (
        "rate impossible",
        lambda s: s["noise"].set("rate", 1e7),
        ParameterError,
        "gives 1000 spikes per step of 0.1 ms; at most 127",
    ),
    (
        "t_ref off the grid",
        lambda s: s["exc"].set("t_ref", 2.05),
        UserWarning,
        "sim['exc'].set('t_ref') = 2.05 ms is not a multiple",
    ),
]

INJECTIONS: list[Use] = [
    (
        "off the grid",
        lambda s: s["exc"].inject([1.05], [0]),
        ParameterError,
        "sim['exc'].inject: 1.05 ms is not a multiple of dt",
    ),
    (
        "in the past",
        lambda s: s["exc"].inject([0.5], [0]),
        ParameterError,
        "sim['exc'].inject: 0.5 ms is not after the present, 1 ms",
    ),
    (
        "now",
        lambda s: s["exc"].inject([2.0, 1.0], [0, 1]),
        ParameterError,
        "sim['exc'].inject: 1 ms is not after the present, 1 ms",
    ),
    ("never", lambda s: s["exc"].inject(np.inf, [0]), ParameterError, "sim['exc'].inject: times must be finite"),
    ("too late", lambda s: s["exc"].inject(1e300, 0), ParameterError, "sim['exc'].inject: 1e+300 ms is beyond the end of time"),
    ("text", lambda s: s["exc"].inject("soon", [0]), KindError, "times must be numbers of ms, not 'soon'"),
    ("ids real", lambda s: s["exc"].inject([2.0], [0.0]), KindError, "ids are integers and both have one dimension, not float64"),
    ("ids a mask", lambda s: s["exc"].inject([2.0], [True]), KindError, "ids are integers and both have one dimension, not bool"),
    ("two dimensions", lambda s: s["exc"].inject([[2.0]], [0]), KindError, "ids are integers and both have one dimension"),
    ("lengths", lambda s: s["exc"].inject([2.0, 3.0], [0, 1, 2]), ShapeError, "2 times but 3 ids; give one id per time"),
    ("no such neuron", lambda s: s["exc"].inject([2.0], [10]), ParameterError, "there is no neuron 10; give 0 to 9"),
    ("not in the selection", lambda s: s["exc"][5:].inject(2.0, [5]), ParameterError, "there is no neuron 5; give 0 to 4"),
    ("negative", lambda s: s["exc"].inject(2.0, [-1]), ParameterError, "there is no neuron -1; give 0 to 9"),
    (
        "twice",
        lambda s: s["exc"].inject([2.0, 3.0, 3.0], [4, 4, 4]),
        ParameterError,
        "sim['exc'].inject: 2 spikes of neuron 4 at 3 ms; a IafPscExp emits at most 1 in one step",
    ),
    (
        "256 at once",
        lambda s: s["parrot"].inject(2.0, [0] * 256),
        ParameterError,
        "256 spikes of neuron 0 at 2 ms; a Parrot emits",
    ),
]

WEIGHTS: list[Use] = [
    (
        "number of them",
        lambda s: s["exc_to_exc"].set_weights(np.ones(99)),
        ShapeError,
        "set_weights: (99,) values for 100 synapses",
    ),
    (
        "table",
        lambda s: s["exc_to_exc"].set_weights(np.ones((10, 10))),
        ShapeError,
        "set_weights: (10, 10) values for 100 synapses",
    ),
    (
        "nan",
        lambda s: s["exc_to_exc"].set_weights(np.nan),
        ParameterError,
        "sim['exc_to_exc'].set_weights: weights must be finite",
    ),
    ("text", lambda s: s["exc_to_exc"].set_weights("strong"), KindError, "set_weights: weights must be numbers, not 'strong'"),
    ("nothing", lambda s: s["exc_to_exc"].set_weights(lambda e: None), ParameterError, "weights must be finite"),
    ("sign", lambda s: s["exc_to_exc"].set_weights(-1.0), ParameterError, "set_weights: no weight may become negative; their"),
    (
        "too much",
        lambda s: s["exc_to_exc"].set_weights(1.5),
        ValueError,
        "|w| would sum to 15 in one target; the integer input was",
    ),
    ("no such word", lambda s: s["exc_to_exc"].get("weight"), AttributeError, "no attribute 'get'"),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """At 1 ms, in two parts. A test that asks wrongly must not change it."""
    net = network()
    sim = snn.Simulation(net, parts=2)
    net.population("late", 3, IafPscExp())
    with sim:
        sim.run(1.0)
        yield sim
        sim.run(1.0)


def state(sim: Any) -> list[Any]:
    names = ("V_m", "C_m", "t_ref", "I_ex")
    return [sim.time, *(sim["exc"].get(n).tolist() for n in names), sim["noise"].get("rate").tolist(),
            sim["exc_to_exc"].weights()["weight"].tolist()]  # fmt: skip


USES = [("run", *w) for w in RUNS] + [("handle", *w) for w in HANDLES] + [("inject", *w) for w in INJECTIONS]
USES += [("weights", *w) for w in WEIGHTS]


@pytest.mark.parametrize(("use", "kind", "told"), [w[2:] for w in USES], ids=[f"{w[0]}: {w[1]}" for w in USES])
def test_a_wrong_question_changes_nothing(running: Any, use: Callable[[Any], object], kind: type[Exception], told: str) -> None:
    before = state(running)
    with pytest.raises(kind, match=re.escape(told)):
        use(running)
    assert state(running) == before


def test_quantities_of_the_wrong_dimension_are_refused(running: Any) -> None:
    pint = pytest.importorskip("pint")
    ureg = pint.UnitRegistry()
    for use, told in (
        (lambda: running.run(1.0 * ureg.mV), "sim.run(ms) must be in ms, not in millivolt"),
        (lambda: running["exc"].set("V_m", 1.0 * ureg.ms), "sim['exc'].set('V_m') must be in mV, not in millisecond"),
        (lambda: running["exc"].inject(2.0 * ureg.mV, [0]), "inject(times, ids) must be in ms, not in millivolt"),
        (lambda: running["exc_to_exc"].set_weights(1.0 * ureg.ms), "set_weights must be in pA, not in millisecond"),
    ):
        with pytest.raises(UnitError, match=re.escape(told)):
            use()


def test_no_part_takes_weights_that_another_refuses() -> None:
    net = snn.Network(seed=1, dt=0.1)
    a, b = net.population("a", 2, IafPscExp()), net.population("b", 600, IafPscExp())
    net.connect(a >> b, AllToAll(), Static(weight=1.0, delay=1.0), name="p")
    weights = np.full(1200, 0.5)
    weights[-2:] = 5.0
    with snn.Simulation(net, parts=2) as sim:
        with pytest.raises(ValueError, match="would sum to 10 in one target"):
            sim["p"].set_weights(weights)
        assert (sim["p"].weights()["weight"] == 1.0).all()


# ---- out of turn

TURNS: list[Use] = [
    ("run", lambda h: h["sim"].run(1.0), RuntimeError, "the simulation is closed and cannot go on; make another one"),
    ("handle", lambda h: h["sim"]["exc"], RuntimeError, "the simulation is closed and cannot go on; make another one"),
    ("report", lambda h: h["sim"].report(), RuntimeError, "the simulation is closed and cannot go on; make another one"),
    (
        "enter",
        lambda h: h["sim"].__enter__(),
        RuntimeError,
        "this simulation is closed; it can be entered once: make another one",
    ),
    ("get", lambda h: h["exc"].get("V_m"), RuntimeError, "the simulation is closed and cannot go on; make another one"),
    ("set", lambda h: h["exc"].set("V_m", 0.0), RuntimeError, "the simulation is closed and cannot go on; make another one"),
    ("counts", lambda h: h["exc"][2:].counts(), RuntimeError, "the simulation is closed and cannot go on; make another one"),
    ("inject", lambda h: h["exc"].inject(9.0, 0), RuntimeError, "the simulation is closed and cannot go on; make another one"),
    ("weights", lambda h: h["p"].weights(), RuntimeError, "the simulation is closed and cannot go on; make another one"),
    (
        "set_weights",
        lambda h: h["p"].set_weights(1.0),
        RuntimeError,
        "the simulation is closed and cannot go on; make another one",
    ),
]


@pytest.fixture(scope="module")
def closed() -> dict[str, Any]:
    with snn.Simulation(network()) as sim:
        sim.run(1.0)
        kept = {"sim": sim, "exc": sim["exc"], "p": sim["exc_to_exc"]}
    return kept


@pytest.mark.parametrize(("use", "kind", "told"), [w[1:] for w in TURNS], ids=[w[0] for w in TURNS])
def test_what_is_closed_says_so(closed: Any, use: Callable[[Any], object], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        use(closed)
    closed["sim"].close()
    assert "closed, at 1 ms" in repr(closed["sim"])
    assert snn.open(closed["sim"]).attrs["committed_ms"] == 1.0


def test_a_simulation_is_built_once_and_before_it_runs() -> None:
    sim = snn.Simulation(network())
    for use in (lambda: sim.run(1.0), lambda: sim["exc"], lambda: sim.report()):
        with pytest.raises(RuntimeError, match="not built yet; use it in a block: with Simulation"):
            use()
    with sim, pytest.raises(RuntimeError, match="this simulation is running; it can be entered once"):
        sim.__enter__()


def test_a_run_with_nothing_recorded_says_what_records() -> None:
    net = snn.Network(seed=1, dt=0.1)
    net.population("exc", 3, IafPscExp())
    with snn.Simulation(net) as sim:
        sim.run(1.0)
        with pytest.raises(StoreMissing, match=re.escape("Simulation has recorded nothing: net.record(...) says what is kept")):
            snn.open(sim)


def test_an_error_of_the_users_own_keeps_what_was_recorded(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), snn.Simulation(network(), store=tmp_path / "run.zarr", parts=2) as sim:
        sim.run(5.0)
        raise ZeroDivisionError("mine")
    assert snn.open(tmp_path / "run.zarr").attrs["committed_ms"] == 5.0


def test_a_progress_function_that_fails_ends_the_run_and_is_told(tmp_path: Path) -> None:
    def progress(ms: float, spikes: int) -> None:
        raise KeyError("mine")

    with snn.Simulation(network(), store=tmp_path / "run.zarr", progress=progress) as sim:
        with pytest.raises(KeyError, match="mine"):
            sim.run(5.0)
        with pytest.raises(RuntimeError, match="the simulation is failed and cannot go on; make another one"):
            sim.run(5.0)


def test_a_store_that_goes_away_ends_the_run_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer cannot write any more: one error that says what is kept, no thread."""
    with snn.Simulation(network(), store=tmp_path / "run.zarr") as sim:
        sim.run(5.0)

        def full(*args: Any) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("eventsnn.storage.writer.write_objects", full)
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="No space left on device.*everything up to 5 ms"):
            sim.run(5.0)
        assert time.monotonic() - began < 10.0
        monkeypatch.undo()
    assert snn.open(tmp_path / "run.zarr").attrs["committed_ms"] == 5.0
