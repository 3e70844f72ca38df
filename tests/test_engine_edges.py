"""The edges of what a network may be: smallest, largest, empty, latest, all at once; each against what it must give exactly."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.models import (
    AllToAll,
    Explicit,
    FixedIndegree,
    IafPscDelta,
    IafPscExp,
    OneToOne,
    Parrot,
    Poisson,
    PoissonInput,
    SpikeTrain,
    Static,
)

CALM = IafPscDelta(V_th=1e9, tau_m=1e12, E_L=0.0, V_reset=0.0)
"""Adds up what arrives."""


def train(net: snn.Network, times: Any, ids: Any, n: int = 1) -> Any:
    return net.population("train", n, SpikeTrain(times=times, ids=ids))


# ---- sums that must not overflow


def arriving(net: snn.Network, source: Any, ms: float = 0.2, **options: Any) -> tuple[np.ndarray, Any]:
    """The input of the population "cell" at every step, and the receptor's scale."""
    net.record(net["cell"], "ex", dtype="float64")
    with snn.Simulation(net, **options) as sim:
        sim.run(ms)
        total = sum(sim[p.name].weights()["weight"].sum() for p in sim.spec.projections if p.post == source)
        return snn.open(sim)["cell/ex"]["ex"].values, (total, sim.spec.populations[source].receptors[0])


def everyone(n: int) -> tuple[snn.Network, Any, Any]:
    """n neurons that all fire in the first step, and one cell that never does."""
    net = snn.Network(seed=5, dt=0.1)
    crowd = net.population("crowd", n, IafPscExp(), V_m=0.0)
    return net, crowd, net.population("cell", 1, IafPscExp(V_th=1e12))


@pytest.mark.parametrize(
    ("n", "weight", "wide"),
    [
        (16_000, 1.9999, False),
        (17_000, 1.9999, True),
        (60_000, snn.Uniform(0.0, 100.0), False),
        (90_000, snn.Uniform(99.0, 100.0), True),
        (30_000, snn.LogNormal(0.0, 2.0), False),
    ],
    ids=str,
)
def test_all_at_once_with_the_largest_weights_is_an_exact_sum(n: int, weight: Any, wide: bool) -> None:
    """On both sides of where an int32 accumulator would no longer do."""
    net, crowd, cell = everyone(n)
    net.connect(crowd >> cell, AllToAll(), Static(weight=weight, delay=0.1))
    found, (total, receptor) = arriving(net, 1)
    assert found[:, 0].tolist() == [0.0, total]
    assert receptor.wide == wide


def test_several_projections_stimuli_and_multiplicities_share_one_accumulator() -> None:
    """255 spikes of a parrot at a time, given and constant weights, and a Poisson drive that cannot make it overflow."""
    net, crowd, cell = everyone(500)
    source = train(net, [0.1] * 255, [0] * 255)
    parrot = net.population("parrot", 100, Parrot())
    net.connect(source >> parrot, AllToAll(), Static(weight=1.0, delay=0.1))
    net.connect(parrot >> cell, AllToAll(), Static(weight=3000.0, delay=0.1), name="loud")
    net.connect(crowd >> cell, AllToAll(), Static(weight=snn.Uniform(0.0, 0.5), delay=0.3), name="soft")
    net.connect(
        crowd >> cell, Explicit(np.arange(500), np.zeros(500, int)), Static(weight=np.arange(500.0), delay=0.3), name="given"
    )
    found, _ = arriving(net, 1, ms=0.4)
    with snn.Simulation(net) as sim:
        soft, given = sim["soft"].weights()["weight"].sum(), sim["given"].weights()["weight"].sum()
    np.testing.assert_allclose(found[:, 0], [0.0, 0.0, 255 * 100 * 3000.0, soft + given][: len(found)], rtol=1e-9)


def test_what_is_injected_cannot_overflow_the_input_of_targets() -> None:
    """A neuron that is told to spike again and again in one step, and spikes by itself, emits what its model can: one spike."""
    net, crowd, cell = everyone(16_000)
    net.connect(crowd >> cell, AllToAll(), Static(weight=1.9999, delay=0.1))
    net.record(cell, "ex", dtype="float64")
    with snn.Simulation(net) as sim:
        for _ in range(3):
            sim["crowd"].inject(0.1, np.arange(16_000))
        sim.run(0.2)
        total = sim["crowd_to_cell"].weights()["weight"].sum()
        assert snn.open(sim)["cell/ex"]["ex"].values[:, 0].tolist() == [0.0, total]
        assert (sim["crowd"].counts() == 1).all()


def test_a_rate_that_rises_during_a_run_cannot_overflow_the_input_of_targets() -> None:
    """It may rise from 0 to 0.3 spikes per step; beyond, the description has to say so."""
    net = snn.Network(seed=1, dt=0.1)
    noise = net.population("noise", 2000, Poisson(rate=0.0))
    cell = net.population("cell", 1, IafPscExp(V_th=1e12))
    net.connect(noise >> cell, AllToAll(), Static(weight=1.9999, delay=0.1))
    net.record(cell, "ex", dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(10.0)
        assert sim["noise"].counts().sum() == 0
        sim["noise"].set("rate", 3000.0)
        sim.run(1000.0)
        assert abs(sim["noise"].counts().sum() / 6e6 - 1.0) < 4 / np.sqrt(6e6)
        assert snn.open(sim)["cell/ex"]["ex"].values.min() >= 0.0
        sim["noise"].set("rate", np.where(np.arange(2000) < 1000, 0.0, 1000.0))
        before = sim["noise"].counts()
        sim.run(100.0)
        assert (sim["noise"].counts() - before)[:1000].sum() == 0
        with pytest.raises(ValueError, match="can give .* spikes in one step, and the input of the targets is scaled for 8"):
            sim["noise"].set("rate", 1e5)


def test_the_largest_poisson_input_is_exact_in_mean_and_a_larger_one_is_refused() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 5, IafPscExp(V_th=1e12))
    net.stimulate(cell, PoissonInput(rate=1e8, weight=1.0))
    net.record(cell, "ex", dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(2.0)
        found = snn.open(sim)["cell/ex"]["ex"].values
    assert abs(found.mean() - 1e4) < 5 * 100.0 / np.sqrt(found.size)
    assert 0.5 < found.var() / 1e4 < 2.0
    with pytest.raises(ValueError, match="at most 10000 are allowed"):
        net.stimulate(cell, PoissonInput(rate=1.1e8, weight=1.0))


# ---- sizes


def test_a_population_beyond_one_block_and_a_part_of_one_thread() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 65_537, CALM)
    net.connect(train(net, [0.1], [0]) >> cell, AllToAll(), Static(weight=1.0, delay=0.1))
    with snn.Simulation(net, threads=1) as sim:
        sim.run(0.2)
        np.testing.assert_allclose(sim["cell"].get("V_m"), 1.0, atol=1e-9)


def test_no_block_is_larger_than_its_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd sizes are cut unevenly; 65,536 neurons is all that 16 bits can tell apart (here: 8)."""
    monkeypatch.setattr("eventsnn.backends.cpu.threads.LARGEST", 8)
    net = snn.Network(seed=1, dt=0.1)
    for k, n in enumerate((1, 7, 8, 1, 1, 5, 9)):
        net.population(f"p{k}", n, CALM)
    with snn.Simulation(net, threads=1, backend="cpu") as sim:
        blocks = sim._parts._engines[0].part._engine.blocks  # type: ignore[attr-defined]
        assert sum(b.neurons.n for b in blocks) == 32
        assert max(b.neurons.n for b in blocks) <= 8


def test_samples_of_a_whole_epoch_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that hear from each other every 5 ms keep 50 samples between two looks, however wide they are."""
    monkeypatch.setattr("eventsnn.backends.cpu.block.SAMPLE_BYTES", 64)
    net = snn.Network(seed=1, dt=0.1)
    a, b = (net.population(name, 20, IafPscExp(I_e=500.0)) for name in "ab")
    net.connect(a >> b, OneToOne(), Static(weight=1.0, delay=5.0))
    net.connect(b >> a, OneToOne(), Static(weight=1.0, delay=5.0))
    net.record(a, "V_m", dtype="float64")
    with snn.Simulation(net, parts=2, threads=1) as sim:
        sim.run(12.3)
        assert snn.open(sim)["a/V_m"].sizes == {"time": 123, "neuron": 20}


def test_one_neuron_alone_and_one_of_many() -> None:
    net = snn.Network(seed=1, dt=0.1)
    one = net.population("one", 1, IafPscDelta(I_e=1000.0))
    many = net.population("many", 30, CALM)
    net.connect(one[0] >> many[17], OneToOne(), Static(weight=1.0, delay=0.1))
    net.record(many[17], "V_m", every=0.1)
    net.record(one[-1], "spikes")
    with snn.Simulation(net, parts=2) as sim:
        sim.run(100.0)
        sim.run(0.1)
        fired = sim["one"].counts()[0]
        assert fired > 5
        V_m = sim["many"].get("V_m")
        assert V_m[17] == pytest.approx(fired, abs=1e-6) or V_m[17] == pytest.approx(fired - 1, abs=1e-6)
        assert np.count_nonzero(V_m) == 1
        assert snn.open(sim)["one/spikes"].sizes["event"] == fired
        assert sim["many"][17].get("V_m").shape == (1,)


def test_nothing_happens_where_nothing_is_sent() -> None:
    """Empty trains, rates and weights of 0, empty and zero-degree projections, silent populations."""
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 3, IafPscExp())
    quiet = [train(net, [], [], n=2), net.population("noise", 2, Poisson(rate=0.0)), net.population("mute", 2, IafPscExp())]
    for k, pre in enumerate(quiet):
        net.connect(pre >> cell, AllToAll(), Static(weight=100.0, delay=0.1))
        net.connect(pre >> cell, FixedIndegree(0), Static(weight=snn.Normal(0, 1) * snn.Normal(0, 1), delay=0.1))
        net.connect(pre >> cell, Explicit([], []), Static(weight=np.array([]), delay=np.array([])), name=f"none{k}")
        net.connect(cell >> quiet[2], AllToAll(), Static(weight=0.0, delay=0.1))
    net.stimulate(cell, PoissonInput(rate=0.0, weight=100.0))
    net.stimulate(cell, PoissonInput(rate=1000.0, weight=0.0))
    net.record(cell, "spikes")
    net.record(cell, "ex")
    for parts in (1, 3):
        with snn.Simulation(net, parts=parts) as sim:
            sim.run(20.0)
            assert (sim["cell"].get("V_m") == -70.0).all()
            assert not snn.open(sim)["cell/ex"]["ex"].values.any()
            assert snn.open(sim)["cell/spikes"].sizes["event"] == 0
            assert sim["none1"].weights()["weight"].shape == (0,)
            sim["none1"].set_weights(2.0)


# ---- times


@pytest.mark.parametrize("delay", [0.1, 0.2, 409.6, 6553.5, 6553.6, 6553.7])
def test_a_spike_arrives_after_its_delay_and_not_before(delay: float) -> None:
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 1, CALM)
    net.connect(train(net, [0.1], [0]) >> cell, AllToAll(), Static(weight=1.0, delay=delay))
    with snn.Simulation(net) as sim:
        sim.run(delay)
        assert sim["cell"].get("V_m")[0] == 0.0
        sim.run(0.1)
        assert sim["cell"].get("V_m")[0] == pytest.approx(1.0, abs=1e-9)


def test_ten_thousand_runs_of_a_step_are_one_run() -> None:
    def network() -> snn.Network:
        net = snn.Network(seed=2, dt=0.1)
        cell = net.population("cell", 5, IafPscExp(I_e=400.0))
        net.stimulate(cell, PoissonInput(rate=2000.0, weight=50.0))
        net.connect(cell >> cell, AllToAll(), Static(weight=20.0, delay=0.4))
        return net

    with snn.Simulation(network()) as many, snn.Simulation(network()) as one:
        for _ in range(5000):
            many.run(0.1)
        one.run(500.0)
        for _ in range(5000):  # two at once, one after the other
            many.run(np.float64(0.1))
            many.run(0)
        one.run(500.0)
        assert many.time == one.time == 1000.0
        assert np.array_equal(many["cell"].get("V_m"), one["cell"].get("V_m"))
        assert np.array_equal(many["cell"].counts(), one["cell"].counts())
        assert one["cell"].counts().min() > 10


def test_injected_spikes_are_counted_where_they_can_be_several() -> None:
    """A parrot emits all of them; the next step, a far one, and one beyond the end of the run."""
    net = snn.Network(seed=1, dt=0.1)
    parrot, cell = net.population("parrot", 2, Parrot()), net.population("cell", 2, CALM)
    net.connect(parrot >> cell, OneToOne(), Static(weight=1.0, delay=0.1))
    net.record(parrot, "spikes")
    with snn.Simulation(net) as sim:
        sim["parrot"].inject([], [])
        sim["parrot"].inject([0.1, 0.1, 0.1, 50.0, 1e6], [0, 0, 1, 1, 0])
        sim.run(10.0)
        sim["parrot"].inject([10.1, 50.0, 50.0], [1, 1, 1])
        sim["parrot"][1].inject(20.0, 0)
        sim.run(50.0)
        spikes = snn.open(sim)["parrot/spikes"].to_dataset()
        told = list(zip(spikes["time"].values.tolist(), spikes["neuron"].values.tolist(), strict=True))
        assert told == [(0.1, 0), (0.1, 0), (0.1, 1), (10.1, 1), (20.0, 1), *[(50.0, 1)] * 3]
        np.testing.assert_allclose(sim["cell"].get("V_m"), [2.0, 6.0], atol=1e-9)


@pytest.mark.parametrize("dt", [0.025, 1.0, 1 / 3, 1e-3])
def test_any_step_is_a_grid(dt: float) -> None:
    """A constant current far above threshold: the interval is the refractory time and one step."""
    net = snn.Network(seed=1, dt=dt)
    cell = net.population("cell", 2, IafPscDelta(I_e=1e9, t_ref=4 * dt))
    net.record(cell, "spikes")
    with snn.Simulation(net) as sim:
        sim.run(50 * dt)
        spikes = snn.open(sim)["cell/spikes"].to_dataset()
    assert spikes["tick"].values[::2].tolist() == list(range(1, 51, 5))
    np.testing.assert_allclose(spikes["time"].values, spikes["tick"].values * dt, rtol=0, atol=6e-11)


def test_a_refractory_time_may_be_longer_than_any_run() -> None:
    for t_ref in (1e9, np.array([1e9, 1e12])):
        net = snn.Network(seed=1, dt=0.1)
        net.population("cell", 2, IafPscExp(t_ref=t_ref, I_e=1e4))
        with snn.Simulation(net) as sim:
            sim.run(50.0)
            assert sim["cell"].counts().tolist() == [1, 1]


# ---- values


def test_an_equal_time_constant_is_no_singularity() -> None:
    """V = E_L + I t exp(-t/tau)/C where tau_syn = tau_m."""
    for tau in (10.0, 10.0 * (1 + 1e-13), 10.0 * (1 - 1e-9)):
        net = snn.Network(seed=1, dt=0.1)
        net.population("cell", 1, IafPscExp(tau_syn_ex=tau, V_th=1e9), I_ex=100.0)
        with snn.Simulation(net) as sim:
            sim.run(10.0)
            assert sim["cell"].get("V_m")[0] == pytest.approx(-70.0 + 100.0 / 250.0 * 10.0 * np.exp(-1.0), abs=1e-8)


def test_weights_into_conductances_are_told_and_set_with_their_sign() -> None:
    class Both(IafPscExp):
        receptors = (snn.Receptor("ex", "pA", "I_ex += w", magnitude=True), snn.Receptor("in", "pA", "I_in -= w", magnitude=True))

    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 2, Both(V_th=1e9))
    net.connect(train(net, [0.1], [0]) >> cell, AllToAll(), Static(weight=-8.0, delay=0.1), name="p")
    with snn.Simulation(net) as sim:
        assert sim["p"].weights()["weight"].tolist() == [-8.0, -8.0]
        sim["p"].set_weights(lambda e: e["weight"] * [0.5, 1.0])
        assert sim["p"].weights()["weight"].tolist() == [-4.0, -8.0]
        sim.run(0.2)
        assert sim["cell"].get("I_in").tolist() == [-4.0, -8.0]


def test_parrots_only_tell_positive_weights() -> None:
    net = snn.Network(seed=1, dt=0.1)
    parrot = net.population("parrot", 1, Parrot())
    net.connect(train(net, [1.0, 1.0, 1.0], [0, 1, 2], n=3) >> parrot, AllToAll(), Static(weight=30.0, delay=0.1), name="p")
    with snn.Simulation(net) as sim:
        sim["p"].set_weights([2.5, -1.0, 0.5])
        sim.run(2.0)
        assert sim["parrot"].counts().tolist() == [2]


def test_the_first_and_the_last_seed() -> None:
    found = []
    for seed in (0, 1, 2**64 - 1, np.uint64(2**64 - 1)):
        net = snn.Network(seed=seed, dt=0.1)
        net.population("cell", 50, IafPscExp(), V_m=snn.Uniform(-70.0, -60.0))
        with snn.Simulation(net, threads=np.int64(1), parts=np.int32(2)) as sim:
            found.append(sim["cell"].get("V_m").tolist())
    assert found[2] == found[3]
    assert len({tuple(f) for f in found}) == 3


def test_a_name_may_be_any_text(tmp_path: Path) -> None:
    name, store = "Körnerzellen 顆粒 🧠 %20 [x]", tmp_path / "é ü.zarr"
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population(name, 2, IafPscExp(I_e=1000.0))
    net.connect(cell >> cell, AllToAll(), Static(weight=1.0, delay=1.0))
    net.record(cell, "spikes")
    net.record(cell, "V_m", name="µV")
    with snn.Simulation(net, store=store) as sim:
        sim.run(50.0)
        fired = sim[name].counts().sum()
        assert len(sim[f"{name}_to_{name}"].weights()["pre"]) == 4
    run = snn.open(store)
    assert run[f"{name}/spikes"].sizes["event"] == fired > 0
    assert run[f"{name}/µV"]["V_m"].shape == (500, 2)


# ---- processes and threads


def drive(store: str | None = None) -> int:
    net = snn.Network(seed=1, dt=0.1)
    cell = net.population("cell", 20, IafPscExp(I_e=500.0))
    net.record(cell, "spikes")
    with snn.Simulation(net, store=store, parts=2) as sim:
        sim.run(100.0)
        return int(sim["cell"].counts().sum())


def test_a_simulation_may_run_in_any_thread() -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(drive())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [drive()] * 3


def test_a_forked_process_may_simulate(tmp_path: Path) -> None:
    expected = drive()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's own, of threads and fork
        child = os.fork()
    if child == 0:
        os._exit(0 if drive(str(tmp_path / "run.zarr")) == expected else 1)
    until = time.monotonic() + 60.0
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.05)
    if done[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done[0] == child and os.waitstatus_to_exitcode(done[1]) == 0
    assert snn.open(tmp_path / "run.zarr")["cell/spikes"].sizes["event"] == expected


def test_a_script_needs_no_guard_in_process(tmp_path: Path) -> None:
    """Nothing is spawned, so nothing imports the script again; and the process ends though the simulation was never closed."""
    script = tmp_path / "script.py"
    script.write_text(
        "import eventsnn as snn\n"
        "from eventsnn.models import IafPscExp\n"
        "net = snn.Network(seed=1, dt=0.1)\n"
        "net.record(net.population('cell', 600, IafPscExp(I_e=500.0)), 'spikes')\n"
        "sim = snn.Simulation(net).__enter__()\n"
        "sim.run(50.0)\n"
        "print(sim['cell'].counts().sum())\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0
