"""The incoming synapses of a part on the device: drawn there, sorted by (source, delay, target), cut into pieces.

A piece is at most PIECE synapses of one source with one delay onto one block of 65,536 targets, so a target takes 16 bits:
4 bytes per synapse with a 16-bit weight, 6 with a 32-bit one, 2 where all share a weight, and 16 bytes per piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn.backends.cpu.strands import Strand
from eventsnn.backends.cpu.tables import Kind, kinds_of
from eventsnn.backends.cuda.device import WARP, arrays, launch
from eventsnn.backends.cuda.kernels import DROPPED, PIECE, load

PLACE_BITS = 16
"""Bits of a target within its block."""
MOST_KINDS = 256


@dataclass(eq=False)
class Synapses:
    """Arrays of the device, in the order in which kernels take them."""

    row_of: Any
    """(neurons of the network,): row of a source, -1 where it has no targets here."""
    lanes: int
    """Threads that share one piece."""
    first: Any
    """(rows + 1,): first piece of each row."""
    starts: Any
    heads: Any
    """delay << 32 | block << 16 | kind << 8 | length of each piece."""
    kinds: Any
    packed: Any
    """target << 16 | weight, where weights have 16 bits."""
    ones: Any
    """Targets, where all synapses of a kind share a weight."""
    targets: Any
    weights: Any
    """Targets and weights, where weights have 32 bits."""
    synapses: int

    @property
    def nbytes(self) -> int:
        return int(sum(a.nbytes for a in self._arrays))

    @property
    def _arrays(self) -> tuple[Any, ...]:
        return (self.row_of, self.first, self.starts, self.heads, self.kinds, self.packed, self.ones, self.targets, self.weights)


class _Store:
    """Synapses of one way of storing weights, as they are appended."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self.size = 0

    def append(self, array: Any) -> int:
        at, self.size = self.size, self.size + len(array)
        self.arrays.append(array)
        return at

    def joined(self, xp: Any, dtype: Any) -> Any:
        return xp.concatenate([xp.zeros(1 if not self.size else 0, dtype), *self.arrays])


def build(
    strands: Sequence[Strand], pres: Sequence[int], sizes: Sequence[int], firsts: Sequence[int], total: int, n: int
) -> Synapses:
    """Draw the connections of strands (`pres`: pre population of each) onto a part of n neurons.

    `sizes` and `firsts` are those of all populations; `total` is the number of neurons of the network.
    """
    xp = arrays()
    kinds = kinds_of(strands)
    if len(kinds) > MOST_KINDS:
        raise MemoryError(f"{len(kinds)} kinds of synapses; backend 'cuda' keeps at most {MOST_KINDS}")
    sources = sorted(set(pres))
    bases = dict(zip(sources, np.cumsum([0, *(sizes[p] for p in sources)]).tolist(), strict=False))
    row_of = np.full(total, -1, np.int32)
    for p in sources:
        row_of[firsts[p] : firsts[p] + sizes[p]] = np.arange(bases[p], bases[p] + sizes[p])
    rows = sum(sizes[p] for p in sources)
    pre_of = {id(s): p for s, p in zip(strands, pres, strict=True)}
    stores = {name: _Store() for name in ("packed", "ones", "targets", "weights")}
    pieces: list[tuple[Any, Any, Any]] = []
    synapses = 0
    for number, (kind, members) in enumerate(kinds):
        for p in sources:
            mine = [s for s in members if pre_of[id(s)] == p]
            if mine:
                found = sorted_draws(xp, kind, mine, sizes[p], n)
                synapses += len(found[0])
                pieces.append(_pieces(xp, kind, number, *found, bases[p], stores))
    table = np.array([(k.receptor, k.wide, k.bits, k.value) for k, _ in kinds], np.int64).reshape(-1)
    row, start, head = (
        (xp.concatenate([xp.zeros(0, np.int64), *column]) for column in zip(*pieces, strict=True))
        if pieces
        else (xp.zeros(0, np.int64) for _ in range(3))
    )
    order = xp.argsort(row)
    first = xp.searchsorted(row[order], xp.arange(rows + 1))
    return Synapses(
        xp.asarray(row_of),
        lanes_for(synapses, len(row)),
        first.astype(np.int64),
        start[order],
        head[order],
        xp.asarray(table if len(table) else np.zeros(4, np.int64)),
        stores["packed"].joined(xp, np.uint32),
        stores["ones"].joined(xp, np.uint16),
        stores["targets"].joined(xp, np.uint16),
        stores["weights"].joined(xp, np.int32),
        synapses,
    )


def lanes_for(synapses: int, pieces: int) -> int:
    """Threads that share a piece: no more than half of its mean length leaves idle."""
    return next(k for k in (1, 2, 4, 8, 16, 32) if 2 * k > synapses / max(1, pieces) or k >= WARP)


def sorted_draws(xp: Any, kind: Kind, strands: Sequence[Strand], size: int, n: int) -> tuple[Any, Any, int, int]:
    """Keys and weights of the connections, sorted; bits of a place, and the horizon."""
    horizon = max(s.horizon for s in strands)
    bits = max(PLACE_BITS, int(n - 1).bit_length())
    if (size * horizon - 1).bit_length() + bits > 62:
        raise MemoryError(f"{size} sources with delays of up to {horizon} steps onto {n} neurons of one device; use more devices")
    counts = [int(s.draws.degrees.sum()) for s in strands]
    keys = xp.empty(sum(counts), np.int64)
    weights = xp.empty(sum(counts) if kind.bits else 0, np.int32)
    at = 0
    for s, count in zip(strands, counts, strict=True):
        _draw(xp, s, horizon, bits, at, keys, weights)
        at += count
    order = xp.argsort(keys, kind="stable")
    keys = keys[order]
    kept = int(xp.searchsorted(keys, xp.asarray(DROPPED)))
    return keys[:kept], weights[order[:kept]] if kind.bits else weights, bits, horizon


def _draw(xp: Any, s: Strand, horizon: int, place_bits: int, at: int, keys: Any, weights: Any) -> None:
    d = s.draws
    up = xp.asarray
    sources = (d.rule, d.n, d.start, up(d.ids), up(d.posts), up(d.places), up(d.selves), up(d.degrees), up(d.offsets))
    laws = (
        d.k0,
        d.k1,
        up(d.delay.reshape(-1)),
        d.longest,
        up(d.weight.reshape(-1)),
        up(d.given),
        up(d.given_delays),
        up(d.listed),
    )
    kept = (d.sign, d.magnitude, d.scale, d.limit, horizon, place_bits, at, keys, weights)
    launch(load().draw, WARP * len(d.posts), WARP, len(d.posts), *sources, *laws, *kept)


def _pieces(
    xp: Any, kind: Kind, number: int, keys: Any, weights: Any, bits: int, horizon: int, base: int, stores: dict[str, _Store]
) -> tuple[Any, Any, Any]:
    """Store sorted synapses; row, start and head of each piece."""
    place = keys & ((1 << bits) - 1)
    target = place & 0xFFFF
    if kind.bits == 16:
        at = stores["packed"].append(
            (target.astype(np.uint32) << np.uint32(16)) | (weights.astype(np.uint32) & np.uint32(0xFFFF))
        )
    elif kind.bits == 32:
        at = stores["targets"].append(target.astype(np.uint16))
        stores["weights"].append(weights)
    else:
        at = stores["ones"].append(target.astype(np.uint16))
    segment = keys >> PLACE_BITS
    edge = xp.flatnonzero(xp.concatenate([xp.ones(min(1, len(keys)), bool), segment[1:] != segment[:-1]]))
    length = xp.diff(xp.concatenate([edge, xp.asarray([len(keys)])])) if len(keys) else edge
    cuts = (length + (PIECE - 1)) // PIECE
    ends = xp.cumsum(cuts)
    piece = xp.arange(int(ends[-1]) if len(keys) else 0)
    of = xp.searchsorted(ends, piece, side="right")
    inside = (piece - (ends - cuts)[of]) * PIECE
    start = edge[of] + inside
    size = xp.minimum(length[of] - inside, PIECE)
    found = segment[edge[of]]
    block = found & ((1 << (bits - PLACE_BITS)) - 1)
    found = found >> (bits - PLACE_BITS)
    delay = found % horizon + 1
    return found // horizon + base, start + at, (delay << 32) | (block << 16) | (number << 8) | size
