"""What lives on Dask workers: one PartActor per worker, which owns the engine, and one PopulationActor per slice, its handle.

All methods are async and run on the worker's event loop, which they never block: work goes to the engine's own thread. They
never raise: what goes wrong comes back as a Failure, because an exception that cannot be pickled would leave the caller waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from distributed import Status, Worker, get_worker
from distributed.comm.addressing import get_address_host, parse_address

from eventsnn.scheduler.door import RECORDS, Address, Door, Key, Tls, meet
from eventsnn.scheduler.engine import Columns, Engine
from eventsnn.scheduler.failure import Failure
from eventsnn.scheduler.links import StreamLinks
from eventsnn.scheduler.recording import Recording, Request
from eventsnn.scheduler.records import RecordReceiver, RecordSender
from eventsnn.spec import Layout, NetworkSpec

WATCH = 1.0
"""Seconds between two looks at whether anybody still wants what the engine is doing."""


def extension(run: str) -> str:
    """Where in worker.extensions a run is held."""
    return f"eventsnn-{run}"


async def attempt(worker: Worker, key: str, engine: Engine, work: Callable[..., Any], *args: Any) -> Any:
    """The result of work in the engine's thread, or a Failure; ends the engine when the actor `key` is released meanwhile."""
    future = asyncio.wrap_future(engine.submit(work, *args))
    try:
        while not (await asyncio.wait({future}, timeout=WATCH))[0]:
            if key not in worker.state.actors:
                engine.abort()
        return future.result()
    except asyncio.CancelledError:  # the worker closes
        engine.abort()
        raise
    except Exception as error:
        return Failure.of(error)


class Held:
    """What a part keeps in its worker's process besides its actor, in worker.extensions.

    It is let go of once: when the simulation is closed, when its client has gone, or when the worker closes and calls `close`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.door: Door | None = None
        self.recording: Recording | None = None
        self._ending = threading.Lock()
        self._ended = False

    def end(self, whole: bool) -> None:
        """Commits, if `whole`, and lets go of everything; waits for the engine's thread."""
        with self._ending:
            if self._ended:
                return
            self._ended = True
            if self.door is not None:
                self.door.close()  # first: the engine may be waiting for somebody to come in
            self.engine.close()
            if self.recording is not None:
                self.recording.close(whole)

    async def close(self) -> None:
        self.engine.abort()
        with contextlib.suppress(Exception):  # nobody is left to be told
            await asyncio.get_running_loop().run_in_executor(None, self.end, False)


class PartActor:
    """The part of one worker: built, linked and run by it."""

    def __init__(
        self, run: str, key: str, spec: NetworkSpec, layout: Layout, rank: int, threads: int, epoch: int, backend: str
    ) -> None:
        self._worker = get_worker()
        self._run, self._key, self._spec, self._rank = run, key, spec, rank
        self._engine = Engine(spec, layout, rank, threads, epoch, backend)
        self._held = Held(self._engine)
        self._closed = False
        self._worker.extensions[extension(run)] = self._held

    async def open(self, secret: bytes, unix: bool) -> Any:
        """The address of this part's door."""
        return await self._in_engine(self._open, Key(secret, 0), unix)

    async def build(self) -> Any:
        return await self._in_engine(self._engine.build)

    async def join(self, addresses: Sequence[Address], deadline: float) -> Any:
        """Meets all other parts; what kind of socket leads to each."""
        return await self._in_engine(self._join, list(addresses), deadline)

    async def record(self, request: Request | None, columns: Sequence[Columns], host: Address) -> Any:
        """Part 0 opens the store and takes in the others; the others dial part 0."""
        return await self._in_engine(self._record, request, columns, host)

    async def run(self, until: int, topic: str | None) -> Any:
        self._engine.stop.clear()

        def report(step: int, spikes: int) -> None:
            self._worker.log_event(str(topic), {"part": self._rank, "step": step, "spikes": spikes})

        return await self._in_engine(self._engine.run, until, report if topic else None)

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
        self._forget()
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._held.end, whole)
        except Exception as error:
            return Failure.of(error)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):  # released without a close: its client is gone
            self._forget()
            self._engine.abort()
            threading.Thread(target=self._held.end, args=(False,), daemon=True).start()

    def _forget(self) -> None:
        self._closed = True
        if self._worker.status not in (Status.closing, Status.closed):  # then it is going through them
            self._worker.extensions.pop(extension(self._run), None)

    async def _in_engine(self, work: Callable[..., Any], *args: Any) -> Any:
        return await attempt(self._worker, self._key, self._engine, work, *args)

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
        sockets = meet(door, addresses, deadline)
        kinds = {rank: "tls" if door.tls else s.family.name for rank, s in sockets.items()}
        self._engine.join(StreamLinks(self._rank, sockets, deadline, 0))
        return kinds

    def _record(self, request: Request | None, columns: Sequence[Columns], host: Address) -> None:
        door = self._held.door
        assert door is not None
        until = time.monotonic() + 60.0
        if request is None:
            self._engine.sender = self._engine.sink = RecordSender(door.dial(0, host, RECORDS, until))
            return
        recording = self._held.recording = Recording(request, self._spec, columns)
        recorder = self._engine.sink = recording.recorder
        events = [table.every == 0 for table in self._spec.recordings]
        for rank in range(1, len(columns)):
            sock = door.wait((rank, RECORDS), until)
            recording.receivers.append(RecordReceiver(sock, rank, events, recorder))


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
        return await attempt(self._worker, self._key, held.engine, held.engine.ask, method, (self._population, *args))
