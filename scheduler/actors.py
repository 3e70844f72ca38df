"""What lives on Dask workers: one PartActor per worker, which owns the engine, and one PopulationActor per slice, its handle.

All methods are async and run on the worker's event loop, which they never block: work goes to the engine's own thread. They
never raise: what goes wrong comes back as a Failure, because an exception that cannot be pickled would leave the caller waiting.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from distributed import Worker, get_worker
from distributed.comm.addressing import get_address_host, parse_address

from eventsnn.scheduler.door import RECORDS, Address, Door, Key, Tls, meet
from eventsnn.scheduler.engine import Columns, Engine
from eventsnn.scheduler.errors import NotJoined, WorkersLeft
from eventsnn.scheduler.failure import Failure
from eventsnn.scheduler.keeping import Note
from eventsnn.scheduler.links import StreamLinks
from eventsnn.scheduler.metrics import Shown, publish
from eventsnn.scheduler.recording import Recording, Request
from eventsnn.scheduler.records import RecordReceiver, RecordSender
from eventsnn.spec import Layout, NetworkSpec

WATCH = 1.0
"""Seconds between two looks at whether anybody still wants what the engine is doing."""
EMERGENCY = 6.0
"""Seconds for a last checkpoint; a nanny that was told to stop kills its worker after 8."""
PAUSE = 0.5
"""Seconds of them in which a client may begin a run: its checkpoint holds what was changed since the last."""


_TASKS: set[asyncio.Future[Any]] = set()
"""A loop keeps no reference to what it runs."""


def _keep(task: asyncio.Future[Any]) -> None:
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


def extension(run: str) -> str:
    """Where in worker.extensions a run is held."""
    return f"eventsnn-{run}"


async def attempt(held: Held, work: Callable[..., Any], *args: Any) -> Any:
    """The result of work in the engine's thread, or a Failure."""
    try:
        future = asyncio.wrap_future(held.engine.submit(work, *args))
    except RuntimeError:  # the worker is closing, and has let go of the engine already
        return Failure.of(WorkersLeft(int(held.engine.told.get("step", 0))))
    try:
        return await future
    except asyncio.CancelledError:  # the worker closes
        held.engine.retire()
        raise
    except Exception as error:
        return Failure.of(error)
    finally:
        del future  # what it raised holds this frame, and so the actor, which could not end before the garbage is collected


def hold(worker: Worker, run: str, held: Held | None) -> None:
    """Puts what a run holds into worker.extensions, or takes it out; somebody may be going through the old dictionary."""
    others = {name: other for name, other in worker.extensions.items() if name != extension(run)}
    worker.extensions = others if held is None else {**others, extension(run): held}


class Held:
    """What a part keeps in its worker's process besides its actor, in worker.extensions.

    It is let go of once: when the simulation is closed, when its client has gone, or when the worker closes and calls `close`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.door: Door | None = None
        self.recording: Recording | None = None
        self.shown: Shown | None = None
        self._ending = threading.Lock()
        self._ended = self._leaving = False
        self._gone = threading.Event()

    async def watch(self, worker: Worker, key: str, run: str) -> None:
        """Leaves when the actor is released without a close: its client has gone. Hears peers that leave between two runs."""
        while not self._ended and key in worker.state.actors:
            await asyncio.sleep(WATCH)
            with contextlib.suppress(RuntimeError):  # it has ended
                self.engine.listen()
        if not self._ended:
            self.leave()
            hold(worker, run, None)

    def end(self, whole: bool) -> None:
        """Commits, if `whole`, and lets go of everything; waits for the engine's thread."""
        with self._ending:
            if self._ended:
                return
            self._ended = True
            if self.shown is not None:
                self.shown.withdraw()
            try:
                if self.door is not None:
                    self.door.close()  # first: the engine may be waiting for somebody to come in
                self.engine.close()
                if self.recording is not None:
                    self.recording.close(whole)
            finally:
                self._gone.set()

    def leave(self, pause: float = 0.0) -> None:
        """The client, the scheduler or this worker goes: a last checkpoint together with the other parts, then the end.

        `pause`: seconds in which a run may begin, and make it.
        """
        if not self._leaving:
            self._leaving = True
            threading.Thread(target=self._leave, args=(pause,), name="eventsnn-leave", daemon=True).start()

    def _leave(self, pause: float) -> None:
        began = time.monotonic()
        self.engine.retire()
        while not self.engine.retired and time.monotonic() < began + pause:
            time.sleep(0.01)
        with contextlib.suppress(RuntimeError):  # it has ended already
            leaving = self.engine.submit(self.engine.leave)
            concurrent.futures.wait([leaving], timeout=began + EMERGENCY - time.monotonic())
        self.engine.abort()
        with contextlib.suppress(Exception):  # nobody is left to be told
            self.end(False)

    async def close(self) -> None:
        self.leave(PAUSE)
        until = time.monotonic() + EMERGENCY + 1.0
        while not self._gone.is_set() and time.monotonic() < until:
            await asyncio.sleep(0.02)


class PartActor:
    """The part of one worker: built, linked and run by it."""

    def __init__(
        self, run: str, key: str, spec: NetworkSpec, layout: Layout, rank: int, threads: int, epoch: int, backend: str
    ) -> None:
        self._worker = get_worker()
        self._run, self._key, self._spec, self._rank = run, key, spec, rank
        self._engine = Engine(spec, layout, rank, threads, epoch, backend)
        self._held = Held(self._engine)
        self._held.shown = publish(self._worker, run, rank, self._engine, spec.dt)

    async def open(self, key: Key, unix: bool) -> Any:
        """The address of this part's door."""
        hold(self._worker, self._run, self._held)
        _keep(asyncio.ensure_future(self._held.watch(self._worker, self._key, self._run)))
        _close_on_sigterm(self._worker)
        return await self._in_engine(self._open, key, unix)

    async def build(self) -> Any:
        return await self._in_engine(self._engine.build)

    async def join(self, addresses: Sequence[Address], deadline: float) -> Any:
        """Meets all other parts; what kind of socket leads to each."""
        return await self._in_engine(self._join, list(addresses), deadline)

    async def resume(self, request: Request) -> Any:
        """Takes up the state that a checkpoint holds of this part."""
        assert request.start is not None
        return await self._in_engine(self._engine.resume, request.target, request.start)

    async def record(self, request: Request, columns: Sequence[Columns], host: Address) -> Any:
        """Part 0 opens the store and takes in the others; the others dial part 0."""
        return await self._in_engine(self._record, request, columns, host)

    async def run(self, until: int, topic: str | None, note: Note) -> Any:
        self._engine.stop.clear()

        def report(step: int, spikes: int) -> None:
            self._worker.log_event(str(topic), {"part": self._rank, "step": step, "spikes": spikes})

        if self._held.recording is not None:
            self._held.recording.aim(until)
        return await self._in_engine(self._engine.run, until, report if topic else None, note)

    async def checkpoint(self, note: Note) -> Any:
        return await self._in_engine(self._engine.checkpoint, note)

    async def commit(self, step: int) -> Any:
        assert self._held.recording is not None
        return await self._in_engine(self._held.recording.commit, step)

    async def ask(self, method: str, args: tuple[Any, ...]) -> Any:
        return await self._in_engine(self._engine.ask, method, args)

    async def stop(self) -> None:
        self._engine.stop.set()

    async def abort(self) -> None:
        self._engine.abort()

    async def close(self, whole: bool) -> Any:
        """Commits, if `whole`, and lets go of everything; the worker keeps nothing."""
        hold(self._worker, self._run, None)
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._held.end, whole)
        except Exception as error:
            return Failure.of(error)

    async def _in_engine(self, work: Callable[..., Any], *args: Any) -> Any:
        return await attempt(self._held, work, *args)

    # ---- in the engine's thread

    def _open(self, key: Key, unix: bool) -> Address:
        scheme, _ = parse_address(self._worker.address)
        tls = None
        if scheme == "tls":
            security = self._worker.security
            tls = Tls(security.get_connection_args("worker")["ssl_context"], security.get_listen_args("worker")["ssl_context"])
        host = "127.0.0.1" if scheme == "inproc" else get_address_host(self._worker.address)
        self._held.door = Door(host, self._rank, key, tls, unix)
        return self._held.door.address

    def _join(self, addresses: list[Address], deadline: float) -> dict[int, str]:
        door = self._held.door
        assert door is not None
        with _joining():
            sockets = meet(door, addresses, deadline)
        kinds = {rank: "tls" if door.tls else s.family.name for rank, s in sockets.items()}
        self._engine.join(StreamLinks(self._rank, sockets, deadline, 0))
        return kinds

    def _record(self, request: Request, columns: Sequence[Columns], host: Address) -> None:
        door = self._held.door
        assert door is not None
        until = time.monotonic() + 60.0
        request.found()
        if self._rank:
            with _joining():
                self._engine.sender = RecordSender(door.dial(0, host, RECORDS, until))
            self._engine.record(self._engine.sender, request)
            return
        recording = self._held.recording = Recording(request, self._spec, columns)
        recorder = recording.recorder
        self._engine.record(recorder, request, recording)
        events = [table.every == 0 for table in self._spec.tables]
        for rank in range(1, len(columns)):
            with _joining():
                sock = door.wait((rank, RECORDS), until)
            receiver = RecordReceiver(sock, rank, events, recorder)
            receiver.step = 0 if request.start is None else request.start.step  # what is there counts as reported
            recording.receivers.append(receiver)


@contextlib.contextmanager
def _joining() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotJoined(str(error)) from error


def _close_on_sigterm(worker: Worker) -> None:
    """A batch system ends a job by SIGTERM to all of its processes: below a nanny, one that nobody handles."""
    if worker.nanny is None or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def close() -> None:
        _keep(asyncio.ensure_future(worker.close(nanny=False, reason="SIGTERM")))

    with contextlib.suppress(RuntimeError, ValueError):  # a loop outside the main thread has no signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, close)


class PopulationActor:
    """The handle of one slice of a population: reads and changes its neurons between runs.

    Ids are indices in the population, and all in the slice.
    """

    def __init__(self, run: str, key: str, population: int, start: int, stop: int) -> None:
        self._worker = get_worker()
        self._run, self._key, self._population = run, key, population
        self.start, self.stop = start, stop

    async def get(self, name: str, ids: Any) -> Any:
        return await self._ask("get", name, ids)

    async def set(self, name: str, ids: Any, values: Any) -> Any:
        return await self._ask("set", name, ids, values)

    async def inject(self, steps: Any, ids: Any) -> Any:
        return await self._ask("inject", steps, ids)

    async def counts(self, ids: Any) -> Any:
        return await self._ask("counts", ids)

    async def _ask(self, method: str, *args: Any) -> Any:
        held = self._worker.extensions.get(extension(self._run))
        if held is None:
            return Failure.of(RuntimeError("the simulation is closed on this worker"))
        return await attempt(held, held.engine.ask, method, (self._population, *args))
