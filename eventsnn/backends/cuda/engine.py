"""A part on a GPU: many steps without the host, which then takes their spikes and exchanges them with the peers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.exchange import LAST, LOST_PEER, Crossing, PeerLost
from eventsnn.backends.cpu.exchange import STEP as PACKET_STEP
from eventsnn.backends.cpu.memory import COUNT as ITEMS
from eventsnn.backends.cpu.memory import append, contents, release
from eventsnn.backends.cuda.block import Block
from eventsnn.backends.cuda.device import give_back, put, to_host, told
from eventsnn.backends.cuda.kernels import CAPACITY, COUNT, FULL, GIVEN, RUN, SIZE, STEP, UNTIL, WORST
from eventsnn.backends.cuda.plastic import Plastic
from eventsnn.backends.cuda.steps import Steps
from eventsnn.backends.snapshot import Pending
from eventsnn.errors import DeviceError
from eventsnn.spec import NetworkSpec, Slice

I8 = npt.NDArray[np.int64]
OWN, REMOTE = 1, 2
GLANCE = 4096
"""Spikes that are read along with the control array."""


class Device:
    """The block of a part, the log of its spikes, and what is exchanged with peers."""

    number = 1
    """Threads of the host that compute."""

    def __init__(self, spec: NetworkSpec, slices: Sequence[Slice]) -> None:
        with told():
            self.blocks = [Block(spec, slices)]
        self.spikes = 0
        self._kept: list[I8] = []
        self._recorded = any(r.what == "spikes" for r in spec.recordings)
        self._crossing: Crossing | None = None
        self._epoch = 1
        self.lists = np.zeros((3, 3), np.int64)
        self.lists[0, ITEMS] = REMOTE
        self._stale = True
        self.refresh(0)

    @property
    def _block(self) -> Block:
        return self.blocks[0]

    def cross(self, crossing: Crossing | None, epoch: int) -> None:
        """Exchange spikes with peers every `epoch` steps."""
        self._crossing, self._epoch = crossing, epoch
        if crossing is not None:
            self._block.cross()
        for s in self._block.samplers:
            s.reserve(epoch // s.spec.every + 1)
        self._stale = True

    def learn(self, projection: int, factor: float, now: int) -> None:
        """From now on weights change by `factor` times what the rule says."""
        with told():
            self._receive()
            for p in self._changing(projection):
                p.learn(factor, now)

    def make_up(self, projection: int, now: int) -> None:
        """Weights that change get ready to be read: all that reached them up to `now` is in them."""
        with told():
            self._receive()
            for p in self._changing(projection):
                p.make_up(now)

    def _changing(self, projection: int) -> list[Plastic]:
        found = self._block.incoming.plastic
        return [found[projection]] if projection in found else []

    def stale(self) -> None:
        """Parameters, injected spikes or weights have changed: launches are made anew before the next step."""
        self._stale = True

    def refresh(self, now: int) -> None:
        """Make the launches of a step, if anything has changed."""
        if not self._stale:
            return
        with told():
            self._steps = self._block.steps(now, self._epoch)
            self._allow(now, now)
            self._steps.compile()  # now: later, peers would wait for it
        self._stale = False

    def set_weights(self, projection: int, pieces: Sequence[npt.NDArray[np.float64]], now: int) -> None:
        """New weights, in order (target, k), for spikes from now on; those that peers sent keep the old ones."""
        with told():
            self._receive()
            self._steps = Steps()  # it holds the old synapses
            self._block.set_weights(projection, pieces[0], now)
        self._stale = True

    def advance(self, now: int, until: int) -> int:
        """From step `now` to `until`; the step that was reached. Raises PeerLost, MemoryError."""
        with told():
            return self._advance(now, until)

    def _advance(self, now: int, until: int) -> int:
        for s in self._block.samplers:
            s.since = now
        while now < until:
            end = until if self._crossing is None else min(until, now + self._epoch)
            while now < end:
                now = self._segment(now, end)
            if self._crossing is not None:
                self._exchange(self._crossing, now)
        return now

    def _allow(self, now: int, until: int, given: int = 0) -> None:
        control = np.zeros(SIZE, np.int64)
        control[[STEP, UNTIL, CAPACITY, WORST, RUN]] = now, until, len(self._block.log), self._block.worst, until > now
        control[GIVEN] = given
        put(self._block.control, control)

    def _segment(self, now: int, until: int) -> int:
        """Steps until the end, or until the log has no room for one more."""
        self._allow(now, until, self._mail())
        self._steps.run(until - now)
        words = to_host(self._block.words[: SIZE + GLANCE])
        control, n = words[:SIZE], int(words[COUNT])
        self.spikes += n
        if n and (self._recorded or self._crossing is not None):
            items = (words[SIZE : SIZE + n] if n <= GLANCE else to_host(self._block.log[:n])).copy()  # pinned memory is scarce
            if self._recorded:
                self._kept.append(items)
            if self._crossing is not None:
                append(self.lists[OWN], items.view(np.uint64))
        reached = int(control[STEP])
        if control[FULL]:
            raise self._block.incoming.plastic[int(control[FULL]) - 1].full(reached)
        if reached == now:
            raise DeviceError(f"the GPU did not advance beyond step {now}; its kernels did not run")
        return reached

    def _exchange(self, crossing: Crossing, now: int) -> None:
        crossing.state[LAST], crossing.state[PACKET_STEP] = 1, now
        status = int(crossing.operation.code.call(crossing.operation.row.ctypes.data, self.lists.ctypes.data))
        self.lists[OWN, ITEMS] = 0
        if status & LOST_PEER:
            raise PeerLost(*crossing.lost())
        if status:
            raise MemoryError(f"no memory for the spikes of other parts after step {now}")

    def _mail(self) -> int:
        """Lay the spikes that peers sent before the device; how many they are. What has no room is delivered at once."""
        n, room = int(self.lists[REMOTE, ITEMS]), len(self._block.mail)
        if not n:
            return 0
        items = contents(self.lists[REMOTE]).view(np.int64)
        while len(items) > room:
            put(self._block.mail, items[:room])
            self._allow(0, 0, room)
            self._steps.take()
            items = items[room:]
        put(self._block.mail[: len(items)], items)
        self.lists[REMOTE, ITEMS] = 0
        return len(items)

    def _receive(self) -> None:
        """Deliver the spikes that peers sent."""
        n = self._mail()
        if n:
            self._allow(0, 0, n)
            self._steps.take()

    def pending(self, now: int) -> list[Pending]:
        """All input that is on its way, of the block."""
        with told():
            self._receive()
            return [self._block.pending(now)]

    def resume(self, pending: Sequence[Pending], now: int) -> None:
        """Go on from step `now` with this input on its way; states and counts have been set."""
        with told():
            self._block.carry(pending[0], now)
            self.spikes = int(self._block.neurons.spikes.sum())
        self._stale = True

    def recorded(self) -> npt.NDArray[np.uint64]:
        """Spikes since the last call, sorted: step << 32 | id."""
        items = np.concatenate([np.empty(0, np.int64), *self._kept]).view(np.uint64)
        self._kept = []
        items.sort()
        return items

    def close(self) -> None:
        """Give memory back."""
        release(self.lists[1:])
        if self._crossing is not None:
            self._crossing.close()
        self.blocks, self._steps = [], Steps()
        give_back()
