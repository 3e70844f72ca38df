"""What the rules share: checks of degrees and bounds on random ones."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError

T = TypeVar("T")
LATER = {"absent": None}
"""Of a field that a description leaves out where it is None."""


def overlap(pre: spec.Subset, post: spec.Subset) -> bool:
    """Whether two subsets of one population share a neuron."""
    if pre.ids is None and post.ids is None:
        return max(pre.start, post.start) < min(pre.stop, post.stop)
    return bool(np.intersect1d(pre.array(), post.array(), assume_unique=True).size)


def whole(given: object, who: str) -> int:
    """A count: a whole number >= 0."""
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)):
        raise KindError(f"{who} must be a whole number, not {given!r}")
    if given < 0:
        raise ParameterError(f"{who} must be >= 0, not {given}")
    return int(given)


def flag(given: object, who: str) -> bool:
    if not isinstance(given, (bool, np.bool_)):
        raise KindError(f"{who} must be True or False, not {given!r}")
    return bool(given)


def possible(degree: int, choices: int, distinct: bool, less: bool, who: str) -> None:
    """Whether `degree` partners can be drawn from `choices` neurons, one less where a neuron may not choose itself."""
    left = choices - 1 if less else choices
    besides = ", itself left out" if less else ""
    if distinct and degree > left:
        raise ParameterError(f"{who}: {degree} different partners are asked for, but there are {left} to choose from{besides}; "
                             "lower the number or allow multapses=True")  # fmt: skip
    if degree > 0 and left < 1:
        raise ParameterError(f"{who}: {degree} partners are asked for, but there are none to choose from{besides}")


def random_bound(mean: float) -> float:
    """A number that a random degree exceeds with a probability below 1e-15: mean + 12 standard deviations + 20."""
    return mean + 12.0 * math.sqrt(mean) + 20.0
