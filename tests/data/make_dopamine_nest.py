"""Makes dopamine_nest.json: weights that stdp_dopamine_synapse sends. Run it where NEST is installed; the tests read the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nest

PRE = [10.0, 33.0, 50.2, 51.4, 90.0, 140.0, 141.0, 300.0, 520.0, 900.0]
POST = [12.0, 30.0, 49.0, 60.0, 91.5, 139.0, 155.0, 310.0, 311.2, 525.0]
DOPAMINE = [20.0, 58.3, 100.0, 101.0, 152.0, 400.0, 400.3, 600.0]
CASES: dict[str, dict[str, float]] = {
    "defaults": {},
    "baseline": {"b": 0.002, "tau_c": 300.0, "A_minus": 0.7},
    "bounds": {"A_plus": 60.0, "A_minus": 110.0, "tau_c": 100.0, "tau_n": 60.0, "Wmin": 40.0, "Wmax": 60.0},
}
DELAY, LATE, WEIGHT = 1.0, 2.5, 50.0
"""ms, of the synapse and of the volume transmitter's input."""


def sent(parameters: dict[str, float]) -> list[float]:
    """The weight of each spike of the source."""
    nest.ResetKernel()
    nest.set(resolution=0.1)
    times = [[round(t - 1.0, 1) for t in train] for train in (PRE, POST, DOPAMINE)]
    given = nest.Create("spike_generator", 3, params=[{"spike_times": t} for t in times])
    pre, post, dopamine = neurons = nest.Create("parrot_neuron", 3)
    nest.Connect(given, neurons, "one_to_one", {"delay": 1.0})
    transmitter, recorder = nest.Create("volume_transmitter"), nest.Create("weight_recorder")
    nest.Connect(dopamine, transmitter, syn_spec={"delay": LATE})
    model: dict[str, Any] = {**parameters, "volume_transmitter": transmitter, "weight_recorder": recorder}
    nest.CopyModel("stdp_dopamine_synapse", "plastic", model)
    # parrots do not repeat what arrives at port 1
    nest.Connect(pre, post, syn_spec={"synapse_model": "plastic", "weight": WEIGHT, "delay": DELAY, "receptor_type": 1})
    nest.Simulate(1000.0)
    found: list[float] = recorder.events["weights"].tolist()
    return found


def main() -> None:
    nest.verbosity = nest.VerbosityLevel.ERROR
    made = {
        "simulator": f"NEST {nest.__version__}",
        "pre": PRE,
        "post": POST,
        "dopamine": DOPAMINE,
        "weight": WEIGHT,
        "delay": DELAY,
        "late": LATE,
        "cases": {name: {"parameters": parameters, "sent": sent(parameters)} for name, parameters in CASES.items()},
    }
    Path(__file__).with_name("dopamine_nest.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
