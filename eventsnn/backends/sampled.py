"""Samples of synapses that change: their weights, and the variables of their rule, as they are when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.connect import Draws, listed
from eventsnn.backends.cpu.plastic import order
from eventsnn.backends.moments import decays
from eventsnn.spec import SynapseRecording

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]


class _Decay(NamedTuple):
    """What the decay of a variable takes besides its value, of each synapse."""

    table: F8
    delay: I8
    segment: I8
    """Number of (source, delay) among those of the block."""
    targets: I8
    """Positions of the targets in the block, distinct;"""
    target: I8
    """and which of them is the synapse's."""


class _Piece(NamedTuple):
    """The synapses of one block."""

    plastic: Any
    rows: I8
    """Where they stand in its arrays."""
    decay: _Decay | None


class SynapseSampler:
    """One recording over the blocks of a part; synapses by block, target, then as drawn."""

    def __init__(self, recording: SynapseRecording, blocks: Sequence[Any], dt: float) -> None:
        self.recording, self._dt = recording, dt
        self._pieces: list[_Piece] = []
        ends = [np.empty((2, 0), np.int32)]
        for b in blocks:
            for d in b.incoming.drawn(recording.projection):
                pre, post, piece = self._chosen(d, b.incoming.plastic[recording.projection])
                self._pieces.append(piece)
                ends.append(np.stack([pre, post]).astype(np.int32))
        self.ends = np.concatenate(ends, axis=1)
        """Source and target of each synapse, shape (2, synapses)."""

    def _chosen(self, d: Draws, plastic: Any) -> tuple[I8, I8, _Piece]:
        pre, delay, _ = listed(d)
        post = np.repeat(d.posts, d.degrees)
        chosen = np.isin(pre, self.recording.pre.array()) & np.isin(post, self.recording.post.array())
        rows = np.empty(len(pre), np.int64)
        rows[order(d)] = np.arange(len(pre))
        return pre[chosen], post[chosen], _Piece(plastic, rows[chosen], self._decay(d, plastic, pre, delay, chosen))

    def _decay(self, d: Draws, plastic: Any, pre: I8, delay: I8, chosen: npt.NDArray[np.bool_]) -> _Decay | None:
        variable = self.recording.variable
        tau = 0.0 if variable is None else plastic.rule.variables[variable][1]
        if not tau:
            return None
        segment = np.unique(pre << 32 | delay, return_inverse=True)[1]
        targets, target = np.unique(np.repeat(d.places, d.degrees)[chosen], return_inverse=True)
        return _Decay(decays(self._dt / tau), delay[chosen], segment[chosen], targets, target)

    def read(self, now: int) -> npt.NDArray[Any]:
        """A number of each synapse after step `now`, up to which all synapses have made up for what reached them."""
        found = [self._read(piece, now) for piece in self._pieces]
        return np.concatenate([np.empty(0), *found]).astype(self.recording.dtype)

    def _read(self, piece: _Piece, now: int) -> F8:
        plastic, variable = piece.plastic, self.recording.variable
        values: F8 = (plastic.weights if variable is None else plastic.variables[variable])[piece.rows]
        return values if piece.decay is None else values * _decayed(piece.decay.table, _still(plastic, piece.decay, now))


def _still(plastic: Any, d: _Decay, now: int) -> I8:
    """Steps since the last event of each synapse, a delay ago: to that its variables were decayed."""
    moved = np.maximum(plastic.spiked[d.segment], 0)
    kept, words = plastic.history(d.targets)
    if len(words):
        width = 1 + len(plastic.rule.post) + plastic.rule.values + plastic.rule.modulated
        spikes = words[::width].astype(np.int64)
        entries = np.repeat(np.arange(len(d.targets)), kept // width) << 40 | spikes
        before = np.searchsorted(entries, d.target << 40 | np.maximum(now - 2 * d.delay, -1) + 1) - 1
        some = (before >= 0) & (entries[before] >> 40 == d.target)
        moved = np.where(some, np.maximum(moved, (entries[before] & (1 << 40) - 1) + d.delay), moved)
    still: I8 = np.maximum(now - d.delay - moved, 0)
    return still


def _decayed(table: F8, steps: I8) -> F8:
    """exp(-steps dt/tau), by the products of table entries that the loops of a rule make."""
    low = table[steps & 255] * table[256 + (steps >> 8 & 255)]
    high = table[512 + (steps >> 16 & 255)] * table[768 + (steps >> 24 & 255)]
    whole: F8 = np.where(steps < 1 << 16, low, low * high)
    return whole
