"""Stream links between parts: one packet per peer and epoch, each way.

The compiled epoch loop uses the descriptors in `fds` directly; `exchange` is the Python path, for TLS and between runs.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.scheduler.errors import LinkLost
from eventsnn.scheduler.exchange import Stalled, swap

Packet = bytes | bytearray | memoryview

BUFFER = 4 << 20
"""Bytes asked for as socket buffers: most packets then leave in one call, whatever the peer is doing."""


class Links(Protocol):
    """What a part needs to talk to its peers."""

    peers: tuple[int, ...]
    """Ranks, in the order of `fds` and of packets."""
    fds: npt.NDArray[np.int32] | None
    """Blocking stream sockets with send and receive timeouts of `deadline`; None: only `exchange` works (TLS)."""
    deadline: float
    """Seconds of silence after which a peer counts as lost."""
    generation: int
    latest: int
    """Position of the peer whose packet was the last to come in the last exchange."""

    def exchange(self, step: int, packets: Sequence[Packet], size: int | None = None) -> list[memoryview]: ...

    def lost(self, peer: int, step: int, why: str) -> LinkLost: ...

    def called(self) -> bool: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class StreamLinks:
    """Links over connected stream sockets, one per peer.

    `abort` may be called by any thread and wakes whoever waits on either side; descriptors stay valid until `close`, which
    belongs to the thread that runs the part.
    """

    def __init__(self, rank: int, sockets: Mapping[int, socket.socket], deadline: float, generation: int) -> None:
        ahead = sorted(r for r in sockets if r > rank)
        self.rank = rank
        self.peers = (*ahead, *sorted(r for r in sockets if r < rank))
        self.deadline = deadline
        self.latest = 0
        """Position of the peer whose packet was the last to come in the last exchange."""
        self.generation = generation
        self._sockets = [sockets[r] for r in self.peers]
        plain = not any(isinstance(s, ssl.SSLSocket) for s in self._sockets)
        for s in self._sockets:
            tune(s)
            s.setblocking(plain)
            if plain:
                _bound(s, deadline)
        self.fds = np.array([s.fileno() for s in self._sockets], np.int32) if plain else None

    def exchange(self, step: int, packets: Sequence[Packet], size: int | None = None) -> list[memoryview]:
        """Sends packets[k] to peers[k] and returns what each of them sent for the same step; LinkLost where that fails.

        `size`: bytes that all of the latter must have, where that is known.
        """
        try:
            found, self.latest = swap(self._sockets, self.generation, step, packets, self.deadline, size)
            return found
        except Stalled as stalled:
            raise self.lost(self.peers[stalled.index], step, stalled.why) from stalled.__cause__

    def lost(self, peer: int, step: int, why: str) -> LinkLost:
        """The error to raise. Closes every link, so that all other parts see the failure at once, in one hop."""
        self.close()
        return LinkLost(self.rank, peer, step, why)

    def called(self) -> bool:
        """Whether a peer has sent something, or is gone; for a part that awaits nothing."""
        poll = select.poll()
        for s in self._sockets:
            if s.fileno() >= 0:
                poll.register(s, select.POLLIN)
        return bool(poll.poll(0))

    def abort(self) -> None:
        for s in self._sockets:
            shut(s)

    def close(self) -> None:
        self.abort()
        for s in self._sockets:
            s.close()


def pairs(n: int, deadline: float = 60.0, generation: int = 0) -> list[StreamLinks]:
    """Links of n parts of one process, all with all."""
    ends: list[dict[int, socket.socket]] = [{} for _ in range(n)]
    for low in range(n):
        for high in range(low + 1, n):
            ends[low][high], ends[high][low] = socket.socketpair()
    return [StreamLinks(rank, sockets, deadline, generation) for rank, sockets in enumerate(ends)]


def tune(s: socket.socket) -> None:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    if s.family in (socket.AF_INET, socket.AF_INET6):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def shut(s: socket.socket) -> None:
    """Ends what goes over a socket, and wakes whoever waits for it; any thread may call it."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(s, socket.SHUT_RDWR)  # not SSLSocket.shutdown, which drops the TLS state under a reader


def _bound(s: socket.socket, deadline: float) -> None:
    """Bounds plain send() and recv() calls on the descriptor, which Python's own timeouts do not."""
    timeval = struct.pack("@ll", int(deadline), int(deadline % 1 * 1e6))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
