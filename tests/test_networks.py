"""The networks of the library are those of their publications."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventsnn.errors import ParameterError
from eventsnn.lower import lower
from eventsnn.models.networks import brunel, cuba, microcircuit, small
from eventsnn.models.networks.microcircuit import Microcircuit
from eventsnn.spec import CurrentStimulus, Fixed, NetworkSpec, PoissonStimulus, TotalDegree

EIGHT = range(8)


@pytest.fixture(scope="module")
def published(data: Path) -> dict[str, Any]:
    """Numbers of the authors' reference implementation, computed there."""
    numbers: dict[str, Any] = json.loads((data / "pd14.json").read_text())
    return numbers


def table(of: Any) -> np.ndarray:
    return np.array([[of(post, pre) for pre in EIGHT] for post in EIGHT])


def test_microcircuit_has_the_published_sizes_and_synapses(published: dict[str, Any]):
    facts = Microcircuit.at(1.0)
    assert list(facts.neurons) == published["N"]
    assert table(facts.synapses).tolist() == published["full_num_synapses"]


def test_microcircuit_has_the_published_weights_and_currents(published: dict[str, Any]):
    facts = Microcircuit.at(1.0)
    assert table(facts.weight) == pytest.approx(np.array(published["weights"]["PSC_matrix_pA"]), rel=1e-12)
    assert [facts.external_current(k) for k in EIGHT] == pytest.approx(published["external"]["DC_pA"], rel=1e-12)
    assert [facts.external_rate(k) for k in EIGHT] == published["external"]["poisson_rate_per_neuron_Hz"]
    # the published ones take synapse numbers rounded to integers
    assert [facts.recurrent_current(k) for k in EIGHT] == pytest.approx(published["downscale"]["mu_loc_pA"], rel=1e-4)


def test_microcircuit_shows_the_rates_of_the_nest_run(published: dict[str, Any], data: Path):
    assert list(Microcircuit.at(1.0).nest_rates()) == published["full_mean_rates_Hz"]
    assert len(Microcircuit.at(0.1).nest_rates()) == 8
    assert Microcircuit.at(0.5).nest_rates() is None


def test_downscaling_keeps_mean_and_variance_of_the_input():
    full, part = Microcircuit.at(1.0), Microcircuit.at(0.25)
    assert table(part.weight) == pytest.approx(2.0 * table(full.weight))
    degree = table(part.synapses) / np.array(part.neurons)[:, None]
    assert degree == pytest.approx(0.25 * table(full.synapses) / np.array(full.neurons)[:, None], rel=3e-3, abs=0.1)
    for k in EIGHT:
        # mean input = weights x degrees x rates + compensation, in both
        lost = full.recurrent_current(k) + full.external_current(k)
        assert part.compensation(k, poisson=True) == pytest.approx(lost - 0.25 * 2.0 * lost)
        assert full.compensation(k, poisson=True) == 0.0


@pytest.fixture(scope="module")
def spec() -> NetworkSpec:
    return lower(microcircuit(0.1))


def test_the_described_microcircuit_has_those_synapses(spec: NetworkSpec):
    facts = Microcircuit.at(0.1)
    names = [population.name for population in spec.populations]
    assert names == list(facts.names)
    totals = np.zeros((8, 8), dtype=int)
    for projection in spec.projections:
        assert isinstance(projection.rule.degree, TotalDegree)
        totals[projection.post, projection.pre] += projection.rule.degree.total
    assert totals.tolist() == table(facts.synapses).tolist()


def test_the_described_microcircuit_keeps_signs_and_delays(spec: NetworkSpec):
    for projection in spec.projections:
        inhibitory = projection.pre % 2 == 1
        low, high = projection.weight.low, projection.weight.high
        assert (low < high <= 0.0) if inhibitory else (high > low >= 0.0)
        assert projection.min_delay == 1
        receptor = projection.receptor_negative if inhibitory else projection.receptor_positive
        assert spec.populations[projection.post].receptors[receptor].name == ("in" if inhibitory else "ex")


def test_the_described_microcircuit_is_driven_and_recorded(spec: NetworkSpec):
    facts = Microcircuit.at(0.1)
    drives = {stimulus.population: stimulus for stimulus in spec.stimuli}
    for k in EIGHT:
        assert isinstance(drives[k], PoissonStimulus)
        assert drives[k].rate == Fixed(facts.external_rate(k))
        receptor = spec.populations[k].receptors[drives[k].receptor]
        assert receptor.name == "ex"
        assert drives[k].weight * 2.0**receptor.exponent == pytest.approx(facts.weight(0, 0), rel=2.0**-16)
    assert [recording.path for recording in spec.recordings] == [f"{name}/spikes" for name in facts.names]


def test_a_direct_current_replaces_the_poisson_drive():
    net = lower(microcircuit(0.5, drive="dc"))
    facts = Microcircuit.at(0.5)
    assert not [s for s in net.stimuli if not isinstance(s, CurrentStimulus)]
    for k in EIGHT:
        expected = facts.external_current(k) + (1.0 - math.sqrt(0.5)) * facts.recurrent_current(k)
        assert net.populations[k].dynamics.parameters["I_e"].value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, "scale=0.0 is out of range"),
        ({"scale": 1.5}, "scale=1.5 is out of range"),
        ({"scale": math.nan}, "scale=nan is out of range"),
        ({"scale": 1e-4}, "leaves a population without neurons"),
        ({"drive": "poison"}, "drive='poison' is not known; give 'poisson' or 'dc'"),
    ],
)
def test_microcircuit_refuses_what_it_cannot_be(arguments: dict[str, Any], message: str):
    with pytest.raises(ParameterError, match=message):
        microcircuit(**arguments)


def test_brunel_is_driven_at_twice_the_threshold_rate():
    spec = lower(brunel())
    assert [p.size for p in spec.populations] == [10_000, 2_500]
    assert {s.rate.value for s in spec.stimuli} == {20_000.0}
    assert sorted(p.weight.value for p in spec.projections) == [-0.5, -0.5, 0.1, 0.1]
    assert {(p.pre, p.rule.degree.count) for p in spec.projections} == {(0, 1000), (1, 250)}
    assert {p.min_delay for p in spec.projections} == {15}


@pytest.mark.parametrize(("neurons", "degrees"), [(100, (8, 2)), (1000, (80, 20))])
def test_small_networks_keep_the_variance_of_their_input(neurons: int, degrees: tuple[int, int]):
    spec = lower(small(neurons))
    assert sum(p.size for p in spec.populations) == neurons
    for projection in spec.projections:
        degree, strength = projection.rule.degree.count, abs(projection.weight.value)
        assert degree == degrees[projection.pre]
        assert degree * strength**2 == pytest.approx(1000 * 0.1**2 if projection.pre == 0 else 250 * 0.5**2)


def test_networks_too_small_for_their_degrees_are_refused():
    with pytest.raises(ParameterError, match="1250"):
        brunel(1000)
    with pytest.raises(ParameterError, match="at least 50"):
        small(20)


def test_cuba_has_the_synapses_of_the_example_in_its_units():
    spec = lower(cuba())
    cell = spec.populations[0].dynamics.parameters
    to_mv = cell["tau_m"].value / cell["C_m"].value
    drives = {p.pre: p.weight.value * to_mv for p in spec.projections}
    assert drives == pytest.approx({0: 60 * 0.27 / 10, 1: -20 * 4.5 / 10})
    assert sum(p.expected for p in spec.projections) == pytest.approx(0.02 * 4000**2)
    assert {p.min_delay for p in spec.projections} == {1}
