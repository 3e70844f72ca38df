"""Adaptive exponential integrate-and-fire neuron with alpha-shaped currents."""

from __future__ import annotations

from eventsnn.model import Receptor, State
from eventsnn.models.neurons.aeif_cond_exp import MEMBRANE
from eventsnn.models.neurons.aeif_psc_exp import AEifPscExp


class AEifPscAlpha(AEifPscExp):
    """As AEifPscExp, but each input makes a current w (t/tau_syn) exp(1 - t/tau_syn), whose peak w (pA) comes after tau_syn.

    NEST: aeif_psc_alpha. R. Brette, W. Gerstner, J. Neurophysiol. 94 (2005) 3637, doi:10.1152/jn.00686.2005.
    """

    y_ex = State(0.0, "pA/ms", "rise of the excitatory current")
    y_in = State(0.0, "pA/ms", "rise of the inhibitory current")
    equations = f"""
        {MEMBRANE}
        dV_m/dt = (-g_L*(V - E_L) + spike + I_ex + I_in - w + I_e)/C_m
        dI_ex/dt = y_ex - I_ex/tau_syn_ex
        dy_ex/dt = -y_ex/tau_syn_ex
        dI_in/dt = y_in - I_in/tau_syn_in
        dy_in/dt = -y_in/tau_syn_in
    """
    receptors = (Receptor("ex", "pA", "y_ex += w*e/tau_syn_ex"), Receptor("in", "pA", "y_in += w*e/tau_syn_in"))
