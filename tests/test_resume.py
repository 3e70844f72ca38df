"""A run that is cut into pieces, stored and taken up again, on any threads and parts, has the bits of one that was left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.distance import OfDistance
from eventsnn.errors import ParameterError
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    IafPscAlpha,
    IafPscExp,
    OneToOne,
    Parrot,
    Poisson,
    PoissonInput,
    SpikeTrain,
    Static,
    Stdp,
    StepCurrent,
)
from eventsnn.positions import Grid
from eventsnn.storage.errors import StoreMissing


def mixed(seed: int = 3) -> snn.Network:
    """Long and short delays, all kinds of sources and stimuli, refractory neurons, three kinds of recordings."""
    net = snn.Network(seed=seed, dt=0.1)
    exc = net.population("exc", 500, IafPscExp(tau_m=10.0, t_ref=2.0), V_m=snn.Uniform(-70.0, -55.0))
    inh = net.population("inh", 150, IafPscAlpha(), V_m=snn.Uniform(-70.0, -55.0))
    noise = net.population("noise", 40, Poisson(rate=60.0))
    train = net.population("train", 5, SpikeTrain(times=np.arange(1.0, 200.0, 3.0), ids=np.arange(67) % 5))
    parrot = net.population("parrot", 5, Parrot())
    for post in (exc, inh):
        net.stimulate(post, PoissonInput(rate=9000.0, weight=20.0))
        net.connect(exc >> post, FixedIndegree(40), Static(weight=30.0, delay=snn.Uniform(0.5, 18.0)))
        net.connect(inh >> post, FixedOutdegree(30), Static(weight=snn.Normal(-120.0, 10.0).clip(None, 0.0), delay=1.5))
        net.connect(noise >> post, FixedIndegree(3), Static(weight=50.0, delay=2.0))
    net.connect(train >> parrot, OneToOne(), Static(weight=1.0, delay=7.0))
    net.connect(parrot >> exc, FixedIndegree(1), Static(weight=300.0, delay=3.0))
    net.stimulate(exc[:100], StepCurrent(times=[20.0, 60.0], values=[100.0, 0.0]))
    for population in (exc, inh, noise, parrot):
        net.record(population, "spikes")
    net.record(exc[10:30], "V_m", every=0.5, dtype="float64")
    net.record(inh, "ex", every=3.0)
    return net


def contents(store: object) -> dict[str, np.ndarray[Any, Any]]:
    """Every recorded array."""
    out = {}
    for node in snn.open(store).subtree:
        for name, values in {**node.to_dataset().data_vars, **node.to_dataset().coords}.items():
            out[f"{node.path}/{name}"] = np.asarray(values.values)
    return out


def assert_equal(a: object, b: object) -> None:
    one, other = contents(a), contents(b)
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.dtype == other[name].dtype, name
        np.testing.assert_array_equal(values.view(np.uint8), other[name].view(np.uint8), err_msg=name)


def change(sim: snn.Simulation) -> None:
    """From outside, at 50 ms."""
    sim["exc"][:50].set("V_m", -68.0)
    sim["exc"].set("I_e", snn.Uniform(0.0, 50.0))
    sim["noise"].set("rate", 90.0)
    sim["inh"].inject([51.0, 70.0, 95.0], [3, 4, 3])
    sim["exc_to_inh"].set_weights(lambda w: np.where(w["pre"] % 2 == 0, 25.0, w["weight"]))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "run.zarr"
    with snn.Simulation(mixed(), store=store, threads=1) as sim:
        sim.run(50.0)
        change(sim)
        sim.run(70.0)
    return store


SHAPES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"threads": 1}, {"threads": 1}),
    ({"threads": 2}, {"parts": 3}),
    ({"parts": 3}, {"threads": 2}),
    ({"parts": 2}, {"parts": 4}),
]


@pytest.mark.parametrize(("before", "after"), SHAPES)
@pytest.mark.parametrize("at", [50.1, 64.7, 68.0])
def test_any_layout_goes_on_with_the_same_bits(
    tmp_path: Path, undisturbed: Path, before: dict[str, Any], after: dict[str, Any], at: float
) -> None:
    store = tmp_path / "run.zarr"
    with snn.Simulation(mixed(), store=store, **before) as sim:
        sim.run(50.0)
        change(sim)
        sim.run(round(at - 50.0, 10))
        sim.checkpoint()
        sim.run(20.0)  # is recorded, and taken back
    with snn.resume(store, **after) as sim:
        assert sim.time == at
        sim.run(round(120.0 - at, 10))
        assert sim["exc"].counts().sum() == len(contents(store)["/exc/spikes/tick"])
    assert_equal(store, undisturbed)


def test_making_a_checkpoint_changes_nothing(tmp_path: Path, undisturbed: Path) -> None:
    store = tmp_path / "run.zarr"
    with snn.Simulation(mixed(), store=store, threads=2, checkpoint_every=7.3) as sim:
        sim.run(50.0)
        change(sim)
        for _ in range(7):
            sim.checkpoint()
            sim.run(10.0)
    assert_equal(store, undisturbed)
    assert len(list((store / "checkpoints").iterdir())) == 2


def test_a_fresh_process_that_knows_only_the_store(tmp_path: Path, undisturbed: Path) -> None:
    store = tmp_path / "run.zarr"
    with snn.Simulation(mixed(), store=store, checkpoint_every=30.0, parts=2) as sim:
        sim.run(50.0)
        change(sim)
        sim.run(70.0)
    script = f"""
import eventsnn as snn
with snn.resume({str(store)!r}, threads=1) as sim:
    assert sim.time == 120.0 and sim.goal == 120.0, (sim.time, sim.goal)
    sim.run(30.0)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    longer = tmp_path / "longer.zarr"
    with snn.Simulation(mixed(), store=longer) as sim:
        sim.run(50.0)
        change(sim)
        sim.run(100.0)
    assert_equal(store, longer)


def test_a_killed_process_resumes_where_its_last_checkpoint_was(tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    script = f"""
import os, signal, threading, time
import eventsnn as snn
from tests.test_resume import mixed
def kill(ms, spikes):
    if ms > 150:
        os.kill(os.getpid(), signal.SIGKILL)
with snn.Simulation(mixed(), store={str(store)!r}, checkpoint_every=20.0, threads=2, progress=kill) as sim:
    sim.run(100000.0)
"""
    killed = subprocess.run([sys.executable, "-c", script], timeout=120, cwd=Path(__file__).parent.parent)
    assert killed.returncode == -9
    with snn.resume(store) as sim:
        assert sim.time >= 140.0 and sim.time % 20.0 == 0.0 and sim.goal == 100000.0
        sim.run(300.0)
        end = sim.time
    whole = tmp_path / "whole.zarr"
    with snn.Simulation(mixed(), store=whole) as sim:
        sim.run(end)
    assert_equal(store, whole)
    assert not list(store.rglob("*.tmp")) and not list(store.rglob("*.partial"))


def test_without_a_checkpoint_a_run_begins_again(tmp_path: Path) -> None:
    with snn.Simulation(mixed(), store=tmp_path / "a.zarr") as sim:
        sim.run(30.0)
    with snn.resume(tmp_path / "a.zarr") as sim:
        assert sim.time == 0.0 and sim.goal == 30.0
        sim.run(sim.goal)
    with snn.Simulation(mixed(), store=tmp_path / "b.zarr") as sim:
        sim.run(30.0)
    assert_equal(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_another_network_is_refused_with_the_difference(tmp_path: Path) -> None:
    with snn.Simulation(mixed(), store=tmp_path / "a.zarr") as sim:
        sim.run(1.0)
        sim.checkpoint()
    with pytest.raises(ParameterError, match=r"seed.*3.*4"):
        snn.resume(tmp_path / "a.zarr", mixed(seed=4))


def by_functions(rule: Any, synapse: type = Static, weight: Any = 1.0, delay: Any = 1.0, places: Any = None) -> snn.Network:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 4, IafPscExp(), positions=places)
    net.connect(cells >> cells, rule, synapse(weight=weight, delay=delay), name="c")
    return net


def line(slope: float, constant: float = 1.0) -> Any:
    """Of sources or distances; with one name, whatever it gives."""
    return lambda pre: constant + slope * pre


def by_distance(slope: float) -> Any:
    return lambda distance: 1.0 + slope * distance


FUNCTIONS: dict[str, tuple[Any, str]] = {
    "all": (lambda x: by_functions(AllToAll(), weight=line(x)), "weight is"),
    "delays": (lambda x: by_functions(AllToAll(), delay=line(x)), r"delay \(steps\) is"),
    "pairs": (
        lambda x: by_functions(OneToOne(), weight=line(x)),
        r"weight is \[1.0, 2.0, 3.0, 4.0\] in the store and \[1.0, 3.0",
    ),
    "edges": (lambda x: by_functions(Explicit([1, 2], [0, 1]), weight=line(x)), r"weight is \[2.0, 3.0\] .* \[3.0, 5.0\]"),
    "plastic": (lambda x: by_functions(Explicit([1, 2], [0, 1]), Stdp, weight=line(x)), "weight is"),
    "drawn": (lambda x: by_functions(FixedIndegree(2), weight=line(x)), "weight is"),
    "apart": (lambda x: by_functions(FixedIndegree(2), weight=by_distance(x), places=Grid((2, 2))), "weight.table 0"),
    "sum": (lambda x: by_functions(AllToAll(), weight=2.0 - OfDistance(line(x)), places=Grid((2, 2))), "weight.table 0"),
    "reach": (lambda x: by_functions(AllToAll(), delay=OfDistance(line(x)), places=Grid((2, 2))), r"delay \(steps\).table 0"),
    "p": (lambda x: by_functions(Bernoulli(OfDistance(line(-0.1 * x))), places=Grid((2, 2))), "p.table"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_compared_by_what_they_give(tmp_path: Path, name: str) -> None:
    network, told = FUNCTIONS[name]
    with snn.Simulation(network(1.0), store=tmp_path / "a.zarr") as sim:
        sim.run(0.1)
    with pytest.raises(ParameterError, match=f"this is not the network of .*: projection 'c': {told}"):
        snn.resume(tmp_path / "a.zarr", network(2.0))
    assert snn.resume(tmp_path / "a.zarr", network(1.0)).goal == 0.1
    if name == "drawn":
        assert snn.resume(tmp_path / "a.zarr").goal == 0.1
    else:
        with pytest.raises(ParameterError, match=r"code of .*<lambda> is not in the store; give the network"):
            snn.resume(tmp_path / "a.zarr")


def test_edges_of_a_rule_of_your_own_are_compared_as_well(tmp_path: Path) -> None:
    class Chosen:
        def __init__(self, shift: Any) -> None:
            self.shift = shift

        def lower(self, pre: Any, post: Any, same: bool) -> Any:
            return Explicit(np.arange(4), self.shift(np.arange(4)) % 4).lower(pre, post, same)

        def expected(self, n_pre: int, n_post: int) -> float:
            return 4.0

        def per_target(self, n_pre: int, n_post: int) -> float:
            return 4.0

    with snn.Simulation(by_functions(Chosen(line(1, 1))), store=tmp_path / "a.zarr") as sim:
        sim.run(0.1)
    with pytest.raises(ParameterError, match="projection 'c': edges.post is"):
        snn.resume(tmp_path / "a.zarr", by_functions(Chosen(line(1, 2))))


def test_what_cannot_be_resumed_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="there is no store"):
        snn.resume(tmp_path / "none.zarr")
    with snn.Simulation(mixed(), store=tmp_path / "a.zarr") as sim:
        sim.run(1.0)
    with pytest.raises(ParameterError, match="takes no overwrite="):
        snn.resume(tmp_path / "a.zarr", overwrite=True)
    quiet = snn.Network(seed=1, dt=0.1)
    quiet.population("a", 3, IafPscExp())
    with snn.Simulation(quiet) as sim, pytest.raises(ParameterError, match="give it store="):
        sim.checkpoint()
    with pytest.raises(ParameterError, match="give store="):
        snn.Simulation(quiet, checkpoint_every=10.0)
    with pytest.raises(ParameterError, match="at least dt"):
        snn.Simulation(quiet, store=tmp_path / "b.zarr", checkpoint_every=0.0)


def test_weights_that_may_still_be_under_way_are_not_guessed(tmp_path: Path) -> None:
    with snn.Simulation(mixed(), store=tmp_path / "a.zarr") as sim:
        sim.run(20.0)
        sim["exc_to_inh"].set_weights(10.0)
        sim.run(1.0)
        sim.checkpoint()
    with snn.resume(tmp_path / "a.zarr") as sim:
        with pytest.raises(ParameterError, match=r"run 17 ms first"):
            sim["exc_to_inh"].set_weights(20.0)
        sim.run(17.0)
        sim["exc_to_inh"].set_weights(20.0)


def test_set_weights_reach_parts_that_have_none_of_them(tmp_path: Path) -> None:
    """Parts that own no target of the projection, in any order of layouts."""
    with snn.Simulation(mixed(), store=tmp_path / "a.zarr") as sim:
        sim.run(10.0)
        sim["exc_to_inh"].set_weights(25.0)
        sim.checkpoint()
        sim.run(30.0)
    for parts in (5, 2, 5, 1):
        with snn.resume(tmp_path / "a.zarr", parts=parts) as sim:
            sim.run(1.0)
            sim.checkpoint()
    with snn.resume(tmp_path / "a.zarr", parts=3) as sim:
        sim.run(round(40.0 - sim.time, 10))
    with snn.Simulation(mixed(), store=tmp_path / "b.zarr") as sim:
        sim.run(10.0)
        sim["exc_to_inh"].set_weights(25.0)
        sim.run(30.0)
    assert_equal(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    with snn.Simulation(mixed(), store=store, checkpoint_every=10.0) as sim:
        sim.run(35.0)
    newest = max((store / "checkpoints").iterdir())
    (next(newest.glob("part_*"))).write_bytes(b"")
    with snn.resume(store) as sim:
        assert sim.time == 20.0
