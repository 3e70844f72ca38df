"""Parrots repeat what they hear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from eventsnn import spec
from eventsnn.model import Model, Receptor


class Parrot(Model):
    """Emits as many spikes as arrived in the same step with a positive weight, at most 255. NEST: parrot_neuron."""

    receptors: ClassVar[tuple[Receptor, ...]] = (Receptor("in", "", "w > 0: one spike"),)

    def dynamics(self, size: int, dt: float, values: Mapping[str, object], key: spec.Key) -> spec.Relay:
        return spec.Relay()

    def multiplicity(self, size: int, dt: float, values: Mapping[str, object]) -> int:
        return 255
