"""A part: all slices of one process, the threads that advance them, and what the outside may read and change between runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu import engine
from eventsnn.backends.cpu.block import LARGEST, Block
from eventsnn.backends.cpu.connect import Draws, buffers, list_connections
from eventsnn.backends.cpu.exchange import LOST_PEER, WHY, Crossing
from eventsnn.backends.cpu.memory import release, take
from eventsnn.backends.cpu.strands import LIMIT, grid
from eventsnn.spec import Columns, CurrentStimulus, Equations, Layout, NetworkSpec, PoissonSource, PoissonStimulus, Slice
from eventsnn.values import bounds

I8 = npt.NDArray[np.int64]
FEWEST = 256
"""Neurons below which another thread costs more than it brings."""
SEGMENT_SECONDS = 0.15
"""Wall time after which a run looks up: recordings are handed on, progress is told, a stop is noticed."""


class Links(Protocol):
    """Connections to the parts in other processes (scheduler/links.py)."""

    peers: tuple[int, ...]
    fds: npt.NDArray[np.int32] | None
    deadline: float
    generation: int

    def exchange(self, step: int, packets: Sequence[memoryview]) -> list[memoryview]: ...
    def lost(self, peer: int, step: int, why: str) -> Exception: ...
    def close(self) -> None: ...


class Sink(Protocol):
    """Who takes recorded rows (storage.Recorder, or a channel to it)."""

    def put(self, part: int, step: int, chunks: Mapping[int, Any]) -> None: ...


class Part:
    """Builds the slices of one rank and runs them."""

    def __init__(self, spec: NetworkSpec, layout: Layout, rank: int, threads: int) -> None:
        began = time.perf_counter()
        self.spec, self.layout, self.rank = spec, layout, rank
        self.step = 0
        self._spikes = 0
        self._links: Links | None = None
        self._seconds = {"wall": 0.0, "exchange": 0.0, "record": 0.0}
        neurons = sum(s.stop - s.start for s in layout[rank])
        self.threads = max(1, min(threads, neurons // FEWEST))
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix=f"eventsnn-{rank}")
        self._clock = np.zeros(1, np.int64)
        n_blocks = self.threads * -(-neurons // (self.threads * LARGEST)) if neurons else 1
        self.blocks = [Block(spec, _cut(layout[rank], b, n_blocks), self._clock) for b in range(n_blocks)]
        list(self._pool.map(Block.build, self.blocks))
        self._control = np.zeros(engine.SIZE, np.int64)
        self._producers = np.zeros((2, n_blocks + 2, 3), np.int64)
        self._producers[:, 0, 2] = n_blocks + 1
        self._parities = np.zeros(n_blocks, np.int64)
        self._totals = np.zeros(n_blocks, np.int64)
        self._logs = np.zeros((n_blocks, 3), np.int64)
        self._crossing: Crossing | None = None
        self._epoch = 0
        self._stale = True
        self._closed = False
        self._within = min((p.min_delay for p in spec.projections), default=1 << 20)
        self._record_ids = self._recorded_ranges()
        self._refresh()
        self._advance(0)  # nothing to do, but compiled from here on: a run never waits for the compiler
        self._seconds["build"] = time.perf_counter() - began

    # ---- links

    def _ids(self, rank: int) -> I8:
        """Network-wide ids of a rank's neurons, in the order of its slices."""
        first = [self.spec.populations[s.population].first for s in self.layout[rank]]
        ranges = [np.arange(f + s.start, f + s.stop) for f, s in zip(first, self.layout[rank], strict=True)]
        return np.concatenate([np.empty(0, np.int64), *ranges])

    def wanted(self, rank: int) -> bytes:
        """Which neurons of part `rank` have targets here: packed bits, in the order of its slices."""
        found = np.zeros(self.spec.size, bool)
        for b in self.blocks:
            found |= b.sources()
        return np.packbits(found[self._ids(rank)]).tobytes()

    def connect(self, links: Links, wanted: Mapping[int, bytes], epoch: int) -> None:
        """Exchange spikes over `links` every `epoch` steps; wanted[r] is what part r answered for this part."""
        self._links, self._epoch = links, epoch
        own = self._ids(self.rank)
        n = len(links.peers)
        masks = np.zeros((self.spec.size, (n + 63) // 64), np.uint64)
        for p, rank in enumerate(links.peers):
            bits = np.unpackbits(np.frombuffer(wanted[rank], np.uint8), count=len(own)).astype(np.uint64)
            masks[own, p // 64] |= bits << np.uint64(p % 64)
        fds = np.empty(0, np.int32) if links.fds is None else np.asarray(links.fds, np.int32)
        self._crossing = Crossing(masks, fds, links.generation, links.deadline, n) if n else None
        self._control[engine.CROSS] = epoch

    # ---- running

    @property
    def spikes(self) -> int:
        """Spikes so far."""
        return int(self._totals.sum())

    def run(
        self, until: int, sink: Sink | None, progress: Callable[[int, int], None] | None, stop: threading.Event
    ) -> dict[str, float]:
        """Advance to step `until`; stops early, at the end of an epoch, when `stop` is set.

        Returns seconds by activity, and spikes.
        """
        began = time.perf_counter()
        before = dict(self._seconds)
        self._refresh()
        size = self._longest_segment(until)
        told = began
        while self.step < until and not stop.is_set():
            t = time.perf_counter()
            self._advance(min(until, self.step + size))
            self._hand_on(sink)
            now = time.perf_counter()
            size = self._next_segment(size, now - t, until)
            if progress is not None and (now - told > 0.2 or self.step == until):
                told = now
                progress(self.step, self.spikes)
        self._seconds["wall"] += time.perf_counter() - began
        report = {k: v - before.get(k, 0.0) for k, v in self._seconds.items() if k != "build"}
        report["compute"] = report["wall"] - report["exchange"] - report["record"]
        report["spikes"] = float(self.spikes)
        return report

    def _refresh(self) -> None:
        if not self._stale:
            return
        self._programs = []
        for b, block in enumerate(self.blocks):
            lists = (self._producers[0, 1 + b], self._producers[1, 1 + b])
            self._programs.append(block.step_program(lists, self._parities[b : b + 1], self._logs[b], self.step))
        self._pushes = [b.push_program() for b in self.blocks]
        rows = [
            (p.rows.ctypes.data, len(p.rows), s.rows.ctypes.data, len(s.rows))
            for p, s in zip(self._pushes, self._programs, strict=True)
        ]
        self._table = np.array(rows, np.int64)
        self._stale = False

    def _longest_segment(self, until: int) -> int:
        """Steps that the sample buffers hold; a whole number of cross-part epochs. The first segment of a run is short."""
        samplers = [s for b in self.blocks for s in b.samplers]
        room = min((len(s.samples) * s.spec.every for s in samplers), default=1 << 30)
        self._room = max(1, room)
        if self._crossing is not None:
            self._room = max(self._epoch, self._room // self._epoch * self._epoch)
            if self._links is not None and self._links.fds is None:
                self._room = self._epoch
        return self._next_segment(64, SEGMENT_SECONDS, until)

    def _next_segment(self, size: int, seconds: float, until: int) -> int:
        size = int(max(1, min(size * min(8.0, max(0.125, SEGMENT_SECONDS / max(seconds, 1e-6))), self._room)))
        return max(self._epoch, size // self._epoch * self._epoch) if self._crossing is not None else size

    def _advance(self, until: int) -> None:
        c = self._control
        c[engine.STEP], c[engine.UNTIL], c[engine.THREADS] = self.step, until, self.threads
        c[engine.EPOCH] = max(1, min(self._within, 1024))
        self._clock[0] = self.step + 1
        for b in self.blocks:
            for s in b.samplers:
                s.rows[0] = 0
        crossing = np.zeros(3, np.int64)
        if self._crossing is not None:
            operation = self._crossing.operation
            crossing[:] = operation.code.address, operation.row.ctypes.data, self._crossing.state.ctypes.data
        shared = (self._table, self._parities, self._totals, self._producers, crossing)
        futures = [self._pool.submit(engine.advance, c, k, *shared) for k in range(self.threads)]
        for f in futures:
            self.step, c[engine.PARITY] = f.result()
        self._check_status()
        if self._crossing is not None:
            self._seconds["exchange"] += self._crossing.seconds()
            if self._links is not None and self._links.fds is None:
                self._exchange_in_python(self._links, self._crossing)

    def _check_status(self) -> None:
        status = int(self._control[engine.STATUS])
        if status == 0:
            return
        if status & LOST_PEER and self._links is not None and self._crossing is not None:
            peer, why = self._crossing.lost()
            raise self._links.lost(self._links.peers[peer], self.step, why)
        raise MemoryError(f"part {self.rank}: no memory for the spikes and pending input after step {self.step}")

    def _exchange_in_python(self, links: Links, crossing: Crossing) -> None:
        began = time.perf_counter()
        remote = self._producers[self._control[engine.PARITY], -1]
        packets = links.exchange(self.step, crossing.packets())
        for peer, packet in zip(links.peers, packets, strict=True):
            why = crossing.accept(packet, remote, self.step)
            if why:
                raise links.lost(peer, self.step, WHY[why])
        self._seconds["exchange"] += time.perf_counter() - began

    # ---- recordings

    def _recorded_ranges(self) -> list[tuple[int, int, int, I8 | None]]:
        """(recording, first id, last id, members or None) of each spike recording."""
        out = []
        for k, r in enumerate(self.spec.recordings):
            if r.what == "spikes":
                first = self.spec.populations[r.population].first
                s = r.subset
                low, high = (
                    (s.start, s.stop) if s.ids is None else ((int(s.ids[0]), int(s.ids[-1]) + 1) if len(s.ids) else (0, 0))
                )
                out.append((k, first, first + low, first + high, None if s.ids is None else s.ids))
        return out  # type: ignore[return-value]

    def columns(self, recording: int) -> I8:
        """Positions, in the recording's subset, of the neurons that live here."""
        r = self.spec.recordings[recording]
        if r.what != "spikes":
            found = [s.columns for b in self.blocks for s in b.samplers if s.recording == recording]
        else:
            mine = [s for s in self.layout[self.rank] if s.population == r.population]
            found = [np.arange(a, a + len(ids)) for a, ids in (r.subset.within(s.start, s.stop) for s in mine)]
        return np.concatenate([np.empty(0, np.int64), *found])

    def _hand_on(self, sink: Sink | None) -> None:
        began = time.perf_counter()
        chunks: dict[int, Any] = {}
        logs = [take(row) for row in self._logs]
        if sink is not None:
            items = np.concatenate(logs)
            items.sort()
            ids = (items & np.uint64(0xFFFFFFFF)).astype(np.int64)
            for k, first, low, high, members in self._record_ids:  # type: ignore[misc]
                keep = (ids >= low) & (ids < high)
                if members is not None:
                    keep[keep] = np.isin(ids[keep] - first, members)
                chunks[k] = items[keep] - np.uint64(first)
            chunks.update(self._samples())
            sink.put(self.rank, self.step, chunks)
        self._seconds["record"] += time.perf_counter() - began

    def _samples(self) -> dict[int, Any]:
        out: dict[int, Any] = {}
        for k in {s.recording for b in self.blocks for s in b.samplers}:
            mine = [s for b in self.blocks for s in b.samplers if s.recording == k]
            rows = int(mine[0].rows[0])
            values = np.concatenate([s.samples[:rows] for s in mine], axis=1)
            last = self.step // mine[0].spec.every
            out[k] = Columns(last - rows + 1, values)
        return out

    # ---- handles

    def _owner(self, population: int, ids: I8) -> list[tuple[Block, Any, npt.NDArray[np.bool_]]]:
        out = []
        for b in self.blocks:
            for m in b.neurons.members:
                if m.slice.population == population:
                    inside = (ids >= m.slice.start) & (ids < m.slice.stop)
                    if inside.any():
                        out.append((b, m, inside))
        return out

    def get(self, population: int, name: str, ids: I8) -> npt.NDArray[Any]:
        """Values of a state or parameter for neurons that live here."""
        out: npt.NDArray[Any] = np.zeros(len(ids), np.float64)
        dynamics = self.spec.populations[population].dynamics
        states = dynamics.kernel.states if isinstance(dynamics, Equations) else ()
        for b, m, inside in self._owner(population, ids):
            if name in states:
                out[inside] = b.neurons.slots[states.index(name)][m.where(ids[inside])]
            else:
                value = m.parameters[name]
                out[inside] = value[ids[inside] - m.slice.start] if isinstance(value, np.ndarray) else value
        return out

    def set(self, population: int, name: str, ids: I8, values: npt.NDArray[Any]) -> None:
        """Set a state or parameter; effective from the next step."""
        dynamics = self.spec.populations[population].dynamics
        states = dynamics.kernel.states if isinstance(dynamics, Equations) else ()
        values = np.broadcast_to(np.asarray(values, np.float64), len(ids))
        for b, m, inside in self._owner(population, ids):
            if name in states:
                b.neurons.slots[states.index(name)][m.where(ids[inside])] = values[inside]
                continue
            old, n = m.parameters[name], m.high - m.low
            full = np.array(np.broadcast_to(old, n), np.float64)
            full[ids[inside] - m.slice.start] = values[inside]
            m.parameters[name] = float(full[0]) if n and (full == full[0]).all() else full
            self._stale = True

    def inject(self, population: int, steps: I8, ids: I8) -> None:
        """Each neuron of ids emits a spike at its step (> the current one)."""
        for _, m, inside in self._owner(population, ids):
            m.injected = [x for x in m.injected if x[0] > self.step]
            m.injected += list(zip(steps[inside].tolist(), ids[inside].tolist(), strict=True))
            self._stale = True

    def counts(self, population: int, ids: I8) -> I8:
        """Spikes so far of neurons that live here."""
        out = np.zeros(len(ids), np.int64)
        for b, m, inside in self._owner(population, ids):
            out[inside] = b.neurons.counts[m.where(ids[inside])]
        return out

    def weights(self, projection: int) -> dict[str, npt.NDArray[Any]]:
        """Connections whose targets live here, ordered by (post, k): pre, post, weight, delay (ms)."""
        p = self.spec.projections[projection]
        found = [
            self._connections(d, 2.0 ** grid(p, projection in b.overrides)) for b in self.blocks for d in b.drawn(projection)
        ]
        none = [np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0)]
        pre, post, weight, delay = (np.concatenate(x) for x in zip(none, *found, strict=True))
        order = np.argsort(post, kind="stable")
        return {"pre": pre[order], "post": post[order], "weight": weight[order], "delay": delay[order]}

    def set_weights(self, projection: int, values: npt.NDArray[np.float64]) -> None:
        """New weights for connections whose targets live here, in the order of `weights`; spikes under way keep the old ones."""
        old = self.weights(projection)
        values = np.array(np.broadcast_to(np.asarray(values, np.float64), old["post"].shape))
        self._check_weights(projection, old["post"], values)
        sizes = [sum(int(d.degrees.sum()) for d in b.drawn(projection)) for b in self.blocks]
        posts = [np.repeat(d.posts, d.degrees) for b in self.blocks for d in b.drawn(projection)]
        mine = np.empty_like(values)
        if posts:
            mine[np.argsort(np.concatenate(posts), kind="stable")] = values
        lists = self._producers[self._control[engine.PARITY]]
        for b, piece in zip(self.blocks, np.split(mine, np.cumsum(sizes)[:-1]), strict=True):
            b.set_weights(projection, piece, lists, self.step)
        lists[1:, 2] = 0
        self._stale = True

    def _check_weights(self, projection: int, posts: I8, values: npt.NDArray[np.float64]) -> None:
        p = self.spec.projections[projection]
        low, high = bounds(p.weight)
        if not np.isfinite(values).all():
            raise ValueError(f"weights of {p.name!r}: every weight must be finite")
        if (low >= 0.0 and (values < 0.0).any()) or (high <= 0.0 and (values > 0.0).any()):
            sign = "negative" if low >= 0.0 else "positive"
            raise ValueError(f"weights of {p.name!r}: none may become {sign}: their receptor was chosen by their sign")
        unit = 2.0 ** grid(p, True)
        largest = float(np.abs(values).max(initial=0.0))
        if largest > (LIMIT[32] - 1) * unit:
            raise ValueError(
                f"weights of {p.name!r}: the largest is {largest:g}; at most {(LIMIT[32] - 1) * unit:g} can be stored"
            )
        most = p.per_target * np.rint(max(abs(low), abs(high)) / unit) * unit
        sums = np.bincount(posts, np.rint(np.abs(values) / unit) * unit) if len(posts) else np.zeros(1)
        if sums.max() > most:
            raise ValueError(
                f"weights of {p.name!r}: |w| would sum to {sums.max():g} in one target; the integer input was scaled for {most:g}."
                " Describe the projection with weights as large as they will become"
            )

    def _connections(self, d: Draws, scale: float) -> list[npt.NDArray[Any]]:
        pre, post, delay, weight = (np.empty(int(d.degrees.sum()), np.int64) for _ in range(4))
        list_connections(d, buffers(d), pre, post, delay, weight)
        return [pre, post, weight * scale, np.round(delay * self.spec.dt, 10)]

    def statistics(self) -> dict[str, object]:
        """Sizes and seconds of this part."""
        synapses = sum(t.synapses for b in self.blocks for t in b.tables)
        nbytes = sum(b.nbytes() for b in self.blocks)
        stored = sum(t.nbytes for b in self.blocks for t in b.tables)
        seconds = {f"seconds_{k}": v for k, v in self._seconds.items()}
        return {
            "synapses": synapses,
            "bytes": nbytes,
            "synapse_bytes": stored,
            "threads": self.threads,
            "spikes": self.spikes,
            **seconds,
        }

    def close(self) -> None:
        """Stop the threads, close the links, give memory back."""
        if self._closed:
            return
        self._closed = True
        if self._links is not None:
            self._links.close()
        self._pool.shutdown(wait=True)
        for rows in (*self._producers, self._logs):
            release(rows)
        if self._crossing is not None:
            self._crossing.close()
        for b in self.blocks:
            b.close()


def _cut(slices: Sequence[Slice], b: int, n: int) -> list[Slice]:
    """Piece b of n of every slice."""
    out = []
    for s in slices:
        size = s.stop - s.start
        low, high = s.start + size * b // n, s.start + size * (b + 1) // n
        if high > low:
            out.append(Slice(s.population, low, high))
    return out


__all__ = ["CurrentStimulus", "Links", "Part", "PoissonSource", "PoissonStimulus", "Sink"]
