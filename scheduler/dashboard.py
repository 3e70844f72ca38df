"""The page /eventsnn of Dask's dashboard: the parts that run on the workers, as their heartbeats tell.

Dask collects its pages when a scheduler is made. Importing this module before adds this one, as
`dask scheduler --preload eventsnn.scheduler.dashboard` does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from eventsnn.scheduler.metrics import KINDS, METRIC, Told

if TYPE_CHECKING:
    from bokeh.document import Document
    from distributed import Scheduler

log = logging.getLogger("eventsnn")
PATH = "/eventsnn"
PACE = 500
"""Milliseconds between two looks at the heartbeats."""
COLORS = ("#4c78a8", "#f58518", "#54a24b")
"""Of KINDS."""
COLUMNS = {
    "run": "run",
    "part": "part",
    "worker": "worker",
    "time_ms": "time (ms)",
    "goal_ms": "goal (ms)",
    "real_time_factor": "real-time factor",
    "spikes": "spikes",
    "spikes_per_s": "spikes per second",
    "compute": "computing",
    "exchange": "exchanging",
    "record": "recording",
}
"""Of the table, with their titles."""


def parts(scheduler: Scheduler) -> list[Told]:
    """All parts, by run and rank, with the `worker` that told of them."""
    found = [{**told, "worker": address} for address, w in scheduler.workers.items() for told in w.metrics.get(METRIC, ())]
    return sorted(found, key=lambda told: (told["run"], told["part"]))


class Speeds:
    """Spikes per second of wall time, from what a part told twice."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], tuple[float, int]] = {}
        self._speed: dict[tuple[str, int], float] = {}

    def of(self, told: Told) -> float:
        """Since the part told something else; since it began, where it has told once."""
        key = told["run"], told["part"]
        now = told["seconds"]["wall"], told["spikes"]
        before = self._last.get(key, (0.0, 0))
        if now[0] > before[0]:
            self._speed[key] = (now[1] - before[1]) / (now[0] - before[0])
            self._last[key] = now
        return self._speed.get(key, 0.0)


def table(told: Iterable[Told], speeds: Speeds) -> dict[str, list[Any]]:
    """COLUMNS, and the `name` of each part; kinds of work as shares of its wall time."""
    rows = []
    for part in told:
        wall = max(part["seconds"]["wall"], 1e-9)
        shares = {kind: part["seconds"][kind] / wall for kind in KINDS}
        rows.append({**part, **shares, "spikes_per_s": speeds.of(part), "name": f"{part['run']} part {part['part']}"})
    return {column: [row[column] for row in rows] for column in (*COLUMNS, "name")}


def summary(columns: Mapping[str, list[Any]]) -> str:
    """A line for each run: what all of its parts have reached, and the factor of the slowest."""
    lines = []
    for run in dict.fromkeys(columns["run"]):
        of = [k for k, other in enumerate(columns["run"]) if other == run]

        def those(column: str, of: list[int] = of) -> list[Any]:
            return [columns[column][k] for k in of]

        lines.append(
            f"run {run}: {min(those('time_ms')):,.1f} of {max(those('goal_ms')):,.1f} ms, real-time factor"
            f" {max(those('real_time_factor')):.3g}, {sum(those('spikes_per_s')):,.0f} spikes per second,"
            f" {len(of)} part{'s' if len(of) > 1 else ''}"
        )
    return "<br>".join(lines) or "Nothing runs."


class Page:
    """One visitor's view."""

    def __init__(self, scheduler: Scheduler) -> None:
        from bokeh.layouts import column
        from bokeh.models import ColumnDataSource, FactorRange, Range1d
        from bokeh.models.widgets.markups import Div
        from bokeh.models.widgets.tables import DataTable, NumberFormatter, TableColumn
        from bokeh.plotting import figure

        self._scheduler, self._speeds = scheduler, Speeds()
        self.text = Div()
        self.source = ColumnDataSource(table([], self._speeds))
        formats = {"time_ms": "0,0.0", "goal_ms": "0,0.0", "real_time_factor": "0.000", "spikes": "0,0", "spikes_per_s": "0,0"}
        formats |= dict.fromkeys(KINDS, "0.0 %")
        columns = [TableColumn(field=name, title=title) for name, title in COLUMNS.items()]
        for shown in columns:
            if shown.field in formats:
                shown.formatter = NumberFormatter(format=formats[shown.field])
        rows = DataTable(source=self.source, columns=columns, index_position=None, sizing_mode="stretch_width", height=250)
        self.names = FactorRange()
        self.bars = figure(
            title="Where the time of each part goes",
            x_range=Range1d(start=0.0, end=1.0),
            y_range=self.names,
            tools="",
            toolbar_location=None,
            sizing_mode="stretch_width",
        )
        titles = [COLUMNS[kind] for kind in KINDS]
        self.bars.hbar_stack(
            list(KINDS), y="name", height=0.8, color=list(COLORS), source=self.source, legend_label=titles, line_color="white"
        )
        self.bars.add_layout(self.bars.legend[0], "right")
        self.root = column(self.text, rows, self.bars, sizing_mode="stretch_width")
        self.update()

    def update(self) -> None:
        columns = table(parts(self._scheduler), self._speeds)
        if columns != dict(self.source.data) or not self.text.text:
            self.text.text = summary(columns)
            self.names.factors = columns["name"][::-1]
            self.bars.height = 120 + 24 * len(columns["name"])
            self.source.data = columns


def page(scheduler: Scheduler, extra: Mapping[str, Any], doc: Document) -> None:
    """Fills the document of a visitor."""
    from distributed.dashboard.components.scheduler import BOKEH_THEME, env

    made = Page(scheduler)
    doc.title = "Dask: eventsnn"
    doc.add_root(made.root)
    doc.add_periodic_callback(made.update, PACE)
    doc.template = env.get_template("simple.html")
    doc.template_variables.update(extra)
    doc.theme = BOKEH_THEME


def add_page() -> None:
    """To the dashboards of schedulers that are made from now on in this process."""
    try:
        from distributed.dashboard.scheduler import applications
    except ImportError as error:
        log.warning("the dashboard has no page %s, because it needs bokeh (%s): pip install bokeh", PATH, error)
    else:
        applications[PATH] = page


add_page()
