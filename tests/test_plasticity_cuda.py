"""Weights that change on backend cuda have the bits of backend cpu: on a GPU, and in Numba's simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import config
from test_cuda_engine import GPU, assert_same
from test_plasticity import Clamped

import eventsnn as snn
from eventsnn.models import (
    Clopath,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    IafPscExp,
    Poisson,
    PoissonInput,
    SfaGradient,
    Static,
    Stdp,
    StdpDopamine,
    StdpNnPreCentered,
    StdpNnRestr,
    StdpNnSymm,
    StdpOja,
    StdpPl,
    StdpReward,
    StdpSfa,
    StdpTriplet,
    Tsodyks,
    Tsodyks2,
    VogelsSprekeler,
)
from eventsnn.scheduler.device_memory import LOG_ITEMS, device_bytes

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}")]
N = 1 if config.ENABLE_CUDASIM else 40
PIECES = (2.3, 3.7) if config.ENABLE_CUDASIM else (3.0, 5.0)
FIRST = ("ee", "ne", "ie", "ei")
SECOND = ("reward", "clopath", "triplet", "power", "restricted", "short")


def first(precision: str = "float64") -> snn.Network:
    """Rules without a third factor; sources that fire more than once in a step, delays of many steps."""
    net = snn.Network(seed=3, dt=0.1)
    exc = net.population("exc", 24 * N, IafPscExp(t_ref=0.3), V_m=snn.Uniform(-60.0, -50.0))
    inh = net.population("inh", 8 * N, IafPscExp(t_ref=0.5), V_m=snn.Uniform(-60.0, -50.0))
    noise = net.population("noise", 6 * N, Poisson(rate=6000.0))
    for target in (exc, inh):
        net.stimulate(target, PoissonInput(rate=30000.0, weight=120.0))
    recurrent = Stdp(
        weight=snn.Uniform(20.0, 60.0), delay=snn.Uniform(0.1, 0.9), Wmax=100.0, alpha=snn.Normal(1.05, 0.1), mu_plus=0.5
    )
    net.connect(exc >> exc, FixedIndegree(6), recurrent, name="ee")
    net.connect(noise >> exc, FixedIndegree(4), StdpNnPreCentered(weight=30.0, delay=0.4, Wmax=60.0), name="ne")
    vogels = VogelsSprekeler(weight=-50.0, delay=snn.Uniform(0.2, 0.6), Wmax=-300.0, eta=1.0)
    net.connect(inh >> exc, FixedIndegree(5), vogels, name="ie")
    net.connect(exc >> inh, FixedIndegree(5), Tsodyks2(weight=80.0, delay=0.5), name="ei")
    net.connect(inh >> inh, FixedIndegree(3), Static(weight=-60.0, delay=0.3), name="ii")
    for population in (exc, inh):
        net.record(population, "spikes")
    return net


def second(precision: str = "float64") -> snn.Network:
    """A third factor, voltages, power laws, traces of triplets, states of sources."""
    net = snn.Network(seed=5, dt=0.1)
    inh = net.population("inh", 10 * N, IafPscExp(t_ref=0.3), V_m=snn.Uniform(-60.0, -50.0))
    noise = net.population("noise", 8 * N, Poisson(rate=3000.0))
    net.stimulate(inh, PoissonInput(rate=30000.0, weight=120.0))
    dopamine = net.population("dopamine", 2, Poisson(rate=2000.0))
    third = {"modulator": dopamine, "modulator_delay": 0.3}
    net.connect(noise >> inh, FixedIndegree(4), StdpReward(weight=60.0, delay=snn.Uniform(0.2, 0.6), **third), name="reward")
    voltage = net.population("voltage", 5 * N, Clamped(V=snn.Uniform(-60.0, -40.0)))
    net.connect(noise >> voltage, FixedIndegree(4), Clopath(weight=1.0, delay=snn.Uniform(0.1, 0.5), A_LTD=1e-3), name="clopath")
    net.connect(inh >> inh, FixedTotalNumber(20 * N), StdpTriplet(weight=30.0, delay=0.4, Wmax=100.0), name="triplet")
    net.connect(noise >> inh, FixedIndegree(2), StdpPl(weight=20.0, delay=0.3), name="power")
    net.connect(noise >> inh, FixedIndegree(3), Tsodyks(weight=40.0, delay=0.6), name="short")
    net.connect(noise >> inh, FixedIndegree(3), StdpNnRestr(weight=40.0, delay=0.6, Wmax=80.0), name="restricted")
    net.record(inh, "spikes")
    for what in ("weight", "c"):
        net.record("reward", what, every=0.5, dtype="float64")
    return net


def third(precision: str = "float64") -> snn.Network:
    """The other rules."""
    net = snn.Network(seed=6, dt=0.1)
    cells = net.population("inh", 8 * N, IafPscExp(t_ref=0.3), V_m=snn.Uniform(-60.0, -50.0))
    noise = net.population("noise", 6 * N, Poisson(rate=3000.0))
    net.stimulate(cells, PoissonInput(rate=30000.0, weight=120.0))
    dopamine = net.population("dopamine", 2, Poisson(rate=2000.0))
    for kind in (StdpNnSymm, StdpOja, StdpSfa, StdpDopamine, SfaGradient):
        more = {"modulator": dopamine, "modulator_delay": 0.3} if kind.on_modulator else {}
        net.connect(noise >> cells, FixedIndegree(3), kind(weight=0.9, delay=snn.Uniform(0.2, 0.6), **more), name=kind.__name__)
    net.record(cells, "spikes")
    return net


THIRD = ("StdpNnSymm", "StdpOja", "StdpSfa", "StdpDopamine", "SfaGradient")


def changed(sim: Any, names: tuple[str, ...]) -> None:
    """What may be changed between runs, while spikes are on their way."""
    sim[names[0]].learning = -0.5
    sim[names[1]].set_weights(sim[names[1]].weights()["weight"] * 0.5)
    sim["inh"].inject([sim.time + 0.2] * 2, [1, 2])


def result(net: snn.Network, names: tuple[str, ...], **options: Any) -> tuple[Any, dict[str, np.ndarray]]:
    with snn.Simulation(net, **options) as sim:
        sim.run(PIECES[0])
        changed(sim, names)
        sim.run(PIECES[1])
        return snn.open(sim).load(), {name: sim[name].weights()["weight"] for name in names}


def test_rules_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on two parts whose histories have less room; test_cuda_edges.py has some that are cut while they run."""
    expected = result(first(), FIRST, backend="cpu", threads=1)
    assert expected[0]["exc/spikes"].sizes["event"] > 20 * N
    for name in FIRST[:3]:
        assert len(np.unique(expected[1][name])) > 10, name
    assert_same(result(first(), FIRST, backend="cuda"), expected)
    monkeypatch.setattr("eventsnn.backends.cuda.plastic.ROOM", 4)
    assert_same(result(first(), FIRST, backend="cuda", parts=2), expected)


@pytest.mark.parametrize(("make", "names"), [(second, SECOND), (third, THIRD)])
def test_other_rules(make: Any, names: tuple[str, ...]) -> None:
    expected = result(make(), names, backend="cpu", threads=1)
    assert expected[0]["inh/spikes"].sizes["event"] > 5 * N
    for name in names:
        assert name == "short" or len(np.unique(expected[1][name])) > 3, name
    assert_same(result(make(), names, backend="cuda"), expected)
    assert_same(result(make(), names, backend="cuda", parts=2), expected)


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [("cpu", "cuda", (1, 2)), ("cuda", "cpu", (1, 2)), ("cuda", "cuda", (1, 2)), ("cuda", "cuda", (2, 1))],
)
@pytest.mark.parametrize("make", [first, second])
def test_a_checkpoint_of_the_other_backend(tmp_path: Path, before: str, after: str, parts: tuple[int, int], make: Any) -> None:
    names = FIRST if make is first else SECOND
    expected = result(make(), names, backend="cpu", threads=1)
    store = tmp_path / "run.zarr"
    with snn.Simulation(make(), store=store, backend=before, threads=1, parts=parts[0]) as sim:
        sim.run(PIECES[0])
        changed(sim, names)
        sim.run(0.7)
        sim.checkpoint()
    with snn.resume(store, backend=after, parts=parts[1]) as sim:
        sim.run(round(PIECES[1] - 0.7, 1))
        found = {name: sim[name].weights()["weight"] for name in names}
    assert_same((snn.open(store).load(), found), expected)


def test_parts_without_a_synapse(tmp_path: Path) -> None:
    """Nothing to remember in a checkpoint, and nothing of it in a part that goes on."""

    def make() -> snn.Network:
        net = snn.Network(seed=1, dt=0.1)
        cells = net.population("a", 4, IafPscExp(I_e=900.0), V_m=snn.Uniform(-60.0, -50.5))
        net.connect(cells >> cells, FixedOutdegree(1), Stdp(weight=50.0, delay=0.3), name="few")
        net.connect(cells >> cells, FixedIndegree(0), Stdp(weight=50.0, delay=0.3), name="none")
        net.record(cells, "spikes")
        return net

    with snn.Simulation(make(), backend="cpu", threads=1) as sim:
        sim.run(4.0)
        expected = snn.open(sim).load(), {"few": sim["few"].weights()["weight"]}
    with snn.Simulation(make(), store=tmp_path / "s", backend="cuda", parts=2) as sim:
        sim.run(2.0)
        sim.checkpoint()
    with snn.resume(tmp_path / "s", backend="cuda", parts=3) as sim:
        sim.run(2.0)
        found = {"few": sim["few"].weights()["weight"]}
    assert_same((snn.open(tmp_path / "s").load(), found), expected)


@pytest.mark.parametrize("make", [first, second])
def test_the_memory_that_was_foretold(make: Any) -> None:
    with snn.Simulation(make(), backend="cuda") as sim:
        expected, _ = device_bytes(sim.spec, sim.plan.shares[0].slices)
        held = sim.report()["parts"][0]["bytes"]  # type: ignore[index]
    log = 8 * LOG_ITEMS
    assert abs((held - log) / (expected - log) - 1.0) < 0.1


def test_a_history_that_is_full() -> None:
    net = snn.Network(seed=5, dt=0.1)
    noise = net.population("noise", 2, Poisson(rate=3000.0))
    cells = net.population("cells", 2, IafPscExp())
    dopamine = net.population("dopamine", 9, Poisson(rate=300_000.0))
    net.connect(noise >> cells, FixedIndegree(2), StdpReward(weight=1.0, delay=1.5, modulator=dopamine), name="learned")
    with (
        snn.Simulation(net, backend="cuda") as sim,
        pytest.raises(MemoryError, match="'learned': more than .* spikes of a target and of the modulator lay within"),
    ):
        sim.run(5.0)
