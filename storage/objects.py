"""Plain reads and writes of a Zarr store's objects, many at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Collection, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial$")
"""What a process that is killed leaves of a write to a local folder."""

_AT_ONCE = 16

_T = TypeVar("_T")


def as_json(node: Mapping[str, Any]) -> bytes:
    """The object of metadata."""
    return json.dumps(node, separators=(",", ":")).encode()


def write_objects(store: Store, objects: Mapping[str, bytes]) -> None:
    """Write objects, in any order; returns when all are there, raises the first failure once none is under way."""
    make = default_buffer_prototype().buffer.from_bytes
    _all(store.set(key, make(value)) for key, value in objects.items())


def read_object(store: Store, key: str) -> bytes | None:
    """An object's bytes; None where there is no such object, or no store."""
    try:
        found = sync(store.get(key, default_buffer_prototype()))
    except FileNotFoundError:
        return None
    return None if found is None else found.to_bytes()


def read_objects(store: Store, keys: Iterable[str]) -> list[bytes | None]:
    """The bytes of objects; None for those that are not there."""
    make = default_buffer_prototype()
    return [None if found is None else found.to_bytes() for found in _all(store.get(key, make) for key in keys)]


def flush_objects(store: Store, keys: Collection[str]) -> None:
    """Return when objects, and their names, would outlast a loss of power: on disk; other stores answer for it themselves."""
    if isinstance(store, LocalStore):
        paths = [store.root / key for key in keys]
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # many at once share the work of the file system
            list(pool.map(_flush, [*paths, *{store.root / parent for key in keys for parent in PurePosixPath(key).parents}]))


def delete_objects(store: Store, keys: Collection[str]) -> None:
    """Delete objects, and on disk the folders below the root that this leaves empty; those that are not there are passed over."""
    _all(store.delete(key) for key in keys)
    if isinstance(store, LocalStore):
        for folder in sorted({parent for key in keys for parent in PurePosixPath(key).parents[:-1]}, reverse=True):
            with contextlib.suppress(OSError):  # it holds something, or is gone
                (store.root / folder).rmdir()


def list_objects(store: Store, prefix: str = "") -> list[str]:
    """Keys of all objects below a prefix."""

    async def collect() -> list[str]:
        return [key async for key in store.list_prefix(prefix)]

    return sync(collect())


def list_top(store: Store) -> list[str]:
    """Names at the root of the store, folders included."""

    async def collect() -> list[str]:
        return [key async for key in store.list_dir("")]

    return sync(collect())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _all(tasks: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Do them all, some at once; raises the first failure once none is under way."""

    async def run() -> list[_T | BaseException]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(task: Coroutine[Any, Any, _T]) -> _T:
            async with gate:
                return await task

        return await asyncio.gather(*map(one, tasks), return_exceptions=True)

    done = []
    for found in sync(run()):
        if isinstance(found, BaseException):
            raise found
        done.append(found)
    return done
