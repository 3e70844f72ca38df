"""Plasticity that depends on the target's voltage."""

from __future__ import annotations

from eventsnn.model import Param
from eventsnn.plasticity import PostPast, PostValue, PreTrace, SynapseModel


class Clopath(SynapseModel):
    """Clopath, Büsing, Vasilaki, Gerstner, Nat. Neurosci. 13 (2010) 344, without homeostasis; NEST: clopath_synapse.

    A spike of the source depresses by A_LTD [u_bar_minus - theta_minus]+; while V_m > theta_plus and u_bar_plus > theta_minus,
    the weight grows at A_LTP x_bar (V_m - theta_plus)(u_bar_plus - theta_minus) per ms, x_bar being the source's spikes (1/ms),
    low-passed. The target has the states V_m, u_bar_plus and u_bar_minus.
    """

    tau_x = Param(15.0, "ms", "low-pass of the source's spikes", above=0.0)
    A_LTD = Param(14e-5, "1/mV", "amplitude of depression", low=0.0)
    A_LTP = Param(8e-5, "1/mV**2", "amplitude of potentiation", low=0.0)
    theta_minus = Param(-70.6, "mV", "threshold of the filtered voltages")
    theta_plus = Param(-45.3, "mV", "threshold of the voltage")
    Wmax = Param(100.0, "", "largest weight, in the unit of the receptor", above=0.0)

    reads = ("V_m", "u_bar_plus", "u_bar_minus")
    when = "V_m > theta_plus and u_bar_plus > theta_minus"
    x_bar = PreTrace("tau_x")
    drive = PostValue("(V_m - theta_plus) * (u_bar_plus - theta_minus)")
    u_minus = PostPast("u_bar_minus")

    on_post = "w += A_LTP * drive * dt * x_bar / tau_x"
    on_pre = "w -= A_LTD * max(u_minus - theta_minus, 0)"
