"""Leaky integrate-and-fire neuron whose threshold adapts by a power law, and finds its rate by itself."""

from __future__ import annotations

import math
import types
from typing import Any

from eventsnn.model import NeuronModel, Param, State
from eventsnn.models.neurons.iaf_psc_exp import IafPscExp


def power_law_alif(
    bases: int = 10, exponent: float = 0.5, shortest: float = 10.0, longest: float = 5000.0, name: str = "PowerLawAlif"
) -> type[NeuronModel]:
    """A model as IafPscExp, but with the threshold V_th + beta sum(w_k A_k), k = 0, 1, ..., `bases` - 1.

    dA_k/dt = -A_k/tau_k, and a spike adds 1 to every trace A_k. The tau_k are spaced evenly in their logarithms from `shortest`
    to `longest` (ms), w_k is proportional to tau_k**-exponent (the last holds the rest of the integral), and their sum is 1:
    between these times the kernel falls as t**-exponent, by t**-p = 1/Gamma(p) times the integral of s**(p - 1) exp(-s t) ds.
    Homeostasis: dV_th/dt = eta (r - r_target), with the estimate r = sum(w_k A_k)/sum(w_k tau_k) of the rate. Integrated exactly.
    C. Pozzorini, R. Naud, S. Mensi, W. Gerstner, Nat. Neurosci. 16 (2013) 942, doi:10.1038/nn.3431.
    """
    taus = [float(f"{shortest * (longest / shortest) ** (k / (bases - 1)):.6g}") for k in range(bases)]
    falls = [tau**-exponent for tau in taus]
    falls[-1] *= 0.5 + (bases - 1) / (exponent * math.log(longest / shortest))
    weights = [float(f"{w / sum(falls):.12g}") for w in falls]
    span = sum(w * tau for w, tau in zip(weights, taus, strict=True))
    traces = " + ".join(f"{w!r}*A_{k}" for k, w in enumerate(weights))
    body: dict[str, Any] = {
        "__doc__": power_law_alif.__doc__,
        "__module__": __name__,
        "V_th0": Param(-55.0, "mV", "threshold at the start"),
        "beta": Param(1.7, "mV", "threshold by adaptation"),
        "eta": Param(1e-3, "mV/Hz/ms", "rate of homeostasis"),
        "r_target": Param(10.0, "Hz", "rate that the threshold aims at", low=0.0),
        "V_th": State("V_th0", "mV", "threshold without adaptation"),
        **{f"A_{k}": State(0.0, "", f"trace of {tau:g} ms") for k, tau in enumerate(taus)},
        "equations": "\n".join(
            [
                IafPscExp.equations,
                f"adaptation = {traces}",
                f"dV_th/dt = eta*(1000*adaptation/({span:.12g}*ms) - r_target)",
                *(f"dA_{k}/dt = -A_{k}/({tau!r}*ms)" for k, tau in enumerate(taus)),
            ]
        ),
        "threshold": "V_m >= V_th + beta*adaptation",
        "reset": "; ".join(["V_m = V_reset", *(f"A_{k} += 1" for k in range(bases))]),
    }
    return types.new_class(name, (IafPscExp,), exec_body=lambda made: made.update(body))


PowerLawAlif = power_law_alif()
"""Ten traces from 10 ms to 5 s, the exponent 1/2."""
