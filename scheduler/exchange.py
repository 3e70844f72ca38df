"""The exchange of one packet per peer, each way, without blocking on any one of them.

Two parts that both send more than the socket buffers hold would wait for each other for ever, so all sockets make progress in
both directions at once.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Sequence

FRAME = struct.Struct("<4sIqQ")
"""magic, generation, step, bytes that follow"""
MAGIC = b"snnX"
READ, WRITE = select.POLLIN, select.POLLOUT
_NOW = socket.MSG_DONTWAIT


class Stalled(Exception):
    """Peer number `index` did not do its side."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(index, why)
        self.index, self.why = index, why


class _Peer:
    """Progress of one peer's packets through one exchange."""

    def __init__(self, sock: socket.socket, generation: int, step: int, packet: bytes | bytearray | memoryview) -> None:
        self.sock = sock
        self.generation, self.step = generation, step
        self.flags = 0 if isinstance(sock, ssl.SSLSocket) else _NOW
        body = memoryview(packet).cast("B")
        head = FRAME.pack(MAGIC, generation, step, body.nbytes)
        self.out = [memoryview(head + body)] if body.nbytes < 65536 else [memoryview(head), body]
        self.header = bytearray(FRAME.size)
        self.into = memoryview(self.header)
        self.body: bytearray | None = None
        self.events = READ | WRITE

    def advance(self) -> int:
        """Moves what can be moved now; returns the bytes moved and sets `events` to what must be waited for (0: finished)."""
        moved, self.events = 0, 0
        try:
            moved += self._send()
        except (BlockingIOError, ssl.SSLWantWriteError):
            self.events |= WRITE
        except ssl.SSLWantReadError:
            self.events |= READ
        try:
            moved += self._receive()
        except (BlockingIOError, ssl.SSLWantReadError):
            self.events |= READ
        except ssl.SSLWantWriteError:
            self.events |= WRITE
        return moved

    def _send(self) -> int:
        moved = 0
        while self.out:
            n = self.sock.send(self.out[0], self.flags)
            moved += n
            self.out[0] = self.out[0][n:]
            if not self.out[0]:
                del self.out[0]
            elif moved >= 1 << 20:
                self.events |= WRITE  # let the other direction have its turn
                break
        return moved

    def _receive(self) -> int:
        moved = 0
        while self.into or self.body is None:
            if not self.into:
                self._open()
                continue
            n = self.sock.recv_into(self.into, 0, self.flags)
            if n == 0:
                raise ConnectionResetError("the peer closed the link")
            self.into = self.into[n:]
            moved += n
            if self.into and moved >= 1 << 20:
                self.events |= READ
                break
        return moved

    def _open(self) -> None:
        """The header is complete: makes room for the body."""
        magic, generation, step, size = FRAME.unpack(self.header)
        if (magic, generation, step) != (MAGIC, self.generation, self.step):
            raise ConnectionError(
                f"expected a packet of generation {self.generation} for step {self.step}, "
                f"got {magic!r}, generation {generation}, step {step}"
            )
        self.body = bytearray(size)
        self.into = memoryview(self.body)


def swap(
    sockets: Sequence[socket.socket],
    generation: int,
    step: int,
    packets: Sequence[bytes | bytearray | memoryview],
    deadline: float,
) -> list[memoryview]:
    """Sends packets[k] over sockets[k] and returns the packet that came back over each; Stalled after `deadline` s of silence."""
    peers = [_Peer(s, generation, step, p) for s, p in zip(sockets, packets, strict=True)]
    until = time.monotonic() + deadline
    while True:
        moved = 0
        for k, peer in enumerate(peers):
            if peer.events:
                try:
                    moved += peer.advance()
                except OSError as error:
                    raise Stalled(k, f"{type(error).__name__}: {error}") from error
        waiting = [k for k, peer in enumerate(peers) if peer.events]
        if not waiting:
            return [memoryview(peer.body) for peer in peers if peer.body is not None]
        now = time.monotonic()
        if moved:
            until = now + deadline
        elif now >= until:
            raise Stalled(waiting[0], f"no packet for {deadline:g} s")
        else:
            _wait([peers[k] for k in waiting], until - now)


def _wait(peers: Sequence[_Peer], seconds: float) -> None:
    poll = select.poll()
    for peer in peers:
        poll.register(peer.sock, peer.events)
    poll.poll(max(1, int(seconds * 1000)))
