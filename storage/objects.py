"""Plain reads and writes of a Zarr store's objects, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

_AT_ONCE = 16


def write_objects(store: Store, objects: Mapping[str, bytes]) -> None:
    """Write objects, in any order; returns when all are there, raises the first failure once none is under way."""
    make = default_buffer_prototype().buffer.from_bytes

    async def write() -> list[BaseException | None]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(key: str, value: bytes) -> None:
            async with gate:
                await store.set(key, make(value))

        return await asyncio.gather(*(one(key, value) for key, value in objects.items()), return_exceptions=True)

    for failure in sync(write()):
        if failure is not None:
            raise failure


def read_object(store: Store, key: str) -> bytes | None:
    """An object's bytes; None where there is no such object, or no store."""
    try:
        found = sync(store.get(key, default_buffer_prototype()))
    except FileNotFoundError:
        return None
    return None if found is None else found.to_bytes()


def delete_objects(store: Store, keys: list[str]) -> None:
    async def delete() -> None:
        await asyncio.gather(*(store.delete(key) for key in keys))

    sync(delete())


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
