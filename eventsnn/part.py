"""A part: all slices of one process. It paces their run, exchanges spikes with its peers and hands recorded rows on."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.backends import access, snapshot
from eventsnn.backends.collect import Collector
from eventsnn.backends.cpu.exchange import WHY, Crossing, PeerLost
from eventsnn.backends.engine import make_engine
from eventsnn.backends.sampled import SynapseSampler
from eventsnn.spec import Columns, Layout, NetworkSpec

I8 = npt.NDArray[np.int64]
SEGMENT_SECONDS = 0.15
"""Wall time after which a run looks up: recordings are handed on, progress is told, a stop is noticed."""
FIRST_SEGMENT = 64
"""Steps of the first segment of a run, before its speed is known."""


class Links(Protocol):
    """Connections to the parts in other processes (scheduler/links.py)."""

    peers: tuple[int, ...]
    fds: npt.NDArray[np.int32] | None
    deadline: float
    generation: int
    latest: int
    """Position of the peer whose packet was the last to come in the last exchange."""

    def exchange(self, step: int, packets: Sequence[memoryview]) -> list[memoryview]: ...
    def lost(self, peer: int, step: int, why: str) -> Exception: ...
    def close(self) -> None: ...


class Sink(Protocol):
    """Who takes recorded rows (storage.Recorder, or a channel to it)."""

    def put(self, part: int, step: int, chunks: Mapping[int, Any]) -> None: ...


class Part:
    """Builds the slices of one rank and runs them."""

    def __init__(self, spec: NetworkSpec, layout: Layout, rank: int, threads: int, backend: str = "cpu") -> None:
        began = time.perf_counter()
        self.spec, self.layout, self.rank = spec, layout, rank
        self.step = 0
        self._links: Links | None = None
        self._crossing: Crossing | None = None
        self._epoch = 1
        self._engine = make_engine(backend, spec, layout[rank], threads, f"eventsnn-{rank}")
        self._collector = Collector(spec, layout[rank], [s for b in self._engine.blocks for s in b.samplers])
        self._synapses = {
            len(spec.recordings) + k: SynapseSampler(r, self._engine.blocks, spec.dt)
            for k, r in enumerate(spec.synapse_recordings)
        }
        self._seconds = {"wall": 0.0, "exchange": 0.0, "record": 0.0, "checkpoint": 0.0, "build": time.perf_counter() - began}
        self._closed = False

    # ---- links

    def _ids(self, rank: int) -> I8:
        """Network-wide ids of a rank's neurons, in the order of its slices."""
        first = [self.spec.populations[s.population].first for s in self.layout[rank]]
        ranges = [np.arange(f + s.start, f + s.stop) for f, s in zip(first, self.layout[rank], strict=True)]
        return np.concatenate([np.empty(0, np.int64), *ranges])

    def wanted(self, rank: int) -> bytes:
        """Which neurons of part `rank` have targets here: packed bits, in the order of its slices."""
        found = np.zeros(self.spec.size, bool)
        for b in self._engine.blocks:
            found |= b.sources()
        return np.packbits(found[self._ids(rank)]).tobytes()

    def connect(self, links: Links, wanted: Mapping[int, bytes], epoch: int) -> None:
        """Exchange spikes over `links` every `epoch` steps; wanted[r] is what part r answered for this part."""
        self._links = links
        n = len(links.peers)
        if not n:
            return
        own = self._ids(self.rank)
        masks = np.zeros((self.spec.size, (n + 63) // 64), np.uint64)
        for p, rank in enumerate(links.peers):
            bits = np.unpackbits(np.frombuffer(wanted[rank], np.uint8), count=len(own)).astype(np.uint64)
            masks[own, p // 64] |= bits << np.uint64(p % 64)
        fds = np.empty(0, np.int32) if links.fds is None else np.asarray(links.fds, np.int32)
        self._epoch = epoch
        self._crossing = Crossing(masks, fds, links.generation, links.deadline, n)
        self._engine.cross(self._crossing, epoch)

    def _exchange(self, links: Links, crossing: Crossing) -> None:
        """Exchange over sockets that libc cannot write to."""
        began = time.perf_counter()
        packets = links.exchange(self.step, crossing.packets())
        for peer, packet in zip(links.peers, packets, strict=True):
            why = crossing.accept(packet, self._engine.lists[-1], self.step)
            if why:
                raise links.lost(peer, self.step, WHY[why])
        taken = time.perf_counter() - began
        self._seconds["exchange"] += taken
        crossing.waited(links.latest, taken)

    # ---- running

    @property
    def spikes(self) -> int:
        """Spikes so far."""
        return self._engine.spikes

    def run(
        self, until: int, sink: Sink | None, progress: Callable[[int, int], None] | None, stop: threading.Event
    ) -> dict[str, float]:
        """Advance to step `until`; stops early, at the end of an epoch, when `stop` is set.

        Returns seconds by activity, and spikes.
        """
        began = time.perf_counter()
        before = dict(self._seconds)
        self._engine.refresh(self.step)
        size, told = FIRST_SEGMENT, began
        while self.step < until and not stop.is_set():
            t, since, whole = time.perf_counter(), self.step, self._whole(size)
            self._advance(min(until, since + whole, *self._samples_after(since)))
            self._hand_on(sink, since)
            now = time.perf_counter()
            taken = (now - t) * whole / max(self.step - since, 1)
            size = int(whole * min(8.0, max(0.125, SEGMENT_SECONDS / max(taken, 1e-6))))
            if progress is not None and (now - told > 0.2 or self.step == until):
                told = now
                progress(self.step, self.spikes)
        self._seconds["wall"] += time.perf_counter() - began
        report = {k: v - before[k] for k, v in self._seconds.items() if k not in ("build", "checkpoint")}
        report["compute"] = report["wall"] - report["exchange"] - report["record"]
        report["spikes"] = float(self.spikes)
        return report

    def _whole(self, size: int) -> int:
        """About `size` steps: whole cross-part epochs, and no more than there is memory for samples."""
        if self._links is not None and self._links.fds is None and self._crossing is not None:
            return self._epoch
        return max(self._epoch, min(size, self._collector.room()) // self._epoch * self._epoch)

    def _advance(self, until: int) -> None:
        try:
            self.step = self._engine.advance(self.step, until)
        except PeerLost as lost:
            assert self._links is not None
            raise self._links.lost(self._links.peers[lost.peer], self.step, lost.why) from None
        if self._crossing is not None and self._links is not None:
            self._seconds["exchange"] += self._crossing.seconds()
            if self._links.fds is None:
                self._exchange(self._links, self._crossing)

    def _hand_on(self, sink: Sink | None, since: int) -> None:
        """The rows of the steps after `since`."""
        began = time.perf_counter()
        items = self._engine.recorded()
        if sink is not None:
            chunks = self._collector.chunks(items, self.step)
            sink.put(self.rank, self.step, chunks | self._sampled() if self.step > since else chunks)
        self._seconds["record"] += time.perf_counter() - began

    def _samples_after(self, step: int) -> list[int]:
        """The next steps in which synapses are recorded: all parts stop there, whether or not such synapses are here."""
        return [(step // r.every + 1) * r.every for r in self.spec.synapse_recordings]

    def _sampled(self) -> dict[int, Columns]:
        """Samples of synapses in the present step, by recording."""
        due = {table: s for table, s in self._synapses.items() if self.step % s.recording.every == 0}
        for projection in {s.recording.projection for s in due.values()}:
            self._engine.make_up(projection, self.step)
        return {table: Columns(self.step // s.recording.every, s.read(self.step)[None, :]) for table, s in due.items()}

    # ---- checkpoints: between runs

    def took(self, kind: str, seconds: float) -> None:
        """Counts seconds of work on this part that was done outside it."""
        self._seconds[kind] += seconds

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that a part on any machine needs to go on from here, as backends.snapshot lays it out."""
        return snapshot.take(self._engine, self.step)

    def resume(self, step: int, pieces: Iterable[snapshot.Piece]) -> None:
        """Before links and runs: take up at `step` what parts, of any layout, gave as their state."""
        snapshot.put(self._engine, step, pieces)
        self.step = step

    # ---- handles: between runs, for neurons and connections that live here

    def columns(self, recording: int) -> I8:
        """Positions, in the recording's subset, of the neurons that live here."""
        return self._collector.columns(recording)

    def ends(self, recording: int) -> npt.NDArray[np.int32]:
        """Of a recording of synapses: source and target of each that lives here, shape (2, synapses)."""
        return self._synapses[recording].ends

    def get(self, population: int, name: str, ids: I8) -> npt.NDArray[np.float64]:
        """Values of a state or parameter."""
        return access.read(self._engine.blocks, population, name, ids)

    def set(self, population: int, name: str, ids: I8, values: npt.NDArray[Any]) -> None:
        """Set a state or parameter; effective from the next step."""
        access.write(self._engine.blocks, population, name, ids, values)
        self._engine.stale()

    def inject(self, population: int, steps: I8, ids: I8) -> None:
        """Each neuron of ids emits a spike at its step (> the current one)."""
        access.inject(self._engine.blocks, population, steps, ids, self.step)
        self._engine.stale()

    def counts(self, population: int, ids: I8) -> I8:
        """Spikes so far."""
        return access.counts(self._engine.blocks, population, ids)

    def emitted(self) -> dict[int, int]:
        """Spikes so far of each population, by its neurons that live here."""
        found: dict[int, int] = defaultdict(int)
        for s in self.layout[self.rank]:
            found[s.population] += int(self.counts(s.population, np.arange(s.start, s.stop)).sum())
        return dict(found)

    def weights(self, projection: int) -> dict[str, npt.NDArray[Any]]:
        """Connections, ordered by (post, k): pre, post, weight, delay (ms)."""
        self._engine.make_up(projection, self.step)
        return access.connections(self._engine.blocks, self.spec, projection)

    def set_weights(self, projection: int, values: npt.NDArray[np.float64]) -> None:
        """New weights in the order of `weights`, for spikes from now on; spikes under way keep the old ones."""
        self._engine.set_weights(projection, access.dealt(self._engine.blocks, projection, values), self.step)

    def learning(self, projection: int) -> float:
        """The factor of `learn`."""
        found = [b.incoming.plastic[projection] for b in self._engine.blocks if projection in b.incoming.plastic]
        return found[0].learning if found else 1.0

    def learn(self, projection: int, factor: float) -> None:
        """From the next step on weights change by `factor` times what their rule says."""
        self._engine.learn(projection, factor, self.step)

    def statistics(self) -> dict[str, object]:
        """Sizes and seconds of this part."""
        blocks = self._engine.blocks
        return {
            "synapses": sum(b.synapses for b in blocks),
            "bytes": sum(b.nbytes for b in blocks),
            "synapse_bytes": sum(b.synapse_bytes for b in blocks),
            "threads": self._engine.number,
            "spikes": self.spikes,
            **{f"seconds_{k}": v for k, v in self._seconds.items()},
            "waits": self._waits(),
        }

    def _waits(self) -> dict[int, float]:
        """Seconds of the exchanges in which the packet of each peer was the last to come, by rank."""
        if self._links is None or self._crossing is None:
            return {}
        return dict(zip(self._links.peers, self._crossing.waits(), strict=True))

    def close(self) -> None:
        """Stop the threads, close the links, give memory back."""
        if not self._closed:
            self._closed = True
            if self._links is not None:
                self._links.close()
            self._engine.close()
