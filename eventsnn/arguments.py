"""Plain arguments of a script: one number, a whole number, and how a wrong one is told."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager

from eventsnn import spec
from eventsnn.errors import EventsnnError, KindError
from eventsnn.values import as_value


def one_number(given: object, unit: str, who: str) -> float:
    """A finite number, or a quantity, in `unit`."""
    wrong = KindError(f"{who} must be one number or a pint quantity, not {given!r}")
    try:
        value = as_value(given, 1, unit, who)
    except KindError:
        raise wrong from None
    if not isinstance(value, spec.Fixed):
        raise wrong
    return value.value


def whole_number(given: object) -> int | None:
    """The whole number that was given; None of anything else, truth values included."""
    if isinstance(given, bool):
        return None
    try:
        return operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        return None


def shown(given: object) -> str:
    """What was given, with a class told from an object of it."""
    return f"the class {given.__name__}" if isinstance(given, type) else repr(given)


def offers(given: object, *words: str) -> bool:
    """Whether it is an object, not a class, that has all these attributes."""
    return not isinstance(given, type) and all(hasattr(given, word) for word in words)


@contextmanager
def on_behalf_of(who: str) -> Iterator[None]:
    """Errors of models, rules and stimuli, which know no names, are raised in the name of what they were given to."""
    try:
        yield
    except EventsnnError as error:
        raise type(error)(f"{who}: {error}") from None
