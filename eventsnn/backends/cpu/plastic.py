"""The synapses of one projection that change, in one target block: their weights, what they remember, and their operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.connect import Draws, listed
from eventsnn.backends.cpu.learning import CHUNK, rule_of, scratch_rows
from eventsnn.backends.cpu.memory import CAPACITY, COUNT, append, contents, release
from eventsnn.backends.cpu.operation import Operation, Program
from eventsnn.backends.cpu.tables import Table
from eventsnn.backends.moments import LEARN, numbers_of, tables_of
from eventsnn.spec import Fixed, Plasticity, ProjectionSpec

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]
LOW_WORD = np.uint64(0xFFFFFFFF)
KEPT = 8
"""Mean number of spikes in a history after which all synapses make up for theirs."""


class Plastic:
    """Weights are float64, source-major as in `table`; a spike carries the weight as an integer of the receptor's accumulator."""

    def __init__(
        self,
        projection: ProjectionSpec,
        table: Table,
        dt: float,
        exponent: int,
        span: tuple[int, int],
        third: tuple[int, int],
        read: Sequence[npt.NDArray[Any]],
        each: Sequence[F8] = (),
    ) -> None:
        """`exponent`: of the receptor; `span`: positions of the targets in the block, [low, high); `third`: ids of the neurons
        that modulate, [low, high); `read`: states of the block; `each`: parameters of every synapse, as in the table."""
        assert projection.plasticity is not None
        self.projection, self.rule, self.receptor = projection, projection.plasticity, table.kind.receptor
        self.first, self.segments, self.horizon, self.synapses = table.first, table.segments, table.horizon, table.synapses
        self.low, self.n = span[0], span[1] - span[0]
        p, segments = self.rule, len(table.segments) - 1
        self.targets, self.weights = _targets(table), _weights(projection, table)
        self.variables = np.empty((len(p.variables) + len(p.each), table.synapses))
        for row, values in zip(self.variables, starts(p, each), strict=True):
            row[:] = values
        self.seen, self.last = np.full(segments, -1, np.int64), np.full(segments, -1, np.int64)
        self.pre = np.zeros((segments, len(p.pre)))
        self.states = np.tile(np.array(p.states, np.float64), (segments, 1))
        self.histories = np.zeros((self.n, 3), np.int64)
        self.size = 1 << table.horizon.bit_length()
        self.calendar = np.zeros((self.size, 3), np.int64)
        self.counter = np.array([0, KEPT * self.n, table.horizon], np.int64)
        self.tables, self.numbers = tables_of(p, dt), numbers_of(p, exponent, dt)
        self.scratch = np.zeros((scratch_rows(p), CHUNK))
        self.third, self.late = third, projection.modulator[1] if projection.modulator is not None else 0
        self.due = np.zeros((1 << self.late.bit_length(), 3), np.int64)
        """Spikes of the modulator, by the step in which they are there."""
        self.read = read
        self.slots = np.array([x.ctypes.data for x in read], np.int64)
        depth = 1 << (2 * table.horizon + 1).bit_length() if p.past else 1
        self.past = np.empty((depth, self.n, len(p.past)))
        """By step modulo its length, target and past state."""
        for k, which in enumerate(p.past):
            self.past[:, :, k] = read[which][span[0] : span[1]]
        self.code = rule_of(p, read[0].dtype.name if len(read) else "float64")

    @property
    def nbytes(self) -> int:
        synapses = (self.first, self.segments, self.targets, self.weights, self.variables)
        memory = (self.seen, self.last, self.pre, self.states, self.calendar, self.histories, self.past)
        return sum(a.nbytes for a in (*synapses, *memory)) + 8 * int(self.histories[:, CAPACITY].sum())

    # ---- operations

    def push(self, row_of: npt.NDArray[np.int32]) -> Operation:
        head = (len(row_of), len(self.first) - 1, len(self.segments) - 1, self.size - 1)
        third = (self.third[0], self.late, self.due, len(self.due) - 1, self.third[1])
        return Operation(self.code.push, *head, row_of, self.first, self.segments, self.calendar, *third)

    def deliver(self, total: npt.NDArray[np.int64], flags: npt.NDArray[np.uint8]) -> Operation:
        return Operation(self.code.deliver, *self._row(total, flags))

    def after(self, total: npt.NDArray[np.int64], flags: npt.NDArray[np.uint8]) -> list[Operation]:
        """After the update: keep the spikes of targets."""
        row = self._row(total, flags)
        return [Operation(self.code.append, *row), Operation(self.code.tidy, *row)]

    def _row(self, total: npt.NDArray[np.int64], flags: npt.NDArray[np.uint8]) -> tuple[int | npt.NDArray[Any], ...]:
        table = (len(self.segments) - 1, self.segments, self.synapses, self.targets, self.weights)
        head = (self.calendar, self.size - 1, *table, total)
        memory = (self.numbers, self.seen, self.last, self.pre, self.states, self.variables)
        past = (self.slots, self.past, len(self.past) - 1, self.due, len(self.due) - 1)
        return (*head, *memory, self.histories, self.low, self.n, flags, self.tables, self.counter, self.scratch, *past)

    def make_up(self, now: int) -> None:
        """All synapses make up for the spikes of their targets that reached them up to `now` - delay. Changes no result."""
        self.counter[0] = self.counter[1] + 1
        nothing = np.zeros(0, np.int64)
        Program([Operation(self.code.tidy, *self._row(nothing, nothing.astype(np.uint8)))]).run(now)

    # ---- from outside, between runs

    def write(self, weights: F8, variables: Sequence[F8] = ()) -> None:
        """New weights and, if they are given, variables."""
        self.weights[:] = weights
        for memory, column in zip(self.variables, variables, strict=False):
            memory[:] = column

    @property
    def spiked(self) -> I8:
        """When each segment's source fired last, -1 if never."""
        return self.last

    @property
    def learning(self) -> float:
        return float(self.numbers[LEARN])

    def learn(self, factor: float, now: int) -> None:
        """From now on weights change by `factor` times what the rule says."""
        self.make_up(now)
        self.numbers[LEARN] = factor

    # ---- what a checkpoint keeps, by names that any layout has

    def close(self) -> None:
        for lists in (self.calendar, self.histories, self.due):
            release(lists)

    def taken(self, now: int, row: int) -> dict[str, npt.NDArray[Any]]:
        """What the sources remember and what is on its way after step `now`; the source of row `row` is number 0.

        `segment`: source << 32 | delay of each; `last`, `pre`, `states` of it. `flying`: source, step and how many times;
        `third`: the same of the modulator, by id in the network.
        """
        self.make_up(now)
        keys = self._keys(row)
        delays = self.segments[:-1] & LOW_WORD
        found: dict[tuple[int, int], int] = {}
        for slot in range(self.size):
            due = now + 1 + (slot - now - 1) % self.size
            for e, times in zip(*np.unique(contents(self.calendar[slot]), return_counts=True), strict=True):
                spike = int(keys[e]) >> 32, due - int(delays[e])
                found[spike] = max(found.get(spike, 0), int(times))
        flying = np.array([(source, step, times) for (source, step), times in sorted(found.items())], np.int64).reshape(-1, 3)
        late = [np.stack([x.astype(np.int64) & 0xFFFFFFFF, x.astype(np.int64) >> 32], axis=1) for x in map(contents, self.due)]
        third = np.concatenate([np.empty((0, 2), np.int64), *late])
        found_third = np.unique(third, axis=0, return_counts=True)
        thirds = np.column_stack([found_third[0].reshape(-1, 2), found_third[1]])
        return {"third": thirds, "segment": keys, "last": self.last, "pre": self.pre, "states": self.states, "flying": flying}

    def put(self, now: int, row: int, piece: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take up what `taken` gave; several pieces one after the other give the whole."""
        keys = self._keys(row)
        mine, theirs = np.intersect1d(keys, piece["segment"], return_indices=True)[1:]
        self.last[mine], self.pre[mine], self.states[mine] = (piece[name][theirs] for name in ("last", "pre", "states"))
        self.seen[:] = np.maximum(now - (keys & 0xFFFFFFFF), -1)
        for neuron, step, times in piece["third"].tolist():
            slot = self.due[(step + self.late) % len(self.due)]
            spike = step << 32 | neuron
            append(slot, np.full(max(0, times - int((contents(slot) == spike).sum())), spike, np.uint64))
        for source, step, times in piece["flying"].tolist():
            for e in range(self.first[row + source], self.first[row + source + 1]):
                due = step + int(keys[e] & 0xFFFFFFFF)
                slot = self.calendar[due % self.size]
                there = int((contents(slot) == e).sum()) if due > now else times
                append(slot, np.full(max(0, times - there), e, np.uint64))

    def history(self, places: I8) -> tuple[I8, npt.NDArray[np.uint64]]:
        """Words kept of each of these targets of the block, and all of them."""
        rows = self.histories[places - self.low]
        return rows[:, COUNT].copy(), np.concatenate([np.empty(0, np.uint64), *map(contents, rows)])

    def was(self, now: int, places: I8) -> F8:
        """Past states of these targets, shape (targets, steps, states), the last step being `now`."""
        steps = now - np.arange(min(len(self.past), 2 * self.horizon + 1))[::-1]
        return np.ascontiguousarray(np.swapaxes(self.past[steps % len(self.past)][:, places - self.low], 0, 1))

    def remember(self, now: int, places: I8, words: Sequence[npt.NDArray[np.uint64]], was: Sequence[F8]) -> None:
        """The histories of targets at positions of the block, and their past states."""
        for place, mine, states in zip((places - self.low).tolist(), words, was, strict=True):
            row = self.histories[place]
            row[COUNT] = 0
            append(row, mine)
            steps = now - np.arange(len(states))[::-1]
            self.past[steps % len(self.past), place] = states

    def _keys(self, row: int) -> I8:
        """source << 32 | delay of every segment."""
        sources = np.repeat(np.arange(len(self.first) - 1) - row, np.diff(self.first))
        return (sources << 32) | (self.segments[:-1] & LOW_WORD).astype(np.int64)


def _weights(p: ProjectionSpec, table: Table) -> F8:
    """What the table holds, in the unit of the receptor. Weights given edge by edge are set afterwards."""
    if isinstance(p.weight, Fixed):
        value = abs(p.weight.value) if p.magnitude else p.weight.value
        return np.full(table.synapses, value)
    stored = table.packed.astype(np.uint16).astype(np.int16) if table.kind.bits == 16 else table.weights
    return stored.astype(np.float64) * 2.0**p.exponent


def starts(p: Plasticity, each: Sequence[F8]) -> list[float | F8]:
    """What the variables of synapses are at first, and their own parameters."""
    names = [name for name, _ in p.each]
    return [each[names.index(x)] if isinstance(x, str) else x for x, _ in p.variables] + list(each)


def order(d: Draws) -> I8:
    """Where the synapses of a table stand in the list of its connections by target, then as drawn."""
    pre, delay, _ = listed(d)
    return np.lexsort((np.repeat(d.places, d.degrees), delay, pre)).astype(np.int64)


def _targets(table: Table) -> npt.NDArray[np.uint16]:
    """Of every synapse."""
    return (table.packed >> np.uint32(16)).astype(np.uint16) if table.kind.bits == 16 else table.targets
