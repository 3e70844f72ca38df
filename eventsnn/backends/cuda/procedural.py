"""Connections that are not kept, on a device: warps draw the row of a spike's source again, as cpu/procedural.py does."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda

from eventsnn.backends.cpu.listing import TARGETS
from eventsnn.backends.cpu.strands import Strand, Targets, own_positions
from eventsnn.backends.cuda.device import WARP, arrays, device, kernel, words
from eventsnn.backends.cuda.kernels import ANY, CALLEES, COUNT, GIVEN, POSITIVE, RUN, START, add_input, first_from
from eventsnn.backends.cuda.steps import Steps
from eventsnn.backends.loops import imported
from eventsnn.backends.shared import DRAWS, below, bind, delay_steps, philox, quantile, stored_weight
from eventsnn.spec import DrawnTargets, EverySource, Fixed, NetworkSpec, ProjectionSpec, SameSource, Subset

TO_ALL, TO_ONE, TO_DRAWN = range(3)


def place_in(x, start, n, ids):
    """The position of a neuron in a subset, or -1."""
    if ids.size == 0:
        return x - start if start <= x < start + n else np.int64(-1)
    at = first_from(ids, 0, ids.size, x)
    return at if at < ids.size and ids[at] == x else np.int64(-1)


def enter_synapse(
    delay_word, weight_word, step, place, receptor, wide, constant, table, sign, magnitude, scale, limit, shift, delay, longest,
    mask, receptors, n, ring32, ring64,
):  # fmt: skip
    """Add a synapse to pending input, if its weight has the sign that is asked for."""
    value = constant
    if table.size > 0:
        y = quantile(table, weight_word)
        if sign != ANY and (y >= 0.0) != (sign == POSITIVE):
            return
        value = np.int64(stored_weight(abs(y) if magnitude else y, scale, limit)) << shift
    due = delay_steps(quantile(delay, delay_word), longest) if delay.size > 0 else longest
    add_input(ring32, ring64, wide, (((step + due) & mask) * receptors + receptor) * n + place, value)


def draw_rows(
    items, begin, end, lanes, rule, first, pre_start, pre_n, pre_ids, post_start, post_n, post_ids, number, others, posts, places,
    owns, k0, k1, receptor, wide, constant, table, sign, magnitude, scale, limit, shift, delay, longest, mask, receptors, n,
    ring32, ring64,
):  # fmt: skip
    """The rows of spikes [begin, end) of a list; few spikes are shared among many threads.

    `number`: how many targets a row has here, at most; `posts`, `places` and `owns` of the targets: indices, positions in the
    part, and in the pre subset. Where sources draw (`others`: never themselves), `places` are those of all
    the post subset, -1 where not here.
    """
    thread = cuda.grid(1)
    groups = cuda.gridsize(1) // lanes
    each = groups // (end - begin)
    each = each if each > 0 else 1
    side = groups // each
    group = thread // lanes
    if group >= side * each:
        return
    for i in range(begin + group // each, end, side):
        source = (items[i] & 0xFFFFFFFF) - first
        step = items[i] >> 32
        rank = place_in(source, pre_start, pre_n, pre_ids)
        if rank < 0:
            continue
        own = place_in(source, post_start, post_n, post_ids) if others else np.int64(-1)
        among = post_n - 1 if own >= 0 else post_n
        for t in range((group % each) * lanes + thread % lanes, number, each * lanes):
            if rule == TO_DRAWN:
                a, b, c, _ = philox(
                    np.uint32(source), np.uint32(t), np.uint32(TARGETS), np.uint32(0), np.uint32(k0), np.uint32(k1)
                )
                j = below(a, among)
                place = np.int64(places[j + 1 if own >= 0 and j >= own else j])
            else:
                target = np.int64(t)
                k = np.int64(0)
                if rule == TO_ONE:
                    target = place_in(rank, 0, 0, owns)
                elif owns[t] == rank:
                    target = np.int64(-1)
                else:
                    k = rank - 1 if 0 <= owns[t] < rank else rank
                if target < 0:
                    continue
                place = np.int64(places[target])
                _, b, c, _ = philox(
                    np.uint32(posts[target]), np.uint32(k), np.uint32(0), np.uint32(0), np.uint32(k0), np.uint32(k1)
                )
            if place >= 0:
                enter_synapse(
                    b, c, step, place, receptor, wide, constant, table, sign, magnitude, scale, limit, shift, delay, longest,
                    mask, receptors, n, ring32, ring64,
                )  # fmt: skip


def draw_again(
    control, log, lanes, rule, first, pre_start, pre_n, pre_ids, post_start, post_n, post_ids, number, others, posts, places,
    owns, k0, k1, receptor, wide, constant, table, sign, magnitude, scale, limit, shift, delay, longest, mask, receptors, n,
    ring32, ring64,
):  # fmt: skip
    """Deliver the spikes of this step."""
    if control[RUN] == 0:
        return
    begin = control[START]
    end = control[COUNT]
    if end > begin:
        draw_rows(
            log, begin, end, lanes, rule, first, pre_start, pre_n, pre_ids, post_start, post_n, post_ids, number, others, posts,
            places, owns, k0, k1, receptor, wide, constant, table, sign, magnitude, scale, limit, shift, delay, longest, mask,
            receptors, n, ring32, ring64,
        )  # fmt: skip


def draw_again_given(
    control, items, lanes, rule, first, pre_start, pre_n, pre_ids, post_start, post_n, post_ids, number, others, posts, places,
    owns, k0, k1, receptor, wide, constant, table, sign, magnitude, scale, limit, shift, delay, longest, mask, receptors, n,
    ring32, ring64,
):  # fmt: skip
    """Deliver spikes that other parts sent."""
    if control[GIVEN] > 0:
        draw_rows(
            items, 0, control[GIVEN], lanes, rule, first, pre_start, pre_n, pre_ids, post_start, post_n, post_ids, number, others,
            posts, places, owns, k0, k1, receptor, wide, constant, table, sign, magnitude, scale, limit, shift, delay, longest,
            mask, receptors, n, ring32, ring64,
        )  # fmt: skip


@cache
def load() -> SimpleNamespace:
    """The kernels, compiled when first launched."""
    names = words()
    text = '"""Numba keeps the procedural kernels of eventsnn beside this file."""\n'
    kept = imported(text, "procedural_cuda", CALLEES + Path(str(sys.modules[__name__].__file__)).read_bytes()).__file__
    bind((*DRAWS, add_input, first_from, place_in, enter_synapse, draw_rows), device, names)
    bind((draw_again, draw_again_given), kernel, names, str(kept))
    return SimpleNamespace(draw_again=names["draw_again"], draw_again_given=names["draw_again_given"])


class Procedural:
    """A strand of a projection that keeps no connections."""

    def __init__(self, spec: NetworkSpec, p: ProjectionSpec, targets: Targets, s: Strand, ring: tuple[Any, ...]) -> None:
        """`ring`: mask, receptors, neurons and accumulators of the part."""
        up, d = arrays().asarray, s.draws
        first = spec.populations[p.pre].first
        rule, number, others, owns, places = _rule(p, targets)
        no_table = np.empty(0)
        self.senders = first + (p.pre_subset.array() if rule != TO_ONE else p.pre_subset.array()[targets.ranks])
        """Neurons of the network that may have targets here."""
        self._arguments = (
            WARP,
            rule,
            first,
            *_range(p.pre_subset),
            *_range(p.post_subset),
            number,
            int(others),
            up(targets.posts),
            up(np.asarray(places, np.int64)),
            up(owns),
            *(d.k0, d.k1, s.receptor, int(s.wide), s.constant),
            up(d.weight.reshape(-1) if s.bits else no_table),
            *(d.sign, d.magnitude, d.scale, d.limit, s.shift),
            up(no_table if isinstance(p.delay, Fixed) else d.delay.reshape(-1)),
            d.longest,
            *ring,
        )
        self._own = len(self._arguments) - len(ring)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return sum(int(a.nbytes) for a in self._arguments[: self._own] if hasattr(a, "nbytes"))

    def step(self, out: Steps, control: Any, log: Any) -> None:
        """The launch of a step."""
        out.add(load().draw_again, 1 << 30, control, log, *self._arguments)

    def given(self, out: Steps, control: Any, items: Any) -> None:
        """The launch for spikes (step << 32 | id) that others sent."""
        out.given(load().draw_again_given, 1 << 30, control, items, *self._arguments)


def _range(s: Subset) -> tuple[int, int, Any]:
    """First neuron, number, and their indices where these have gaps."""
    return (s.start, len(s), arrays().zeros(0, np.int64)) if s.ids is None else (0, len(s), arrays().asarray(s.ids))


def _rule(p: ProjectionSpec, targets: Targets) -> tuple[int, int, bool, Any, Any]:
    """Which rule, how many targets or draws, whether a source leaves out itself; of the targets own positions, and places."""
    match p.rule:
        case EverySource(autapses):
            owns = np.full(len(targets.posts), -1, np.int64) if autapses else own_positions(p, targets)
            return TO_ALL, len(targets.posts), False, owns, targets.places
        case SameSource():
            return TO_ONE, 1, False, targets.ranks, targets.places
        case DrawnTargets() as rule if not rule.distinct:
            places = np.full(len(p.post_subset), -1, np.int64)
            places[targets.ranks] = targets.places
            return TO_DRAWN, rule.outdegree, p.pre == p.post and not rule.autapses, np.empty(0, np.int64), places
    raise TypeError(f"projection {p.name!r}: backend cuda cannot draw a row of {p.rule!r} by its source")
