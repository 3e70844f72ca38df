"""The store of a run: who may write it is settled before anything is built, and it is opened when everything is."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.scheduler.engine import Columns
from eventsnn.scheduler.keeping import Pace, Start
from eventsnn.scheduler.records import RecordReceiver
from eventsnn.spec import ListedSynapses, NetworkSpec, RecordingSpec, SynapseRecording
from eventsnn.storage.checkpoints import Checkpoints
from eventsnn.storage.objects import write_objects
from eventsnn.storage.recorder import Recorder
from eventsnn.storage.sentinel import check_sentinel, remove_sentinel, write_sentinel
from eventsnn.storage.targets import Target, missing_folders, remove_folders, require_free, resolve

NETWORK = "network"
"""Folder, in the store, of the arrays of the network that its description only names."""
COMMIT = 300.0
"""Seconds that a commit may take."""


@dataclass(frozen=True)
class Request:
    """A store that is wanted: where, what its root says, and whether it may replace another one."""

    target: Target
    attrs: Mapping[str, Any]
    overwrite: bool
    pace: Pace
    start: Start | None = None
    """Where a stored run goes on; None: a new store."""
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
        if self.start is None:
            require_free(place, self.overwrite)
        made = missing_folders(place)
        try:
            remove_sentinel(self.target, write_sentinel(self.target))
        finally:
            remove_folders(made)

    @staticmethod
    def keep(target: object, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keeps arrays of the network in the store, by name."""
        objects = {}
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            objects[f"{NETWORK}/{name}.npy"] = buffer.getvalue()
        write_objects(resolve(target).store, objects)  # type: ignore[arg-type]

    def marked(self) -> Request:
        return replace(self, token=write_sentinel(self.target))

    def unmark(self) -> None:
        if self.token is not None:
            remove_sentinel(self.target, self.token)

    def found(self) -> None:
        """Raises StoreUnusable in a process that does not see the store that the client marked."""
        if self.token is not None:
            check_sentinel(self.target, self.token)


def _listed(
    recording: SynapseRecording, columns: Sequence[Columns], table: int
) -> tuple[ListedSynapses, list[npt.NDArray[np.int64]]]:
    """The synapses of all parts by target, then as drawn; and where those of each part stand among them."""
    sources, targets = np.concatenate([owned[table] for owned in columns], axis=1).astype(np.int32)
    order = np.argsort(targets, kind="stable")
    positions = np.empty(len(order), np.int64)
    positions[order] = np.arange(len(order))
    sizes = [owned[table].shape[1] for owned in columns]
    return ListedSynapses(**vars(recording), sources=sources[order], targets=targets[order]), np.split(
        positions, np.cumsum(sizes)[:-1]
    )


class Recording:
    """The recorder of a run, and the receivers of the parts that live elsewhere."""

    def __init__(self, request: Request, spec: NetworkSpec, columns: Sequence[Columns]) -> None:
        """`columns`: of each part."""
        attrs = {"seed": spec.seed, "precision": spec.precision, **request.attrs}
        synapses = [_listed(r, columns, len(spec.recordings) + k) for k, r in enumerate(spec.synapse_recordings)]
        tables: list[RecordingSpec | ListedSynapses] = [*spec.recordings, *(table for table, _ in synapses)]
        since = request.start.since if request.start is not None else None
        self.recorder = Recorder(
            request.target, tables, attrs, dt=spec.dt, parts=len(columns), overwrite=request.overwrite, since=since
        )
        if request.start is not None:
            Checkpoints(self.recorder.store).sweep(request.start.name)
        self.receivers: list[RecordReceiver] = []
        for rank, owned in enumerate(columns):
            for k in range(len(spec.recordings)):
                if k in owned:
                    self.recorder.layout(rank, k, owned[k].astype(np.int64))
            for k, (_, positions) in enumerate(synapses):
                self.recorder.layout(rank, len(spec.recordings) + k, positions[rank])

    def aim(self, until: int) -> None:
        """The step that the run which begins now is to reach."""
        self.recorder.aim(until)

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
