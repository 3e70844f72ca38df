"""Alternating currents."""

from __future__ import annotations

from eventsnn import spec
from eventsnn.model import StimulusTarget, value_object
from eventsnn.models.sources.rates import sine
from eventsnn.models.stimuli.noise_current import window
from eventsnn.units import magnitude


@value_object
class AcCurrent:
    """offset + amplitude sin(2 pi frequency t + phase) (pA, Hz, rad) flows in (t, t + dt], for start <= t < stop (ms).

    Some number of its periods, up to 100,000 steps, must be a whole number of steps. NEST: ac_generator without its delay.
    """

    amplitude: object
    frequency: float
    phase: float = 0.0
    offset: object = 0.0
    start: float = 0.0
    stop: float | None = None

    def pulse(self, unit: str, who: str) -> None:
        """It is a current and has no pulses."""

    def most(self, size: int, dt: float) -> int:
        """It has no pulses."""
        return 0

    def lower(self, target: StimulusTarget) -> spec.WaveStimulus:
        who = "AcCurrent"
        amplitude, offset = (float(magnitude(x, "pA", f"{who}: amplitude")) for x in (self.amplitude, self.offset))
        wave = sine(float(magnitude(self.frequency, "Hz", who)), float(self.phase), target.dt, 0.0, who)
        start, stop = window(self.start, self.stop, target.dt, who)
        return spec.WaveStimulus(target.population, target.subset, offset + amplitude * wave, start, stop)
