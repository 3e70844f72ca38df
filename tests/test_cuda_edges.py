"""Where backend cuda could go wrong unseen by small networks: places beyond 65,536, a full log, full rings, caps, graphs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numba import config, cuda
from test_cuda_engine import GPU, assert_same, mixed, result

import eventsnn as snn
from eventsnn.models import (
    AcCurrent,
    AllToAll,
    Explicit,
    FixedIndegree,
    IafPscDelta,
    IafPscExp,
    NoiseCurrent,
    OneToOne,
    Parrot,
    Poisson,
    PoissonInput,
    Sinusoid,
    SpikeTrain,
    Static,
    Stdp,
    StdpReward,
    StdpTriplet,
    StepCurrent,
)

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}")]


@pytest.mark.parametrize("weight", ["constant", "drawn", "given"])
def test_targets_in_more_than_one_block_of_65536(weight: str) -> None:
    """The same place in two blocks, the last of one and the first of the next, rows that end in one and go on in the other."""
    n = 300 if config.ENABLE_CUDASIM else 131_100  # the simulator would take minutes
    places = np.array([0, 5, 65_535, 65_536, 65_541, 131_071, 131_072, 131_077, n - 1]) % n
    net = snn.Network(seed=5, dt=0.1)
    source = net.population("source", 2, SpikeTrain(times=[0.1, 0.2], ids=[0, 1]))
    cells = net.population("cells", n, IafPscDelta())
    rng = np.random.default_rng(3)
    post = np.concatenate([places, rng.integers(0, n, 2000)])
    pre = rng.integers(0, 2, len(post))
    weights = {"constant": 0.5, "drawn": snn.Normal(0.5, 0.1), "given": rng.normal(0.0, 1.0, len(post))}[weight]
    net.connect(source >> cells, Explicit(pre, post), Static(weight=weights, delay=rng.choice([0.1, 0.3], len(post))))
    net.record(source, "spikes")
    expected = result(net, [("cells", "V_m")], (0.6,), backend="cpu")
    assert len(np.unique(expected[1]["cells/V_m"])) > 3
    assert_same(result(net, [("cells", "V_m")], (0.6,), backend="cuda"), expected)


def test_a_log_that_is_full_after_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every neuron fires in every step, so that a run stops for the host whenever two steps are done."""
    monkeypatch.setattr("eventsnn.backends.cuda.block.LOG_ITEMS", 1)
    net = snn.Network(seed=1, dt=0.1)
    times, ids = np.repeat(np.arange(1, 8), 5) * 0.1, np.tile(np.arange(5), 7)
    train = net.population("train", 5, SpikeTrain(times=times, ids=ids))
    cells = net.population("cells", 3, IafPscExp())
    net.connect(train >> cells, AllToAll(), Static(weight=snn.Uniform(100.0, 300.0), delay=0.2))
    net.stimulate(cells, PoissonInput(rate=8000.0, weight=100.0))
    net.record(train, "spikes")
    expected = result(net, [("cells", "V_m")], (0.9,), backend="cpu")
    assert expected[0]["train/spikes"].sizes["event"] == 35
    assert_same(result(net, [("cells", "V_m")], (0.9,), backend="cuda"), expected)


def test_means_of_many_parts_and_more_arrivals_than_a_parrot_emits() -> None:
    """About 300 spikes reach each parrot in a step, of which it emits 255."""
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 3, Poisson(rate=1_000_000.0))
    parrot = net.population("parrot", 2, Parrot())
    cells = net.population("cells", 2, IafPscExp())
    net.connect(source >> parrot, AllToAll(), Static(weight=1.0, delay=0.1))
    net.connect(parrot >> cells, OneToOne(), Static(weight=0.01, delay=0.1))
    net.stimulate(cells, PoissonInput(rate=400_000.0, weight=0.01))
    for population in (source, parrot):
        net.record(population, "spikes")
    expected = result(net, [("cells", "V_m")], (0.7,), backend="cpu")
    counts = np.bincount(expected[0]["parrot/spikes"].to_dataset()["neuron"].values)
    assert (counts == 6 * 255).all(), counts
    assert_same(result(net, [("cells", "V_m")], (0.7,), backend="cuda"), expected)


def test_given_spikes_on_top_of_a_neurons_own() -> None:
    """A neuron that fires in the step for which a spike is given fires once."""
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 4, IafPscExp(I_e=900.0, t_ref=0.1), V_m=snn.Uniform(-60.0, -50.1))
    net.record(cells, "spikes")

    def given(sim: Any) -> None:
        sim["cells"].inject(np.repeat(np.arange(1, 31), 4) * 0.1, np.tile(np.arange(4), 30))

    alone = result(net, [], (3.0,), backend="cpu")[0]["cells/spikes"].sizes["event"]
    expected = result(net, [], (given, 3.0), backend="cpu")
    assert alone > 3 and expected[0]["cells/spikes"].sizes["event"] == 4 * 30
    assert_same(result(net, [], (given, 3.0), backend="cuda"), expected)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_ring_of_samples_that_turns_round(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows, or as many as there are steps between two exchanges of parts."""
    monkeypatch.setattr("eventsnn.backends.cuda.block.SAMPLE_BYTES", 1)
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 4, IafPscDelta(), V_m=snn.Uniform(-60.0, -56.0))
    net.connect(cells >> cells, AllToAll(), Static(weight=1.0, delay=1.2))
    net.record(cells, "V_m", every=0.1, dtype="float64")
    net.record(cells[1:], "V_m", every=0.3, dtype="float64", name="seldom")
    expected = result(net, [], (0.5, 3.4), backend="cpu")
    assert_same(result(net, [], (0.5, 3.4), backend="cuda", parts=parts), expected)


def test_currents_that_end_and_currents_of_each_neuron() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 5, IafPscDelta())
    net.stimulate(cells, NoiseCurrent(mean=100.0, std=500.0, dt=0.3, start=0.2, stop=1.2))
    net.stimulate(cells[1:], AcCurrent(300.0, 1000.0, start=0.2, stop=0.9))
    net.stimulate(cells[:3], StepCurrent([0.3, 0.7], [[100.0, 200.0, 300.0], [0.0, -100.0, 400.0]]))
    net.record(cells, "V_m", every=0.1, dtype="float64")
    expected = result(net, [], (1.6,), backend="cpu")
    assert_same(result(net, [], (1.6,), backend="cuda"), expected)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_checkpoint_of_parts_with_spikes_on_their_way(tmp_path: Path, parts: int) -> None:
    """What peers sent and no step has taken yet is kept."""
    states = [("exc", "V_m"), ("inh", "V_m")]
    expected = result(mixed(), states, (2.0,), backend="cpu", threads=1)
    with snn.Simulation(mixed(), store=tmp_path / "run.zarr", backend="cuda", parts=2) as sim:
        sim.run(1.2)
        sim.checkpoint()
    with snn.resume(tmp_path / "run.zarr", backend="cuda", parts=parts) as sim:
        sim.run(0.8)
        found = {f"{p}/{s}": sim[p].get(s) for p, s in states}
    assert_same((snn.open(tmp_path / "run.zarr").load(), found), expected)


def test_decays_over_any_number_of_steps() -> None:
    """exp(-k dt/tau) as a product of one number of each table, for all four digits of k; 0 beyond 32 bits."""
    from eventsnn.backends.cuda.device import arrays, launch, to_host
    from eventsnn.backends.cuda.learning import kernels_of
    from eventsnn.backends.moments import decays
    from eventsnn.lower import lower

    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 2, IafPscExp())
    net.connect(cells >> cells, AllToAll(), Stdp(weight=1.0, delay=0.1))
    rule = lower(net).projections[0].plasticity
    assert rule is not None
    decayed = kernels_of(rule).decayed

    def each(steps, tables, out):  # type: ignore[no-untyped-def]
        for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
            out[i] = decayed(tables, 0, steps[i])

    xp, rate = arrays(), 2.0**-26
    steps = np.array([0, 1, 255, 256, 300, 65_535, 65_536, 65_537, 1 << 24, (1 << 24) + 77_777, (1 << 32) - 1, 1 << 32])
    out = xp.zeros(len(steps), np.float64)
    launch(cuda.jit(each), len(steps), xp.asarray(steps), xp.asarray(decays(rate)), out)
    expected = np.where(steps < 1 << 32, np.exp(-rate * steps), 0.0)
    np.testing.assert_allclose(to_host(out), expected, rtol=1e-14)


class Graphs:
    """In the place of cuda.core's device: what is launched while a graph is built is done when the graph is launched."""

    def __init__(self, start: Any) -> None:
        self.start, self.sizes = start, list[int]()

    def __call__(self) -> Graphs:
        return self

    def set_current(self) -> None: ...

    def create_stream(self) -> Graphs:
        return self

    def sync(self) -> None: ...

    def create_graph_builder(self) -> Graph:
        return Graph(self)

    def launched(self, kernel: Any, size: Any, arguments: Any, stream: Any = 0) -> None:
        if isinstance(stream, Graph):
            assert stream.building
            stream.launches.append((kernel, size, arguments))
        else:
            self.start(kernel, size, arguments, stream)


class Graph:
    def __init__(self, graphs: Graphs) -> None:
        self.graphs, self.launches, self.building = graphs, list[Any](), False

    def begin_building(self) -> None:
        self.building = True

    def end_building(self) -> Graph:
        self.building = False
        return self

    def complete(self) -> Graph:
        return self

    def close(self) -> None:
        assert not self.building

    def launch(self, stream: Any) -> None:
        assert stream is self.graphs and not self.building
        self.graphs.sizes.append(len(self.launches))
        for launch in self.launches:
            self.graphs.start(*launch)


@pytest.mark.skipif(not isinstance(GPU, str) and not GPU.simulated, reason="a GPU has graphs of its own")
@pytest.mark.parametrize("parts", [1, 2])
def test_runs_that_are_put_together_from_graphs(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of many steps, of one, and of epochs of peers; what comes before the first step comes once."""
    from eventsnn.backends.cuda import steps

    graphs = Graphs(steps.start)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda.core", SimpleNamespace(Device=graphs))
    monkeypatch.setattr(steps, "SIMULATED", False)
    monkeypatch.setattr(steps, "start", graphs.launched)
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 8, IafPscExp(), V_m=snn.Uniform(-60.0, -50.1))
    noise = net.population("noise", 4, Poisson(rate=3000.0))
    net.stimulate(cells, PoissonInput(rate=20_000.0, weight=80.0))
    net.connect(noise >> cells, AllToAll(), Static(weight=30.0, delay=0.3))
    net.connect(cells >> cells, AllToAll(), Static(weight=snn.Normal(5.0, 50.0), delay=0.4))
    net.record(cells, "spikes")

    def softer(sim: Any) -> None:
        sim["noise"].set("rate", 2000.0)

    pieces = (12.3, softer, 0.1, 2.0)
    expected = result(net, [("cells", "V_m")], pieces, backend="cpu")
    assert expected[0]["cells/spikes"].sizes["event"] > 8
    assert_same(result(net, [("cells", "V_m")], pieces, backend="cuda", parts=parts), expected)
    assert max(graphs.sizes) > 6  # launches of more than one step


def test_given_weights_of_different_magnitude() -> None:
    """They share an accumulator, whose grid is that of the smallest: the large ones are shifted beyond 32 bits."""
    net = snn.Network(seed=1, dt=0.1)
    train = net.population("train", 4, SpikeTrain(times=[0.1, 0.2, 0.3, 0.4], ids=[0, 1, 2, 3]))
    cells = net.population("cells", 10, IafPscExp())
    rng = np.random.default_rng(2)
    for size in (1000.0, 1e-3):
        post = rng.integers(0, 10, 40)
        given = Static(weight=rng.normal(0.0, size, 40), delay=0.2)
        net.connect(train >> cells, Explicit(np.arange(40) % 4, post), given, receptor="ex")
    net.record(train, "spikes")
    expected = result(net, [("cells", "I_ex")], (1.0,), backend="cpu")
    assert np.abs(expected[1]["cells/I_ex"]).max() > 100.0
    assert_same(result(net, [("cells", "I_ex")], (1.0,), backend="cuda"), expected)


def test_rates_that_repeat() -> None:
    """A whole number of periods: the last step of one has a rate like any other."""
    net = snn.Network(seed=1, dt=0.1)
    wave = Sinusoid(6000.0, 5000.0, 2500.0)
    source = net.population("source", 20, Poisson(wave))
    cells = net.population("cells", 20, IafPscDelta())
    net.stimulate(cells, PoissonInput(rate=wave, weight=0.5))
    net.record(source, "spikes")
    expected = result(net, [("cells", "V_m")], (1.6,), backend="cpu")
    steps = np.unique(expected[0]["source/spikes"].to_dataset()["tick"])
    assert steps.tolist() == list(range(1, 17))
    assert_same(result(net, [("cells", "V_m")], (1.6,), backend="cuda"), expected)


@pytest.mark.parametrize("rule", [Stdp, StdpTriplet, StdpReward])
def test_histories_that_are_cut_in_nearly_every_step(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets fire in every step, or in every third, and histories have room for little more than twice the longest delay."""
    monkeypatch.setattr("eventsnn.backends.cuda.plastic.ROOM", 4)
    net = snn.Network(seed=1, dt=0.1)
    noise = net.population("noise", 6, Poisson(rate=1500.0))
    cells = net.population("cells", 6, IafPscExp(t_ref=0.1))
    more = {"modulator": net.population("dopamine", 1, Poisson(rate=500.0))} if rule is StdpReward else {"Wmax": 100.0}
    learned = rule(weight=snn.Uniform(1.0, 5.0), delay=snn.Uniform(0.1, 0.4), **more)
    net.connect(noise >> cells, AllToAll(), learned, name="learned")
    net.record(cells, "spikes")
    times = [np.arange(1, 81, 1 if k < 3 else 3) * 0.1 for k in range(6)]

    def given(sim: Any) -> None:
        sim["cells"].inject(np.concatenate(times), np.repeat(np.arange(6), [len(x) for x in times]))

    weights = []
    for backend in ("cpu", "cuda"):
        with snn.Simulation(net, backend=backend) as sim:
            given(sim)
            sim.run(8.0)
            weights.append(sim["learned"].weights()["weight"])
    assert len(np.unique(weights[0])) > 10
    np.testing.assert_array_equal(weights[1], weights[0])


def test_tables_of_distinct_sources_that_are_half_full() -> None:
    """Numbers whose place at the end of a table is taken go on at its beginning, not in the table of the next target."""
    from eventsnn.backends.cpu import strands
    from eventsnn.backends.cuda import choose, device

    degrees, candidates, posts = np.full(500, 3), np.full(500, 200), np.arange(500)
    expected = strands.distinct(posts, candidates, degrees, (7, 9))
    found = device.to_host(choose.distinct(posts, candidates, degrees, (7, 9)))
    np.testing.assert_array_equal(found, expected)


def test_projections_of_one_kind_with_other_delays() -> None:
    """Synapses from the same sources with the same weight are sorted together, those of the longer delays too."""
    net = snn.Network(seed=1, dt=0.1)
    train = net.population("train", 6, SpikeTrain(times=np.arange(1, 7) * 0.1, ids=np.arange(6)))
    cells = net.population("cells", 10, IafPscExp())
    for most in (0.3, 2.1, 0.8):
        net.connect(train >> cells, FixedIndegree(4), Static(weight=15.0, delay=snn.Uniform(0.1, most)))
    net.record(cells, "ex", every=0.1, dtype="float64")
    expected = result(net, [], (3.0,), backend="cpu")
    assert (expected[0]["cells/ex"].to_dataset()["ex"].values != 0.0).sum() > 60
    assert_same(result(net, [], (3.0,), backend="cuda"), expected)
