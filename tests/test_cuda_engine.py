"""Backend cuda gives the bits of backend cpu: on a GPU (`pytest -m gpu`), and without one (test_cuda_without_gpu.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numba import config

import eventsnn as snn
from eventsnn.devices import Gpu, find_gpu
from eventsnn.errors import DeviceError
from eventsnn.lower import lower
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
from eventsnn.scheduler.device_memory import device_bytes
from eventsnn.scheduler.errors import PlanError
from eventsnn.scheduler.placement import here
from eventsnn.scheduler.plan import make_plan

GPU = find_gpu()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}")]
SIZE = 1 if config.ENABLE_CUDASIM else 50
"""Neurons on a GPU for one in the simulator."""
LONG = 7.0 if config.ENABLE_CUDASIM else 50.0
"""ms: a long delay."""
Result = tuple[xr.DataTree, dict[str, np.ndarray]]
if config.ENABLE_CUDASIM:
    # the simulator polls the threads of a block without a pause; at the usual 5 ms it keeps the interpreter from them
    sys.setswitchinterval(1e-4)


class Exponential(snn.NeuronModel):
    """Exponential integrate and fire: exp in a step, a state that stops and one that does not."""

    C_m = snn.Param(200.0, "pF", "capacitance")
    g_L = snn.Param(10.0, "nS", "leak")
    E_L = snn.Param(-70.0, "mV", "rest")
    V_T = snn.Param(-50.0, "mV", "onset of spikes")
    D_T = snn.Param(2.0, "mV", "sharpness")
    V_reset = snn.Param(-58.0, "mV", "after a spike")
    tau_w = snn.Param(120.0, "ms", "adaptation")
    a = snn.Param(2.0, "nS", "coupling of adaptation")
    b = snn.Param(60.0, "pA", "kick of adaptation")
    t_ref = snn.Param(1.0, "ms", "refractory time")
    V_m = snn.State(-70.0, "mV")
    w = snn.State(0.0, "pA")
    equations = """
        dV_m/dt = (-g_L*(V_m - E_L) + g_L*D_T*exp((V_m - V_T)/D_T) - w)/C_m
        dw/dt = (a*(V_m - E_L) - w)/tau_w
    """
    receptors = (snn.Receptor("in", "mV", "V_m += w"),)
    threshold = "V_m >= -40"
    reset = "V_m = V_reset; w += b"
    refractory = "t_ref"
    hold = ("V_m",)
    method = "rk4"


class Theta(snn.NeuronModel):
    """A phase whose speed is that of a quadratic neuron: dtheta/dt = 1 - cos(theta) + I (1 + cos(theta)), Ermentrout and Kopell
    (1986); of period pi/sqrt(I)."""

    I = snn.Param(0.04, "", "drive")  # noqa: E741
    theta = snn.State(0.0, "", "phase")
    turns = snn.State(0.0, "", "spikes, with the sign of the last sine")
    equations = "dtheta/dt = (1 - cos(theta) + I*(1 + cos(theta)))/ms\ndturns/dt = 0"
    threshold = "theta > pi"
    reset = "theta -= 2*pi; turns = turns + sign(sin(theta))"
    method = "rk4"


def mixed(precision: str = "float64") -> snn.Network:
    """Every model, rule, kind of weight and delay."""
    net = snn.Network(seed=11, dt=0.1)
    n = SIZE
    exc = net.population("exc", 60 * n, IafPscExp(tau_m=snn.Uniform(9.0, 11.0)), V_m=snn.Normal(-56.0, 4.0))
    more = net.population("more", 20 * n, IafPscExp(I_e=500.0), V_m=-55.0)
    inh = net.population("inh", 30 * n, IafPscAlpha(I_e=300.0), V_m=snn.Uniform(-65.0, -55.0))
    fast = net.population("fast", 20 * n, IafPscDelta(t_ref=0.5), V_m=-56.0)
    source = net.population("source", 20 * n, Poisson(rate=snn.Uniform(300.0, 900.0)))
    other = net.population("other", 10 * n, Poisson(rate=800.0))
    train = net.population("train", 10, SpikeTrain(times=np.arange(1, 100) * 0.1, ids=np.arange(1, 100) % 10))
    parrot = net.population("parrot", 20 * n, Parrot())
    net.stimulate(exc, PoissonInput(rate=9500.0, weight=60.0))
    net.stimulate(inh[2:25], PoissonInput(rate=snn.Uniform(4000.0, 9000.0), weight=60.0))
    net.stimulate(fast, StepCurrent(times=[0.5, 3.0], values=[1400.0, 1380.0]))
    normal = snn.Normal(20.0, 2.0).truncate(0.0, None)
    net.connect(exc >> exc, FixedIndegree(10), Static(weight=normal, delay=snn.Uniform(0.1, 2.0)))
    net.connect(exc >> inh, FixedTotalNumber(300 * n), Static(weight=20.0, delay=snn.Normal(1.5, 0.75).truncate(0.1, None)))
    net.connect(inh >> exc, Bernoulli(0.1), Static(weight=-60.0, delay=1.3))
    net.connect(more >> inh[3:20], FixedIndegree(5, autapses=False), Static(weight=snn.Normal(5.0, 1.0) * 2.0, delay=0.4))
    net.connect(exc >> fast, FixedOutdegree(3), Static(weight=snn.Normal(0.0, 0.3), delay=snn.Uniform(0.2, 4.0)))
    net.connect(source >> parrot, OneToOne(), Static(weight=1.0, delay=0.5))
    net.connect(other >> exc, FixedIndegree(2), Static(weight=15.0, delay=0.2))
    net.connect(parrot >> exc[::3], FixedIndegree(4, multapses=False), Static(weight=30.0, delay=0.7))
    net.connect(train >> fast, AllToAll(), Static(weight=0.4, delay=0.3))
    rng = np.random.default_rng(4)
    pre, post = rng.integers(0, 20 * n, 100 * n), rng.integers(0, 60 * n, 100 * n)
    delays = rng.integers(3, 30, 100 * n) * 0.1
    net.connect(fast >> exc, Explicit(pre, post), Static(weight=rng.normal(10.0, 5.0, 100 * n), delay=delays))
    for population in (exc, more, inh, fast, source, other, parrot):
        net.record(population, "spikes")
    net.record(exc[5:40:7], "V_m", every=0.3, dtype=precision)
    net.record(inh, "ex", every=0.4, dtype=precision)
    return net


def result(
    net: snn.Network, states: Sequence[tuple[str, str]], pieces: Sequence[float | Callable[[Any], None]] = (5.0,), **options: Any
) -> Result:
    """Recordings, and states at the end, of a run in pieces; what can be called is called between them."""
    with snn.Simulation(net, **options) as sim:
        for piece in pieces:
            if callable(piece):
                piece(sim)
            else:
                sim.run(piece)
        return snn.open(sim).load(), {f"{p}/{s}": sim[p].get(s) for p, s in states}


def assert_same(found: Result, expected: Result) -> None:
    for node in expected[0].subtree:
        if node.has_data:
            xr.testing.assert_identical(found[0][node.path].to_dataset(), node.to_dataset())
    for name, values in expected[1].items():
        assert np.array_equal(found[1][name], values), name


STATES = (("exc", "V_m"), ("exc", "I_ex"), ("inh", "I_in"), ("fast", "V_m"))


@pytest.fixture(scope="module")
def reference() -> Result:
    """The mixed network on the CPU."""
    expected = result(mixed(), STATES, backend="cpu", threads=1)
    for name in ("exc", "more", "inh", "fast", "source", "other", "parrot"):
        assert expected[0][f"{name}/spikes"].sizes["event"] > 3, name
    return expected


def test_every_model_rule_and_weight(reference: Result) -> None:
    assert_same(result(mixed(), STATES, backend="cuda"), reference)


def test_pieces_and_a_log_that_fills_up(reference: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsnn.backends.cuda.block.LOG_ITEMS", 1)
    pieces = (0.1, 1.3, 0.2, 2.4, 1.0)
    assert_same(result(mixed(), STATES, pieces, backend="cuda"), reference)


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_on_devices(parts: int, reference: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    if parts == 3:  # more spikes than are delivered at once
        monkeypatch.setattr("eventsnn.backends.cuda.block.MAIL_ITEMS", 2)
    assert_same(result(mixed(), STATES, (2.0, 3.0), backend="cuda", parts=parts), reference)


def test_parts_on_devices_and_on_cpus(reference: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = cycle(["cuda", "cpu"])
    monkeypatch.setattr("eventsnn.scheduler.plan.computing", lambda backend, place: next(turns))
    assert_same(result(mixed(), STATES, (2.0, 3.0), backend="cuda", parts=3, threads=1), reference)


def test_float32() -> None:
    options = {"precision": "float32"}
    expected = result(mixed("float32"), STATES, (2.0,), backend="cpu", threads=1, **options)
    assert_same(result(mixed("float32"), STATES, (2.0,), backend="cuda", **options), expected)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_users_model_with_waves(precision: str) -> None:
    net = snn.Network(seed=2, dt=0.1)
    cells = net.population("cells", 20, Theta(I=snn.Uniform(0.5, 4.0)), theta=snn.Uniform(-3.0, 3.0))
    net.record(cells, "spikes")
    states = [("cells", "theta"), ("cells", "turns")]
    expected = result(net, states, (5.0,), backend="cpu", precision=precision)
    assert expected[0]["cells/spikes"].sizes["event"] > 20
    assert_same(result(net, states, (5.0,), backend="cuda", precision=precision), expected)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_users_model_with_exp(precision: str) -> None:
    net = snn.Network(seed=2, dt=0.1)
    cells = net.population("cells", 30, Exponential(b=snn.Uniform(20.0, 80.0)), V_m=snn.Uniform(-60.0, -45.0))
    net.stimulate(cells, PoissonInput(rate=5000.0, weight=1.5))
    net.record(cells, "spikes")
    net.record(cells, "w", every=1.0, dtype=precision)
    expected = result(net, [("cells", "V_m")], (6.0,), backend="cpu", precision=precision)
    assert expected[0]["cells/spikes"].sizes["event"] > 3
    assert_same(result(net, [("cells", "V_m")], (6.0,), backend="cuda", precision=precision), expected)


@pytest.mark.parametrize("weight", ["constant", "drawn", "given"])
def test_rows_of_any_length(weight: str) -> None:
    """Sources with 0, 1, 31, 32, 33, 127, 128, 129 and 10,000 synapses, delays of 1 step and far more."""
    lengths = np.array([0, 1, 31, 32, 33, 127, 128, 129, 10_000 if weight == "given" else 300])
    net = snn.Network(seed=5, dt=0.1)
    source = net.population("source", 9, SpikeTrain(times=np.arange(1, 10) * 0.1, ids=np.arange(9)))
    cells = net.population("cells", 200, IafPscExp(V_th=1e6))
    rng = np.random.default_rng(3)
    pre = np.repeat(np.arange(9), lengths)
    post = rng.integers(0, 200, len(pre))
    delay = rng.choice([0.1, 0.2, LONG], len(pre))
    weights = {"constant": 2.5, "drawn": snn.Normal(3.0, 0.5), "given": rng.normal(0.0, 1.0, len(pre))}[weight]
    net.connect(source >> cells, Explicit(pre, post), Static(weight=weights, delay=delay))
    net.record(cells, "ex", every=0.1)
    states = [("cells", "I_ex"), ("cells", "I_in")]
    expected = result(net, states, (1.5, LONG), backend="cpu")
    assert int((expected[0]["cells/ex"].to_dataset()["ex"] != 0.0).sum()) > 300
    assert_same(result(net, states, (1.5, LONG), backend="cuda"), expected)


def changes(sim: Any) -> None:
    """All that may be changed between runs."""
    sim["exc"].set("V_m", snn.Normal(-56.0, 3.0))
    sim["exc"][3:50:7].set("tau_m", 12.5)
    sim["inh"].set("I_e", np.linspace(250.0, 400.0, 30 * SIZE))
    sim["source"][5:].set("rate", snn.Uniform(500.0, 900.0))
    sim["parrot"].inject([sim.time + 0.3, sim.time + 0.3, sim.time + 1.0], [1, 1, 4])
    weights = sim["exc_to_exc"].weights()["weight"]
    sim["exc_to_exc"].set_weights(weights * 0.8)


def test_handles() -> None:
    pieces = (2.0, changes, 2.0)
    expected = result(mixed(), STATES, pieces, backend="cpu", threads=1)
    assert_same(result(mixed(), STATES, pieces, backend="cuda"), expected)
    assert_same(result(mixed(), STATES, pieces, backend="cuda", parts=2), expected)


@pytest.mark.parametrize(("before", "after"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_checkpoint_of_the_other_backend(tmp_path: Path, before: str, after: str) -> None:
    expected = result(mixed(), STATES, (2.0, changes, 2.0), backend="cpu", threads=1)
    store = tmp_path / "run.zarr"
    with snn.Simulation(mixed(), store=store, backend=before, threads=1) as sim:
        sim.run(2.0)
        changes(sim)
        sim.run(0.7)
        sim.checkpoint()
    with snn.resume(store, backend=after, parts=2) as sim:
        sim.run(1.3)
        states = {f"{p}/{s}": sim[p].get(s) for p, s in STATES}
    assert_same((snn.open(store).load(), states), expected)


def test_a_source_that_falls_silent_leaves_room_for_given_spikes() -> None:
    net = snn.Network(seed=3, dt=0.1)
    source = net.population("source", 4, Poisson(rate=9000.0))
    net.record(source, "spikes")

    def silence(sim: Any) -> None:
        sim["source"].set("rate", 0.0)
        times = np.repeat(sim.time + np.arange(1, 4) * 0.1, 4 * 12)
        sim["source"].inject(times, np.tile(np.arange(4), 3 * 12))

    expected = result(net, [], (1.0, silence, 1.0), backend="cpu")
    assert_same(result(net, [], (1.0, silence, 1.0), backend="cuda"), expected)


def test_counts_and_report() -> None:
    with snn.Simulation(mixed(), backend="cuda") as cuda, snn.Simulation(mixed(), backend="cpu", threads=1) as cpu:
        for sim in (cuda, cpu):
            sim.run(2.0)
        for name in ("exc", "fast", "source", "train", "parrot"):
            assert np.array_equal(cuda[name].counts(), cpu[name].counts()), name
        ours, theirs = cuda.report(), cpu.report()
        assert ours["spikes"] == theirs["spikes"]
        assert ours["parts"][0]["synapses"] == theirs["parts"][0]["synapses"]  # type: ignore[index]
        for name in ("exc_to_exc", "fast_to_exc"):
            for column, values in cpu[name].weights().items():
                assert np.array_equal(cuda[name].weights()[column], values)


def test_the_memory_that_was_foretold() -> None:
    """Within 10 %; and a network that does not fit is refused with the numbers before anything is allocated."""
    with snn.Simulation(mixed(), backend="cuda") as sim:
        expected, _ = device_bytes(sim.spec, sim.plan.shares[0].slices)
        held = sim.report()["parts"][0]["bytes"]  # type: ignore[index]
    assert abs(held / expected - 1.0) < 0.1
    spec = lower(mixed())
    small = Gpu("Small GPU", "1", 10**9, 10**8, (9, 0), 1)
    plan = make_plan(spec, [here(1, small)], 1, None, backend="cuda")
    with pytest.raises(PlanError, match=r"need.* about 0\.\d+ GB of GPU memory while .* Small GPU has 0\.10 GB free of 1\.00 GB"):
        plan.check_memory()


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        ("OutOfMemoryError: Out of memory allocating 8 bytes", MemoryError, "the GPU has no memory left .*; end what else"),
        (
            "CUDARuntimeError: cudaErrorIllegalAddress: an illegal memory access was encountered",
            DeviceError,
            "the GPU failed or was lost .*; look at nvidia-smi",
        ),
    ],
)
def test_a_gpu_that_fails(raised: str, kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, text = raised.partition(": ")

    def fail(*_: object) -> None:
        raise type(name, (Exception,), {})(text)

    with snn.Simulation(mixed(), backend="cuda") as sim:
        monkeypatch.setattr("eventsnn.backends.cuda.steps.Steps.run", fail)
        with pytest.raises(kind, match=said):
            sim.run(1.0)


def test_a_network_without_synapses_and_one_neuron() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 1, IafPscExp(I_e=900.0))
    net.record(cell, "spikes")
    expected = result(net, [("cell", "V_m")], (20.0,), backend="cpu")
    assert expected[0]["cell/spikes"].sizes["event"] > 0
    assert_same(result(net, [("cell", "V_m")], (20.0,), backend="cuda"), expected)
