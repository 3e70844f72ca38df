"""What can be wrong with a store: before a run (the user's to mend, ValueError) and during one (RuntimeError)."""

from __future__ import annotations

from eventsnn.errors import EventsnnError


class StoreExists(EventsnnError, ValueError):
    """The store is already there, and overwrite=True was not given."""


class StoreMissing(EventsnnError, ValueError):
    """There is no store to read."""


class StoreUnusable(EventsnnError, ValueError):
    """The target is no store, cannot be written, or is not seen by the process that would write it."""


class StoreError(EventsnnError, RuntimeError):
    """Recording stopped: the store could not be written, or the rows that arrived were not what was announced."""
