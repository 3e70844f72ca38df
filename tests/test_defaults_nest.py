"""A model that is named after one of NEST begins as NEST's does: its parameters have the same values, and so have its states."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from eventsnn import models
from eventsnn.model import NeuronModel
from eventsnn.plasticity import SynapseModel

NEST: dict[str, dict[str, Any]] = json.loads((Path(__file__).resolve().parent / "data" / "defaults_nest.json").read_text())[
    "defaults"
]
MODELS: dict[str, Any] = {name: getattr(models, name) for name in models.__all__} | {
    "iaf_psc_exp_multisynapse": models.iaf_psc_exp_multisynapse(first=2.0)
}
NAMED = {
    name: found[1]
    for name, model in MODELS.items()
    if isinstance(model, type) and issubclass(model, NeuronModel | SynapseModel) and ".sources." not in model.__module__
    if (found := re.search(r"NEST:\s+([a-z]\w+)", model.__doc__ or ""))
}
"""Our neurons and synapses, and what they say they are in NEST."""
ALSO = {
    **{name: "iaf_psc_exp" for name in NAMED if name.startswith("Stdp")},
    "Clopath": "aeif_psc_delta_clopath",
}
"""What NEST keeps with the neurons that a synapse reaches: tau_minus, amplitudes and thresholds of voltage-based plasticity."""
RENAMED = {
    **{"lambda_": "lambda", "u0": "u", "x0": "x", "y0": "y", "tau_syn_first": "tau_syn 0", "V_T": "V_th_rest"},
    **{"I_ex": "I_syn_ex", "I_in": "I_syn_in", "V_th_1": "V_th_alpha_1", "V_th_2": "V_th_alpha_2"},
    **{"asc_amp_1": "asc_amps 0", "asc_amp_2": "asc_amps 1", "asc_decay_1": "asc_decay 0", "asc_decay_2": "asc_decay 1"},
    **{"asc_r_1": "asc_r 0", "asc_r_2": "asc_r 1", "ASC_1": "ASCurrents 0", "ASC_2": "ASCurrents 1"},
    **{"th_s": "threshold_spike", "th_v": "threshold_voltage"},
}
"""Our name: NEST's, with the place in a list."""
OURS = {
    ("ClopathAdEx", "g_clamp"): 0.0,  # no electrode
    ("ClopathAdEx", "V_command"): -70.6,
    ("Izhikevich", "V_min"): -1e10,  # no bound, as NEST's -1.8e308, in single precision too
    ("StdpPl", "Wmax"): 1e4,  # NEST has no bound
    ("GlifPsc", "tau_syn_ex"): 2.0,  # NEST: a list with one number for each receptor
    ("GlifPsc", "tau_syn_in"): 2.0,
    ("GlifPsc", "I_e"): 0.0,  # NEST calls for a generator
}
"""Parameters that NEST's model lacks, or has in another form."""
OTHER = {
    ("StdpTriplet", "tau_minus"): (33.7, 20.0),  # of the fit to visual cortex; NEST's neurons have those of pairs
    ("StdpTriplet", "tau_minus_triplet"): (125.0, 110.0),
}
"""Ours, NEST's, where they differ."""


def given(model: Any) -> dict[str, float]:
    """Defaults of parameters, and what states are at the start."""
    values = {name: param.default for name, param in model.params().items()}
    states = model.states() if issubclass(model, NeuronModel) else {}
    return values | {n: values[s.initial] if isinstance(s.initial, str) else s.initial for n, s in states.items()}


def of_nest(who: str, name: str) -> float | None:
    """NEST's default, if it has one."""
    nest = NEST[NAMED[who]]
    for source in (nest, NEST[ALSO[who]] if who in ALSO else {}):
        for called in (name, RENAMED.get(name, name)):
            key, _, place = called.partition(" ")
            value = source.get(key)
            if value is not None and isinstance(value, list) == bool(place):
                return float(value[int(place)]) if place else float(value)
    return None


def test_every_model_of_nest_that_is_named_was_asked() -> None:
    assert set(NAMED.values()) == set(NEST) and len(NAMED) == 28


@pytest.mark.parametrize("who", NAMED)
def test_defaults_are_those_of_nest(who: str) -> None:
    model, compared = MODELS[who], 0
    for name, value in given(model).items():
        nest = of_nest(who, name)
        if (who, name) in OTHER:
            assert (value, nest) == OTHER[who, name], name
        elif (who, name) in OURS:
            assert nest is None and value == OURS[who, name], name
        elif nest is None:  # of a state that NEST does not show: it begins empty
            assert name not in model.params() and value == 0.0, name
        else:
            assert value == nest, (name, value, nest)
            compared += 1
    assert compared >= 4 and {name for w, name in (OURS | OTHER) if w == who} <= set(given(model))
