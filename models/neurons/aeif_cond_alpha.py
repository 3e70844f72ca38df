"""Adaptive exponential integrate-and-fire neuron with alpha-shaped conductances."""

from __future__ import annotations

from eventsnn.model import Receptor, State
from eventsnn.models.neurons.aeif_cond_exp import MEMBRANE, AEifCondExp


class AEifCondAlpha(AEifCondExp):
    """As AEifCondExp, but each input makes a conductance |w| (t/tau_syn) exp(1 - t/tau_syn), whose peak |w| (nS) comes after
    tau_syn.

    NEST: aeif_cond_alpha. R. Brette, W. Gerstner, J. Neurophysiol. 94 (2005) 3637, doi:10.1152/jn.00686.2005.
    """

    y_ex = State(0.0, "nS/ms", "rise of the excitatory conductance")
    y_in = State(0.0, "nS/ms", "rise of the inhibitory conductance")
    equations = f"""
        {MEMBRANE}
        dV_m/dt = (-g_L*(V - E_L) + spike - g_ex*(V - E_ex) - g_in*(V - E_in) - w + I_e)/C_m
        dg_ex/dt = y_ex - g_ex/tau_syn_ex
        dy_ex/dt = -y_ex/tau_syn_ex
        dg_in/dt = y_in - g_in/tau_syn_in
        dy_in/dt = -y_in/tau_syn_in
    """
    receptors = (
        Receptor("ex", "nS", "y_ex += w*e/tau_syn_ex", magnitude=True),
        Receptor("in", "nS", "y_in += w*e/tau_syn_in", magnitude=True),
    )
