"""Lowering decides keys from the description alone, by the rules worked out by hand here, and loses nothing."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest

from eventsnn import spec
from eventsnn.errors import ParameterError
from eventsnn.lower import lower
from eventsnn.models import (
    AllToAll,
    FixedIndegree,
    IafPscExp,
    Parrot,
    Poisson,
    PoissonInput,
    Static,
    StepCurrent,
)
from eventsnn.network import Network


def two(n: int = 10, m: int = 10, **options: float) -> Network:
    net = Network(seed=1, dt=0.1)
    net.population("pre", n, IafPscExp(**options))
    net.population("post", m, IafPscExp())
    return net


def joined(net: Network, weight: object, rule: object = None, pre: str = "pre", post: str = "post") -> None:
    net.connect(net[pre] >> net[post], rule or AllToAll(), Static(weight=weight, delay=1.0))  # type: ignore[arg-type]


def receptor(lowered: spec.NetworkSpec, name: str, population: int = 1) -> spec.ReceptorSpec:
    return next(r for r in lowered.populations[population].receptors if r.name == name)


# ---- keys


def words(text: str) -> tuple[int, int]:
    low, high = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=8).digest(), dtype="<u4")
    return int(low), int(high)


def brunel_like(seed: int = 1) -> Network:
    net = Network(seed=seed, dt=0.1)
    exc, inh = net.population("exc", 80, IafPscExp()), net.population("inh", 20, IafPscExp())
    source = net.population("src", 5, Poisson(rate=5.0))
    net.stimulate(exc, PoissonInput(rate=900.0, weight=20.0))
    net.stimulate(exc, PoissonInput(rate=300.0, weight=-20.0))
    for post in (exc, inh):
        net.connect(exc >> post, FixedIndegree(8), Static(weight=20.0, delay=1.5))
        net.connect(source >> post, AllToAll(), Static(weight=20.0, delay=1.5))
    return net


def keys(network: Network) -> dict[tuple[str, object], spec.Key]:
    lowered = lower(network)
    found: dict[tuple[str, object], spec.Key] = {("population", p.name): p.key for p in lowered.populations}
    found |= {("projection", p.name): p.key for p in lowered.projections}
    found |= {("source", p.name): p.dynamics.key for p in lowered.populations if isinstance(p.dynamics, spec.PoissonSource)}
    for position, population in enumerate(lowered.populations):
        drives = [s for s in lowered.stimuli if isinstance(s, spec.PoissonStimulus) and s.population == position]
        found |= {("stimulus", f"{population.name}|{k}"): s.key for k, s in enumerate(drives)}
    return found


def test_a_key_is_the_hash_of_a_name() -> None:
    assert keys(brunel_like(seed=7)) == {
        (kind, name): words(f"7|{kind}|{name}")
        for kind, names in {
            "population": ("exc", "inh", "src"),
            "projection": ("exc_to_exc", "src_to_exc", "exc_to_inh", "src_to_inh"),
            "source": ("src",),
            "stimulus": ("exc|0", "exc|1"),
        }.items()
        for name in names
    }


def test_no_two_streams_share_a_key() -> None:
    found = list(keys(brunel_like()).values())
    assert len(set(found)) == len(found)


def test_adding_things_changes_no_other_key() -> None:
    before = keys(brunel_like())
    net = brunel_like()
    net.population("more", 10, IafPscExp())
    net.connect(net["more"] >> net["exc"], AllToAll(), Static(weight=1.0, delay=1.0))
    net.record(net["exc"], "V_m")
    net.stimulate(net["inh"], PoissonInput(rate=1.0, weight=1.0))
    net.stimulate(net["exc"], StepCurrent(times=[1.0], values=[1.0]))
    after = keys(net)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 3


def test_a_population_made_first_changes_no_other_key() -> None:
    net = Network(seed=1, dt=0.1)
    net.population("first", 3, Parrot())
    exc = net.population("exc", 80, IafPscExp())
    net.stimulate(exc, PoissonInput(rate=900.0, weight=20.0))
    before, after = keys(brunel_like()), keys(net)
    assert {name: after[name] for name in after if name in before} == {name: before[name] for name in after if name in before}


def test_the_part_of_a_population_draws_what_the_whole_would() -> None:
    whole, part = Network(seed=1, dt=0.1), Network(seed=1, dt=0.1)
    for net, stop in ((whole, 20), (part, 5)):
        net.stimulate(net.population("exc", 20, IafPscExp())[:stop], PoissonInput(rate=900.0, weight=20.0))
    (a,), (b,) = lower(whole).stimuli, lower(part).stimuli
    assert isinstance(a, spec.PoissonStimulus)
    assert isinstance(b, spec.PoissonStimulus)
    assert (a.key, a.weight, len(a.subset), len(b.subset)) == (b.key, b.weight, 20, 5)


def test_the_seed_changes_every_key() -> None:
    one, two_ = keys(brunel_like(seed=1)), keys(brunel_like(seed=2))
    assert all(one[name] != two_[name] for name in one)


# ---- the rest of the description


def test_populations_are_numbered_in_the_order_they_were_made() -> None:
    lowered = lower(brunel_like())
    assert [(p.name, p.first, p.size) for p in lowered.populations] == [("exc", 0, 80), ("inh", 80, 20), ("src", 100, 5)]
    assert lowered.size == 105
    assert [(p.name, p.pre, p.post) for p in lowered.projections] == [
        ("exc_to_exc", 0, 0),
        ("src_to_exc", 2, 0),
        ("exc_to_inh", 0, 1),
        ("src_to_inh", 2, 1),
    ]


def test_recordings_and_currents_are_placed() -> None:
    net = two()
    net.record(net["post"][::3], "V_m", every=0.5, dtype="float64")
    net.stimulate(net["post"][2:5], StepCurrent(times=[1.0, 2.0], values=[100.0, 0.0]))
    lowered = lower(net, "float32")
    (recorded,), (current,) = lowered.recordings, lowered.stimuli
    assert (recorded.path, recorded.population, recorded.every, recorded.dtype) == ("post/V_m", 1, 5, "float64")
    assert recorded.subset.array().tolist() == [0, 3, 6, 9]
    assert isinstance(current, spec.CurrentStimulus)
    assert (current.population, current.subset.start, current.subset.stop) == (1, 2, 5)
    assert (current.steps.tolist(), current.values.tolist()) == ([10, 20], [100.0, 0.0])
    assert lowered.precision == "float32"


def test_lowering_is_repeatable_and_picklable() -> None:
    first, second = lower(brunel_like()), lower(brunel_like())
    assert pickle.dumps(first) == pickle.dumps(second)
    loaded = pickle.loads(pickle.dumps(first))
    assert [p.key for p in loaded.projections] == [p.key for p in first.projections]


def test_a_network_without_populations_cannot_be_lowered() -> None:
    with pytest.raises(ParameterError, match=r"there is no population; add one with network\.population"):
        lower(Network(seed=1, dt=0.1))


def test_precision_names_the_nearest_valid_word() -> None:
    with pytest.raises(ValueError, match=r"no precision 'float63'; did you mean 'float64'\?"):
        lower(brunel_like(), "float63")
