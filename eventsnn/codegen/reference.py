"""Runs generated texts as plain Python on numpy scalars: what every compiled kernel is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from eventsnn import spec
from eventsnn.codegen.portable import COS_SOURCE, EXP_SOURCE, EXPREL_SOURCE, LOG_SOURCE, SIN_SOURCE


def exact_fma(a: Any, b: Any, c: Any) -> Any:
    """a*b + c rounded once to the type of a (float64 or float32), from exact fractions."""
    kind = type(a)
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return kind(a * b + c)
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    try:
        near = kind(float(exact))
    except OverflowError:
        return kind(math.copysign(math.inf, exact))
    if kind is np.float64 or not math.isfinite(near):
        return near
    around = (near, np.nextafter(near, kind(-np.inf)), np.nextafter(near, kind(np.inf)))  # float() has rounded to float64 before
    return min(around, key=lambda v: (abs(Fraction(float(v)) - exact), int(v.view(np.uint32)) & 1))


def names(precision: str = "float64") -> dict[str, Any]:
    """The free names of a step, for plain Python."""
    kind = np.dtype(precision).type
    space: dict[str, Any] = {"np": np, "F": kind, "I0": np.int32(0), "I1": np.int32(1), "fma": exact_fma}
    space |= {"mul": lambda a, b: a * b, "sqrt": np.sqrt}
    for texts in (EXP_SOURCE, LOG_SOURCE, EXPREL_SOURCE, SIN_SOURCE, COS_SOURCE):
        exec(texts[precision], space)
    return space


def plain_step(kernel: spec.KernelSpec, current: bool = False, precision: str = "float64") -> Callable[..., tuple[Any, ...]]:
    """The step of a kernel as a Python function on scalars of `precision`."""
    space = names(precision)
    exec(kernel.step_source(current), space)
    step: Callable[..., tuple[Any, ...]] = space["step"]
    return step
