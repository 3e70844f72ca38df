"""What a run did and what it cost: a dictionary that prints as tables."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

MOST = 40
"""Rows that are printed of one table."""
Row = tuple[str, ...]


class RunReport(dict[str, object]):
    """What Simulation.report returns."""

    def __repr__(self) -> str:
        return "\n".join([_head(self), "", *_populations(self), "", *_parts(self), *_waits(self)])


class Latencies:
    """How long calls took."""

    def __init__(self) -> None:
        self._number, self._total, self._most = 0, 0.0, 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self._number, self._total, self._most = self._number + 1, self._total + seconds, max(self._most, seconds)

    def told(self) -> dict[str, float]:
        """Their number, mean and maximum; of none, nan."""
        if not self._number:
            return {"number": 0, "mean_ms": math.nan, "max_ms": math.nan}
        return {"number": self._number, "mean_ms": self._total / self._number * 1e3, "max_ms": self._most * 1e3}


def aligned(rows: Sequence[Row], left: Collection[int]) -> list[str]:
    """Lines of a table; cells stand on the right but in the columns `left`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if k in left else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def size(count: float) -> str:
    """Bytes, to be read by people."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def _head(report: Mapping[str, Any]) -> str:
    seconds = report["seconds"]
    done = f"at {report['time']:g} ms"
    if "wall" in seconds:
        done += f", simulated in {seconds['wall']:.3g} s (real-time factor {report['real_time_factor']:.3g})"
    calls = report["calls"]
    if calls["number"] > 1:
        done += f" in {calls['number']:,} calls of {calls['mean_ms']:.3g} ms on average, {calls['max_ms']:.3g} ms at most"
    return f"{done}, built in {seconds['build']:.3g} s, {report['spikes']:,} spikes"


def _populations(report: Mapping[str, Any]) -> list[str]:
    populations = report["populations"]
    rows = [(name, f"{of['neurons']:,}", f"{of['spikes']:,}", _rate(of["rate"])) for name, of in list(populations.items())[:MOST]]
    return [*aligned([("population", "neurons", "spikes", "mean rate"), *rows], {0}), *_rest(len(populations), "populations")]


def _parts(report: Mapping[str, Any]) -> list[str]:
    parts = report["parts"]
    kinds = [kind for kind in ("compute", "exchange", "record", "checkpoint") if f"seconds_{kind}" in parts[0]]
    rows = [("part", "place", "threads", "synapses", "memory", *kinds)]
    for rank, part in enumerate(parts[:MOST]):
        split = (f"{part[f'seconds_{kind}']:.2f} s" for kind in kinds)
        rows.append((str(rank), part["place"], str(part["threads"]), f"{part['synapses']:,}", size(part["bytes"]), *split))
    return [*aligned(rows, {1}), *_rest(len(parts), "parts")]


def _waits(report: Mapping[str, Any]) -> list[str]:
    waits = [part["seconds_exchange"] for part in report["parts"]]
    least, most = report["slowest"], waits.index(max(waits))
    if least is None:
        return []
    told = [
        f"part {least} waits least for the others ({waits[least]:.2f} s, with the time that links take), part {most} most"
        f" ({waits[most]:.2f} s): part {least} is the slowest"
    ]
    link = report["slowest_link"]
    if link is not None and len(waits) > 2:
        told.insert(0, f"part {link['part']} waited longest for part {link['peer']} ({link['seconds']:.2f} s): the slowest link")
    return told


def _rate(rate: float) -> str:
    return "" if math.isnan(rate) else f"{rate:.2f} Hz"


def _rest(count: int, what: str) -> list[str]:
    return [f"and {count - MOST} more {what}"] if count > MOST else []


def slowest(parts: Sequence[Mapping[str, Any]]) -> int | None:
    """The part that waits least for others, which so wait for it; None where no part waits."""
    waits = [part["seconds_exchange"] for part in parts]
    return waits.index(min(waits)) if len(waits) > 1 and max(waits) > 0.0 else None


def slowest_link(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """A part, a peer, and the seconds of the part's exchanges in which the packet of this peer was the last to come, where that
    is most; None where no part waits.
    """
    waits = [(seconds, part, peer) for part, of in enumerate(parts) for peer, seconds in of["waits"].items()]
    seconds, part, peer = max(waits, default=(0.0, 0, 0))
    return {"part": part, "peer": peer, "seconds": seconds} if seconds > 0.0 else None
