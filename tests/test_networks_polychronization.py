"""Izhikevich's network of 2006: event for event that of the paper, and its statistics after a minute."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from spnet import EXC, M, N, simulate, statistics

import eventsnn as snn
from eventsnn.canonical import big_arrays, canonical
from eventsnn.models.networks import polychronization
from eventsnn.restored import restore

Floats = npt.NDArray[np.float64]


def spikes(sim: Any, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    found: xr.Dataset = snn.open(sim)[f"{name}/spikes"].to_dataset().load()
    return found["tick"].to_numpy(), found["neuron"].to_numpy().astype(np.int64)


def by_source(sim: Any, column: str) -> Floats:
    """A number of each excitatory synapse, by source and delay: shape (EXC, M)."""
    pieces = []
    for delay in range(1, 21):
        synapses = sim[f"delay_{delay}"].weights()
        pieces.append(synapses[column][np.argsort(synapses["pre"], kind="stable")].reshape(EXC, M // 20))
    return np.concatenate(pieces, axis=1)


def test_spikes_and_weights_are_those_of_the_paper() -> None:
    """Three seconds, three changes of 80,000 weights: the same connections and kicks, in a program that shares nothing else."""
    seconds = 3
    net = polychronization(seed=3)
    net.record(net["thalamus"], "spikes")
    with snn.Simulation(net, threads=1) as sim:
        sim.run(1000.0 * seconds + 2.0)
        inhibited = sim["cells_to_cells"].weights()
        post, weight = by_source(sim, "post").astype(np.int64), by_source(sim, "weight")
        kicks, kicked = spikes(sim, "thalamus")
        times, neurons = spikes(sim, "cells")
    of_inhibitory = inhibited["post"][np.argsort(inhibited["pre"], kind="stable")].reshape(N - EXC, M)
    assert (of_inhibitory < EXC).all()
    assert all(len(set(row)) == M and k not in row for k, row in enumerate(post))
    delay = np.where(np.arange(N)[:, None] < EXC, np.arange(M) // (M // 20) + 1, 1)
    by_time: dict[int, list[int]] = defaultdict(list)
    for time, neuron in zip(kicks.tolist(), kicked.tolist(), strict=True):
        by_time[time].append(neuron)

    def grid(w: Floats) -> Floats:
        """The integer input of a target: 2**-40 of the largest power of two in a weight of 10 mV."""
        return np.rint(w * 2.0**37) / 2.0**37

    expected = simulate(np.concatenate([post, of_inhibitory]), delay, by_time.__getitem__, seconds, grid)
    before = times < 1000 * seconds
    assert before.sum() > 10_000
    np.testing.assert_array_equal(times[before], expected[0])
    np.testing.assert_array_equal(neurons[before], expected[1])
    np.testing.assert_allclose(weight, expected[2], rtol=0.0, atol=1e-12)
    assert weight.min() < 4.5
    assert weight.max() > 8.0


def test_a_minute_has_the_statistics_of_other_programs(data: Path) -> None:
    """Rates and weights of three seeds, within 3.5 of the errors that eight seeds of plain numpy give."""
    stored = json.loads((data / "spnet.json").read_text())

    def row(found: dict[str, Any]) -> list[float]:
        return [x for name, value in found.items() for x in (value if name == "quantiles" else [value])]

    reference = np.array([row(found) for found in stored["seeds"].values()])
    rows = []
    for seed in range(1, 4):
        with snn.Simulation(polychronization(seed), threads=1) as sim:
            sim.run(60_001.0)
            times, neurons = spikes(sim, "cells")
            early = times < 60_000
            rows.append(row(statistics(times[early], neurons[early], by_source(sim, "weight"), 10)))
    error = np.sqrt(reference.var(0, ddof=1) * (1 / len(reference) + 1 / len(rows)))
    np.testing.assert_array_less(np.abs(np.mean(rows, axis=0) - reference.mean(0)) / error, 3.5)


@pytest.mark.parametrize("where", [{"threads": 2}, {"parts": 3, "threads": 1}])
def test_no_layout_changes_a_bit(where: dict[str, int]) -> None:
    found = []
    for layout in ({"threads": 1}, where):
        with snn.Simulation(polychronization(2), **layout) as sim:
            sim.run(1200.0)
            found.append((*spikes(sim, "cells"), by_source(sim, "weight")))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_can_be_made_again_from_a_store() -> None:
    net = polychronization()
    assert canonical(restore(canonical(net), big_arrays(net).__getitem__)) == canonical(net)
