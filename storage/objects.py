"""Plain reads and writes of a Zarr store's objects, many at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Coroutine, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

_AT_ONCE = 16


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


def _all(tasks: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do them all, some at once; raises the first failure once none is under way."""

    async def run() -> list[BaseException | None]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(task: Coroutine[Any, Any, None]) -> None:
            async with gate:
                await task

        return await asyncio.gather(*map(one, tasks), return_exceptions=True)

    for failure in sync(run()):
        if failure is not None:
            raise failure
