"""Checkpoints of a run: when they are made, and how the parts make one together."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventsnn.scheduler.links import Links
from eventsnn.spec import Layout, NetworkSpec
from eventsnn.storage.checkpoints import Checkpoint, Checkpoints
from eventsnn.storage.errors import StoreError
from eventsnn.storage.recorder import Since
from eventsnn.storage.targets import Target

if TYPE_CHECKING:
    from eventsnn.part import Part
    from eventsnn.scheduler.recording import Recording

FORMAT = 1
"""Of what a checkpoint holds."""
COUNTS = b"counts"
"""What parts tell each other when they are done with a checkpoint; part 0 is done when it counts."""
Note = Mapping[str, Any]
"""JSON that a client wants back with a checkpoint."""


@dataclass(frozen=True)
class Pace:
    """When checkpoints are made by themselves."""

    steps: int = 0
    """At multiples of so many steps; 0: not by them."""
    seconds: float = math.inf
    """So long after the last."""


@dataclass(frozen=True)
class Start:
    """Where a simulation goes on that was stored: at a checkpoint, or, without one, at the beginning."""

    name: str | None
    step: int
    rows: Mapping[str, int]
    """Of every recorded array."""
    serial: int
    """Checkpoints that were made before."""
    note: Note

    @staticmethod
    def of(checkpoint: Checkpoint | None) -> Start:
        if checkpoint is None:
            return Start(None, 0, {}, 0, {})
        m = checkpoint.manifest
        return Start(checkpoint.name, int(m["step"]), dict(m["rows"]), int(m["serial"]), dict(m["note"]))

    @property
    def since(self) -> Since:
        return Since(self.step, self.rows)


class Keeper:
    """Makes the checkpoints of one part; all parts make each of theirs at the same step, under the same name."""

    def __init__(
        self,
        target: Target,
        spec: NetworkSpec,
        layout: Layout,
        rank: int,
        pace: Pace,
        serial: int,
        recording: Recording | None,
    ) -> None:
        """`serial`: of the last checkpoint; `recording`: of part 0, which completes them."""
        self._store = Checkpoints(target)
        self._spec, self._layout, self._rank, self._pace, self._serial = spec, layout, rank, pace, serial
        self._recording = recording
        self._last = time.monotonic()
        self.note: Note = {}

    def next(self, step: int) -> int:
        """The step of the next scheduled checkpoint after `step`."""
        every = self._pace.steps
        return (step // every + 1) * every if every else 1 << 62

    def scheduled(self, step: int) -> bool:
        return bool(self._pace.steps) and step % self._pace.steps == 0

    @property
    def due(self) -> bool:
        """Whether this part finds that it is time; one says so for all."""
        return self._rank == 0 and time.monotonic() - self._last >= self._pace.seconds

    def make(self, part: Part, links: Links | None) -> None:
        """Returns when the checkpoint counts."""
        self._serial += 1
        name = f"{self._serial:06d}_step_{part.step}"
        slices = [(s.population, s.start, s.stop) for s in self._layout[self._rank]]
        entry = {**self._store.write(name, self._rank, part.state()), "slices": slices}
        packet = json.dumps(entry).encode()
        peers = () if links is None else links.peers
        answers = [] if links is None else links.exchange(part.step, [packet] * len(peers))
        if self._recording is not None:
            try:
                entries = {self._rank: entry, **{p: json.loads(bytes(a)) for p, a in zip(peers, answers, strict=True)}}
            except ValueError as error:
                raise StoreError(f"checkpoint {name}: a part did not say what it had written: {error}") from error
            self._complete(name, part.step, [entries[rank] for rank in sorted(entries)])
        if links is not None:
            links.exchange(part.step, [COUNTS] * len(peers), len(COUNTS))
        self._last = time.monotonic()

    def _complete(self, name: str, step: int, files: list[Mapping[str, Any]]) -> None:
        assert self._recording is not None
        self._recording.commit(step)
        manifest = {
            "format": FORMAT,
            "step": step,
            "time_ms": round(step * self._spec.dt, 10),
            "serial": self._serial,
            "precision": self._spec.precision,
            "neurons": self._spec.size,
            "rows": self._recording.recorder.rows(),
            "note": self.note,
            "files": files,
        }
        self._store.complete(name, manifest)


def pieces(target: Target, name: str, layout: Layout, rank: int) -> Iterator[Mapping[str, Any]]:
    """What a checkpoint holds of the neurons of a part, file by file; CheckpointGone where it is there no more.

    A later one may be there besides: a part that was given up, and did not know it yet, may have completed it.
    """
    mine = layout[rank]

    def wanted(entry: Mapping[str, Any]) -> bool:
        return any(p == s.population and start < s.stop and stop > s.start for p, start, stop in entry["slices"] for s in mine)

    return Checkpoints(target).get(name).load(wanted)
