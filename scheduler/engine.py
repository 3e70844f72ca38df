"""One part, the thread that runs it, and its connections: the same in this process and in a Dask worker."""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eventsnn.scheduler.links import Links
from eventsnn.scheduler.records import RecordSender, Sink
from eventsnn.spec import Layout, NetworkSpec

if TYPE_CHECKING:
    from eventsnn.part import Part

Progress = Callable[[int, int], None]
"""Step reached, spikes so far."""
Columns = dict[int, npt.NDArray[np.int64]]
"""Recording -> positions in its subset of the neurons that a part owns."""


LEG = struct.Struct("<?q")
"""Whether to stop; steps that the next leg should have."""
FIRST_LEG = 64
"""Epochs."""
LEG_SECONDS = 0.5
"""Wall time of a leg: how long an interrupted run may go on."""


class Engine:
    """All work on the part is done by one thread, in the order in which it was asked for; `abort` may come from any other."""

    def __init__(self, spec: NetworkSpec, layout: Layout, rank: int, threads: int, epoch: int, backend: str = "cpu") -> None:
        self.rank = rank
        self._backend = backend
        self.stop = threading.Event()
        """Asks for an end of the run at a step where all parts can end it."""
        self.aborted = threading.Event()
        self.sink: Sink | None = None
        self.sender: RecordSender | None = None
        """The sink, where it leads to another process."""
        self.links: Links | None = None
        self._spec, self._layout, self._epoch = spec, layout, epoch
        self._threads = min(threads, cores())
        self._part: Part | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"eventsnn-part-{rank}")

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        return self._pool.submit(work, *args)

    @property
    def part(self) -> Part:
        if self._part is None:
            raise RuntimeError(f"part {self.rank} is not built")
        return self._part

    # ---- in the engine's thread

    def build(self) -> Columns:
        """Allocates the part and generates its synapses; returns what it owns of each state recording."""
        from eventsnn.part import Part

        self._part = Part(self._spec, self._layout, self.rank, self._threads, self._backend)
        return {k: self._part.columns(k) for k, table in enumerate(self._spec.recordings) if table.every}

    def join(self, links: Links) -> None:
        """Tells every peer which of its neurons have targets here, hears the same from it, and connects the part."""
        self.links = links
        answers = links.exchange(0, [self.part.wanted(peer) for peer in links.peers])
        self.part.connect(links, {peer: bytes(a) for peer, a in zip(links.peers, answers, strict=True)}, self._epoch)

    def run(self, until: int, progress: Progress | None) -> dict[str, float]:
        """Runs to the step `until`, or to where `stop` took effect; seconds by kind of work, and the step that was reached.

        Parts with peers run in legs and agree between them, so that all stop at the same step.
        """
        part, alone = self.part, self.links is None or not self.links.peers
        total: dict[str, float] = defaultdict(float)
        leg = FIRST_LEG * self._epoch
        while part.step < until and not self.aborted.is_set():
            goal = until if alone else min(until, part.step + leg)
            seconds = part.run(goal, self.sink, progress, self.stop if alone else self.aborted)
            for kind, value in seconds.items():
                total[kind] += value
            if alone or part.step == until:
                break
            stopping, leg = self._agree(_steps(leg, seconds["wall"]))
            if stopping:
                break
        return {**total, "spikes": float(part.spikes), "step": float(part.step)}

    def _agree(self, wish: int) -> tuple[bool, int]:
        """Whether any part is to stop, and the shortest leg that any part wishes for."""
        assert self.links is not None
        packet = LEG.pack(self.stop.is_set(), wish)
        said = [LEG.unpack(packet), *map(LEG.unpack, self.links.exchange(self.part.step, [packet] * len(self.links.peers)))]
        return any(stop for stop, _ in said), min(steps for _, steps in said)

    def ask(self, method: str, args: tuple[Any, ...]) -> Any:
        return getattr(self.part, method)(*args)

    # ---- from any thread

    def abort(self) -> None:
        """Ends a run at once: the part stops or finds its links broken, and so do its peers. There is no way back."""
        self.stop.set()
        self.aborted.set()
        if self.links is not None:
            self.links.abort()
        if self.sender is not None:
            self.sender.abort()

    def close(self) -> None:
        """Waits for the engine's thread and lets go of everything."""
        self._pool.submit(self._release)
        self._pool.shutdown(wait=True)

    def _release(self) -> None:
        if self.sender is not None:
            self.sender.close()
        if self.links is not None:
            self.links.close()
        if self._part is not None:
            self._part.close()
            self._part = None


def _steps(leg: int, seconds: float) -> int:
    """Steps that would take LEG_SECONDS, from those of the last leg; at most 8 times as many."""
    return max(1, min(8 * leg, int(leg * LEG_SECONDS / max(seconds, 1e-6)), 1 << 40))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
