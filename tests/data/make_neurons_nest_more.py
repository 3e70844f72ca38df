"""Makes neurons_nest_more.json: spike steps and states of NEST's neurons. Run it where NEST is installed; tests read the file.

Every case: NEST's model and what is not its default, when its current I_e begins (ms), spikes as (weight, arrivals in ms; one
< 0 goes to inhibition), steps of spikes, and states after every fiftieth step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nest

DT, TIME = 0.1, 300.0
NAUD = {
    "tonic": (200, 10, -70, 2, 30, 0, -58, 500),
    "adapting": (200, 12, -70, 2, 300, 60, -58, 500),
    "initial burst": (130, 18, -58, 4, 150, 120, -50, 400),
    "regular bursting": (200, 10, -58, 2, 120, 100, -46, 210),
    "delayed accelerating": (200, 12, -70, -10, 300, 0, -58, 300),
    "delayed bursting": (100, 10, -65, -10, 90, 30, -47, 110),
    "transient": (100, 10, -65, 10, 90, 100, -47, 180),
    "irregular": (100, 12, -60, -11, 130, 30, -48, 160),
}
"""C_m, g_L, E_L, a, tau_w, b, V_reset, I_e: the eight patterns of Naud et al. (2008), with V_th = -50, Delta_T = 2."""
EXACT: dict[str, float] = {"gsl_error_tol": 1e-12}
"""But where spikes make jumps: NEST makes them after the first of a step's substeps, which are few by its own tolerance."""
BURST = [(1.0, [20.0, 21.3, 22.0, 60.0, 61.0, 90.5]), (-1.0, [40.0, 62.0, 120.0])]
SINGLE = ([24.0, 44.5, 94.2], [33.0, 64.0, 94.0])
"""Arrivals a little before a sample is taken: excitatory, inhibitory."""
GATES = ["Act_m", "Inact_h", "Act_n"]


def naud(name: str) -> dict[str, float]:
    c, g, e, a, tau, b, reset, current = map(float, NAUD[name])
    return {
        **{"C_m": c, "g_L": g, "E_L": e, "a": a, "tau_w": tau, "b": b, "V_reset": reset, "I_e": current},
        **{"V_th": -50.0, "Delta_T": 2.0, "V_peak": 0.0, "V_m": e},
    }


def scaled(by: float) -> list[tuple[float, list[float]]]:
    return [(weight * by, times) for weight, times in BURST]


GLIF_LEVELS = [(False, False, False), (True, False, False), (False, True, False), (True, True, False), (True, True, True)]
CASES: dict[str, tuple[str, dict[str, Any], list[tuple[float, list[float]]], list[str]]] = {
    **{f"naud {name}": ("aeif_cond_exp", naud(name) | EXACT, [], ["V_m", "w"]) for name in NAUD},
    **{
        f"{model} {current:g} {t_ref:g}": (model, {"I_e": current, "t_ref": t_ref} | tolerance, scaled(by), ["V_m", "w"])
        for model, by, tolerance in (
            ("aeif_cond_exp", 40.0, EXACT),
            ("aeif_cond_alpha", 20.0, EXACT),
            ("aeif_psc_exp", 2000.0, EXACT),
            ("aeif_psc_alpha", 800.0, EXACT),
            ("aeif_psc_delta", 5.0, {}),
        )
        for current, t_ref in ((800.0, 0.0), (1000.0, 2.0))
    },
    "aeif_psc_delta_clopath": (
        "aeif_psc_delta_clopath",
        {"I_e": 900.0},
        scaled(5.0),
        ["V_m", "w", "z", "V_th", "u_bar_minus", "u_bar_plus", "u_bar_bar"],
    ),
    "iaf_cond_alpha": ("iaf_cond_alpha", {"I_e": 300.0}, scaled(10.0), ["V_m"]),
    "mat2_psc_exp": ("mat2_psc_exp", {"I_e": 500.0}, scaled(800.0), ["V_m"]),
    "mat2_psc_exp fast": ("mat2_psc_exp", {"I_e": 900.0, "alpha_1": 5.0, "alpha_2": 1.0, "t_ref": 1.5}, scaled(800.0), ["V_m"]),
    **{
        f"glif_psc {''.join(str(int(x)) for x in level)}": (
            "glif_psc",
            {
                **{"spike_dependent_threshold": level[0], "after_spike_currents": level[1], "adapting_threshold": level[2]},
                **{"I_e": 350.0, "t_ref": 3.7, "tau_syn": [2.0, 3.0]},
            },
            [(300.0, BURST[0][1]), (-200.0, BURST[1][1])],
            ["V_m", "threshold", "ASCurrents_sum"],
        )
        for level in GLIF_LEVELS
    },
    "hh_psc_alpha": ("hh_psc_alpha", {"I_e": 0.0}, [(300.0, SINGLE[0]), (-80.0, SINGLE[1])], ["V_m", *GATES]),
    "hh_cond_exp_traub": ("hh_cond_exp_traub", {"I_e": -50.0}, [(1.0, SINGLE[0]), (-6.0, SINGLE[1])], ["V_m", *GATES]),
    "izhikevich": ("izhikevich", {"I_e": 8.0, "V_m": -65.0, "U_m": -13.0}, scaled(6.0), ["V_m", "U_m"]),
}


def run(model: str, given: dict[str, Any], inputs: list[tuple[float, list[float]]], states: list[str]) -> dict[str, Any]:
    nest.ResetKernel()
    nest.resolution = DT
    own = "I_e" in nest.GetDefaults(model)
    cell = nest.Create(model, params={k: v for k, v in given.items() if own or k != "I_e"})
    if not own:
        nest.Connect(nest.Create("dc_generator", params={"amplitude": given["I_e"]}), cell, syn_spec={"delay": DT})
    spikes = nest.Create("spike_recorder")
    meter = nest.Create("multimeter", params={"record_from": states, "interval": 50 * DT})
    nest.Connect(cell, spikes)
    nest.Connect(meter, cell)
    for weight, times in inputs:
        source = nest.Create("spike_generator", params={"spike_times": [round(t - DT, 1) for t in times]})
        how: dict[str, Any] = {"weight": weight, "delay": DT}
        if model == "glif_psc":
            how["receptor_type"] = 1 if weight > 0 else 2
        nest.Connect(source, cell, syn_spec=how)
    nest.Simulate(TIME)
    found = meter.events
    return {
        "model": model,
        "params": given,
        "inputs": inputs,
        "current_from": 0.0 if own else 2 * DT,
        "spikes": [round(t / DT) for t in spikes.events["times"]],
        "steps": [round(t / DT) for t in found["times"]],
        "states": {name: [float(f"{x:.12g}") for x in found[name]] for name in states},
    }


if __name__ == "__main__":
    found = {name: run(*case) for name, case in CASES.items()}
    text = json.dumps({"nest": nest.__version__, "dt": DT, "time": TIME, "cases": found}, indent=None).replace('}, "', '},\n"')
    (Path(__file__).parent / "neurons_nest_more.json").write_text(text + "\n")
