"""Connections that are not kept: a spike draws the row of its source again, and adds what reaches the block to a ring.

The words are those of connect.py and listing.py, so a row is what a table would hold. Where sources draw their targets, each
block draws the whole row; with the other rules it goes through its own targets only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.connect import ANY, POSITIVE
from eventsnn.backends.cpu.intrinsics import call, helper, item, view, words
from eventsnn.backends.cpu.listing import TARGETS, distinct
from eventsnn.backends.cpu.memory import ADDRESS, COUNT, ROW
from eventsnn.backends.cpu.operation import Code, Operation
from eventsnn.backends.cpu.philox import below, delay_steps, philox, quantile, stored_weight
from eventsnn.backends.cpu.strands import Strand, Targets, own_positions
from eventsnn.spec import DrawnTargets, EverySource, Fixed, NetworkSpec, ProjectionSpec, SameSource, Subset

Accumulator = tuple[int, bool]
"""Receptor, and whether it is wide."""
NONE = np.empty(0, np.int64)
LOW = 0xFFFFFFFF
ZERO = np.uint32(0)


@helper
def _search(ids, n, x):
    """The position of x in n ascending numbers, or -1."""
    low, high = np.int64(0), n
    while low < high:
        middle = (low + high) >> 1
        if item(ids, middle, np.int64) < x:
            low = middle + 1
        else:
            high = middle
    if low < n and item(ids, low, np.int64) == x:
        return low
    return np.int64(-1)


@helper
def _place(x, start, n, n_ids, ids):
    """The position of a neuron in a subset, or -1."""
    if n_ids:
        return _search(ids, n_ids, x)
    return x - start if start <= x < start + n else np.int64(-1)


@helper
def _enter(a, delay_word, weight_word, step, place):
    """Add a synapse to the ring, if its weight has the sign that is asked for. `a`: arguments of a row."""
    value = a[5]
    if a[6] == 0:
        y = quantile(a[7], weight_word)
        if a[8] != ANY and (y >= 0.0) != (a[8] == POSITIVE):
            return
        stored = stored_weight(abs(y) if a[9] else y, item(a[10], 0, np.float64), item(a[10], 1, np.float64))
        value = np.int64(stored) << a[11]
    due = a[13]
    if a[12]:
        due = delay_steps(quantile(a[12], delay_word), due)
    at = ((step + due) & a[17]) * a[18] + place
    if a[20]:
        view(a[19], at + 1, np.int64)[at] += value
    else:
        view(a[19], at + 1, np.int32)[at] += value


def push(args, producers):
    """Draw the row of every spike of the producers again. Arguments: function and arguments of a row."""
    row, drawn = words(args, 2)
    for p in range(1, item(producers, COUNT, np.int64) + 1):
        spikes = item(producers + ROW * p, ADDRESS, np.int64)
        for i in range(item(producers + ROW * p, COUNT, np.int64)):
            call(row, drawn, item(spikes, i, np.int64))
    return 0


def everyone(args, spike):
    """To each target but the source itself. Arguments: see _row; targets, their indices, places, positions in the pre subset."""
    a = words(args, 25)
    rank = _place((spike & LOW) - a[0], a[1], a[2], a[3], a[4])
    if rank < 0:
        return 0
    four = (ZERO, ZERO, ZERO, ZERO)
    for t in range(a[21]):
        own = item(a[24], t, np.int64)
        if own == rank:
            continue
        if a[14]:
            k = rank - 1 if 0 <= own < rank else rank
            four = philox(np.uint32(item(a[22], t, np.int64)), np.uint32(k), ZERO, ZERO, np.uint32(a[15]), np.uint32(a[16]))
        _enter(a, four[1], four[2], spike >> 32, item(a[23], t, np.int64))
    return 0


def same(args, spike):
    """To the target of the same rank. Arguments: see _row; targets, their indices, places, positions in the post subset."""
    a = words(args, 25)
    rank = _place((spike & LOW) - a[0], a[1], a[2], a[3], a[4])
    t = _search(a[24], a[21], rank)
    if rank >= 0 and t >= 0:
        four = philox(np.uint32(item(a[22], t, np.int64)), ZERO, ZERO, ZERO, np.uint32(a[15]), np.uint32(a[16]))
        _enter(a, four[1], four[2], spike >> 32, item(a[23], t, np.int64))
    return 0


def drawn(args, spike):
    """To targets that the source draws.

    Arguments: see _row; start, size, number of ids and ids of the post subset; place of each in the block, or -1; out-degree;
    whether a source leaves out itself; whether all are different, and scratch to find these.
    """
    a = words(args, 31)
    start, n, n_ids, ids, places, outdegree, others, unique, seen, found = a[21:]
    source = (spike & LOW) - a[0]
    if _place(source, a[1], a[2], a[3], a[4]) < 0:
        return 0
    own = _place(source, start, n, n_ids, ids) if others else np.int64(-1)
    among = n - 1 if own >= 0 else n
    k0, k1 = np.uint32(a[15]), np.uint32(a[16])
    if unique:
        distinct(source, among, outdegree, k0, k1, view(seen, (n >> 6) + 1, np.uint64), view(found, outdegree, np.int64))
    four = (ZERO, ZERO, ZERO, ZERO)
    for k in range(outdegree):
        if a[14] or not unique:
            four = philox(np.uint32(source), np.uint32(k), np.uint32(TARGETS), ZERO, k0, k1)
        j = item(found, k, np.int64) if unique else below(four[0], among)
        place = item(places, j + (own >= 0 and j >= own), np.int32)
        if place >= 0:
            _enter(a, four[1], four[2], spike >> 32, np.int64(place))
    return 0


PUSH, EVERYONE, SAME, DRAWN = Code(push), Code(everyone), Code(same), Code(drawn)


class Procedural:
    """The connections onto a block of n neurons of all projections that keep none: strands that hold no sources."""

    def __init__(self, spec: NetworkSpec, n: int, found: Sequence[tuple[ProjectionSpec, Targets, Sequence[Strand]]]) -> None:
        self._n = n
        self.size = 1 << max((p.max_delay for p, _, _ in found), default=0).bit_length()
        """Steps of a ring."""
        self.rings: dict[Accumulator, npt.NDArray[Any]] = {
            (s.receptor, s.wide): np.zeros((self.size, n), np.int64 if s.wide else np.int32) for _, _, told in found for s in told
        }
        """What is on its way: shape (steps, neurons)."""
        self._rows = [self._row(spec, p, t, s) for p, t, told in found for s in told]
        self.operations = [Operation(PUSH, row.code.address, row.row) for row in self._rows]
        self._senders = [
            (spec.populations[p.pre].first, p.pre_subset, t.ranks if isinstance(p.rule, SameSource) else None)
            for p, t, _ in found
        ]

    @property
    def nbytes(self) -> int:
        """Of the rings, and of what says where targets are."""
        arrays = {id(a): a.nbytes for row in self._rows for a in row.keep if isinstance(a, np.ndarray)}
        return sum(arrays.values()) + sum(ring.nbytes for key, ring in self.rings.items() if id(ring) not in arrays)

    def mark(self, sources: npt.NDArray[np.bool_]) -> None:
        """Set those neurons of the network that may have targets here."""
        for first, subset, ranks in self._senders:
            ids = subset.array()
            sources[first + (ids if ranks is None else ids[ranks])] = True

    def _row(self, spec: NetworkSpec, p: ProjectionSpec, targets: Targets, s: Strand) -> Operation:
        """The operation that draws a row.

        Arguments of all rules: first neuron of the pre population; of the pre subset start, size, number of ids, ids; weight,
        whether all have it, table, sign, whether |w| is told, scale and limit, shift; table of delays (0: all are the longest),
        longest; whether a synapse draws anything, key; mask, neurons, ring, whether it is wide.
        """
        d, ring, pre = s.draws, self.rings[s.receptor, s.wide], p.pre_subset
        source = (spec.populations[p.pre].first, *_range(pre))
        weight = (s.constant, s.bits == 0, d.weight, d.sign, d.magnitude, np.array([d.scale, d.limit]), s.shift)
        fixed = isinstance(p.delay, Fixed)
        delay = (0 if fixed else d.delay, d.longest, not (fixed and s.bits == 0), d.k0, d.k1)
        code, own = _own(p.rule, p, targets)
        return Operation(code, *source, *weight, *delay, self.size - 1, self._n, ring, s.wide, *own)


Arguments = tuple[int | npt.NDArray[Any], ...]


def _range(subset: Subset) -> Arguments:
    ids = NONE if subset.ids is None else subset.ids
    return (subset.start, len(subset), len(ids), ids)


@singledispatch
def _own(rule: object, p: ProjectionSpec, targets: Targets) -> tuple[Code, Arguments]:
    """The function of a rule, and its own arguments."""
    raise TypeError(f"projection {p.name!r}: the CPU backend cannot draw a row of {type(rule).__name__} by its source")


@_own.register
def _(rule: EverySource, p: ProjectionSpec, targets: Targets) -> tuple[Code, Arguments]:
    selves = np.full(len(targets.posts), -1, np.int64) if rule.autapses else own_positions(p, targets)
    return EVERYONE, (len(targets.posts), targets.posts, targets.places, selves)


@_own.register
def _(rule: SameSource, p: ProjectionSpec, targets: Targets) -> tuple[Code, Arguments]:
    return SAME, (len(targets.posts), targets.posts, targets.places, targets.ranks)


@_own.register
def _(rule: DrawnTargets, p: ProjectionSpec, targets: Targets) -> tuple[Code, Arguments]:
    places = np.full(len(p.post_subset), -1, np.int32)
    places[targets.ranks] = targets.places
    others = p.pre == p.post and not rule.autapses
    unique = (rule.distinct, np.zeros((len(places) >> 6) + 1, np.uint64), np.empty(rule.outdegree, np.int64))
    return DRAWN, (*_range(p.post_subset), places, rule.outdegree, others, *unique)
