"""What a network is, in tables: as text, and as HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING

from eventsnn import spec
from eventsnn.algebra import Distribution
from eventsnn.selection import Population
from eventsnn.values import bounds

if TYPE_CHECKING:
    from eventsnn.network import Network
    from eventsnn.projection import Projection
    from eventsnn.recording import Recording

SEGMENT_BYTES = 8
"""A pointer pair per (source, delay)."""


@dataclass(frozen=True)
class Table:
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def one_line(network: Network) -> str:
    """Counts of everything."""
    return (
        f"Network(seed={network.seed}, dt={network.dt:g}): {_many(len(network.populations), 'population')}, "
        f"{_many(network.size, 'neuron')}, {_many(len(network.projections), 'projection')}, "
        f"{_many(synapses(network), 'synapse')} expected, {_many(len(network.recordings), 'recording')}"
    )


def as_text(network: Network) -> str:
    return "\n\n".join([one_line(network), *map(_text, _tables(network)), _total(network)])


def as_html(network: Network) -> str:
    parts = [f"<p>{html.escape(one_line(network))}</p>", *map(_html, _tables(network)), f"<p>{html.escape(_total(network))}</p>"]
    return "<div>" + "".join(parts) + "</div>"


def synapses(network: Network) -> int:
    """Expected number of synapses."""
    return round(sum(p.expected for p in network.projections.values()))


def memory(network: Network) -> float:
    """Rough bytes of synapses, their pointer tables, states and accumulators."""
    connections = sum(projection_bytes(p) for p in network.projections.values())
    return connections + sum(_population_bytes(p) for p in network.populations.values())


def projection_bytes(projection: Projection) -> float:
    """2 bytes per synapse of one constant weight, 4 with drawn and 6 with explicit weights, and 8 per (source, delay).

    Of a procedural projection, 4 per target; of a plastic one, 10 per synapse and 8 for each number of its own, 24 per (source,
    delay) and 8 for each trace and state.
    """
    if projection.procedural:
        return 4.0 * len(projection.post)
    segment, rule = SEGMENT_BYTES, projection.plasticity
    match projection.weight:
        case _ if rule is not None:
            each = 10 + 8 * (len(rule.variables) + len(rule.each))
            segment = 24 + 8 * (len(rule.pre) + len(rule.states))
        case spec.Fixed():
            each = 2
        case spec.Drawn():
            each = 4
        case _:
            each = 6
    least, most = projection.delay_bounds
    segments = min(projection.expected, len(projection.pre) * (most - least + 1))
    return each * projection.expected + segment * segments


def _population_bytes(population: Population) -> float:
    model = population.model
    return 8.0 * population.n * (len(model.states()) + len(model.receptors) + 1)


def _tables(network: Network) -> list[Table]:
    populations: list[tuple[str, ...]] = [(p.name, f"{p.n:,}", repr(p.model)) for p in network.populations.values()]
    lying = [repr(p.places.given) if p.places else "" for p in network.populations.values()]
    head = "name, neurons, model"
    if any(lying):
        head, populations = f"{head}, positions", [(*row, where) for row, where in zip(populations, lying, strict=True)]
    projections = (_projection_row(p, network.dt) for p in network.projections.values())
    stimuli = ((repr(s.target), _brief(s.stimulus)) for s in network.stimulations)
    recordings = (
        (r.path, _recorded(r), f"{r.every * network.dt:g} ms" if r.every else "each", r.dtype if r.every else "")
        for r in network.recordings.values()
    )
    tables = [
        _table("populations", head, populations),
        _table("projections", "name, rule, synapses, weight, delay, memory", projections),
        _table("stimuli", "target, stimulus", stimuli),
        _table("recordings", "path, neurons, every, dtype", recordings),
    ]
    return [table for table in tables if table.rows]


def _recorded(r: Recording) -> str:
    """How many neurons; of synapses, those between which they lie."""
    return f"{len(r.target):,}" if r.projection is None else f"onto {len(r.target):,}"


def _projection_row(p: Projection, dt: float) -> tuple[str, ...]:
    unit = p.post.population.model.receptors[p.receptors[0]].unit
    weight = "a function" if "weight" in p.functions else _span(*bounds(p.weight), unit)
    least, most = p.delay_bounds
    delay = "a function" if "delay" in p.functions else _span(least * dt, most * dt, "ms")
    return p.name, _brief(p.rule), f"{round(p.expected):,}", weight, delay, _bytes(projection_bytes(p))


def _total(network: Network) -> str:
    return (
        f"total: {_many(network.size, 'neuron')}, {_many(synapses(network), 'synapse')} expected, about {_bytes(memory(network))}"
    )


def _table(title: str, head: str, rows: Iterable[tuple[str, ...]]) -> Table:
    return Table(title, tuple(head.split(", ")), tuple(tuple(map(_short, row)) for row in rows))


def _text(table: Table) -> str:
    lines = [table.head, *table.rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(table.head))]
    aligned = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return "\n".join([table.title, *(f"  {line}" for line in aligned)])


def _html(table: Table) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = row(table.head, "th") + "".join(row(cells, "td") for cells in table.rows)
    return f"<table><caption>{html.escape(table.title)}</caption>{body}</table>"


def _span(low: float, high: float, unit: str) -> str:
    span = f"{low:g}" if low == high else f"{low:.4g} ... {high:.4g}"
    return "none" if low > high else f"{span} {unit}".rstrip()


def _brief(given: object) -> str:
    """A rule or stimulus without what was left at its default, and with six digits at the most."""
    try:
        kept = [f for f in fields(given) if getattr(given, f.name) is not f.default]  # type: ignore[arg-type]
    except TypeError:
        return repr(given)  # a class of the user's own, however it is made
    values = ((f.name, getattr(given, f.name)) for f in kept)
    return f"{type(given).__name__}({', '.join(f'{name}={_number(value)}' for name, value in values)})"


def _number(value: object) -> str:
    if is_dataclass(value) and not isinstance(value, type) and not isinstance(value, Distribution):
        return _brief(value)
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000.0:
            return f"{n:.3g} {unit}"
        n /= 1000.0
    return f"{n:.3g} GB"


def _many(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else f"{flat[:57]}..."
