"""Questions about a layout: whether it is one, who owns which neurons, and how much of a subset lies where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eventsnn.scheduler.errors import PlanError
from eventsnn.spec import Layout, NetworkSpec, Slice, Subset


@dataclass(frozen=True, eq=False)
class Owned:
    """Some neurons of one population that live in one slice."""

    rank: int
    slice: Slice
    where: npt.NDArray[np.int64]
    """Positions in the array of ids that was asked about."""
    ids: npt.NDArray[np.int64]


def tidy(spec: NetworkSpec, layout: Sequence[Sequence[Slice]], n: int) -> Layout:
    """The layout with its slices sorted and neighbours joined; PlanError unless it covers every neuron once with n parts."""
    try:
        parts = tuple(tuple(part) for part in layout)
    except TypeError:
        raise PlanError(
            f"the partition function returned {layout!r}; it must return a sequence of slices for each of {n} parts"
        ) from None
    if len(parts) != n:
        raise PlanError(f"the partition function returned {len(parts)} parts, {n} were asked for")
    for rank, part in enumerate(parts):
        if not part:
            raise PlanError(f"part {rank} of {n} holds no neurons; ask for fewer parts, or give it some")
        for piece in part:
            _check_slice(spec, rank, piece)
    _check_cover(spec, parts)
    return tuple(_joined(part) for part in parts)


class Owners:
    """A layout, indexed by population."""

    def __init__(self, layout: Layout) -> None:
        self._pieces: dict[int, list[tuple[int, Slice]]] = defaultdict(list)
        for rank, part in enumerate(layout):
            for piece in part:
                self._pieces[piece.population].append((rank, piece))

    def of(self, population: int, ids: npt.NDArray[np.int64]) -> list[Owned]:
        """Who owns these neurons, slice by slice; slices that own none are left out."""
        found = []
        for rank, piece in self._pieces[population]:
            where = np.flatnonzero((ids >= piece.start) & (ids < piece.stop))
            if len(where):
                found.append(Owned(rank, piece, where, ids[where]))
        return found

    def ranks(self, population: int, subset: Subset) -> set[int]:
        """The parts that own a neuron of the subset."""
        return {rank for rank, piece in self._pieces[population] if overlap(subset, piece.start, piece.stop)}


def overlap(subset: Subset, start: int, stop: int) -> int:
    """Number of members in [start, stop)."""
    if subset.ids is None:
        return max(0, min(subset.stop, stop) - max(subset.start, start))
    a, b = np.searchsorted(subset.ids, (start, stop))
    return int(b - a)


def named(spec: NetworkSpec, slices: Sequence[Slice], most: int = 4) -> str:
    """Such as "exc[0:4000], inh"; at most `most` slices by name."""
    words = []
    for piece in slices[:most]:
        population = spec.populations[piece.population]
        whole = piece.start == 0 and piece.stop == population.size
        words.append(population.name if whole else f"{population.name}[{piece.start}:{piece.stop}]")
    rest = len(slices) - most
    return ", ".join(words) + (f" and {rest} more" if rest > 0 else "")


def _check_slice(spec: NetworkSpec, rank: int, piece: Slice) -> None:
    if not isinstance(piece, Slice):
        raise PlanError(f"part {rank} holds {piece!r}; a layout is made of eventsnn.spec.Slice(population, start, stop)")
    if not 0 <= piece.population < len(spec.populations):
        raise PlanError(f"part {rank}: {piece} names population {piece.population}; there are {len(spec.populations)}, from 0")
    population = spec.populations[piece.population]
    if not 0 <= piece.start < piece.stop <= population.size:
        raise PlanError(
            f"part {rank}: slice [{piece.start}:{piece.stop}] of population {population.name!r} is not within its "
            f"{population.size} neurons"
        )


def _check_cover(spec: NetworkSpec, parts: Layout) -> None:
    held: list[list[tuple[int, int, int]]] = [[] for _ in spec.populations]
    for rank, part in enumerate(parts):
        for piece in part:
            held[piece.population].append((piece.start, piece.stop, rank))
    for population, pieces in zip(spec.populations, held, strict=True):
        end = 0
        for start, stop, rank in [*sorted(pieces), (population.size, population.size, -1)]:
            if start > end:
                raise PlanError(
                    f"neurons {end} to {start - 1} of population {population.name!r} are in no part; give them to one"
                )
            if start < end:
                raise PlanError(
                    f"neuron {start} of population {population.name!r} is in more than one part (again in part {rank})"
                )
            end = stop


def _joined(part: Sequence[Slice]) -> tuple[Slice, ...]:
    joined: list[Slice] = []
    for piece in sorted(part, key=lambda s: (s.population, s.start)):
        if joined and joined[-1].population == piece.population and joined[-1].stop == piece.start:
            joined[-1] = Slice(piece.population, joined[-1].start, piece.stop)
        else:
            joined.append(piece)
    return tuple(joined)
