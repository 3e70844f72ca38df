"""One packet to and from every peer, without the interpreter: libc sockets inside the nogil loop.

A packet is HEADER words (magic and generation, step, number of items, 0) and the items, all uint64. Sends and receives make progress
together, so packets larger than the socket buffers cannot deadlock; waiting is bounded by the deadline.
"""

from __future__ import annotations

import sys

import numpy as np
from numba import carray, njit, types

from eventsnn.backends.cpu.intrinsics import pointer
from eventsnn.backends.cpu.memory import ADDRESS, CAPACITY, COUNT, items, reserve

HEADER = 4
MAGIC = 0x45534E31 << 32
LONGEST = 1 << 36
"""Items a packet may claim; more is a damaged header."""
LOST_CLOSED, LOST_LATE, LOST_GARBLED, LOST_MEMORY = 1, 2, 3, 4
WHY = {
    LOST_CLOSED: "the connection was closed",
    LOST_LATE: "no packet arrived before the deadline",
    LOST_GARBLED: "a packet of another run or step arrived",
    LOST_MEMORY: "there is no memory for its packet",
}

_send = types.ExternalFunction("send", types.int64(types.int32, types.int64, types.uint64, types.int32))
_recv = types.ExternalFunction("recv", types.int64(types.int32, types.int64, types.uint64, types.int32))
_poll = types.ExternalFunction("poll", types.int32(types.int64, types.uint64, types.int32))
_errno = types.ExternalFunction("__error" if sys.platform == "darwin" else "__errno_location", types.int64())
_AGAIN = 35 if sys.platform == "darwin" else 11
_INTERRUPTED = 4
_NOW = (0x80 | 0x80000) if sys.platform == "darwin" else (0x40 | 0x4000)
"""MSG_DONTWAIT | MSG_NOSIGNAL"""


@njit(nogil=True)
def _would_block():
    code = carray(pointer(_errno(), np.int32), 1)[0]
    return code == _AGAIN or code == _INTERRUPTED


@njit(nogil=True)
def _send_some(fd, row, sent):
    """Bytes sent of a list from offset `sent`, 0 when the socket is full, -1 when it is lost."""
    n = _send(fd, row[ADDRESS] + sent, np.uint64(8 * row[COUNT] - sent), np.int32(_NOW))
    if n < 0:
        return 0 if _would_block() else -1
    return n


@njit(nogil=True)
def _receive_some(fd, row, have, need):
    n = _recv(fd, row[ADDRESS] + have, np.uint64(need - have), np.int32(_NOW))
    if n == 0:
        return -1
    if n < 0:
        return 0 if _would_block() else -1
    return n


@njit(nogil=True)
def _check(row, generation, step):
    """Bytes of the whole packet whose header has arrived, or minus the reason it is refused."""
    words = items(row)
    if words[0] != np.uint64(MAGIC | generation) or words[1] != np.uint64(step) or words[2] > np.uint64(LONGEST):
        return -LOST_GARBLED
    n = np.int64(words[2])
    row[COUNT] = 0
    if not reserve(row, HEADER + n):
        return -LOST_MEMORY
    return 8 * (HEADER + n)


@njit(nogil=True)
def seal(row, generation, step):
    """Write the header of a packet whose items have been appended after HEADER words."""
    words = items(row)
    words[0] = np.uint64(MAGIC | generation)
    words[1] = np.uint64(step)
    words[2] = np.uint64(row[COUNT] - HEADER)
    words[3] = np.uint64(0)


@njit(nogil=True)
def open_packet(row):
    """Start an empty packet."""
    row[COUNT] = 0
    if not reserve(row, HEADER):
        return False
    row[COUNT] = HEADER
    return True


@njit(nogil=True)
def exchange(fds, sending, receiving, remote, generation, step, patience):
    """Send sending[i] to peer i, append the items it sends to `remote`. Returns (index of the lost peer or -1, why)."""
    n = fds.size
    sent = np.zeros(n, np.int64)
    have = np.zeros(n, np.int64)
    need = np.full(n, 8 * HEADER, np.int64)
    waiting = np.zeros((n, 2), np.int32)
    for i in range(n):
        receiving[i, COUNT] = 0
        if not reserve(receiving[i], HEADER):
            return i, LOST_MEMORY
    left = 2 * n
    while True:
        moved = False
        for i in range(n):
            total = 8 * sending[i, COUNT]
            if sent[i] < total:
                k = _send_some(fds[i], sending[i], sent[i])
                if k < 0:
                    return i, LOST_CLOSED
                sent[i] += k
                moved |= k > 0
                left -= sent[i] == total
            if have[i] < need[i]:
                k = _receive_some(fds[i], receiving[i], have[i], need[i])
                if k < 0:
                    return i, LOST_CLOSED
                have[i] += k
                moved |= k > 0
                if have[i] == 8 * HEADER and need[i] == 8 * HEADER:
                    need[i] = _check(receiving[i], generation, step)
                    if need[i] < 0:
                        return i, -need[i]
                left -= have[i] == need[i]
        if left == 0:
            break
        if moved:
            continue
        m = 0
        for i in range(n):
            events = (1 if have[i] < need[i] else 0) | (4 if sent[i] < 8 * sending[i, COUNT] else 0)
            if events:
                waiting[m, 0] = fds[i]
                waiting[m, 1] = events
                m += 1
        if _poll(waiting.ctypes.data, np.uint64(m), np.int32(patience)) == 0:
            for i in range(n):
                if have[i] < need[i] or sent[i] < 8 * sending[i, COUNT]:
                    return i, LOST_LATE
    for i in range(n):
        if not unpack(receiving[i], remote):
            return i, LOST_MEMORY
    return -1, 0


@njit(nogil=True)
def unpack(row, remote):
    """Append the items of a whole packet."""
    words = items(row)
    n = np.int64(words[2])
    if not reserve(remote, n):
        return False
    into = items(remote)
    at = remote[COUNT]
    for k in range(n):
        into[at + k] = words[HEADER + k]
    remote[COUNT] = at + n
    return True


@njit(nogil=True, cache=True)
def packet_of(row):
    """A copy of a sealed packet, as words."""
    out = np.empty(row[COUNT], np.uint64)
    out[:] = items(row)[: row[COUNT]]
    return out


@njit(nogil=True, cache=True)
def accept(words, remote, generation, step):
    """Append the items of a packet that came another way; 0, or why it is refused."""
    if words.size < HEADER or words[0] != np.uint64(MAGIC | generation) or words[1] != np.uint64(step):
        return LOST_GARBLED
    n = words.size - HEADER
    if words[2] != np.uint64(n):
        return LOST_GARBLED
    if not reserve(remote, n):
        return LOST_MEMORY
    into = items(remote)
    at = remote[COUNT]
    for k in range(n):
        into[at + k] = words[HEADER + k]
    remote[COUNT] = at + n
    return 0


__all__ = ["CAPACITY", "HEADER", "WHY", "accept", "exchange", "open_packet", "packet_of", "seal"]
