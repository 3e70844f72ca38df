"""Parts that outlive their workers: what is lost is built again from the last checkpoint, and run again to where it was."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dask
from distributed import Client

from eventsnn.errors import StateError
from eventsnn.scheduler.cluster import DaskParts
from eventsnn.scheduler.engine import Progress
from eventsnn.scheduler.errors import STOPS, ClusterLost, Exiting, Interrupted, NotJoined, PlanError, WorkerLost, WorkersLeft
from eventsnn.scheduler.executor import Call, Moved
from eventsnn.scheduler.keeping import Note, Start
from eventsnn.scheduler.plan import Plan
from eventsnn.scheduler.recording import Request
from eventsnn.scheduler.workers import running
from eventsnn.spec import NetworkSpec
from eventsnn.storage.checkpoints import Checkpoints
from eventsnn.storage.errors import CheckpointGone

log = logging.getLogger("eventsnn")
TRIES = 3
"""Failures in a row without a new checkpoint before a run is given up."""
LOST = (WorkerLost, WorkersLeft)
ANSWER = 3.0
"""Seconds that a worker may take to say that it is there."""
Make = Callable[[frozenset[str]], Plan]
"""A plan for the workers that there are, but for some addresses."""


class RecoveringParts:
    """Parts on a Dask cluster; a lost worker, link or job costs the time since the last checkpoint and nothing else."""

    def __init__(self, client: Client, spec: NetworkSpec, request: Request | None, make: Make, recover: bool) -> None:
        """`recover`: else losses are raised, with what is left of the run."""
        self._client, self._spec, self._make, self._recover = client, spec, make, recover
        self._request, self.plan = request, make(frozenset())
        self._parts = DaskParts(client, spec, self.plan, request)
        self._start = request.start if request is not None else None
        self._journal: list[tuple[int, Callable[[], None]]] = []
        self._before = int(self._start.note.get("changes", 0)) if self._start is not None else 0
        """Changes that were made before the journal begins."""
        self._marks = (self._before, self._before)
        """Changes that the last checkpoint but one holds, and the last."""
        self._step = self._start.step if self._start is not None else 0
        self._gone: set[str] = set()
        self._opened = False
        self._tries = 0
        self._mending = self._halfway = False
        self._note: Note = self._start.note if self._start is not None else {}

    @property
    def recorded(self) -> object:
        return self._parts.recorded

    @property
    def links(self) -> list[dict[int, str]]:
        """What kind of socket leads to each peer, by part."""
        return self._parts.links

    def build(self) -> None:
        try:
            self._parts.build()
        except LOST as lost:
            self._mend(lost)
        except NotJoined as lost:
            if not self._silent():
                raise  # all workers are well, and trying again would not help
            self._mend(lost)

    def run(self, until: int, progress: Progress | None, note: Note) -> list[dict[str, float]]:
        self._require_whole()
        while True:
            try:
                done = self._parts.run(until, progress, self._counted(note, len(self._journal)))
            except LOST as lost:
                self._mend(lost)
            except (Interrupted, Exiting) as stop:
                self._ran(stop.step, stop.done)
                raise
            else:
                self._ran(until, done)
                return done

    def checkpoint(self, note: Note) -> None:
        self._require_whole()
        while True:
            try:
                self._parts.checkpoint(self._counted(note, len(self._journal)))
            except LOST as lost:
                self._mend(lost)
            else:
                self._mark(self._note)
                return

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Raises Moved where the parts had to be built anew."""
        self._require_whole()
        try:
            return self._parts.ask(calls)
        except LOST as lost:
            if self._mending:
                raise
            self._mend(lost)
            raise Moved from lost

    def changed(self, change: Callable[[], None]) -> None:
        """Something was changed from outside by `change`, which does it again after a loss."""
        if self._recover and not self._mending:
            self._journal.append((self._step, change))

    def close(self) -> None:
        try:
            self._parts.close()
        except LOST as lost:
            if not self._recover:
                raise
            log.warning("%s; what was run is in the store", lost)

    def _ran(self, step: int, done: Sequence[Mapping[str, float]]) -> None:
        self._step = step
        if any(seconds.get("checkpoint") for seconds in done):
            self._mark(self._note)

    def _require_whole(self) -> None:
        if self._halfway:
            raise RuntimeError("the run was interrupted while it was recovered from a loss; go on with snn.resume(store)")

    # ---- after a loss

    def _counted(self, note: Note, changes: int) -> Note:
        self._note = {**note, "changes": self._before + changes}
        return self._note

    def _mark(self, note: Note) -> None:
        """A checkpoint holds the changes that this note counts: those that the one before it holds too need not be made again."""
        self._marks = (self._marks[1], int(note["changes"]))
        del self._journal[: self._marks[0] - self._before]
        self._before = self._marks[0]

    def _mend(self, lost: Exception) -> None:
        """Builds everything again, as often as it takes, within bounds; raises the loss where that is unwanted or of no use."""
        while True:
            start = self._last()
            self._consider(lost, start)
            try:
                self._leave(lost)
                self._wait(lost)
                self._mending = True
                self._again(start)
            except (*LOST, NotJoined, CheckpointGone) as another:
                lost = another
            except STOPS as stop:
                self._halfway = True
                raise (stop.__cause__ or stop) from None  # not a run that ended in order: it was not yet where the script is
            else:
                return
            finally:
                self._mending = False

    def _last(self) -> Start | None:
        """The last complete checkpoint; where the simulation began, while there is no store of this run."""
        self._opened = self._opened or self._parts.opened
        if self._request is None or not self._opened:
            return self._start
        return Start.of(Checkpoints(self._request.target).latest())

    def _consider(self, lost: Exception, start: Start | None) -> None:
        back = start.step if start is not None else 0
        when = f"{round(back * self._spec.dt, 10):.15g} ms"
        if not self._recover:
            kept = f"; the last checkpoint is at {when}" if back else "; there is no checkpoint"
            lost.kept = kept + (", from which snn.resume(store) goes on" if start is not None else "")  # type: ignore[attr-defined]
            raise lost
        same = start == self._start if start is None else self._start is not None and start.name == self._start.name
        self._tries = self._tries + 1 if same else 1
        if self._tries > TRIES:
            lost.kept = f"; it is the {self._tries}th loss after the checkpoint at {when}: given up"  # type: ignore[attr-defined]
            raise lost
        log.warning("%s; going back to %s", lost, when)

    def _leave(self, lost: Exception) -> None:
        """Lets go of the parts that are left, and of workers that do not answer; the one that hangs need not be the one lost."""
        for worker in () if isinstance(lost, WorkersLeft) else self._silent():
            self._gone.add(worker)
            self._parts.forget(worker)
            threading.Thread(target=self._restart, args=(worker,), name="eventsnn-restart", daemon=True).start()
        with contextlib.suppress(Exception):  # the loss has been told
            self._parts.close()

    def _silent(self) -> list[str]:
        """Workers of the plan that are gone, or that the scheduler, and through it we, cannot reach."""
        scheduler: Any = self._client.scheduler
        there = running(self._client)

        async def answers(worker: str) -> bool:
            with contextlib.suppress(Exception):
                if worker in there:
                    asked = scheduler.broadcast(msg={"op": "identity"}, workers=[worker], on_error="return")
                    return isinstance((await asyncio.wait_for(asked, ANSWER))[worker], dict)
            return False

        async def told() -> list[bool]:
            return await asyncio.gather(*map(answers, workers))

        workers = [share.place.address for share in self.plan.shares]
        return [worker for worker, answered in zip(workers, self._client.sync(told), strict=True) if not answered]

    def _restart(self, worker: str) -> None:
        with contextlib.suppress(Exception):  # it has no nanny, or is gone
            self._client.restart_workers([worker], timeout=30, raise_for_error=False)

    def _wait(self, lost: Exception) -> None:
        """Until there are as many workers as before; after a while for fewer."""
        wanted = len(self.plan.shares)
        fewer = time.monotonic() + float(dask.config.get("eventsnn.recovery-wait", 30.0))
        end = time.monotonic() + float(dask.config.get("eventsnn.recovery-timeout", 600.0))
        told = False
        while True:
            if self._client.status != "running":
                raise ClusterLost("the Dask scheduler was lost while the run waited for workers") from lost
            there = len(running(self._client).keys() - self._gone)
            now = time.monotonic()
            if there >= wanted or (there and now > fewer):
                return
            if now > end:
                lost.kept = "; no worker came to take its place"  # type: ignore[attr-defined]
                raise PlanError(f"{lost}; start workers and go on with snn.resume(store)") from lost
            if not told:
                log.warning("waiting for workers: %d of %d are there", there, wanted)
                told = True
            time.sleep(0.05)

    def _again(self, start: Start | None) -> None:
        """Builds all parts at the checkpoint and does again what was done since."""
        if self._request is not None:
            self._request = replace(self._request, start=start, overwrite=True)  # what is there is of this run
        self.plan, self._start = self._make(frozenset(self._gone)), start
        self._parts = DaskParts(self._client, self._spec, self.plan, self._request)
        self._parts.build()
        from_ms = round(start.step * self._spec.dt, 10) if start is not None else 0.0
        log.warning("going on from %.15g ms on %d workers", from_ms, len(self.plan.shares))
        done = (int(start.note.get("changes", 0)) if start is not None else 0) - self._before
        if done < 0:
            raise StateError("the last checkpoints are damaged, and what was changed after the one before is not known any more")
        reached = start.step if start is not None else 0
        for k, (step, change) in enumerate(self._journal):
            if k >= done:
                if step > reached:
                    self._parts.run(step, None, self._counted(self._note, k))
                    reached = step
                change()
        if self._step > reached:
            self._parts.run(self._step, None, self._counted(self._note, len(self._journal)))
