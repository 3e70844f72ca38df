"""Links carry one packet per peer and step, both ways, and never wait without a bound; doors let in only who has the key."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from eventsnn.scheduler.door import CALL, HELLO, MAGIC, RECORDS, Door, Key, Tls, meet
from eventsnn.scheduler.errors import LinkLost
from eventsnn.scheduler.exchange import FRAME
from eventsnn.scheduler.links import StreamLinks, pairs


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Contexts as a Dask cluster makes them from one certificate for everybody."""
    return contexts(tmp_path_factory.mktemp("tls"))


def contexts(folder: Path) -> Tls:
    from distributed.security import Security

    cert, key = certificate(folder)
    security = Security(tls_ca_file=str(cert), tls_worker_cert=str(cert), tls_worker_key=str(key), require_encryption=True)
    return Tls(
        dial=security.get_connection_args("worker")["ssl_context"], listen=security.get_listen_args("worker")["ssl_context"]
    )


def certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            cert,
            "-days",
            "2",
            "-subj",
            "/CN=eventsnn",
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


def mesh(n: int, *, tls: Tls | None = None, unix: bool = True, deadline: float = 10.0) -> list[StreamLinks]:
    key = Key.fresh(3)
    doors = [Door("127.0.0.1", rank, key, tls, unix) for rank in range(n)]
    with ThreadPoolExecutor(n) as pool:
        met = list(pool.map(lambda d: meet(d, [x.address for x in doors], deadline), doors))
    for door in doors:
        door.close()
    return [StreamLinks(rank, sockets, deadline, 3) for rank, sockets in enumerate(met)]


@pytest.fixture(params=["pairs", "unix", "tcp", "tls"])
def links(request: pytest.FixtureRequest) -> Iterator[list[StreamLinks]]:
    made = {
        "pairs": lambda: pairs(3, deadline=10.0, generation=3),
        "unix": lambda: mesh(3),
        "tcp": lambda: mesh(3, unix=False),
        "tls": lambda: mesh(3, tls=request.getfixturevalue("tls")),
    }[request.param]()
    yield made
    for one in made:
        one.close()


def everyone(links: list[StreamLinks], step: int, size: int) -> list[list[bytearray]]:
    """All parts exchange at once; the packet from a to b is filled with the byte 16 * a + b."""
    with ThreadPoolExecutor(len(links)) as pool:
        return list(pool.map(lambda one: one.exchange(step, [bytes([16 * one.rank + p]) * size for p in one.peers]), links))


@pytest.mark.parametrize("size", [0, 1, 65_535, 8 << 20])
def test_every_peer_gets_the_packet_meant_for_it(links: list[StreamLinks], size: int) -> None:
    got = everyone(links, 7, size)
    for one, packets in zip(links, got, strict=True):
        assert [bytes(p) for p in packets] == [bytes([16 * peer + one.rank]) * size for peer in one.peers]


def test_steps_do_not_mix_when_a_part_runs_ahead(links: list[StreamLinks]) -> None:
    def steps(one: StreamLinks) -> list[list[bytes]]:
        return [[bytes(p) for p in one.exchange(s, [struct.pack("<iii", s, one.rank, p) for p in one.peers])] for s in range(200)]

    with ThreadPoolExecutor(3) as pool:
        for one, got in zip(links, pool.map(steps, links), strict=True):
            assert got == [[struct.pack("<iii", s, p, one.rank) for p in one.peers] for s in range(200)]


def test_a_closed_part_is_noticed_by_all_in_one_hop(links: list[StreamLinks]) -> None:
    links[0].abort()
    start = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        errors = [f.exception(5) for f in [pool.submit(one.exchange, 0, [b"x", b"y"]) for one in links[1:]]]
    assert time.monotonic() - start < 2.0
    assert all(isinstance(e, LinkLost) for e in errors)
    assert {e.peer for e in errors if isinstance(e, LinkLost)} <= {0, 1, 2}


def test_a_silent_peer_counts_as_lost_after_the_deadline() -> None:
    a, b = pairs(2, deadline=0.3)
    start = time.monotonic()
    with pytest.raises(LinkLost, match=r"part 0 lost its link to part 1 at step 12: no packet for 0.3 s"):
        a.exchange(12, [b"x"])
    assert 0.25 < time.monotonic() - start < 2.0
    b.close()


def test_a_packet_of_another_generation_or_step_is_refused() -> None:
    for generation, step, told in ((1, 5, "generation 1"), (0, 6, "step 6")):
        a, b = pairs(2, deadline=2.0)
        os.write(int(b.fds[0]), FRAME.pack(b"snnX", generation, step, 0))  # type: ignore[index]
        with pytest.raises(LinkLost, match=f"expected a packet of generation 0 for step 5, got .*{told}"):
            a.exchange(5, [b""])
        b.close()


def test_plain_descriptors_are_blocking_with_a_bound_and_tls_has_none(links: list[StreamLinks]) -> None:
    one = links[0]
    if one.fds is None:
        return
    assert one.fds.dtype == np.int32 and len(one.fds) == len(one.peers)
    with socket.socket(fileno=os.dup(int(one.fds[0]))) as s:
        assert os.get_blocking(s.fileno())
        assert struct.unpack("@ll", s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))[0] == 10


def test_peers_are_in_a_fixed_order() -> None:
    made = pairs(4)
    assert [one.peers for one in made] == [(1, 2, 3), (2, 3, 0), (3, 0, 1), (0, 1, 2)]
    assert pairs(1)[0].exchange(0, []) == []
    for one in made:
        one.close()


def test_unix_sockets_within_a_host_and_tcp_without() -> None:
    for unix, family in ((True, socket.AF_UNIX), (False, socket.AF_INET)):
        a, b = mesh(2, unix=unix)
        with socket.socket(fileno=os.dup(int(a.fds[0]))) as s:  # type: ignore[index]
            assert s.family == family
        a.close(), b.close()


def test_a_wrong_secret_or_generation_is_refused_and_the_door_stays_open() -> None:
    key = Key.fresh(1)
    door = Door("127.0.0.1", 0, key)
    until = time.monotonic() + 5
    for wrong in (Key.fresh(1), Key(key.secret, 2)):
        stranger = Door("127.0.0.1", 1, wrong)
        with pytest.raises(ConnectionRefusedError, match="could not join part 0 .* another run, or to another generation"):
            stranger.dial(0, door.address, RECORDS, until)
        stranger.close()
    friend = Door("127.0.0.1", 1, key)
    friend.dial(0, door.address, RECORDS, until).close()
    door.wait((1, RECORDS), until).close()
    door.close(), friend.close()


def without_checks(context: ssl.SSLContext) -> ssl.SSLContext:
    """A caller that would talk to anybody."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def of_another_authority(folder: Path) -> ssl.SSLContext:
    context = without_checks(ssl.create_default_context())
    context.load_cert_chain(*certificate(folder))
    return context


@pytest.mark.parametrize("stranger", ["no certificate", "another authority", "plain", "garbage"])
def test_a_tls_door_says_nothing_to_strangers_and_lets_friends_in(tls: Tls, tmp_path: Path, stranger: str) -> None:
    """Strangers know the secret, even: without the certificate they do not come as far as to be asked for it."""
    key = Key.fresh(3)
    door, friend = (Door("127.0.0.1", rank, key, tls) for rank in (0, 1))
    until = time.monotonic() + 20
    if stranger in ("plain", "garbage"):
        with socket.create_connection((door.address.host, door.address.port), 10) as sock:
            sock.sendall(bytes(CALL.size) if stranger == "plain" else b"\x16\x03\x01\x00\x05hello" + bytes(500))
            with suppress(ConnectionResetError):
                assert not sock.makefile("rb").read(HELLO.size).startswith(MAGIC)
    else:
        made = without_checks(ssl.create_default_context()) if stranger == "no certificate" else of_another_authority(tmp_path)
        caller = Door("127.0.0.1", 2, key, Tls(made, tls.listen))
        with pytest.raises(OSError, match=r"part 2 could not join part 0 at 127.0.0.1:\d+: .*(CERTIFICATE_REQUIRED|UNKNOWN_CA)"):
            caller.dial(0, door.address, RECORDS, until)
        caller.close()
    friend.dial(0, door.address, RECORDS, until).close()
    door.wait((1, RECORDS), until).close()
    assert door._inside == {}
    door.close(), friend.close()


def test_a_caller_refuses_a_tls_door_of_another_authority(tls: Tls, tmp_path: Path) -> None:
    key = Key.fresh(3)
    impostor, caller = Door("127.0.0.1", 0, key, contexts(tmp_path)), Door("127.0.0.1", 1, key, tls)
    with pytest.raises(ssl.SSLCertVerificationError, match="part 1 could not join part 0"):
        caller.dial(0, impostor.address, RECORDS, time.monotonic() + 10)
    impostor.close(), caller.close()


def test_a_caller_with_tls_refuses_a_door_without(tls: Tls) -> None:
    """Nothing falls back to plain sockets."""
    key = Key.fresh(3)
    door, caller = Door("127.0.0.1", 0, key, unix=False), Door("127.0.0.1", 1, key, tls)
    with pytest.raises(ssl.SSLError, match="part 1 could not join part 0"):
        caller.dial(0, door.address, RECORDS, time.monotonic() + 10)
    door.close(), caller.close()


def test_the_secret_and_the_generation_count_within_tls_too(tls: Tls) -> None:
    key = Key.fresh(1)
    door = Door("127.0.0.1", 0, key, tls)
    for wrong in (Key.fresh(1), Key(key.secret, 2)):
        stranger = Door("127.0.0.1", 1, wrong, tls)
        with pytest.raises(ConnectionRefusedError, match="another run, or to another generation"):
            stranger.dial(0, door.address, RECORDS, time.monotonic() + 10)
        stranger.close()
    door.close()


def test_strangers_and_silent_callers_delay_nobody() -> None:
    key = Key.fresh()
    door = Door("127.0.0.1", 0, key)
    where = (door.address.host, door.address.port)
    silent = [socket.create_connection(where, 2) for _ in range(5)]
    noisy = socket.create_connection(where, 2)
    noisy.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(200))
    friend = Door("127.0.0.1", 1, key, unix=False)
    start = time.monotonic()
    sock = friend.dial(0, door.address, RECORDS, start + 5)
    door.wait((1, RECORDS), start + 5).close()
    assert time.monotonic() - start < 2.0
    for s in (*silent, noisy, sock):
        s.close()
    door.close(), friend.close()


def test_a_listener_without_the_secret_is_refused_by_the_caller() -> None:
    """The caller must not be fooled by someone who took over the port: it never sends the secret, and checks the answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def impostor() -> bytes:
            sock, _ = server.accept()
            with sock:
                sock.sendall(HELLO.pack(MAGIC, bytes(16)))
                call = sock.recv(CALL.size, socket.MSG_WAITALL)
                sock.sendall(bytes(32))
                return call

        key = Key.fresh()
        caller = Door("127.0.0.1", 1, key, unix=False)
        address = type(caller.address)("127.0.0.1", server.getsockname()[1], None, "")
        with ThreadPoolExecutor(1) as pool:
            heard = pool.submit(impostor)
            with pytest.raises(ConnectionRefusedError, match="does not know the secret"):
                caller.dial(0, address, RECORDS, time.monotonic() + 5)
            assert key.secret not in heard.result(5)
        caller.close()


def test_waiting_for_a_part_that_never_comes_ends() -> None:
    door = Door("127.0.0.1", 0, Key.fresh())
    with pytest.raises(TimeoutError, match="part 1 did not connect to part 0"):
        door.wait((1, RECORDS), time.monotonic() + 0.2)
    door.close()


def test_doors_listen_on_their_own_address_only_and_leave_nothing() -> None:
    before = threading.active_count()
    door = Door("127.0.0.1", 0, Key.fresh())
    port = door.address.port
    listening = Path("/proc/net/tcp").read_text()
    assert f"0100007F:{port:04X} 00000000:0000 0A" in listening and f"00000000:{port:04X}" not in listening
    door.close()
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
