"""A store as its readers should see it: a chunk that is gone is an error, where Zarr would read zeros."""

from __future__ import annotations

import json
from typing import Any

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from eventsnn.storage.errors import StoreMissing
from eventsnn.storage.shards import OBJECT, holds_rows
from eventsnn.storage.targets import ROOT


class WatchfulStore(WrapperStore[Store]):
    """Remembers the commit record that it handed out last, and raises StoreMissing where an object that it speaks of is gone.

    Objects of rows before a group's first_row may be gone at any time.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._nodes: dict[str, Any] = {}

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        found = await self._store.get(key, prototype, byte_range)
        if found is not None and key == ROOT:
            self._nodes = json.loads(found.to_bytes())["consolidated_metadata"]["metadata"]
        if found is None and self._speaks_of(key):
            raise StoreMissing(
                f"{key} of {self._store} is gone: since the store was opened, its run has dropped old rows, gone back, or been "
                "packed; open it again with snn.open"
            )
        return found

    def _speaks_of(self, key: str) -> bool:
        chunk = OBJECT.fullmatch(key)
        if chunk is None or chunk[1] not in self._nodes:
            return False
        first = self._nodes[chunk[1].rpartition("/")[0]]["attributes"].get("first_row", 0)
        return holds_rows(self._nodes[chunk[1]], int(chunk[2]), first)
