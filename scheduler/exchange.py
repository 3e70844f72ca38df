"""The exchange of one packet per peer, each way, without blocking on any one of them.

Two parts that both send more than the socket buffers hold would wait for each other for ever, so all sockets make progress in
both directions at once. No header is believed: memory is taken as bytes arrive, and waiting ends even for a peer that drips.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FRAME = struct.Struct("<4sIqQ")
"""magic, generation, step, bytes that follow"""
MAGIC = b"snnX"
LONGEST = 1 << 40
"""Bytes a packet may claim; more is a damaged header."""
ROOM = 1 << 24
"""Bytes of memory that a body may have before the first of it has come."""
STRIDE = 1 << 16
"""Bytes that a peer must move within the deadline, if it does not finish a header or a packet, or it counts as silent."""
TURN = 1 << 20
"""Bytes after which the other direction, and the other peers, have their turn."""
READ, WRITE = select.POLLIN, select.POLLOUT
_NOW = socket.MSG_DONTWAIT


class Stalled(Exception):
    """Peer number `index` did not do its side."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(index, why)
        self.index, self.why = index, why


class Inbox:
    """`size` bytes on their way; memory grows with what has come, because a damaged header may claim anything."""

    def __init__(self, size: int) -> None:
        self.left = size
        self._have = 0
        self._bytes: npt.NDArray[np.uint8] = np.empty(min(size, ROOM), np.uint8)

    def room(self) -> memoryview:
        """Where the next bytes go."""
        if self._have == len(self._bytes) and self.left:
            longer = np.empty(min(self._have + self.left, 2 * self._have), np.uint8)
            longer[: self._have] = self._bytes
            self._bytes = longer
        return self._bytes[self._have :].data

    def took(self, n: int) -> None:
        """That many bytes have been written there; ConnectionResetError where there were none."""
        if n == 0:
            raise ConnectionResetError("the connection was closed")
        self._have += n
        self.left -= n

    @property
    def data(self) -> memoryview:
        """All of it, once nothing is left to come."""
        return self._bytes.data


def read(sock: socket.socket, size: int, until: float | None = None) -> memoryview:
    """Exactly `size` bytes; by time.monotonic() == until, or TimeoutError, where that is given."""
    inbox = Inbox(size)
    while inbox.left:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("it took too long")
            sock.settimeout(left)
        inbox.took(sock.recv_into(inbox.room()))
    return inbox.data


class _Peer:
    """Progress of one peer's packets through one exchange."""

    def __init__(
        self, sock: socket.socket, generation: int, step: int, packet: bytes | bytearray | memoryview, size: int | None
    ) -> None:
        self.sock = sock
        self.generation, self.step, self.size = generation, step, size
        self.flags = 0 if isinstance(sock, ssl.SSLSocket) else _NOW
        body = memoryview(packet).cast("B")
        head = FRAME.pack(MAGIC, generation, step, body.nbytes)
        self.out = [memoryview(head + body)] if body.nbytes < 65536 else [memoryview(head), body]
        self.header = self.into = Inbox(FRAME.size)
        self.body: Inbox | None = None
        self.events = READ | WRITE
        """What must be waited for; 0: finished."""
        self.moved = 0
        """Bytes, both ways."""

    def advance(self) -> bool:
        """Moves what can be moved now; whether it only gave way to others, and could go on."""
        self.events = 0
        more = False
        try:
            more |= self._send()
        except (BlockingIOError, ssl.SSLWantWriteError):
            self.events |= WRITE
        except ssl.SSLWantReadError:
            self.events |= READ
        try:
            more |= self._receive()
        except (BlockingIOError, ssl.SSLWantReadError):
            self.events |= READ
        except ssl.SSLWantWriteError:
            self.events |= WRITE
        return more

    def _send(self) -> bool:
        turn = self.moved + TURN
        while self.out:
            n = self.sock.send(self.out[0], self.flags)
            self.moved += n
            self.out[0] = self.out[0][n:]
            if not self.out[0]:
                del self.out[0]
            elif self.moved >= turn:
                self.events |= WRITE
                return True
        return False

    def _receive(self) -> bool:
        turn = self.moved + TURN
        while self.into.left or self.body is None:
            if not self.into.left:
                self._open()
                continue
            n = self.sock.recv_into(self.into.room(), 0, self.flags)
            self.into.took(n)
            self.moved += n
            if self.into.left and self.moved >= turn:
                self.events |= READ
                return True
        return False

    def _open(self) -> None:
        """The header is complete: makes room for the body."""
        magic, generation, step, size = FRAME.unpack(self.header.data)
        if (magic, generation, step) != (MAGIC, self.generation, self.step):
            raise ConnectionError(
                f"expected a packet of generation {self.generation} for step {self.step}, "
                f"got {magic!r}, generation {generation}, step {step}"
            )
        if size > LONGEST:
            raise ConnectionError(f"its header claims {size} bytes; a packet has {LONGEST} at most")
        if self.size is not None and size != self.size:
            raise ConnectionError(f"expected a packet of {self.size} bytes, got one of {size}")
        self.body = self.into = Inbox(size)


def swap(
    sockets: Sequence[socket.socket],
    generation: int,
    step: int,
    packets: Sequence[bytes | bytearray | memoryview],
    deadline: float,
    size: int | None = None,
) -> tuple[list[memoryview], int]:
    """Sends packets[k] over sockets[k]; the packet that came back over each, and over which the last to come did.

    `size`: bytes that each of them must have, where that is known. Raises Stalled after `deadline` s of silence.
    """
    peers = [_Peer(s, generation, step, p, size) for s, p in zip(sockets, packets, strict=True)]
    until = time.monotonic() + deadline
    told = latest = 0
    while True:
        more = False
        for k, peer in enumerate(peers):
            if peer.events:
                try:
                    more |= peer.advance()
                except OSError as error:
                    raise Stalled(k, f"{type(error).__name__}: {error}") from error
        waiting = [k for k, peer in enumerate(peers) if peer.events]
        if not waiting:
            return [peer.body.data for peer in peers if peer.body is not None], latest
        latest = waiting[-1]
        now = time.monotonic()
        begun = sum(peer.body is not None for peer in peers)
        done = sum(peer.moved for peer in peers) // STRIDE + begun - len(waiting)
        if done != told:
            told, until = done, now + deadline
        elif now >= until:
            raise Stalled(waiting[0], f"no packet for {deadline:g} s")
        if not more:
            _wait([peers[k] for k in waiting], until - now)


def _wait(peers: Sequence[_Peer], seconds: float) -> None:
    poll = select.poll()
    for peer in peers:
        poll.register(peer.sock, peer.events)
    poll.poll(max(1, int(seconds * 1000)))
