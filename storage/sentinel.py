"""Whether two processes mean the same store: one writes a mark, the other looks for it."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Mapping
from typing import Any

from eventsnn.storage.errors import StoreUnusable
from eventsnn.storage.objects import delete_objects, read_object, write_objects
from eventsnn.storage.targets import SENTINEL, Target, resolve


def write_sentinel(target: Target, storage_options: Mapping[str, Any] | None = None) -> str:
    """Leave a mark at the target (made if it is not there) and return its token, for check_sentinel in another process."""
    place, token = resolve(target, storage_options), secrets.token_hex(8)
    try:
        write_objects(place.store, {SENTINEL + token: b""})
    except OSError as error:
        raise StoreUnusable(f"store {place.name} cannot be written: {error}. Give a store= that you may write to") from error
    return token


def check_sentinel(target: Target, token: str, storage_options: Mapping[str, Any] | None = None) -> None:
    """Raise StoreUnusable where this process does not see the mark: its file system is not the one of the client."""
    place = resolve(target, storage_options, read_only=True)
    try:
        seen = read_object(place.store, SENTINEL + token) is not None
    except OSError:
        seen = False
    if not seen:
        raise StoreUnusable(
            f"store {place.name} on {socket.gethostname()} is not the one that the client sees: "
            "give a path on a file system that the client and the workers share, or a URL such as 's3://bucket/run.zarr'"
        )


def remove_sentinel(target: Target, token: str, storage_options: Mapping[str, Any] | None = None) -> None:
    """Take the mark away, and the folder too where nothing else came into it."""
    place = resolve(target, storage_options)
    delete_objects(place.store, [SENTINEL + token])
    if place.folder is not None:
        with contextlib.suppress(OSError):
            place.folder.rmdir()
