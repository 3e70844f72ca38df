"""Rules of plasticity against NEST's numbers, closed forms, and copies of them by a user; the same bits in any layout."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

import eventsnn as snn
from eventsnn.canonical import canonical
from eventsnn.errors import KindError, ModelError, ParameterError, SelectionError, UnknownName
from eventsnn.models import (
    Clopath,
    FixedIndegree,
    IafPscExp,
    OneToOne,
    Parrot,
    Poisson,
    PoissonInput,
    SfaGradient,
    SpikeTrain,
    Static,
    Stdp,
    StdpDopamine,
    StdpNnPreCentered,
    StdpNnRestr,
    StdpNnSymm,
    StdpOja,
    StdpPl,
    StdpReward,
    StdpSfa,
    StdpTriplet,
    Tsodyks,
    Tsodyks2,
    VogelsSprekeler,
)
from eventsnn.restored import restore

NEST = json.loads((Path(__file__).parent / "data" / "plasticity_nest.json").read_text())
POST = NEST["_trains"]["post"]
KINDS: dict[str, type[snn.SynapseModel]] = {
    "stdp_synapse": Stdp,
    "stdp_nn_symm_synapse": StdpNnSymm,
    "stdp_nn_restr_synapse": StdpNnRestr,
    "stdp_nn_pre_centered_synapse": StdpNnPreCentered,
    "stdp_pl_synapse_hom": StdpPl,
    "stdp_triplet_synapse": StdpTriplet,
    "vogels_sprekeler_synapse": VogelsSprekeler,
    "tsodyks2": Tsodyks2,
    "tsodyks": Tsodyks,
}
NAMES = {"lambda": "lambda_", "u": "u0", "x": "x0", "y": "y0"}
"""Of NEST's parameters, where ours differ."""
PROTOCOLS = [name for name in NEST if name.split()[0] in KINDS]
LEARNING = [name for name in PROTOCOLS if not name.startswith("tsodyks")]


def pair(synapse: snn.SynapseModel, pre: Any) -> snn.Network:
    """One source that fires at the times `pre`, and one target that hardly feels it."""
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 1, SpikeTrain(times=np.asarray(pre, float), ids=np.zeros(len(pre), int)))
    target = net.population("target", 1, IafPscExp(C_m=1e12))
    net.connect(source >> target, OneToOne(), synapse, receptor="ex", name="synapse")
    net.record(target, "ex", dtype="float64")
    return net


def weights(synapse: snn.SynapseModel, pre: Any, post: Any) -> npt.NDArray[np.float64]:
    """The weight when each spike of the source arrives, as the target's spikes at `post` and the earlier ones have made it."""
    found, now = [], 0.0
    with snn.Simulation(pair(synapse, pre)) as sim:
        sim["target"].inject(post, np.zeros(len(post), int))
        for time in pre:
            sim.run(round(time + synapse.delay - now, 6))
            now = time + synapse.delay
            found.append(sim["synapse"].weights()["weight"][0])
    return np.array(found)


def of_nest(name: str) -> tuple[snn.SynapseModel, list[float], list[float]]:
    """The synapse of a protocol, the spikes of its source, and the weights that NEST sent."""
    case = NEST[name]
    given = {NAMES.get(word, word): value for word, value in case["params"].items()}
    if "tau_minus_triplet" in given:
        given["tau_minus_triplet"] = 110.0  # the default of NEST's neurons
    if "delay=" in name:
        given["delay"] = float(name.split("delay=")[1])
    sent = case.get("w_after_depress_sent") or case.get("w_sent") or case["w_eff"]
    return KINDS[name.split()[0]](**{"delay": 1.0, **given}), case.get("t_pre") or case["spikes"], sent


@pytest.mark.parametrize("name", LEARNING)
def test_weights_of_nest(name: str) -> None:
    synapse, pre, sent = of_nest(name)
    assert np.ptp(sent) > 0.1
    np.testing.assert_allclose(weights(synapse, pre, POST), sent, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_a_spike_carries(name: str) -> None:
    """On the grid of the integer input, which is 2**-40 of the largest weight."""
    synapse, pre, sent = of_nest(name)
    with snn.Simulation(pair(synapse, pre)) as sim:
        if name in LEARNING:
            sim["target"].inject(POST, np.zeros(len(POST), int))
        sim.run(max(pre) + 10.0)
    arrived = snn.open(sim)["target/ex"]["ex"].values[:, 0]
    largest = synapse.values.get("Wmax", synapse.weight)
    np.testing.assert_allclose(arrived[arrived != 0.0], sent, rtol=0.0, atol=2.0**-40 * largest)


@pytest.mark.parametrize("gap", [-40.0, -5.0, -1.0, 1.0, 5.0, 40.0])
def test_the_window_of_pairs(gap: float) -> None:
    """Additive: dw = Wmax lambda exp(-(gap + d)/tau_plus) and -Wmax alpha lambda exp((gap + d)/tau_minus)."""
    delay, size, tau_plus, tau_minus = 0.1, 0.01, 17.0, 34.0
    synapse = Stdp(
        weight=50.0, delay=delay, lambda_=size, alpha=1.05, mu_plus=0.0, mu_minus=0.0, tau_plus=tau_plus, tau_minus=tau_minus
    )
    made = weights(synapse, [100.0, 1100.0], [100.0 + gap])[-1] - 50.0
    late = gap + delay  # when the spike of the target reaches the synapse, after that of the source
    expected = 100.0 * size * math.exp(-late / tau_plus) if late > 0 else -105.0 * size * math.exp(late / tau_minus)
    # the last spike, whose weight is read, is far enough to add nothing that counts
    assert made == pytest.approx(
        expected - 105.0 * size * math.exp(-(1000.0 - late) / tau_minus) * (1 if late > 0 else 0), rel=1e-6
    )


@pytest.mark.parametrize(("frequency", "sign"), [(1.0, -1.0), (50.0, 1.0)])
def test_triplets_at_low_and_high_frequency(frequency: float, sign: float) -> None:
    """Sixty pairs, the target first by 10 ms, depress at 1 Hz and potentiate at 50 Hz (Pfister and Gerstner 2006, fig. 5).

    The closed form sums the all-to-all traces of a periodic protocol: no simulator made it.
    """
    rule = StdpTriplet(weight=50.0, delay=0.1, Aplus=0.0)
    period, pairs, lag = 1000.0 / frequency, 60, -9.9
    pre = 100.0 + period * np.arange(pairs)
    post = pre - 10.0
    p = rule.values

    def trace(times: Any, at: float, tau: float) -> float:
        return sum(math.exp(-(at - t) / tau) for t in times if t < at - 1e-9)

    expected = 50.0
    for t, q in zip(pre, pre + lag, strict=True):
        arrived = [a for a in pre + lag if a < t - 1e-9]
        expected -= trace(arrived, t, p["tau_minus"]) * (p["Aminus"] + p["Aminus_triplet"] * trace(pre, t, p["tau_plus_triplet"]))
        expected += trace(pre, q, p["tau_plus"]) * p["Aplus_triplet"] * trace(pre + lag, q, p["tau_minus_triplet"])
    last = 100.0 + period * pairs + 5000.0
    found = weights(rule, [*np.round(pre, 1), last], np.round(post, 1))[-1]
    assert found == pytest.approx(expected, abs=1e-9)
    assert (found - 50.0) * sign > 0.05


def test_first_and_later_releases() -> None:
    """Depression at 20 Hz ends where x = (1 - E)/(1 - (1 - U) E), E = exp(-50 ms/tau_rec) (Tsodyks and Markram 1997)."""
    U, tau = 0.4, 300.0
    pre = 10.0 + 50.0 * np.arange(60)
    with snn.Simulation(pair(Tsodyks2(weight=100.0, delay=1.0, U=U, u0=U, tau_rec=tau), pre)) as sim:
        sim.run(4000.0)
    arrived = snn.open(sim)["target/ex"]["ex"].values[:, 0]
    sent = arrived[arrived != 0.0]
    recovered = math.exp(-50.0 / tau)
    assert sent[0] == pytest.approx(100.0 * U, abs=1e-9)
    assert sent[-1] == pytest.approx(100.0 * U * (1 - recovered) / (1 - (1 - U) * recovered), rel=1e-6)


def test_vogels_keeps_a_target_at_its_rate() -> None:
    """Excitation is balanced until the target fires at rho = alpha/(2 tau) (Vogels et al. 2011, equation 3)."""
    rho, tau = 10.0, 20.0
    net = snn.Network(seed=7, dt=0.1)
    target = net.population("target", 20, IafPscExp())
    source = net.population("source", 200, Poisson(rate=20.0))
    net.stimulate(target, PoissonInput(rate=12_000.0, weight=35.0))
    rule = VogelsSprekeler(weight=-10.0, delay=1.0, Wmax=-400.0, tau=tau, alpha=2.0 * rho * tau / 1000.0, eta=1.5)
    net.connect(source >> target, FixedIndegree(100, multapses=False), rule)
    with snn.Simulation(net) as sim:
        sim.run(500.0)
        before = sim["target"].counts().mean() / 0.5
        sim.run(20_000.0)
        done = sim["target"].counts().copy()
        sim.run(10_000.0)
        rate = (sim["target"].counts() - done).mean() / 10.0
    assert before > 2.0 * rho
    assert rate == pytest.approx(rho, rel=0.1)


class Clamped(snn.NeuronModel):
    """A target whose voltage stays where it is."""

    V = snn.Param(-50.0, "mV")
    tau = snn.Param(10.0, "ms")
    V_m = snn.State("V", "mV")
    u_bar_plus = snn.State("V", "mV")
    u_bar_minus = snn.State("V", "mV")
    I_ex = snn.State(0.0, "pA")
    equations = """
        dV_m/dt = (V - V_m) / tau
        du_bar_plus/dt = (V_m - u_bar_plus) / tau
        du_bar_minus/dt = (V_m - u_bar_minus) / tau
        dI_ex/dt = -I_ex / tau
    """
    receptors = (snn.Receptor("ex", "pA", "I_ex += w"),)
    threshold = "V_m > V + tau * 1e9"
    check_units = False


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_clopath_at_a_clamped_voltage(precision: str) -> None:
    """A spike of the source adds -A_LTD [u - theta_minus]+ + A_LTP [u - theta_plus]+ [u - theta_minus]+, as x_bar has area 1
    (Clopath et al. 2010, fig. 1h: nothing below theta_minus, depression up to theta_plus, then potentiation)."""
    voltages = np.array([-80.0, -71.0, -60.0, -50.0, -45.0, -40.0, -20.0])
    rule = Clopath(weight=1.0, delay=1.3, Wmax=10.0)
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 1, SpikeTrain(times=40.0 * np.arange(1, 26), ids=np.zeros(25, int)))
    target = net.population("target", len(voltages), Clamped(), V=voltages)
    net.connect(source >> target, FixedIndegree(1), rule, name="synapse")
    with snn.Simulation(net, precision=precision) as sim:
        sim.run(1500.0)
        found = sim["synapse"].weights()["weight"]
    above = [np.maximum(voltages - theta, 0.0) for theta in (-70.6, -45.3)]
    depression, growth = 14e-5 * above[0], 8e-5 * above[0] * above[1]
    # the sum over steps of what decays by exp(-dt/tau) starts a step late
    per_step = math.exp(-0.1 / 15.0)
    area = 0.1 / 15.0 * per_step / (1.0 - per_step)
    np.testing.assert_allclose(found, 1.0 + 25 * (growth * area - depression), rtol=1e-5 if precision == "float32" else 1e-9)
    assert found[0] == 1.0 and found[2] < 1.0 < found[-1]


def test_a_reward_that_comes_later() -> None:
    """Eligibility decays with tau_c from each pair on; a spike of the modulator turns what is left into weight."""
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 1, SpikeTrain(times=[10.0, 600.0], ids=[0, 0]))
    dopamine = net.population("dopamine", 2, SpikeTrain(times=[100.0, 300.0, 300.0], ids=[0, 0, 1]))
    target = net.population("target", 1, IafPscExp(C_m=1e12))
    rule = StdpReward(weight=50.0, delay=1.0, modulator=dopamine, modulator_delay=2.0, reward=0.5, tau_c=200.0)
    net.connect(source >> target, OneToOne(), rule, name="synapse")
    with snn.Simulation(net) as sim:
        sim["target"].inject([14.0], [0])
        sim.run(1000.0)
        found = sim["synapse"].weights()["weight"][0]
    arrival = 15.0  # of the target's spike at the synapse; the source's was there at 10
    eligible = math.exp(-(arrival - 10.0) / 20.0)
    rewards = [math.exp(-(t + 2.0 + 1.0 - arrival) / 200.0) for t in (100.0, 300.0, 300.0)]
    assert found == pytest.approx(50.0 + 0.5 * eligible * sum(rewards), abs=1e-12)


def test_a_window_without_area() -> None:
    """One pair at each distance: the window, and its integral over all distances, which is 0."""
    gaps = np.concatenate([-np.arange(0.5, 800.0, 1.0)[::-1], np.arange(0.5, 800.0, 1.0)])
    net = snn.Network(seed=1, dt=0.1)
    n = len(gaps)
    source = net.population("source", 2 * n, SpikeTrain(times=np.r_[np.full(n, 900.0), np.full(n, 9000.0)], ids=np.arange(2 * n)))
    target = net.population("target", n, IafPscExp(C_m=1e12))
    rule = StdpSfa(weight=0.5, delay=0.1, A=1e-3, tau_fast=10.0, tau_slow=40.0)
    net.connect(source[:n] >> target, OneToOne(), rule, name="synapse")
    with snn.Simulation(net) as sim:
        # a spike of the target is at the synapse a delay later
        sim["target"].inject(np.round(900.0 + gaps - 0.1, 1), np.arange(n))
        sim.run(8000.0)
        found = sim["synapse"].weights()["weight"] - 0.5
    expected = 1e-3 * (np.exp(-np.abs(gaps) / 10.0) - 0.25 * np.exp(-np.abs(gaps) / 40.0))
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-14)
    assert abs(found.sum()) < 2e-3 * np.abs(found).sum()


def test_the_gradient_of_slowness() -> None:
    """Each beat of the clock takes the changes of both low-passed trains since the last one, and pulls at the rate."""
    pre, post, beats = np.array([3.0, 8.2, 17.5, 40.1, 66.0]), np.array([6.0, 9.0, 30.3, 58.0]), np.arange(5.0, 80.0, 2.5)
    tau, delay, late, eta, beta, rate = 15.0, 1.5, 0.5, 0.8, 0.002, 30.0
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 1, SpikeTrain(times=pre, ids=np.zeros(len(pre), int)))
    clock = net.population("clock", 1, SpikeTrain(times=beats, ids=np.zeros(len(beats), int)))
    target = net.population("target", 1, IafPscExp(C_m=1e12))
    numbers = {"tau": tau, "period": 2.5, "eta": eta, "beta": beta, "rate": rate}
    rule = SfaGradient(weight=50.0, delay=delay, modulator=clock, modulator_delay=late, **numbers)
    net.connect(source >> target, OneToOne(), rule, name="synapse")
    with snn.Simulation(net) as sim:
        sim["target"].inject(post, np.zeros(len(post), int))
        sim.run(100.0)
        found = sim["synapse"].weights()["weight"][0]
    weight, before = 50.0, (0.0, 0.0)
    for at in beats + late:
        x = np.exp(-(at + delay - pre[pre < at + delay]) / tau).sum()
        y = np.exp(-(at - post[post <= at]) / tau).sum()
        change = (x - before[0]) * (y - before[1]) / 2.5**2
        weight, before = weight - eta * change - beta * (1000.0 * y / tau - rate) * weight, (x, y)
    assert found == pytest.approx(weight, rel=1e-12)
    assert abs(weight - 50.0) > 0.01


def test_the_decay_of_oja() -> None:
    """Without pairs, dw/dt = -oja y^2 w, integrated step by step with a high-order rule over the target's trace."""
    rule = StdpOja(weight=0.8, delay=1.0, oja=0.02, A_plus=0.0, A_minus=0.0, tau_minus=15.0)
    spikes = np.array([20.0, 24.0, 60.0, 61.3, 90.0, 400.0, 1900.0])
    found = weights(rule, [5.0, 1950.0], spikes)[-1]
    exponent = 0.0
    for k, (a, b) in enumerate(pairwise(spikes)):
        grown = np.exp(-(a - spikes[: k + 1]) / 15.0).sum()
        nodes, areas = np.polynomial.legendre.leggauss(40)
        s = (nodes + 1.0) * (b - a) / 2.0
        exponent += ((grown * np.exp(-s / 15.0)) ** 2 * areas).sum() * (b - a) / 2.0
    assert found == pytest.approx(0.8 * math.exp(-0.02 * exponent), rel=1e-12)
    assert found < 0.7


def test_the_pairs_of_oja() -> None:
    """Additive: each spike of the target takes the trace of the source, each of the source that of the target."""
    pre, post, rule = [10.0, 30.0, 47.0], [12.5, 25.0, 60.0], StdpOja(weight=0.5, delay=1.0, oja=0.0, tau_minus=30.0)
    grown = sum(math.exp(-(q + 1.0 - p) / 20.0) for q in post for p in pre if p < q + 1.0)
    taken = sum(math.exp(-(p - q - 1.0) / 30.0) for p in pre for q in post if q + 1.0 < p)
    found = weights(rule, [*pre, 80.0], post)[-1]
    taken += sum(math.exp(-(80.0 - q - 1.0) / 30.0) for q in post)
    assert found == pytest.approx(0.5 + 1e-4 * grown - 1.2e-4 * taken, abs=1e-14)


def test_the_pairs_that_a_reward_counts() -> None:
    """Eligibility by pairs of both orders, each decayed until the reward."""
    net = snn.Network(seed=1, dt=0.1)
    pre, post = np.array([10.0, 40.0]), np.array([14.0, 33.0])
    source = net.population("source", 1, SpikeTrain(times=[*pre, 600.0], ids=[0, 0, 0]))
    dopamine = net.population("dopamine", 1, SpikeTrain(times=[100.0], ids=[0]))
    target = net.population("target", 1, IafPscExp(C_m=1e12))
    rule = StdpReward(weight=50.0, delay=1.0, modulator=dopamine, tau_c=200.0, tau_minus=30.0, A_minus=1.7)
    net.connect(source >> target, OneToOne(), rule, name="synapse")
    with snn.Simulation(net) as sim:
        sim["target"].inject(post, [0, 0])
        sim.run(700.0)
        found = sim["synapse"].weights()["weight"][0]
    reward, eligible = 100.0 + 1.0 + 1.0, 0.0  # after modulator_delay and the delay of the synapse
    for p, q in product(pre, post + 1.0):
        pair = math.exp(-(q - p) / 20.0) if p < q else -1.7 * math.exp(-(p - q) / 30.0)
        eligible += pair * math.exp(-(reward - max(p, q)) / 200.0)
    assert found == pytest.approx(50.0 + eligible, abs=1e-12)


class Conductance(snn.NeuronModel):
    """The target of Song, Miller and Abbott, with Brian2's numbers: g in units of the leak."""

    tau_m = snn.Param(10.0, "ms")
    tau_e = snn.Param(5.0, "ms")
    E_L = snn.Param(-74.0, "mV")
    E_ex = snn.Param(0.0, "mV")
    V_th = snn.Param(-54.0, "mV")
    V_reset = snn.Param(-60.0, "mV")
    V_m = snn.State(-60.0, "mV")
    g = snn.State(0.0)
    equations = "dV_m/dt = (g*(E_ex - V_m) + E_L - V_m)/tau_m; dg/dt = -g/tau_e"
    receptors = (snn.Receptor("ex", "", "g += w"),)
    threshold = "V_m > V_th"
    reset = "V_m = V_reset"


def test_competition_makes_weights_bimodal() -> None:
    """Song, Miller and Abbott 2000: additive pairs drive weights that start anywhere to either end, and hold the rate down."""
    net = snn.Network(seed=1, dt=0.1)
    source, target = net.population("source", 1000, Poisson(rate=15.0)), net.population("target", 1, Conductance())
    rule = Stdp(weight=snn.Uniform(0.0, 0.01), delay=0.1, Wmax=0.01, lambda_=0.01, alpha=1.05, mu_plus=0.0, mu_minus=0.0)
    net.connect(source >> target, FixedIndegree(1000, multapses=False), rule, name="synapse")
    with snn.Simulation(net) as sim:
        sim.run(100_000.0)
        tenths = np.histogram(sim["synapse"].weights()["weight"], 10, (0.0, 0.01))[0]
    assert tenths[0] > 150 and tenths[-1] > 150
    assert tenths[3:7].mean() < 75


class Mine(snn.SynapseModel):
    """Stdp as a user would write it, its trace of the source a Variable of every synapse."""

    tau_plus = snn.Param(20.0, "ms")
    tau_minus = snn.Param(20.0, "ms")
    step = snn.Param(1.0)
    Wmax = snn.Param(100.0)
    x = snn.Variable(0.0, tau="tau_plus")
    y = snn.PostTrace("tau_minus")
    on_post = "w += step * x"
    on_pre = "w -= step * y; x += 1"


def test_a_rule_of_ones_own() -> None:
    """A trace kept with the neuron and one kept with each synapse are the same number, but for its rounding."""
    pre, numbers = NEST["stdp_nn_symm_synapse"]["t_pre"], {"tau_plus": 15.0, "tau_minus": 30.0}
    ours = weights(Stdp(weight=50.0, delay=1.0, mu_plus=0.0, mu_minus=0.0, **numbers), pre, POST)
    mine = weights(Mine(weight=50.0, delay=1.0, **numbers), pre, POST)
    np.testing.assert_allclose(mine, ours, rtol=0.0, atol=1e-12)
    assert np.ptp(ours) > 1.0


# ---- any layout


def network() -> snn.Network:
    """Every kind of rule in one recurrent network, with delays of many steps and weights that differ."""
    net = snn.Network(seed=3, dt=0.1)
    exc = net.population("exc", 300, IafPscExp(), V_m=snn.Uniform(-65.0, -50.0))
    inh = net.population("inh", 100, IafPscExp(), V_m=snn.Uniform(-65.0, -50.0))
    noise = net.population("noise", 50, Poisson(rate=4000.0))
    for target in (exc, inh):
        net.stimulate(target, PoissonInput(rate=9000.0, weight=35.0))
    recurrent = Stdp(
        weight=snn.Uniform(20.0, 60.0), delay=snn.Uniform(0.5, 3.0), Wmax=100.0, alpha=snn.Normal(1.05, 0.1), mu_plus=0.5
    )
    net.connect(exc >> exc, FixedIndegree(40), recurrent, name="ee")
    net.connect(noise >> exc, FixedIndegree(10), StdpNnPreCentered(weight=30.0, delay=1.3, Wmax=60.0), name="ne")
    net.connect(inh >> exc, FixedIndegree(30), VogelsSprekeler(weight=-50.0, delay=1.0, Wmax=-300.0, eta=1.0), name="ie")
    net.connect(exc >> inh, FixedIndegree(30), Tsodyks2(weight=80.0, delay=1.5), name="ei")
    dopamine = net.population("dopamine", 3, Poisson(rate=100.0))
    third = {"modulator": dopamine, "modulator_delay": 0.7}
    net.connect(inh >> inh, FixedIndegree(8), StdpReward(weight=60.0, delay=snn.Uniform(0.5, 2.0), **third), "ex", name="reward")
    voltage = net.population("voltage", 30, Clamped(V=snn.Uniform(-60.0, -40.0)))
    net.connect(exc >> voltage, FixedIndegree(20), Clopath(weight=1.0, delay=snn.Uniform(0.3, 2.0), A_LTD=1e-3), name="ev")
    net.connect(inh >> inh, FixedIndegree(10), Static(weight=-60.0, delay=1.0), name="ii")
    for kind in MORE:
        more = third if kind.on_modulator else {}
        synapse = kind(weight=0.9, delay=snn.Uniform(0.5, 2.0), **more)
        net.connect(noise >> inh, FixedIndegree(4), synapse, "ex", name=kind.__name__)
    net.record(exc, "spikes")
    net.record(inh, "spikes")
    return net


PIECES = (13.7, 30.0, 6.3, 50.0)
MORE = (StdpTriplet, StdpPl, StdpNnSymm, StdpNnRestr, StdpOja, StdpSfa, StdpDopamine, SfaGradient, Tsodyks)
PLASTIC = ("ee", "ne", "ie", "ei", "ev", "reward", *(kind.__name__ for kind in MORE))
Result = tuple[dict[str, npt.NDArray[Any]], xr.DataTree]


def taught(sim: Any, piece: int) -> None:
    """Learning as described, off, the other way round, and at half the speed."""
    sim["ee"].learning = (True, False, -1, 0.5)[piece]


def result(change: Callable[[Any, int], None] | None = None, pieces: tuple[float, ...] = PIECES, **where: Any) -> Result:
    with snn.Simulation(network(), **where) as sim:
        for k, piece in enumerate(pieces):
            if change is not None:
                change(sim, k)
            sim.run(piece)
        found = {name: sim[name].weights()["weight"] for name in PLASTIC}
    return found, snn.open(sim)


def assert_same(a: Result, b: Result) -> None:
    for name in PLASTIC:
        np.testing.assert_array_equal(a[0][name], b[0][name])
    for path in ("exc/spikes", "inh/spikes"):
        xr.testing.assert_identical(a[1][path].to_dataset(), b[1][path].to_dataset())


@pytest.fixture(scope="module")
def one_thread() -> Result:
    found = result(taught, threads=1)
    assert found[1]["exc/spikes"].sizes["event"] > 1000
    assert all(np.ptp(found[0][name]) > 0.01 for name in ("ee", "ne", "ie", "ev", "reward"))
    return found


@pytest.mark.parametrize("where", [{"threads": 2}, {"parts": 3, "threads": 1}])
def test_threads_and_parts(one_thread: Result, where: dict[str, int]) -> None:
    assert_same(result(taught, **where), one_thread)


def test_weights_that_are_read_change_nothing(one_thread: Result) -> None:
    def read(sim: Any, piece: int) -> None:
        taught(sim, piece)
        for name in PLASTIC:
            sim[name].weights()

    assert_same(result(read, threads=2), one_thread)


def test_one_run_and_many() -> None:
    assert_same(result(pieces=(sum(PIECES),), threads=1), result(pieces=PIECES, threads=2))


@pytest.mark.parametrize(("first", "then"), list(product([{"threads": 2}, {"parts": 2, "threads": 1}], repeat=2)))
def test_a_checkpoint_in_another_layout(one_thread: Result, tmp_path: Path, first: dict[str, int], then: dict[str, int]) -> None:
    store = tmp_path / "run.zarr"
    with snn.Simulation(network(), store=store, **first) as sim:
        for k in range(2):
            taught(sim, k)
            sim.run(PIECES[k])
        sim.checkpoint()
        sim.run(1.0)
    with snn.resume(store, **then) as sim:
        assert sim.time == pytest.approx(sum(PIECES[:2]))
        assert sim["ee"].learning == 0.0
        for k in range(2, 4):
            taught(sim, k)
            sim.run(PIECES[k])
        found = {name: sim[name].weights()["weight"] for name in PLASTIC}
    assert_same((found, snn.open(store)), one_thread)


def test_weights_do_not_move_where_nothing_is_learned() -> None:
    with snn.Simulation(network(), threads=1) as sim:
        sim.run(20.0)
        sim["ee"].learning = False
        before = sim["ee"].weights()["weight"]
        sim.run(30.0)
        np.testing.assert_array_equal(sim["ee"].weights()["weight"], before)
        sim["ee"].learning = True
        sim.run(10.0)
        assert (sim["ee"].weights()["weight"] != before).any()


def test_weights_that_are_set() -> None:
    synapse = Stdp(weight=50.0, delay=1.0, mu_plus=0.0, mu_minus=0.0)
    with snn.Simulation(pair(synapse, [10.0, 20.0])) as sim:
        sim["synapse"].set_weights(12.5)
        sim.run(30.0)
        assert sim["synapse"].weights()["weight"][0] == 12.5
        with pytest.raises(ParameterError, match=r"between 0 and 100, not 101 to 101"):
            sim["synapse"].set_weights(101.0)
    arrived = snn.open(sim)["target/ex"]["ex"].values[:, 0]
    np.testing.assert_allclose(arrived[arrived != 0.0], [12.5, 12.5], atol=1e-9)


@pytest.mark.parametrize(("norm", "axis"), list(product([1, 2], ["in", "out"])))
@pytest.mark.parametrize("parts", [1, 2])
def test_norms(norm: int, axis: str, parts: int) -> None:
    with snn.Simulation(network(), parts=parts, threads=1) as sim:
        sim.run(20.0)
        sim["ee"].normalise(900.0 if norm == 1 else 170.0, norm=norm, axis=axis)
        matrix = sim["ee"].to_scipy().tocsr(copy=True)
        out, into = sim["ee"].degrees()
        synapses = sim["ee"].weights()
    ends, degree = (synapses["post"], into) if axis == "in" else (synapses["pre"], out)
    found = np.zeros(300)
    np.add.at(found, ends, np.abs(synapses["weight"]) ** norm)
    np.testing.assert_allclose(found[degree > 0] ** (1 / norm), 900.0 if norm == 1 else 170.0, rtol=1e-6)
    assert matrix.sum() == pytest.approx(synapses["weight"].sum())
    np.testing.assert_array_equal(into, np.full(300, 40))
    assert out.sum() == into.sum() == len(synapses["pre"])


def test_histories_are_let_go_of() -> None:
    """A source that never fires lets its targets' spikes pile up nowhere."""
    net = snn.Network(seed=1, dt=0.1)
    silent = net.population("silent", 10, SpikeTrain(times=[], ids=[]))
    target = net.population("target", 10, Poisson(rate=500.0))
    cells = net.population("cells", 10, IafPscExp(t_ref=0.1))
    net.connect(target >> cells, OneToOne(), Static(weight=1e5, delay=1.0))
    net.connect(silent >> cells, FixedIndegree(5), Stdp(weight=50.0, delay=1.0), name="synapse")
    sizes = []
    with snn.Simulation(net) as sim:
        for _ in range(3):
            sim.run(2000.0)
            sizes.append(sim.report()["parts"][0]["bytes"])
        assert sim["cells"].counts().min() > 1000
    assert max(sizes) < 50_000  # six thousand spikes of each would take a million


# ---- a store knows its rules


def test_a_stored_rule() -> None:
    net = network()
    net.connect(net["exc"] >> net["inh"], FixedIndegree(3), Mine(weight=1.0, delay=2.0), name="mine")
    made = restore(canonical(net), lambda digest: np.empty(0))
    assert canonical(made) == canonical(net)
    assert type(made.projections["ee"].synapse) is Stdp
    assert made.projections["mine"].plasticity == net.projections["mine"].plasticity


# ---- what cannot be


class NoTau(snn.SynapseModel):
    Wmax = snn.Param(1.0)
    x = snn.PreTrace("tauu")
    on_pre = "w += x"


class ChangesATrace(snn.SynapseModel):
    tau = snn.Param(1.0, "ms")
    Wmax = snn.Param(1.0)
    x = snn.PreTrace("tau")
    on_pre = "x += 1"


class UnknownWord(snn.SynapseModel):
    Wmax = snn.Param(1.0)
    on_post = "w += Wmx"


def rule(**body: Any) -> type[snn.SynapseModel]:
    """A rule of these declarations, with a trace of each side."""
    given = {"tau": snn.Param(10.0, "ms"), "Wmax": snn.Param(1.0), "x": snn.PreTrace("tau"), "y": snn.PostTrace("tau")}
    return type("Own", (snn.SynapseModel,), {**given, **body})


drawn = snn.Uniform(50.0, 60.0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Stdp(weight=1.0, delay=1.0, tau_pluss=1.0), UnknownName, "did you mean 'tau_plus'"),
        (lambda: Stdp(weight=1.0), KindError, "Stdp needs delay"),
        (lambda: Stdp(weight=150.0, delay=1.0), ParameterError, "between 0 and 100, and they start at 150"),
        (lambda: Stdp(weight=-5.0, delay=1.0), ParameterError, "between 0 and 100, and they start at -5"),
        (lambda: Stdp(weight=5.0, delay=1.0, alpha=-1.0), ParameterError, "alpha must be >= 0"),
        (lambda: Stdp(weight=5.0, delay=1.0, alpha=snn.Uniform(-1.0, 1.0)), ParameterError, "alpha must be >= 0"),
        (lambda: Stdp(weight=5.0, delay=1.0, alpha=[1.0, 2.0]), ParameterError, r"shape \(2,\) goes with Explicit"),
        (lambda: Stdp(weight=5.0, delay=1.0, alpha=lambda pre, post: 1.0), ParameterError, "only weights and delays may be func"),
        (lambda: Stdp(weight=5.0, delay=1.0, Wmax=drawn), ModelError, "Wmax is one number .* because it is a bound of weights"),
        (lambda: Stdp(weight=5.0, delay=1.0, tau_plus=drawn), ModelError, "because it is the time constant of a trace"),
        (lambda: Stdp(weight=5.0, delay=1.0, mu_plus=snn.Uniform(0.5, 1.0)), ModelError, "because it is an exponent"),
        (lambda: Tsodyks2(weight=5.0, delay=1.0, U=snn.Uniform(0.5, 1.0)), ModelError, "because it is read by `release`"),
        (lambda: StdpReward(weight=5.0, delay=1.0), KindError, "StdpReward needs modulator"),
        (lambda: StdpReward(weight=5.0, delay=1.0, modulator=3), KindError, "the population whose spikes act .* not 3"),
        (lambda: NoTau(weight=0.5, delay=1.0), ModelError, "tau='tauu' of a trace names no parameter"),
        (lambda: ChangesATrace(weight=0.5, delay=1.0), ModelError, "'x' cannot be changed here"),
        (lambda: UnknownWord(weight=0.5, delay=1.0), ModelError, "unknown name 'Wmx'; did you mean 'Wmax'"),
        (lambda: Tsodyks(weight=5.0, delay=1.0, tau_rec=3.0), ParameterError, "tau_rec and tau_psc must differ, and both are 3"),
        (lambda: rule(delay=snn.Param(1.0))(weight=0.5, delay=1.0), ModelError, "'delay' cannot be the name of a parameter"),
        (lambda: rule(dt=snn.Variable(1.0))(weight=0.5, delay=1.0), ModelError, "'dt' cannot be the name of"),
        (lambda: rule(w=snn.Variable(1.0))(weight=0.5, delay=1.0), ModelError, "'w' cannot be the name of"),
        (lambda: rule(on_pre=3)(weight=0.5, delay=1.0), ModelError, 'on_pre must be text, such as "w \\+= 1", not 3'),
        (lambda: rule(bounds=("Wmax",))(weight=0.5, delay=1.0), ModelError, "bounds must be two expressions"),
        (lambda: rule(on_pre="w = x > 0")(weight=0.5, delay=1.0), ModelError, "a condition is no number"),
        (lambda: rule()(weight=0.5, delay=1.0, tau=0.0), ModelError, "the time constant tau must be > 0 ms, not 0"),
        (lambda: rule(s=snn.PreState(0.0), release="s = s + w")(weight=0.5, delay=1.0), ModelError, "release: 'w' is not known"),
        (
            lambda: rule(on_modulator="w += x", on_post="w -= since_post")(weight=0.5, delay=1.0, modulator=3),
            ModelError,
            "on_post: 'since_post' is not known there",
        ),
    ],
)
def test_wrong_rules(make: Callable[[], snn.SynapseModel], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pair(make(), [10.0])


def rewarded() -> snn.Network:
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 1, SpikeTrain(times=[10.0, 30.0], ids=[0, 0]))
    dopamine = net.population("m", 1, SpikeTrain(times=[20.0], ids=[0]))
    target = net.population("target", 1, IafPscExp(C_m=1e12))
    net.connect(source >> target, OneToOne(), StdpReward(weight=50.0, delay=1.0, modulator=dopamine), name="synapse")
    return net


def test_a_modulator_goes_with_its_network() -> None:
    """Into a network that has a silent population of that name."""
    found = []
    for path in (None, "inner"):
        net = rewarded()
        if path is not None:
            net = snn.Network(seed=1, dt=0.1)
            net.population("m", 1, Parrot())
            net.merge(rewarded(), path)
        start = "" if path is None else f"{path}/"
        with snn.Simulation(net) as sim:
            sim[f"{start}target"].inject([12.0], [0])
            sim.run(50.0)
            found.append(sim[f"{start}synapse"].weights()["weight"][0])
    assert found[0] == found[1] > 50.5
    net, other = rewarded(), rewarded()
    synapse = StdpReward(weight=50.0, delay=1.0, modulator=other["m"])
    with pytest.raises(SelectionError, match="modulator: population 'm' belongs to another network"):
        net.connect(net["source"] >> net["target"], OneToOne(), synapse, name="wrong")


def test_edges_with_parameters_of_their_own_are_not_edited() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 5, IafPscExp())
    net.connect(cells >> cells, FixedIndegree(2), Stdp(weight=1.0, delay=1.0, alpha=snn.Uniform(1.0, 2.0)), name="s")
    for edit in (lambda: net.prune("s", lambda pre: pre > 1), lambda: net.extend("s", [0], [1])):
        with pytest.raises(ParameterError, match="every synapse has its own alpha, which an edit cannot follow"):
            edit()


def test_wrong_ends() -> None:
    net = snn.Network(seed=1, dt=0.1)
    source = net.population("source", 2, Poisson(rate=5.0))
    parrot, cells = net.population("parrot", 2, Parrot()), net.population("cells", 2, IafPscExp())
    with pytest.raises(ParameterError, match="parrots only count spikes"):
        net.connect(source >> parrot, OneToOne(), Stdp(weight=1.0, delay=1.0))
    with pytest.raises(ParameterError, match="both signs cannot change by one rule"):
        net.connect(source >> cells, OneToOne(), Stdp(weight=snn.Normal(0.0, 1.0), delay=1.0))
    net.connect(source >> cells, OneToOne(), Static(weight=1.0, delay=1.0), name="still")
    with snn.Simulation(net) as sim, pytest.raises(ParameterError, match="its weights never change; connect it by a plastic"):
        sim["still"].learning = False
