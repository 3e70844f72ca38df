"""Leaky integrate-and-fire neuron with alpha-shaped conductances."""

from __future__ import annotations

from eventsnn.model import Receptor, State
from eventsnn.models.neurons.iaf_cond_exp import IafCondExp


class IafCondAlpha(IafCondExp):
    """As IafCondExp, but each input makes a conductance |w| (t/tau_syn) exp(1 - t/tau_syn), whose peak |w| (nS) comes after
    tau_syn.

    NEST: iaf_cond_alpha. H. Meffin, A. N. Burkitt, D. B. Grayden, J. Comput. Neurosci. 16 (2004) 159.
    """

    y_ex = State(0.0, "nS/ms", "rise of the excitatory conductance")
    y_in = State(0.0, "nS/ms", "rise of the inhibitory conductance")
    equations = """
        dV_m/dt = (-g_L*(V_m - E_L) - g_ex*(V_m - E_ex) - g_in*(V_m - E_in) + I_e)/C_m
        dg_ex/dt = y_ex - g_ex/tau_syn_ex
        dy_ex/dt = -y_ex/tau_syn_ex
        dg_in/dt = y_in - g_in/tau_syn_in
        dy_in/dt = -y_in/tau_syn_in
    """
    receptors = (
        Receptor("ex", "nS", "y_ex += w*e/tau_syn_ex", magnitude=True),
        Receptor("in", "nS", "y_in += w*e/tau_syn_in", magnitude=True),
    )
