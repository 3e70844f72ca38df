"""Any model with a current, and noise in it."""

from __future__ import annotations

import re
import types
from typing import Any

from eventsnn.errors import ModelError
from eventsnn.model import NeuronModel, Param, State


def with_noise(model: type[NeuronModel]) -> type[NeuronModel]:
    """The model with an Ornstein-Uhlenbeck process I_noise beside its constant current, neuron by neuron.

    dI_noise/dt = (noise_mean - I_noise)/noise_tau + noise_std sqrt(2/noise_tau) xi, in the unit of the current; its stationary
    distribution is normal with this mean and standard deviation, its correlation exp(-t/noise_tau), on the grid exactly. It
    begins at its mean. For white noise without a state see NoiseCurrent.
    """
    current = model.current
    if current is None or model.step is not None or not model.equations.strip():
        raise ModelError(f"with_noise({model.__name__}): it takes no current, or has no equations; declare current = 'I_e'")
    unit = model.params()[current].unit
    body: dict[str, Any] = {
        "__doc__": f"{model.__name__} with an Ornstein-Uhlenbeck current. {with_noise.__doc__}",
        "__module__": __name__,
        "noise_mean": Param(0.0, unit, "mean of the noise"),
        "noise_std": Param(0.0, unit, "standard deviation of the noise", low=0.0),
        "noise_tau": Param(5.0, "ms", "correlation time of the noise", above=0.0),
        "I_noise": State("noise_mean", unit, "noise"),
        "equations": re.sub(rf"\b{current}\b", f"({current} + I_noise)", model.equations)
        + "\ndI_noise/dt = (noise_mean - I_noise)/noise_tau + noise_std*sqrt(2/noise_tau)*xi",
    }
    return types.new_class(f"Noisy{model.__name__}", (model,), exec_body=lambda made: made.update(body))
