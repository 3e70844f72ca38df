"""Functions that are called while a simulation runs, and runs in many pieces."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import xarray as xr

import eventsnn as snn
from eventsnn.errors import KindError, ParameterError, StateError
from eventsnn.models import FixedIndegree, IafPscExp, OneToOne, Parrot, Poisson, PoissonInput, Static


def network() -> snn.Network:
    net = snn.Network(seed=2, dt=0.1)
    cells = net.population("cells", 60, IafPscExp(), V_m=snn.Uniform(-65.0, -50.0))
    source = net.population("source", 20, Poisson(rate=50.0))
    parrot = net.population("parrot", 5, Parrot())
    net.stimulate(cells, PoissonInput(rate=9000.0, weight=30.0))
    net.connect(source >> cells, FixedIndegree(5), Static(weight=40.0, delay=1.5))
    net.connect(cells >> cells, FixedIndegree(10), Static(weight=-20.0, delay=1.0))
    net.connect(parrot >> cells[:5], OneToOne(), Static(weight=900.0, delay=1.0))
    net.record(cells, "spikes")
    net.record(cells[:3], "V_m", every=0.5)
    return net


def spikes(sim: Any) -> xr.Dataset:
    found: xr.Dataset = snn.open(sim)["cells/spikes"].to_dataset()
    return found


@pytest.mark.parametrize("where", [{"threads": 2}, {"parts": 2, "threads": 1}])
def test_what_a_function_changes_is_what_a_script_would(where: dict[str, int]) -> None:
    def act(sim: Any) -> None:
        sim["source"].set("rate", 50.0 if sim.time % 20.0 else 10.0)
        sim["parrot"].inject(sim.time + 0.3, np.arange(5))

    with snn.Simulation(network(), **where) as script:
        for _ in range(6):
            script.run(10.0)
            act(script)
        script.run(5.0)
    with snn.Simulation(network(), **where) as called:
        called.every(10.0, act)
        called.run(37.0)
        called.run(28.0)
    assert spikes(called).sizes["event"] > 50
    xr.testing.assert_identical(spikes(called), spikes(script))


def test_when_and_in_what_order() -> None:
    seen: list[tuple[str, float]] = []
    with snn.Simulation(network()) as sim:
        sim.run(3.0)
        first = sim.every(5.0, lambda s: seen.append(("first", s.time)))
        sim.every(2.5, lambda s: seen.append(("second", s.time)))
        sim.run(7.0)
        first.cancel()
        sim.run(2.5)
    assert seen == [
        ("first", 5.0), ("second", 5.0), ("second", 7.5), ("first", 10.0), ("second", 10.0), ("second", 12.5)
    ]  # fmt: skip


def test_all_up_to_the_time_is_there(tmp_path: Any) -> None:
    store = tmp_path / "run.zarr"
    counts: list[tuple[int, int]] = []

    def compare(sim: Any) -> None:
        run = snn.open(store)
        counts.append((int(sim["cells"].counts().sum()), run["cells/spikes"].sizes["event"]))
        assert run["cells/V_m"]["time"].values[-1] == sim.time

    with snn.Simulation(network(), store=store) as sim:
        sim.every(10.0, compare)
        sim.run(50.0)
    assert len(counts) == 5 and counts[-1][0] > 20
    assert all(a == b for a, b in counts)


def test_a_thousand_short_runs_are_one_long_one() -> None:
    with snn.Simulation(network()) as long:
        long.run(100.0)
        assert long.report()["calls"]["number"] == 1
    began = time.perf_counter()
    with snn.Simulation(network()) as short:
        for _ in range(1000):
            short.run(0.1)
        wall, calls = time.perf_counter() - began, short.report()["calls"]
    with snn.Simulation(network()) as called:
        called.every(0.1, lambda sim: None)
        called.run(100.0)
        assert called.report()["calls"]["number"] == 1000
    assert calls["number"] == 1000 and 0.0 < calls["mean_ms"] <= min(wall, calls["max_ms"])
    for other in (short, called):
        xr.testing.assert_identical(spikes(other), spikes(long))


def test_an_error_ends_the_run_at_that_time() -> None:
    def fail(sim: Any) -> None:
        raise RuntimeError("enough")

    with snn.Simulation(network()) as sim:
        call = sim.every(4.0, fail)
        with pytest.raises(RuntimeError, match="enough"):
            sim.run(10.0)
        assert sim.time == 4.0
        call.cancel()
        sim.run(6.0)
        assert sim.time == 10.0


def test_what_cannot_be_called() -> None:
    with snn.Simulation(network()) as sim:
        with pytest.raises(KindError, match=r"sim\.every: 3 cannot be called"):
            sim.every(1.0, 3)  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match="at least dt = 0.1 ms"):
            sim.every(0.0, print)
        with pytest.raises(ParameterError, match=r"sim\.every: 0\.25 ms is not a multiple of dt"):
            sim.every(0.25, print)
        with pytest.raises(ParameterError, match=r"sim\.every\(-1\.0\): give a finite time >= 0 ms"):
            sim.every(-1.0, print)
        sim.every(1.0, lambda s: s.run(1.0))
        with pytest.raises(StateError, match="cannot run the simulation"):
            sim.run(2.0)


def test_a_simulation_is_not_closed_by_what_it_calls() -> None:
    with snn.Simulation(network()) as sim:
        call = sim.every(1.0, lambda s: s.close())
        with pytest.raises(StateError, match=r"sim\.every cannot close the simulation"):
            sim.run(2.0)
        call.cancel()
        sim.run(1.0)
        assert sim.time == 2.0
