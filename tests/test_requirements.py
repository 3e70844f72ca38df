"""Promises of docs/requirements.md that belong to no single room."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
from eventsnn import models
from eventsnn.model import NeuronModel
from eventsnn.models import (
    AllToAll,
    Explicit,
    FixedIndegree,
    IafPscExp,
    OneToOne,
    Parrot,
    Poisson,
    SpikeTrain,
    Static,
)
from eventsnn.models.networks import brunel, microcircuit, small

STRONG = {"pA": 900.0, "mV": 5.0, "nS": 40.0, "uA/cm**2": 20.0, "": 0.3}
"""Weights that are seen, by the unit of a receptor."""


def script(root: Path, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What a script of a user does, in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text)]
    return subprocess.run(command, cwd=folder, env=_path(root), capture_output=True, text=True, timeout=120)


def _path(root: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(root)}


def spikes(sim: Any, path: str) -> tuple[np.ndarray, np.ndarray]:
    found = snn.open(sim)[path].to_dataset()
    return found["time"].values, found["neuron"].values


# ---- going


def test_a_wrong_line_ends_the_script_with_the_name_of_the_population(root: Path, tmp_path: Path) -> None:
    text = """
        import eventsnn as snn
        from eventsnn.models import IafPscExp
        net = snn.Network(seed=1, dt=0.1)
        net.population("granule", 3, IafPscExp(), Vm=-70.0)
        """
    done = script(root, tmp_path, text)
    assert done.returncode == 1
    assert "population 'granule': IafPscExp has no parameter or state 'Vm'; did you mean 'V_m'?" in done.stderr.splitlines()[-1]


def test_rates_of_a_network_converge_as_dt_falls() -> None:
    def rate(dt: float) -> float:
        with snn.Simulation(small(500, seed=3, dt=dt)) as sim:
            sim.run(2000.0)
            return sum(int(sim[name].counts().sum()) for name in ("exc", "inh")) / (500 * 2.0)

    coarse, middle, fine = rate(0.5), rate(0.1), rate(0.05)
    assert fine > 5.0
    assert abs(middle - fine) < 0.03 * fine
    assert abs(coarse - fine) < 0.15 * fine


# ---- populations and selections


def test_intervals_follow_the_time_constant_of_each_neuron() -> None:
    """From V_reset = E_L a constant current reaches V_th after tau ln(RI / (RI - 15 mV)), R = tau / C_m; then t_ref."""
    tau = np.linspace(8.0, 30.0, 12)
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population(
        "cells", 12, IafPscExp(C_m=250.0, E_L=-70.0, V_reset=-70.0, V_th=-55.0, t_ref=2.0, I_e=600.0), tau_m=tau
    )
    net.record(cells, "spikes")
    with snn.Simulation(net) as sim:
        sim.run(500.0)
        times, neurons = spikes(sim, "cells/spikes")
    drive = 600.0 * tau / 250.0
    steps = np.ceil(tau * np.log(drive / (drive - 15.0)) / 0.1)
    for neuron in range(12):
        intervals = np.diff(times[neurons == neuron]) / 0.1
        assert len(intervals) > 5
        np.testing.assert_allclose(intervals, steps[neuron] + 20, atol=1e-6)


def test_initial_values_are_numbers_arrays_or_draws() -> None:
    net = snn.Network(seed=5, dt=0.1)
    net.population("one", 4, IafPscExp(), V_m=-61.0, I_ex=3.0)
    net.population("each", 4, IafPscExp(), V_m=[-61.0, -62.0, -63.0, -64.0])
    net.population("drawn", 4000, IafPscExp(), V_m=snn.Normal(-60.0, 2.0))
    with snn.Simulation(net) as sim:
        assert sim["one"].get("V_m").tolist() == [-61.0] * 4
        assert sim["one"].get("I_ex").tolist() == [3.0] * 4
        assert sim["each"].get("V_m").tolist() == [-61.0, -62.0, -63.0, -64.0]
        drawn = sim["drawn"].get("V_m")
    assert abs(drawn.mean() + 60.0) < 4 * 2.0 / np.sqrt(4000)
    assert abs(drawn.std() - 2.0) < 4 * 2.0 / np.sqrt(2 * 4000)


def every_model() -> snn.Network:
    """20 neurons of every model of the library, with input of its first receptor; spikes of those that are not sources."""
    net = snn.Network(seed=2, dt=0.05)
    source = net.population("source", 20, Poisson(rate=800.0))
    net.population("train", 20, SpikeTrain(times=np.arange(1, 101) * 0.4, ids=np.arange(1, 101) % 20))
    parrot = net.population("parrot", 20, Parrot())
    net.connect(source >> parrot, OneToOne(), Static(weight=1.0, delay=0.5))
    net.connect(net["train"] >> parrot, OneToOne(), Static(weight=1.0, delay=0.3))
    made = [models.conductance_lif(), models.iaf_psc_exp_multisynapse(fast=2.0, slow=100.0), models.with_noise(IafPscExp)]
    library = [c for n in models.__all__ if isinstance(c := getattr(models, n), type) and issubclass(c, NeuronModel)]
    for model in (*library, *made):
        cells = net.population(model.__name__, 20, model())
        if model.receptors:
            receptor = model.receptors[0]
            synapse = Static(weight=STRONG[receptor.unit], delay=1.0)
            net.connect(parrot >> cells, FixedIndegree(3), synapse, receptor=receptor.name)
    return net


@pytest.mark.parametrize("chosen", [slice(3, 11), [1, 7, 8, 19], lambda ids: ids % 3 == 0], ids=["slice", "ids", "predicate"])
def test_recording_a_selection_gives_those_rows_of_the_whole(chosen: Any) -> None:
    net = every_model()
    for population in net.populations.values():
        net.record(population, "spikes")
        net.record(population[chosen], "spikes", name="some_spikes")
        for what in (*population.model.states(), *(r.name for r in population.model.receptors)):
            net.record(population, what, every=0.3, dtype="float64", name=f"all_{what}")
            net.record(population[chosen], what, every=0.3, dtype="float64", name=f"some_{what}")
    with snn.Simulation(net, parts=2, threads=1) as sim:
        for name in net.populations:
            if name not in ("source", "train"):
                sim[name].inject(np.linspace(5.0, 24.0, 20), np.arange(20))
        sim.run(25.0)
        run = snn.open(sim).load()
    members = np.flatnonzero(np.arange(20) % 3 == 0) if callable(chosen) else np.arange(20)[chosen]
    for name, population in net.populations.items():
        all_spikes, some_spikes = (run[f"{name}/{node}"].to_dataset() for node in ("spikes", "some_spikes"))
        keep = np.isin(all_spikes["neuron"].values, members)
        assert keep.any(), name
        assert some_spikes["time"].values.tolist() == all_spikes["time"].values[keep].tolist()
        assert some_spikes["neuron"].values.tolist() == all_spikes["neuron"].values[keep].tolist()
        for what in (*population.model.states(), *(r.name for r in population.model.receptors)):
            whole, part = (run[f"{name}/{kind}_{what}"].to_dataset() for kind in ("all", "some"))
            (variable,) = whole.data_vars
            np.testing.assert_array_equal(part["neuron"], members)
            np.testing.assert_array_equal(next(iter(part.data_vars.values())), whole[variable].values[:, members])
    moved = {n: run[f"{n}/all_{s}"].to_dataset() for n, p in net.populations.items() for s in list(p.model.states())[:1]}
    assert len(moved) > 25 and all(np.ptp(next(iter(found.data_vars.values())).values) > 0 for found in moved.values())


def test_every_spike_is_recorded_once_and_counted_once() -> None:
    net = every_model()
    for population in net.populations.values():
        net.record(population, "spikes")
    with snn.Simulation(net) as sim:
        sim.run(20.0)
        sim.run(30.0)
        for name in net.populations:
            times, neurons = spikes(sim, f"{name}/spikes")
            np.testing.assert_array_equal(np.bincount(neurons, minlength=20), sim[name].counts())
            order = np.lexsort((neurons, times))
            assert (order == np.arange(len(order))).all(), "sorted by (time, neuron)"


# ---- phases


def test_phases_of_a_run_append_and_changes_act_from_the_next_step() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 3, IafPscExp(I_e=600.0))
    net.record(cells, "spikes")
    net.record(cells, "V_m", every=0.1, dtype="float64")
    with snn.Simulation(net) as sim:
        sim.run(50.0)
        sim["cells"].set("I_e", 0.0)
        sim.run(100.0)
        sim["cells"].set("I_e", 600.0)
        sim.run(50.0)
        times, _ = spikes(sim, "cells/spikes")
        v = snn.open(sim)["cells/V_m"]["V_m"].sel(neuron=0)
        clock = v["time"].values
    assert clock.tolist() == [round(0.1 * k, 10) for k in range(1, 2001)]
    assert {phase: bool(((times > low) & (times <= low + 50.0)).any()) for phase, low in (("a", 0), ("b", 100), ("c", 150))} == {
        "a": True,
        "b": False,
        "c": True,
    }
    quiet = v.sel(time=slice(60.0, 150.0)).values + 70.0  # without current: exp(-t / 10 ms) towards E_L
    np.testing.assert_allclose(quiet[1:], quiet[:-1] * np.exp(-0.01), rtol=0, atol=1e-12)
    first = v.sel(time=[150.0, 150.1]).values + 70.0
    exact = first[0] * np.exp(-0.01) + 600.0 * 10.0 / 250.0 * -np.expm1(-0.01)
    assert first[1] == pytest.approx(exact, abs=1e-12)


# ---- connections and synapses


class ThreeReceptors(snn.NeuronModel):
    """Currents that fall with 2, 100 and 10 ms; the membrane is of no interest."""

    tau_m = snn.Param(10.0, "ms")
    V_m = snn.State(0.0, "mV")
    fast = snn.State(0.0, "mV/ms")
    slow = snn.State(0.0, "mV/ms")
    minus = snn.State(0.0, "mV/ms")
    equations = """
        dV_m/dt = -V_m/tau_m + fast + slow - minus
        dfast/dt = -fast/(2*ms)
        dslow/dt = -slow/(100*ms)
        dminus/dt = -minus/(10*ms)
    """
    receptors = (
        snn.Receptor("ampa", "mV/ms", "fast += w"),
        snn.Receptor("nmda", "mV/ms", "slow += w"),
        snn.Receptor("gaba", "mV/ms", "minus += w"),
    )
    threshold = "V_m >= 1e9"
    reset = "V_m = 0"


def test_named_receptors_each_get_their_own_input() -> None:
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 1, SpikeTrain(times=[1.0], ids=[0]))
    cells = net.population("cells", 1, ThreeReceptors())
    for receptor, weight in (("ampa", 1.0), ("nmda", 2.0), ("gaba", 4.0)):
        net.connect(source >> cells, AllToAll(), Static(weight=weight, delay=1.0), receptor=receptor)
    with snn.Simulation(net) as sim:
        sim.run(2.0)
        assert [sim["cells"].get(name).item() for name in ("fast", "slow", "minus")] == [1.0, 2.0, 4.0]
        sim.run(5.0)
        found = [sim["cells"].get(name).item() for name in ("fast", "slow", "minus")]
    np.testing.assert_allclose(found, [np.exp(-2.5), 2.0 * np.exp(-0.05), 4.0 * np.exp(-0.5)], rtol=1e-12)


def test_a_sparse_matrix_of_pre_by_post_is_a_list_of_edges() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random_array((30, 20), density=0.2, rng=np.random.default_rng(1), format="coo")
    net = snn.Network(seed=1, dt=0.1)
    pre, post = net.population("pre", 30, Poisson(rate=1.0)), net.population("post", 20, IafPscExp())
    pairs = matrix.coords
    net.connect(pre >> post, Explicit(*pairs), Static(weight=matrix.data, delay=1.0))
    with snn.Simulation(net) as sim:
        found = sim["pre_to_post"].weights()
    again = sparse.coo_array((found["weight"], (found["pre"], found["post"])), shape=(30, 20))
    assert abs(again - matrix).max() < 1e-8


def test_synapses_take_few_bytes_and_silent_ones_no_time() -> None:
    def cost(degree: int) -> tuple[float, float]:
        """Bytes per synapse, and the least of five times (s) of 20 ms without a spike."""
        net = snn.Network(seed=1, dt=0.1)
        cells = net.population("cells", 4000, IafPscExp())
        weight = snn.Normal(20.0, 2.0).truncate(0.0, None)
        net.connect(cells >> cells, FixedIndegree(degree), Static(weight=weight, delay=snn.Uniform(1.0, 2.0)))
        with snn.Simulation(net, threads=1) as sim:
            sim.run(20.0)
            seconds = []
            for _ in range(5):
                began = time.perf_counter()
                sim.run(20.0)
                seconds.append(time.perf_counter() - began)
            (part,) = sim.report()["parts"]  # type: ignore[misc]
            assert sim["cells"].counts().sum() == 0
            return part["synapse_bytes"] / part["synapses"], min(seconds)

    few, many = cost(5), cost(500)  # 20 thousand and 2 million synapses
    assert many[0] < 8.0
    assert many[1] < 3.0 * few[1] + 2e-3  # in proportion to synapses it would be a hundred times


def test_inhibition_balances_eight_groups_of_inputs() -> None:
    """Vogels et al. 2011, fig. 1: 8 groups of 100 excitatory and 25 inhibitory inputs, each group with a rate of its own that
    wavers over 50 ms; their excitation is tuned to one group. Inhibition becomes tuned alike, and the cell fires at rho."""
    rho, tau, every, dt = 5.0, 20.0, 10.0, 0.2
    rng = np.random.default_rng(1)
    waver = np.zeros((7001, 8))
    for k in range(1, len(waver)):
        waver[k] = waver[k - 1] * np.exp(-every / 50.0) + rng.normal(size=8) * np.sqrt(-np.expm1(-2.0 * every / 50.0))
    rates = 2.0 + 25.0 * np.maximum(waver, 0.0)
    excitation = 0.4 * (0.3 + 1.1 / (1.0 + (np.arange(8) - 4.0) ** 4))  # nS
    groups = {"exc": np.repeat(np.arange(8), 100), "inh": np.repeat(np.arange(8), 25)}
    net = snn.Network(seed=3, dt=dt)
    exc, inh = (
        net.population(n, len(group), Poisson(rate=models.Rates(np.arange(len(rates)) * every, rates[:, group])))
        for n, group in groups.items()
    )
    membrane = {"C_m": 200.0, "g_L": 10.0, "E_L": -60.0, "V_th": -50.0, "V_reset": -60.0, "t_ref": 5.0, "E_in": -80.0}
    cell = net.population("cell", 1, models.IafCondExp(**membrane, tau_syn_ex=5.0, tau_syn_in=10.0))
    for k, weight in enumerate(excitation):
        net.connect(exc[groups["exc"] == k] >> cell, AllToAll(), Static(weight=weight, delay=dt))
    rule = models.VogelsSprekeler(weight=0.01, delay=dt, Wmax=50.0, tau=tau, alpha=2.0 * rho * tau / 1000.0, eta=0.05)
    net.connect(inh >> cell, AllToAll(), rule, receptor="in", name="learned")
    with snn.Simulation(net) as sim:
        sim.run(500.0)
        before = sim["cell"].counts()[0] / 0.5
        sim.run(29_500.0)
        done = sim["cell"].counts()[0]
        sim.run(40_000.0)
        rate = (sim["cell"].counts()[0] - done) / 40.0
        learned = sim["learned"].weights()
    inhibition = np.bincount(groups["inh"][learned["pre"]], learned["weight"], minlength=8) / 25
    assert before > 4.0 * rho
    assert rate == pytest.approx(rho, rel=0.1)
    assert np.corrcoef(inhibition, excitation)[0, 1] > 0.9


# ---- memory


@pytest.mark.parametrize(
    ("network", "threads"),
    [(lambda: microcircuit(0.1), 1), (lambda: microcircuit(0.3), 2), (brunel, 1)],
    ids=["microcircuit 0.1", "microcircuit 0.3", "brunel"],
)
def test_the_plan_knows_the_memory_of_a_built_network(network: Any, threads: int) -> None:
    net = network()
    with snn.Simulation(small(1000)):
        pass  # what is loaded and compiled once belongs to no network
    sim = snn.Simulation(net, threads=threads)
    gc.collect()
    tracemalloc.start(1)
    try:
        with sim:
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert sim.plan.bytes == pytest.approx(held, rel=0.1)


def test_memory_does_not_grow_with_the_length_of_a_run(root: Path, tmp_path: Path) -> None:
    text = """
        import resource
        import eventsnn as snn
        from eventsnn.models import IafPscExp, PoissonInput
        net = snn.Network(seed=1, dt=0.1)
        cells = net.population("cells", 400, IafPscExp())
        net.stimulate(cells, PoissonInput(rate=9000.0, weight=40.0))
        net.record(cells, "spikes")
        net.record(cells, "V_m", dtype="float64")
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        with snn.Simulation(net, store="run.zarr") as sim:
            sim.run(500.0)
            short = peak()
            sim.run(5000.0)
            print(short, peak(), sim["cells"].counts().sum())
        """
    done = script(root, tmp_path, text)
    assert done.returncode == 0, done.stderr
    short, long, fired = map(int, done.stdout.split())
    assert fired > 10_000
    assert snn.open(tmp_path / "run.zarr")["cells/V_m"]["V_m"].shape == (55_000, 400)  # 176 MB
    assert long - short < 50e6
