"""Leaky integrate-and-fire neurons with any number of conductances that rise and decay: AMPA, GABA, NMDA."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any

from eventsnn.errors import ModelError, unknown_name
from eventsnn.model import NeuronModel, Param, Receptor, State

NORMALISATIONS = {
    "peak": "1/((decay/rise)**(-rise/(decay - rise)) - (decay/rise)**(-decay/(decay - rise)))",
    "area": "1*ms/(decay - rise)",
    "rates": "(decay - rise)*ms/(decay*rise)",
}
"""Factor of exp(-t/decay) - exp(-t/rise), so that a weight of 1 gives a peak of 1, an area of 1 (times ms), or 1/rise -
1/decay.
"""


@dataclass(frozen=True)
class Channel:
    """A conductance g N (exp(-t/tau_decay) - exp(-t/tau_rise)) with a reversal potential; ms and mV.

    With magnesium, it is multiplied by 1/(1 + Mg exp(-0.062 V)/3.57), Mg in mM: C. E. Jahr, C. F. Stevens, J. Neurosci. 10
    (1990) 3178.
    """

    tau_rise: float
    tau_decay: float
    E_rev: float
    magnesium: bool = False


AMPA = Channel(1.0, 5.0, 0.0)
GABA = Channel(1.0, 10.0, -70.0)
NMDA = Channel(2.0, 100.0, 0.0, magnesium=True)


def conductance_lif(name: str = "ConductanceLif", /, normalisation: str = "peak", **channels: Channel) -> type[NeuronModel]:
    """A model with a receptor by channel: `conductance_lif(ampa=AMPA, nmda=NMDA)`; without any: ampa, gaba, nmda.

    C dV/dt = -g_L (V - E_L) - sum of g_<c> (V - E_<c>) + I_e. A weight w (nS) that arrives at c makes
    g_<c> = w N (exp(-t/tau_decay) - exp(-t/tau_rise)); N is chosen by `normalisation`: "peak" (the peak of g is w), "area" (its
    integral is w times ms: N = ms/(tau_decay - tau_rise)), or "rates" (N = ms (tau_decay - tau_rise)/(tau_decay tau_rise)).
    Parameters tau_rise_<c>, tau_decay_<c>, E_<c>, and Mg of all that magnesium blocks. A spike where V_m >= V_th; then V_m
    stays at V_reset for t_ref. Exponential Euler with the conductances of the middle of the step, which are
    exact: of second order without magnesium.
    """
    channels = channels or {"ampa": AMPA, "gaba": GABA, "nmda": NMDA}
    if normalisation not in NORMALISATIONS:
        raise unknown_name(name, "normalisation", normalisation, NORMALISATIONS)
    same = [c for c, channel in channels.items() if channel.tau_rise == channel.tau_decay]
    if same:
        raise ModelError(f"{name}: tau_rise and tau_decay of {same[0]!r} must differ")
    body: dict[str, Any] = {
        "__doc__": conductance_lif.__doc__,
        "__module__": __name__,
        "C_m": Param(250.0, "pF", "membrane capacitance", above=0.0),
        "g_L": Param(25.0, "nS", "leak conductance", low=0.0),
        "E_L": Param(-65.0, "mV", "resting potential"),
        "V_th": Param(-50.0, "mV", "threshold"),
        "V_reset": Param(-65.0, "mV", "potential after a spike"),
        "t_ref": Param(2.0, "ms", "refractory time", low=0.0),
        "I_e": Param(0.0, "pA", "constant current"),
        **({"Mg": Param(1.0, "mM", "magnesium", low=0.0)} if any(c.magnesium for c in channels.values()) else {}),
        "V_m": State("E_L", "mV", "membrane potential"),
    }
    lines, currents = [], []
    for c, channel in channels.items():
        body |= {
            f"tau_rise_{c}": Param(channel.tau_rise, "ms", f"rise time of {c}", above=0.0),
            f"tau_decay_{c}": Param(channel.tau_decay, "ms", f"decay time of {c}", above=0.0),
            f"E_{c}": Param(channel.E_rev, "mV", f"reversal potential of {c}"),
            f"d_{c}": State(0.0, "nS", f"what decays of {c}"),
            f"r_{c}": State(0.0, "nS", f"what rises of {c}"),
        }
        lines += [f"dd_{c}/dt = -d_{c}/tau_decay_{c}", f"dr_{c}/dt = -r_{c}/tau_rise_{c}"]
        block = "/(1 + Mg*exp(-0.062*V_m/mV)/(3.57*mM))" if channel.magnesium else ""
        currents.append(f"(d_{c} - r_{c})*(V_m - E_{c}){block}")
    body |= {
        "equations": "\n".join([f"dV_m/dt = (-g_L*(V_m - E_L) - {' - '.join(currents)} + I_e)/C_m", *lines]),
        "receptors": tuple(_receptor(c, NORMALISATIONS[normalisation]) for c in channels),
        "threshold": "V_m >= V_th",
        "reset": "V_m = V_reset",
        "refractory": "t_ref",
        "hold": ("V_m",),
        "current": "I_e",
        "method": "staggered",
    }
    return types.new_class(name, (NeuronModel,), exec_body=lambda made: made.update(body))


def _receptor(channel: str, factor: str) -> Receptor:
    factor = factor.replace("decay", f"tau_decay_{channel}").replace("rise", f"tau_rise_{channel}")
    return Receptor(channel, "nS", f"d_{channel} += w*({factor}); r_{channel} += w*({factor})", magnitude=True)
