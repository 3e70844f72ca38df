"""What can be wrong with a store: before a run (the user's to mend, ValueError) and during one (RuntimeError)."""

from __future__ import annotations

import errno

from eventsnn.errors import EventsnnError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StoreExists(EventsnnError, ValueError):
    """The store is already there, and overwrite=True was not given."""


class StoreMissing(EventsnnError, ValueError):
    """There is no store to read."""


class StoreUnusable(EventsnnError, ValueError):
    """The target is no store, cannot be written, or is not seen by the process that would write it."""


class StoreError(EventsnnError, RuntimeError):
    """Recording stopped: the store could not be written, or the rows that arrived were not what was announced."""


class CheckpointGone(StoreError):
    """A checkpoint is not there, or not whole, any more."""


class StoreTaken(StoreError):
    """Another process writes the store now, or has removed it."""


def advice(failure: BaseException) -> str:
    """What to do about a write that failed."""
    if isinstance(failure, OSError) and failure.errno in _FULL:
        return "Free space, or give a store= elsewhere"
    if isinstance(failure, OSError):
        return "Make the store writable, or give a store= elsewhere"
    return "The cause is attached to this exception"
