"""Currents of white noise."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from eventsnn import spec
from eventsnn.errors import ParameterError
from eventsnn.model import StimulusTarget, value_object
from eventsnn.units import FARTHEST, grid_steps, magnitude
from eventsnn.values import Normal, as_value, bounds


@value_object
class NoiseCurrent:
    """A current of each neuron's own that is constant for dt ms: mean + std z (pA), z of mean 0 and variance 1, drawn anew then.

    It flows from start to stop (ms). mean, std: one number, a distribution, or one number per neuron of the selection; dt: a
    multiple of the step, by default the step. NEST: noise_generator (whose dt is 1 ms) without its delay.
    """

    draws: ClassVar[bool] = True
    mean: object
    std: object
    dt: float | None = None
    start: float = 0.0
    stop: float | None = None

    def pulse(self, unit: str, who: str) -> None:
        """It is a current and has no pulses."""

    def most(self, size: int, dt: float) -> int:
        """It has no pulses."""
        return 0

    def lower(self, target: StimulusTarget) -> spec.NoiseStimulus:
        who, n = "NoiseCurrent", len(target.subset)
        mean, std = (as_value(x, n, "pA", f"{who}: {name}") for name, x in (("mean", self.mean), ("std", self.std)))
        if bounds(std)[0] < 0.0:
            raise ParameterError(f"{who}: std must be >= 0 pA, not {bounds(std)[0]:g}")
        hold = target.dt if self.dt is None else float(magnitude(self.dt, "ms", f"{who}: dt"))
        steps = int(grid_steps(np.array([hold]), target.dt, f"{who}: dt")[0])
        if steps < 1:
            raise ParameterError(f"{who}: dt must be at least a step of {target.dt:g} ms, not {hold:g}")
        start, stop = window(self.start, self.stop, target.dt, who)
        normal = Normal(0.0, 1.0).drawn()
        return spec.NoiseStimulus(target.population, target.subset, mean, std, steps, start, stop, normal, target.key)


def window(start: float, stop: float | None, dt: float, who: str) -> tuple[int, int]:
    """Steps after which a stimulus begins and ends."""
    times = [float(magnitude(start, "ms", f"{who}: start"))]
    times += [] if stop is None else [float(magnitude(stop, "ms", f"{who}: stop"))]
    steps = grid_steps(np.array(times), dt, f"{who}: start and stop").tolist()
    if steps[0] < 0 or (stop is not None and steps[1] < steps[0]):
        raise ParameterError(f"{who}: start must be >= 0 ms and not after stop, not {start!r} and {stop!r}")
    return steps[0], steps[1] if stop is not None else int(FARTHEST)
