"""Where a store is: a path, a URL that fsspec knows, a Zarr store, or memory."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, MemoryStore

from eventsnn.storage.errors import StoreExists, StoreUnusable
from eventsnn.storage.objects import delete_objects, list_objects, list_top, read_object, write_objects

Target = str | os.PathLike[str] | Store | None

ROOT = "zarr.json"
_MARK = ".eventsnn-"
SENTINEL = _MARK + "sentinel-"
OWNER = _MARK + "owner"
CHECKPOINTS = "checkpoints"
EMPTY_ROOT = b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'
_ZARR_ROOTS = (ROOT, ".zgroup", ".zarray")


@dataclass(frozen=True)
class Place:
    """A resolved target: the store, what to call it in a message, and its folder where it has one."""

    store: Store
    name: str
    folder: Path | None = None


def resolve(target: Target, storage_options: Mapping[str, Any] | None = None, *, read_only: bool = False) -> Place:
    """The place that a target means; nothing is created or read. None is a new store in memory.

    `read_only` keeps a folder that is not there from being made by the first look at it.

    Raises StoreUnusable for something that is no target, and for a URL whose file system is unknown or not installed.
    """
    if target is None:
        return Place(MemoryStore(), "memory")
    if isinstance(target, Store):
        return Place(target, str(target), target.root if isinstance(target, LocalStore) else None)
    if not isinstance(target, (str, os.PathLike)):
        raise StoreUnusable(
            f"store={target!r} is a {type(target).__name__}; "
            "give a path, a URL such as 's3://bucket/run.zarr', a zarr Store, or None for memory"
        )
    text = os.fspath(target)
    if not isinstance(text, str) or not text:
        raise StoreUnusable(f"store={target!r} names nothing; give a path such as 'run.zarr'")
    if "://" in text and not text.startswith("file://"):
        return Place(_remote(text, storage_options, read_only), text)
    path = unquote(urlsplit(text).path) if text.startswith("file://") else text
    folder = Path(os.path.abspath(os.path.expanduser(path)))
    return Place(LocalStore(folder, read_only=read_only), str(folder), folder)


def _remote(url: str, storage_options: Mapping[str, Any] | None, read_only: bool) -> Store:
    try:
        return FsspecStore.from_url(url, storage_options=dict(storage_options or {}), read_only=read_only)
    except (ImportError, ValueError) as error:
        raise StoreUnusable(f"store={url!r} cannot be reached: {error}") from error


def require_free(place: Place, overwrite: bool) -> None:
    """Raise StoreExists or StoreUnusable where a run may not be written; changes nothing.

    An existing Zarr store is free with overwrite=True; a folder that holds anything else never is.
    """
    if place.store.read_only:
        raise StoreUnusable(f"store {place.name} was opened read-only; give one that can be written")
    if place.folder is not None and place.folder.exists() and not place.folder.is_dir():
        raise StoreUnusable(f"store {place.name} is a file; a store is a folder, give another path")
    content = _content(place)
    if content and not exists(place):
        some = ", ".join(sorted(content)[:3])
        raise StoreUnusable(
            f"store {place.name} holds other things than a Zarr store ({some}); "
            "it is left alone, with overwrite=True too: give another path or an empty folder"
        )
    if content and not overwrite:
        raise StoreExists(f"store {place.name} exists; give another path, or overwrite=True to replace it")


def missing_folders(place: Place) -> list[Path]:
    """The folders that the first write to a place would make, the innermost first."""
    folder, found = place.folder, []
    while folder is not None and not folder.exists() and folder != folder.parent:
        found.append(folder)
        folder = folder.parent
    return found


def remove_folders(folders: list[Path]) -> None:
    """Take folders away again, the innermost first, where nothing has come into them."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def exists(place: Place) -> bool:
    """Whether a Zarr store is there already."""
    if place.folder is not None and not place.folder.is_dir():
        return False
    return any(read_object(place.store, name) is not None for name in _ZARR_ROOTS)


def _content(place: Place) -> list[str]:
    try:
        return [name for name in list_top(place.store) if not name.startswith(_MARK)]
    except OSError as error:
        raise StoreUnusable(f"store {place.name} cannot be read: {error}. Give a store= that you may write to") from error


def clear(place: Place) -> None:
    """Leave an empty Zarr group. That is written first: a reader, or a kill half way, finds no wrong data."""
    content = _content(place)
    write_objects(place.store, {ROOT: EMPTY_ROOT})
    if place.folder is None:
        delete_objects(place.store, [key for key in list_objects(place.store) if key != ROOT and not key.startswith(_MARK)])
        return
    for name in content:
        entry = place.folder / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif name != ROOT:
            entry.unlink()
