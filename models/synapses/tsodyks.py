"""Short-term plasticity: depression and facilitation of what a spike releases."""

from __future__ import annotations

from collections.abc import Mapping

from eventsnn.errors import ParameterError
from eventsnn.model import Param
from eventsnn.plasticity import PreState, SynapseModel


class Tsodyks2(SynapseModel):
    """Tsodyks, Pawelzik, Markram, Neural Comput. 10 (1998) 821, as Maass, Markram, Neural Netw. 15 (2002) 155, iterate it from
    spike to spike; NEST: tsodyks2_synapse. The weight is that of a full release; a spike carries w u x of it.
    """

    U = Param(0.5, "", "increase of use by a spike", low=0.0, high=1.0)
    u0 = Param(0.5, "", "use at the first spike", low=0.0, high=1.0)
    x0 = Param(1.0, "", "resources at the first spike", low=0.0, high=1.0)
    tau_rec = Param(800.0, "ms", "recovery of resources", above=0.0)
    tau_fac = Param(0.0, "ms", "decay of facilitation; 0: none", low=0.0)

    x = PreState("x0", "share of resources that is there")
    u = PreState("u0", "share of it that a spike uses")

    release = """
        x = where(first > 0, x, 1 + (x - x*u - 1) * exp(-since_pre/tau_rec))
        u = where(first > 0, u, U + where(tau_fac > 0, u * (1 - U) * exp(-since_pre/max(tau_fac, 1e-9)), 0))
    """
    sent = "w * u * x"
    bounds = ()


class Tsodyks(SynapseModel):
    """Tsodyks, Uziel, Markram, J. Neurosci. 20 (2000) RC50; NEST: tsodyks_synapse.

    Resources are released, are active for tau_psc, which is that of the receptor, and recover. The weight is that of a full
    release.
    """

    U = Param(0.5, "", "increase of use by a spike", low=0.0, high=1.0)
    u0 = Param(0.0, "", "use before the first spike", low=0.0, high=1.0)
    x0 = Param(1.0, "", "recovered resources before the first spike", low=0.0, high=1.0)
    y0 = Param(0.0, "", "active resources before the first spike", low=0.0, high=1.0)
    tau_psc = Param(3.0, "ms", "decay of the synaptic current", above=0.0)
    tau_rec = Param(800.0, "ms", "recovery of resources; other than tau_psc", above=0.0)
    tau_fac = Param(0.0, "ms", "decay of facilitation; 0: none", low=0.0)

    x = PreState("x0", "recovered")
    y = PreState("y0", "active")
    u = PreState("u0", "use")
    delta = PreState(0.0, "released by this spike")

    @classmethod
    def check(cls, values: Mapping[str, float]) -> None:
        """The recovery of what is active has no such form where both times are one."""
        if values.get("tau_rec") == values.get("tau_psc"):
            raise ParameterError(f"{cls.__name__}: tau_rec and tau_psc must differ, and both are {values['tau_rec']:g} ms")

    release = """
        u = where(tau_fac > 0, u * exp(-since_pre/max(tau_fac, 1e-9)), 0)
        x += ((exp(-since_pre/tau_rec) - 1)*tau_rec - (exp(-since_pre/tau_psc) - 1)*tau_psc) / (tau_psc - tau_rec) * y \
            + (1 - exp(-since_pre/tau_rec)) * (1 - x - y)
        y *= exp(-since_pre/tau_psc)
        u += U * (1 - u)
        delta = u * x
        x -= delta
        y += delta
    """
    sent = "w * delta"
    bounds = ()
