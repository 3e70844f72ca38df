"""What can go wrong between parts and their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventsnn.errors import EventsnnError


class PlanError(EventsnnError, ValueError):
    """The plan cannot be carried out on the places that there are: too little memory, too few workers, a wrong layout."""


class PartFailed(EventsnnError, RuntimeError):
    """A part raised an error that cannot travel as itself; the text is that of the original."""


class WorkerLost(EventsnnError, RuntimeError):
    """A worker that held parts of the network is gone, or cannot be reached by another; attribute `worker` is its address."""

    kept = ""
    """What is left of the run, where that is known."""

    def __init__(self, worker: str, held: str, when: str, why: str = "") -> None:
        super().__init__(worker, held, when, why)
        self.worker, self.held, self.when, self.why = worker, held, when, why

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"worker {self.worker} was lost {self.when}{why}; it held {self.held}{self.kept}"


class WorkersLeft(EventsnnError, RuntimeError):
    """Workers were told to stop, by a batch system or their lifetime; the parts made a checkpoint and ended the run at `step`."""

    kept = ""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"workers were told to stop, and the run ended at step {self.step}{self.kept}"


class LinkLost(EventsnnError, RuntimeError):
    """A part's link to another part broke, fell silent or spoke out of turn."""

    def __init__(self, rank: int, peer: int, step: int, why: str) -> None:
        super().__init__(rank, peer, step, why)
        self.rank, self.peer, self.step, self.why = rank, peer, step, why

    def __str__(self) -> str:
        return f"part {self.rank} lost its link to part {self.peer} at step {self.step}: {self.why}"


class RecordsLost(EventsnnError, RuntimeError):
    """Recorded rows could not travel to the part that writes them."""


class NotJoined(EventsnnError, RuntimeError):
    """Two parts found no way to each other; the text says which, and why."""

    kept = ""

    def __str__(self) -> str:
        return f"{super().__str__()}{self.kept}"


class ClusterLost(EventsnnError, RuntimeError):
    """The Dask scheduler is gone, or has no workers."""


class Unreachable(EventsnnError, RuntimeError):
    """Dask could not reach an actor: its worker is gone, or about to be."""


class Interrupted(KeyboardInterrupt):
    """A run that was interrupted, and ended in order at `step`, which all parts have reached."""

    def __init__(self, step: int, done: Sequence[Mapping[str, float]]) -> None:
        """`done`: what the run would have returned."""
        super().__init__(step)
        self.step, self.done = step, done


class Exiting(SystemExit):
    """As Interrupted, where whoever handles the signal asked for the end of the process, with that exit code."""

    def __init__(self, step: int, done: Sequence[Mapping[str, float]], code: object) -> None:
        super().__init__(code)
        self.step, self.done = step, done


STOPS = (KeyboardInterrupt, SystemExit)
"""What a signal raises where a run is waited for."""


def stopped(by: BaseException, step: int, done: Sequence[Mapping[str, float]]) -> Interrupted | Exiting:
    """What to raise when a run has ended in order because of `by`, one of STOPS."""
    return Exiting(step, done, by.code) if isinstance(by, SystemExit) else Interrupted(step, done)
