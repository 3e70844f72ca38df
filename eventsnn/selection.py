"""Populations, the neurons chosen from them, and routes between two of those: frozen values that know no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from eventsnn.errors import KindError, ParameterError, SelectionError
from eventsnn.model import Model
from eventsnn.positions import Places
from eventsnn.regions import Region, is_region, within
from eventsnn.spec import Dynamics, Subset

Ids = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]
Index = int | slice | list[int] | npt.NDArray[np.generic] | Callable[[Ids], npt.NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Selection:
    """Some neurons of one population, in ascending order; a view, usable wherever a population is.

    `selection[index]` chooses within it by a slice, an integer, ascending positions, a boolean mask or a predicate
    (indices of its neurons in the population -> mask); `a & b` keeps the neurons that are in both.
    """

    population: Population
    subset: Subset

    def __len__(self) -> int:
        return len(self.subset)

    __iter__ = None

    def __getitem__(self, index: Index) -> Selection:
        ids = self.subset.array()
        chosen = ids[_positions(self, index, ids)]
        return Selection(self.population, subset_of(chosen))

    def __and__(self, other: Population | Selection) -> Selection:
        that = selection_of(other, f"{self!r} & ...")
        if that.population is not self.population:
            raise SelectionError(
                f"{self!r} & {that!r}: two populations share no neuron; both sides must select from one population"
            )
        both = np.intersect1d(self.subset.array(), that.subset.array(), assume_unique=True)
        if not len(both):
            raise SelectionError(f"{self!r} & {that!r} selects no neuron; choose at least one")
        return Selection(self.population, subset_of(both))

    @property
    def positions(self) -> F8:
        """Where its neurons lie, shape (len(self), dimensions)."""
        points = _placed(self.population).points
        return points[self.subset.start : self.subset.stop] if self.subset.ids is None else points[self.subset.ids]

    def where(self, region: Region | Callable[[F8], npt.NDArray[np.bool_]]) -> Selection:
        """Its neurons in a region (Box, Ball, Annulus), or where a predicate on positions (n, dimensions) is true."""
        points = self.positions
        if is_region(region):
            return self[within(region, points)]  # type: ignore[arg-type]
        if not callable(region):
            raise KindError(f"{self!r}.where: give a region such as Ball(0.5), or a predicate on positions, not {region!r}")
        mask = np.asarray(region(points))
        if mask.dtype != np.bool_ or mask.shape != (len(self),):
            raise SelectionError(
                f"{self!r}.where: the predicate returned {mask.dtype} {mask.shape}; it must return a mask ({len(self)},)"
            )
        return self[mask]

    def __rshift__(self, post: Population | Selection) -> Route:
        return Route(self, selection_of(post, f"{self!r} >> ..."))

    def __repr__(self) -> str:
        if self.subset.ids is not None:
            return f"{self.population.name}[{len(self)} of {self.population.n} neurons]"
        whole = len(self) == self.population.n
        return self.population.name if whole else f"{self.population.name}[{self.subset.start}:{self.subset.stop}]"


@dataclass(frozen=True, eq=False)
class Population:
    """`n` neurons of one model, under a name; `population[index]` selects from it and `a >> b` is a route."""

    name: str
    n: int
    model: Model
    values: Mapping[str, object]
    """What the user gave on top of the model: parameters and initial states."""
    dynamics: Dynamics = field(repr=False)
    """The same, checked and lowered: what a part runs."""
    multiplicity: int = field(repr=False)
    """Most spikes that one neuron can emit in one step."""
    places: Places | None = field(default=None, repr=False)
    """Where its neurons lie, if they lie anywhere."""

    def __len__(self) -> int:
        return self.n

    __iter__ = None

    def __getitem__(self, index: Index) -> Selection:
        return selection_of(self, self.name)[index]

    def __and__(self, other: Population | Selection) -> Selection:
        return self[:] & other

    @property
    def positions(self) -> F8:
        """Where its neurons lie, shape (n, dimensions)."""
        return _placed(self).points

    def where(self, region: Region | Callable[[F8], npt.NDArray[np.bool_]]) -> Selection:
        """Its neurons in a region, or where a predicate on positions is true."""
        return self[:].where(region)

    def __rshift__(self, post: Population | Selection) -> Route:
        return self[:] >> post

    def __repr__(self) -> str:
        return f"Population({self.name!r}, {self.n}, {self.model!r})"


@dataclass(frozen=True, eq=False)
class Route:
    """From the neurons of `pre` to those of `post`; a value that `Network.connect` acts on."""

    pre: Selection
    post: Selection

    def __repr__(self) -> str:
        return f"{self.pre!r} >> {self.post!r}"


def selection_of(target: object, who: str) -> Selection:
    """The neurons that a population or a selection stands for; anything else raises KindError."""
    if not isinstance(target, Population | Selection):
        raise KindError(f"{who}: {target!r} is no population; give a population or a selection of one, such as exc or exc[:100]")
    return target if isinstance(target, Selection) else Selection(target, Subset(0, target.n))


def _placed(population: Population) -> Places:
    if population.places is None:
        raise ParameterError(
            f"population {population.name!r} has no positions; make it with positions=, an array or such as Grid"
        )
    return population.places


def subset_of(ids: Ids) -> Subset:
    """The subset of ascending, distinct, non-empty ids, as a range where it is one."""
    start, stop = int(ids[0]), int(ids[-1]) + 1
    return Subset(start, stop) if stop - start == len(ids) else Subset(start, stop, ids)


def _positions(chosen_from: Selection, index: Index, ids: Ids) -> Ids:
    """The positions in `ids` that an index means; ascending and at least one."""
    n = len(ids)
    given = index(ids.copy()) if callable(index) else index
    if isinstance(given, slice):
        positions = np.arange(n, dtype=np.int64)[given]
    else:
        positions = _from_array(chosen_from, np.asarray(given), n, predicate=callable(index))
    if not len(positions):
        raise SelectionError(f"{chosen_from!r}[{_shown(index)}] selects no neuron of {n}; choose at least one")
    if np.any(np.diff(positions) <= 0):
        raise SelectionError(
            f"{chosen_from!r}[{_shown(index)}]: positions must ascend and differ; "
            "sort them, and use Explicit(pre, post) for connections in an order of your own"
        )
    return positions


def _from_array(chosen_from: Selection, given: npt.NDArray[np.generic], n: int, *, predicate: bool) -> Ids:
    """Positions from a mask, or from one or several (possibly negative) integers."""
    if given.dtype == np.bool_:
        if given.shape != (n,):
            raise SelectionError(f"{chosen_from!r}: a mask of shape {given.shape} was given; it must have shape ({n},)")
        return np.flatnonzero(given).astype(np.int64)
    if predicate:
        raise SelectionError(f"{chosen_from!r}: the predicate returned {given.dtype}; it must return a boolean mask ({n},)")
    if given.size == 0:
        return np.empty(0, np.int64)
    if given.ndim > 1 or not np.issubdtype(given.dtype, np.integer):
        raise KindError(
            f"{chosen_from!r}[{_shown(given)}]: give a slice, an integer, a list of integers, a boolean mask or a predicate"
        )
    positions = np.atleast_1d(given).astype(np.int64)
    wrong = (positions < -n) | (positions >= n)
    if wrong.any():
        raise SelectionError(f"{chosen_from!r}: there is no neuron {positions[wrong][0]}; give 0 to {n - 1}, or -{n} to -1")
    return np.where(positions < 0, positions + n, positions)


def _shown(index: object) -> str:
    """A short rendering of an index for messages."""
    if isinstance(index, slice):
        parts = ["" if part is None else str(part) for part in (index.start, index.stop, index.step)]
        return ":".join(parts[:2] if not parts[2] else parts)
    text = repr(index)
    return text if len(text) <= 40 else f"{text[:37]}..."
