"""Which part goes where: functions (layout, places) -> index of a place for each part."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

from eventsnn.devices import Gpu
from eventsnn.scheduler.errors import PlanError
from eventsnn.spec import Layout


@dataclass(frozen=True)
class Place:
    """A process that parts can live in."""

    address: str
    """Of the Dask worker; "here" for this process."""
    host: str
    threads: int
    memory_limit: int
    """Bytes; 0: unknown."""
    gpu: Gpu | str = "nobody looked for one"
    """Of this process, or why it has none that can be used."""


Placement = Callable[[Layout, Sequence[Place]], Sequence[int]]


def in_order(layout: Layout, places: Sequence[Place]) -> tuple[int, ...]:
    """Part 0 to the first place, part 1 to the second, and round again."""
    return tuple(rank % len(places) for rank in range(len(layout)))


def placed(chosen: Sequence[int], layout: Layout, places: Sequence[Place], alone: bool) -> tuple[int, ...]:
    """The choice of a placement function, checked; `alone`: a place takes one part only."""
    if not isinstance(chosen, Iterable) or not all(isinstance(index, Integral) for index in chosen):
        raise PlanError(f"the placement function returned {chosen!r}; it must return the index of a place for each part")
    if len(chosen) != len(layout):
        raise PlanError(f"the placement function chose {len(chosen)} places for {len(layout)} parts")
    for rank, index in enumerate(chosen):
        if not 0 <= index < len(places):
            raise PlanError(f"the placement function put part {rank} at place {index}; there are {len(places)}, from 0")
    if alone and len(set(chosen)) < len(chosen):
        raise PlanError(
            f"the placement function put several parts at one worker: {tuple(chosen)}; a worker process takes one part"
        )
    return tuple(int(index) for index in chosen)


def here(threads: int, gpu: Gpu | str = "nobody looked for one") -> Place:
    """This process."""
    return Place("here", socket.gethostname(), threads, _memory(), gpu)


def _memory() -> int:
    """Bytes that this process may use: the machine's, or fewer where its control group says so."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no control group, or no limit ("max")
        limit = min(limit, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return limit
