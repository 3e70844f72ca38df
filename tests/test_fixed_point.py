"""Weights become integers by the scales worked out by hand here, from the description alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lower import joined, receptor, two

import eventsnn as snn
from eventsnn import spec
from eventsnn.errors import ParameterError
from eventsnn.fixed_point import INT32_LIMIT, INT64_LIMIT, Arrival, quantum
from eventsnn.lower import lower, quantisation
from eventsnn.models import (
    AllToAll,
    Explicit,
    FixedIndegree,
    OneToOne,
    Parrot,
    PoissonInput,
)
from eventsnn.network import Network


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
