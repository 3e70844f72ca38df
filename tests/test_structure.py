"""Sub-networks: nested, built by functions, copied, merged, stored, recorded and run under their paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.canonical import canonical
from eventsnn.errors import EventsnnError
from eventsnn.models import FixedIndegree, IafPscExp, Poisson, PoissonInput, Static
from eventsnn.restored import restore


def layer(net: Any, exc: int = 40, inh: int = 10) -> None:
    """What a user's function builds, in a network or a sub-network."""
    cells = [net.population(name, n, IafPscExp(), V_m=snn.Uniform(-65.0, -50.0)) for name, n in (("exc", exc), ("inh", inh))]
    for post in cells:
        net.stimulate(post, PoissonInput(rate=9000.0, weight=90.0))
        net.connect(cells[0] >> post, FixedIndegree(5), Static(weight=30.0, delay=1.5))
    net.record(cells[0], "spikes")
    net.record(cells[1], "V_m", every=1.0)


def cortex() -> snn.Network:
    net = snn.Network(seed=3, dt=0.1)
    area = net.subnetwork("cortex")
    area.subnetwork("L4", layer)
    area.subnetwork("L5", layer, exc=20)
    net.connect(area["L4/exc"] >> net["cortex/L5/inh"], FixedIndegree(3), Static(weight=9.0, delay=2.0))
    area.subnetwork("empty")
    return net


def test_paths_lead_to_populations() -> None:
    net = cortex()
    exc = net["cortex/L4/exc"]
    assert exc is net["cortex"]["L4"]["exc"] is net["cortex"]["L4/exc"] is net.populations["cortex/L4/exc"]
    assert list(net["cortex"].populations) == ["L4/exc", "L4/inh", "L5/exc", "L5/inh"]
    assert list(net["cortex/L5"].populations) == ["exc", "inh"] and net["cortex/L5"].size == 30
    assert list(net.subnetworks) == ["cortex", "cortex/L4", "cortex/L5", "cortex/empty"]
    assert list(net["cortex"].subnetworks) == ["L4", "L5", "empty"]
    assert list(net["cortex/L4"].projections) == ["exc_to_exc", "exc_to_inh"]
    assert list(net["cortex"].projections)[-1] == "L4.exc_to_L5.inh"
    assert next(iter(net.recordings)) == "cortex/L4/exc/spikes"
    assert "cortex/L4/exc" in net and "exc" in net["cortex/L4"] and "exc" not in net


def test_records_and_stimuli_of_a_whole_sub_network() -> None:
    """As a loop over its populations would make them, of all levels; below, and in a store."""
    whole, looped = cortex(), cortex()
    for net in (whole, looped):
        net.population("outside", 3, IafPscExp())
    made = whole.record(whole["cortex"], "ex", every=1.0)
    drives = whole["cortex"].stimulate(whole["cortex/L4"], PoissonInput(rate=10.0, weight=1.0))
    below = whole["cortex"].record(whole["cortex"]["L5"], "spikes", name="fired", keep=20.0)
    assert [r.path for r in made] == [f"cortex/{name}/ex" for name in ("L4/exc", "L4/inh", "L5/exc", "L5/inh")]
    assert [s.target.population.name for s in drives] == ["cortex/L4/exc", "cortex/L4/inh"]
    assert [r.path for r in below] == ["cortex/L5/exc/fired", "cortex/L5/inh/fired"]
    for p in looped["cortex"].populations.values():
        looped.record(p, "ex", every=1.0)
    for p in looped["cortex/L4"].populations.values():
        looped.stimulate(p, PoissonInput(rate=10.0, weight=1.0))
    for p in looped["cortex/L5"].populations.values():
        looped.record(p, "spikes", name="fired", keep=20.0)
    assert canonical(whole) == canonical(looped)


def test_a_whole_sub_network_is_recorded_or_nothing_of_it() -> None:
    net = cortex()
    net["cortex/L5"].population("noise", 3, Poisson(rate=5.0))
    before = canonical(net)
    for wrong, says in (
        (lambda: net.record(net["cortex"], "V_m", name="v"), "cortex/L5/noise"),
        (lambda: net.record(net["cortex"], "spikes"), "cortex/L4/exc/spikes"),
        (lambda: net.stimulate(net["cortex"], PoissonInput(rate=1.0, weight=1.0)), "cortex/L5/noise"),
        (lambda: net.record(net["cortex/empty"], "spikes"), "no population"),
        (lambda: net.record(cortex()["cortex"], "ex"), "another network"),
        (lambda: net.record(net["cortex"], "ex", pre=net["cortex/L4/exc"]), "pre="),
    ):
        with pytest.raises(EventsnnError, match=says):
            wrong()
    assert canonical(net) == before


def test_a_run_with_paths(tmp_path: Path) -> None:
    """The same spikes as without structure, where the names are those of the populations; on parts and from a store."""
    store = tmp_path / "run.zarr"
    with snn.Simulation(cortex(), store=store) as sim:
        sim.run(50.0)
        edges = sim["cortex/L4/exc_to_exc"].weights()
        assert len(sim["cortex/L4/exc"].counts()) == 40 and (np.bincount(edges["post"]) == 5).all()
        sim.checkpoint()
    run = snn.open(store)
    spikes = run["cortex/L4/exc/spikes"].to_dataset().load()
    assert spikes.sizes["event"] > 50 and run["cortex/L5/inh/V_m"]["V_m"].shape == (50, 10)
    with snn.Simulation(cortex(), parts=2) as sim:
        sim.run(50.0)
        other = snn.open(sim)["cortex/L4/exc/spikes"].to_dataset().load()
    assert np.array_equal(other["tick"], spikes["tick"]) and np.array_equal(other["neuron"], spikes["neuron"])
    with snn.resume(store) as sim:
        sim.run(10.0)
    assert snn.open(store)["cortex/L5/inh/V_m"]["V_m"].shape == (60, 10)


def test_structure_is_kept_by_copies_merges_and_stores() -> None:
    net = cortex()
    again = restore(json.loads(json.dumps(canonical(net))), {}.__getitem__)
    assert canonical(again) == canonical(net) == canonical(net.copy())
    copy = net.copy()
    copy["cortex"].population("more", 3, IafPscExp())
    assert "cortex/more" in copy and "cortex/more" not in net
    whole = snn.Network(seed=3, dt=0.1)
    whole.merge(net)
    assert canonical(whole) == canonical(net)
    whole.merge(net, "left")
    whole.subnetwork("right").merge(net)
    assert whole.size == 3 * net.size and whole["left/cortex/L4/exc"] is not whole["right"]["cortex/L4/exc"]
    assert "left/cortex/L4/exc/spikes" in whole.recordings
    assert whole["left/cortex"].projections.keys() == net["cortex"].projections.keys()
    with pytest.raises(EventsnnError):
        whole.merge(net, "left")


def test_a_function_builds_alike_in_a_network_and_below() -> None:
    """Streams follow names: a sub-network draws like a population of its full path."""
    flat = snn.Network(seed=3, dt=0.1)
    layer(flat)
    nested = snn.Network(seed=3, dt=0.1)
    nested.subnetwork("part", layer)
    assert [p.removeprefix("part/") for p in nested.populations] == list(flat.populations)
    values = []
    for net, name in ((flat, "exc"), (nested, "part/exc")):
        with snn.Simulation(net) as sim:
            values.append(sim[name].get("V_m"))
    assert not np.array_equal(*values)


def test_names_with_a_stroke_need_their_sub_network() -> None:
    net = cortex()
    for wrong in (
        lambda: net.population("thalamus/relay", 3, IafPscExp()),
        lambda: net.population("cortex/", 3, IafPscExp()),
        lambda: net.population("/cortex", 3, IafPscExp()),
        lambda: net.population("cortex/L4/exc", 3, IafPscExp()),
        lambda: net.population("cortex/L4", 3, IafPscExp()),
        lambda: net["cortex"].population("spikes", 3, IafPscExp()),
        lambda: net.subnetwork("cortex"),
        lambda: net.subnetwork("cortex/L4/exc"),
        lambda: net.subnetwork("a/b"),
        lambda: net["cortex/L6"],
        lambda: net["cortex"]["L6"],
    ):
        with pytest.raises(EventsnnError):
            wrong()
    with pytest.raises(EventsnnError, match="subnetwork"):
        net.population("thalamus/relay", 3, IafPscExp())
    assert repr(net["cortex"]) == "SubNetwork('cortex': 4 populations, 80 neurons)"
