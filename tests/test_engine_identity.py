"""One network, the same bits: any threads, parts, pieces, and whatever else is added to the description."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import xarray as xr

import eventsnn as snn
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


def mixed(precision: str = "float64", extra: bool = False) -> snn.Network:
    """Every model, rule and kind of weight and delay at once."""
    net = snn.Network(seed=11, dt=0.1)
    exc = net.population("exc", 700, IafPscExp(tau_m=snn.Uniform(9.0, 11.0)), V_m=snn.Normal(-60.0, 4.0))
    inh = net.population("inh", 300, IafPscAlpha(I_e=100.0), V_m=snn.Uniform(-70.0, -55.0))
    fast = net.population("fast", 200, IafPscDelta(t_ref=1.0), V_m=-70.0)
    source = net.population("source", 100, Poisson(rate=snn.Uniform(100.0, 400.0)))
    train = net.population("train", 10, SpikeTrain(times=np.arange(1, 200) * 0.5, ids=np.arange(1, 200) % 10))
    parrot = net.population("parrot", 100, Parrot())
    if extra:
        more = net.population("more", 50, IafPscExp(I_e=500.0))
        net.connect(more >> more, Bernoulli(0.1), Static(weight=1.0, delay=1.0))
        net.record(more, "spikes")
    net.stimulate(exc, PoissonInput(rate=9500.0, weight=20.0))
    net.stimulate(inh[10:250], PoissonInput(rate=snn.Uniform(4000.0, 9000.0), weight=30.0))
    net.stimulate(fast, StepCurrent(times=[5.0, 50.0], values=[400.0, 380.0]))
    net.connect(
        exc >> exc, FixedIndegree(50), Static(weight=snn.Normal(20.0, 2.0).truncate(0.0, None), delay=snn.Uniform(0.3, 6.0))
    )
    net.connect(exc >> inh, FixedTotalNumber(20000), Static(weight=20.0, delay=snn.Normal(1.5, 0.75).truncate(0.1, None)))
    net.connect(inh >> exc, Bernoulli(0.1), Static(weight=-60.0, delay=1.3))
    net.connect(exc >> fast, FixedOutdegree(10), Static(weight=snn.Normal(0.0, 0.3), delay=snn.Uniform(1.0, 40.0)))
    net.connect(source >> parrot, OneToOne(), Static(weight=1.0, delay=0.5))
    net.connect(parrot >> exc[::3], FixedIndegree(10, multapses=False), Static(weight=30.0, delay=0.7))
    net.connect(train >> fast, AllToAll(), Static(weight=0.4, delay=2.0))
    rng = np.random.default_rng(4)
    pre, post = rng.integers(0, 200, 3000), rng.integers(0, 700, 3000)
    net.connect(
        fast >> exc, Explicit(pre, post), Static(weight=rng.normal(10.0, 5.0, 3000), delay=rng.integers(3, 30, 3000) * 0.1)
    )
    for population in (exc, inh, fast, source, parrot):
        net.record(population, "spikes")
    net.record(exc[5:300:7], "V_m", every=0.7, dtype=precision)
    net.record(inh, "ex", every=2.0, dtype=precision)
    return net


def run(pieces: tuple[float, ...] = (60.0,), extra: bool = False, **options: Any) -> tuple[xr.DataTree, dict[str, np.ndarray]]:
    with snn.Simulation(mixed(extra=extra), **options) as sim:
        for piece in pieces:
            sim.run(piece)
        states = {f"{p}/{s}": sim[p].get(s) for p, s in (("exc", "V_m"), ("exc", "I_ex"), ("inh", "I_in"), ("fast", "V_m"))}
        return snn.open(sim).load(), states


@pytest.fixture(scope="module")
def reference() -> tuple[xr.DataTree, dict[str, np.ndarray]]:
    tree, states = run(threads=1)
    for name in ("exc", "inh", "fast", "source", "parrot"):
        assert tree[f"{name}/spikes"].sizes["event"] > 50, name
    return tree, states


def assert_same(found: tuple[xr.DataTree, dict[str, np.ndarray]], expected: tuple[xr.DataTree, dict[str, np.ndarray]]) -> None:
    for node in expected[0].subtree:
        if node.has_data:
            xr.testing.assert_identical(found[0][node.path].to_dataset(), node.to_dataset())
    for name, values in expected[1].items():
        assert np.array_equal(found[1][name], values), name


@pytest.mark.parametrize(
    "options", [{"threads": 2}, {"parts": 2, "threads": 1}, {"parts": 3, "threads": 1}, {"parts": 5, "threads": 1}], ids=str
)
def test_threads_and_parts_change_nothing(options: dict[str, int], reference: Any) -> None:
    assert_same(run(**options), reference)


def test_37_unequal_pieces_change_nothing(reference: Any) -> None:
    cuts = np.sort(np.random.default_rng(3).choice(np.arange(1, 600), 36, replace=False))
    steps = np.diff(np.concatenate(([0], cuts, [600])))
    assert_same(run(pieces=tuple(np.round(steps * 0.1, 10)), threads=1), reference)
    assert_same(run(pieces=tuple(np.round(steps * 0.1, 10)), parts=2, threads=1), reference)


def test_single_epoch_runs_equal_one_long_run(reference: Any) -> None:
    assert_same(run(pieces=(0.1,) * 600, threads=1), reference)


def test_what_is_added_changes_no_other_draw(reference: Any) -> None:
    tree, states = run(extra=True, threads=1)
    assert tree["more/spikes"].sizes["event"] > 50
    for name in ("exc", "inh", "fast", "source", "parrot"):
        assert np.array_equal(tree[f"{name}/spikes"]["tick"].values, reference[0][f"{name}/spikes"]["tick"].values)
    assert np.array_equal(states["exc/V_m"], reference[1]["exc/V_m"])


DIGEST = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np, zlib
from test_engine_identity import run
tree, states = run(threads=1)
crc = 0
for name in ("exc", "inh", "fast", "source", "parrot"):
    for column in ("tick", "neuron"):
        crc = zlib.crc32(tree[f"{{name}}/spikes"][column].values.tobytes(), crc)
for values in states.values():
    crc = zlib.crc32(values.tobytes(), crc)
print(crc)
"""


@pytest.mark.parametrize(
    "environment",
    [{"OPENBLAS_CORETYPE": "Haswell"}, {"OPENBLAS_CORETYPE": "SkylakeX"}, {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX"}],
    ids=str,
)
def test_the_processor_changes_nothing(environment: dict[str, str], reference: Any) -> None:
    import zlib

    crc = 0
    for name in ("exc", "inh", "fast", "source", "parrot"):
        for column in ("tick", "neuron"):
            crc = zlib.crc32(reference[0][f"{name}/spikes"][column].values.tobytes(), crc)
    for values in reference[1].values():
        crc = zlib.crc32(values.tobytes(), crc)
    script = DIGEST.format(tests=os.path.dirname(__file__))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == crc


def test_new_weights_act_on_spikes_from_now_on() -> None:
    """What is under way keeps its old weight: spikes at 1 and 4 ms with delay 5 ms, changed at 2 ms."""
    net = snn.Network(seed=1, dt=0.1)
    train = net.population("train", 1, SpikeTrain(times=[1.0, 2.0, 4.0], ids=[0, 0, 0]))
    cell = net.population("cell", 2, IafPscDelta(V_th=1e9, E_L=0.0, V_reset=0.0, tau_m=1e9))
    net.connect(train >> cell, AllToAll(), Static(weight=1.0, delay=5.0), name="p")
    net.record(cell, "V_m", every=1.0, dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(2.0)
        sim["p"].set_weights(np.array([0.25, 0.5]))
        assert np.array_equal(sim["p"].weights()["weight"], [0.25, 0.5])
        sim.run(10.0)
        V_m = snn.open(sim)["cell/V_m"]["V_m"].values
    assert np.allclose(V_m[:, 0], [0, 0, 0, 0, 0, 1, 2, 2, 2.25, 2.25, 2.25, 2.25], atol=1e-6)
    assert np.allclose(V_m[:, 1], [0, 0, 0, 0, 0, 1, 2, 2, 2.5, 2.5, 2.5, 2.5], atol=1e-6)


@pytest.mark.parametrize("options", [{"threads": 2}, {"parts": 3, "threads": 1}], ids=str)
def test_setting_weights_is_the_same_everywhere(options: dict[str, int]) -> None:
    def spikes(**options: int) -> np.ndarray:
        with snn.Simulation(mixed(), **options) as sim:
            sim.run(20.0)
            for name in ("exc_to_exc", "inh_to_exc", "fast_to_exc"):
                sim[name].set_weights(sim[name].weights()["weight"] * 0.5)
            sim.run(7.3)
            sim["exc_to_exc"].set_weights(sim["exc_to_exc"].weights()["weight"] * 1.5)
            sim.run(12.7)
            return np.concatenate([sim[p].get("V_m") for p in ("exc", "inh", "fast")])

    assert np.array_equal(spikes(**options), spikes(threads=1))


def test_setting_weights_to_themselves_changes_nothing(reference: Any) -> None:
    with snn.Simulation(mixed(), threads=2) as sim:
        for _ in range(3):
            sim.run(20.0)
            for p in sim.spec.projections:
                sim[p.name].set_weights(sim[p.name].weights()["weight"])
        states = {f"{p}/{s}": sim[p].get(s) for p, s in (("exc", "V_m"), ("exc", "I_ex"), ("inh", "I_in"), ("fast", "V_m"))}
        assert_same((snn.open(sim).load(), states), reference)


def test_all_neurons_spiking_in_one_step_is_no_limit() -> None:
    """Lists and calendars grow: everybody fires in the first step, and again with every wave."""
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 3000, IafPscDelta(t_ref=0.5), V_m=0.0)
    net.connect(cell >> cell, FixedIndegree(100), Static(weight=10.0, delay=snn.Uniform(0.5, 9.0)))
    net.record(cell, "spikes")
    with snn.Simulation(net, threads=2) as sim:
        sim.run(0.1)
        assert (sim["cell"].counts() == 1).all()
        sim.run(30.0)
        assert snn.open(sim)["cell/spikes"].sizes["event"] == sim["cell"].counts().sum() > 100_000


def test_old_and_new_weights_may_not_meet_in_more_than_the_input_holds() -> None:
    """Spikes under way keep their weights: together with new ones they would exceed what the accumulator was scaled for."""
    n = 8000
    net = snn.Network(seed=5, dt=0.1)
    times, ids = np.repeat([0.1, 1.1], 2 * n), np.tile(np.arange(2 * n), 2)
    crowd = net.population("crowd", 2 * n, SpikeTrain(times=times, ids=ids))
    cell = net.population("cell", 1, IafPscExp(V_th=1e12))
    delay = np.repeat([1.0, 2.0], n)
    net.connect(crowd >> cell, Explicit(np.arange(2 * n), np.zeros(2 * n, int)), Static(weight=1.9999, delay=delay), name="p")
    net.record(cell, "ex", dtype="float64")
    early, late = np.repeat([0.0, 3.9996], n), np.repeat([3.9996, 0.0], n)
    with snn.Simulation(net) as sim:
        sim["p"].set_weights(late)
        sim["p"].set_weights(early)
        sim.run(0.5)
        with pytest.raises(ValueError, match="together with spikes that are under way"):
            sim["p"].set_weights(late)
        sim.run(2.5)
        sim["p"].set_weights(0.0)
        sim.run(2.0)
        sim["p"].set_weights(late)
        assert np.isclose(snn.open(sim)["cell/ex"]["ex"].values.sum(), 2 * early.sum(), rtol=1e-4)
