"""Recorded rows on their way from the parts of other processes to the one recorder of a run.

One stream socket per part, frames of a header and raw arrays; nothing is pickled. The recorder's full queue stops the receiving
thread, the socket's buffers fill, and the part's next put waits: back-pressure without a word of protocol.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.scheduler.errors import RecordsLost
from eventsnn.scheduler.exchange import LONGEST, read
from eventsnn.scheduler.links import shut
from eventsnn.spec import Columns

Chunks = Mapping[int, npt.NDArray[np.uint64] | Columns]

PUT = struct.Struct("<4siq")
"""magic, number of chunks, step"""
CHUNK = struct.Struct("<i4sqqq")
"""table, dtype, first sample or EVENTS, rows, columns"""
MAGIC, END, FAILED = b"snnR", b"snnE", b"snnF"
EVENTS = -1
KINDS = {True: ("<u8",), False: ("<f4", "<f8")}
"""dtypes that a table may be given: of events, and of samples."""
WORDS = 4096
"""Bytes of a receiver's last words, at most."""
PATIENCE = 300.0
"""Seconds that the recorder may keep a part waiting."""


class Sink(Protocol):
    """Where a part puts what it recorded; see storage.Recorder.put."""

    def put(self, part: int, step: int, chunks: Chunks) -> None: ...


class RecordSender:
    """The end of the channel that a part writes to."""

    def __init__(self, sock: socket.socket, patience: float = PATIENCE) -> None:
        sock.settimeout(patience)
        self._sock, self._patience = sock, patience

    def put(self, part: int, step: int, chunks: Chunks) -> None:
        """Sends the rows of the steps up to `step`; RecordsLost, with the recorder's own words if it left any, else."""
        pieces: list[Any] = [PUT.pack(MAGIC, len(chunks), step)]
        for table, chunk in chunks.items():
            events = isinstance(chunk, np.ndarray)
            array = np.ascontiguousarray(chunk if isinstance(chunk, np.ndarray) else chunk.values)
            rows, columns = (len(array), 1) if events else array.shape
            first = EVENTS if isinstance(chunk, np.ndarray) else chunk.first
            pieces.append(CHUNK.pack(table, array.dtype.str.encode(), first, rows, columns))
            if array.nbytes:
                pieces.append(array.reshape(-1).view(np.uint8).data)
        small = sum(len(piece) for piece in pieces) < 1 << 16
        complaint = self._last_words() if _readable(self._sock) else ""
        try:
            if complaint:
                raise ConnectionAbortedError(complaint)
            for piece in [b"".join(pieces)] if small else pieces:
                self._sock.sendall(piece)
        except OSError as error:
            why = complaint or self._last_words() or f"{type(error).__name__}: {error}"
            raise RecordsLost(f"part {part} could not hand over the rows up to step {step}: {why}") from error

    def close(self) -> None:
        """Says that no rows will follow."""
        with contextlib.suppress(OSError):
            self._sock.sendall(PUT.pack(END, 0, 0))
        self._sock.close()

    def abort(self) -> None:
        """Wakes a put that waits; any thread may call it."""
        shut(self._sock)

    def _last_words(self) -> str:
        """What the receiver said before it hung up."""
        with contextlib.suppress(OSError):
            until = time.monotonic() + 1.0
            magic, size, _ = PUT.unpack(read(self._sock, PUT.size, until))
            if magic == FAILED and 0 <= size <= WORDS:
                return read(self._sock, size, until).tobytes().decode(errors="replace")
            self._sock.settimeout(self._patience)
        return ""


class RecordReceiver:
    """The other end, in the recorder's process: a thread per part that passes frames on."""

    def __init__(self, sock: socket.socket, part: int, events: Sequence[bool], sink: Sink) -> None:
        """`events`: of each table of the recorder, whether it takes events."""
        sock.settimeout(None)
        self.part = part
        self.step = 0
        """Up to which the part has reported."""
        self.failure: BaseException | None = None
        self._sock, self._events, self._sink = sock, events, sink
        self._changed = threading.Condition()
        self._done = False
        self._thread = threading.Thread(target=self._receive, name=f"eventsnn-records-{part}", daemon=True)
        self._thread.start()

    def wait(self, step: int, until: float) -> None:
        """Returns when the part has reported `step`; its failure, or RecordsLost at time.monotonic() == until, else."""
        with self._changed:
            self._changed.wait_for(lambda: self.step >= step or self._done, max(0.0, until - time.monotonic()))
            if self.failure is not None:
                raise self.failure
            if self.step < step:
                raise RecordsLost(f"part {self.part} reported its rows up to step {self.step}, not up to step {step}")

    def close(self, seconds: float = 5.0) -> None:
        """Waits for the part's last word, then hangs up."""
        if self.failure is None:
            self._thread.join(seconds)
        shut(self._sock)
        self._thread.join(seconds)
        self._sock.close()

    def _receive(self) -> None:
        try:
            while self._frame():
                pass
        except Exception as error:  # kept for the run, and told to the part
            self.failure = error
            text = str(error).encode(errors="replace")[:WORDS]
            with contextlib.suppress(OSError):
                self._sock.settimeout(1.0)
                self._sock.sendall(PUT.pack(FAILED, len(text), 0) + text)
            self._finish()
            self._drain()
        self._finish()

    def _finish(self) -> None:
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def _drain(self) -> None:
        """Reads on, so that a part in the middle of a long put comes to hear of the failure."""
        with contextlib.suppress(OSError):
            self._sock.settimeout(None)
            while self._sock.recv(1 << 16):
                pass

    def _frame(self) -> bool:
        try:
            magic, n, step = PUT.unpack(read(self._sock, PUT.size))
            if magic == END:
                return False
            if magic != MAGIC:
                raise ConnectionError(f"a frame that begins with {magic!r}")
            if not 0 <= n <= len(self._events) or step < self.step:
                raise ConnectionError(f"a frame of {n} tables, of {len(self._events)} that there are, for step {step}")
            chunks: dict[int, npt.NDArray[np.uint64] | Columns] = {}
            for _ in range(n):
                table, chunk = self._chunk()
                if table in chunks:
                    raise ConnectionError(f"a frame with rows for table {table} twice")
                chunks[table] = chunk
        except OSError as error:
            raise RecordsLost(f"the rows of part {self.part} stopped after step {self.step}: {error}") from error
        self._sink.put(self.part, step, chunks)
        with self._changed:
            self.step = step
            self._changed.notify_all()
        return True

    def _chunk(self) -> tuple[int, npt.NDArray[np.uint64] | Columns]:
        table, kind, first, rows, columns = CHUNK.unpack(read(self._sock, CHUNK.size))
        dtype = kind.rstrip(b"\0").decode(errors="replace")
        if not 0 <= table < len(self._events) or dtype not in KINDS[self._events[table]]:
            raise ConnectionError(f"rows of type {dtype!r} for table {table}")
        size = rows * columns * np.dtype(dtype).itemsize
        shaped = columns == 1 and first == EVENTS if self._events[table] else columns >= 0 and first >= 0
        if rows < 0 or not shaped or max(rows, columns, size) > LONGEST:
            raise ConnectionError(f"{rows} rows of {columns} columns from sample {first} on for table {table}")
        values = np.frombuffer(read(self._sock, size), dtype).reshape(rows, columns)
        return table, values[:, 0] if self._events[table] else Columns(first, values)


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
