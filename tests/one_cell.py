"""Runs neurons of one model on the CPU backend, for tests of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import eventsnn as snn
from eventsnn.model import Model, NeuronModel
from eventsnn.models import AllToAll, SpikeTrain, Static, StepCurrent

Trains = list[np.ndarray]


def run_cells(
    model: Model,
    time: float,
    dt: float = 0.1,
    n: int = 1,
    states: Sequence[str] = (),
    current: tuple[Sequence[float], Any] | None = None,
    inputs: Sequence[tuple[str, float, Sequence[float]]] = (),
    seed: int = 1,
    every: float | None = None,
    **options: Any,
) -> tuple[Trains, dict[str, np.ndarray]]:
    """(spike steps of each neuron, states after each step, shape (steps, neurons)).

    current: times and values of a StepCurrent. inputs: (receptor, weight, arrival times) of spikes to all neurons; a weight < 0
    needs a receptor that takes it.
    """
    net = snn.Network(seed=seed, dt=dt)
    cells = net.population("cells", n, model)
    if current is not None:
        net.stimulate(cells, StepCurrent(*current))
    for k, (receptor, weight, times) in enumerate(inputs):
        train = net.population(
            f"train{k}", 1, SpikeTrain(times=np.asarray(times) - dt, ids=np.zeros(len(times), int), round=True)
        )
        net.connect(train >> cells, AllToAll(), Static(weight=weight, delay=dt), receptor=receptor)
    net.record(cells, "spikes")
    for name in states:
        net.record(cells, name, every=every, dtype="float64") if every else net.record(cells, name, dtype="float64")
    with snn.Simulation(net, **{"threads": 1, **options}) as sim:
        sim.run(time)
        found = snn.open(sim).load()
    events = found["cells/spikes"].to_dataset()
    neuron, tick = events["neuron"].values, np.rint(events["time"].values / dt).astype(np.int64)
    trains = [tick[neuron == k] for k in range(n)]
    return trains, {name: found[f"cells/{name}"][name].values for name in states}


def classes() -> list[type[NeuronModel]]:
    """Every neuron model of the library that is given by equations."""
    from eventsnn import models

    found = (getattr(models, name) for name in models.__all__)
    return [c for c in found if isinstance(c, type) and issubclass(c, NeuronModel)]
