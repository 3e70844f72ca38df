"""Lowering decides keys and scales from the description alone, by the rules worked out by hand here."""

from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventsnn as snn
from eventsnn import spec
from eventsnn.canonical import canonical
from eventsnn.errors import ParameterError
from eventsnn.fixed_point import INT32_LIMIT, INT64_LIMIT, Arrival, quantum
from eventsnn.lower import lower, quantisation
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


# ---- fixed point, by hand


def test_a_constant_weight_keeps_sixteen_bits() -> None:
    net = two()
    joined(net, 20.0)
    lowered = lower(net)
    assert receptor(lowered, "ex") == spec.ReceptorSpec("ex", "pA", -12, False)  # 2**4 <= 20 < 2**5, 4 - 16
    assert receptor(lowered, "in") == spec.ReceptorSpec("in", "pA", 0, False)  # nothing enters
    (p,) = lowered.projections
    assert (p.bits, p.exponent, p.weight, p.receptor_positive, p.receptor_negative) == (0, -12, spec.Fixed(20.0), 0, 0)
    assert (p.expected, p.per_target) == (100.0, 10.0)


def test_drawn_weights_have_a_grid_of_fifteen_bits_and_a_sign() -> None:
    net = two()
    joined(net, snn.Uniform(10.0, 40.0))
    (p,) = (lowered := lower(net)).projections
    assert (p.bits, p.exponent) == (16, -9)  # 40 / 32767 = 2**-9.7
    assert receptor(lowered, "ex").exponent == -9


def test_the_finest_grid_decides_the_quantum_and_the_others_keep_theirs() -> None:
    net = two()
    joined(net, snn.Uniform(10.0, 40.0))
    joined(net, 1.0)
    joined(net, -300.0)
    drawn, small, negative = (lowered := lower(net)).projections
    assert (drawn.exponent, small.exponent, negative.exponent) == (-9, -16, -8)
    assert (receptor(lowered, "ex").exponent, receptor(lowered, "in").exponent) == (-16, -8)


@pytest.mark.parametrize(("sources", "wide", "exponent"), [(26_214, False, -12), (26_215, True, -36)])
def test_the_accumulator_is_wide_from_where_the_bound_overflows_int32(sources: int, wide: bool, exponent: int) -> None:
    net = two(n=sources, m=1)
    joined(net, 20.0)  # 81,920 units each: 26,214 of them are 2**31 - 32,768 units
    assert receptor(lower(net), "ex") == spec.ReceptorSpec("ex", "pA", exponent, wide)


@pytest.mark.parametrize(("parrots", "wide"), [(102, False), (103, True)])
def test_the_bound_counts_every_spike_of_a_parrot(parrots: int, wide: bool) -> None:
    net = two()
    net.population("relay", parrots, Parrot())
    joined(net, 20.0, pre="relay")  # 81,920 units x 255 x 103 > 2**31
    assert receptor(lower(net), "ex").wide is wide


def test_the_bound_does_not_depend_on_how_many_targets_there_are() -> None:
    scales = []
    for targets in (1, 1000):
        net = two(n=50, m=targets)
        joined(net, snn.Normal(20.0, 2.0), FixedIndegree(500))
        scales.append(receptor(lower(net), "ex"))
    assert scales[0] == scales[1]


def test_weights_given_edge_by_edge_are_stored_in_32_bits_and_summed_in_64() -> None:
    net = two()
    joined(net, [3.0, -0.5], Explicit(pre=[0, 1], post=[2, 2]))
    (p,) = (lowered := lower(net)).projections
    assert (p.bits, p.exponent, p.receptor_positive, p.receptor_negative) == (32, -29, 0, 1)  # 3 / (2**31 - 1) = 2**-29.4
    assert receptor(lowered, "ex") == spec.ReceptorSpec("ex", "pA", -29, True)
    assert receptor(lowered, "in") == spec.ReceptorSpec("in", "pA", -29, True)


@pytest.mark.parametrize(
    ("weight", "rule", "bits"),
    [(0.0, AllToAll(), 0), (snn.Uniform(-1.0, 1.0) * 0.0, AllToAll(), None), ([0.0, 0.0], Explicit(pre=[0, 1], post=[0, 1]), 32)],
)
def test_zero_weights_are_legal(weight: object, rule: object, bits: int | None) -> None:
    net = two()
    joined(net, weight, rule)
    (p,) = (lowered := lower(net)).projections
    assert (p.exponent, receptor(lowered, "ex").exponent) == (0, 0)
    assert bits is None or p.bits == bits
    assert quantisation(lowered) == {"pre_to_post": 0.0}


def test_zero_weights_beside_large_ones_stay_on_the_grid() -> None:
    net = two()
    joined(net, 0.0)
    joined(net, 1e9)
    zero, large = (lowered := lower(net)).projections
    assert zero.exponent == large.exponent == receptor(lowered, "ex").exponent == 13  # 2**29 <= 1e9 < 2**30


def test_a_poisson_drive_is_counted_in_units_of_its_receptor() -> None:
    net = two()
    net.stimulate(net["post"], PoissonInput(rate=8000.0, weight=87.8))
    (drive,) = (lowered := lower(net)).stimuli
    assert isinstance(drive, spec.PoissonStimulus)
    assert (drive.receptor, drive.weight) == (0, 89_907)  # 87.8 x 2**10 = 89,907.2
    assert receptor(lowered, "ex") == spec.ReceptorSpec("ex", "pA", -10, False)
    assert quantisation(lowered) == {"stimulus 0 on post": pytest.approx(0.5 / 89_907)}


def test_a_wide_accumulator_of_drives_alone() -> None:
    arrivals = [Arrival(20.0, 100.0, None), Arrival(20.0, 30_000.0, None)]
    assert quantum(arrivals, "here") == (-36, True)


def test_wide_constants_get_as_many_of_forty_bits_as_there_is_room() -> None:
    units = 20.0 * 2**36  # of 2**-36
    fits = int(2**62 / units)
    assert quantum([Arrival(20.0, fits, None)], "here") == (-36, True)
    assert quantum([Arrival(20.0, fits + 1, None)], "here") == (-35, True)


def test_weights_that_no_64_bit_accumulator_can_hold_are_refused() -> None:
    net = two()
    joined(net, 1e-9)
    joined(net, 1e9)
    with pytest.raises(ParameterError, match=r"population 'post', receptor 'ex': inputs with weights from 1e-09 to 1e\+09"):
        lower(net)


arrivals = st.one_of(
    st.builds(Arrival, st.floats(1e-3, 1e3), st.floats(0.0, 1e5), st.none()),
    st.builds(Arrival, st.floats(0.5, 1.0), st.floats(0.0, 1e5), st.just(-14)),
    st.builds(Arrival, st.floats(0.5, 1.0), st.floats(0.0, 1e5), st.just(-30), st.just(True)),
)


@settings(deadline=None)
@given(st.lists(arrivals, min_size=1, max_size=5))
def test_no_sum_overflows_and_no_constant_loses_its_bits(entering: list[Arrival]) -> None:
    exponent, wide = quantum(entering, "here")
    bound = sum(a.count * a.magnitude for a in entering) * 2.0**-exponent
    assert bound <= (INT64_LIMIT if wide else INT32_LIMIT) * (1 + 1e-4)
    assert all(2.0**exponent <= a.magnitude * 2.0**-16 for a in entering if a.grid is None)
    assert all(exponent <= a.grid for a in entering if a.grid is not None)
    assert wide or not any(a.explicit for a in entering)
    assert quantum(entering[::-1], "here") == (exponent, wide)


def test_quantisation_reports_what_a_user_gets() -> None:
    net = two()
    joined(net, 0.1)
    joined(net, snn.Uniform(-40.0, -10.0))
    reported = quantisation(lower(net))
    assert reported["pre_to_post"] == pytest.approx(abs(104_858 / 2**20 - 0.1) / 0.1)
    assert reported["pre_to_post_2"] == pytest.approx(2.0**-10 / 40.0, rel=1e-6)


# ---- parrots


def relayed(weight: object, rule: object = None) -> spec.ProjectionSpec:
    net = two()
    net.population("relay", 10, Parrot())
    joined(net, weight, rule, post="relay")
    (p,) = (lowered := lower(net)).projections
    assert receptor(lowered, "in", population=2) == spec.ReceptorSpec("in", receptor(lowered, "in", 2).unit, 0, False)
    assert (p.exponent, p.receptor_positive, p.receptor_negative) == (0, 0, 0)
    return p


@pytest.mark.parametrize(("weight", "counted"), [(20.0, 1.0), (0.1, 1.0), (0.0, 0.0), (-3.0, 0.0), (snn.Uniform(1.0, 2.0), 1.0)])
def test_a_parrot_counts_positive_weights_once(weight: object, counted: float) -> None:
    p = relayed(weight, OneToOne())
    assert (p.weight, p.bits) == (spec.Fixed(counted), 0)


def test_a_parrot_tells_given_weights_apart() -> None:
    p = relayed([2.0, -1.0, 0.0], Explicit(pre=[0, 1, 2], post=[0, 1, 2]))
    assert isinstance(p.weight, spec.Given)
    assert (p.weight.values.tolist(), p.bits) == ([1.0, 0.0, 0.0], 32)


def test_a_drive_makes_a_parrot_count() -> None:
    net = Network(seed=1, dt=0.1)
    net.stimulate(net.population("relay", 10, Parrot()), PoissonInput(rate=100.0, weight=20.0))
    (drive,) = lower(net).stimuli
    assert isinstance(drive, spec.PoissonStimulus)
    assert drive.weight == 1


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


# ---- canonical description


def described(weight: object = 1.0, n: int = 3, **values: object) -> str:
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", n, IafPscDelta(), **values)
    net.connect(cells[::2] >> cells, AllToAll(), Static(weight=weight, delay=1.0))
    net.stimulate(cells, PoissonInput(rate=1.0, weight=1.0))
    net.record(cells, "spikes")
    return json.dumps(canonical(net), allow_nan=False)


def test_equal_networks_have_equal_descriptions() -> None:
    assert described() == described()
    assert described(V_m=[1.0, 2.0, 3.0]) == described(V_m=np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    "other", [{"weight": 2.0}, {"n": 4}, {"V_m": -65.0}, {"V_m": snn.Uniform(0.0, 1.0)}, {"weight": snn.Normal(1.0, 0.1)}]
)
def test_what_differs_shows(other: dict[str, object]) -> None:
    assert described(**other) != described()  # type: ignore[arg-type]


def test_the_description_holds_the_equations_as_text() -> None:
    model = json.loads(described())["populations"][0]["model"]
    assert "dV_m/dt" in model["declaration"]["equations"]
    assert model["values"]["tau_m"] == 10.0


def test_twice_one_draw_is_not_the_sum_of_two() -> None:
    x = snn.Uniform(0.0, 1.0)
    assert described(V_m=x + x) != described(V_m=snn.Uniform(0.0, 1.0) + snn.Uniform(0.0, 1.0))


def test_long_arrays_are_described_by_their_hash() -> None:
    values = np.linspace(-70.0, -60.0, 1001)
    held = json.loads(described(n=1001, V_m=values))["populations"][0]["values"]["V_m"]
    assert held == {"shape": [1001], "sha256": hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()}
    assert len(json.loads(described(n=1000, V_m=values[:1000]))["populations"][0]["values"]["V_m"]) == 1000
