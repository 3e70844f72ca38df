"""Synapses that do not change."""

from __future__ import annotations

from dataclasses import KW_ONLY

from eventsnn.model import value_object


@value_object
class Static:
    """weight: in the unit of the receptor it reaches (pA, mV, nS); delay: ms, at least one step, rounded to the nearest.

    Each is one number, a distribution, or, with Explicit, an array with one number per connection.
    """

    _: KW_ONLY
    weight: object
    delay: object
