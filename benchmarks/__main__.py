"""Runs every simulator on every case, one process after another, and prints real-time factors and ratios."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.cases import CASES
from benchmarks.environments import ROOT, SIMULATORS, interpreter
from benchmarks.report import keep, table

RESULTS = ROOT / "benchmarks" / "results" / "side_by_side.json"


def _chosen(allowed: tuple[str, ...]) -> Any:
    def chosen(_context: click.Context, option: click.Parameter, text: str) -> list[str]:
        words = [word.strip() for word in text.split(",") if word.strip()]
        wrong = [word for word in words if word not in allowed]
        if wrong or not words:
            raise click.BadParameter(f"{', '.join(wrong) or 'nothing'}; choose from {', '.join(allowed)}", param=option)
        return words

    return chosen


@click.command()
@click.option("--cases", default=",".join(CASES), show_default=True, callback=_chosen(tuple(CASES)))
@click.option("--simulators", default=",".join(SIMULATORS), show_default=True, callback=_chosen(SIMULATORS))
@click.option("--threads", default="1,2", show_default=True, help="Numbers of threads, separated by commas.")
@click.option("--time", "duration", type=float, help="Biological time of every case in ms.  [default: the case's own]")
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True, help="The median is kept.")
@click.option("--seed", default=1, show_default=True)
@click.option("--limit", default=1800.0, show_default=True, help="Seconds after which one run is given up.")
@click.option("--keep/--no-keep", "kept", default=True, help="Write benchmarks/results and docs/benchmarks.md.")
def main(
    cases: list[str],
    simulators: list[str],
    threads: str,
    duration: float | None,
    repeats: int,
    seed: int,
    limit: float,
    kept: bool,
) -> None:
    """Compare simulators on this machine. Medians of `--repeats` runs, each in a process of its own."""
    rows = []
    for case in cases:
        for count in (int(word) for word in threads.split(",")):
            for simulator in simulators:
                if simulator not in CASES[case].without:
                    rows.append(median([measure(simulator, case, count, duration, seed + k, limit) for k in range(repeats)]))
                    print(line(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows))
    if kept:
        keep(RESULTS, rows)


def measure(simulator: str, case: str, threads: int, duration: float | None, seed: int, limit: float) -> dict[str, Any]:
    """One run: its row, or the reason why there is none."""
    this = CASES[case]
    request = {
        "case": case,
        "family": this.family,
        "numbers": this.numbers,
        "threads": threads,
        "settle": this.settle,
        "time": duration or this.time,
        "seed": seed,
    }
    about: dict[str, Any] = {
        "simulator": simulator,
        "case": case,
        "threads": threads,
        "time_ms": duration or this.time,
        "seed": seed,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps(request))
        script = (
            ["-m", "benchmarks.run_eventsnn"] if simulator == "eventsnn" else [str(ROOT / "benchmarks" / f"run_{simulator}.py")]
        )
        try:
            done = subprocess.run(
                [interpreter(simulator), *script, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=limit
            )
        except subprocess.TimeoutExpired:
            return {**about, "failed": f"not done after {limit:g} s"}
    if done.returncode:
        return {**about, "failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    row = json.loads(done.stdout.strip().splitlines()[-1])
    return {**about, **row, "real_time_factor": row["wall_s"] / (about["time_ms"] * 1e-3)}


def median(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The run with the median real-time factor; a failed one if any failed."""
    failed = [row for row in rows if "failed" in row]
    return failed[0] if failed else sorted(rows, key=lambda row: row["real_time_factor"])[len(rows) // 2]


def line(row: dict[str, Any]) -> str:
    head = f"{row['case']:<10} {row['simulator']:<9} {row['threads']} threads"
    if "failed" in row:
        return f"{head}  failed: {row['failed']}"
    return (
        f"{head}  real-time factor {row['real_time_factor']:8.3f}  build {row['build_s']:6.1f} s"
        f"  {row['rate_Hz']:7.2f} Hz  {row['peak_bytes'] / 1e9:5.2f} GB"
    )


if __name__ == "__main__":
    main()
