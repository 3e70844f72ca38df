"""Keeps what was measured: JSON with the machine it was measured on, and the table in the documentation."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.environments import ROOT, SIMULATORS

PAGE = ROOT / "docs" / "benchmarks.md"
START, END = "<!-- measured -->", "<!-- end -->"

Row = dict[str, Any]


def keep(path: Path, rows: Sequence[Row]) -> None:
    """Merge rows into the kept ones, by (case, simulator, threads), and write the table of all of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    by_key = {(row["case"], row["simulator"], row["threads"]): row for row in (*kept, *rows)}
    everything = sorted(by_key.values(), key=lambda row: (list(CASES).index(row["case"]), row["threads"], row["simulator"]))
    where = machine()
    path.write_text(json.dumps({"machine": where, "date": date.today().isoformat(), "rows": everything}, indent=1) + "\n")
    page = PAGE.read_text()
    head, tail = page.split(START)[0], page.split(END)[1]
    PAGE.write_text(f"{head}{START}\n{where}, {date.today().isoformat()}\n\n{table(everything)}\n{END}{tail}")


def machine() -> str:
    """The processor and the cores that this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def table(rows: Sequence[Row]) -> str:
    """Markdown: real-time factors, and how many times faster eventsnn is than the fastest of the others."""
    lines = [
        "| network | threads | " + " | ".join(SIMULATORS) + " | others / eventsnn |",
        "|---|---|" + "---|" * (len(SIMULATORS) + 1),
    ]
    keys = list(dict.fromkeys((row["case"], row["threads"]) for row in rows))
    for case, threads in keys:
        found = {row["simulator"]: row for row in rows if (row["case"], row["threads"]) == (case, threads)}
        cells = [_cell(found.get(simulator)) for simulator in SIMULATORS]
        lines.append(f"| {CASES[case].title} | {threads} | " + " | ".join(cells) + f" | {_ratio(found)} |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    return "failed" if "failed" in row else f"{row['real_time_factor']:.3g} ({row['rate_Hz']:.1f} Hz)"


def _ratio(found: dict[str, Row]) -> str:
    factors = {name: row["real_time_factor"] for name, row in found.items() if "failed" not in row}
    others = [factor for name, factor in factors.items() if name != "eventsnn"]
    if "eventsnn" not in factors or not others:
        return "-"
    return f"{min(others) / factors['eventsnn']:.1f}"
