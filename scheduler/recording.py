"""The store of a run: who may write it is settled before anything is built, and it is opened when everything is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eventsnn.scheduler.engine import Columns
from eventsnn.scheduler.records import RecordReceiver
from eventsnn.spec import NetworkSpec
from eventsnn.storage.recorder import Recorder
from eventsnn.storage.sentinel import check_sentinel, remove_sentinel, write_sentinel
from eventsnn.storage.targets import Target, missing_folders, remove_folders, require_free, resolve

COMMIT = 300.0
"""Seconds that a commit may take."""


@dataclass(frozen=True)
class Request:
    """A store that is wanted: where, what its root says, and whether it may replace another one."""

    target: Target
    attrs: Mapping[str, Any]
    overwrite: bool
    token: str | None = None
    """A sentinel's, which whoever writes the store must find there."""

    def absolute(self) -> Request:
        """The same store, whatever the current folder of who opens it."""
        if not isinstance(self.target, (str, os.PathLike)) or not self.target or "://" in os.fspath(self.target):
            return self
        return replace(self, target=os.path.abspath(os.path.expanduser(os.fspath(self.target))))

    def check(self) -> None:
        """Raises StoreExists or StoreUnusable where opening would; leaves nothing behind."""
        if self.target is None:
            return
        place = resolve(self.target)
        require_free(place, self.overwrite)
        made = missing_folders(place)
        try:
            remove_sentinel(self.target, write_sentinel(self.target))
        finally:
            remove_folders(made)

    def marked(self) -> Request:
        return replace(self, token=write_sentinel(self.target))

    def unmark(self) -> None:
        if self.token is not None:
            remove_sentinel(self.target, self.token)


class Recording:
    """The recorder of a run, and the receivers of the parts that live elsewhere."""

    def __init__(self, request: Request, spec: NetworkSpec, columns: Sequence[Columns]) -> None:
        """`columns`: of each part."""
        if request.token is not None:
            check_sentinel(request.target, request.token)
        attrs = {"seed": spec.seed, **request.attrs}
        self.recorder = Recorder(
            request.target, spec.recordings, attrs, dt=spec.dt, parts=len(columns), overwrite=request.overwrite
        )
        self.receivers: list[RecordReceiver] = []
        for rank, owned in enumerate(columns):
            for table, positions in owned.items():
                self.recorder.layout(rank, table, positions)

    def commit(self, step: int) -> None:
        """Returns when the rows of all parts up to `step` are in the store."""
        until = time.monotonic() + COMMIT
        for receiver in self.receivers:
            receiver.wait(step, until)
        self.recorder.commit(step, COMMIT)

    def close(self, whole: bool) -> None:
        """`whole`: commits what all parts have reported, and raises where that fails."""
        for receiver in self.receivers:
            receiver.close()
        self.recorder.close(finalise=whole)
