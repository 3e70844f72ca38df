"""Background input with Poisson statistics."""

from __future__ import annotations

import numpy as np

from eventsnn import spec
from eventsnn.codegen.poisson import most_events
from eventsnn.errors import KindError, ParameterError
from eventsnn.model import StimulusTarget, value_object
from eventsnn.models.sources.rates import profile
from eventsnn.units import own_unit
from eventsnn.values import as_value, bounds

LARGEST = 10_000.0
"""Mean number of pulses per step."""
WHO = "PoissonInput: rate"


@value_object
class PoissonInput:
    """An independent Poisson train into each neuron: k pulses of `weight` in a step, P(k) = m^k exp(-m)/k!, m = rate dt.

    rate: Hz; one number, a distribution, or one number per neuron of the selection; Rates, rate_function(...) or Sinusoid where
    it changes with time.
    weight: one number, in the unit of the receptor.
    There is no delay: what is drawn for (t - dt, t] enters at t.
    """

    rate: object
    weight: object

    def pulse(self, unit: str, who: str) -> float:
        """Weight of one pulse, in the unit of the receptor."""
        value = as_value(self.weight, 1, unit, who)
        if not isinstance(value, spec.Fixed):
            raise KindError(f"{who} must be one number, not {self.weight!r}; make one stimulus per weight")
        return value.value

    def most(self, size: int, dt: float) -> int:
        """Most pulses into one neuron in one step."""
        changing = profile(self.rate, size, dt, WHO)
        highest = bounds(self._rate(size))[1] if changing is None else float(changing.values.max())
        return most_events(self._mean(highest, dt))

    def lower(self, target: StimulusTarget) -> spec.PoissonStimulus:
        changing = profile(self.rate, len(target.subset), target.dt, WHO)
        rate = self._rate(len(target.subset)) if changing is None else spec.Fixed(0.0)
        self._mean(bounds(rate)[1] if changing is None else float(changing.values.max()), target.dt)
        pulse = self.pulse(own_unit(self.weight) if target.unit is None else target.unit, "PoissonInput: weight")
        weight = int(np.rint(np.ldexp(pulse, -target.exponent)))
        return spec.PoissonStimulus(target.population, target.subset, rate, target.receptor, weight, target.key, changing)

    @staticmethod
    def _mean(highest: float, dt: float) -> float:
        """The largest mean per step; counts are kept in 16 bits."""
        mean = max(0.0, highest) * dt * 1e-3
        if mean > LARGEST:
            raise ParameterError(
                f"PoissonInput: a rate of {mean / dt * 1e3:g} Hz gives {mean:g} pulses per step of {dt:g} ms; "
                f"at most {LARGEST:g} are allowed: give a lower rate of larger pulses, or a current"
            )
        return mean

    def _rate(self, size: int) -> spec.Value:
        rate = as_value(self.rate, size, "Hz", WHO)
        least = bounds(rate)[0]
        if least < 0.0:
            raise ParameterError(f"PoissonInput: rate must be >= 0 Hz, not {least:g}")
        return rate
