"""Connection rules say what NEST's say, and an impossible degree raises with both numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from eventsnn import spec
from eventsnn.errors import EventsnnError, KindError, ParameterError, ShapeError, UnknownName
from eventsnn.models import AllToAll, Bernoulli, Explicit, FixedIndegree, FixedOutdegree, FixedTotalNumber, OneToOne, Static

TEN, FIVE, APART = spec.Subset(0, 10), spec.Subset(5, 10), spec.Subset(20, 30)
SCATTERED = spec.Subset(0, 10, np.array([1, 3, 9]))


def test_rules_become_plain_data():
    assert AllToAll().lower(TEN, TEN, True) == spec.EverySource(True)
    assert AllToAll(autapses=False).lower(TEN, TEN, True) == spec.EverySource(False)
    assert OneToOne().lower(TEN, APART, False) == spec.SameSource()
    assert FixedIndegree(4).lower(TEN, APART, False) == spec.DrawnSources(spec.FixedDegree(4), distinct=False, autapses=True)
    assert FixedIndegree(4, False, False).lower(TEN, FIVE, True) == spec.DrawnSources(
        spec.FixedDegree(4), distinct=True, autapses=False
    )
    assert FixedOutdegree(3, multapses=False).lower(TEN, FIVE, True) == spec.DrawnTargets(3, distinct=True, autapses=True)
    assert FixedTotalNumber(100).lower(TEN, FIVE, True) == spec.DrawnSources(spec.TotalDegree(100), distinct=False, autapses=True)
    assert Bernoulli(0.1, autapses=False).lower(TEN, TEN, True) == spec.DrawnSources(
        spec.BinomialDegree(0.1), distinct=True, autapses=False
    )
    edges = Explicit([0, 1, 1], np.array([2, 2, 0])).lower(TEN, FIVE, False)
    assert (edges.pre.tolist(), edges.post.tolist()) == ([0, 1, 1], [2, 2, 0])


def test_autapses_need_no_care_between_populations_or_disjoint_subsets():
    for pre, post, same in ((TEN, TEN, False), (TEN, APART, True), (spec.Subset(0, 3, np.array([0, 2])), SCATTERED, True)):
        assert FixedIndegree(2, autapses=False).lower(pre, post, same).autapses
    assert not FixedIndegree(2, autapses=False).lower(SCATTERED, FIVE, True).autapses


def test_expected_numbers_and_bounds_on_in_degrees():
    rng = np.random.default_rng(2)
    assert AllToAll().expected(10, 20) == 200.0
    assert FixedIndegree(7).expected(10, 20) == 140.0
    assert FixedOutdegree(7).expected(10, 20) == 70.0
    assert Bernoulli(0.1).expected(10, 20) == pytest.approx(20.0)
    assert FixedTotalNumber(33).expected(10, 20) == 33.0
    assert (FixedIndegree(7).per_target(10, 20), AllToAll().per_target(10, 20), OneToOne().per_target(9, 9)) == (7.0, 10.0, 1.0)
    assert Bernoulli(0.9).per_target(10, 20) == 10.0
    assert Explicit([0, 1, 2, 0], [1, 1, 1, 0]).per_target(3, 2) == 3.0
    most = np.bincount(rng.integers(0, 50, 1000 * 20), minlength=50).max()
    assert most < FixedOutdegree(20).per_target(1000, 50) == FixedTotalNumber(20_000).per_target(1000, 50)
    assert FixedOutdegree(2, multapses=False).per_target(3, 50) == 3.0


WRONG: dict[str, tuple[Callable[[], object], type[EventsnnError], str]] = {
    "indegree": (
        lambda: FixedIndegree(11, multapses=False).lower(TEN, FIVE, False),
        ParameterError,
        r"FixedIndegree\(11\) from 10 sources: 11 different partners",
    ),
    "itself": (
        lambda: FixedIndegree(10, False, False).lower(TEN, TEN, True),
        ParameterError,
        "there are 9 to choose from, itself left out",
    ),
    "lonely": (
        lambda: FixedIndegree(1, autapses=False).lower(spec.Subset(0, 1), spec.Subset(0, 1), True),
        ParameterError,
        "there are none to choose",
    ),
    "nobody": (lambda: FixedIndegree(1).lower(spec.Subset(0, 0), TEN, False), ParameterError, "none to choose"),
    "outdegree": (
        lambda: FixedOutdegree(6, multapses=False).lower(TEN, FIVE, False),
        ParameterError,
        r"FixedOutdegree\(6\) to 5 targets: 6 different",
    ),
    "total": (lambda: FixedTotalNumber(3).lower(spec.Subset(0, 0), TEN, False), ParameterError, "none to choose"),
    "multapses": (
        lambda: FixedTotalNumber(3, multapses=False),
        ParameterError,
        "multapses=False isn't available for this rule, as in NEST",
    ),
    "autapses": (lambda: FixedTotalNumber(3, autapses=False), ParameterError, "autapses=False isn't available"),
    "sizes": (lambda: OneToOne().lower(TEN, FIVE, False), ShapeError, "10 sources but 5 targets"),
    "negative": (lambda: FixedIndegree(-1), ParameterError, "indegree must be >= 0, not -1"),
    "fraction": (lambda: FixedIndegree(0.1), KindError, "indegree must be a whole number, not 0.1"),
    "flag": (lambda: FixedIndegree(1, autapses=2), KindError, "autapses must be True or False"),
    "probability": (lambda: Bernoulli(1.5), ParameterError, "must be between 0 and 1, not 1.5"),
    "nan": (lambda: Bernoulli(float("nan")), ParameterError, "must be between 0 and 1"),
    "text": (lambda: Bernoulli("0.1"), KindError, "p must be one number"),
    "pairs": (lambda: Explicit([0, 1], [0]), ShapeError, "2 sources but 1 targets"),
    "matrix": (lambda: Explicit([[0, 1]], [0]), ShapeError, "list of positions"),
    "floats": (lambda: Explicit([0.5], [0]), KindError, "whole numbers"),
    "outside": (
        lambda: Explicit([0, 10], [0, 1]).lower(TEN, FIVE, False),
        ParameterError,
        r"pre holds 10, but that side has 10 neurons \(0 to 9\)",
    ),
    "below": (lambda: Explicit([0], [-1]).lower(TEN, FIVE, False), ParameterError, "post holds -1"),
    "typo": (lambda: FixedIndegree(indegre=3), UnknownName, "FixedIndegree has no argument 'indegre'; did you mean 'indegree'"),
    "missing": (lambda: FixedIndegree(), KindError, "missing a required argument: 'indegree'"),
    "delay": (lambda: Static(weight=1.0), KindError, "missing a required argument: 'delay'"),
    "position": (lambda: Static(1.0, 2.0), KindError, "too many positional arguments"),
    "weigth": (lambda: Static(weigth=1.0, delay=1.0), UnknownName, "did you mean 'weight'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_connected_raises(name: str):
    make, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        make()


def test_rules_are_values_that_nobody_can_change():
    given = np.array([0, 1])
    rule = Explicit(given, [1, 0])
    given[0] = 7
    assert rule.lower(TEN, FIVE, False).pre.tolist() == [0, 1]
    with pytest.raises(AttributeError):
        rule.pre = given  # type: ignore[misc]
