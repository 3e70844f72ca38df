"""In-process: any number of parts gives the same bits, errors are one and named, and a simulation says what it cannot do."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
import eventsnn.part
from eventsnn.errors import KindError, ParameterError, UnknownName
from eventsnn.models import Explicit, FixedIndegree, IafPscExp, OneToOne, Parrot, Poisson, PoissonInput, SpikeTrain, Static
from eventsnn.scheduler import placement
from eventsnn.scheduler.errors import PlanError
from eventsnn.scheduler.partition import whole
from eventsnn.scheduler.restrict import restrict
from eventsnn.spec import Slice
from eventsnn.storage.errors import StoreExists


def brunel(n: int = 1250, seed: int = 1) -> snn.Network:
    """A small random network with two populations, drive, and three recordings."""
    net = snn.Network(seed=seed, dt=0.1)
    exc = net.population("exc", 4 * n // 5, IafPscExp(), V_m=snn.Uniform(-70.0, -55.0))
    inh = net.population("inh", n // 5, IafPscExp(), V_m=snn.Uniform(-70.0, -55.0))
    for post in (exc, inh):
        net.stimulate(post, PoissonInput(rate=9000.0, weight=30.0))
        net.connect(exc >> post, FixedIndegree(n // 20), Static(weight=20.0, delay=snn.Uniform(0.5, 3.0)))
        net.connect(inh >> post, FixedIndegree(n // 80), Static(weight=snn.Normal(-100.0, 10.0), delay=0.8))
    net.record(exc, "spikes")
    net.record(inh, "spikes")
    net.record(inh[5:100], "V_m", every=0.5, dtype="float64")
    return net


def contents(source: object) -> dict[str, Any]:
    """Everything that a run recorded, as plain arrays."""
    tree = snn.open(source)
    found: dict[str, Any] = {}
    for path in ("exc/spikes", "inh/spikes"):
        data = tree[path].to_dataset()
        found[path] = np.stack([data["tick"].values, data["neuron"].values])
    found["inh/V_m"] = tree["inh/V_m"]["V_m"].values
    return found


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(np.array_equal(a[path], b[path]) for path in a)


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    with snn.Simulation(brunel()) as sim:
        sim.run(60.0)
        found = contents(sim)
    assert found["exc/spikes"].shape[1] > 1000
    return found


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_do_not_change_a_bit(truth: dict[str, Any], parts: int) -> None:
    with snn.Simulation(brunel(), parts=parts) as sim:
        sim.run(60.0)
        assert same(contents(sim), truth)


def test_unequal_pieces_and_unequal_cuts_do_not_change_a_bit(truth: dict[str, Any]) -> None:
    def uneven(spec: Any, n: int) -> Any:
        return ((Slice(0, 0, 1), Slice(1, 100, 250)), (Slice(0, 1, 700),), (Slice(0, 700, 1000), Slice(1, 0, 100)))

    with snn.Simulation(brunel(), parts=3, partition=uneven) as sim:
        pieces = [0.1, 0.7, 0.0, 13.3, 2.9, 20.0, 0.2, 22.8]
        for piece in pieces:
            sim.run(piece)
        assert sim.time == 60.0
        assert same(contents(sim), truth)


def test_whole_populations_run_apart(truth: dict[str, Any]) -> None:
    with snn.Simulation(brunel(), parts=2, partition=whole) as sim:
        sim.run(60.0)
        assert [share.slices for share in sim.plan.shares] == [(Slice(0, 0, 1000),), (Slice(1, 0, 250),)]
        assert same(contents(sim), truth)


def test_every_kind_of_neuron_crosses_parts() -> None:
    """Trains, Poisson sources and parrots send to parts they are not in; counts come back whole."""

    def run(parts: int) -> tuple[Any, ...]:
        net = snn.Network(seed=3, dt=0.1)
        train = net.population("train", 3, SpikeTrain(times=[1.0, 1.0, 2.5, 7.0], ids=[0, 2, 1, 0]))
        noise = net.population("noise", 3, Poisson(rate=300.0))
        parrot = net.population("parrot", 3, Parrot())
        net.connect(train >> parrot, OneToOne(), Static(weight=1.0, delay=0.1))
        net.connect(noise >> parrot, OneToOne(), Static(weight=1.0, delay=1.2))
        net.record(parrot, "spikes")
        with snn.Simulation(net, parts=parts) as sim:
            sim.run(50.0)
            spikes = snn.open(sim)["parrot/spikes"].to_dataset()
            return sim["parrot"].counts().tolist(), spikes["tick"].values.tolist(), sim["noise"].counts().tolist()

    counts, ticks, noise = run(1)
    assert [run(parts) for parts in (2, 3)] == [(counts, ticks, noise)] * 2
    assert sum(noise) + 4 - 3 <= sum(counts) <= sum(noise) + 4, "all but what is under way at the end"
    assert {11, 26, 71} <= set(ticks)


def test_what_a_part_needs_of_given_edges_gives_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of a cluster receives its own rows only: here the same cut, in this process."""
    rng = np.random.default_rng(2)
    pre, post = rng.integers(0, 600, (2, 20_000))

    def net() -> snn.Network:
        net = snn.Network(seed=1, dt=0.1)
        exc = net.population("exc", 600, IafPscExp(), V_m=snn.Uniform(-70.0, -55.0))
        src = net.population(
            "src", 600, SpikeTrain(times=np.round(rng2.integers(1, 400, 3000) * 0.1, 1), ids=rng2.integers(0, 600, 3000))
        )
        net.connect(exc >> exc, Explicit(pre, post), Static(weight=rng2.normal(20.0, 5.0, 20_000), delay=snn.Uniform(0.5, 3.0)))
        net.connect(src >> exc, Explicit(pre, post), Static(weight=150.0, delay=1.0))
        net.record(exc, "spikes")
        return net

    rng2 = np.random.default_rng(5)
    whole_net = net()
    built = eventsnn.part.Part.__init__

    def restricted(self: Any, spec: Any, layout: Any, rank: int, threads: int, backend: str) -> None:
        built(self, restrict(spec, layout, rank), layout, rank, threads, backend)

    runs = []
    for patched in (False, True):
        if patched:
            monkeypatch.setattr(eventsnn.part.Part, "__init__", restricted)
        with snn.Simulation(whole_net, parts=3) as sim:
            sim.run(60.0)
            data = snn.open(sim)["exc/spikes"].to_dataset()
            runs.append(
                (data["tick"].values, data["neuron"].values, sim["exc"].get("V_m"), *sim["exc_to_exc"].weights().values())
            )
    assert len(runs[0][0]) > 100
    for plain, cut in zip(*runs, strict=True):
        np.testing.assert_array_equal(plain, cut)


def test_an_error_in_one_part_is_one_error_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for method, kind in (("__init__", ValueError), ("run", ZeroDivisionError)):
        plain = getattr(eventsnn.part.Part, method)

        def faulty(self: Any, *args: Any, plain: Any = plain, kind: Any = kind, method: str = method) -> Any:
            if (args[2] if method == "__init__" else self.rank) == 1:
                raise kind("nothing is as it was")
            return plain(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(eventsnn.part.Part, method, faulty)
            before = threading.active_count()
            start = time.monotonic()
            with (
                pytest.raises(kind, match=r"part 1 \(exc\[333:666\]\): nothing is as it was") as caught,
                snn.Simulation(brunel(), parts=3) as sim,
            ):
                sim.run(1000.0)
            assert isinstance(caught.value.__cause__, kind)
            assert time.monotonic() - start < 10
            assert threading.active_count() == before


def test_two_simulations_run_at_once(truth: dict[str, Any]) -> None:
    with snn.Simulation(brunel(), parts=2) as a, snn.Simulation(brunel(), parts=2) as b, snn.Simulation(brunel(seed=2)) as c:
        threads = [threading.Thread(target=sim.run, args=(60.0,)) for sim in (a, b, c)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert same(contents(a), truth)
        assert same(contents(b), truth)
        assert not same(contents(c), truth)


@pytest.mark.parametrize("parts", [1, 3])
def test_an_interrupted_run_ends_in_order_and_goes_on(parts: int) -> None:
    """Ctrl-C stops all parts at one step, everything up to it is in the store, and the run may go on to the same result."""
    with snn.Simulation(brunel(), parts=parts) as sim:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            sim.run(1e6)
        reached = sim.time
        assert 0.0 < reached < 1e6
        assert snn.open(sim).attrs["committed_ms"] == reached
        sim.run(10.0)
        stopped = contents(sim)
    with snn.Simulation(brunel()) as sim:
        sim.run(round(reached + 10.0, 10))
        assert same(contents(sim), stopped)


def test_progress_reports_grow_to_the_end() -> None:
    for parts in (1, 2):
        told: list[tuple[float, int]] = []
        with snn.Simulation(brunel(), parts=parts, progress=lambda ms, spikes, told=told: told.append((ms, spikes))) as sim:
            sim.run(30.0)
            spikes = sum(int(sim[name].counts().sum()) for name in ("exc", "inh"))
        assert told == sorted(told)
        assert told[-1] == (30.0, spikes)


def test_nothing_is_left_of_a_closed_simulation() -> None:
    with snn.Simulation(brunel(), parts=3):
        pass
    before, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with snn.Simulation(brunel(), parts=3) as sim:
        sim.run(1.0)
        assert threading.active_count() > before
    assert threading.active_count() == before
    assert len(os.listdir("/proc/self/fd")) == files


def test_a_simulation_is_used_inside_its_block_and_once() -> None:
    sim = snn.Simulation(brunel())
    with pytest.raises(RuntimeError, match=r"not built yet; use it in a block: with Simulation\(network, ...\) as sim:"):
        sim.run(1.0)
    with sim, pytest.raises(RuntimeError, match="it can be entered once: make another one"):
        sim.__enter__()
    for use in (lambda: sim.run(1.0), lambda: sim["exc"], lambda: sim.report(), lambda: sim.__enter__()):
        with pytest.raises(RuntimeError, match="closed.* make another one"):
            use()
    sim.close()


def test_a_failed_simulation_cannot_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(self: Any, *args: Any) -> Any:
        raise MemoryError("no memory")

    with snn.Simulation(brunel()) as sim:
        monkeypatch.setattr(eventsnn.part.Part, "run", faulty)
        with pytest.raises(MemoryError, match=r"part 0 \(exc, inh\): no memory"):
            sim.run(1.0)
        with pytest.raises(RuntimeError, match="failed and cannot go on"):
            sim.run(1.0)


@pytest.mark.parametrize(
    ("duration", "kind", "told"),
    [
        (0.15, ParameterError, r"sim.run: 0.15 ms is not a multiple of dt = 0.1 ms"),
        (-1.0, ParameterError, r"sim.run\(-1.0\): give a finite time >= 0 ms"),
        (float("nan"), ParameterError, "give a finite time"),
        (float("inf"), ParameterError, "give a finite time"),
        (1e9, ParameterError, "time ends at step 4294967295"),
        ("1", KindError, "takes a number of ms, not '1'"),
        (True, KindError, "takes a number of ms, not True"),
        (None, KindError, "takes a number of ms, not None"),
    ],
)
def test_run_takes_a_multiple_of_dt(duration: Any, kind: type[Exception], told: str) -> None:
    with snn.Simulation(brunel(100)) as sim:
        with pytest.raises(kind, match=told):
            sim.run(duration)
        sim.run(0.3)
        sim.run(0)
        assert sim.time == 0.3


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"backend": "gpu"}, UnknownName, "Valid: auto, cpu, cuda"),
        ({"backend": "cp"}, UnknownName, "did you mean 'cpu'"),
        ({"precision": "double"}, UnknownName, "float64, float32"),
        ({"threads": 0}, ParameterError, "threads=0: give at least 1"),
        ({"threads": 1.5}, KindError, "threads=1.5: give a whole number"),
        ({"threads": 4096}, PlanError, r"threads=4096: here has \d+; more threads than cores"),
        ({"parts": True}, KindError, "parts=True: give a whole number"),
        ({"parts": 101}, PlanError, r"parts=101: .* at most as many parts as neurons \(100\)"),
        ({"parts": 3, "partition": whole}, PlanError, "never splits: the network has 2 populations"),
        ({"client": "tcp://127.0.0.1:8786"}, KindError, "is no distributed.Client"),
        ({"store": 3}, ValueError, "store=3 is a int"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_built(options: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        snn.Simulation(brunel(100), **options)


def test_a_network_is_needed() -> None:
    with pytest.raises(KindError, match="is no network; make one with Network"):
        snn.Simulation("brunel")  # type: ignore[arg-type]


def test_an_existing_store_is_not_touched_and_a_refused_one_leaves_nothing(tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    with snn.Simulation(brunel(100), store=store) as sim:
        sim.run(1.0)
    with pytest.raises(StoreExists, match="overwrite=True"):
        snn.Simulation(brunel(100), store=store)
    with snn.Simulation(brunel(100), store=store, overwrite=True) as sim:
        sim.run(2.0)
    assert snn.open(store).attrs["committed_ms"] == 2.0
    snn.Simulation(brunel(100), store=tmp_path / "other.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]


def test_a_plan_that_does_not_fit_is_refused_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_memory", lambda: 100_000)
    with pytest.raises(PlanError, match=r"part 0 \(exc, inh\) needs about 0.00 GB while it is built and here has 0.00 GB"):
        snn.Simulation(brunel())


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with snn.Simulation(brunel(100), parts=2) as sim:
            sim.run(5.0)
        assert "2 parts" in repr(sim.plan) and "exc" in str(sim.plan)
