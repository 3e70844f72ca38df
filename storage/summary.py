"""What a store holds, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zarr.core.sync import sync

from eventsnn.storage.results import read_commit
from eventsnn.storage.targets import Place

_HEAD = ("recording", "neurons", "kind", "size")


def summary(source: object, storage_options: Mapping[str, Any] | None = None) -> str:
    """Recordings with their sizes, the time they reach, seed, versions and bytes, from the commit record alone."""
    place, record = read_commit(source, storage_options)
    attrs = record["attributes"]
    nodes = record["consolidated_metadata"]["metadata"]
    rows = [_row(path, nodes, attrs["committed_ms"]) for path in nodes if "recording" in nodes[path]["attributes"]]
    versions = ", ".join(f"{name} {number}" for name, number in attrs["versions"].items())
    lines = [
        f"{place.name}: {attrs['committed_ms']:,.10g} ms committed, {_bytes(_size(place))}",
        f"dt {attrs['dt']} ms, seed {attrs.get('seed', 'unknown')}; {versions}",
        *_populations(attrs.get("network")),
        "",
        *(_table([_HEAD, *rows]) if rows else ["nothing was recorded"]),
    ]
    return "\n".join(lines)


def _row(path: str, nodes: Mapping[str, Any], committed_ms: float) -> tuple[str, ...]:
    attrs = nodes[path]["attributes"]
    if attrs["recording"] == "spikes":
        events = nodes[f"{path}/tick"]["shape"][0]
        seconds = attrs["neurons"] * committed_ms / 1000.0
        rate = f", {events / seconds:.2f} Hz" if seconds else ""
        return path, f"{attrs['neurons']:,}", "spikes", f"{events:,} events{rate}"
    values = nodes[f"{path}/{attrs['recording']}"]
    shape = " x ".join(f"{length:,}" for length in values["shape"])
    kind = f"{attrs['recording']} ({values['attributes']['units']}), every {attrs['every_ms']:g} ms"
    return path, f"{attrs['neurons']:,}", kind, f"{shape} {values['data_type']}"


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
    return sum(file.stat().st_size for file in place.folder.rglob("*") if file.is_file())


def _bytes(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} bytes"
        count /= 1000
    return f"{count:.3g} GB"
