"""Benchmarks compare the same networks, and their table says what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.__main__ import median
from benchmarks.cases import CASES
from eventsnn.lower import lower
from eventsnn.spec import Equations, NetworkSpec


def cell(spec: NetworkSpec, population: int) -> dict[str, float]:
    dynamics = spec.populations[population].dynamics
    assert isinstance(dynamics, Equations)
    return {name: value.value for name, value in dynamics.parameters.items() if hasattr(value, "value")}


@pytest.mark.parametrize("name", ["brunel", "small100", "small1000"])
def test_other_simulators_get_the_numbers_of_the_brunel_network(name: str):
    spec, numbers = lower(CASES[name].network(1)), CASES[name].numbers
    assert [p.size for p in spec.populations] == [numbers["excitatory"], numbers["inhibitory"]]
    assert {s.rate.value for s in spec.stimuli} == {numbers["rate"]}
    for projection in spec.projections:
        weight = numbers["weight"] * (-numbers["g"] if projection.pre else 1.0)
        assert projection.weight.value == pytest.approx(weight)
        assert projection.rule.degree.count == numbers["degrees"][projection.pre]
        assert projection.min_delay == round(numbers["delay"] / spec.dt)
    assert numbers["neuron"].items() <= cell(spec, 0).items()


def test_other_simulators_get_the_numbers_of_the_cuba_network():
    spec, numbers = lower(CASES["cuba"].network(1)), CASES["cuba"].numbers
    assert [p.size for p in spec.populations] == [numbers["excitatory"], numbers["inhibitory"]]
    for projection in spec.projections:
        assert projection.weight.value == numbers["weight"][projection.pre]
        assert projection.rule.degree.p == numbers["p"]
        assert projection.min_delay == round(numbers["delay"] / spec.dt)
    assert numbers["neuron"].items() <= cell(spec, 1).items()


def test_other_simulators_get_the_numbers_of_the_microcircuit():
    spec, numbers = lower(CASES["pd01"].network(1)), CASES["pd01"].numbers
    assert tuple(p.size for p in spec.populations) == numbers["neurons"]
    for projection in spec.projections:
        assert projection.rule.degree.total == numbers["synapses"][projection.post][projection.pre]
    assert sum(p.rule.degree.total for p in spec.projections) == sum(map(sum, numbers["synapses"]))
    for k, stimulus in enumerate(spec.stimuli):
        assert stimulus.rate.value == numbers["rate"][k]
        assert cell(spec, k)["I_e"] == numbers["I_e"][k]
    assert numbers["neuron"].items() <= cell(spec, 0).items()


def row(simulator: str, factor: float, **more: Any) -> dict[str, Any]:
    common = {"case": "brunel", "threads": 1, "rate_Hz": 32.0, "build_s": 1.0, "peak_bytes": 1e9}
    return {**common, "simulator": simulator, "real_time_factor": factor, **more}


def failed(simulator: str) -> dict[str, Any]:
    return {"case": "brunel", "threads": 1, "simulator": simulator, "failed": "no memory"}


def test_the_last_column_is_the_fastest_other_over_eventsnn():
    text = report.table([row("eventsnn", 0.5), row("nest", 18.0), row("brian2", 4.0)])
    assert text.splitlines()[-1] == "| Brunel, 12,500 neurons | 1 | 0.5 (32.0 Hz) | 18 (32.0 Hz) | 4 (32.0 Hz) | 8.0 |"


def test_a_failed_run_has_no_factor_and_no_ratio():
    text = report.table([row("eventsnn", 0.5), failed("nest"), failed("brian2")])
    assert text.splitlines()[-1].endswith("| failed | failed | - |")
    assert median([row("nest", 1.0), failed("nest")]) == failed("nest")


def test_the_median_run_is_kept():
    assert median([row("nest", factor) for factor in (3.0, 1.0, 2.0)])["real_time_factor"] == 2.0


def test_new_rows_replace_those_of_the_same_run_and_leave_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "PAGE", page)
    report.keep(results, [row("eventsnn", 0.5), row("nest", 18.0)])
    report.keep(results, [row("eventsnn", 0.25)])
    kept = {r["simulator"]: r["real_time_factor"] for r in json.loads(results.read_text())["rows"]}
    assert kept == {"eventsnn": 0.25, "nest": 18.0}
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| 72.0 |" in text
