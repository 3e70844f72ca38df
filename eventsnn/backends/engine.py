"""What a part asks of a backend, and the one place that chooses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.backends.snapshot import Pending
from eventsnn.spec import NetworkSpec, Slice

I8 = npt.NDArray[np.int64]


class Engine(Protocol):
    """The neurons and synapses of a part, and how they advance."""

    @property
    def number(self) -> int:
        """Threads of the host that compute."""
        ...

    @property
    def spikes(self) -> int:
        """Spikes so far."""
        ...

    @property
    def blocks(self) -> Sequence[Any]:
        """What holds neurons, for access.py and collect.py."""
        ...

    @property
    def lists(self) -> I8:
        """Spike lists (address, capacity, count); the last takes those of the peers."""
        ...

    def cross(self, crossing: Any, epoch: int) -> None:
        """Exchange spikes with peers every `epoch` steps."""
        ...

    def stale(self) -> None:
        """What programs were made from has changed."""
        ...

    def refresh(self, now: int) -> None:
        """Make programs anew, if they are stale."""
        ...

    def advance(self, now: int, until: int) -> int:
        """From step `now` towards `until`; the step that was reached. Raises PeerLost, MemoryError."""
        ...

    def set_weights(self, projection: int, pieces: Sequence[npt.NDArray[np.float64]], now: int) -> None:
        """New weights for spikes from now on, one array per block in order (target, k)."""
        ...

    def learn(self, projection: int, factor: float, now: int) -> None:
        """From now on weights of this projection change by `factor` times what their rule says."""
        ...

    def make_up(self, projection: int, now: int) -> None:
        """All that has changed weights up to `now` is in them."""
        ...

    def pending(self, now: int) -> list[Pending]:
        """All input that is on its way after step `now`, by block."""
        ...

    def resume(self, pending: Sequence[Pending], now: int) -> None:
        """Go on from step `now` with this input on its way; states, counts and weights have been set."""
        ...

    def recorded(self) -> npt.NDArray[np.uint64]:
        """Spikes since the last call, sorted: step << 32 | id."""
        ...

    def close(self) -> None: ...


def make_engine(backend: str, spec: NetworkSpec, slices: Sequence[Slice], threads: int, name: str) -> Engine:
    """The engine of a backend, "cpu" or "cuda"."""
    if backend == "cuda":
        from eventsnn.backends.cuda.engine import Device

        return Device(spec, slices)
    from eventsnn.backends.cpu.threads import Threads

    return Threads(spec, slices, threads, name)
