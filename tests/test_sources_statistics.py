"""Sources and stimuli that change with time or scatter: their statistics, within 3 standard errors, and who may cut them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from one_cell import run_cells

import eventsnn as snn
from eventsnn import spec
from eventsnn.backends.cpu.neurons import Neurons
from eventsnn.canonical import canonical
from eventsnn.errors import EventsnnError, KindError, ModelError, ParameterError, ShapeError
from eventsnn.lower import lower
from eventsnn.model import NeuronModel, Param, State, StimulusTarget
from eventsnn.models import (
    AcCurrent,
    GammaSource,
    IafPscDelta,
    NoiseCurrent,
    Poisson,
    PoissonInput,
    Rates,
    Sinusoid,
    StepCurrent,
    rate_function,
    with_noise,
)
from eventsnn.restored import restore
from eventsnn.scheduler.device_memory import device_bytes
from eventsnn.scheduler.estimate import cost

N = 500


def within(count: float, mean: float) -> bool:
    """Whether a Poisson count lies within 3 standard deviations."""
    return abs(count - mean) < 3.0 * math.sqrt(mean)


def ticks(trains: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(trains)


@pytest.mark.parametrize("source", ["constant", "array", "table", "columns", "function", "sinusoid"])
def test_counts_of_poisson_sources_in_time(source: str) -> None:
    """1000 ms in bins of 125 ms: each count is Poisson with the integral of the rate."""
    t = np.arange(0.5, 1000.0)
    columns = np.tile([[10.0], [40.0], [0.0], [80.0]], (1, N)) * (np.arange(N) % 2)
    rates: dict[str, tuple[Any, Any]] = {
        "constant": (20.0, np.full(1000, 20.0)),
        "array": (np.arange(N) % 2 * 40.0, np.full(1000, 20.0)),
        "table": (Rates([0.0, 250.0, 750.0], [10.0, 60.0, 5.0]), np.select([t < 250.0, t < 750.0], [10.0, 60.0], 5.0)),
        "columns": (Rates([125.0, 250.0, 500.0, 750.0], columns), np.select(
            [t < 125.0, t < 250.0, t < 500.0, t < 750.0], [0.0, 5.0, 20.0, 0.0], 40.0)),
        "function": (rate_function(lambda t: 0.04 * t, until=1000.0, every=1.0), 0.04 * t),
        "sinusoid": (Sinusoid(30.0, 40.0, 4.0, 0.3), np.maximum(0.0, 30.0 + 40.0 * np.sin(8e-3 * np.pi * t + 0.3))),
    }  # fmt: skip
    given, expected = rates[source]
    trains, _ = run_cells(Poisson(given), 1000.0, 0.25, N, seed=3)
    counts = np.histogram(ticks(trains) * 0.25 - 0.125, bins=8, range=(0.0, 1000.0))[0]
    means = expected.reshape(8, 125).sum(axis=1) * N / 1000.0
    for count, mean in zip(counts, means, strict=True):
        assert within(count, mean) if mean else count == 0
    if source == "columns":
        assert all(len(train) == 0 for train in trains[::2])
    per_neuron = np.array([len(train) for train in trains])
    if source in ("constant", "table", "sinusoid", "function"):
        assert abs(per_neuron.var() / per_neuron.mean() - 1.0) < 3.0 * math.sqrt(2.0 / N)


def test_many_events_in_a_step_are_drawn_in_parts() -> None:
    """50 per step: mean and variance of the pulses into each neuron."""
    net = snn.Network(seed=5, dt=0.1)
    cells = net.population("cells", 200, IafPscDelta(V_th=1e9))
    net.stimulate(cells, PoissonInput(rate=Rates([0.0, 1.0], [500_000.0, 20.0]), weight=1.0))
    net.stimulate(cells[10:], PoissonInput(rate=Rates([0.5], np.full((1, 190), 1000.0)), weight=0.001))
    net.record(cells, "delta", every=0.1, dtype="float64")
    with snn.Simulation(net, threads=1) as sim:
        sim.run(3.0)
        arrived = snn.open(sim)["cells/delta"]["delta"].values
    first = np.rint(arrived[:10])
    assert within(first.sum(), 50.0 * first.size)
    assert abs(first.var() / first.mean() - 1.0) < 3.0 * math.sqrt(2.0 / first.size)
    assert within(np.rint(arrived[10:]).sum(), 0.002 * 20 * 200)
    small = np.rint((arrived - np.rint(arrived)) * 1000.0)
    assert small[:, :10].max() == 0 and small[:5].max() == 0
    assert within(small[5:].sum(), 0.1 * 25 * 190)


def test_rates_change_between_runs() -> None:
    net = snn.Network(seed=5, dt=0.1)
    source = net.population("source", 400, Poisson(50.0))
    net.record(source, "spikes")
    with snn.Simulation(net, threads=1) as sim:
        sim.run(100.0)
        sim["source"].set("rate", 10.0)
        sim.run(100.0)
        sim["source"][:100].set("rate", 0.0)
        sim.run(100.0)
        events = snn.open(sim)["source/spikes"].to_dataset().load()
    t, i = events["time"].values, events["neuron"].values
    assert within((t <= 100.0).sum(), 2000.0) and within(((t > 100.0) & (t <= 200.0)).sum(), 400.0)
    assert within((t > 200.0).sum(), 300.0) and i[t > 200.0].min() >= 100


@pytest.mark.parametrize("profile", [Rates([50.0, 150.0], [80.0, 20.0]), Sinusoid(50.0, 50.0, 10.0)])
def test_a_profile_is_replaced_while_it_runs(profile: Any) -> None:
    """Of 400 neurons, 100 first, then all: events of each epoch, the same over three parts."""
    found = {}
    for parts in (1, 3):
        net = snn.Network(seed=5, dt=0.1)
        source = net.population("source", 400, Poisson(profile))
        net.record(source, "spikes")
        with snn.Simulation(net, threads=1, parts=parts) as sim:
            assert np.isnan(sim["source"].get("rate")).all()
            sim.run(100.0)
            sim["source"][:100].set("rate", 200.0)
            assert sim["source"].get("rate")[99] == 200.0 and np.isnan(sim["source"].get("rate")[100])
            sim.run(100.0)
            sim["source"].set("rate", snn.Uniform(5.0, 15.0))
            sim.run(100.0)
            events = snn.open(sim)["source/spikes"].to_dataset().load()
        found[parts] = events["time"].values, events["neuron"].values
    for one, three in zip(found[1], found[3], strict=True):
        np.testing.assert_array_equal(one, three)
    (t, i), each = found[1], 4.0 if isinstance(profile, Rates) else 5.0  # events of a neuron in 100 ms
    middle = 5.0  # 50 ms of 80 Hz and 50 ms of 20 Hz, or a period
    assert within((t <= 100.0).sum(), 400.0 * each)
    changed = (t > 100.0) & (t <= 200.0)
    assert within((changed & (i < 100)).sum(), 2000.0) and within((changed & (i >= 100)).sum(), 300.0 * middle)
    assert within((t > 200.0).sum(), 400.0)


def test_a_rate_function_without_an_end() -> None:
    """The recipe of rate_function: evaluated every 5 ms for as long as there are runs."""

    def function(t: float) -> float:
        return 0.3 * t

    net = snn.Network(seed=5, dt=0.1)
    net.record(net.population("source", 400, Poisson(90.0)), "spikes")
    with snn.Simulation(net, threads=1) as sim:
        sim["source"].set("rate", function(2.5))
        sim.every(5.0, lambda sim: sim["source"].set("rate", function(sim.time + 2.5)))
        for _ in range(3):
            sim.run(100.0)
        t = snn.open(sim)["source/spikes"].to_dataset()["time"].values
    for count, begins in zip(np.histogram(t - 0.05, bins=6, range=(0.0, 300.0))[0], range(0, 300, 50), strict=True):
        assert within(count, 400.0 * 0.05 * function(begins + 25.0))


def test_gamma_intervals() -> None:
    """Of shape 12: mean 1/rate, CV 1/sqrt(12); the standard error of a CV is CV sqrt(1/2 + CV^2)/sqrt(n), nearly."""
    model = GammaSource(rate=np.repeat([20.0, 100.0], 100), gamma_shape=12.0)
    trains, _ = run_cells(model, 5000.0, 0.1, 200, seed=7)
    for rate, group in ((20.0, trains[:100]), (100.0, trains[100:])):
        intervals = np.concatenate([np.diff(train) for train in group]) * 0.1
        cv, n = 1.0 / math.sqrt(12.0), len(intervals)
        assert abs(intervals.mean() * rate / 1000.0 - 1.0) < 3.0 * cv / math.sqrt(n) + 1e-3  # the last one of each is cut
        assert abs(intervals.std() / intervals.mean() - cv) < 3.0 * cv * math.sqrt(0.5 + cv**2) / math.sqrt(n) + 1e-3
        skew = np.mean((intervals - intervals.mean()) ** 3) / intervals.std() ** 3
        assert skew == pytest.approx(2.0 * cv, abs=0.1)
    one = run_cells(GammaSource(rate=50.0, gamma_shape=1.0), 2000.0, 0.1, 100, seed=2)[0]
    gaps = np.concatenate([np.diff(train) for train in one])
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.03)


def membrane(stimulus: Any, time: float = 200.0, n: int = 400, every: float = 0.1, **options: Any) -> np.ndarray:
    """Potentials (mV, less rest) of neurons whose potential is the current, filtered: C = tau_m = 10."""
    net = snn.Network(seed=6, dt=0.1)
    cells = net.population("cells", n, IafPscDelta(C_m=10.0, tau_m=10.0, V_th=1e9))
    for s in stimulus if isinstance(stimulus, list) else [stimulus]:
        net.stimulate(cells, s)
    net.record(cells, "V_m", every=every, dtype="float64")
    with snn.Simulation(net, **{"threads": 1, **options}) as sim:
        for _ in range(4):
            sim.run(time / 4)
        return np.asarray(snn.open(sim)["cells/V_m"]["V_m"].values) + 70.0


def test_noise_has_the_variance_of_nest() -> None:
    """NEST's test_noise_generator: std of V is sigma sqrt((1 - e)/(1 + e)) in mV of the resistance 1, e = exp(-hold/tau)."""
    for hold in (0.1, 1.0, 5.0):
        V = membrane(NoiseCurrent(mean=3.0, std=2.0, dt=hold), 400.0, every=hold)[int(100 / hold) :]
        e = math.exp(-hold / 10.0)
        independent = V.size * (1.0 - e) / (1.0 + e)
        std = 2.0 * math.sqrt((1.0 - e) / (1.0 + e))
        assert abs(V.mean() - 3.0) < 3.0 * std / math.sqrt(independent)
        assert abs(V.std() / std - 1.0) < 3.0 / math.sqrt(independent) + 2e-4
        assert abs(np.corrcoef(V[:, 0], V[:, 1])[0, 1]) < 0.5
        first, second = (V[k:] - math.exp(-hold / 10.0) * V[:-k] for k in (1, 1))
        assert np.allclose(first, second)


def test_noise_does_not_depend_on_parts_and_its_streams_are_independent() -> None:
    noise = NoiseCurrent(mean=snn.Uniform(0.0, 1.0), std=2.0, dt=0.3, start=5.0, stop=30.1)
    whole = membrane(noise, 40.0, 50)
    np.testing.assert_array_equal(whole, membrane(noise, 40.0, 50, parts=3))
    assert np.all(whole[:50] == 0.0) and np.all(whole[50] != 0.0)
    np.testing.assert_allclose(whole[310:], whole[309:-1] * math.exp(-0.01), rtol=1e-9)
    two = membrane([NoiseCurrent(0.0, 2.0), NoiseCurrent(0.0, 2.0)], 100.0)
    one = membrane([NoiseCurrent(0.0, 2.0)], 100.0)
    assert two[500:].var() / one[500:].var() == pytest.approx(2.0, rel=0.1)


def test_a_noisy_model_has_an_ornstein_uhlenbeck_current() -> None:
    """Mean, variance and correlation of the current, and the variance of the potential it drives: s^2 tau/(tau + tau_m)."""
    noisy = with_noise(IafPscDelta)
    model = noisy(C_m=10.0, tau_m=10.0, V_th=1e9, noise_mean=3.0, noise_std=2.0, noise_tau=20.0)
    states = run_cells(model, 700.0, 0.1, 500, states=("I_noise", "V_m"), every=50.0, seed=4)[1]
    current, V = states["I_noise"][3:], states["V_m"][3:] + 70.0
    samples = current.size * (1.0 - math.exp(-2.5)) / (1.0 + math.exp(-2.5))
    assert abs(current.mean() - 3.0) < 3.0 * 2.0 / math.sqrt(samples)
    assert abs(current.var() / 4.0 - 1.0) < 3.0 * math.sqrt(2.0 / samples)
    assert abs(V.var() / (4.0 * 20.0 / 30.0) - 1.0) < 3.0 * math.sqrt(2.0 / samples) + 0.005
    near = run_cells(model, 200.0, 0.1, 500, states=("I_noise",), every=10.0, seed=4)[1]["I_noise"][5:]
    assert np.corrcoef(near[:-1].ravel(), near[1:].ravel())[0, 1] == pytest.approx(math.exp(-0.5), abs=0.03)
    with pytest.raises(ModelError, match="takes no current"):
        with_noise(GammaSource)


def test_a_noisy_current_is_exact_where_the_step_is_half_its_time_constant() -> None:
    """Its variance is that of the process; by Euler and Maruyama it were 1/(1 - 1/e) = 1.58 times as much."""
    model = with_noise(IafPscDelta)(C_m=10.0, tau_m=10.0, V_th=1e9, noise_mean=-1.0, noise_std=3.0, noise_tau=0.2)
    values = run_cells(model, 40.0, 0.1, 500, states=("I_noise",), seed=8)[1]["I_noise"][50:]
    keep = math.exp(-0.5)
    samples = values.size * (1.0 - keep) / (1.0 + keep)
    assert abs(values.mean() + 1.0) < 3.0 * 3.0 / math.sqrt(samples)
    assert abs(values.var() / 9.0 - 1.0) < 3.0 * math.sqrt(2.0 * (1.0 + keep**2) / (1.0 - keep**2) / values.size)
    for lag in (1, 2, 5):
        found = np.mean((values[lag:] + 1.0) * (values[:-lag] + 1.0)) / 9.0
        assert abs(found - keep**lag) < 3.0 * math.sqrt((1.0 + keep**2) / (1.0 - keep**2) / values.size) + 0.003


def test_which_noises_are_exact() -> None:
    """The number that a draw is multiplied with, of a step of 0.5 ms: by its closed form, or the root of the step."""

    class Cell(NeuronModel):
        tau = Param(2.0, "")
        x = State(0.0)
        y = State(0.0)
        z = State(0.0)
        v = State(0.0)
        r = State(0.0)
        equations = """
            dx/dt = -x/tau + 3*xi
            dy/dt = x - y/tau + 3*xi_1
            dz/dt = 3*xi_2
            dv/dt = r - v/tau + 3*xi_3
            dr/dt = -v - r/tau
        """
        threshold = "x > 1e9"

    found = Cell.kernel().constants({"tau": 2.0}, 0.5, False)
    exact = 3.0 * math.sqrt((1.0 - math.exp(-0.5)) / (2.0 / 2.0))
    assert found["noise0__x"] == pytest.approx(exact, rel=1e-14) == found["noise1__y"]
    assert found["noise2__z"] == pytest.approx(3.0 * math.sqrt(0.5)) == found["noise3__v"]


def test_an_alternating_current_is_its_sine() -> None:
    stimulus = AcCurrent(amplitude=30.0, frequency=50.0, phase=0.5, offset=5.0, start=10.0, stop=60.0)
    V = membrane(stimulus, 100.0, 2)[:, 0]
    t = 0.1 * np.arange(1000)
    given = np.where((t > 9.99) & (t < 59.99), 5.0 + 30.0 * np.sin(0.1 * np.pi * t + 0.5), 0.0)
    np.testing.assert_allclose(V, membrane(StepCurrent(t, given), 100.0, 2)[:, 0], atol=1e-10)
    assert np.ptp(V) > 5.0


def test_stores_keep_sources_and_stimuli() -> None:
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 3, IafPscDelta())
    net.population("source", 3, Poisson(Rates([0.0, 1.0], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])))
    net.population("gamma", 3, GammaSource(rate=5.0))
    net.stimulate(cells, NoiseCurrent(0.0, snn.Uniform(1.0, 2.0)))
    net.stimulate(cells, AcCurrent(1.0, 50.0))
    net.stimulate(cells, PoissonInput(Sinusoid(10.0, 5.0, 100.0), 0.1))
    described = canonical(net)
    made = restore(described, {}.__getitem__)
    assert canonical(made) == described
    ours, theirs = lower(net), lower(made)
    assert [type(s) for s in ours.stimuli] == [spec.NoiseStimulus, spec.WaveStimulus, spec.PoissonStimulus]
    for a, b in zip(ours.stimuli, theirs.stimuli, strict=True):
        assert getattr(a, "key", 0) == getattr(b, "key", 0)
    rates = [made.populations[1].dynamics.profile.values for made in (ours, theirs)]  # type: ignore[union-attr]
    np.testing.assert_array_equal(*rates)


CURRENT: dict[str, Callable[[], Any]] = {
    "noise": lambda: NoiseCurrent(0.0, snn.Uniform(1.0, 2.0)),
    "noise in some": lambda: NoiseCurrent(1.0, 2.0),
    "sine": lambda: AcCurrent(1.0, 1.0),
    "table": lambda: StepCurrent(np.arange(5000.0), np.ones(5000)),
    "columns": lambda: StepCurrent(np.arange(50.0), np.ones((50, 3000))),
}


@pytest.mark.parametrize("name", CURRENT)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_what_a_current_takes_is_estimated(name: str, precision: str) -> None:
    """The difference that a current makes is that of the arrays which its operations hold, and of the column of currents."""
    costs, arrays = [], []
    for stimulated in (False, True):
        net = snn.Network(seed=1, dt=0.1)
        cells = net.population("cells", 3000, IafPscDelta())
        if stimulated:
            net.stimulate(cells[:1000] if "some" in name else cells, CURRENT[name]())
        made = replace(lower(net), precision=precision)
        piece = spec.Slice(0, 0, 3000)
        costs.append((cost(made, [piece], 1).bytes, device_bytes(made, [piece])[0]))
        neurons = Neurons(made, [piece])
        held = {a.ctypes.data: a for op in neurons.inputs() for a in op.keep if isinstance(a, np.ndarray)}
        tables = {s.normal.tables[0].ctypes.data for s in made.stimuli if isinstance(s, spec.NoiseStimulus)}  # one for all
        arrays.append(sum(a.nbytes for at, a in held.items() if at not in tables))
    host, device = np.subtract(*costs[::-1])
    assert host == pytest.approx(arrays[1] - arrays[0], rel=0.02)
    own = arrays[1] - arrays[0]
    if "noise" not in name and precision == "float32":
        own -= 4 * next(s.values.size for s in made.stimuli)  # a device has values of its own, in its precision
    assert device == pytest.approx(own, rel=0.02)


TARGET = StimulusTarget(0, spec.Subset(0, 3), 0.1, (1, 2))
WRONG: dict[str, tuple[Callable[[], object], type[EventsnnError], str]] = {
    "descend": (lambda: Rates([2.0, 1.0], [0.0, 0.0]).profile(3, 0.1, "x"), ParameterError, "times must be >= 0 ms and ascend"),
    "grid": (lambda: Rates([0.05], [0.0]).profile(3, 0.1, "x"), ParameterError, "0.05 ms is not a multiple"),
    "shape": (lambda: Rates([0.0], [[1.0, 2.0]]).profile(3, 0.1, "x"), ShapeError, r"one per time, or shape \(1, 3\)"),
    "negative": (lambda: Rates([0.0], [-1.0]).profile(3, 0.1, "x"), ParameterError, "must be >= 0 Hz, not -1"),
    "words": (lambda: Rates([0.0], ["a"]).profile(3, 0.1, "x"), KindError, "must be numbers"),
    "no times": (lambda: Rates([], []).profile(3, 0.1, "x"), ShapeError, "at least one time"),
    "too fast": (lambda: Poisson(0.0).multiplicity(3, 0.1, {"rate": Rates([0.0], [1e7])}), ParameterError, "at most 127"),
    "input too fast": (lambda: PoissonInput(Rates([0.0], [1e12]), 1.0).lower(TARGET), ParameterError, "at most 10000"),
    "every": (lambda: rate_function(abs, 10.0, 0.0), ParameterError, "until must be at least every > 0"),
    "frequency": (lambda: Sinusoid(1.0, 1.0, 0.0).profile(3, 0.1, "x"), ParameterError, "> 0 Hz and at most 5000 Hz"),
    "odd": (lambda: AcCurrent(1.0, 12.3456789).lower(TARGET), ParameterError, r"no number of periods of 12.3457 Hz.*give 12.3"),
    "std": (lambda: NoiseCurrent(0.0, -1.0).lower(TARGET), ParameterError, "std must be >= 0 pA, not -1"),
    "hold": (lambda: NoiseCurrent(0.0, 1.0, dt=0.25).lower(TARGET), ParameterError, "dt: 0.25 ms is not a multiple"),
    "no hold": (lambda: NoiseCurrent(0.0, 1.0, dt=0.0).lower(TARGET), ParameterError, "at least a step of 0.1 ms"),
    "window": (lambda: NoiseCurrent(0.0, 1.0, start=2.0, stop=1.0).lower(TARGET), ParameterError, "stop, not 2.0 and 1.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused(name: str) -> None:
    make, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        make()
