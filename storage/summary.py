"""What a store holds, as text."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from zarr.core.sync import sync

from eventsnn.storage.checkpoints import Checkpoints
from eventsnn.storage.clock import times
from eventsnn.storage.packing import is_packed
from eventsnn.storage.results import read_commit
from eventsnn.storage.targets import Place

ACTIVE = 60.0
"""Seconds after its last commit for which a run counts as going on."""

_HEAD = ("recording", "neurons", "kind", "size")


def summary(source: object, storage_options: Mapping[str, Any] | None = None) -> str:
    """Recordings with their sizes, the time they reach, whether the run goes on, its checkpoints, seed, versions and bytes."""
    place, record = read_commit(source, storage_options)
    attrs = record["attributes"]
    nodes = record["consolidated_metadata"]["metadata"]
    rows = [_row(path, nodes, attrs["committed_ms"]) for path in nodes if "recording" in nodes[path]["attributes"]]
    versions = ", ".join(f"{name} {number}" for name, number in attrs["versions"].items())
    lines = [
        f"{place.name}: {attrs['committed_ms']:,.10g} ms committed, {_bytes(_size(place))}",
        *_activity(attrs, place.name, is_packed(nodes)),
        *_checkpoints(place, attrs["dt"]),
        f"dt {attrs['dt']} ms, seed {attrs.get('seed', 'unknown')}; {versions}",
        *_populations(attrs.get("network")),
        "",
        *(_table([_HEAD, *rows]) if rows else ["nothing was recorded"]),
    ]
    return "\n".join(lines)


def _activity(attrs: Mapping[str, Any], name: str, packed: bool) -> list[str]:
    """One line: whether the run goes on, where the store says when it was written last."""
    run, committed = attrs.get("run"), attrs["committed_ms"]
    if run is None:
        return []
    if run["state"] == "ended":
        return ["not active: ended" + (", packed" if packed else "")]
    age = max((datetime.now(UTC) - datetime.fromisoformat(run["updated"])).total_seconds(), 0.0)
    until = run["until_ms"]
    ahead = until is not None and until > committed
    if age < ACTIVE:
        return [f"active: last commit {_age(age)} ago" + (f", on its way to {until:,.10g} ms" if ahead else "")]
    where = f"{committed:,.10g} ms of {until:,.10g} ms" if ahead else f"{committed:,.10g} ms"
    return [f"cut off at {where}, {_age(age)} ago; resume with snn.resume or `eventsnn resume {name}`"]


def _checkpoints(place: Place, dt: float) -> list[str]:
    """One line of the checkpoints that are whole, where there are any."""
    texts = []
    for checkpoint in Checkpoints(place.store).whole():
        step = checkpoint.manifest.get("step")
        at = "" if step is None else f"{times(np.array([step]), dt)[0]:,.10g} ms, "
        texts.append(f"{checkpoint.name} ({at}{_bytes(checkpoint.nbytes)})")
    return [f"checkpoints: {', '.join(texts)}"] if texts else []


def _row(path: str, nodes: Mapping[str, Any], committed_ms: float) -> tuple[str, ...]:
    attrs = nodes[path]["attributes"]
    if attrs["recording"] == "spikes":
        events = nodes[f"{path}/tick"]["shape"][0] - attrs.get("first_row", 0)
        seconds = attrs["neurons"] * min(committed_ms, attrs.get("keep_ms", committed_ms)) / 1000.0
        rate = f", {events / seconds:.2f} Hz" if seconds else ""
        return path, f"{attrs['neurons']:,}", "spikes", f"{events:,} events{rate}"
    whole = f"{attrs['synapses']:,} synapses" if "synapses" in attrs else f"{attrs['neurons']:,}"
    values = nodes[f"{path}/{attrs['recording']}"]
    rows, columns = values["shape"]
    shape = f"{rows - attrs.get('first_row', 0):,} x {columns:,}"
    unit = f" ({values['attributes']['units']})" if values["attributes"]["units"] else ""
    kind = f"{attrs['recording']}{unit}, every {attrs['every_ms']:g} ms"
    return path, whole, kind, f"{shape} {values['data_type']}"


def _populations(network: object) -> list[str]:
    """One line of the populations that the stored network names, where it does."""
    given = network.get("populations") if isinstance(network, Mapping) else None
    if not isinstance(given, list):
        return []
    names = [f"{p['name']} ({p['n']:,})" for p in given]
    return [f"populations: {', '.join(names)}"] if names else []


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _size(place: Place) -> int:
    if place.folder is None:
        return sync(place.store.getsize_prefix(""))
    size = 0
    for file in place.folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # it was there a moment ago: the run goes on
            size += file.stat().st_size if file.is_file() else 0
    return size


def _age(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} bytes"
        count /= 1000
    return f"{count:.3g} GB"
