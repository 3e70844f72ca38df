"""Whole networks have the statistics that NEST 3.10 gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import eventsnn as snn
from benchmarks.validate import check_brunel
from eventsnn.models.networks import microcircuit


def test_brunels_network_has_nests_rate_and_irregularity() -> None:
    """NEST: 32.1 Hz, CV 0.17, Fano factor about 60. Independent neurons of this rate have a CV of 0.4 and a Fano factor of 1."""
    found = check_brunel(seed=1)["found"]
    assert abs(found["rate"] - 32.1) < 0.32
    assert abs(found["cv"] - 0.173) < 0.01
    assert 40.0 < found["fano"] < 90.0


def test_the_small_microcircuit_has_nests_rates(data: Path) -> None:
    """Mean rates over four seeds against five of NEST's, 10 s after 0.5 s each, within 3.5 standard errors of the difference."""
    nest = json.loads((data / "pd14_scale0.1_nest_seeds.json").read_text())
    expected = np.array(list(nest["rates"].values()))
    found = []
    for seed in range(1, 5):
        net = microcircuit(0.1, seed=seed)
        with snn.Simulation(net) as sim:
            sim.run(500.0)
            before = np.array([sim[name].counts().sum() for name in nest["populations"]])
            sim.run(10_000.0)
            after = np.array([sim[name].counts().sum() for name in nest["populations"]])
        found.append((after - before) / [len(net[name][:]) for name in nest["populations"]] / 10.0)
    rates = np.array(found)
    error = np.sqrt(rates.var(0, ddof=1) / len(rates) + expected.var(0, ddof=1) / len(expected))
    assert (np.abs(rates.mean(0) - expected.mean(0)) < 3.5 * error).all()
    assert (np.abs(rates.mean(0) / expected.mean(0) - 1.0) < 0.05).all()


def test_realised_delays_of_the_microcircuit() -> None:
    """Normal delays cut at half a step and rounded: means of 1.548 and 0.777 ms (0.1 ms and more)."""
    with snn.Simulation(microcircuit(0.1)) as sim:
        for name, mean in (("L4E_to_L4E", 1.548), ("L4I_to_L4E", 0.777)):
            delay = sim[name].weights()["delay"]
            assert delay.min() == 0.1
            assert abs(delay.mean() - mean) < 4 * delay.std() / np.sqrt(len(delay)) + 0.0005
