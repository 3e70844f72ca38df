"""Sources that emit given spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError, ShapeError
from eventsnn.model import Model, Param
from eventsnn.units import grid_steps, magnitude, steps


class SpikeTrain(Model):
    """Neuron ids[k] emits a spike at times[k] (ms, > 0, on the grid; round=True moves each to the nearest step).

    Times need no order; equal pairs are spikes of the same step, at most 255. NEST: spike_generator with parrot_neurons.
    """

    times = Param(None, "ms", "spike times")
    ids = Param(None, "", "index of the neuron of each spike")
    round = Param(False, "", "whether times are moved to the nearest step")

    def dynamics(self, size: int, dt: float, values: Mapping[str, object], key: spec.Key) -> spec.Train:
        times, ids = self._numbers(values["times"], "times", "ms"), self._numbers(values["ids"], "ids", "")
        if times.shape != ids.shape:
            raise ShapeError(f"SpikeTrain: {len(times)} times but {len(ids)} ids; give one id per time")
        if ids.size and (np.any(ids != np.floor(ids)) or ids.min() < 0 or ids.max() >= size):
            wrong = ids[(ids != np.floor(ids)) | (ids < 0) | (ids >= size)][0]
            raise ParameterError(f"SpikeTrain: id {wrong:g} is not the index of one of the {size} neurons (0 to {size - 1})")
        when = steps(times, dt) if values["round"] else self._on_grid(times, dt)
        if when.size and when.min() < 1:
            first = times[when.argmin()]
            raise ParameterError(f"SpikeTrain: a spike at {first:g} ms; times must be > 0: the first step ends at {dt:g} ms")
        order = np.lexsort((ids, when))
        return spec.Train(when[order], ids[order].astype(np.int64))

    def multiplicity(self, size: int, dt: float, values: Mapping[str, object]) -> int:
        train = self.dynamics(size, dt, values, (0, 0))
        if not train.steps.size:
            return 1
        changes = np.flatnonzero((np.diff(train.steps) != 0) | (np.diff(train.ids) != 0))
        most = int(np.diff(np.concatenate(([-1], changes, [len(train.steps) - 1]))).max())
        if most > 255:
            raise ParameterError(f"SpikeTrain: {most} spikes of one neuron in one step; at most 255 are allowed")
        return most

    @staticmethod
    def _on_grid(times: npt.NDArray[np.float64], dt: float) -> npt.NDArray[np.int64]:
        try:
            return grid_steps(times, dt, "SpikeTrain: times")
        except ParameterError as error:
            raise ParameterError(f"{error}, or give round=True") from None

    @staticmethod
    def _numbers(given: Any, name: str, unit: str) -> npt.NDArray[np.float64]:
        try:
            numbers = np.asarray(magnitude(given, unit, f"SpikeTrain: {name}"), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise KindError(f"SpikeTrain: {name} must be numbers, not {given!r}") from error
        if numbers.ndim != 1:
            raise ShapeError(f"SpikeTrain: {name} must be a list of numbers, not of shape {numbers.shape}")
        if not np.isfinite(numbers).all():
            raise ParameterError(f"SpikeTrain: {name} must be finite")
        return numbers
