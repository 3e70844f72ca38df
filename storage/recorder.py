"""The recorder of a run: parts hand it rows, one thread writes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.spec import Columns, ListedSynapses, RecordingSpec
from eventsnn.storage.clock import times
from eventsnn.storage.errors import StoreError, StoreUnusable, advice
from eventsnn.storage.targets import Target, resolve
from eventsnn.storage.writer import StoreWriter

Chunks = Mapping[int, npt.NDArray[np.uint64] | Columns]

_POLL = 0.05
"""Seconds between two looks of the writer at the queue; a put wakes it only where much is queued, so puts stay cheap."""

_GRACE = 1.0
"""Seconds that a part ahead of the others is held back by a full queue. Not longer: they may be waiting for its spikes."""

_SHARE = 10
"""A commit by the clock waits this many times the duration of the last, so that committing takes 10 % of a core at most."""


@dataclass(frozen=True)
class Since:
    """A moment that a store has been at, to which it goes back."""

    step: int
    rows: Mapping[str, int]
    """Of every array that grows, by path; 0 for those that are not named."""


class Recorder:
    """Writes a run's recordings while it goes on.

    Rows enter the store in one order, up to the step that all parts have completed: what it holds depends neither on the number
    of parts nor on when they report. A reader sees the last commit, always whole.

    Example
    -------
    >>> from eventsnn.spec import RecordingSpec, Subset
    >>> import numpy as np
    >>> spikes = RecordingSpec("exc/spikes", 0, Subset(0, 10), "spikes", 0, "", "")
    >>> recorder = Recorder(None, [spikes], {"seed": 1}, dt=0.1, parts=1)
    >>> recorder.put(0, 20, {0: np.array([7 << 32 | 3], np.uint64)})
    >>> recorder.close()
    >>> recorder.committed
    20
    """

    def __init__(
        self,
        target: Target,
        tables: Sequence[RecordingSpec | ListedSynapses],
        attrs: Mapping[str, Any],
        *,
        dt: float,
        parts: int,
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
        flush_seconds: float = 1.0,
        queue_bytes: int = 16 << 20,
        patience: float = 300.0,
        since: Since | None = None,
    ) -> None:
        """Make the store, or take one up again, and start the writer.

        `attrs` go into the store's root as they are (JSON), such as seed and network. `flush_seconds`: wall clock between
        commits. `queue_bytes`: rows held in memory before put() waits. `patience`: seconds after which a writer that does not
        get on is given up. `since`: the store is there, goes back to that moment, and grows on from it; `overwrite` is of no
        account then.

        Whoever opens a store last is the one to write it: a recorder that has it still fails at its next write.

        Raises StoreExists, StoreMissing with `since`, or StoreUnusable where the target cannot be written or resumed.
        """
        place = resolve(target, storage_options)
        self._writer = StoreWriter(place, tables, attrs, dt=dt, parts=parts)
        self.store = place.store
        self.waited = 0.0
        """Seconds that parts were held back by a full queue."""
        self._name, self._dt = place.name, dt
        self._flush_seconds, self._limit, self._patience = flush_seconds, queue_bytes, patience
        try:
            if since is None:
                self._writer.create(overwrite)
            else:
                self._writer.resume(since.step, since.rows)
        except OSError as error:
            raise StoreUnusable(f"store {place.name} cannot be written: {error}. {advice(error)}") from error
        start = 0 if since is None else since.step
        self._changed = threading.Condition()
        self._incoming: list[tuple[int, Chunks]] = []
        self._queued = self._waiting = 0
        self._done = [start] * parts
        self._wanted = self._advanced = self._committed = start
        self._stale = False
        self._closing: bool | None = None
        self._failure: BaseException | None = None
        self._due = time.monotonic() + flush_seconds
        self._thread = threading.Thread(target=self._write, name="eventsnn-recorder", daemon=True)
        self._thread.start()

    @property
    def committed(self) -> int:
        """The step up to which the store holds everything."""
        return self._committed

    @property
    def _recorded_store(self) -> object:
        return self.store

    # ---- for the parts

    def layout(self, part: int, table: int, positions: npt.NDArray[np.int64]) -> None:
        """Say, before the part's first put, which columns of a state table its values are. One part alone has all columns."""
        self._writer.lay_out(part, table, positions)

    def put(self, part: int, step: int, chunks: Chunks) -> None:
        """Part `part` has completed all steps up to `step`; `chunks` are the rows of its neurons since its last put, by table.

        Spikes: uint64, ascending, step << 32 | index of the neuron in its population. States: Columns. The arrays are the
        recorder's from now on. Thread-safe. Waits while the queue is full; raises StoreError once the writer has failed.
        """
        since = self._done[part]
        if step < since:
            raise ValueError(f"part {part} reports step {step} after step {since}; steps only go on")
        self._writer.check(part, since, step, chunks)
        size = sum(chunk.nbytes for chunk in chunks.values())
        with self._changed:
            self._hold_back(part, size)
            self._require_open()
            self._incoming.append((part, chunks))
            self._queued += size
            self._done[part] = step
            if self._queued > self._limit // 8:
                self._changed.notify_all()

    def commit(self, step: int, timeout: float) -> None:
        """Wait until the rows of all parts up to `step` are committed; StoreError after `timeout` seconds."""
        with self._changed:
            self._require_open()
            self._wanted = max(self._wanted, step)
            self._changed.notify_all()
            done = self._wait(lambda: self._committed >= step, timeout)
            self._raise_failure()
            if not done:
                behind = [part for part, reached in enumerate(self._done) if reached < step]
                why = f"parts {behind} have not reported step {step}" if behind else "the writer has not got so far"
                raise StoreError(f"nothing was committed for {timeout:g} s to {self._name}: {why}")

    def aim(self, step: int) -> None:
        """The present run is to go to `step`: the store's attributes say so from the next commit on, a second later at most."""
        self._writer.aim(step)
        self._stale = True

    def rows(self) -> dict[str, int]:
        """Rows of all arrays at the last commit, for a checkpoint, and so for Since.

        Of recordings with `keep`, the rows that were valid then stay until this was called three times more.
        """
        self._writer.mark()
        return self._writer.rows

    def close(self, finalise: bool = True) -> None:
        """Commit what all parts have reported, and end; finalise=False keeps to the last commit and never raises."""
        with self._changed:
            if self._closing is None:
                self._closing = finalise
            self._changed.notify_all()
        self._thread.join(self._patience)
        if finalise:
            with self._changed:
                self._raise_failure()
            if self._thread.is_alive():
                raise StoreError(f"recording to {self._name} did not end within {self._patience:g} s; {self._kept()}")

    def _hold_back(self, part: int, size: int) -> None:
        """Wait while the queue is full: at length for the writer, briefly for parts that are behind."""
        start = time.monotonic()
        if self._queued and self._queued + size > self._limit:
            self._changed.notify_all()
            if not self._wait(lambda: not self._queued or self._queued + size <= self._limit, self._patience):
                raise StoreError(f"recording to {self._name} has stood still for {self._patience:g} s; {self._kept()}")

        def fits() -> bool:
            return self._queued + self._waiting + size <= self._limit or self._done[part] == min(self._done)

        if not fits():
            self._changed.notify_all()
            self._wait(fits, _GRACE)
        self.waited += time.monotonic() - start

    def _wait(self, ready: Callable[[], bool], timeout: float) -> bool:
        return self._changed.wait_for(lambda: self._failure is not None or ready(), timeout)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            cause = self._failure
            raise StoreError(f"recording to {self._name} failed: {cause}. {advice(cause)}; {self._kept()}") from cause

    def _require_open(self) -> None:
        self._raise_failure()
        if self._closing is not None:
            raise StoreError(f"the recorder of {self._name} is closed; {self._kept()}")

    def _kept(self) -> str:
        ms = float(times(np.array([self._committed]), self._dt)[0])
        return f"the store holds everything up to {ms:g} ms"

    # ---- the writer thread

    def _write(self) -> None:
        try:
            while self._turn():
                pass
            if self._closing:
                self._writer.settle()
        except BaseException as error:  # whatever it was, the parts must hear of it
            with self._changed:
                self._failure = error
                self._incoming.clear()
                self._queued = self._waiting = 0
                self._changed.notify_all()

    def _turn(self) -> bool:
        """Take what has come, write it, commit where it is time; False after the last turn."""
        with self._changed:
            self._changed.wait_for(self._pressing, _POLL)
            batch, self._incoming = self._incoming, []
            taken, step, closing = self._queued, min(self._done), self._closing
            asked = closing is True or self._committed < self._wanted <= step
        if closing is False:
            return False
        if step > self._advanced or batch:
            self._merge(batch, step, taken)
        start = time.monotonic()
        if (step > self._committed or self._stale) and (asked or start >= self._due):
            self._stale = False
            self._writer.commit(step)
            end = time.monotonic()
            self._due = end + max(self._flush_seconds, _SHARE * (end - start))
            with self._changed:
                self._committed = step
                self._changed.notify_all()
        return closing is None

    def _merge(self, batch: list[tuple[int, Chunks]], step: int, size: int) -> None:
        for part, chunks in batch:
            self._writer.add(part, chunks)
        self._writer.advance(step)
        self._advanced = step
        with self._changed:
            self._queued -= size
            self._waiting = self._writer.waiting
            self._changed.notify_all()

    def _pressing(self) -> bool:
        asked = self._committed < self._wanted <= min(self._done)
        return asked or self._closing is not None or self._queued > self._limit // 8
