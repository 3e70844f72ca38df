"""Every spike and every state that NEST shows of its neurons: ours have them too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_cell import run_cells

from eventsnn.models import (
    AEifCondAlpha,
    AEifCondExp,
    AEifPscAlpha,
    AEifPscDelta,
    AEifPscExp,
    ClopathAdEx,
    GlifPsc,
    HhCondExpTraub,
    HhPscAlpha,
    IafCondAlpha,
    Izhikevich,
    Mat2PscExp,
)

FOUND: dict[str, Any] = json.loads((Path(__file__).resolve().parent / "data" / "neurons_nest_more.json").read_text())
MODELS = {
    "aeif_cond_exp": AEifCondExp,
    "aeif_cond_alpha": AEifCondAlpha,
    "aeif_psc_exp": AEifPscExp,
    "aeif_psc_alpha": AEifPscAlpha,
    "aeif_psc_delta": AEifPscDelta,
    "aeif_psc_delta_clopath": ClopathAdEx,
    "iaf_cond_alpha": IafCondAlpha,
    "mat2_psc_exp": Mat2PscExp,
    "glif_psc": GlifPsc,
    "hh_psc_alpha": HhPscAlpha,
    "hh_cond_exp_traub": HhCondExpTraub,
    "izhikevich": Izhikevich,
}
WITHIN = {
    "aeif_psc_delta_clopath": {"V_m": 1e-4, "w": 1e-4, "": 5e-4},
    "aeif_psc": {"": 1e-3},
    "naud": {"V_m": 0.05, "w": 2e-3},
    "aeif": {"V_m": 0.05, "w": 0.01},
    "iaf": {"V_m": 2e-4},
    "glif_psc 000": {"": 1e-9},
    "glif_psc 100": {"": 1e-9},
    "glif": {"V_m": 5e-4, "threshold": 5e-3, "ASCurrents_sum": 2e-9},
    "mat2": {"V_m": 1e-9},
    "hh": {"V_m": 0.03, "": 1e-3},
    "izhikevich": {"": 1e-9},
}
"""Of states, in their units, by how the name of a case begins.

An exponential neuron of NEST resets where a substep of its integrator ends; NEST takes the mean of after-spike currents within a
step, and holds synaptic currents for the threshold of GLIF. Those of Hodgkin and Huxley differ by the square of the step.
"""


def of_nest(state: str, states: dict[str, np.ndarray], dt: float) -> np.ndarray:
    """What NEST calls by this name, from our states: sum and mean over the step of currents, thresholds with their rest."""
    match state:
        case "ASCurrents_sum":
            return sum(states[f"ASC_{k}"] * np.expm1(rate * dt) / (rate * dt) for k, rate in ((1, 0.003), (2, 0.1)))
        case "threshold":
            return -51.68 + states["th_s"] + states["th_v"]
        case "V_th":
            return states["V_T"]
    return states[state]


@pytest.mark.parametrize("name", FOUND["cases"])
def test_spikes_and_states_with_nest(name: str) -> None:
    case, dt = FOUND["cases"][name], FOUND["dt"]
    kind = MODELS[case["model"]]
    given = {k: float(v) if isinstance(v, bool) else v for k, v in case["params"].items() if k != "gsl_error_tol"}
    if "tau_syn" in given:
        given["tau_syn_ex"], given["tau_syn_in"] = given.pop("tau_syn")
    begins = case["current_from"]
    current = ([begins], [given.pop("I_e")]) if begins else None
    magnitude = {r.name: r.magnitude for r in kind.receptors}
    inputs = []
    for weight, times in case["inputs"]:
        receptor = "delta" if "delta" in magnitude else "ex" if weight > 0 else "in"
        inputs.append((receptor, abs(weight) if magnitude[receptor] else weight, times))
    time = 80.0 if "irregular" in name else FOUND["time"]  # chaotic
    trains, states = run_cells(kind(**given), time, dt, current=current, inputs=inputs, states=list(kind.states()))
    assert trains[0].tolist() == [s for s in case["spikes"] if s <= round(time / dt)]
    steps = np.array([s for s in case["steps"] if s <= round(time / dt)])
    within = next(limits for beginning, limits in WITHIN.items() if name.startswith(beginning))
    sampled = {state: values[steps - 1, 0] for state, values in states.items()}
    resting = np.array([any(s <= k < s + 38 for s in trains[0]) for k in steps])
    for state, values in case["states"].items():
        off = np.abs(of_nest(state, sampled, dt) - values[: len(steps)])
        if state == "ASCurrents_sum":  # not renewed while a neuron is refractory, for 3.7 ms
            off = off[~resting]
        assert off.max() < within.get(state, within.get("", 0.0)), (state, off.max())
