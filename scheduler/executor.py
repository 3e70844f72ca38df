"""What a simulation needs of its parts, wherever they live; two implementations: local.LocalParts and cluster.DaskParts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eventsnn.scheduler.engine import Progress
from eventsnn.spec import Slice


@dataclass(frozen=True, eq=False)
class Call:
    """A question to a part, or to one slice in it, between runs: a method of eventsnn.part.Part and its arguments."""

    rank: int
    slice: Slice | None
    """Whose handle is asked; None: the part's."""
    method: str
    args: tuple[Any, ...]


class Parts(Protocol):
    """The parts of one simulation. Every method may raise the one error that ended the run; then only `close` is left."""

    recorded: object
    """What snn.open takes, or None."""

    def build(self) -> None:
        """Allocates, connects and links all parts, and opens the store."""
        ...

    def run(self, until: int, progress: Progress | None) -> list[dict[str, float]]:
        """Runs all parts to the step `until` and commits; seconds by kind of work and the step reached, of each part.

        KeyboardInterrupt stops all parts at one step, commits, and is raised again.
        """
        ...

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Answers, in the order of the calls."""
        ...

    def close(self) -> None: ...
