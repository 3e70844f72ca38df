"""Six published models, declared in a script: those that Brian2 shows in its examples, in the words of eventsnn.

1. A threshold that jumps with each spike, driven by Poisson pulses.
2. The adaptive exponential neuron: R. Brette, W. Gerstner (2005), doi:10.1152/jn.00686.2005.
3. The quadratic neuron of E. M. Izhikevich (2003), doi:10.1109/TNN.2003.820440.
4. Traub's Hodgkin-Huxley neuron with exponential conductances, as in benchmark COBAHH: R. Brette et al. (2007),
   doi:10.1007/s10827-007-0038-6.
5. The fast interneuron of X.-J. Wang, G. Buzsaki (1996), doi:10.1523/JNEUROSCI.16-20-06402.1996.
6. White noise and unreliable spikes: Z. F. Mainen, T. J. Sejnowski (1995), doi:10.1126/science.7770778.

Differences worth knowing: numbers with units are written as 10*mV; `exprel(x)` is (exp(x) - 1)/x; white noise is `xi`, of unit
1/sqrt(ms); the integration method belongs to the model; input enters at receptors.
"""

from __future__ import annotations

import eventsnn as snn
from eventsnn.models import PoissonInput


class AdaptiveThreshold(snn.NeuronModel):
    V_m = snn.State(0.0, "mV", "membrane potential")
    V_th = snn.State(10.0, "mV", "threshold")
    equations = """
        dV_m/dt = -V_m/(10*ms)
        dV_th/dt = (10*mV - V_th)/(15*ms)
    """
    receptors = (snn.Receptor("in", "mV", "V_m += w"),)
    threshold = "V_m > V_th"
    reset = "V_m = 0; V_th += 3*mV"


class BretteGerstner(snn.NeuronModel):
    C = snn.Param(281.0, "pF")
    g_L = snn.Param(30.0, "nS")
    E_L = snn.Param(-70.6, "mV")
    V_T = snn.Param(-50.4, "mV")
    Delta_T = snn.Param(2.0, "mV")
    tau_w = snn.Param(144.0, "ms")
    a = snn.Param(4.0, "nS")
    b = snn.Param(80.5, "pA")
    V_r = snn.Param(-70.6, "mV")
    I = snn.Param(1000.0, "pA")  # noqa: E741
    V_cut = snn.Param(-40.4, "mV", "V_T + 5 Delta_T: a spike is certain")
    V_m = snn.State("E_L", "mV")
    w = snn.State(0.0, "pA")
    equations = """
        V = min(V_m, V_cut)
        dV_m/dt = (g_L*(E_L - V) + g_L*Delta_T*exp((V - V_T)/Delta_T) + I - w)/C
        dw/dt = (a*(V - E_L) - w)/tau_w
    """
    receptors = (snn.Receptor("in", "mV", "V_m += w"),)
    threshold = "V_m > V_cut"
    reset = "V_m = V_r; w += b"
    current = "I"
    method = "rk4"


class Izhikevich(snn.NeuronModel):
    a = snn.Param(0.02, "1/ms")
    b = snn.Param(0.2, "1/ms")
    c = snn.Param(-65.0, "mV")
    d = snn.Param(8.0, "mV/ms")
    drive = snn.Param(10.0, "mV/ms")
    v = snn.State(-65.0, "mV")
    u = snn.State(-13.0, "mV/ms")
    equations = """
        dv/dt = 0.04*v**2/(ms*mV) + 5*v/ms + 140*mV/ms - u + drive
        du/dt = a*(b*v - u)
    """
    receptors = (snn.Receptor("in", "mV", "v += w"),)
    threshold = "v >= 30*mV"
    reset = "v = c; u += d"
    method = "euler"


class TraubMiles(snn.NeuronModel):
    C = snn.Param(200.0, "pF")
    g_L = snn.Param(10.0, "nS")
    g_Na = snn.Param(20000.0, "nS")
    g_K = snn.Param(6000.0, "nS")
    E_L = snn.Param(-60.0, "mV")
    E_Na = snn.Param(50.0, "mV")
    E_K = snn.Param(-90.0, "mV")
    V_T = snn.Param(-63.0, "mV")
    E_e = snn.Param(0.0, "mV")
    E_i = snn.Param(-80.0, "mV")
    tau_e = snn.Param(5.0, "ms")
    tau_i = snn.Param(10.0, "ms")
    t_ref = snn.Param(3.0, "ms")
    v = snn.State(-60.0, "mV")
    m = snn.State(0.0, "")
    h = snn.State(1.0, "")
    n = snn.State(0.0, "")
    g_e = snn.State(0.0, "nS")
    g_i = snn.State(0.0, "nS")
    equations = """
        u = v - V_T
        dm/dt = 1.28/exprel((13*mV - u)/(4*mV))/ms*(1 - m) - 1.4/exprel((u - 40*mV)/(5*mV))/ms*m
        dh/dt = 0.128*exp((17*mV - u)/(18*mV))/ms*(1 - h) - 4/(1 + exp((40*mV - u)/(5*mV)))/ms*h
        dn/dt = 0.16/exprel((15*mV - u)/(5*mV))/ms*(1 - n) - 0.5*exp((10*mV - u)/(40*mV))/ms*n
        I_ion = g_Na*m**3*h*(v - E_Na) + g_K*n**4*(v - E_K) + g_L*(v - E_L)
        dv/dt = -(I_ion + g_e*(v - E_e) + g_i*(v - E_i))/C
        dg_e/dt = -g_e/tau_e
        dg_i/dt = -g_i/tau_i
    """
    receptors = (
        snn.Receptor("ex", "nS", "g_e += w", magnitude=True),
        snn.Receptor("in", "nS", "g_i += w", magnitude=True),
    )
    threshold = "v > -20*mV"
    refractory = "t_ref"
    method = "staggered"  # exponential Euler, gates half a step before the potential


class WangBuzsaki(snn.NeuronModel):
    C = snn.Param(1.0, "uF/cm**2")
    g_L = snn.Param(0.1, "mS/cm**2")
    g_Na = snn.Param(35.0, "mS/cm**2")
    g_K = snn.Param(9.0, "mS/cm**2")
    E_L = snn.Param(-65.0, "mV")
    E_Na = snn.Param(55.0, "mV")
    E_K = snn.Param(-90.0, "mV")
    I = snn.Param(0.5, "uA/cm**2")  # noqa: E741
    v = snn.State(-70.0, "mV")
    h = snn.State(1.0, "")
    n = snn.State(0.0, "")
    equations = """
        alpha_m = 1/exprel(-(v + 35*mV)/(10*mV))
        m = alpha_m/(alpha_m + 4*exp(-(v + 60*mV)/(18*mV)))
        dh/dt = 5/ms*(0.07*exp(-(v + 58*mV)/(20*mV))*(1 - h) - h/(exp(-(v + 28*mV)/(10*mV)) + 1))
        dn/dt = 5/ms*(0.1/exprel(-(v + 34*mV)/(10*mV))*(1 - n) - 0.125*exp(-(v + 44*mV)/(80*mV))*n)
        dv/dt = (-g_Na*m**3*h*(v - E_Na) - g_K*n**4*(v - E_K) - g_L*(v - E_L) + I)/C
    """
    receptors = (snn.Receptor("in", "mV", "v += w"),)
    threshold = "v >= 0"
    crossing = True
    current = "I"
    method = "rk4"


class Unreliable(snn.NeuronModel):
    tau = snn.Param(20.0, "ms")
    sigma = snn.Param(0.015, "")
    x = snn.State(0.0, "")
    equations = "dx/dt = (1.1 - x)/tau + sigma*sqrt(2/tau)*xi"
    receptors = (snn.Receptor("in", "", "x += w"),)
    threshold = "x > 1"
    reset = "x = 0"


def network() -> snn.Network:
    net = snn.Network(seed=1, dt=0.05)
    adaptive = net.population("adaptive", 10, AdaptiveThreshold())
    net.stimulate(adaptive, PoissonInput(rate=2000.0, weight=2.0))
    net.population("exponential", 1, BretteGerstner())
    net.population("quadratic", 10, Izhikevich(c=snn.Uniform(-65.0, -50.0)))
    traub = net.population("traub", 10, TraubMiles())
    net.stimulate(traub, PoissonInput(rate=500.0, weight=6.0))
    net.population("fast", 1, WangBuzsaki(I=1.0))
    net.population("unreliable", 25, Unreliable())
    for population in net.populations.values():
        net.record(population, "spikes")
    return net


def main() -> None:
    net = network()
    with snn.Simulation(net) as sim:
        sim.run(200.0)
        for name, population in net.populations.items():
            print(f"{name}: {int(sim[name].counts().sum()) / population.n / 0.2:.1f} spikes per second and neuron")


if __name__ == "__main__":
    main()
