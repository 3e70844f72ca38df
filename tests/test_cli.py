"""The command does what the README shows, and ends with one line where the user is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

from eventsnn import cli
from eventsnn.models.networks.microcircuit import Microcircuit


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, arguments)


def ended_with_one_line(result: Result) -> str:
    """The message; the command must have failed as a command, not by a traceback."""
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.output
    return lines[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = ("run", "microcircuit", "--scale", "0.02", "--time", "100")


def test_a_run_prints_rates_and_speed_and_leaves_store_and_figure(here: Path):
    result = call(*SMALL)
    assert result.exit_code == 0, result.stderr
    head, columns, *table = result.stdout.splitlines()
    assert head == "firing rates from 50 to 100 ms"
    assert columns.split() == ["population", "neurons", "Hz", "NEST"]
    assert [line.split()[0] for line in table[:8]] == list(Microcircuit.at(0.02).names)
    assert re.fullmatch(r"real-time factor [\d.e-]+ \(build [\d.]+ s, peak [\d.]+ GB\)", table[-1])
    assert (here / "microcircuit.zarr" / "zarr.json").exists()
    assert (here / "microcircuit.png").read_bytes().startswith(b"\x89PNG")


def test_progress_goes_to_stderr_with_speed_spikes_and_time_left(here: Path):
    result = call(*SMALL)
    assert re.search(r"100/100 ms \[.*left, real-time factor [\d.]+, [\d,]+ spikes\]", result.stderr)
    assert "%" not in result.stdout


def test_the_printed_rates_are_those_of_the_store(here: Path):
    result = call(*SMALL)
    run = xr.open_datatree(here / "microcircuit.zarr", engine="zarr")
    for line in result.stdout.splitlines()[2:10]:
        name, neurons, rate, _ = line.split()
        ticks = run[f"{name}/spikes"]["tick"].values
        expected = np.count_nonzero(ticks > 500) / (int(neurons) * 0.05)
        assert float(rate) == pytest.approx(expected, abs=5e-4)


def test_an_existing_store_is_kept_unless_overwrite_is_given(here: Path):
    assert call(*SMALL).exit_code == 0
    assert "microcircuit.zarr" in ended_with_one_line(call(*SMALL))
    assert call(*SMALL, "--overwrite").exit_code == 0


def test_another_seed_gives_other_spikes_and_the_same_seed_the_same(here: Path):
    for store, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert call(*SMALL, "--seed", seed, "--store", f"{store}.zarr").exit_code == 0
    a, b, c = (xr.open_datatree(here / f"{store}.zarr", engine="zarr")["L4E/spikes"].to_dataset() for store in "abc")
    assert a.identical(b)
    assert not a.equals(c)


def test_info_names_populations_and_committed_time(here: Path):
    assert call(*SMALL).exit_code == 0
    result = call("info", "microcircuit.zarr")
    assert result.exit_code == 0
    assert "L23E" in result.stdout
    assert "100" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "microcircuit", "--scale", "2"), "scale=2.0 is out of range"),
        (("run", "microcircuit", "--time", "-5"), "give a positive time in ms"),
        (("run", "microcircuit", "--scale", "0.02", "--time", "0.05"), "multiple"),
        (("run", "microcircuit", "--scale", "0.02", "--backend", "cuda"), "'cuda'"),
        (("run", "microcircuit", "--scale", "0.02", "--threads", "0"), "threads"),
        (("run", "microcircuit", "--workers", "0"), "--workers"),
        (("run", "microcircuit", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"), "give one of them"),
        (("run", "microcircuit", "--sede", "2"), "--seed"),
        (("info", "nothing.zarr"), "nothing.zarr"),
    ],
)
def test_a_wrong_call_ends_with_one_line_that_helps(here: Path, arguments: tuple[str, ...], message: str):
    assert message in ended_with_one_line(call(*arguments))
    assert not list(here.iterdir())


def test_help_names_every_option_of_the_run():
    text = call("run", "microcircuit", "--help").output
    for option in ["scale", "time", "seed", "threads", "workers", "scheduler", "store", "overwrite", "backend", "figure"]:
        assert f"--{option}" in text


def test_a_missing_matplotlib_is_said_and_costs_only_the_figure(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    result = call(*SMALL)
    assert result.exit_code == 0
    assert "eventsnn[plot]" in result.stderr
    assert not (here / "microcircuit.png").exists()


def test_firing_rate_counts_the_half_open_window():
    times = xr.DataTree(xr.Dataset(coords={"time": ("event", [50.0, 50.1, 100.0, 100.1])}))
    assert cli.firing_rate(times, 10, 50.0, 100.0) == pytest.approx(2 / (10 * 0.05))


def test_the_table_says_where_there_is_no_reference():
    text = cli.rate_table({"a": 5}, [1.25], None, 0.0, 10.0)
    assert text.splitlines()[2].split() == ["a", "5", "1.250", "-"]
    assert "NEST" in text.splitlines()[-1]


def test_workers_give_the_spikes_of_one_process(here: Path):
    assert call(*SMALL, "--store", "one.zarr").exit_code == 0
    result = call(*SMALL, "--store", "two.zarr", "--workers", "2")
    assert result.exit_code == 0, result.stderr
    one, two = (xr.open_datatree(here / name, engine="zarr") for name in ("one.zarr", "two.zarr"))
    for name in Microcircuit.at(0.02).names:
        assert one[f"{name}/spikes"].to_dataset().identical(two[f"{name}/spikes"].to_dataset())
