"""What a simulation needs of its parts, wherever they live; two implementations: local.LocalParts and cluster.DaskParts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eventsnn.scheduler.engine import Progress
from eventsnn.scheduler.keeping import Note
from eventsnn.scheduler.plan import Plan
from eventsnn.spec import Slice

PACE = 0.2
"""Seconds between two reports."""


@dataclass(frozen=True, eq=False)
class Call:
    """A question to a part, or to one slice in it, between runs: a method of eventsnn.part.Part and its arguments."""

    rank: int
    slice: Slice | None
    """Whose handle is asked; None: the part's."""
    method: str
    args: tuple[Any, ...]


class Moved(Exception):
    """The parts were built anew, elsewhere: calls must be dealt again."""


class Parts(Protocol):
    """The parts of one simulation. Every method may raise the one error that ended the run; then only `close` is left."""

    plan: Plan

    @property
    def recorded(self) -> object:
        """What snn.open takes, or None."""
        ...

    def build(self) -> None:
        """Allocates, connects and links all parts, and opens the store."""
        ...

    def run(self, until: int, progress: Progress | None, note: Note) -> list[dict[str, float]]:
        """Runs all parts to the step `until` and commits; seconds by kind of work and the step reached, of each part.

        KeyboardInterrupt and SystemExit stop all parts at one step and commit; then Interrupted or Exiting is raised. `note` goes
        into checkpoints.
        """
        ...

    def checkpoint(self, note: Note) -> None:
        """Makes a checkpoint between runs."""
        ...

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Answers, in the order of the calls; raises Moved where these must be made for another plan."""
        ...

    def changed(self, change: Callable[[], None]) -> None:
        """Something was changed from outside; `change` would do it again."""
        ...

    def close(self) -> None: ...


class Joined:
    """Reports of many parts as one: the step that all have reached, and the spikes of all."""

    def __init__(self, parts: int, progress: Progress) -> None:
        self._steps, self._spikes = [0] * parts, [0] * parts
        self._progress = progress
        self._lock = threading.Lock()
        self._next = 0.0

    def of(self, rank: int) -> Progress:
        """What part `rank` reports to."""

        def report(step: int, spikes: int) -> None:
            with self._lock:
                self._steps[rank], self._spikes[rank] = step, spikes
                if all(self._steps) and time.monotonic() >= self._next:
                    self._next = time.monotonic() + PACE
                    self._progress(min(self._steps), sum(self._spikes))

        return report

    def end(self, step: int, spikes: int) -> None:
        """The last report of a run; those that come later are dropped."""
        with self._lock:
            self._next = float("inf")
            self._progress(step, spikes)
