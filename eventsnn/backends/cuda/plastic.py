"""The synapses of one projection that change, on a device: their weights, what they remember, and their launches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.plastic import order, starts
from eventsnn.backends.cpu.strands import Strand
from eventsnn.backends.cpu.tables import Kind
from eventsnn.backends.cuda.device import arrays, launch, to_host
from eventsnn.backends.cuda.fired import Fired, entries, load
from eventsnn.backends.cuda.learning import arguments, kernels_of
from eventsnn.backends.cuda.steps import Steps
from eventsnn.backends.cuda.synapses import lanes_for, sorted_draws
from eventsnn.backends.moments import LEARN, numbers_of, tables_of
from eventsnn.spec import Fixed, Given, ProjectionSpec

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]
ROOM = 64
"""Entries of a history that have been used, half as many as are kept before all synapses are brought up to date."""


class Plastic:
    """Weights are float64, by (source, delay, target); a segment is what one source reaches with one delay."""

    def __init__(
        self, projection: ProjectionSpec, strand: Strand, dt: float, exponent: int, span: tuple[int, int],
        source: tuple[int, int], third: tuple[int, int], read: Sequence[Any], n: int, control: Any,
    ) -> None:  # fmt: skip
        """`exponent`: of the receptor; `span`: positions of the targets among the n of the part; `source`, `third`: ids of the
        neurons of the pre population and of those that modulate; `read`: states of the part; `control`: of its steps."""
        assert projection.plasticity is not None
        xp, p = arrays(), projection.plasticity
        self.number, self.projection, self.rule, self.read, self.control = strand.projection, projection, p, read, control
        self.receptor, self.low, self.n, self.third = strand.receptor, span[0], span[1] - span[0], third
        self.first, self.starts, self.delay, self.targets, self._weights = _table(projection, strand, source[1] - source[0], n)
        self.horizon, self.synapses, segments = strand.horizon, len(self.targets), len(self.delay)
        self.lanes = lanes_for(self.synapses, segments)
        self.delays = xp.unique(self.delay)
        each = [values[order(strand.draws)] for values in strand.each]
        own = [np.broadcast_to(values, self.synapses) for values in starts(p, each)]
        self._variables = xp.asarray(np.concatenate([np.empty(0), *own]))
        self.seen, self.last = xp.full(segments, -1, np.int64), xp.full(segments, -1, np.int64)
        self.pre = xp.zeros(segments * len(p.pre))
        self.states = xp.asarray(np.tile(np.array(p.states, np.float64), segments))
        self.kept = len(p.post) + p.values
        self.room = 2 * (2 * self.horizon + ROOM)
        self.count = xp.zeros(self.n, np.int32)
        self.at = xp.zeros(self.n * self.room, np.int64)
        self.values = xp.zeros(self.n * self.room * self.kept)
        self.late = projection.modulator[1] if projection.modulator is not None else 0
        self.fired, self.modulators = Fired(*source, self.horizon), Fired(*third, self.late)
        self.need = xp.zeros(1, np.int64)
        """Whether histories have to be cut."""
        self.numbers, self.tables = xp.asarray(numbers_of(p, exponent, dt)), xp.asarray(tables_of(p, dt))
        self.depth = 1 << (2 * self.horizon + 1).bit_length() if p.past else 1
        self.past = xp.zeros((self.depth, self.n, len(p.past)))
        for k, which in enumerate(p.past):
            self.past[:, :, k] = read[which][span[0] : span[1]]
        self.past = self.past.reshape(-1)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        synapses = (self.first, self.starts, self.delay, self.delays, self.targets, self._weights, self._variables)
        memory = (self.seen, self.last, self.pre, self.states, self.count, self.at, self.values, self.past, self.tables)
        return int(sum(a.nbytes for a in (*synapses, *memory))) + self.fired.nbytes + self.modulators.nbytes

    # ---- launches

    def before(self, out: Steps, ring: Mapping[str, Any]) -> None:
        """Of the step, before its update. `ring`: where input goes, by the names of arguments."""
        out.add(kernels_of(self.rule).arrive, 1 << 30, *self._given("arrive", ring))

    def after(self, out: Steps, log: Any, flags: Any) -> None:
        """After the update, once all spikes of the step are in the log."""
        made, more = kernels_of(self.rule), {"log": log, "flags": flags, "forced": -1}
        out.add(made.keep, 1 << 30, *self._given("keep", more))
        out.add(made.tidy, 1 << 30, *self._given("tidy", more))
        out.add(made.cut, 1 << 30, *self._given("cut", more))

    def given(self, out: Steps, items: Any) -> None:
        """Take up spikes (step << 32 | id) that others sent."""
        out.given(load().enter_given, 1 << 30, self.control, items, *self.fired.arguments, *self.modulators.arguments)

    def make_up(self, now: int) -> None:
        """All synapses make up for the spikes of their targets that reached them up to `now` - delay. Changes no result."""
        for name in ("tidy", "cut"):
            launch(getattr(kernels_of(self.rule), name), 1 << 30, *self._given(name, {"forced": now}))

    def _given(self, kernel: str, more: Mapping[str, Any]) -> list[Any]:
        fired = ("source", "mask", "rows", "fired", "times", "number")
        given = {
            "control": self.control,
            "need": self.need,
            "projection": self.number,
            "numbers": self.numbers,
            "tables": self.tables,
            "row_start": self.first,
            "segment_delay": self.delay,
            "starts": self.starts,
            "delays": self.delays,
            "targets": self.targets,
            "weights": self._weights,
            "variables": self._variables,
            "seen": self.seen,
            "last": self.last,
            "pre": self.pre,
            "states": self.states,
            "low_target": self.low,
            "n": self.n,
            "room": self.room,
            "count": self.count,
            "at": self.at,
            "values": self.values,
            "numbers_kept": self.kept,
            "past": self.past,
            "past_mask": self.depth - 1,
            "lanes": self.lanes,
            "horizon": self.horizon,
            "late": self.late,
            **dict(zip(("first_source", *fired[1:]), self.fired.arguments, strict=True)),
            **dict(zip((f"third_{x}" for x in fired), self.modulators.arguments, strict=True)),
            **{f"read{k}": x for k, x in enumerate(self.read)},
            **more,
        }
        return [given[name] for name in arguments(self.rule)[kernel]]

    def full(self, step: int) -> MemoryError:
        """The error where a history had no room."""
        return MemoryError(
            f"projection {self.projection.name!r}: more than {self.room} spikes of a target and of the modulator lay within"
            f" twice the longest delay before step {step}, which is all that backend cuda keeps; use backend='cpu'"
        )

    # ---- from outside, between runs

    @property
    def weights(self) -> F8:
        return to_host(self._weights)

    @property
    def spiked(self) -> I8:
        """When each segment's source fired last, -1 if never."""
        return to_host(self.last)

    @property
    def variables(self) -> list[F8]:
        number = len(self.rule.variables) + len(self.rule.each)
        return list(to_host(self._variables).reshape(number, self.synapses))

    def write(self, weights: F8, variables: Sequence[F8] = ()) -> None:
        """New weights and, if they are given, variables."""
        xp = arrays()
        self._weights[:] = xp.asarray(weights)
        for k, column in enumerate(variables):
            self._variables[k * self.synapses : (k + 1) * self.synapses] = xp.asarray(column)

    @property
    def learning(self) -> float:
        return float(to_host(self.numbers)[LEARN])

    def learn(self, factor: float, now: int) -> None:
        """From now on weights change by `factor` times what the rule says."""
        self.make_up(now)
        self.numbers[LEARN] = factor

    # ---- what a checkpoint keeps, as cpu.plastic.Plastic does

    def taken(self, now: int, row: int) -> dict[str, npt.NDArray[Any]]:
        """What the sources remember and what is on its way after step `now`."""
        self.make_up(now)
        flying = list(self.fired.after(now - self.horizon))
        third = [(self.third[0] + k, step, times) for k, step, times in self.modulators.after(now - self.late)]
        return {
            "segment": self._keys(),
            "last": to_host(self.last),
            "pre": to_host(self.pre).reshape(len(self.delay), len(self.rule.pre)),
            "states": to_host(self.states).reshape(len(self.delay), len(self.rule.states)),
            "flying": np.array(flying, np.int64).reshape(-1, 3),
            "third": np.array(third, np.int64).reshape(-1, 3),
        }

    def put(self, now: int, row: int, piece: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take up what `taken` gave; several pieces one after the other give the whole."""
        xp, keys = arrays(), self._keys()
        mine, theirs = np.intersect1d(keys, piece["segment"], return_indices=True)[1:]
        rows = ((self.last, "last", 1), (self.pre, "pre", len(self.rule.pre)), (self.states, "states", len(self.rule.states)))
        for memory, name, width in rows:
            host = to_host(memory).reshape(len(keys), width)
            host[mine] = piece[name][theirs].reshape(len(mine), width)
            memory[:] = xp.asarray(host.reshape(-1))
        self.seen[:] = xp.asarray(np.maximum(now - (keys & 0xFFFFFFFF), -1))
        self.fired.put(now, entries(piece["flying"]))
        self.modulators.put(now, ((k - self.third[0], step, times) for k, step, times in entries(piece["third"])))

    def history(self, places: I8) -> tuple[I8, npt.NDArray[np.uint64]]:
        """Words kept of each of these targets of the part, and all of them."""
        counts = to_host(self.count)[places - self.low].astype(np.int64)
        at = to_host(self.at).reshape(self.n, self.room)[places - self.low]
        values = to_host(self.values).reshape(self.n, self.room, self.kept)[places - self.low]
        there = np.arange(self.room) < counts[:, None]
        entry = [(at[there] >> 1)[:, None], values[there].view(np.int64)]
        words = np.concatenate([*entry, *([(at[there] & 1)[:, None]] if self.rule.modulated else [])], axis=1)
        return counts * words.shape[1], words.reshape(-1).view(np.uint64)

    def remember(self, now: int, places: I8, words: Sequence[npt.NDArray[np.uint64]], was: Sequence[F8]) -> None:
        """The histories of targets at positions of the part, and their past states."""
        xp, size = arrays(), 1 + self.kept + self.rule.modulated
        count, at = to_host(self.count), to_host(self.at).reshape(self.n, self.room)
        values, past = to_host(self.values).reshape(self.n, self.room, -1), to_host(self.past).reshape(self.depth, self.n, -1)
        for place, mine, states in zip((places - self.low).tolist(), words, was, strict=True):
            rows = mine.view(np.int64).reshape(-1, size)[-self.room :]
            count[place] = len(rows)
            at[place, : len(rows)] = rows[:, 0] << 1 | (rows[:, -1] if self.rule.modulated else 0)
            values[place, : len(rows)] = np.ascontiguousarray(rows[:, 1 : 1 + self.kept]).view(np.float64)
            past[(now - np.arange(len(states))[::-1]) % self.depth, place] = states
        for memory, host in ((self.count, count), (self.at, at), (self.values, values), (self.past, past)):
            memory[:] = xp.asarray(host.reshape(-1))

    def was(self, now: int, places: I8) -> F8:
        """Past states of these targets, shape (targets, steps, states), the last step being `now`."""
        past = to_host(self.past).reshape(self.depth, self.n, -1)
        steps = now - np.arange(min(self.depth, 2 * self.horizon + 1))[::-1]
        return np.ascontiguousarray(np.swapaxes(past[steps % self.depth][:, places - self.low], 0, 1))

    def close(self) -> None:
        """Memory of the device goes with its arrays."""

    def _keys(self) -> I8:
        """source << 32 | delay of every segment."""
        first = to_host(self.first)
        return (np.repeat(np.arange(len(first) - 1), np.diff(first)) << 32) | to_host(self.delay).astype(np.int64)


def _table(p: ProjectionSpec, s: Strand, sources: int, n: int) -> tuple[Any, Any, Any, Any, Any]:
    """First segment of each source, start and delay of each segment, target and weight of each synapse; drawn on the device."""
    xp = arrays()
    kind = Kind(s.receptor, s.wide, s.bits, s.constant if s.bits == 0 else s.shift)
    keys, stored, bits, horizon = sorted_draws(xp, kind, [s], sources, n)
    segment = keys >> bits
    edge = xp.flatnonzero(xp.concatenate([xp.ones(min(1, len(keys)), bool), segment[1:] != segment[:-1]])).astype(np.int64)
    starts = xp.concatenate([edge, xp.asarray([len(keys)])])
    first = xp.searchsorted(segment[edge] // horizon, xp.arange(sources + 1)).astype(np.int64)
    if isinstance(p.weight, Given):
        given = s.draws.given[order(s.draws)]
        weights = xp.asarray(np.abs(given) if p.magnitude else given)
    elif isinstance(p.weight, Fixed):
        weights = xp.full(len(keys), abs(p.weight.value) if p.magnitude else p.weight.value)
    else:
        weights = stored.astype(np.float64) * 2.0**p.exponent
    targets = (keys & ((1 << bits) - 1)).astype(np.int32)
    return first, starts, (segment[edge] % horizon + 1).astype(np.int32), targets, weights
