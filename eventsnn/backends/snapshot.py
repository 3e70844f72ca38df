"""The dynamic state of a part as plain arrays that name their neurons: what a checkpoint keeps, and any other layout takes up.

A piece holds `slices`, shape (slices, 3): population, first neuron, end; and of slice k the arrays `k/counts`, `k/refractory`,
`k/state/<name>`, `k/parameter/<name>` (where it was set), `k/injected` (step, neuron) and `k/pending/<receptor>`, shape
(steps, neurons), whose row h is due h + 1 steps later. Of projection p whose weights were set: `weights/p/post`, its targets,
`weights/p/degree` of each, `weights/p/value` in that order. Connections are not kept: they are drawn again. Synapses that change
are in learned.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends import learned
from eventsnn.backends.access import Neurons, set_parameter, states
from eventsnn.backends.members import Member
from eventsnn.errors import StateError

if TYPE_CHECKING:
    from eventsnn.backends.engine import Engine

Piece = Mapping[str, npt.NDArray[Any]]
Pending = dict[tuple[int, bool], npt.NDArray[Any]]
"""By receptor and width of its accumulator: input that is on its way, shape (steps, neurons); row h is due h + 1 steps later."""


def unrolled(ring: npt.NDArray[Any], now: int) -> npt.NDArray[Any]:
    """The rows of a ring (slot: step modulo length) in the order in which they are due, up to the last that is not zero."""
    due = np.roll(ring, -(now + 1), axis=0)
    last = np.flatnonzero(due.any(axis=1))
    return due[: last[-1] + 1 if len(last) else 0]


def rolled(rows: npt.NDArray[Any], now: int, size: int) -> npt.NDArray[Any]:
    """The ring of `size` slots that holds these rows."""
    ring = np.zeros((size, rows.shape[1]), rows.dtype)
    ring[: len(rows)] = rows
    return np.roll(ring, now + 1, axis=0)


def take(engine: Engine, now: int) -> dict[str, npt.NDArray[Any]]:
    """The state of all neurons of a part after step `now`; it can go on as if nothing had been asked."""
    out: dict[str, npt.NDArray[Any]] = {}
    slices: list[tuple[int, int, int]] = []
    for block, pending in zip(engine.blocks, engine.pending(now), strict=True):
        for m in block.neurons.members:
            head = f"{len(slices)}/"
            slices.append((m.slice.population, m.slice.start, m.slice.stop))
            places = np.arange(m.low, m.high)
            out[head + "counts"] = block.neurons.counts_of(places)
            out[head + "refractory"] = block.neurons.refractory_of(places)
            for slot, name in enumerate(states(m)):
                out[f"{head}state/{name}"] = block.neurons.read(slot, places)
            for name in sorted(m.changed):
                out[f"{head}parameter/{name}"] = np.broadcast_to(np.asarray(m.parameters[name], np.float64), len(places)).copy()
            for r, receptor in enumerate(m.spec.receptors):
                if (r, receptor.wide) in pending:
                    out[f"{head}pending/{r}"] = pending[r, receptor.wide][:, m.low : m.high]
            out[head + "injected"] = np.array([x for x in m.injected if x[0] > now], np.int64).reshape(-1, 2)
    out |= learned.take(engine.blocks, now)
    out["slices"] = np.array(slices, np.int64).reshape(-1, 3)
    for projection in sorted({p for block in engine.blocks for p in block.incoming.overrides}):
        out |= _weights(engine, projection)
    return out


def put(engine: Engine, now: int, pieces: Iterable[Piece]) -> None:
    """Make a part that was built and has not run what these neurons were after step `now`, in whatever parts they lived."""
    pieces = list(pieces)
    pending: list[Pending] = [{} for _ in engine.blocks]
    weights: dict[int, dict[int, npt.NDArray[np.float64]]] = {}
    found = 0
    for piece in pieces:
        for k, (population, start, stop) in enumerate(piece["slices"].tolist()):
            for block, due in zip(engine.blocks, pending, strict=True):
                for m in block.neurons.members:
                    low, high = max(start, m.slice.start), min(stop, m.slice.stop)
                    if m.slice.population == population and low < high:
                        _put_slice(block.neurons, m, _Column(piece, f"{k}/", slice(low - start, high - start)), low, due)
                        found += high - low
        for projection in _projections(piece):
            weights.setdefault(projection, {}).update(_by_target(piece, projection))
    size = sum(m.high - m.low for block in engine.blocks for m in block.neurons.members)
    if found != size:
        raise StateError(f"the checkpoint holds the state of {found:,} of the {size:,} neurons of this part")
    for projection, values in sorted(weights.items()):
        engine.set_weights(projection, [_dealt(block, projection, values) for block in engine.blocks], now)
    learned.put(engine.blocks, now, pieces)
    engine.resume(pending, now)


class _Column:
    """Some neurons of a slice in a piece."""

    def __init__(self, piece: Piece, head: str, where: slice) -> None:
        self._piece, self._head, self._where = piece, head, where

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """By neuron along the last axis."""
        return self._piece[self._head + name][..., self._where]

    def names(self, kind: str) -> list[str]:
        """Names of the arrays `kind/<name>`."""
        head = f"{self._head}{kind}/"
        return [name.removeprefix(head) for name in self._piece if name.startswith(head)]

    @property
    def injected(self) -> list[tuple[int, int]]:
        return [(step, neuron) for step, neuron in self._piece[self._head + "injected"].tolist()]


def _put_slice(neurons: Neurons, m: Member, column: _Column, low: int, pending: Pending) -> None:
    """Neurons from `low` on of a slice."""
    counts = column["counts"]
    ids = np.arange(low, low + len(counts))
    places = m.where(ids)
    neurons.resume(places, counts, column["refractory"])
    for slot, name in enumerate(states(m)):
        neurons.write(slot, places, column[f"state/{name}"])
    for name in column.names("parameter"):
        set_parameter(m, name, ids, column[f"parameter/{name}"])
    m.injected += [(step, neuron) for step, neuron in column.injected if low <= neuron <= ids[-1]]
    for r in map(int, column.names("pending")):
        rows = column[f"pending/{r}"]
        key = (r, m.spec.receptors[r].wide)
        have = pending.get(key, np.zeros((0, sum(x.high - x.low for x in neurons.members)), rows.dtype))
        if len(have) < len(rows):
            have = np.concatenate([have, np.zeros((len(rows) - len(have), have.shape[1]), have.dtype)])
        have[: len(rows), places] = rows
        pending[key] = have


def _weights(engine: Engine, projection: int) -> Piece:
    """Weights that were set, in the order of their targets."""
    found = [(d.posts, d.degrees) for block in engine.blocks for d in block.incoming.drawn(projection)]
    none = np.empty(0, np.int64)
    posts, degrees = (np.concatenate(x) for x in zip((none, none), *found, strict=True))
    values = np.concatenate([block.incoming.overrides[projection] for block in engine.blocks])
    head = f"weights/{projection}/"
    return {head + "post": posts, head + "degree": degrees, head + "value": values}


def _projections(piece: Piece) -> Iterator[int]:
    return (int(name.split("/")[1]) for name in piece if name.startswith("weights/") and name.endswith("/post"))


def _by_target(piece: Piece, projection: int) -> dict[int, npt.NDArray[np.float64]]:
    post, degree, value = (piece[f"weights/{projection}/{x}"] for x in ("post", "degree", "value"))
    return dict(zip(post.tolist(), np.split(value, np.cumsum(degree))[:-1], strict=True))


def _dealt(block: Any, projection: int, values: Mapping[int, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The weights onto a block, in order (target, k)."""
    posts = [post for d in block.incoming.drawn(projection) for post in d.posts.tolist()]
    return np.concatenate([np.empty(0), *(values[post] for post in posts)])
