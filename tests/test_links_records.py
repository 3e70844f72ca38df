"""Recorded rows reach the recorder whole and in order; whatever fails on one side is told on both, and nobody waits for ever."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import numpy as np
import pytest

from eventsnn.scheduler.errors import RecordsLost
from eventsnn.scheduler.records import PUT, Chunks, RecordReceiver, RecordSender
from eventsnn.spec import Columns

TABLES = [True, False, False]
"""Events, float32 samples, float64 samples."""


class Kept:
    """A sink that keeps what it is given; `gate` holds it back, `fails` makes it raise."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.calls: list[tuple[int, int, Chunks]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails = fails

    def put(self, part: int, step: int, chunks: Chunks) -> None:
        self.gate.wait(10)
        if self.fails:
            raise self.fails
        self.calls.append((part, step, chunks))


def channel(sink: Kept, patience: float = 10.0) -> tuple[RecordSender, RecordReceiver, socket.socket]:
    a, b = socket.socketpair()
    return RecordSender(a, patience), RecordReceiver(b, 3, TABLES, sink), a


def plain(chunks: Chunks) -> dict[int, Any]:
    return {
        t: c.tolist() if isinstance(c, np.ndarray) else (c.first, c.values.dtype.str, c.values.tolist())
        for t, c in chunks.items()
    }


def test_rows_arrive_as_they_were_put() -> None:
    rng = np.random.default_rng(1)
    sink = Kept()
    sender, receiver, _ = channel(sink)
    sent: list[tuple[int, int, Chunks]] = []
    for step in range(1, 60):
        chunks: Chunks = {
            0: np.sort(rng.integers(0, 2**60, rng.integers(0, 20_000), np.uint64)),
            1: Columns(step, rng.random((rng.integers(0, 3), 7)).astype(np.float32)),
            2: Columns(step, np.asfortranarray(rng.random((40, 500)))),
        }
        chunks = {t: c for t, c in chunks.items() if rng.random() < 0.7}
        sent.append((3, step, chunks))
        sender.put(3, step, chunks)
    sender.close()
    receiver.wait(59, time.monotonic() + 5)
    receiver.close()
    assert [(p, s, plain(c)) for p, s, c in sink.calls] == [(p, s, plain(c)) for p, s, c in sent]
    assert receiver.failure is None


def test_a_slow_recorder_holds_the_part_back() -> None:
    """With the recorder stopped, a part can run ahead by the socket's buffers and one frame, and no further."""
    sink = Kept()
    sink.gate.clear()
    sender, receiver, _ = channel(sink)
    done = []

    def run() -> None:
        for step in range(1, 41):
            sender.put(3, step, {0: np.full(1 << 18, step, np.uint64)})  # 2 MB each
            done.append(step)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.5)
    assert len(done) < 20
    sink.gate.set()
    thread.join(10)
    receiver.wait(40, time.monotonic() + 10)
    assert len(sink.calls) == 40
    sender.close(), receiver.close()


def test_the_recorders_failure_reaches_the_part_in_its_own_words() -> None:
    sender, receiver, _ = channel(Kept(fails=OSError(28, "No space left on device")))
    with pytest.raises(RecordsLost, match=r"part 3 could not hand over .* No space left on device"):
        for step in range(1, 1000):
            sender.put(3, step, {0: np.zeros(10_000, np.uint64)})
            time.sleep(0.002)
    with pytest.raises(OSError, match="No space left"):
        receiver.wait(1000, time.monotonic() + 1)
    sender.close(), receiver.close()


def test_a_part_that_dies_is_told_to_the_recorders_side() -> None:
    sink = Kept()
    sender, receiver, sock = channel(sink)
    sender.put(3, 5, {})
    sock.sendall(PUT.pack(b"snnR", 1, 6))
    sock.close()
    with pytest.raises(RecordsLost, match="the rows of part 3 stopped after step 5: the connection was closed"):
        receiver.wait(6, time.monotonic() + 5)
    assert [step for _, step, _ in sink.calls] == [5]
    receiver.close()


def test_a_part_that_ends_early_or_late_is_not_waited_for() -> None:
    sender, receiver, _ = channel(Kept())
    sender.put(3, 5, {})
    start = time.monotonic()
    with pytest.raises(RecordsLost, match="reported its rows up to step 5, not up to step 6"):
        receiver.wait(6, start + 0.2)
    sender.close()
    with pytest.raises(RecordsLost, match="up to step 5"):
        receiver.wait(6, start + 60)
    assert time.monotonic() - start < 5
    receiver.close()


def test_garbage_is_refused() -> None:
    for garbage in (b"GET / HTTP/1.1\r\n\r\n" + bytes(100), PUT.pack(b"snnR", 1, 1) + bytes(32)):
        _, receiver, sock = channel(Kept())
        sock.sendall(garbage)
        with pytest.raises(RecordsLost, match="frame that begins with|rows of type"):
            receiver.wait(1, time.monotonic() + 5)
        receiver.close()
        sock.close()


def test_a_put_that_waits_is_woken_by_abort_and_bounded_by_patience() -> None:
    for patience, aborted in ((0.3, False), (30.0, True)):
        sink = Kept()
        sink.gate.clear()
        sender, receiver, _ = channel(sink, patience)
        if aborted:
            threading.Timer(0.2, sender.abort).start()
        start = time.monotonic()
        with pytest.raises(RecordsLost):
            for step in range(1, 1000):
                sender.put(3, step, {0: np.zeros(1 << 18, np.uint64)})
        assert time.monotonic() - start < 5
        sink.gate.set()
        sender.close(), receiver.close()
