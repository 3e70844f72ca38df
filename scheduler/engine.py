"""One part, the thread that runs it, and its connections: the same in this process and in a Dask worker."""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eventsnn.scheduler.errors import LinkLost, WorkersLeft
from eventsnn.scheduler.keeping import Keeper, Note, Start, pieces
from eventsnn.scheduler.links import Links
from eventsnn.scheduler.records import RecordSender, Sink
from eventsnn.spec import Layout, NetworkSpec
from eventsnn.storage.targets import Target

if TYPE_CHECKING:
    from eventsnn.part import Part
    from eventsnn.scheduler.recording import Recording, Request

Progress = Callable[[int, int], None]
"""Step reached, spikes so far."""
Columns = dict[int, npt.NDArray[np.int64] | npt.NDArray[np.int32]]
"""Recording -> positions in its subset of the neurons that a part owns; of synapses, shape (2, n), their sources and targets."""


LEG = struct.Struct("<Bq")
"""What is wished for; steps that the next leg should have."""
STOP, RETIRE, KEEP, CHANGED, NOTED = 1, 2, 4, 8, 16
"""Wishes: end the run; make a checkpoint and end it; make a checkpoint. And facts: neurons of this part were changed since the
last note; this is part 0, and it has the client's note of all changes so far."""
CHANGING = frozenset({"set", "inject", "set_weights", "learn"})
"""Methods of a part that change what a note counts."""
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
        self.retiring = threading.Event()
        """Asks for a checkpoint and an end of the run."""
        self.aborted = threading.Event()
        self.keeper: Keeper | None = None
        """Makes checkpoints; None where there is no store."""
        self.sink: Sink | None = None
        self.sender: RecordSender | None = None
        """The sink, where it leads to another process."""
        self.links: Links | None = None
        self._spec, self._layout, self._epoch = spec, layout, epoch
        self._threads = min(threads, cores())
        self.told: dict[str, float] = {}
        """For who looks on: step, until, speed of the last leg (steps per second), spikes, and seconds by kind of work so far."""
        self._part: Part | None = None
        self.retired = False
        """Whether parts have agreed to end, because of those that leave."""
        self._changed = False
        self._heard: int | None = None
        """What parts agreed on before something that this one has not been asked for yet."""
        self._lost: LinkLost | None = None
        """What was found while this part did nothing."""
        self._last: Future[Any] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"eventsnn-part-{rank}")

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        self._last = self._pool.submit(work, *args)
        return self._last

    @property
    def part(self) -> Part:
        if self._part is None:
            raise RuntimeError(f"part {self.rank} is not built")
        return self._part

    # ---- in the engine's thread

    def build(self) -> Columns:
        """Allocates the part and generates its synapses; returns what it owns of each sampled recording."""
        from eventsnn.part import Part

        self._part = Part(self._spec, self._layout, self.rank, self._threads, self._backend)
        owned: Columns = {k: self._part.columns(k) for k, table in enumerate(self._spec.recordings) if table.every}
        return owned | {k: self._part.ends(k) for k in range(len(self._spec.recordings), len(self._spec.tables))}

    def resume(self, target: Target, start: Start) -> None:
        """After `build`: takes up what the checkpoint says of this part's neurons."""
        if start.name is not None:
            self.part.resume(start.step, pieces(target, start.name, self._layout, self.rank))
            self.told = {"step": start.step}

    def record(self, sink: Sink, request: Request, recording: Recording | None = None) -> None:
        """Where recorded rows go, and checkpoints; `recording`: of the part that completes them."""
        self.sink = sink
        serial = 0 if request.start is None else request.start.serial
        self.keeper = Keeper(request.target, self._spec, self._layout, self.rank, request.pace, serial, recording)
        self.keeper.note = {} if request.start is None else request.start.note

    def join(self, links: Links) -> None:
        """Tells every peer which of its neurons have targets here, hears the same from it, and connects the part."""
        self.links = links
        size = sum(piece.stop - piece.start for piece in self._layout[self.rank])
        answers = links.exchange(0, [self.part.wanted(peer) for peer in links.peers], (size + 7) // 8)
        self.part.connect(links, {peer: bytes(a) for peer, a in zip(links.peers, answers, strict=True)}, self._epoch)

    def run(self, until: int, progress: Progress | None, note: Note) -> dict[str, float]:
        """Runs to the step `until`, or to where `stop` or `retiring` took effect; seconds by kind of work, and the step reached.

        Parts with peers run in legs and agree before the first, between them and after the last, so that all make checkpoints,
        and stop, at the same steps.
        """
        part, keeper, alone = self.part, self.keeper, self.links is None or not self.links.peers
        total: dict[str, float] = defaultdict(float)
        leg = FIRST_LEG * self._epoch
        wishes, began = self._begin(note)
        if began:
            total["checkpoint"] += began
        while part.step < until and not wishes & (STOP | RETIRE) and not self.aborted.is_set():
            before = part.step
            goal = min(until, part.step + leg, keeper.next(part.step) if keeper else until)
            seconds = part.run(goal, self.sink, progress, self.stop if alone else self.aborted)
            for kind, value in seconds.items():
                total[kind] += value
            leg = _steps(part.step - before, seconds["wall"])
            so_far = {k: self.told.get(k, 0.0) + v for k, v in seconds.items() if k != "spikes"}
            speed = (part.step - before) / max(seconds["wall"], 1e-9)
            self.told = {**so_far, "spikes": part.spikes, "step": part.step, "until": until, "speed": speed}
            wishes, leg = self._agree(leg)
            if keeper and not self.aborted.is_set() and (wishes & (KEEP | RETIRE) or keeper.scheduled(part.step)):
                total["checkpoint"] += self._keep()
        self.retired = bool(wishes & RETIRE)
        return {**total, "spikes": float(part.spikes), "step": float(part.step)}

    def checkpoint(self, note: Note) -> None:
        """Makes a checkpoint, with all other parts."""
        wishes, _ = self._begin(note)
        if not wishes & RETIRE:
            self._keep()

    def leave(self) -> None:
        """The last work of a part whose client or worker goes: a checkpoint, if the run that `retire` ended has not made one."""
        if self.keeper is not None and not self.retired and not self.aborted.is_set() and self._part is not None:
            self._begin(None)

    def _begin(self, note: Note | None) -> tuple[int, float]:
        """What parts wish for before they do anything together; makes the checkpoint of those that leave, and tells its seconds.

        `note`: of what is to be done; None: only a peer is answered, or told. Such a checkpoint, between runs, has the note that
        part 0 knows, and is not made where that does not count what was changed since.
        """
        if self.retired:
            raise WorkersLeft(self.part.step)
        if self._lost is not None:
            raise self._lost
        if note is not None and self.keeper is not None:
            self.keeper.note = note
        if self._heard is None:
            noted = note is not None and self.rank == 0
            self._heard, _ = self._agree(0, CHANGED * self._changed | NOTED * noted)
        wishes = self._heard
        if note is not None:
            self._heard, self._changed = None, False
        self.retired = bool(wishes & RETIRE)
        if self.retired and self.keeper is not None and (wishes & NOTED or not wishes & CHANGED):
            return wishes, self._keep()
        return wishes, 0.0

    def _keep(self) -> float:
        """The seconds that a checkpoint took."""
        began = time.perf_counter()
        assert self.keeper is not None
        self.keeper.make(self.part, self.links)
        seconds = time.perf_counter() - began
        self.part.took("checkpoint", seconds)
        return seconds

    def _answer(self) -> None:
        if self._heard is None and not self.retired and not self.aborted.is_set():
            try:
                self._begin(None)
            except LinkLost as lost:
                self._lost = lost

    def _agree(self, steps: int, facts: int = 0) -> tuple[int, int]:
        """What any part wishes for, and the shortest leg that any part wishes for."""
        due = self.keeper is not None and self.keeper.due
        wishes = facts | STOP * self.stop.is_set() | RETIRE * self.retiring.is_set() | KEEP * due
        if self.links is None or not self.links.peers:
            return wishes, steps
        packet = LEG.pack(wishes, steps)
        answers = self.links.exchange(self.part.step, [packet] * len(self.links.peers), LEG.size)
        for wish, other in map(LEG.unpack, answers):
            wishes, steps = wishes | wish, min(steps, other)
        return wishes, steps

    def ask(self, method: str, args: tuple[Any, ...]) -> Any:
        self._changed |= method in CHANGING
        return getattr(self.part, method)(*args)

    # ---- from any thread

    def listen(self) -> None:
        """Answers a peer that begins something while this part does nothing: it may be one that leaves between two runs."""
        idle = self._last is None or self._last.done()
        if idle and self.keeper is not None and self.links is not None and self.links.called():
            self.submit(self._answer)

    def retire(self) -> None:
        """Ends a run of all parts soon, at one step, with a checkpoint; where none goes on, asks for the checkpoint only."""
        self.retiring.set()
        if self.links is None or not self.links.peers:
            self.stop.set()

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
