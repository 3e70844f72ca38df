"""Every neuron of the library, compiled, gives the bits of its generated step run as plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from one_cell import classes

import eventsnn as snn
from eventsnn.codegen.reference import plain_step
from eventsnn.codegen.sampling import look_up
from eventsnn.draws import philox
from eventsnn.keys import key
from eventsnn.model import NeuronModel
from eventsnn.models import (
    AEifPscExp,
    AllToAll,
    SpikeTrain,
    Static,
    StepCurrent,
    conductance_lif,
    iaf_psc_exp_multisynapse,
    with_noise,
)

STEPS, N, SEED = 60, 2, 9
MODELS = [*classes(), conductance_lif(), iaf_psc_exp_multisynapse(fast=1.0, slow=50.0), with_noise(AEifPscExp)]
CURRENT = {"pA": 4096.0, "uA/cm**2": 64.0, "": 8.0}
WEIGHT = {"pA": 512.0, "nS": 64.0, "mV": 16.0, "": 32.0, "uA/cm**2": 32.0}


def numbers(kernel: Any, k: int, step: int, precision: str) -> np.ndarray:
    """Draw k of all neurons in a step."""
    word = philox(np.arange(N), step >> 2, k, 1, key(SEED, "population", "cells"))[:, step & 3]
    if kernel.draws[k] == "normal":
        return look_up(snn.Normal(0.0, 1.0).drawn().tables[0], word).astype(precision)
    return np.minimum((word + 0.5) / 2.0**32, 1.0 - 2.0**-24 if precision == "float32" else 1.0).astype(precision)


def expected(model: NeuronModel, precision: str, dt: float, weights: dict[str, float], current: float) -> Any:
    """(states after the last step, spikes as (step, neuron)), by the plain step."""
    kernel, real = model.kernel(), np.dtype(precision).type
    driven = kernel.current_input
    step = plain_step(kernel, driven, precision)
    constants: dict[str, Any] = {"NREF": 0} | kernel.constants({n: model.values[n] for n in model.params()}, dt, driven)
    given = [real(constants[c]) for c in kernel.constant_names(driven)]
    start = [model.values.get(n, s.initial) for n, s in model.states().items()]
    columns, spikes = [], []
    for i in range(N):
        state = [real(model.values[v] if isinstance(v, str) else v) for v in start]
        refr = np.int32(0)
        for t in range(1, STEPS + 1):
            inputs = [real(weights[r] if t in ARRIVE else 0.0) for r in kernel.receptors]
            drive = [real(current if t > 20 else 0.0)] * driven
            draws = [numbers(kernel, k, t, precision)[i] for k in range(len(kernel.draws))]
            arguments = [*state, *([refr] * kernel.refractory), *inputs, *drive, *draws, *given]
            found = step(*arguments, *([np.int32(constants["NREF"])] * kernel.refractory))
            state, fired = list(found[: len(state)]), found[-1]
            refr = found[-2] if kernel.refractory else refr
            spikes += [(t, i)] * int(fired)
        columns.append(state)
    return np.array(columns).T, sorted(spikes)


GIVEN = {
    "GammaSource": {"rate": 5000.0, "gamma_shape": 2.0},
    "EscapeLif": {"r_max": 5000.0},
    "PhaseIf": {"jitter": 0.1, "r_max": 3000.0},
    "GlifPsc": {"t_ref": 1.2},
    "AEifPscAlpha": {"t_ref": 0.7},
    "NoisyAEifPscExp": {"noise_std": 300.0},
}
ARRIVE = (3, 4, 10, 30, 45)


def network(model: NeuronModel, dt: float, weights: dict[str, float], current: float) -> snn.Network:
    net = snn.Network(seed=SEED, dt=dt)
    cells = net.population("cells", N, model)
    train = net.population("train", 1, SpikeTrain(times=(np.array(ARRIVE) - 1) * dt, ids=[0] * len(ARRIVE), round=True))
    for receptor, weight in weights.items():
        net.connect(train >> cells, AllToAll(), Static(weight=weight, delay=dt), receptor=receptor)
    if model.current is not None:
        net.stimulate(cells, StepCurrent([20 * dt], [current]))
    net.record(cells, "spikes")
    return net


def drive(model: type[NeuronModel]) -> tuple[dict[str, float], float]:
    weights = {r.name: WEIGHT[r.unit] * (0.25 if r.name in ("in", "gaba") else 1.0) for r in model.receptors}
    unit = model.params()[model.current].unit if model.current else ""
    return weights, CURRENT[unit] / (64.0 if model.__name__ == "Izhikevich" else 1.0)


SINGLE = ("AEifCondExp", "ClopathAdEx", "EscapeLif", "GlifPsc", "HhPscAlpha", "PhaseIf")
"""Models that are also tested in float32: between them they have every function and kind of draw."""


@pytest.mark.parametrize(
    ("kind", "precision"),
    [(kind, "float64") for kind in MODELS] + [(kind, "float32") for kind in MODELS if kind.__name__ in SINGLE],
    ids=lambda x: x if isinstance(x, str) else x.__name__,
)
def test_the_compiled_step_is_the_plain_step(kind: type[NeuronModel], precision: str) -> None:
    model = kind(**GIVEN.get(kind.__name__, {}))
    dt = 0.05 if kind.__name__ == "HodgkinHuxley" else 0.1
    weights, current = drive(kind)
    states, spikes = expected(model, precision, dt, weights, current)
    with snn.Simulation(network(model, dt, weights, current), threads=1, precision=precision) as sim:
        sim.run(17 * dt)
        sim.run((STEPS - 17) * dt)
        events = snn.open(sim)["cells/spikes"].to_dataset()
        found = np.array([sim["cells"].get(name) for name in kind.states()])
    np.testing.assert_array_equal(found.astype(precision), states)
    times, neurons = np.rint(events["time"].values / dt).astype(int).tolist(), events["neuron"].values.tolist()
    assert sorted(zip(times, neurons, strict=True)) == spikes
    assert len(spikes) >= N
