"""Rates that change with time, for Poisson sources and inputs."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError, ShapeError
from eventsnn.model import value_object
from eventsnn.units import grid_steps, magnitude

LONGEST = 100_000
"""Steps of a period."""


@value_object
class Rates:
    """The rate values[k] (Hz) in (times[k], times[k + 1]], the last for ever, and 0 before the first.

    times: ms, >= 0, on the grid, ascending. values: one per time, or shape (times, neurons). NEST:
    inhomogeneous_poisson_generator.
    """

    times: object
    values: object

    def profile(self, size: int, dt: float, who: str) -> spec.RateProfile:
        """As `size` neurons on a grid of dt ms take it; errors name `who`."""
        times, values = numbers(self.times, "ms", f"{who}: times"), numbers(self.values, "Hz", f"{who}: values")
        if times.ndim != 1 or not len(times):
            raise ShapeError(f"{who}: times must be a list of at least one time, not of shape {times.shape}")
        if values.shape not in ((len(times),), (len(times), size)):
            allowed = f"{len(times)} values, one per time, or shape ({len(times)}, {size})"
            raise ShapeError(f"{who}: values has shape {values.shape}; give {allowed}")
        steps = grid_steps(times, dt, f"{who}: times")
        if steps.min() < 0 or np.any(np.diff(steps) <= 0):
            raise ParameterError(f"{who}: times must be >= 0 ms and ascend")
        if values.min() < 0.0:
            raise ParameterError(f"{who} must be >= 0 Hz, not {values.min():g}")
        return spec.RateProfile(steps, values)


def rate_function(function: Callable[[float], Any], until: float, every: float) -> Rates:
    """The rates of a function of time: function(t) is one rate (Hz) or one per neuron, t in ms.

    It is evaluated now, in the middle of each interval of `every` ms up to `until` ms, whose rate holds for the interval; the
    last holds for ever. A function without an end is evaluated while the simulation runs, of a Poisson source described with the
    highest rate that it will have:

        sim["source"].set("rate", function(every / 2))
        sim.every(every, lambda sim: sim["source"].set("rate", function(sim.time + every / 2)))
    """
    count = round(until / every) if every > 0.0 else 0
    if count < 1:
        raise ParameterError(f"rate_function: until must be at least every > 0, not {until!r} and {every!r}")
    times = np.round(np.arange(count) * every, 10)
    return Rates(times, np.array([np.asarray(function(float(t + every / 2.0)), np.float64) for t in times]))


@value_object
class Sinusoid:
    """The rate max(0, rate + amplitude sin(2 pi frequency t + phase)), Hz and rad, in the middle of each step.

    Some number of its periods, up to 100,000 steps, must be a whole number of steps. NEST: sinusoidal_poisson_generator.
    """

    rate: float
    amplitude: float
    frequency: float
    phase: float = 0.0

    def profile(self, size: int, dt: float, who: str) -> spec.RateProfile:
        """As neurons on a grid of dt ms take it."""
        rate, amplitude = (float(magnitude(x, "Hz", who)) for x in (self.rate, self.amplitude))
        wave = sine(float(magnitude(self.frequency, "Hz", who)), float(self.phase), dt, 0.5, who)
        return spec.RateProfile(np.arange(len(wave)), np.maximum(0.0, rate + amplitude * wave), len(wave))


def profile(given: object, size: int, dt: float, who: str) -> spec.RateProfile | None:
    """The profile of rates that change; None of a value that does not."""
    return given.profile(size, dt, who) if isinstance(given, Rates | Sinusoid) else None


def sine(frequency: float, phase: float, dt: float, offset: float, who: str) -> npt.NDArray[np.float64]:
    """sin(2 pi frequency t + phase) at t = (k + offset) dt of a whole number of periods, in extended precision, rounded once."""
    from mpmath import mp

    cycles = Fraction(repr(float(frequency))) * Fraction(repr(float(dt))) / 1000
    if not 0 < cycles <= Fraction(1, 2):
        raise ParameterError(f"{who}: frequency must be > 0 Hz and at most {500.0 / dt:g} Hz, not {frequency:g}")
    period = cycles.denominator
    if period > LONGEST:
        near = cycles.limit_denominator(LONGEST) * 1000 / Fraction(repr(float(dt)))
        raise ParameterError(
            f"{who}: no number of periods of {frequency:g} Hz, up to {LONGEST:,} steps, is a whole number of steps of {dt:g} ms; "
            f"give {float(near):.10g} Hz"
        )
    with mp.workprec(100):
        shift = mp.mpf(offset) * cycles.numerator / period
        turns = [mp.mpf((k * cycles.numerator) % period) / period + shift for k in range(period)]
        return np.array([float(mp.sin(2 * mp.pi * turn + phase)) for turn in turns])


def numbers(given: Any, unit: str, who: str) -> npt.NDArray[np.float64]:
    """Finite numbers in a unit."""
    try:
        made = np.array(magnitude(given, unit, who), dtype=np.float64)
    except (TypeError, ValueError) as error:
        if type(error).__module__.startswith("eventsnn"):
            raise
        raise KindError(f"{who} must be numbers, not {given!r}") from None
    if not np.isfinite(made).all():
        raise ParameterError(f"{who} must be finite")
    return made
