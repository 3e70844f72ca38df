"""Piecewise constant currents."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError, ShapeError
from eventsnn.model import StimulusTarget, value_object
from eventsnn.units import grid_steps, magnitude


@value_object
class StepCurrent:
    """The current values[k] (pA) flows in (times[k], times[k + 1]], the last for ever, and 0 before the first.

    times: ms, >= 0, on the grid, ascending. values: one per time, or shape (times, neurons of the selection).
    NEST: step_current_generator without its delay.
    """

    times: object
    values: object

    def pulse(self, unit: str, who: str) -> None:
        """It is a current and has no pulses."""

    def most(self, size: int, dt: float) -> int:
        """It has no pulses."""
        return 0

    def lower(self, target: StimulusTarget) -> spec.CurrentStimulus:
        times = _numbers(self.times, "times", "ms")
        if times.ndim != 1 or not len(times):
            raise ShapeError(f"StepCurrent: times must be a list of at least one time, not of shape {times.shape}")
        if times.min() < 0.0:
            raise ParameterError(f"StepCurrent: times must be >= 0 ms, not {times.min():g}")
        steps = grid_steps(times, target.dt, "StepCurrent: times")
        if np.any(np.diff(steps) <= 0):
            k = int(np.argmax(np.diff(steps) <= 0))
            raise ParameterError(f"StepCurrent: times must ascend, but {times[k]:g} ms is followed by {times[k + 1]:g} ms")
        values, n = _numbers(self.values, "values", "pA"), len(target.subset)
        if values.shape not in ((len(times),), (len(times), n)):
            allowed = f"{len(times)} values, one per time, or shape ({len(times)}, {n})"
            raise ShapeError(f"StepCurrent: values has shape {values.shape}; give {allowed}")
        return spec.CurrentStimulus(target.population, target.subset, steps, values)


def _numbers(given: Any, name: str, unit: str) -> npt.NDArray[np.float64]:
    try:
        numbers = np.array(magnitude(given, unit, f"StepCurrent: {name}"), dtype=np.float64)
    except (TypeError, ValueError) as error:
        if type(error).__module__.startswith("eventsnn"):
            raise
        raise KindError(f"StepCurrent: {name} must be numbers, not {given!r}") from None
    if not np.isfinite(numbers).all():
        raise ParameterError(f"StepCurrent: {name} must be finite")
    return numbers
