"""Parts on the workers of a Dask cluster, one per worker process, driven from the client.

Spikes never pass through Dask: it places the actors, carries the calls of the control plane, and says who has died.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

import dask
from distributed import Actor, Client, Future

from eventsnn.scheduler.actors import PartActor, PopulationActor
from eventsnn.scheduler.door import Address, Key
from eventsnn.scheduler.engine import Progress
from eventsnn.scheduler.errors import STOPS, WorkersLeft, stopped
from eventsnn.scheduler.executor import Call, Joined
from eventsnn.scheduler.keeping import Note
from eventsnn.scheduler.layout import named
from eventsnn.scheduler.plan import Plan
from eventsnn.scheduler.recording import Request
from eventsnn.scheduler.restrict import LARGE, array_bytes, restrict
from eventsnn.scheduler.watch import Pending, Watch, Whose, ask
from eventsnn.spec import NetworkSpec, Slice

GOODBYE = 10.0
"""Seconds that parts have to let go of everything after a failure."""


class DaskParts:
    """The Dask executor."""

    def __init__(self, client: Client, spec: NetworkSpec, plan: Plan, request: Request | None) -> None:
        self._client, self._spec, self._plan = client, spec, plan
        self._request = request.absolute() if request is not None else None
        self._run = secrets.token_hex(6)
        self._addresses = [share.place.address for share in plan.shares]
        self._watch = Watch(client, self._addresses, [share.names for share in plan.shares])
        self._futures: dict[int, Future[Any]] = {}
        self._parts: dict[int, Any] = {}
        self._slices: dict[int, list[Future[Any]]] = {}
        self._handles: dict[tuple[int, Slice], Any] = {}
        self._failed = False
        self._subscribed = False
        self.opened = False
        """Whether the store was made."""
        self.recorded: object = self._request.target if self._request is not None else None

    def build(self) -> None:
        with self._guarded():
            self._watch.check("before the build", now=True)
            self._submit_parts()
            self._submit_populations()
            when = "while the network was built"
            self._watch.created(self._futures, when)
            key, unix = Key.fresh(), bool(dask.config.get("eventsnn.unix-sockets", True))
            addresses: list[Address] = self._each(when, "open", key, unix)
            columns = self._each(when, "build")
            if self._request is not None and self._request.start is not None:
                self._each("while the checkpoint was read", "resume", self._request)
            deadline = float(dask.config.get("eventsnn.link-deadline", 60.0))
            self.links = self._each("while the parts were linked", "join", addresses, deadline)
            if self._request is not None:
                self._open_store(self._request, columns, addresses[0])

    def run(self, until: int, progress: Progress | None, note: Note) -> list[dict[str, float]]:
        with self._guarded():
            reports = Joined(len(self._parts), progress) if progress else None
            topic = self._follow(reports) if reports else None
            when = "during the run"
            calls = {rank: ask(part, "run", until, topic, note) for rank, part in self._parts.items()}
            stop: BaseException | None = None
            try:
                answers = self._watch.answers(calls, when, together=True)
            except STOPS as signal:
                stop = signal
                for part in self._parts.values():
                    ask(part, "stop")
                answers = self._watch.answers(calls, when, together=True)
            done: list[dict[str, float]] = [answers[rank] for rank in sorted(answers)]
            step = int(min(seconds["step"] for seconds in done))
            if step < until and stop is None:
                raise WorkersLeft(step)  # their checkpoint has committed what was recorded
            if self._request is not None:
                self._watch.answers({0: ask(self._parts[0], "commit", step)}, "while recordings were committed")
            if reports:
                reports.end(step, int(sum(seconds["spikes"] for seconds in done)))
        if stop is not None:
            raise stopped(stop, step, done) from stop
        return done

    def checkpoint(self, note: Note) -> None:
        with self._guarded():
            self._each("while a checkpoint was made", "checkpoint", note)

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        made: dict[int, Pending] = {}
        whose: dict[int, Whose] = {}
        for k, call in enumerate(calls):
            if call.slice is None:
                made[k] = ask(self._parts[call.rank], "ask", call.method, call.args)
                whose[k] = (call.rank, self._watch.part(call.rank))
            else:
                made[k] = ask(self._handle(call.rank, call.slice), call.method, *call.args)
                whose[k] = (call.rank, f"{named(self._spec, [call.slice])} on {self._addresses[call.rank]}")
        answers = self._watch.answers(made, "between runs", whose)
        return [answers[k] for k in range(len(calls))]

    def forget(self, worker: str) -> None:
        """Waits no more for a worker that does not answer."""
        self._watch.silent.add(worker)

    def close(self) -> None:
        """Ends the actors; raises what closing the store raises, unless the run had failed already."""
        try:
            with self._guarded():  # the others first: with their last rows the store is complete
                self._finish({rank: ask(part, "close", False) for rank, part in self._there().items() if rank != 0})
        finally:
            self._close_store()

    def _close_store(self) -> None:
        try:
            there = self._there()
            self._finish({0: ask(there[0], "close", not self._failed)} if 0 in there else {})
        finally:
            if self._subscribed:
                self._client.unsubscribe_topic(self._topic)
            self._parts.clear()
            self._handles.clear()
            futures = [*self._futures.values(), *(f for futures in self._slices.values() for f in futures)]
            if futures and self._client.status == "running":
                self._client.cancel(futures, force=True)  # a release would wait for cycles in handles to be collected
            self._futures.clear()
            self._slices.clear()

    # ---- making actors

    def _submit_parts(self) -> None:
        descriptions = self._send()
        for rank, address in enumerate(self._addresses):
            key = f"eventsnn:part-{self._run}-{rank}"  # not what a population of any name is given
            share = self._plan.shares[rank]
            args = (self._run, key, descriptions[rank], self._plan.layout, rank, share.threads, self._plan.epoch, share.backend)
            self._futures[rank] = self._pinned(address, PartActor, key, *args)
            self._parts[rank] = self._actor(PartActor, address, key)

    def _send(self) -> list[Future[Any]]:
        """The network on every worker; where it holds large arrays, each gets what it needs of it.

        Sent to one after the other: a broadcast to a worker that dies never ends in Dask's scheduler, and makes all others wait.
        """
        places, layout = self._addresses, self._plan.layout
        if array_bytes(self._spec) <= LARGE:
            return [self._scatter(self._spec, workers=[place]) for place in places]
        direct = self._reaches_workers()
        return [
            self._scatter(restrict(self._spec, layout, rank), workers=[place], direct=direct) for rank, place in enumerate(places)
        ]

    def _scatter(self, spec: NetworkSpec, **options: Any) -> Future[Any]:
        work = self._client.scatter(spec, hash=False, asynchronous=True, **options)
        loop: Any = self._client.loop
        sent = asyncio.run_coroutine_threadsafe(work, loop.asyncio_loop)
        future: Future[Any] = self._watch.result(sent, "while the network was sent to it")
        return future

    def _submit_populations(self) -> None:
        for rank, share in enumerate(self._plan.shares):
            columns = [(self._slice_key(rank, s), s.population, s.start, s.stop) for s in share.slices]
            keys, *rest = (list(column) for column in zip(*columns, strict=True))
            self._slices[rank] = self._client.map(
                PopulationActor,
                [self._run] * len(keys),
                keys,
                *rest,
                key=keys,
                workers=[self._addresses[rank]],
                allow_other_workers=False,
                actor=True,
                pure=False,
            )

    def _pinned(self, address: str, kind: type, key: str, *args: Any) -> Future[Any]:
        return self._client.submit(
            kind, *args, key=key, workers=[address], allow_other_workers=False, actor=True, pure=False, retries=0
        )

    def _actor(self, kind: type, address: str, key: str) -> Any:
        """A handle that is bound to this client; one that is fetched would be bound to the one made last."""
        with self._client.as_current():
            return Actor(kind, address, key)

    def _handle(self, rank: int, piece: Slice) -> Any:
        if (rank, piece) not in self._handles:
            index = self._plan.shares[rank].slices.index(piece)
            self._watch.created({rank: self._slices[rank][index]}, "before its handle was used")
            self._handles[rank, piece] = self._actor(PopulationActor, self._addresses[rank], self._slice_key(rank, piece))
        return self._handles[rank, piece]

    def _slice_key(self, rank: int, piece: Slice) -> str:
        return f"eventsnn-{self._spec.populations[piece.population].name}-{self._run}-{piece.start}"

    def _reaches_workers(self) -> bool:
        """Whether large data can go to the workers without passing through the scheduler."""
        with contextlib.suppress(Exception):
            rpc = self._client.rpc(self._addresses[0])
            self._client.sync(rpc.identity, callback_timeout=2.0)
            return True
        return False

    # ---- asking them

    def _each(self, when: str, method: str, *args: Any) -> list[Any]:
        answers = self._watch.answers({rank: ask(part, method, *args) for rank, part in self._parts.items()}, when)
        return [answers[rank] for rank in sorted(answers)]

    def _open_store(self, request: Request, columns: list[Any], host: Address) -> None:
        marked = request.marked()
        try:
            calls = {rank: ask(part, "record", marked, [] if rank else columns, host) for rank, part in self._parts.items()}
            self._watch.answers(calls, "while the store was opened")
            self.opened = True
        finally:
            marked.unmark()

    @property
    def _topic(self) -> str:
        return f"eventsnn-{self._run}"

    def _follow(self, reports: Joined) -> str:
        def heard(event: tuple[float, Any]) -> None:
            _, message = event
            reports.of(message["part"])(message["step"], message["spikes"])

        self._client.subscribe_topic(self._topic, heard)
        self._subscribed = True
        return self._topic

    @contextlib.contextmanager
    def _guarded(self) -> Any:
        """An error inside ends all parts."""
        try:
            yield
        except BaseException:
            self._failed = True
            for part in self._there().values():
                ask(part, "abort")
            raise

    def _there(self) -> dict[int, Any]:
        """All parts; after a failure, those that exist: Dask prints tracebacks of calls to actors not made yet, or lost."""
        return {rank: part for rank, part in self._parts.items() if not self._failed or self._futures[rank].status == "finished"}

    def _finish(self, calls: dict[int, Any]) -> None:
        if not self._failed:
            self._watch.answers(calls, "while the simulation was closed")
            return
        until = time.monotonic() + GOODBYE
        while any(not calls[rank].done() for rank in self._watch.reachable() if rank in calls) and time.monotonic() < until:
            time.sleep(0.05)
