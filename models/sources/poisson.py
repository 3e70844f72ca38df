"""Spiking sources with Poisson statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping

from eventsnn import spec
from eventsnn.codegen.poisson import most_events
from eventsnn.errors import ParameterError
from eventsnn.model import Model, Param
from eventsnn.models.sources.rates import profile
from eventsnn.values import bounds

MOST = 255
"""Spikes of one neuron in one step."""
ROOM = 8
"""Spikes in one step that targets are always scaled for, so that a rate may rise during a run: to 0.3 per step."""


class Poisson(Model):
    """Each neuron emits k spikes in a step with P(k) = m^k exp(-m)/k!, m = rate dt; independent of all others.

    A rate that changes with time is given as Rates, rate_function(...) or Sinusoid; sim[name].set("rate", ...) replaces it by a
    constant one, of some neurons or all (until then the rate reads nan). Its spikes travel through connections, so that targets
    share them; for independent input to every neuron use PoissonInput. NEST: poisson_generator with one parrot_neuron per train.
    """

    rate = Param(None, "Hz", "mean number of spikes per second", low=0.0)

    def dynamics(self, size: int, dt: float, values: Mapping[str, object], key: spec.Key) -> spec.PoissonSource:
        changing = self._profile(size, dt, values)
        if changing is not None:
            return spec.PoissonSource({"rate": spec.Fixed(math.nan)}, key, changing)
        return spec.PoissonSource({"rate": self._rate(size, dt, values)}, key)

    def multiplicity(self, size: int, dt: float, values: Mapping[str, object]) -> int:
        changing = self._profile(size, dt, values)
        highest = bounds(self._rate(size, dt, values))[1] if changing is None else float(changing.values.max())
        return max(ROOM, min(MOST, most_events(highest * dt * 1e-3)))

    def _profile(self, size: int, dt: float, values: Mapping[str, object]) -> spec.RateProfile | None:
        made = profile(values["rate"], size, dt, "Poisson: rate")
        if made is not None:
            self._check(float(made.values.max()) * dt * 1e-3, dt)
        return made

    def _rate(self, size: int, dt: float, values: Mapping[str, object]) -> spec.Value:
        rate = self.params()["rate"].value(values["rate"], size, "Poisson: rate")
        self._check(bounds(rate)[1] * dt * 1e-3, dt)
        return rate

    @staticmethod
    def _check(mean: float, dt: float) -> None:
        if mean > MOST / 2:
            given = f"a rate of {mean / dt * 1e3:g} Hz gives {mean:g} spikes per step of {dt:g} ms"
            raise ParameterError(f"Poisson: {given}; at most 127 are allowed, use more neurons")
