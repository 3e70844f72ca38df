"""What a worker tells of the parts that run on it: to the scheduler with its heartbeats, and to Prometheus at /metrics."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Worker
    from prometheus_client import Metric

    from eventsnn.scheduler.engine import Engine

METRIC = "eventsnn"
"""Under this name heartbeats carry what `heartbeat` returns."""
KINDS = ("compute", "exchange", "record")
"""Kinds of work, which together take the wall time of a part."""

Told = dict[str, Any]
"""run, part, time_ms, goal_ms, real_time_factor (of the last half second or so), and so far: spikes, seconds {wall, *KINDS}."""


class Shown:
    """A part that its worker tells of until `withdraw`, or until nobody holds this any more."""

    def __init__(self, worker: Worker, run: str, rank: int, engine: Engine, dt: float) -> None:
        self.worker = worker
        self._run, self._rank, self._engine, self._dt = run, rank, engine, dt

    def tell(self) -> Told | None:
        """None before the first run."""
        told = self._engine.told
        if "speed" not in told:
            return None
        return {
            "run": self._run,
            "part": self._rank,
            "time_ms": round(told["step"] * self._dt, 10),
            "goal_ms": round(told["until"] * self._dt, 10),
            "real_time_factor": 1e3 / max(told["speed"] * self._dt, 1e-9),
            "spikes": int(told["spikes"]),
            "seconds": {kind: told[kind] for kind in ("wall", *KINDS)},
        }

    def withdraw(self) -> None:
        _SHOWN.pop(id(self), None)
        self.worker.loop.add_callback(_refresh, self.worker)


_SHOWN: weakref.WeakValueDictionary[int, Shown] = weakref.WeakValueDictionary()
"""All parts in this process: Prometheus asks processes, the scheduler workers."""
_REGISTRATION = threading.Lock()
_registered = False


def publish(worker: Worker, run: str, rank: int, engine: Engine, dt: float) -> Shown:
    """Makes the worker tell of a part; may be called in any thread. dt: ms."""
    shown = Shown(worker, run, rank, engine, dt)
    _SHOWN[id(shown)] = shown
    _register()
    worker.loop.add_callback(_refresh, worker)
    return shown


def heartbeat(worker: Worker) -> list[Told]:
    """What the worker's next heartbeat says of its parts."""
    return [told for shown in _parts() if shown.worker is worker and (told := shown.tell()) is not None]


def _parts() -> list[Shown]:
    return [shown for ref in _SHOWN.valuerefs() if (shown := ref()) is not None]


def _refresh(worker: Worker) -> None:
    """On the worker's loop; its metrics are replaced, not changed, because a heartbeat that waits may be going through them."""
    others = {name: metric for name, metric in worker.metrics.items() if name != METRIC}
    here = any(shown.worker is worker for shown in _parts())
    worker.metrics = {**others, METRIC: heartbeat} if here else others


class Collector:
    """The parts of this process, as prometheus_client takes them."""

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        told = [told for shown in _parts() if (told := shown.tell()) is not None]
        if not told:
            return
        labels = ["run", "part"]
        time = GaugeMetricFamily("eventsnn_time_ms", "Biological time reached", labels=labels)
        factor = GaugeMetricFamily(
            "eventsnn_real_time_factor", "Wall time per biological time in the last half second", labels=labels
        )
        spikes = CounterMetricFamily("eventsnn_spikes", "Spikes so far", labels=labels)
        seconds = CounterMetricFamily("eventsnn_seconds", "Wall time so far by kind of work", labels=[*labels, "kind"])
        for part in told:
            of = [part["run"], str(part["part"])]
            time.add_metric(of, part["time_ms"])
            factor.add_metric(of, part["real_time_factor"])
            spikes.add_metric(of, part["spikes"])
            for kind in KINDS:
                seconds.add_metric([*of, kind], part["seconds"][kind])
        yield from (time, factor, spikes, seconds)


def _register() -> None:
    """Once for all in this process, where prometheus_client is installed; the collector shows nothing while nothing runs."""
    global _registered
    with _REGISTRATION:
        if _registered:
            return
        _registered = True
        try:
            from prometheus_client import REGISTRY
        except ImportError:
            return
        REGISTRY.register(Collector())
