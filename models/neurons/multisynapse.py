"""Leaky integrate-and-fire neurons with any number of named receptors."""

from __future__ import annotations

import types
from typing import Any

from eventsnn.errors import ModelError
from eventsnn.model import NeuronModel, Param, Receptor, State


def iaf_psc_exp_multisynapse(name: str = "IafPscExpMultisynapse", /, **tau_syn: float) -> type[NeuronModel]:
    """A model with a receptor by name, each with its own exponential current: `iaf_psc_exp_multisynapse(fast=2.0, slow=100.0)`.

    dV_m/dt = -(V_m - E_L)/tau_m + (sum of I_<receptor> + I_e)/C_m, dI/dt = -I/tau_syn; a weight (pA) that arrives at a receptor
    is added to its current. The values become the defaults of parameters tau_syn_<receptor> (ms). A spike where V_m >= V_th;
    then V_m stays at V_reset for t_ref. Integrated exactly. NEST: iaf_psc_exp_multisynapse.
    """
    if not tau_syn:
        raise ModelError(f"{name} needs receptors: iaf_psc_exp_multisynapse(fast=2.0, slow=100.0)")
    body: dict[str, Any] = {
        "__doc__": iaf_psc_exp_multisynapse.__doc__,
        "__module__": __name__,
        "C_m": Param(250.0, "pF", "membrane capacitance", above=0.0),
        "tau_m": Param(10.0, "ms", "membrane time constant", above=0.0),
        "E_L": Param(-70.0, "mV", "resting potential"),
        "V_th": Param(-55.0, "mV", "threshold"),
        "V_reset": Param(-70.0, "mV", "potential after a spike"),
        "t_ref": Param(2.0, "ms", "refractory time", low=0.0),
        "I_e": Param(0.0, "pA", "constant current"),
        **{f"tau_syn_{r}": Param(tau, "ms", f"time constant of {r}", above=0.0) for r, tau in tau_syn.items()},
        "V_m": State("E_L", "mV", "membrane potential"),
        **{f"I_{r}": State(0.0, "pA", f"current of {r}") for r in tau_syn},
        "equations": "\n".join(
            [
                f"dV_m/dt = -(V_m - E_L)/tau_m + ({' + '.join(f'I_{r}' for r in tau_syn)} + I_e)/C_m",
                *(f"dI_{r}/dt = -I_{r}/tau_syn_{r}" for r in tau_syn),
            ]
        ),
        "receptors": tuple(Receptor(r, "pA", f"I_{r} += w") for r in tau_syn),
        "threshold": "V_m >= V_th",
        "reset": "V_m = V_reset",
        "refractory": "t_ref",
        "hold": ("V_m",),
        "current": "I_e",
    }
    return types.new_class(name, (NeuronModel,), exec_body=lambda made: made.update(body))
