"""Parts in this process, each with a thread of its own, joined by socket pairs."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from eventsnn.scheduler.engine import Columns, Engine, Progress
from eventsnn.scheduler.errors import STOPS, stopped
from eventsnn.scheduler.executor import Call, Joined
from eventsnn.scheduler.failure import cause, named
from eventsnn.scheduler.keeping import Note
from eventsnn.scheduler.links import pairs
from eventsnn.scheduler.plan import Plan
from eventsnn.scheduler.recording import Recording, Request
from eventsnn.spec import NetworkSpec


class LocalParts:
    """The in-process executor."""

    def __init__(self, spec: NetworkSpec, plan: Plan, request: Request | None) -> None:
        self._spec, self.plan, self._request = spec, plan, request
        self._engines = [Engine(spec, plan.layout, s.rank, s.threads, plan.epoch, s.backend) for s in plan.shares]
        self._recording: Recording | None = None
        self._failed = False
        self.recorded: object = None

    def build(self) -> None:
        columns: list[Columns] = self._each(lambda engine: engine.build())
        links = pairs(len(self._engines))
        for engine, ends in zip(self._engines, links, strict=True):
            engine.links = ends
        request = self._request
        if request is not None and request.start is not None:
            target, start = request.target, request.start
            self._each(lambda engine: engine.resume(target, start))
        self._each(lambda engine: engine.join(links[engine.rank]))
        if request is not None:
            self._recording = Recording(request, self._spec, columns)
            self.recorded = self._recording.recorder.store
            for engine in self._engines:
                whole = self._recording if engine.rank == 0 else None
                engine.record(self._recording.recorder, replace(request, target=self._recording.recorder.store), whole)

    def run(self, until: int, progress: Progress | None, note: Note) -> list[dict[str, float]]:
        for engine in self._engines:
            engine.stop.clear()
        if self._recording is not None:
            self._recording.aim(until)
        reports = Joined(len(self._engines), progress) if progress else None
        stop: BaseException | None = None
        futures = {e.rank: e.submit(e.run, until, reports.of(e.rank) if reports else None, note) for e in self._engines}
        try:
            concurrent.futures.wait(futures.values(), return_when=concurrent.futures.FIRST_EXCEPTION)
        except STOPS as signal:
            stop = signal
            for engine in self._engines:
                engine.stop.set()
        done: list[dict[str, float]] = self._settle(futures)
        step = int(min(seconds["step"] for seconds in done))
        if self._recording is not None:
            self._recording.commit(step)
        if reports:
            reports.end(step, int(sum(seconds["spikes"] for seconds in done)))
        if stop is not None:
            raise stopped(stop, step, done) from stop
        return done

    def checkpoint(self, note: Note) -> None:
        self._each(lambda engine: engine.checkpoint(note))

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        futures = []
        for call in calls:
            engine = self._engines[call.rank]
            args = call.args if call.slice is None else (call.slice.population, *call.args)
            futures.append(engine.submit(engine.ask, call.method, args))
        return [future.result() for future in futures]

    def changed(self, change: Callable[[], None]) -> None:
        pass

    def close(self) -> None:
        for engine in self._engines:
            engine.abort()
        for engine in self._engines:
            engine.close()
        if self._recording is not None:
            self._recording.close(whole=not self._failed)

    def _each(self, work: Callable[[Engine], Any]) -> list[Any]:
        return self._settle({engine.rank: engine.submit(work, engine) for engine in self._engines})

    def _settle(self, futures: dict[int, concurrent.futures.Future[Any]]) -> list[Any]:
        """All results by rank, or the one error that was the cause; the other parts are stopped first."""
        try:
            done, _ = concurrent.futures.wait(futures.values(), return_when=concurrent.futures.FIRST_EXCEPTION)
            failed = any(future.exception() for future in done)
        except STOPS:
            self._abort()
            raise
        if failed:
            self._abort()
            concurrent.futures.wait(futures.values())
            errors = {rank: error for rank, future in futures.items() if (error := future.exception()) is not None}
            rank = cause(errors)
            raise named(errors[rank], f"part {rank} ({self.plan.shares[rank].names})") from errors[rank]
        return [futures[rank].result() for rank in sorted(futures)]

    def _abort(self) -> None:
        self._failed = True
        for engine in self._engines:
            engine.abort()
