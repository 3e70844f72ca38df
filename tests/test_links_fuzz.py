"""Whatever comes over a socket: a documented error, in bounded time and memory, and nothing is left."""

from __future__ import annotations

import gc
import os
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsnn.backends.cpu import exchange as compiled
from eventsnn.backends.cpu.memory import CAPACITY, COUNT, append, contents, release
from eventsnn.scheduler import door as doors
from eventsnn.scheduler import exchange as plain
from eventsnn.scheduler.door import CALL, HELLO, RECORDS, Address, Door, Key
from eventsnn.scheduler.errors import LinkLost, RecordsLost
from eventsnn.scheduler.exchange import FRAME
from eventsnn.scheduler.links import pairs
from eventsnn.scheduler.records import CHUNK, EVENTS, FAILED, PUT, Chunks, RecordReceiver, RecordSender
from eventsnn.spec import Columns

fuzzed = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
BOUND = 30.0
"""Seconds after which something that is bounded by a fraction of one has hung."""
SILENCE = 0.03
"""Seconds after which a silent peer counts as lost here."""
NEURONS, SINCE, STEP = 1000, 40, 50
CLAIM = 1 << 30
"""Bytes that a header claims and that never come; memory for them would be noticed."""


def open_files() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return {name for name in found if name.startswith("socket:")}


@contextmanager
def nothing_left() -> Iterator[None]:
    """All sockets and threads that are made inside are gone in the end."""
    files, threads = open_files(), set(threading.enumerate())
    yield
    until = time.monotonic() + 5
    while (more := (open_files() - files, set(threading.enumerate()) - threads)) != (set(), set()) and time.monotonic() < until:
        gc.collect()
        time.sleep(0.005)
    assert more == (set(), set())


def edited(honest: bytes, head: int) -> st.SearchStrategy[bytes]:
    """The bytes as they are, or changed (rather in their first `head`), cut short, with others after them; or any others."""
    at = st.integers(0, head - 1) | st.integers(0, len(honest) - 1)

    def change(edits: list[tuple[int, int]]) -> bytes:
        made = bytearray(honest)
        for where, what in edits:
            made[where] ^= what
        return bytes(made)

    changed = st.lists(st.tuples(at, st.integers(1, 255)), min_size=1, max_size=3).map(change)
    cut = st.integers(0, len(honest) - 1).map(lambda n: honest[:n])
    more = st.binary(min_size=1, max_size=40).map(lambda tail: honest + tail)
    return st.just(honest) | changed | cut | more | st.binary(max_size=2 * len(honest))


def say(sock: socket.socket, words: bytes, hangs_up: bool) -> None:
    sock.sendall(words)
    if hangs_up:
        sock.shutdown(socket.SHUT_WR)


# ---- packets of links


BODY = bytes(range(100))
HONEST = FRAME.pack(b"snnX", 3, STEP, len(BODY)) + BODY


def claiming(size: int) -> bytes:
    return FRAME.pack(b"snnX", 3, STEP, size)


@fuzzed
@given(words=edited(HONEST, FRAME.size) | st.integers(0, 2**64 - 1).map(claiming), hangs_up=st.booleans())
def test_a_link_takes_a_packet_of_its_step_whole_or_is_lost(words: bytes, hangs_up: bool) -> None:
    with nothing_left():
        a, b = pairs(2, deadline=SILENCE, generation=3)
        say(b._sockets[0], words, hangs_up)
        size = struct.unpack("<Q", words[16:24])[0] if words[:16] == HONEST[:16] and len(words) >= 24 else None
        if size is not None and 24 + size <= len(words):
            assert [bytes(p) for p in a.exchange(STEP, [b"mine"])] == [words[24 : 24 + size]]
        else:
            with pytest.raises(LinkLost, match="part 0 lost its link to part 1 at step 50: "):
                a.exchange(STEP, [b"mine"])
        a.close(), b.close()


@pytest.mark.parametrize("size", [0, 99, 101, CLAIM])
def test_a_packet_of_another_size_than_the_one_that_is_known_is_refused(size: int) -> None:
    a, b = pairs(2, deadline=5.0, generation=3)
    say(b._sockets[0], claiming(size) + BODY + BODY, False)
    with pytest.raises(LinkLost, match=f"expected a packet of 100 bytes, got one of {size}"):
        a.exchange(STEP, [b""], size=100)
    b.close()


def peak(work: Callable[[], object]) -> int:
    """Bytes that Python and NumPy held at most for `work`."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_for_a_packet_is_what_has_come_not_what_was_claimed() -> None:
    """A claim of 1 GB takes no more than the first room; of 40 MB that do come, no more than three times as much."""
    for sent, most in ((b"", 2 * plain.ROOM), (bytes(40 << 20), 3 * (40 << 20) + plain.ROOM)):
        a, b = pairs(2, deadline=5.0, generation=3)

        def lost(a: Any = a) -> None:
            with pytest.raises(LinkLost, match="the connection was closed"):
                a.exchange(STEP, [b""])

        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(say, b._sockets[0], claiming(CLAIM) + sent, True)
            assert peak(lost) < most
            told.result(BOUND)
        b.close()


def test_a_packet_that_outgrows_its_first_room_arrives_whole() -> None:
    a, b = pairs(2, deadline=10.0)
    packet = np.random.default_rng(1).bytes(5 * plain.ROOM + 1)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(b.exchange, 0, [packet])
        assert bytes(a.exchange(0, [b""])[0]) == packet
        told.result(BOUND)
    a.close(), b.close()


# ---- packets of the compiled exchange


class Side:
    """One end of the compiled exchange, with one peer."""

    def __init__(self, sock: socket.socket, deadline: float = SILENCE) -> None:
        self.sock = sock
        self.crossing = compiled.Crossing(np.ones((NEURONS, 1), np.uint64), np.array([sock.fileno()], np.int32), 3, deadline, 1)
        self.crossing.state[compiled.SEALED] = SINCE
        self.lists = np.zeros((3, 3), np.int64)
        self.lists[0, COUNT] = 2

    def cross(self, items: Any = ()) -> str:
        """Sends items and takes those of the peer; why the peer was lost, or nothing."""
        append(self.lists[1], np.asarray(items, np.uint64))
        self.crossing.state[[compiled.LAST, compiled.STEP]] = 1, STEP
        status = self.crossing.operation.code.call(self.crossing.operation.row.ctypes.data, self.lists.ctypes.data)
        assert status in (0, compiled.LOST_PEER)
        return self.crossing.lost()[1] if status else ""

    def close(self) -> None:
        release(self.lists[1:])
        self.crossing.close()
        self.sock.close()


def spikes(n: int) -> Any:
    rng = np.random.default_rng(n)
    return rng.integers(SINCE + 1, STEP + 1, n).astype(np.uint64) << np.uint64(32) | rng.integers(0, NEURONS, n).astype(np.uint64)


def packet(items: Any, count: int | None = None) -> bytes:
    found = [int(x) for x in items]
    return struct.pack(f"<{4 + len(found)}Q", compiled.MAGIC | 3, STEP, len(found) if count is None else count, 0, *found)


def verdict(words: bytes) -> Any:
    """The items of a stream that begins with an honest packet, else None."""
    found = np.frombuffer(words[: len(words) // 8 * 8], np.uint64).tolist()
    if len(found) < 4 or found[:2] != [compiled.MAGIC | 3, STEP] or found[3] or found[2] > len(found) - 4:
        return None
    items = found[4 : 4 + found[2]]
    return items if all(SINCE < x >> 32 <= STEP and x % 2**32 < NEURONS for x in items) else None


near = st.sampled_from([0, 1, NEURONS - 1, NEURONS, 2**31, 2**32 - 1])
steps = st.sampled_from([0, SINCE, SINCE + 1, STEP, STEP + 1, 2**31 - 1, 2**31, 2**32 - 1])
item = st.tuples(steps, near).map(lambda x: x[0] << 32 | x[1])
streams = (
    edited(packet(spikes(6)), 32)
    | st.lists(st.sampled_from(spikes(6).tolist()) | item, max_size=6).map(packet)
    | st.integers(0, 2**64 - 1).map(lambda n: packet(spikes(3), n))
)


@fuzzed
@given(words=streams, hangs_up=st.booleans())
def test_the_compiled_exchange_takes_spikes_that_can_be_or_loses_its_peer(words: bytes, hangs_up: bool) -> None:
    ours, theirs = socket.socketpair()
    side = Side(ours)
    say(theirs, words, hangs_up)
    why = side.cross()
    honest = verdict(words)
    assert (why == "") == (honest is not None)
    assert why in ("", *compiled.WHY.values())
    assert contents(side.lists[2]).tolist() == (honest or [])
    assert side.crossing.receiving[0, CAPACITY] <= compiled.ROOM + 64
    side.close(), theirs.close()


@fuzzed
@given(words=streams.filter(lambda words: len(words) >= 32))
def test_both_ways_that_packets_come_have_one_verdict(words: bytes) -> None:
    """Over plain sockets and through TLS, for streams that are one packet."""
    words = words[: 32 + 8 * min(struct.unpack("<Q", words[16:24])[0], 1000)]
    ours, theirs = socket.socketpair()
    side, other = Side(ours), Side(theirs)
    say(theirs, words, True)
    why = side.cross()
    other.crossing.state[compiled.SINCE] = SINCE
    reason = other.crossing.accept(words, other.lists[2], STEP)
    assert (reason == 0) == (why == "")
    np.testing.assert_array_equal(contents(side.lists[2]), contents(other.lists[2]))
    side.close(), other.close()


@pytest.mark.parametrize("spike", [(STEP << 32) + NEURONS, SINCE << 32, (STEP + 1) << 32, STEP << 32 | 2**32 - 1, 2**64 - 1])
def test_one_strange_spike_among_many_is_found_wherever_it_is(spike: int) -> None:
    for n in (1, 7, 64, 1001):
        for at in {0, n // 2, n - 1}:
            items = spikes(n)
            items[at] = spike
            ours, theirs = socket.socketpair()
            side = Side(ours)
            say(theirs, packet(items), False)
            assert side.cross() == "a packet arrived with spikes of neurons or steps that there are not"
            assert side.lists[2, COUNT] == 0
            side.close(), theirs.close()


def test_the_window_of_steps_moves_with_the_exchanges() -> None:
    """A spike of the step of the last exchange came then; it is not due a second time."""
    ours, theirs = socket.socketpair()
    side = Side(ours)
    say(theirs, packet(spikes(10)), False)
    assert side.cross() == ""
    say(theirs, packet(spikes(10)), False)
    assert "steps that there are not" in side.cross()
    side.close(), theirs.close()


def test_the_compiled_exchange_takes_memory_as_items_come() -> None:
    ours, theirs = socket.socketpair()
    side = Side(ours, deadline=5.0)
    n = 5 * compiled.ROOM
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(say, theirs, packet(spikes(n), compiled.LONGEST), True)
        assert side.cross() == "the connection was closed"
        told.result(BOUND)
    assert n <= side.crossing.receiving[0, CAPACITY] <= 2 * n + 64
    side.close(), theirs.close()


@pytest.mark.parametrize("n", [0, 1, 50_000, 1_000_000])
def test_two_sides_hand_each_other_their_spikes(n: int) -> None:
    ends = [Side(sock, deadline=10.0) for sock in socket.socketpair()]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda side, k: side.cross(spikes(k)), ends, (n, n + 1))) == ["", ""]
    for side, k in zip(ends, (n + 1, n), strict=True):
        np.testing.assert_array_equal(contents(side.lists[2]), spikes(k))
        side.close()


# ---- both: peers that are slow


class Slow:
    """A link, as Python or as the compiled loop drives it, to a peer whose bytes the test writes."""

    def __init__(self, kind: str, deadline: float) -> None:
        self.kind = kind
        if kind == "python":
            self.link, self.peer = pairs(2, deadline=deadline, generation=3)
            self.sock = self.peer._sockets[0]
        else:
            ours, self.sock = socket.socketpair()
            self.side = Side(ours, deadline)

    def words(self, items: Any) -> bytes:
        return packet(items) if self.kind == "compiled" else claiming(8 * len(items)) + items.tobytes()

    def take(self) -> Any:
        if self.kind == "compiled":
            return self.side.cross() or contents(self.side.lists[2])
        try:
            return np.frombuffer(self.link.exchange(STEP, [b""])[0], np.uint64)
        except LinkLost as lost:
            return lost.why

    def close(self) -> None:
        if self.kind == "python":
            self.link.close(), self.peer.close()
        else:
            self.side.close(), self.sock.close()


def piecewise(sock: socket.socket, words: bytes, size: int, pause: float, taken: Future[Any]) -> None:
    """Sends until all is sent, or nobody listens any more."""
    for at in range(0, len(words), size):
        with suppress(OSError):
            sock.sendall(words[at : at + size])
        if pause and taken.done():
            return
        time.sleep(pause)


@pytest.mark.parametrize("kind", ["python", "compiled"])
@pytest.mark.parametrize(
    ("items", "size", "pause", "deadline"),
    [(300, 1, 0.0, 10.0), (1 << 17, 1 << 16, 0.1, 1.0)],
    ids=["byte by byte", "longer than the deadline"],
)
def test_a_slow_packet_is_waited_for(kind: str, items: int, size: int, pause: float, deadline: float) -> None:
    slow = Slow(kind, deadline)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(slow.take)
        piecewise(slow.sock, slow.words(spikes(items)), size, pause, taken)
        np.testing.assert_array_equal(taken.result(BOUND), spikes(items))
    slow.close()


@pytest.mark.parametrize("kind", ["python", "compiled"])
@pytest.mark.parametrize("items", [1, 1 << 14], ids=["header", "body"])
def test_a_peer_that_drips_for_ever_is_lost_like_a_silent_one(kind: str, items: int) -> None:
    """At this rate it would take minutes; a byte now and then does not put the deadline off."""
    slow = Slow(kind, deadline=0.2)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(slow.take)
        began = time.monotonic()
        words = slow.words(spikes(items))
        pause = 0.1 if items == 1 else 0.02
        piecewise(slow.sock, words * 100, 1, pause, taken)
        why = taken.result(BOUND)
    assert isinstance(why, str) and ("no packet for 0.2 s" in why or "before the deadline" in why)
    assert time.monotonic() - began < BOUND
    slow.close()


# ---- doors


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    made = Door("127.0.0.1", 0, Key(bytes(32), 3))
    yield made
    made.close()


def call(key: Key, rank: int, theirs: bytes, mine: bytes = bytes(16)) -> bytes:
    proof = key.mac(b"caller", struct.pack("<IB", rank, RECORDS), theirs, mine)
    return CALL.pack(b"snnD", key.generation, rank, RECORDS, mine, proof)


def hello(sock: socket.socket) -> bytes:
    magic, nonce = HELLO.unpack(sock.recv(HELLO.size, socket.MSG_WAITALL))
    assert magic == b"snnD"
    return bytes(nonce)


def visit(door: Door) -> socket.socket:
    return socket.create_connection((door.address.host, door.address.port), 5)


@fuzzed
@given(data=st.data(), piece=st.sampled_from([1, 7, 1000]))
def test_a_door_lets_in_the_honest_call_and_no_other(door: Door, data: st.DataObject, piece: int) -> None:
    with nothing_left():
        with visit(door) as sock:
            honest = call(door.key, 5, hello(sock))
            words = data.draw(edited(honest, len(honest)))
            with suppress(OSError):
                for at in range(0, len(words), piece):
                    sock.sendall(words[at : at + piece])
                sock.shutdown(socket.SHUT_WR)
            try:
                proof = sock.recv(32, socket.MSG_WAITALL)
            except ConnectionResetError:
                proof = b""
        let_in = words[: len(honest)] == honest
        assert len(proof) == (32 if let_in else 0)
        if let_in:
            door.wait((5, RECORDS), time.monotonic() + 5).close()
        assert door._inside == {}


def test_a_call_that_was_overheard_opens_no_door(door: Door) -> None:
    with visit(door) as first:
        words = call(door.key, 5, hello(first))
        first.sendall(words)
        assert len(first.recv(32, socket.MSG_WAITALL)) == 32
    door.wait((5, RECORDS), time.monotonic() + 5).close()
    with visit(door) as second:
        hello(second)
        second.sendall(words)
        assert second.recv(32) == b""
    assert door._inside == {}


def test_a_crowd_of_strangers_is_waited_for_by_a_friend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "GREETING", 0.5)
    with nothing_left():
        ours, friend = (Door("127.0.0.1", rank, Key(bytes(32), 3), unix=False) for rank in (0, 1))
        crowd = [visit(ours) for _ in range(doors.CROWD + 10)]
        until = time.monotonic() + BOUND
        sock = friend.dial(0, ours.address, RECORDS, until)
        ours.wait((1, RECORDS), until).close()
        for s in (*crowd, sock):
            s.close()
        ours.close(), friend.close()


def test_a_door_that_closes_sends_callers_away_at_once() -> None:
    """Not when their time is over: nothing of a run that has ended may stay for those who never said a word."""
    with nothing_left():
        ours = Door("127.0.0.1", 0, Key.fresh())
        silent = [visit(ours) for _ in range(5)]
        for s in silent:
            hello(s)
        ours.close()
        assert [s.recv(1) for s in silent] == [b""] * 5
        for s in silent:
            s.close()


@settings(fuzzed, max_examples=50)
@given(data=st.data())
def test_a_caller_joins_the_honest_listener_and_no_other(data: st.DataObject) -> None:
    key = Key(bytes(32), 3)
    greeting = HELLO.pack(b"snnD", bytes(16))
    first = data.draw(edited(greeting, 4))

    def listen(server: socket.socket) -> bool:
        """Whether all that was said was honest."""
        server.settimeout(5)
        with suppress(OSError), server.accept()[0] as sock:
            sock.settimeout(5)
            sock.sendall(first)
            heard = sock.recv(CALL.size, socket.MSG_WAITALL)
            if len(heard) == CALL.size:
                rank, channel, mine = CALL.unpack(heard)[2:5]
                proof = key.mac(b"listener", struct.pack("<IB", rank, channel), bytes(16), mine)
                second = data.draw(edited(proof, 32))
                sock.sendall(second)
                return (first + second)[:52] == greeting + proof
        return False

    with nothing_left():
        caller = Door("127.0.0.1", 1, key, unix=False)
        with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
            told = pool.submit(dialled, caller, Address("127.0.0.1", server.getsockname()[1], None, ""))
            honest = listen(server)
            server.close()
            assert told.result(BOUND) == honest
        caller.close()


def dialled(caller: Door, address: Address) -> bool:
    try:
        caller.dial(0, address, RECORDS, time.monotonic() + 0.1).close()
    except OSError as error:
        if "part 1 could not join part 0 at 127.0.0.1:" not in str(error):
            raise
        return False
    return True


# ---- rows of recordings


TABLES = [True, False, False]


class Kept:
    """A sink that looks at what it is given."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def put(self, part: int, step: int, chunks: Chunks) -> None:
        self.steps.append(step)
        for table, chunk in chunks.items():
            assert 0 <= table < len(TABLES)
            if isinstance(chunk, Columns):
                assert not TABLES[table] and chunk.values.ndim == 2 and chunk.values.dtype.str in ("<f4", "<f8")
            else:
                assert TABLES[table] and chunk.ndim == 1 and chunk.dtype == np.uint64


odd = st.sampled_from([-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 2**31 - 1, 2**40, 2**62, 2**63 - 1])
small = st.integers(0, 3)
chunk = st.builds(
    lambda table, kind, first, rows, columns, body: CHUNK.pack(table, kind, first, rows, columns) + body,
    small | st.sampled_from([-1, -(2**31), 2**31 - 1]),
    st.sampled_from([b"<u8", b"<f4", b"<f8", b"|O8", b">u8", b"\xff\xfe", b""]),
    odd,
    small | odd,
    small | odd,
    st.binary(max_size=80),
)
frame = st.builds(
    lambda magic, n, step, chunks: PUT.pack(magic, n, step) + b"".join(chunks),
    st.sampled_from([b"snnR", b"snnR", b"snnR", b"snnE", b"snnF", b"GET "]),
    small | st.sampled_from([-1, 4, -(2**31), 2**31 - 1]),
    small | odd,
    st.lists(chunk, max_size=3),
)
events = CHUNK.pack(0, b"<u8", EVENTS, 4, 1) + bytes(32)
samples = CHUNK.pack(2, b"<f8", 1, 2, 3) + bytes(48)
rows = PUT.pack(b"snnR", 2, 7) + events + samples


@fuzzed
@given(words=st.lists(frame, max_size=3).map(b"".join) | edited(rows, 16) | edited(rows, 48))
def test_rows_are_well_formed_or_lost(words: bytes) -> None:
    with nothing_left():
        a, b = socket.socketpair()
        sink = Kept()
        receiver = RecordReceiver(b, 3, TABLES, sink)
        with suppress(OSError):
            say(a, words, True)
        with pytest.raises(RecordsLost):
            receiver.wait(2**63, time.monotonic() + BOUND)
        a.close()
        receiver.close()
        assert receiver.failure is None or isinstance(receiver.failure, RecordsLost)
        assert receiver.failure is not None or b"snnE" in words
        assert sink.steps == sorted(sink.steps)
        if words[: len(rows)] == rows:
            assert sink.steps[0] == 7


def test_the_memory_for_rows_is_what_has_come_not_what_was_claimed() -> None:
    a, b = socket.socketpair()

    def lost() -> None:
        receiver = RecordReceiver(b, 3, TABLES, Kept())
        say(a, PUT.pack(b"snnR", 1, 7) + CHUNK.pack(0, b"<u8", EVENTS, CLAIM // 8, 1) + bytes(1000), True)
        with pytest.raises(RecordsLost, match="the connection was closed"):
            receiver.wait(7, time.monotonic() + BOUND)
        a.close()
        receiver.close()

    assert peak(lost) < 2 * plain.ROOM


@fuzzed
@given(
    words=st.builds(PUT.pack, st.sampled_from([FAILED, b"snnR"]), small | odd.filter(lambda x: abs(x) < 2**31), odd),
    said=st.binary(max_size=40),
)
def test_last_words_of_a_recorder_are_read_within_bounds(words: bytes, said: bytes) -> None:
    with nothing_left():
        a, b = socket.socketpair()
        sender = RecordSender(a, patience=5.0)
        say(b, words + said, False)
        b.close()
        with pytest.raises(RecordsLost, match="part 3 could not hand over the rows up to step 7"):
            for _ in range(100):
                sender.put(3, 7, {0: np.zeros(10, np.uint64)})
        sender.close()


def test_words_that_no_recorder_says_cost_no_memory_and_no_patience() -> None:
    a, b = socket.socketpair()
    sender = RecordSender(a, patience=5.0)
    say(b, PUT.pack(FAILED, 2**31 - 1, 0), False)
    assert peak(lambda: sender.put(3, 7, {})) < 1 << 20
    assert a.gettimeout() == 5.0
    assert b.recv(16, socket.MSG_WAITALL) == PUT.pack(b"snnR", 0, 7)
    sender.close(), b.close()
