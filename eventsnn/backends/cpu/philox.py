"""Random words, and what is drawn from them, compiled for the CPU. A word is a function of (key, counter) only."""

from __future__ import annotations

from typing import Any

from eventsnn.backends.cpu.intrinsics import bits, clamp, helper, item, mul
from eventsnn.backends.shared import DRAWS, STEP_DRAWS, bind


@helper(forceinline=True)
def nearest(x):
    """The nearest integer, ties to even."""
    return round(x)


_names: dict[str, Any] = {"item": item, "bits": bits, "clamp": clamp, "nearest": nearest, "mul": mul}
bind((*DRAWS, *STEP_DRAWS), helper(forceinline=True), _names)
philox, below, quantile = _names["philox"], _names["below"], _names["quantile"]
delay_steps, stored_weight = _names["delay_steps"], _names["stored_weight"]
search_count, uniform = _names["search_count"], _names["uniform"]
