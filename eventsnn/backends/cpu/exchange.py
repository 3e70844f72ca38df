"""One packet to and from every peer, without the interpreter: libc sockets inside the nogil loop.

A packet is HEADER words (magic and generation, step, number of items, 0) and the items, all uint64. Sends and receives make
progress together, so packets larger than the socket buffers cannot deadlock; waiting is bounded by the deadline. No header is
believed: memory is taken as items arrive, and only spikes of neurons and steps that there are get to those who index by them.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
from numba import types

from eventsnn.backends.cpu.intrinsics import address, clamp, helper, item, sched_yield, view, words
from eventsnn.backends.cpu.memory import ADDRESS, CAPACITY, COUNT, OUT_OF_MEMORY, add, append, contents, release, reserve
from eventsnn.backends.cpu.operation import Code, Operation

HEADER = 4
MAGIC = 0x45534E31 << 32
LONGEST = 1 << 36
"""Items a packet may claim; more is a damaged header."""
ROOM = 1 << 17
"""Items that a packet may have memory for before the first of them has come."""
STRIDE = 1 << 16
"""Bytes that must move within the deadline, if no header or packet is finished, or the peer counts as silent."""
SENT, HAVE, NEED, WAITED = range(4)
PACKED, LAST, STEP, GENERATION, PATIENCE, LOST, WHY_LOST, NANOSECONDS, SEALED, SINCE = range(10)
LOST_PEER = 128
TRIES = 100
"""Looks at the sockets, some tens of microseconds, before the thread goes to sleep: waking it up takes as long."""
LOW = np.uint64(0xFFFFFFFF)
LOST_CLOSED, LOST_LATE, LOST_GARBLED, LOST_MEMORY, LOST_STRANGE = 1, 2, 3, 4, 5
WHY = {
    LOST_CLOSED: "the connection was closed",
    LOST_LATE: "no packet arrived before the deadline",
    LOST_GARBLED: "a packet of another run or step arrived",
    LOST_MEMORY: "there is no memory for its packet",
    LOST_STRANGE: "a packet arrived with spikes of neurons or steps that there are not",
}

_send = types.ExternalFunction("send", types.int64(types.int32, types.int64, types.uint64, types.int32))
_recv = types.ExternalFunction("recv", types.int64(types.int32, types.int64, types.uint64, types.int32))
_poll = types.ExternalFunction("poll", types.int32(types.int64, types.uint64, types.int32))
_errno = types.ExternalFunction("__error" if sys.platform == "darwin" else "__errno_location", types.int64())
_clock = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))
_AGAIN = 35 if sys.platform == "darwin" else 11
_INTERRUPTED = 4
_NOW = (0x80 | 0x80000) if sys.platform == "darwin" else (0x40 | 0x4000)
"""MSG_DONTWAIT | MSG_NOSIGNAL"""


@helper
def _would_block():
    code = view(_errno(), 1, np.int32)[0]
    return code in (_AGAIN, _INTERRUPTED)


@helper
def _send_some(fd, row, sent):
    """Bytes sent of a list from offset `sent`, 0 when the socket is full, -1 when it is lost."""
    n = _send(fd, row[ADDRESS] + sent, np.uint64(8 * row[COUNT] - sent), np.int32(_NOW))
    if n < 0:
        return 0 if _would_block() else -1
    return n


@helper
def _receive_some(fd, row, have, need):
    """Bytes received of a packet, 0 when none are there, or minus the reason why the peer is lost."""
    if have == 8 * row[CAPACITY]:
        row[COUNT] = have >> 3
        if not reserve(address(row), 1):
            return -LOST_MEMORY
    n = _recv(fd, row[ADDRESS] + have, np.uint64(min(need, 8 * row[CAPACITY]) - have), np.int32(_NOW))
    if n == 0:
        return -LOST_CLOSED
    if n < 0:
        return 0 if _would_block() else -LOST_CLOSED
    return n


@helper
def _check(row, generation, step):
    """Bytes of the whole packet whose header has arrived, or minus the reason it is refused."""
    head = view(row[ADDRESS], HEADER, np.uint64)
    known = head[0] == np.uint64(MAGIC | generation) and head[1] == np.uint64(step) and head[3] == np.uint64(0)
    if not known or head[2] > np.uint64(LONGEST):
        return -LOST_GARBLED
    n = np.int64(head[2])
    row[COUNT] = 0
    if not reserve(address(row), HEADER + clamp(n, 0, ROOM)):
        return -LOST_MEMORY
    return 8 * (HEADER + n)


@helper
def _unpack(row, remote, neurons, since, step):
    """Append the items of a whole packet, spikes of (since, step]; 0, or the reason it is refused."""
    n = np.int64(view(row[ADDRESS], HEADER, np.uint64)[2])
    if not reserve(address(remote), n):
        return LOST_MEMORY
    packet = view(row[ADDRESS] + 8 * HEADER, n, np.int64)
    into = view(remote[ADDRESS] + 8 * remote[COUNT], n, np.int64)
    first, last, largest = (since + 1) << 32, ((step + 1) << 32) - 1, neurons - 1
    signs = 0
    for k in range(n):
        spike = packet[k]
        into[k] = spike
        signs |= spike | (spike - first) | (last - spike) | (largest - (spike & 0xFFFFFFFF))
    if signs < 0:
        return LOST_STRANGE
    remote[COUNT] += n
    return 0


@helper
def _prepare(progress, receiving):
    for i in range(progress.shape[0]):
        progress[i, SENT] = 0
        progress[i, HAVE] = 0
        progress[i, NEED] = 8 * HEADER
        receiving[i, COUNT] = 0
        if not reserve(address(receiving[i]), HEADER):
            return i
    return -1


@helper
def _wait(fds, progress, sending, waiting, patience):
    """Until a socket is ready, or patience runs out (false)."""
    m = 0
    for i in range(fds.size):
        events = (1 if progress[i, HAVE] < progress[i, NEED] else 0) | (4 if progress[i, SENT] < 8 * sending[i, COUNT] else 0)
        if events:
            waiting[m, 0] = fds[i]
            waiting[m, 1] = events
            m += 1
    return _poll(waiting.ctypes.data, np.uint64(m), np.int32(patience)) != 0


@helper
def exchange(fds, sending, receiving, progress, waiting, remote, neurons, state, clock):
    """Send sending[i] to peer i, append the items it sends to `remote`.

    Returns (index of the lost peer, why), or (-1, the peer whose packet was the last to come).
    """
    short = _prepare(progress, receiving)
    if short >= 0:
        return short, LOST_MEMORY
    left = 2 * fds.size
    tries = latest = 0
    gained = until = 0
    while left:
        moved = False
        for i in range(fds.size):
            total = 8 * sending[i, COUNT]
            if progress[i, SENT] < total:
                k = _send_some(fds[i], sending[i], progress[i, SENT])
                if k < 0:
                    return i, LOST_CLOSED
                progress[i, SENT] += k
                gained += k
                moved |= k > 0
                if progress[i, SENT] == total:
                    left -= 1
                    gained += STRIDE
            if progress[i, HAVE] < progress[i, NEED]:
                k = _receive_some(fds[i], receiving[i], progress[i, HAVE], progress[i, NEED])
                if k < 0:
                    return i, -k
                progress[i, HAVE] += k
                gained += k
                moved |= k > 0
                if progress[i, HAVE] == 8 * HEADER and progress[i, NEED] == 8 * HEADER:
                    need = _check(receiving[i], state[GENERATION], state[STEP])
                    if need < 0:
                        return i, -need
                    progress[i, NEED] = need
                    gained += STRIDE
                if progress[i, HAVE] == progress[i, NEED]:
                    left -= 1
                    latest = i
                    gained += STRIDE
        if moved:
            continue
        tries += 1
        if tries < TRIES:
            sched_yield()
            continue
        now = _now(clock)
        if until == 0 or gained >= STRIDE:
            until = now + state[PATIENCE] * 1000000
            gained = 0
        if now >= until or not _wait(fds, progress, sending, waiting, (until - now) // 1000000 + 1):
            for i in range(fds.size):
                if progress[i, HAVE] < progress[i, NEED] or progress[i, SENT] < 8 * sending[i, COUNT]:
                    return i, LOST_LATE
    for i in range(fds.size):
        why = _unpack(receiving[i], remote, neurons, state[SINCE], state[STEP])
        if why != 0:
            return i, why
    return -1, latest


@helper
def _pack(lists, masks, sending):
    """Append the spikes of an epoch to the packets of the peers that have targets for them."""
    for b in range(1, lists[0, COUNT]):
        n = lists[b, COUNT]
        spikes = view(lists[b, ADDRESS], n, np.uint64)
        for i in range(n):
            source = np.int64(spikes[i] & LOW)
            for p in range(sending.shape[0]):
                wanted = (masks[source, p >> 6] >> np.uint64(p & 63)) & np.uint64(1)
                if wanted and not add(address(sending[p]), spikes[i]):
                    return False
    return True


@helper
def _open(sending):
    for p in range(sending.shape[0]):
        sending[p, COUNT] = 0
        if not reserve(address(sending[p]), HEADER):
            return False
        sending[p, COUNT] = HEADER
    return True


@helper
def _now(moment):
    _clock(np.int32(1), moment)
    return item(moment, 0, np.int64) * 1000000000 + item(moment, 1, np.int64)


def cross(args, lists_address):
    """After an epoch: pack its spikes and, where a cross-part epoch ends, exchange them.

    Arguments: peers, neurons, words, masks, sending, receiving, sockets or 0, their number, progress, waiting, state (PACKED,
    LAST, STEP, GENERATION, PATIENCE, LOST, WHY_LOST, NANOSECONDS, SEALED, SINCE: steps of this exchange and the one before), a
    clock's two words.
    """
    a = words(args, 12)
    peers = a[0]
    masks = view(a[3], (a[1], a[2]), np.uint64)
    sending = view(a[4], (peers, 3), np.int64)
    receiving = view(a[5], (peers, 3), np.int64)
    fds = view(a[6], a[7], np.int32)
    state = view(a[10], 10, np.int64)
    head = view(lists_address, 3, np.int64)
    lists = view(lists_address, (head[COUNT] + 1, 3), np.int64)
    if state[PACKED] == 0 and not _open(sending):
        return OUT_OF_MEMORY
    state[PACKED] = 1
    if not _pack(lists, masks, sending):
        return OUT_OF_MEMORY
    if state[LAST] == 0:
        return 0
    for p in range(peers):
        packet = view(sending[p, ADDRESS], HEADER, np.uint64)
        packet[0] = np.uint64(MAGIC | state[GENERATION])
        packet[1] = np.uint64(state[STEP])
        packet[2] = np.uint64(sending[p, COUNT] - HEADER)
        packet[3] = np.uint64(0)
    state[PACKED] = 0
    state[SINCE], state[SEALED] = state[SEALED], state[STEP]
    if fds.size == 0:
        return 0
    began = _now(a[11])
    progress = view(a[8], (peers, 4), np.int64)
    waiting = view(a[9], (peers, 2), np.int32)
    remote = lists[head[COUNT]]
    lost, why = exchange(fds, sending, receiving, progress, waiting, remote, a[1], state, a[11])
    taken = _now(a[11]) - began
    state[NANOSECONDS] += taken
    if lost >= 0:
        state[LOST] = lost
        state[WHY_LOST] = why
        return LOST_PEER
    progress[why, WAITED] += taken
    return 0


CROSS = Code(cross)


class PeerLost(Exception):
    """A peer, by position, and why; the part turns it into an error with names."""

    def __init__(self, peer: int, why: str) -> None:
        super().__init__(peer, why)
        self.peer, self.why = peer, why


class Crossing:
    """The exchange of one part with its peers, as the operation that thread 0 runs after every epoch."""

    def __init__(
        self, masks: npt.NDArray[np.uint64], fds: npt.NDArray[np.int32], generation: int, deadline: float, peers: int
    ) -> None:
        self.sending = np.zeros((peers, 3), np.int64)
        self.receiving = np.zeros((peers, 3), np.int64)
        self.state = np.zeros(10, np.int64)
        self.progress = np.zeros((peers, 4), np.int64)
        self.neurons = len(masks)
        self.state[GENERATION], self.state[PATIENCE] = generation, int(deadline * 1000)
        scratch = (self.progress, np.zeros((peers, 2), np.int32), self.state, np.zeros(2, np.int64))
        CROSS.address  # noqa: B018  compiled now, not in the run
        self.operation = Operation(CROSS, peers, *masks.shape, masks, self.sending, self.receiving, fds, len(fds), *scratch)

    def place(self) -> tuple[int, int, int]:
        """Function, arguments and state, as the loop takes them."""
        return self.operation.code.address, self.operation.row.ctypes.data, self.state.ctypes.data

    def packets(self) -> list[memoryview]:
        """Copies of the sealed packets, for sockets that libc cannot write to."""
        return [memoryview(contents(row).tobytes()) for row in self.sending]

    def accept(self, packet: bytes | memoryview, remote: npt.NDArray[np.int64], step: int) -> int:
        """Append the items of a packet that came another way; 0, or why it is refused."""
        if len(packet) % 8 or len(packet) < 8 * HEADER:
            return LOST_GARBLED
        found = np.frombuffer(packet, np.uint64)
        if found[0] != MAGIC | int(self.state[GENERATION]) or found[1] != step or found[2] != len(found) - HEADER or found[3]:
            return LOST_GARBLED
        items = found[HEADER:]
        steps = items >> np.uint64(32)
        if ((items & LOW >= self.neurons) | (steps <= self.state[SINCE]) | (steps > step)).any():
            return LOST_STRANGE
        append(remote, items)
        return 0

    def seconds(self) -> float:
        """Time in the exchange since the last call."""
        out = float(self.state[NANOSECONDS]) * 1e-9
        self.state[NANOSECONDS] = 0
        return out

    def waited(self, peer: int, seconds: float) -> None:
        """Count time of an exchange by another way in which the packet of this peer was the last to come."""
        self.progress[peer, WAITED] += int(seconds * 1e9)

    def waits(self) -> list[float]:
        """Seconds of the exchanges in which each peer's packet was the last to come."""
        return [float(nanoseconds) * 1e-9 for nanoseconds in self.progress[:, WAITED]]

    def lost(self) -> tuple[int, str]:
        """The peer that was lost, by position, and why."""
        return int(self.state[LOST]), WHY[int(self.state[WHY_LOST])]

    def close(self) -> None:
        release(self.sending)
        release(self.receiving)
