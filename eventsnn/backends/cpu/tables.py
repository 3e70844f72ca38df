"""Synapse tables of a block: what is drawn for its targets, sorted by source.

Two passes per pre population: count connections per chunk of sources, then scatter records to the chunks and sort each chunk by
(source, delay). Targets are visited in ascending order and every pass is stable, so targets ascend within a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.connect import ANY, DRAW, SCATTER, Draws, drawing
from eventsnn.backends.cpu.intrinsics import item, view, words
from eventsnn.backends.cpu.operation import Code, Operation
from eventsnn.backends.cpu.strands import Strand
from eventsnn.draws import spread
from eventsnn.spec import Value

CONSTANTS = 8
"""Most tables of one weight each in a block; beyond that, such weights are stored per synapse."""
SHORT = 10.0
"""Mean length of a segment below which rows with a delay ring are faster. scheduler/tables.py estimates by the same rules."""
RING_BYTES = 1 << 26
I8 = npt.NDArray[np.int64]
I4 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint64]
NO_RECORDS, NO_WEIGHTS = np.empty(0, np.uint64), np.empty(0, np.int32)
KEYS = 16
"""Bits of (source in chunk, delay): the counting sort of a chunk stays in the L2 cache."""


@dataclass(frozen=True)
class Kind:
    """What one table holds. Strands of one kind share segments."""

    receptor: int
    wide: bool
    bits: int
    value: int
    """The weight where bits is 0, else the left shift of the stored integers."""


@dataclass(eq=False)
class Table:
    """Incoming synapses of a block, source-major. Row r belongs to the source with row number r of the block."""

    kind: Kind
    ring: bool
    first: npt.NDArray[np.int64]
    """(rows + 1,): first segment of each row (ring: first synapse)."""
    segments: npt.NDArray[np.uint64]
    """start << 32 | delay of each segment, and the end (ring: empty)."""
    packed: npt.NDArray[np.uint32]
    """bits 16: target << 16 | weight."""
    targets: npt.NDArray[np.uint16]
    weights: npt.NDArray[np.int32]
    delays: npt.NDArray[np.uint16]
    """ring only."""
    horizon: int
    """Longest delay, in steps."""
    synapses: int

    @property
    def nbytes(self) -> int:
        arrays = (self.first, self.segments, self.packed, self.targets, self.weights, self.delays)
        return sum(a.nbytes for a in arrays)


def kinds_of(all_strands: Sequence[Strand]) -> list[tuple[Kind, list[Strand]]]:
    """Strands by kind of table."""
    constants = {(s.receptor, s.constant) for s in all_strands if s.bits == 0}
    spread = len(constants) > CONSTANTS and all(abs(c) < 2**31 for _, c in constants)

    def kind(s: Strand) -> Kind:
        if s.bits == 0 and not spread:
            return Kind(s.receptor, s.wide, 0, s.constant)
        return Kind(s.receptor, s.wide, 32 if s.bits == 0 else s.bits, s.shift)

    def order(s: Strand) -> tuple[int, int, int, int]:
        k = kind(s)
        return (k.receptor, k.bits, k.value, s.projection)

    return [(k, list(group)) for k, group in groupby(sorted(all_strands, key=order), key=kind)]


def build_table(
    kind: Kind,
    strands: Sequence[Strand],
    pres: Sequence[int],
    bases: dict[int, int],
    sizes: dict[int, int],
    ring: bool | None = None,
) -> Table:
    """Draw and sort the connections of strands.

    `bases` and `sizes` give the rows of each pre population, `pres` the pre population of each strand. `ring`: None chooses.
    """
    rows = sum(sizes.values())
    horizon = max(s.horizon for s in strands)
    if ring is None:
        ring = (
            (kind.bits > 0 or abs(kind.value) < 2**31)
            and _short(strands, pres, sizes)
            and horizon < 65536
            and (1 << horizon.bit_length()) * 65536 * 8 <= RING_BYTES
        )
    bits = max(0, min(7, KEYS - horizon.bit_length()))
    order = sorted(set(pres), key=bases.__getitem__)
    plan = []
    for pre in order:
        members = [s for s, p in zip(strands, pres, strict=True) if p == pre]
        counts = np.zeros((sizes[pre] >> bits) + 2, np.int64)
        for s in members:
            _scatter(s.draws, bits, horizon, counts[1:])
        plan.append((pre, members, np.cumsum(counts)))
    total = int(sum(starts[-1] for _, _, starts in plan))
    if total >= 2**32:
        raise MemoryError(f"{total} synapses of one kind into one block; a table holds 2**32: use more threads or parts")
    stored = 32 if ring else kind.bits
    packed = np.empty(total if stored == 16 else 0, np.uint32)
    targets = np.empty(total if stored != 16 else 0, np.uint16)
    weights = np.empty(total if stored == 32 else 0, np.int32)
    delays = np.empty(total if ring else 0, np.uint16)
    first = np.zeros(rows + 1, np.int64)
    pieces = []
    base, n_segments, done = 0, 0, 0
    for pre, members, starts in plan:
        n = int(starts[-1])
        records = np.empty(n, np.uint64)
        wide = np.empty(n if stored == 32 else 0, np.int32)
        cursor = starts[:-1].copy()
        for s in members:
            _scatter(s.draws, bits, horizon, cursor, records, wide)
        found = np.empty(min(n, sizes[pre] * horizon), np.uint64)
        row = first[bases[pre] : bases[pre] + sizes[pre]]
        first[done : bases[pre]] = base if ring else n_segments
        unsorted = (len(starts) - 1, starts, records, wide, bits, horizon, base, n_segments)
        into = (len(row), row, len(found), found, total, stored == 16, packed, targets, stored == 32, weights, ring, delays)
        used = Operation(SORT, *unsorted, np.empty((horizon << bits) + 1, np.int64), *into).run()
        pieces.append(found[:used].copy() if not ring else found[:0])
        base += n
        n_segments += used
        done = bases[pre] + sizes[pre]
    first[done:] = base if ring else n_segments
    end = np.array([total << 32], np.uint64)
    segments = np.concatenate([*pieces, end]) if not ring else np.empty(0, np.uint64)
    return Table(kind, ring, first, segments, packed, targets, weights, delays, horizon, total)


def _short(strands: Sequence[Strand], pres: Sequence[int], sizes: dict[int, int]) -> bool:
    """Whether the expected mean length of a segment is short."""
    synapses = segments = 0.0
    for pre in sorted(set(pres)):
        members = [s for s, p in zip(strands, pres, strict=True) if p == pre]
        n = float(sum(int(s.draws.degrees.sum()) for s in members))
        row = n / max(1, len(members[0].draws.ids) or members[0].draws.n)
        synapses += n
        segments += n / row * expected_segments(members[0].delay, row) if n else 0.0
    return synapses < SHORT * segments


def expected_segments(delay: Value, row: float) -> float:
    """Expected number of non-empty delays in a row of so many synapses."""
    steps = np.floor(spread(delay) + 0.5)
    probabilities = np.unique(steps, return_counts=True)[1] / max(1, len(steps))
    return float(np.sum(-np.expm1(-row * probabilities)))


def _scatter(d: Draws, bits: int, horizon: int, cursor: I8, records: U8 = NO_RECORDS, wide: I4 = NO_WEIGHTS) -> None:
    """Scatter connections to chunks; with no room for records, count them."""
    operation, scratch = drawing(d, values=len(records) > 0 or d.sign != ANY)
    into = (len(cursor), cursor, len(records), records, len(wide), wide)
    Operation(SCATTER, DRAW.address, operation.row, len(d.posts), d.places, *scratch, bits, horizon, *into).run()


def sort_chunks(args, _):
    """Counting sort of every chunk by (source, delay): writes synapses, row starts, segments; returns the number of segments.

    Arguments: chunks, starts, records, wide weights, bits, horizon, base, segments so far, counts (chunk * horizon + 1); rows,
    their starts, room for segments, segments; synapses, whether they are packed, packed, targets, whether weights are wide,
    weights, whether it is a ring, delays.
    """
    row = words(args, 21)
    chunks, starts_at, records_at, wide, bits, horizon, base, n_segments, counts_at, rows, first_at, room, found_at = row[:13]
    synapses, is_packed, packed_at, targets_at, is_wide, weights_at, ring, delays_at = row[13:]
    chunk = 1 << bits
    starts = view(starts_at, chunks + 1, np.int64)
    records = view(records_at, starts[chunks], np.int64)
    counts = view(counts_at, chunk * horizon + 1, np.int64)
    first = view(first_at, rows, np.int64)
    found = view(found_at, room, np.int64)
    packed = view(packed_at, synapses, np.uint32)
    targets = view(targets_at, synapses, np.uint16)
    weights = view(weights_at, synapses, np.int32)
    delays = view(delays_at, synapses, np.uint16)
    used = 0
    for q in range(chunks):
        lo, hi = starts[q], starts[q + 1]
        for j in range(counts.size):
            counts[j] = 0
        for p in range(lo, hi):
            counts[(records[p] >> 32) + 1] += 1
        at = base + lo
        key = 0
        for s in range(chunk):
            if q * chunk + s < rows:
                first[q * chunk + s] = at if ring else n_segments + used
            for d in range(horizon):
                c = counts[key + 1]
                counts[key] = at
                if c and not ring:
                    found[used] = at << 32 | d + 1
                    used += 1
                at += c
                key += 1
        for p in range(lo, hi):
            r = records[p]
            place = r >> 32
            o = counts[place]
            counts[place] = o + 1
            if is_packed:
                packed[o] = r
            else:
                targets[o] = r >> 16
            if is_wide:
                weights[o] = item(wide, p, np.int32)
            if ring:
                delays[o] = place % horizon + 1
    return used


SORT = Code(sort_chunks)

__all__ = ["Kind", "Table", "build_table", "kinds_of"]
