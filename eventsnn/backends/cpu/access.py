"""What the outside may read and change between runs, over the blocks of a part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.block import Block
from eventsnn.backends.cpu.connect import DRAW, LIST, Draws, drawing
from eventsnn.backends.cpu.neurons import Member
from eventsnn.backends.cpu.operation import Operation
from eventsnn.fixed_point import stored_exponent
from eventsnn.spec import Equations, NetworkSpec

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]
Owned = tuple[Block, Member, npt.NDArray[np.bool_]]


def owners(blocks: Sequence[Block], population: int, ids: I8) -> Iterator[Owned]:
    """Every slice that holds some of ids, and which of them."""
    for b in blocks:
        for m in b.neurons.members:
            if m.slice.population == population:
                inside = (ids >= m.slice.start) & (ids < m.slice.stop)
                if inside.any():
                    yield b, m, inside


def _slot(b: Block, m: Member, name: str) -> npt.NDArray[Any] | None:
    """The array of a state; None where the name is a parameter."""
    dynamics = m.spec.dynamics
    states = dynamics.kernel.states if isinstance(dynamics, Equations) else ()
    return b.neurons.slots[states.index(name)] if name in states else None


def read(blocks: Sequence[Block], population: int, name: str, ids: I8) -> F8:
    """Values of a state or parameter."""
    out = np.zeros(len(ids), np.float64)
    for b, m, inside in owners(blocks, population, ids):
        slot = _slot(b, m, name)
        if slot is not None:
            out[inside] = slot[m.where(ids[inside])]
        else:
            value = m.parameters[name]
            out[inside] = value[ids[inside] - m.slice.start] if isinstance(value, np.ndarray) else value
    return out


def write(blocks: Sequence[Block], population: int, name: str, ids: I8, values: npt.NDArray[Any]) -> None:
    """Set a state or parameter; a parameter that all neurons of a slice share stays one number."""
    values = np.broadcast_to(np.asarray(values, np.float64), len(ids))
    for b, m, inside in owners(blocks, population, ids):
        slot = _slot(b, m, name)
        if slot is not None:
            slot[m.where(ids[inside])] = values[inside]
            continue
        full = np.array(np.broadcast_to(m.parameters[name], m.high - m.low), np.float64)
        full[ids[inside] - m.slice.start] = values[inside]
        m.parameters[name] = float(full[0]) if (full == full[0]).all() else full


def connections(blocks: Sequence[Block], spec: NetworkSpec, projection: int) -> dict[str, npt.NDArray[Any]]:
    """Connections whose targets live here, ordered by (post, k): pre, post, weight, delay (ms)."""
    p = spec.projections[projection]
    found = [
        _listed(d, 2.0 ** stored_exponent(p, projection in b.overrides), spec.dt) for b in blocks for d in b.drawn(projection)
    ]
    none = [np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0)]
    pre, post, weight, delay = (np.concatenate(x) for x in zip(none, *found, strict=True))
    order = np.argsort(post, kind="stable")
    return {"pre": pre[order], "post": post[order], "weight": weight[order], "delay": delay[order]}


def _listed(d: Draws, scale: float, dt: float) -> list[npt.NDArray[Any]]:
    pre, post, delay, weight = (np.empty(int(d.degrees.sum()), np.int64) for _ in range(4))
    operation, scratch = drawing(d)
    Operation(LIST, DRAW.address, operation.row, len(d.posts), d.posts, *scratch, len(pre), pre, post, delay, weight).run()
    return [pre, post, weight * scale, np.round(delay * dt, 10)]


def set_weights(blocks: Sequence[Block], spec: NetworkSpec, projection: int, values: F8, lists: I8, now: int) -> None:
    """New weights, in the order of `connections`, for spikes from now on."""
    posts = [np.repeat(d.posts, d.degrees) for b in blocks for d in b.drawn(projection)]
    order = np.argsort(np.concatenate([np.empty(0, np.int64), *posts]), kind="stable")
    values = np.array(np.broadcast_to(np.asarray(values, np.float64), len(order)))
    mine = np.empty_like(values)
    mine[order] = values
    sizes = [sum(int(d.degrees.sum()) for d in b.drawn(projection)) for b in blocks]
    for b, piece in zip(blocks, np.split(mine, np.cumsum(sizes)[:-1]), strict=True):
        b.set_weights(projection, piece, lists, now)
