"""What a synapse that changes takes in memory: the numbers and the rule of docs/plasticity.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as snn
from eventsnn.models import FixedIndegree, IafPscExp, OneToOne, Parrot, Stdp, StdpReward, StdpTriplet, Tsodyks

N = 1000
PAGE = (Path(__file__).resolve().parent.parent / "docs" / "plasticity.md").read_text()
DRAWN = snn.Uniform(0.5, 5.0)


def measured(rule: Any, degree: int) -> tuple[int, int, int]:
    """(bytes of the report, synapses, pairs of a source and a delay that have any) of N sources and N silent targets."""
    net = snn.Network(seed=1, dt=0.1)
    source, target = net.population("source", N, Parrot()), net.population("target", N, IafPscExp())
    net.connect(source >> target, FixedIndegree(degree), rule(source), name="learned")
    with snn.Simulation(net, threads=1, backend="cpu") as sim:
        edges = sim["learned"].weights()
        (part,) = sim.report()["parts"]  # type: ignore[misc]
    pairs = np.stack([edges["pre"], np.round(edges["delay"] / net.dt).astype(np.int64)])
    return part["synapse_bytes"], part["synapses"], np.unique(pairs, axis=1).shape[1]


@pytest.mark.parametrize(("label", "delay"), [("one", 1.0), ("drawn", DRAWN)])
def test_bytes_per_synapse_are_those_of_the_page(label: str, delay: Any) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {label}"))
    told = [float(cell) for cell in row.split("|")[2:4]]
    for degree, bytes_told in zip((100, 500), told, strict=True):
        held, synapses, _ = measured(lambda _: Stdp(weight=1.0, delay=delay), degree)
        assert synapses == degree * N
        assert held / synapses == pytest.approx(bytes_told, abs=0.06)
        if label == "one" and degree == 500:
            assert held / synapses < 12.0


@pytest.mark.parametrize(
    ("rule", "traces", "variables"),
    [
        (lambda _: Stdp(weight=1.0, delay=DRAWN), 1, 0),
        (lambda _: Stdp(weight=1.0, delay=DRAWN, lambda_=snn.Uniform(0.01, 0.02)), 1, 1),
        (lambda _: StdpTriplet(weight=1.0, delay=DRAWN), 2, 0),
        (lambda source: StdpReward(weight=1.0, delay=DRAWN, modulator=source), 1, 1),
        (lambda _: Tsodyks(weight=1.0, delay=DRAWN), 4, 0),
    ],
    ids=["pairs", "a parameter of its own", "two traces", "a variable", "four states"],
)
def test_segments_sources_and_targets_are_counted(rule: Any, traces: int, variables: int) -> None:
    """`traces`: PreTraces and PreStates."""
    held, synapses, segments = measured(rule, 100)
    told = (10 + 8 * variables) * synapses + (24 + 8 * traces) * segments + 8 * N + 24 * N
    assert told <= held <= told + 24 * 64 + 16  # the steps of the longest delay, and where the last row and segment end


def test_spikes_that_targets_remember_take_16_bytes() -> None:
    """A time and a trace each; lists that grow are filled to a half at least."""
    held = []
    for spikes in (0, 64):
        net = snn.Network(seed=1, dt=0.1)
        source, target = net.population("source", 100, Parrot()), net.population("target", 100, IafPscExp())
        net.connect(source >> target, OneToOne(), Stdp(weight=1.0, delay=40.0))
        with snn.Simulation(net, threads=1, backend="cpu") as sim:
            if spikes:
                times = np.repeat(1.0 + 0.1 * np.arange(spikes), 100)
                sim["target"].inject(times, np.tile(np.arange(100), spikes))
            sim.run(10.0)
            (part,) = sim.report()["parts"]  # type: ignore[misc]
            held.append(part["synapse_bytes"])
    assert 16 * 64 * 100 <= held[1] - held[0] <= 2 * 16 * 64 * 100
