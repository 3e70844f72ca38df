"""How parts in different processes come to hold an authenticated stream socket to each other.

Every part opens a door; of two parts the one with the lower rank listens and the other dials. Both prove that they know the
run's secret before a byte of the simulation travels: the listener sends a nonce, the caller answers with its own nonce and a MAC
over both, and the listener proves itself in the same way. With the cluster's TLS contexts all of that happens inside TLS. Within
one host, without TLS, the socket is a Unix one.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import select
import socket
import ssl
import struct
import sys
import threading
import time
from dataclasses import dataclass, field

from eventsnn.scheduler.exchange import read
from eventsnn.scheduler.links import shut, tune

HELLO = struct.Struct("<4s16s")
"""Listener to caller: magic, nonce."""
CALL = struct.Struct("<4sIIB16s32s")
"""Caller to listener: magic, generation, rank, channel, nonce, MAC."""
MAGIC = b"snnD"
SPIKES, RECORDS = 0, 1
"""Channels: what a socket is for."""
GREETING = 10.0
"""Seconds that a caller may take to introduce itself."""
CROWD = 64
"""Callers that may be introducing themselves at one time; more are turned away."""
AGAIN = 0.1
"""Seconds after which a caller that was turned away comes back."""

Guest = tuple[int, int]
"""Rank of a caller, and the channel it wants."""


@dataclass(frozen=True)
class Address:
    """Where a door stands; plain data, sent to the other parts."""

    host: str
    port: int
    unix: str | None
    """Abstract Unix socket, reachable from the same realm."""
    realm: str


@dataclass(frozen=True)
class Key:
    """What all parts of one run share, and nobody else knows; printed, it keeps the secret."""

    secret: bytes = field(repr=False)
    generation: int

    @staticmethod
    def fresh(generation: int = 0) -> Key:
        return Key(secrets.token_bytes(32), generation)

    def mac(self, who: bytes, *words: bytes) -> bytes:
        return hmac.digest(self.secret, b"".join((who, self.generation.to_bytes(4, "little"), *words)), "sha256")


@dataclass(frozen=True)
class Tls:
    """A cluster's own contexts for the two ends of a connection."""

    dial: ssl.SSLContext
    listen: ssl.SSLContext


class TurnedAway(ConnectionResetError):
    """The door had no room for a caller before a word was said."""


class Door:
    """Listens on `host` only, and keeps whoever comes in with the right key until they are asked for."""

    def __init__(self, host: str, rank: int, key: Key, tls: Tls | None = None, unix: bool = True) -> None:
        self.rank, self.key, self.tls = rank, key, tls
        self._listeners = [_listen_tcp(host)]
        name = None
        if unix and tls is None and sys.platform == "linux":
            name = f"\0eventsnn-{secrets.token_hex(12)}"
            self._listeners.append(_listen_unix(name))
        port = self._listeners[0].getsockname()[1]
        self.address = Address(host, port, name, realm())
        self._inside: dict[Guest, socket.socket] = {}
        self._arrival = threading.Condition()
        self._closed = threading.Event()
        self._callers: dict[threading.Thread, socket.socket] = {}
        """Who is introducing itself."""
        self._porter = threading.Thread(target=self._admit, name=f"eventsnn-door-{rank}", daemon=True)
        self._porter.start()

    def wait(self, guest: Guest, until: float) -> socket.socket:
        """The socket of a caller, at the latest at time.monotonic() == until; TimeoutError else."""
        with self._arrival:
            if not self._arrival.wait_for(
                lambda: guest in self._inside or self._closed.is_set(), max(0.0, until - time.monotonic())
            ):
                raise TimeoutError(f"part {guest[0]} did not connect to part {self.rank} in time")
            if guest not in self._inside:
                raise ConnectionAbortedError(f"part {self.rank} was closed while it waited for part {guest[0]}")
            return self._inside.pop(guest)

    def dial(self, rank: int, address: Address, channel: int, until: float) -> socket.socket:
        """A socket to the part that listens at `address`; a crowd before its door is waited for."""
        while True:
            try:
                return self._dial(address, channel, until)
            except OSError as error:
                if isinstance(error, TurnedAway) and time.monotonic() + AGAIN < until and not self._closed.wait(AGAIN):
                    continue
                text = f"part {self.rank} could not join part {rank} at {address.host}:{address.port}: {error}"
                raise type(error)(text) from error

    def close(self) -> None:
        """Stops listening and sends away who is not in yet; sockets that were handed out stay open."""
        self._closed.set()
        with self._arrival:
            for sock in self._inside.values():
                sock.close()
            self._inside.clear()
            callers = dict(self._callers)
            self._arrival.notify_all()
        for sock in callers.values():
            shut(sock)
        for thread in (self._porter, *callers):
            thread.join(5.0)

    def _dial(self, address: Address, channel: int, until: float) -> socket.socket:
        left = max(0.1, until - time.monotonic())
        if self.tls is None and address.unix is not None and self.address.unix is not None and address.realm == realm():
            sock = socket.socket(socket.AF_UNIX)
            target: str | tuple[str, int] = address.unix
        else:
            family, _, _, _, _ = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
            sock = socket.socket(family)
            target = (address.host, address.port)
        try:
            sock.settimeout(left)
            try:
                sock.connect(target)
                tune(sock)
                if self.tls is not None:
                    sock = self.tls.dial.wrap_socket(sock)
                magic, nonce = HELLO.unpack(read(sock, HELLO.size, until))
            except (BlockingIOError, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as error:
                raise TurnedAway(f"nobody answered there, or too many called at once ({error})") from error
            self._introduce(sock, magic, nonce, channel, until)
        except OSError:
            sock.close()
            raise
        return sock

    def _introduce(self, sock: socket.socket, magic: bytes, theirs: bytes, channel: int, until: float) -> None:
        if magic != MAGIC:
            raise ConnectionError("whoever listens there is no part of a simulation")
        mine = secrets.token_bytes(16)
        words = (struct.pack("<IB", self.rank, channel), theirs, mine)
        sock.sendall(CALL.pack(MAGIC, self.key.generation, self.rank, channel, mine, self.key.mac(b"caller", *words)))
        try:
            proof = read(sock, 32, until)
        except ConnectionResetError as error:
            raise ConnectionRefusedError("it belongs to another run, or to another generation of this one") from error
        if not hmac.compare_digest(proof, self.key.mac(b"listener", *words)):
            raise ConnectionRefusedError("it does not know the secret of this run")

    def _admit(self) -> None:
        """Accepts until closed; every caller introduces itself in a thread of its own, so that a silent one delays nobody."""
        while not self._closed.is_set():
            for listener in select.select(self._listeners, [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self._meet(listener.accept()[0])
        for listener in self._listeners:
            listener.close()

    def _meet(self, sock: socket.socket) -> None:
        thread = threading.Thread(target=self._greet, args=(sock,), daemon=True)
        with self._arrival:
            if self._closed.is_set() or len(self._callers) >= CROWD:
                sock.close()
                return
            self._callers[thread] = sock
        try:
            thread.start()
        except RuntimeError:  # the process may have no more threads
            self._forget(thread, sock)

    def _greet(self, sock: socket.socket) -> None:
        me, until = threading.current_thread(), time.monotonic() + GREETING
        try:
            sock.settimeout(GREETING)
            if self.tls is not None:
                sock = self.tls.listen.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                with self._arrival:
                    self._callers[me] = sock
                    if self._closed.is_set():
                        raise ConnectionAbortedError("the door was closed")
                sock.do_handshake()
            guest = self._check(sock, until)
            tune(sock)
        except Exception:  # a stranger, a port scan, a late caller of an older generation: none of them may end this run
            self._forget(me, sock)
            return
        with self._arrival:
            del self._callers[me]
            if self._closed.is_set() or guest in self._inside:
                sock.close()
                return
            self._inside[guest] = sock
            self._arrival.notify_all()

    def _forget(self, thread: threading.Thread, sock: socket.socket) -> None:
        with self._arrival:
            del self._callers[thread]
        sock.close()

    def _check(self, sock: socket.socket, until: float) -> Guest:
        mine = secrets.token_bytes(16)
        sock.sendall(HELLO.pack(MAGIC, mine))
        magic, generation, rank, channel, theirs, proof = CALL.unpack(read(sock, CALL.size, until))
        words = (struct.pack("<IB", rank, channel), mine, theirs)
        known = hmac.compare_digest(proof, self.key.mac(b"caller", *words))
        if not known or magic != MAGIC or generation != self.key.generation:
            raise ConnectionRefusedError("a caller without the key of this run")
        sock.sendall(self.key.mac(b"listener", *words))
        return rank, channel


def meet(door: Door, addresses: list[Address], seconds: float) -> dict[int, socket.socket]:
    """One socket to every other part, by rank. `addresses` are those of all doors, by rank."""
    until = time.monotonic() + seconds
    met: dict[int, socket.socket] = {}
    try:
        for rank in range(door.rank):
            met[rank] = door.dial(rank, addresses[rank], SPIKES, until)
        for rank in range(door.rank + 1, len(addresses)):
            met[rank] = door.wait((rank, SPIKES), until)
    except OSError:
        for sock in met.values():
            sock.close()
        raise
    return met


def realm() -> str:
    """Kernel and network namespace: processes with equal realms reach each other's abstract Unix sockets."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/net').st_ino}"
    except OSError:
        return f"process/{os.getpid()}/{secrets.token_hex(8)}"  # nothing known: nobody is near


def _listen_tcp(host: str) -> socket.socket:
    family, kind, proto, _, where = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, proto)
    listener.bind(where)
    listener.listen(128)
    return listener


def _listen_unix(name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(128)
    return listener
