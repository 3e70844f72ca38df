"""What the outside may read and change between runs, over the blocks of a part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.connect import Draws, listed
from eventsnn.backends.cpu.plastic import order
from eventsnn.backends.incoming import Incoming
from eventsnn.backends.members import Member
from eventsnn.fixed_point import stored_exponent
from eventsnn.spec import Equations, NetworkSpec, ProjectionSpec

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]


class Neurons(Protocol):
    """Members whose states can be read and set by number and position."""

    members: list[Member]

    def read(self, slot: int, places: I8) -> npt.NDArray[Any]: ...
    def write(self, slot: int, places: I8, values: npt.NDArray[Any]) -> None: ...
    def counts_of(self, places: I8) -> I8: ...
    def refractory_of(self, places: I8) -> npt.NDArray[np.int32]: ...
    def resume(self, places: I8, counts: I8, refractory: npt.NDArray[np.int32]) -> None: ...


class Block(Protocol):
    """Neurons and the connections onto them."""

    @property
    def neurons(self) -> Neurons: ...
    @property
    def incoming(self) -> Incoming: ...


Owned = tuple[Block, Member, npt.NDArray[np.bool_]]


def owners(blocks: Sequence[Block], population: int, ids: I8) -> Iterator[Owned]:
    """Every slice that holds some of ids, and which of them."""
    for b in blocks:
        for m in b.neurons.members:
            if m.slice.population == population:
                inside = (ids >= m.slice.start) & (ids < m.slice.stop)
                if inside.any():
                    yield b, m, inside


def states(m: Member) -> tuple[str, ...]:
    """Names of its states, by number."""
    dynamics = m.spec.dynamics
    return dynamics.kernel.states if isinstance(dynamics, Equations) else ()


def _slot(m: Member, name: str) -> int | None:
    """The number of a state; None where the name is a parameter."""
    return states(m).index(name) if name in states(m) else None


def set_parameter(m: Member, name: str, ids: I8, values: F8) -> None:
    """Set a parameter of neurons of a slice; one that all of them share stays one number."""
    full = np.array(np.broadcast_to(m.parameters[name], m.high - m.low), np.float64)
    full[ids - m.slice.start] = values
    m.parameters[name] = float(full[0]) if (full == full[0]).all() else full
    m.changed.add(name)


def read(blocks: Sequence[Block], population: int, name: str, ids: I8) -> F8:
    """Values of a state or parameter."""
    out = np.zeros(len(ids), np.float64)
    for b, m, inside in owners(blocks, population, ids):
        slot = _slot(m, name)
        if slot is not None:
            out[inside] = b.neurons.read(slot, m.where(ids[inside]))
        else:
            value = m.parameters[name]
            out[inside] = value[ids[inside] - m.slice.start] if isinstance(value, np.ndarray) else value
    return out


def write(blocks: Sequence[Block], population: int, name: str, ids: I8, values: npt.NDArray[Any]) -> None:
    """Set a state or parameter."""
    values = np.broadcast_to(np.asarray(values, np.float64), len(ids))
    for b, m, inside in owners(blocks, population, ids):
        slot = _slot(m, name)
        if slot is not None:
            b.neurons.write(slot, m.where(ids[inside]), values[inside])
        else:
            set_parameter(m, name, ids[inside], values[inside])


def connections(blocks: Sequence[Block], spec: NetworkSpec, projection: int) -> dict[str, npt.NDArray[Any]]:
    """Connections whose targets live here, ordered by (post, k): pre, post, weight, delay (ms)."""
    p = spec.projections[projection]
    found = [_listed(b, projection, d, p, spec.dt) for b in blocks for d in b.incoming.drawn(projection)]
    none = [np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0)]
    pre, post, weight, delay = (np.concatenate(x) for x in zip(none, *found, strict=True))
    order = np.argsort(post, kind="stable")
    return {"pre": pre[order], "post": post[order], "weight": weight[order], "delay": delay[order]}


def _listed(b: Block, projection: int, d: Draws, p: ProjectionSpec, dt: float) -> list[npt.NDArray[Any]]:
    pre, delay, stored = listed(d)
    if projection in b.incoming.plastic:
        weight = np.empty(len(pre), np.float64)
        weight[order(d)] = b.incoming.plastic[projection].weights
    else:
        weight = np.asarray(stored * 2.0 ** stored_exponent(p, projection in b.incoming.overrides), np.float64)
    return [pre, np.repeat(d.posts, d.degrees), weight, np.round(delay * dt, 10)]


def counts(blocks: Sequence[Block], population: int, ids: I8) -> I8:
    """Spikes so far."""
    out = np.zeros(len(ids), np.int64)
    for b, m, inside in owners(blocks, population, ids):
        out[inside] = b.neurons.counts_of(m.where(ids[inside]))
    return out


def inject(blocks: Sequence[Block], population: int, steps: I8, ids: I8, now: int) -> None:
    """Each neuron of ids emits a spike at its step (> now)."""
    for _, m, inside in owners(blocks, population, ids):
        m.injected = [x for x in m.injected if x[0] > now]
        m.injected += list(zip(steps[inside].tolist(), ids[inside].tolist(), strict=True))


def dealt(blocks: Sequence[Block], projection: int, values: F8) -> list[F8]:
    """Weights in the order of `connections`, by block in order (target, k)."""
    drawn = [b.incoming.drawn(projection) for b in blocks]
    posts = [np.repeat(d.posts, d.degrees) for found in drawn for d in found]
    order = np.argsort(np.concatenate([np.empty(0, np.int64), *posts]), kind="stable")
    mine = np.empty(len(order))
    mine[order] = np.broadcast_to(np.asarray(values, np.float64), len(order))
    sizes = [sum(int(d.degrees.sum()) for d in found) for found in drawn]
    return np.split(mine, np.cumsum(sizes)[:-1])
