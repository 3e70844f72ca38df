"""A neuron model declared in the script: an adaptive exponential integrate-and-fire neuron, driven by a step of current."""

from __future__ import annotations

import eventsnn as snn
from eventsnn.models import StepCurrent


class AdEx(snn.NeuronModel):
    """C dV/dt = -g_L (V - E_L) + g_L D exp((V - V_T)/D) - w + I: Brette & Gerstner (2005), doi:10.1152/jn.00686.2005."""

    C_m = snn.Param(281.0, "pF", "membrane capacitance", above=0.0)
    g_L = snn.Param(30.0, "nS", "leak conductance", above=0.0)
    E_L = snn.Param(-70.6, "mV", "resting potential")
    V_T = snn.Param(-50.4, "mV", "threshold of the exponential")
    Delta_T = snn.Param(2.0, "mV", "slope of the exponential", above=0.0)
    V_reset = snn.Param(-60.0, "mV", "potential after a spike")
    a = snn.Param(4.0, "nS", "adaptation below threshold")
    b = snn.Param(80.5, "pA", "adaptation per spike")
    tau_w = snn.Param(144.0, "ms", "time constant of adaptation", above=0.0)
    I_e = snn.Param(0.0, "pA", "constant current")
    V_m = snn.State("E_L", "mV", "membrane potential")
    w_ad = snn.State(0.0, "pA", "adaptation current")
    equations = """
        dV_m/dt = (-g_L*(V_m - E_L) + g_L*Delta_T*exp((min(V_m, 0) - V_T)/Delta_T) - w_ad + I_e)/C_m
        dw_ad/dt = (a*(V_m - E_L) - w_ad)/tau_w
    """
    receptors = (snn.Receptor("in", "mV", "V_m += w"),)
    threshold = "V_m >= 0"
    reset = "V_m = V_reset; w_ad += b"
    current = "I_e"


def main() -> None:
    net = snn.Network(seed=1, dt=0.05)
    cell = net.population("cell", 1, AdEx())
    net.stimulate(cell, StepCurrent(times=[50.0, 450.0], values=[1000.0, 0.0]))
    net.record(cell, "spikes")
    with snn.Simulation(net) as sim:
        sim.run(500.0)
        times = snn.open(sim)["cell/spikes"].to_dataset()["time"].values
    print("intervals (ms):", *(f"{interval:.1f}" for interval in times[1:] - times[:-1]))


if __name__ == "__main__":
    main()
