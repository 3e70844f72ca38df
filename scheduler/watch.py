"""Waiting for actors without ever waiting for ever: an actor's answer may never come, so its worker is looked at meanwhile."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from distributed import Client, Future

from eventsnn.scheduler.errors import ClusterLost, LinkLost, PartFailed, RecordsLost, Unreachable, WorkerLost
from eventsnn.scheduler.failure import FOLLOWS, Failure, cause, named

POLL = 0.25
"""Seconds."""
LEAVING = 8.0
"""Seconds that the others may take to end when one part is lost; they take milliseconds, or what a last checkpoint takes."""
GRACE = 3.0
"""Seconds that the cause of a broken link may take to show."""
PATIENCE = 10.0
"""Seconds that the scheduler may take to say which workers live."""


Whose = tuple[int, str]
"""The part that a call goes to, and what to call the one that answers."""


class Pending(Protocol):
    """An answer that may come, as a distributed.ActorFuture."""

    def done(self) -> bool: ...

    def result(self, timeout: float | None = None) -> Any: ...


class Watch:
    """Answers of the parts, by rank, and whether their workers live."""

    def __init__(self, client: Client, addresses: Sequence[str], held: Sequence[str]) -> None:
        """`addresses` of the workers and names of what each holds, by rank."""
        self.client, self._addresses, self._held = client, addresses, held
        self._checked = 0.0
        self._gone = False
        self.silent: set[str] = set()
        """Workers that are there, as the scheduler knows, and do not answer."""

    def answers(
        self, calls: Mapping[int, Pending], when: str, whose: Mapping[int, Whose] | None = None, together: bool = False
    ) -> dict[int, Any]:
        """What the calls return, or the one error that was the cause of their failure.

        `when`, such as "during the run", and `whose`, by call, are for its text; without `whose` they are calls of the parts.
        `together`: when one part is lost, the others end by themselves, and are waited for.
        """
        waiting, answers, errors = dict(calls), {}, {}
        until = float("inf")
        while waiting:
            with contextlib.suppress(Exception):  # looked at below
                next(iter(waiting.values())).result(timeout=POLL)
            for rank in [rank for rank, call in waiting.items() if call.done()]:
                answer = self._answer(waiting.pop(rank))
                if isinstance(answer, BaseException):
                    errors[rank] = answer
                else:
                    answers[rank] = answer
            if errors and until == float("inf"):
                until = time.monotonic() + GRACE
            own = any(not isinstance(error, (*FOLLOWS, Unreachable)) for error in errors.values())
            if own or time.monotonic() > until:
                break
            if waiting or errors:
                try:
                    self.check(when)
                except WorkerLost:
                    if together:
                        self._wait_for_others(waiting, errors)
                    raise
            if errors and not waiting:
                self._wait_for_cause(until, when)
        if errors:
            if together:
                self._wait_for_others(waiting, errors)
            first = cause(errors)
            rank, who = whose[first] if whose else (first, self.part(first))
            if isinstance(errors[first], Unreachable) and _lost(errors[first].__cause__):
                raise WorkerLost(self._addresses[rank], self._held[rank], when) from errors[first]
            error = errors[first]
            if isinstance(error, LinkLost):
                raise WorkerLost(self._addresses[error.peer], self._held[error.peer], when, str(error)) from error
            if isinstance(error, RecordsLost):
                raise WorkerLost(self._addresses[rank], self._held[rank], when, str(error)) from error
            raise named(error, who) from error
        return answers

    def _wait_for_others(self, waiting: Mapping[int, Pending], errors: Mapping[int, BaseException]) -> None:
        """Until the parts whose workers live have answered too: one that was told to leave makes a checkpoint with them."""
        until = time.monotonic() + LEAVING
        silent = {error.peer for error in errors.values() if isinstance(error, LinkLost)}
        while time.monotonic() < until:
            alive = set(self.reachable()) - silent
            if all(call.done() for rank, call in waiting.items() if rank in alive):
                return
            time.sleep(0.05)

    def part(self, rank: int) -> str:
        return f"part {rank} ({self._held[rank]}) on {self._addresses[rank]}"

    def created(self, futures: Mapping[int, Future[Any]], when: str) -> None:
        """Returns when the actors exist."""
        for rank, future in futures.items():
            while future.status == "pending":
                time.sleep(0.002)
                self.check(when)
            if future.status != "finished":
                self.check(when, now=True)
                error = future.exception(timeout=5) if future.status == "error" else None
                if _lost(error):  # and another one is at its address already
                    raise WorkerLost(self._addresses[rank], self._held[rank], when) from error
                if error is None:
                    raise PartFailed(f"{self.part(rank)}: its actor was {future.status} {when}")
                raise named(error, self.part(rank)) from error

    def result(self, work: concurrent.futures.Future[Any], when: str) -> Any:
        """What a coroutine in the client's loop returns: for calls of Dask that would wait for a silent worker."""
        try:
            while not concurrent.futures.wait([work], timeout=POLL).done:
                self.check(when)
            return work.result()
        except (ClusterLost, WorkerLost):
            work.cancel()
            raise
        except Exception:  # Dask's own words for a lost worker are many
            self._wait_for_cause(time.monotonic() + GRACE, when)
            raise

    def check(self, when: str, now: bool = False) -> None:
        """Raises WorkerLost where a worker is gone, ClusterLost where the scheduler is; looks twice a second, or `now`."""
        moment = time.monotonic()
        if moment - self._checked < 0.5 and not now:
            return
        self._checked = moment
        alive = self._alive(when)
        for address, held in zip(self._addresses, self._held, strict=True):
            if address not in alive:
                raise WorkerLost(address, held, when)

    def reachable(self) -> list[int]:
        """Parts whose worker lives, as far as the scheduler knows; none when that is gone."""
        try:
            alive = self._alive("")
        except ClusterLost:
            return []
        return [rank for rank, address in enumerate(self._addresses) if address in alive and address not in self.silent]

    def _alive(self, when: str) -> Collection[str]:
        status = self.client.status
        if status in ("closing", "closed"):
            raise ClusterLost(f"the Dask client was closed {when}")
        if self._gone or status != "running":  # a client that finds its scheduler again finds its actors released
            raise ClusterLost(f"the Dask scheduler was lost {when}")
        try:
            alive: Collection[str] = self.client.sync(_scheduler(self.client).ncores, callback_timeout=PATIENCE)
        except Exception as error:
            self._gone = True
            raise ClusterLost(f"the Dask scheduler did not answer {when}: {type(error).__name__}: {error}") from error
        return alive

    def _answer(self, call: Pending) -> Any:
        """The answer of a call that is done, or the exception that it stands for; even that is read in the client's loop."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                answer = call.result(timeout=POLL)
            except TimeoutError as error:
                if self.client.status != "running" or time.monotonic() > until:
                    return _failed(error)
            except Exception as error:
                return _failed(error)
            else:
                return answer.error() if isinstance(answer, Failure) else answer

    def _wait_for_cause(self, until: float, when: str) -> None:
        while time.monotonic() < until:
            time.sleep(0.1)
            self.check(when)


class Refused:
    """A call that Dask would not even make: it knows already that the actor's worker is gone."""

    def __init__(self, error: RuntimeError) -> None:
        self._error = error

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> Any:
        raise self._error


def ask(actor: Any, method: str, *args: Any) -> Pending:
    """Calls a method of an actor."""
    try:
        call: Pending = getattr(actor, method)(*args)
    except RuntimeError as error:
        return Refused(error)
    return call


def _scheduler(client: Client) -> Any:
    return client.scheduler


def _failed(error: BaseException) -> Unreachable:
    unreachable = Unreachable(f"{type(error).__name__}: {error}")
    unreachable.__cause__ = error
    return unreachable


def _lost(error: BaseException | None) -> bool:
    """Whether this is how Dask says that an actor's process is gone."""
    unheard = isinstance(error, OSError) and not isinstance(error, TimeoutError)
    return unheard or "Worker holding Actor was lost" in str(error)
