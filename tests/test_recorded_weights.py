"""Synapses that change, recorded: what the store holds is what could have been read, in any layout, after any interruption."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import LocalCluster
from zarr.storage import MemoryStore

import eventsnn as snn
from eventsnn.canonical import canonical
from eventsnn.errors import KindError, ParameterError, SelectionError, UnknownName
from eventsnn.models import FixedIndegree, IafPscExp, OneToOne, Poisson, SpikeTrain, Static, Stdp, StdpReward
from eventsnn.restored import restore
from eventsnn.scheduler.estimate import RECORDED
from eventsnn.storage.summary import summary

PIECES = (12.3, 7.7, 30.0, 0.4, 13.6)
PATHS = ("cells/spikes", "projections/learned/weight", "projections/learned/some", "projections/rewarded/c")


def network(**options: Any) -> snn.Network:
    """Six hundred targets, two threads' worth; delays of many lengths; a projection of weights and one of eligibilities."""
    net = snn.Network(seed=4, dt=0.1)
    inputs = net.population("inputs", 50, Poisson(rate=60.0))
    cells = net.population("cells", 600, IafPscExp(I_e=450.0), V_m=snn.Uniform(-65.0, -50.0))
    praise = net.population("praise", 2, Poisson(rate=80.0))
    stdp = Stdp(weight=snn.Uniform(0.0, 60.0), delay=snn.Uniform(0.5, 3.0), Wmax=60.0, lambda_=0.1)
    learned = net.connect(inputs >> cells, FixedIndegree(8), stdp, name="learned")
    reward = StdpReward(weight=30.0, delay=1.0, modulator=praise, tau_c=40.0)
    net.connect(cells >> cells[100:], FixedIndegree(5), reward, name="rewarded")
    net.record(cells, "spikes")
    net.record(learned, "weight", every=5.0, dtype="float64", **options)
    net.record("learned", "weight", every=1.7, name="some", pre=inputs[:20], post=cells[50:300:3], **options)
    net.record("rewarded", "c", every=5.0, dtype="float64", **options)
    return net


def ran(pieces: tuple[float, ...] = PIECES, **where: Any) -> dict[str, xr.Dataset]:
    with snn.Simulation(network(), **where) as sim:
        for piece in pieces:
            sim.run(piece)
        return recorded(sim)


def recorded(source: Any) -> dict[str, xr.Dataset]:
    tree = snn.open(source)
    return {path: tree[path].to_dataset().load() for path in PATHS}


def assert_same(a: dict[str, xr.Dataset], b: dict[str, xr.Dataset]) -> None:
    for path in PATHS:
        xr.testing.assert_identical(a[path], b[path])


@pytest.fixture(scope="module")
def one_thread() -> dict[str, xr.Dataset]:
    found = ran(threads=1)
    assert found["cells/spikes"].sizes["event"] > 100
    for path, what in (("learned/weight", "weight"), ("learned/some", "weight"), ("rewarded/c", "c")):
        values = found[f"projections/{path}"][what]
        assert (values[-1] != values[0]).mean() > 0.2  # it is worth recording
    return found


def test_samples_are_what_could_be_read() -> None:
    seen = {}
    with snn.Simulation(network(), threads=2) as sim:
        sim.every(5.0, lambda s: seen.update({s.time: s["learned"].weights()}))
        sim.run(33.0)
        found = snn.open(sim)["projections/learned/weight"].to_dataset()
        assert found["time"].values.tolist() == list(seen) == [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
        for time, synapses in seen.items():
            np.testing.assert_array_equal(found["weight"].sel(time=time), synapses["weight"])
            np.testing.assert_array_equal(found["pre"], synapses["pre"])
            np.testing.assert_array_equal(found["post"], synapses["post"])


def test_recording_changes_nothing(one_thread: dict[str, xr.Dataset]) -> None:
    net = network()
    net._recordings = {"cells/spikes": net._recordings["cells/spikes"]}
    with snn.Simulation(net, threads=1) as sim:
        sim.run(sum(PIECES))
    xr.testing.assert_identical(snn.open(sim)["cells/spikes"].to_dataset().load(), one_thread["cells/spikes"])


@pytest.mark.parametrize("where", [{"threads": 2}, {"parts": 3, "threads": 1}])
def test_threads_parts_and_pieces(one_thread: dict[str, xr.Dataset], where: dict[str, int]) -> None:
    assert_same(ran((sum(PIECES),), **where), one_thread)


def test_workers(one_thread: dict[str, xr.Dataset], tmp_path: Path) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        cluster.get_client() as client,
        snn.Simulation(network(), client=client, store=tmp_path / "run.zarr") as sim,
    ):
        for piece in PIECES:
            sim.run(piece)
        assert_same(recorded(sim), one_thread)


@pytest.mark.parametrize("keep", [None, 20.0])
def test_a_run_that_is_resumed(one_thread: dict[str, xr.Dataset], tmp_path: Path, keep: float | None) -> None:
    """From a checkpoint between two samples, in another layout, in a store that held later rows already."""
    store = tmp_path / "run.zarr"
    with snn.Simulation(network(keep=keep), store=store, parts=2, threads=1) as sim:
        sim.run(31.2)
        sim.checkpoint()
        sim.run(15.0)
    with snn.resume(store, threads=2) as sim:
        assert sim.time == 31.2
        sim.run(round(sum(PIECES) - 31.2, 6))
    found = recorded(store)
    if keep is None:
        assert_same(found, one_thread)
        return
    for path in PATHS[1:]:
        every = one_thread[path]
        later = every.isel(time=every["time"].values > sum(PIECES) - keep)
        xr.testing.assert_equal(found[path], later)
        assert 0 < later.sizes["time"] < every.sizes["time"]


def test_chosen_ends(one_thread: dict[str, xr.Dataset]) -> None:
    whole, some = one_thread["projections/learned/weight"], one_thread["projections/learned/some"]
    chosen = (whole["pre"] < 20) & np.isin(whole["post"], np.arange(50, 300, 3))
    assert 0 < some.sizes["synapse"] == int(chosen.sum()) < whole.sizes["synapse"]
    for end in ("pre", "post"):
        np.testing.assert_array_equal(some[end], whole[end][chosen])
    shared = np.intersect1d(some["time"], whole["time"])
    assert len(shared) == 0  # 1.7 and 5 meet at 85 ms
    assert some.sizes["time"] == int(sum(PIECES) / 1.7)


def test_what_is_on_disk(tmp_path: Path, one_thread: dict[str, xr.Dataset]) -> None:
    store = tmp_path / "run.zarr"
    with snn.Simulation(network(), store=store, threads=1) as sim:
        sim.run(sum(PIECES))
    plain = xr.open_zarr(store, group="projections/learned/weight", consolidated=False)
    assert plain["weight"].dims == ("time", "synapse")
    assert set(plain.coords) == {"time", "pre", "post"}
    assert plain["weight"].attrs["units"] == "pA"
    np.testing.assert_array_equal(plain["weight"], one_thread["projections/learned/weight"]["weight"])
    text = summary(store)
    assert "projections/learned/weight  4,800 synapses  weight (pA), every 5 ms" in text
    assert "12 x 4,800 float64" in text
    assert "c, every 5 ms" in text
    snn.pack(store)
    assert_same(recorded(store), one_thread)


def test_a_variable_that_decays() -> None:
    """Eligibility by the definition of its rule, event by event; at time t, what has reached the synapse up to t - delay."""
    delay, tau, tau_c, plus, minus = 1.5, 20.0, 30.0, 1.0, 1.5
    pre, post = [5.0, 21.0, 22.0, 60.0], [8.0, 20.5, 40.0, 58.5]
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 1, SpikeTrain(times=pre, ids=[0] * 4))
    target = net.population("target", 1, IafPscExp(C_m=1e12))
    silent = net.population("silent", 1, SpikeTrain(times=[], ids=[]))
    rule = StdpReward(weight=10.0, delay=delay, modulator=silent, tau_plus=tau, tau_minus=tau, tau_c=tau_c)
    net.connect(source >> target, OneToOne(), rule, name="synapse")
    net.record("synapse", "c", every=0.1, dtype="float64")
    with snn.Simulation(net) as sim:
        sim["target"].inject(post, [0] * 4)
        sim.run(400.0)
    found = snn.open(sim)["projections/synapse/c"]["c"]

    late = [q + delay for q in post]

    def trace(times: list[float], at: float) -> float:
        return sum(math.exp(-(at - t) / tau) for t in times if t < at - 1e-9)

    changes = [(t, plus * trace(pre, t)) for t in late] + [(t, -minus * trace(late, t)) for t in pre]
    for time in (4.0, 6.6, 9.6, 11.2, 23.0, 23.4, 23.5, 24.1, 61.4, 61.5, 62.0, 100.0, 399.9):
        clock = time - delay + 1e-9
        expected = sum(by * math.exp(-(clock - t) / tau_c) for t, by in changes if t <= clock)
        assert float(found.sel(time=time, method="nearest")[0]) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert float(abs(found).max()) > 0.5


def test_a_subnetwork_and_a_copy() -> None:
    def build(net: Any) -> None:
        cells = net.population("cells", 20, IafPscExp())
        net.connect(cells >> cells, FixedIndegree(3), Stdp(weight=10.0, delay=1.0), name="learned")
        net.record("learned", "weight", every=10.0, post=cells[:5])

    inner = snn.Network(seed=1, dt=0.1)
    build(inner)
    outer = snn.Network(seed=1, dt=0.1)
    outer.subnetwork("a", build)
    outer.merge(inner, "b")
    assert list(outer.copy().recordings) == ["projections/a/learned/weight", "projections/b/learned/weight"]
    with snn.Simulation(outer) as sim:
        sim.run(10.0)
        found = {x: snn.open(sim)[f"projections/{x}/learned/weight"].to_dataset() for x in "ab"}
        for name, dataset in found.items():
            synapses = sim[f"{name}/learned"].weights()
            np.testing.assert_array_equal(dataset["pre"], synapses["pre"][synapses["post"] < 5])
    assert found["a"].sizes == {"time": 1, "synapse": 15}


def test_a_stored_network_knows_its_recordings() -> None:
    net = network(keep=40.0)
    made = restore(canonical(net), lambda digest: np.empty(0))
    assert canonical(made) == canonical(net)
    again = made.recordings["projections/learned/some"]
    assert (again.every, again.keep, len(again.target), again.sources and len(again.sources)) == (17, 400, 84, 20)


def test_a_plan_counts_them() -> None:
    bare = network()
    bare._recordings = {}
    more = snn.Simulation(network()).plan.bytes - snn.Simulation(bare).plan.bytes
    some = 4800 * (20 / 50) * (84 / 600)
    assert more == pytest.approx(RECORDED * (4800 + some + 2500))


def test_none_of_many_parts_has_any() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 40, IafPscExp())
    net.connect(cells[:4] >> cells[:4], FixedIndegree(2, autapses=False), Stdp(weight=10.0, delay=1.0), name="learned")
    net.record("learned", "weight", every=0.3, post=cells[2:4])
    store = MemoryStore()
    with snn.Simulation(net, store=store, parts=3, threads=1) as sim:
        sim.run(1.0)
    assert snn.open(store)["projections/learned/weight"]["weight"].values.tolist() == [[10.0] * 4] * 3


@pytest.mark.parametrize(
    ("what", "options", "error", "message"),
    [
        ("weight", {}, ParameterError, r"recording of projection 'learned': say how often, such as every=100.0 \(ms\)"),
        ("weight", {"every": 0.25}, ParameterError, "0.25 ms is not a multiple of dt = 0.1 ms"),
        ("weight", {"every": 0.0}, ParameterError, "every must be a time > 0 ms and a multiple of dt = 0.1 ms, not 0"),
        ("weights", {"every": 1.0}, UnknownName, "Stdp has no variable 'weights'; did you mean 'weight'"),
        ("weight", {"every": 1.0, "dtype": "int32"}, ParameterError, "dtype must be float32 or float64, not int32"),
        ("weight", {"every": 1.0, "post": "cells"}, KindError, "'cells' is no population"),
        ("weight", {"every": 1.0, "pre": "cells"}, KindError, "'cells' is no population"),
    ],
)
def test_what_cannot_be_recorded(what: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    net = network()
    with pytest.raises(error, match=message):
        net.record("learned", what, name="other", **options)
    assert "projections/learned/other" not in net.recordings


def test_wrong_ends_and_names() -> None:
    net = network()
    cells, inputs = net["cells"], net["inputs"]
    net.connect(inputs >> cells, FixedIndegree(2), Static(weight=1.0, delay=1.0), name="still")
    with pytest.raises(ParameterError, match=r"its weights never change; read them once by sim\['still'\].weights\(\)"):
        net.record("still", "weight", every=1.0)
    with pytest.raises(SelectionError, match=r"inputs\[0:3\] is not of population 'cells'"):
        net.record("learned", "weight", every=1.0, post=inputs[:3], name="other")
    with pytest.raises(SelectionError, match="selects no neuron"):
        net.record("rewarded", "c", every=1.0, post=cells[:100], name="other")
    with pytest.raises(UnknownName, match="has no projection 'learnt'; did you mean 'learned'"):
        net.record("learnt", "weight", every=1.0)
    with pytest.raises(KindError, match="'cells' is no population; give a population or a selection of one"):
        net.record("cells", "spikes")  # type: ignore[arg-type]
    with pytest.raises(KindError, match="pre= and post= choose synapses of a projection"):
        net.record(cells, "V_m", post=cells[:3])
    with pytest.raises(ParameterError, match="'projections/learned/weight' exists already"):
        net.record("learned", "weight", every=2.0)


def test_a_lost_worker(one_thread: dict[str, xr.Dataset], tmp_path: Path) -> None:
    """The one that records is killed between two samples, after a checkpoint: the others go on with its synapses."""
    with (
        dask.config.set({"eventsnn.link-deadline": 2.0}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        cluster.get_client() as client,
        snn.Simulation(network(), client=client, store=tmp_path / "run.zarr", checkpoint_every=10.0) as sim,
    ):
        pids = client.run(os.getpid)
        sim.run(32.3)
        os.kill(pids[sim.plan.shares[0].place.address], signal.SIGKILL)
        sim.run(round(sum(PIECES) - 32.3, 6))
        assert_same(recorded(sim), one_thread)
