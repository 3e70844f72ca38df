"""Handles of a simulation: its populations and projections, read and changed between runs, wherever their parts live."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.codegen.sampling import sample
from eventsnn.errors import EventsnnError, KindError, ParameterError, ShapeError, unknown_name
from eventsnn.fixed_point import check_weights
from eventsnn.model import NeuronModel, warn_off_grid
from eventsnn.scheduler.executor import Call
from eventsnn.scheduler.layout import Owners
from eventsnn.selection import Index, Selection
from eventsnn.spec import Equations, Fixed, Given, NetworkSpec, PoissonSource, Relay, Value
from eventsnn.units import grid_steps, magnitude
from eventsnn.values import as_value

Weights = dict[str, npt.NDArray[Any]]
Ask = Callable[[Sequence[Call]], list[Any]]
"""The parts' answers to calls, in their order; raises once the run has ended."""


class PopulationHandle:
    """Neurons of a population in a running simulation; `handle[index]` narrows it like a selection.

    Arrays are in the order of its neurons. Changes act from the next step on.
    """

    def __init__(self, ask: Ask, spec: NetworkSpec, owners: Owners, selection: Selection, now: Callable[[], int]) -> None:
        self._ask, self._spec, self._owners = ask, spec, owners
        self._selection, self._now = selection, now
        names = [p.name for p in spec.populations]
        self._index = names.index(selection.population.name)
        self._who = f"sim[{selection.population.name!r}]"

    def __len__(self) -> int:
        return len(self._selection)

    __iter__ = None

    def __getitem__(self, index: Index) -> PopulationHandle:
        return PopulationHandle(self._ask, self._spec, self._owners, self._selection[index], self._now)

    def __repr__(self) -> str:
        return f"<handle of {self._selection!r}: {', '.join(self._names()) or 'no variables'}>"

    def get(self, name: str) -> npt.NDArray[np.float64]:
        """Values of a state or parameter."""
        self._check(name)
        return self._gather("get", np.float64, (name,))

    def set(self, name: str, values: object) -> None:
        """Sets a state or parameter to a number, an array, a distribution or a pint quantity."""
        self._check(name)
        given = self._value(name, values)
        ids = self._selection.subset.array()
        numbers = _numbers(given, len(self), lambda draws: self._words(name, draws)[ids])
        self._call([("set", (name, o.ids, numbers[o.where])) for o in self._owned(ids)], ids)

    def inject(self, times: npt.ArrayLike, ids: npt.ArrayLike) -> None:
        """Makes neuron ids[k] of this handle emit a spike at times[k] ms, on the grid and after the present.

        In one step a neuron emits no more spikes than its model can: one, of a parrot 255.
        """
        times, ids = self._events(times, ids)
        if not np.isfinite(times).all():
            raise ParameterError(f"{self._who}.inject: times must be finite")
        steps = grid_steps(times, self._spec.dt, f"{self._who}.inject")
        if len(ids) and not (ids.min() >= 0 and ids.max() < len(self)):
            raise ParameterError(
                f"{self._who}.inject: there is no neuron {ids[(ids < 0) | (ids >= len(self))][0]}; give 0 to {len(self) - 1}"
            )
        if len(steps) and steps.min() <= self._now():
            present = self._now() * self._spec.dt
            raise ParameterError(f"{self._who}.inject: {times[steps.argmin()]:g} ms is not after the present, {present:g} ms")
        members = self._selection.subset.array()[ids]
        self._check_repeats(steps, members)
        self._call([("inject", (steps[o.where], o.ids)) for o in self._owned(members)], members)

    def counts(self) -> npt.NDArray[np.int64]:
        """Spikes of each neuron so far."""
        return self._gather("counts", np.int64, ())

    # ---- over the slices

    def _owned(self, ids: npt.NDArray[np.int64]) -> list[Any]:
        return self._owners.of(self._index, ids)

    def _call(self, asked: list[tuple[str, tuple[Any, ...]]], ids: npt.NDArray[np.int64]) -> list[Any]:
        slices = self._owned(ids)
        return self._ask([Call(o.rank, o.slice, method, args) for o, (method, args) in zip(slices, asked, strict=True)])

    def _gather(self, method: str, dtype: Any, first: tuple[Any, ...]) -> npt.NDArray[Any]:
        ids = self._selection.subset.array()
        slices = self._owned(ids)
        out = np.empty(len(ids), dtype)
        for o, values in zip(slices, self._call([(method, (*first, o.ids)) for o in slices], ids), strict=True):
            out[o.where] = values
        return out

    # ---- names and values

    def _names(self) -> tuple[str, ...]:
        match self._spec.populations[self._index].dynamics:
            case Equations() as equations:
                return (*equations.kernel.states, *equations.parameters)
            case PoissonSource() as source:
                return tuple(source.parameters)
            case _:
                return ()

    def _check(self, name: str) -> None:
        if name not in self._names():
            raise unknown_name(self._who, "state or parameter", str(name), self._names())

    def _value(self, name: str, values: object) -> Value:
        model, who = self._selection.population.model, f"{self._who}.set({name!r})"
        if name not in model.params():
            return as_value(values, len(self), model.states()[name].unit, who)
        value = model.params()[name].value(values, len(self), who)
        if isinstance(model, NeuronModel) and name == model.refractory:
            warn_off_grid(value, self._spec.dt, who)
        if isinstance(self._spec.populations[self._index].dynamics, PoissonSource):
            self._check_rate(values, who)
        return value

    def _check_rate(self, rate: object, who: str) -> None:
        """The input of the targets was scaled for what the described rate can give in one step."""
        population = self._selection.population
        most = population.model.multiplicity(len(self), self._spec.dt, {"rate": rate})
        if most > population.multiplicity:
            raise ParameterError(
                f"{who}: this rate can give {most} spikes in one step, and the input of the targets is scaled for "
                f"{population.multiplicity}; describe the population with the highest rate that it will have, and lower it here"
            )

    def _events(self, times: object, ids: object) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Times and ids as arrays of one length."""
        who = f"{self._who}.inject(times, ids)"
        try:
            when = np.asarray(magnitude(times, "ms", who), np.float64)
        except (TypeError, ValueError) as error:
            if isinstance(error, EventsnnError):
                raise
            raise KindError(f"{who}: times must be numbers of ms, not {times!r}") from None
        which = np.asarray(ids)
        if when.ndim > 1 or which.ndim > 1 or (which.size and which.dtype.kind not in "iu"):
            raise KindError(
                f"{who}: ids are integers and both have one dimension, not {which.dtype}, {when.ndim}-D and {which.ndim}-D"
            )
        if when.ndim and which.ndim and len(when) != len(which):
            raise ShapeError(f"{who}: {len(when)} times but {len(which)} ids; give one id per time")
        when, which = np.broadcast_arrays(np.atleast_1d(when), np.atleast_1d(which))
        return when, which.astype(np.int64)

    def _check_repeats(self, steps: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> None:
        most = self._selection.population.multiplicity
        events, repeats = np.unique(np.stack([steps, ids]), axis=1, return_counts=True)
        if (repeats > most).any():
            step, neuron = events[:, repeats > most][:, 0]
            raise ParameterError(
                f"{self._who}.inject: {repeats.max()} spikes of neuron {neuron} at {step * self._spec.dt:g} ms; a "
                f"{type(self._selection.population.model).__name__} emits at most {most} in one step"
            )

    def _words(self, name: str, draws: int) -> npt.NDArray[np.uint32]:
        """Random words for the whole population, so that neuron i is given the same by any selection that holds it."""
        n = self._selection.population.n
        key = f"{self._spec.seed}|set|{self._selection.population.name}|{name}|{self._now()}".encode()
        stream = hashlib.shake_128(key).digest(4 * n * draws)
        return np.frombuffer(stream, "<u4").astype(np.uint32).reshape(n, draws)


Sent = dict[int, tuple[int, npt.NDArray[np.float64]]]
"""By projection whose weights were set: the step, and the largest |w| of each synapse that was under way then."""


class ProjectionHandle:
    """The synapses of a projection in a running simulation."""

    def __init__(self, ask: Ask, spec: NetworkSpec, owners: Owners, index: int, now: Callable[[], int], sent: Sent) -> None:
        self._ask, self._spec, self._index, self._now, self._sent = ask, spec, index, now, sent
        projection = spec.projections[index]
        self._ranks = sorted(owners.ranks(projection.post, projection.post_subset))
        self._who = f"sim[{projection.name!r}]"

    def __repr__(self) -> str:
        return f"<handle of projection {self._spec.projections[self._index].name}>"

    def weights(self) -> Weights:
        """pre and post (indices in their populations), weight (unit of the receptor), delay (ms); by target, then as drawn."""
        pieces, order = self._pieces()
        return {name: np.concatenate([piece[name] for piece in pieces])[order] for name in ("pre", "post", "weight", "delay")}

    def set_weights(self, values: float | npt.ArrayLike | Callable[[Mapping[str, npt.NDArray[Any]]], npt.ArrayLike]) -> None:
        """Sets the weights to a number, to one per synapse in the order of `weights()`, or to what a function makes of that.

        Parrots only tell weights > 0, which are 1 then, from others.
        """
        pieces, order = self._pieces()
        whole = {name: np.concatenate([piece[name] for piece in pieces])[order] for name in ("pre", "post", "weight", "delay")}
        made = self._weights(values(whole) if callable(values) else values)
        if made.ndim and made.shape != order.shape:
            raise ShapeError(f"{self._who}.set_weights: {made.shape} values for {len(order)} synapses; give one, or one for each")
        if not np.isfinite(made).all():
            raise ParameterError(f"{self._who}.set_weights: weights must be finite")
        made = np.broadcast_to(made, order.shape)
        under_way = self._under_way(np.abs(whole["weight"]))
        check_weights(self._spec.projections[self._index], whole["post"], made, under_way, f"{self._who}.set_weights")
        self._sent[self._index] = (self._now(), under_way)
        ordered = np.empty(len(order))
        ordered[order] = made
        ends = np.cumsum([len(piece["pre"]) for piece in pieces])[:-1]
        self._ask(
            [
                Call(rank, None, "set_weights", (self._index, share))
                for rank, share in zip(self._ranks, np.split(ordered, ends), strict=True)
            ]
        )

    def _under_way(self, current: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The largest |w| of each synapse that a spike may still carry."""
        now = self._now()
        since, before = self._sent.get(self._index, (0, np.zeros_like(current)))
        if now == since:
            return before  # what was set in this step has carried nothing
        fresh = self._index not in self._sent or now - since >= self._spec.projections[self._index].max_delay
        return current if fresh else np.maximum(current, before)

    def _weights(self, given: object) -> npt.NDArray[np.float64]:
        projection = self._spec.projections[self._index]
        unit = self._spec.populations[projection.post].receptors[projection.receptor_positive].unit
        try:
            made = np.asarray(magnitude(given, unit, f"{self._who}.set_weights"), np.float64)
        except (TypeError, ValueError) as error:
            if isinstance(error, EventsnnError):
                raise
            raise KindError(f"{self._who}.set_weights: weights must be numbers, not {given!r}") from None
        if isinstance(self._spec.populations[projection.post].dynamics, Relay) and np.isfinite(made).all():
            return np.asarray(made > 0.0, np.float64)
        return made

    def _pieces(self) -> tuple[list[Weights], npt.NDArray[np.int64]]:
        """What each part holds, and the order by target of all of it."""
        pieces = self._ask([Call(rank, None, "weights", (self._index,)) for rank in self._ranks])
        return pieces, np.argsort(np.concatenate([piece["post"] for piece in pieces]), kind="stable")


def _numbers(value: Value, n: int, words: Callable[[int], npt.NDArray[np.uint32]]) -> npt.NDArray[np.float64]:
    match value:
        case Fixed(number):
            return np.full(n, number)
        case Given(numbers):
            return numbers
        case _:
            return sample(value, words(len(value.tables)))
