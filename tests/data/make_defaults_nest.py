"""Makes defaults_nest.json: defaults of the models of NEST that ours name. Run it where NEST is installed; tests read the file.

Numbers and lists of numbers, without what NEST keeps for itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nest
import numpy as np

NEURONS = [
    *(f"aeif_{kind}" for kind in ("cond_alpha", "cond_exp", "psc_alpha", "psc_delta", "psc_delta_clopath", "psc_exp")),
    *("glif_psc", "hh_cond_exp_traub", "hh_psc_alpha", "iaf_cond_alpha", "iaf_cond_exp", "iaf_psc_alpha", "iaf_psc_delta"),
    *("iaf_psc_exp", "iaf_psc_exp_multisynapse", "izhikevich", "mat2_psc_exp"),
]
SYNAPSES = [
    *("clopath_synapse", "stdp_dopamine_synapse", "stdp_nn_pre_centered_synapse", "stdp_nn_restr_synapse"),
    *("stdp_nn_symm_synapse", "stdp_pl_synapse_hom", "stdp_synapse", "stdp_triplet_synapse", "tsodyks2_synapse"),
    *("tsodyks_synapse", "vogels_sprekeler_synapse"),
]
LEFT_OUT = [
    *("archiver_length", "available", "beta_Ca", "Ca", "capacity", "delay", "elementsize", "frozen", "global_id", "vp"),
    *("instantiations", "local", "max_delay", "min_delay", "model_id", "node_uses_wfr", "num_connections", "receptor_type"),
    *("size_of", "sizeof", "tau_Ca", "t_spike", "type_id", "weight"),
]
"""And what begins in one of these ways: has_, requires_, ignore_and_spike, synapse_, thread."""


def defaults(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in sorted(nest.GetDefaults(name).items()):
        if key in LEFT_OUT or key.startswith(("has_", "requires_", "ignore_and_spike", "synapse_", "thread")):
            continue
        if np.ndim(value) == 1 and len(value) and np.isreal(value).all():
            found[key] = [float(x) for x in value]
        elif isinstance(value, bool | int | float) and abs(value) < 1e300:
            found[key] = value
    return found


if __name__ == "__main__":
    nest.ResetKernel()
    found = {name: defaults(name) for name in [*NEURONS, *SYNAPSES]}
    text = json.dumps({"nest": nest.__version__, "defaults": found}).replace('}, "', '},\n"')
    (Path(__file__).parent / "defaults_nest.json").write_text(text + "\n")
