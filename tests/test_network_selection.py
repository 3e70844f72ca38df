"""Selections choose the neurons that numpy indexing would, as views of one population."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventsnn as snn
from eventsnn.errors import SelectionError
from eventsnn.models import IafPscDelta
from eventsnn.selection import Population, Selection

N = 20


@pytest.fixture
def exc() -> Population:
    return snn.Network(seed=1, dt=0.1).population("exc", N, IafPscDelta())


def ids(selection: Selection) -> list[int]:
    return [int(k) for k in selection.subset.array()]


@settings(deadline=None)
@given(st.integers(-25, 25) | st.none(), st.integers(-25, 25) | st.none(), st.integers(1, 5) | st.none())
def test_a_slice_means_what_it_means_to_numpy(start: int | None, stop: int | None, step: int | None) -> None:
    exc = snn.Network(seed=1, dt=0.1).population("exc", N, IafPscDelta())
    expected = np.arange(N)[start:stop:step].tolist()
    if expected:
        assert ids(exc[start:stop:step]) == expected
    else:
        with pytest.raises(SelectionError, match="selects no neuron"):
            exc[start:stop:step]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (3, [3]),
        (-1, [19]),
        (np.int64(4), [4]),
        ([1, 5, 6], [1, 5, 6]),
        ([-3, -1], [17, 19]),
        (np.array([0, 2], dtype=np.uint8), [0, 2]),
        (np.arange(N) % 5 == 0, [0, 5, 10, 15]),
        (lambda neurons: neurons > 16, [17, 18, 19]),
        (slice(None), list(range(N))),
    ],
)
def test_every_kind_of_index(exc: Population, index: object, expected: list[int]) -> None:
    assert ids(exc[index]) == expected  # type: ignore[index]
    assert len(exc[index]) == len(expected)  # type: ignore[index]


def test_a_contiguous_selection_is_a_range_however_it_was_asked_for(exc: Population) -> None:
    for selection in (exc[5:8], exc[[5, 6, 7]], exc[np.isin(np.arange(N), [5, 6, 7])]):
        assert (selection.subset.start, selection.subset.stop, selection.subset.ids) == (5, 8, None)


def test_selecting_within_a_selection_counts_from_its_first_neuron(exc: Population) -> None:
    all_ids = np.arange(N)
    assert ids(exc[4:][::3][1:3]) == all_ids[4:][::3][1:3].tolist()
    assert ids(exc[[2, 9, 11]][-1]) == [11]
    assert ids(exc[10:][np.arange(10) % 2 == 1]) == all_ids[10:][1::2].tolist()


def test_a_predicate_sees_indices_in_the_population(exc: Population) -> None:
    assert ids(exc[10:][lambda neurons: neurons % 4 == 0]) == [12, 16]


def test_and_keeps_what_is_in_both(exc: Population) -> None:
    assert ids(exc[:10] & exc[::4]) == [0, 4, 8]
    assert ids(exc & exc[3:5]) == [3, 4]
    with pytest.raises(SelectionError, match="selects no neuron"):
        exc[:5] & exc[5:]


def test_selecting_changes_nothing(exc: Population) -> None:
    part = exc[:10]
    part[lambda neurons: neurons < 3]
    assert ids(part) == list(range(10))
    assert len(exc) == N


def test_a_predicate_cannot_change_the_selection_it_is_shown(exc: Population) -> None:
    def careless(neurons: np.ndarray) -> np.ndarray:
        neurons += 1
        return neurons > 0

    chosen = exc[::2]
    chosen[careless]
    assert ids(chosen) == list(range(0, N, 2))


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (20, SelectionError, "there is no neuron 20; give 0 to 19"),
        ([0, -21], SelectionError, "there is no neuron -21"),
        ([], SelectionError, "selects no neuron of 20"),
        ([5, 3], SelectionError, "positions must ascend and differ"),
        ([3, 3], SelectionError, "positions must ascend and differ"),
        (slice(None, None, -1), SelectionError, "positions must ascend and differ"),
        (np.ones(19, dtype=bool), SelectionError, r"a mask of shape \(19,\) was given; it must have shape \(20,\)"),
        (lambda neurons: neurons * 2, SelectionError, "predicate returned int64; it must return a boolean mask"),
        ([0.5], TypeError, "give a slice, an integer, a list of integers, a boolean mask or a predicate"),
        ([[1, 2], [3, 4]], TypeError, "give a slice"),
        ("exc", TypeError, "give a slice"),
    ],
)
def test_a_wrong_index_says_what_is_allowed(exc: Population, index: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        exc[index]  # type: ignore[index]


@pytest.mark.parametrize("choose", [lambda p: p, lambda p: p[:5]])
def test_populations_do_not_iterate_by_accident(exc: Population, choose: Callable[[Population], object]) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        iter(choose(exc))  # type: ignore[call-overload]


def test_a_route_is_a_value(exc: Population) -> None:
    route = exc[:5] >> exc
    assert (ids(route.pre), len(route.post)) == (list(range(5)), N)
    assert repr(route) == "exc[0:5] >> exc"
    with pytest.raises(TypeError, match="'inh' is no population"):
        exc >> "inh"  # type: ignore[operator]


def test_selections_survive_pickling_with_their_population(exc: Population) -> None:
    population, selection = pickle.loads(pickle.dumps((exc, exc[::3])))
    assert ids(selection) == list(range(0, N, 3))
    assert selection.population is population
