"""The threads of a part: what they share, and one call that advances all of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu import engine
from eventsnn.backends.cpu.block import LARGEST, Block
from eventsnn.backends.cpu.exchange import LOST_PEER, Crossing, PeerLost
from eventsnn.backends.cpu.memory import COUNT, release, take
from eventsnn.backends.cpu.operation import Operation
from eventsnn.backends.snapshot import Pending, rolled, unrolled
from eventsnn.spec import NetworkSpec, Slice

I8 = npt.NDArray[np.int64]
FEWEST = 256
"""Neurons below which another thread costs more than it brings."""
LONGEST = 1024
"""Steps of an epoch within a part, at most."""


class Threads:
    """Blocks, the spike lists between them, and the threads that run them."""

    def __init__(self, spec: NetworkSpec, slices: Sequence[Slice], threads: int, name: str) -> None:
        neurons = sum(s.stop - s.start for s in slices)
        self.number = max(1, min(threads, neurons // FEWEST))
        self._pool = ThreadPoolExecutor(self.number, thread_name_prefix=name)
        self._clock = np.zeros(1, np.int64)
        n = self.number * -(-neurons // (self.number * LARGEST)) if neurons else 1
        self.blocks = [Block(spec, pieces, self._clock) for pieces in _cut(slices, n)]
        list(self._pool.map(Block.build, self.blocks))
        self._control = np.zeros(engine.SIZE, np.int64)
        delays = [delay for p in spec.projections for delay in (p.min_delay, *(p.modulator or ())[1:])]
        within = min(delays, default=LONGEST)
        self._control[engine.THREADS], self._control[engine.EPOCH] = self.number, max(1, min(within, LONGEST))
        self._producers = np.zeros((2, n + 2, 3), np.int64)
        self._producers[:, 0, COUNT] = n + 1
        self._parities, self._totals, self._logs = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros((n, 3), np.int64)
        self.plastic = {k for k, p in enumerate(spec.projections) if p.plasticity is not None}
        self._crossing: Crossing | None = None
        self._stale = True
        self.refresh(0)
        self.advance(0, 0)  # nothing to do, but compiled from here on: a run never waits for the compiler

    @property
    def spikes(self) -> int:
        """Spikes so far."""
        return int(self._totals.sum())

    @property
    def lists(self) -> I8:
        """The spike lists of the last epoch, which the next one pushes first; the last is that of the peers."""
        lists: I8 = self._producers[int(self._control[engine.PARITY])]
        return lists

    def cross(self, crossing: Crossing | None, epoch: int) -> None:
        """Exchange spikes with peers every `epoch` steps."""
        self._crossing = crossing
        self._control[engine.CROSS] = epoch
        for s in (s for b in self.blocks for s in b.samplers):
            s.reserve(epoch // s.spec.every + 1)
        self._stale = True

    def stale(self) -> None:
        """Parameters, injected spikes or weights have changed: programs are made anew before the next step."""
        self._stale = True

    def set_weights(self, projection: int, pieces: Sequence[npt.NDArray[np.float64]], now: int) -> None:
        """New weights for spikes from now on, one array per block in order (target, k); spikes under way keep the old ones."""
        if projection in self.plastic:
            for b, values in zip(self.blocks, pieces, strict=True):
                b.learned(projection, values, now)
            return
        lists = self.lists
        for b, values in zip(self.blocks, pieces, strict=True):
            b.set_weights(projection, values, lists, now)
        lists[1:, COUNT] = 0
        self._stale = True

    def learn(self, projection: int, factor: float, now: int) -> None:
        """From now on weights change by `factor` times what their rule says."""
        for b in self.blocks:
            if projection in b.incoming.plastic:
                b.incoming.plastic[projection].learn(factor, now)

    def make_up(self, projection: int, now: int) -> None:
        """Weights that change get ready to be read: all that reached them up to `now` is in them."""
        for b in self.blocks:
            if projection in b.incoming.plastic:
                b.incoming.plastic[projection].make_up(now)

    def pending(self, now: int) -> list[Pending]:
        """All input that is on its way, by block; it is kept ready in one ring per accumulator until it has been delivered."""
        lists = self.lists
        list(self._pool.map(lambda b: b.carry(b.settle(lists, now), now), self.blocks))
        lists[1:, COUNT] = 0
        self._stale = True
        return [{k: unrolled(ring, now) for k, ring in b.carried.items()} for b in self.blocks]

    def resume(self, pending: Sequence[Pending], now: int) -> None:
        """Go on from step `now` with this input on its way; states, counts and weights have been set."""
        for b, rows in zip(self.blocks, pending, strict=True):
            size = 1 << max((len(r) for r in rows.values()), default=0).bit_length()
            b.carry({k: rolled(r, now, size) for k, r in rows.items()}, now)
        self._totals[:] = [b.neurons.counts.sum() for b in self.blocks]
        self._stale = True

    def refresh(self, now: int) -> None:
        """Make the programs of all blocks, if anything has changed."""
        for block in self.blocks:
            self._stale |= block.shed(now)
        if not self._stale:
            return
        steps = []
        for b, block in enumerate(self.blocks):
            lists = (self._producers[0, 1 + b], self._producers[1, 1 + b])
            steps.append(block.step_program(lists, self._parities[b : b + 1], self._logs[b], now))
        pushes = [b.push_program() for b in self.blocks]
        self._keep = (pushes, steps)
        self._programs = np.array([(*p.place, *s.place) for p, s in zip(pushes, steps, strict=True)], np.int64)
        self._stale = False

    def advance(self, now: int, until: int) -> int:
        """From step `now` towards `until`; the step that was reached. Raises PeerLost, MemoryError."""
        self._control[engine.STEP], self._control[engine.UNTIL] = now, until
        self._clock[0] = now + 1
        for s in (s for b in self.blocks for s in b.samplers):
            s.rows[0] = 0
        crossing = (0, 0, 0) if self._crossing is None else self._crossing.place()
        head = (len(self.blocks), self._programs, self._parities, self._totals, self._producers)
        run = Operation(engine.ADVANCE, self._control, *head, *crossing)
        for f in [self._pool.submit(run.run, k) for k in range(self.number)]:
            f.result()
        step, self._control[engine.PARITY] = self._control[engine.REACHED], self._control[engine.NEXT_PARITY]
        status = int(self._control[engine.STATUS])
        if status & LOST_PEER and self._crossing is not None:
            raise PeerLost(*self._crossing.lost())
        if status:
            raise MemoryError(f"no memory for the spikes and pending input after step {step}")
        return int(step)

    def recorded(self) -> npt.NDArray[np.uint64]:
        """Spikes of recorded neurons since the last call, sorted: step << 32 | id."""
        items = np.concatenate([take(row) for row in self._logs])
        items.sort()
        return items

    def close(self) -> None:
        """Stop the threads and give memory back."""
        self._pool.shutdown(wait=True)
        for rows in (*self._producers, self._logs):
            release(rows)
        if self._crossing is not None:
            self._crossing.close()
        for b in self.blocks:
            b.close()


def _cut(slices: Sequence[Slice], n: int) -> list[list[Slice]]:
    """Every slice in n pieces, one for each block; what is left over goes round, so that blocks differ by one neuron at most."""
    out: list[list[Slice]] = [[] for _ in range(n)]
    turn = 0
    for s in slices:
        each, over = divmod(s.stop - s.start, n)
        start = s.start
        for b in range(n):
            size = each + ((b - turn) % n < over)
            if size:
                out[b].append(Slice(s.population, start, start + size))
            start += size
        turn = (turn + over) % n
    return out
