"""Many errors become the one that was the cause, of its own type, with the name of who had it."""

from __future__ import annotations

import pytest

from eventsnn.errors import ParameterError
from eventsnn.scheduler.errors import LinkLost, PartFailed, RecordsLost, WorkerLost
from eventsnn.scheduler.failure import Failure, cause, named


def test_the_cause_is_not_a_link_that_broke_because_of_it() -> None:
    lost = LinkLost(0, 1, 5, "closed")
    assert cause({0: lost, 2: ValueError("x"), 1: ValueError("y")}) == 1
    assert cause({0: lost, 1: RecordsLost("gone"), 2: MemoryError()}) == 2
    assert cause({1: lost, 3: RecordsLost("gone")}) == 1


@pytest.mark.parametrize(
    "error", [ValueError("wrong"), ParameterError("wrong"), MemoryError("wrong"), OSError("wrong"), KeyError("wrong")]
)
def test_an_error_keeps_its_type_and_gains_a_name(error: Exception) -> None:
    made = named(error, "part 1 (exc)")
    assert type(made) is type(error)
    assert "part 1 (exc): " in str(made)
    assert "wrong" in str(made)
    assert made.__cause__ is error


def test_an_error_that_needs_more_than_a_text_becomes_a_failed_part() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        b"\xff".decode()
    made = named(caught.value, "part 1 (exc)")
    assert type(made) is PartFailed
    assert str(made).startswith("part 1 (exc): UnicodeDecodeError: 'utf-8' codec")


def test_errors_that_speak_for_themselves_stay_as_they_are() -> None:
    for error in (LinkLost(0, 1, 5, "closed"), WorkerLost("tcp://a:1", "exc", "during the run")):
        assert named(error, "part 1") is error


def test_a_failure_carries_an_error_with_its_place() -> None:
    def wrong() -> None:
        raise ParameterError("wrong")

    with pytest.raises(ParameterError) as caught:
        wrong()
    error = Failure.of(caught.value).error()
    assert type(error) is ParameterError
    assert str(error) == "wrong"
    assert "in wrong" in error.__notes__[0]


def test_what_cannot_be_pickled_is_told_in_words() -> None:
    class Local(Exception):
        pass

    error = Failure.of(Local("only here")).error()
    assert type(error) is PartFailed
    assert str(error) == "Local: only here"
