"""Who writes a store: a token in it that every write looks at, so that two processes never write one store."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from eventsnn.storage.errors import StoreTaken, StoreUnusable
from eventsnn.storage.objects import delete_objects, read_object, write_objects
from eventsnn.storage.targets import OWNER, Place

if sys.platform != "win32":
    import fcntl

_PATIENCE = 60.0
"""Seconds to wait for another process to end the write that it is in."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What file systems without flock say. There, as on object stores, the token is looked at and not locked."""


class Ownership:
    """The right of one recorder to write a store. Whoever takes it last has it.

    On disk a write and the look before it are one: the token's file is locked (flock) meanwhile. On object stores a write that
    was under way when the store was taken may still arrive.
    """

    def __init__(self, place: Place) -> None:
        self._store, self._name = place.store, place.name
        self._file = None if place.folder is None else place.folder / OWNER
        self._token = secrets.token_hex(16).encode()

    def take(self) -> None:
        """Make the store ours; who had it fails at its next write."""
        if self._file is None:
            write_objects(self._store, {OWNER: self._token})
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(self._file, os.O_RDWR | os.O_CREAT) as descriptor:
            os.pwrite(descriptor, self._token, 0)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """For the time of some writes; StoreTaken where the store is not ours any more."""
        if self._file is None:
            self._require(read_object(self._store, OWNER))
            yield
            return
        try:
            with self._locked(self._file, os.O_RDWR) as descriptor:
                self._require(os.pread(descriptor, 2 * len(self._token), 0))
                yield
        except _Gone as error:
            raise StoreTaken(f"the store was removed while this process wrote it ({error})") from error

    def release(self) -> None:
        with self.held():
            delete_objects(self._store, [OWNER])

    def _require(self, found: bytes | None) -> None:
        if found != self._token:
            raise StoreTaken("another process has taken over this store")

    @contextlib.contextmanager
    def _locked(self, file: Path, flags: int) -> Iterator[int]:
        """The descriptor of the token's file, which nobody else has locked."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                descriptor = os.open(file, flags, 0o666)
            except FileNotFoundError as error:
                raise _Gone(str(file)) from error
            try:
                while not _lock(descriptor):
                    if time.monotonic() > end:
                        raise StoreUnusable(
                            f"another process has been writing to store {self._name} for {_PATIENCE:g} s; end that process first"
                        )
                    time.sleep(0.005)
                if os.fstat(descriptor).st_nlink:  # else its owner has released it while we waited
                    yield descriptor
                    return
            finally:
                os.close(descriptor)


class _Gone(OSError):
    """There is no token."""


def _lock(descriptor: int) -> bool:
    """Whether the file is ours now, until the descriptor is closed."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
