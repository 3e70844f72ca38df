"""What eventsnn raises. An error says who, what was given, what is allowed and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EventsnnError(Exception):
    """Every error made by eventsnn itself; each is a ValueError, a TypeError or a RuntimeError, too."""


class ParameterError(EventsnnError, ValueError):
    """A value is out of range, not finite, or contradicts another one."""


class ShapeError(ParameterError):
    """An array has the wrong length or number of dimensions."""


class SelectionError(ParameterError):
    """An index that chooses no neuron, a neuron that does not exist, or neurons of another network."""


class UnitError(EventsnnError, ValueError):
    """A quantity has the wrong dimension."""


class UnknownName(EventsnnError, ValueError):
    """A name that does not exist here."""


class ModelError(EventsnnError, ValueError):
    """The declaration of a model is wrong: its equations, receptors, threshold, reset or step."""


class StateError(EventsnnError, RuntimeError):
    """What a checkpoint holds does not fit the network."""


class DeviceError(EventsnnError, RuntimeError):
    """There is no GPU that can be used, or it failed."""


class KindError(EventsnnError, TypeError):
    """A value of the wrong kind, such as text where a number is needed."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The valid word that a typo most likely stood for, if any comes close."""
    choices = tuple(choices)
    by_case = {c.lower(): c for c in choices}
    if word.lower() in by_case:
        return by_case[word.lower()]
    found = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return found[0] if found else None


def valid(word: str, choices: Iterable[str]) -> str:
    """What is allowed instead of a word: "did you mean 'tau_m'? Valid: C_m, tau_m."."""
    choices = tuple(choices)
    guess = nearest(word, choices)
    hint = f"did you mean {guess!r}? " if guess else ""
    return hint + (f"Valid: {', '.join(choices)}." if choices else "It has none.")


def unknown_name(who: str, kind: str, word: str, choices: Iterable[str]) -> UnknownName:
    """The error for a name that does not exist, e.g. unknown_name("IafPscExp", "parameter", "taum", params)."""
    return UnknownName(f"{who} has no {kind} {word!r}; {valid(word, choices)}")
