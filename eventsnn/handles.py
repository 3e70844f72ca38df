"""Handles of a simulation: its populations and projections, read and changed between runs, wherever their parts live."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn import edges
from eventsnn.codegen.sampling import sample
from eventsnn.errors import EventsnnError, KindError, ParameterError, ShapeError, unknown_name
from eventsnn.fixed_point import check_weights
from eventsnn.model import NeuronModel, warn_off_grid
from eventsnn.scheduler.executor import Call
from eventsnn.scheduler.layout import Owned, Owners
from eventsnn.selection import Index, Selection
from eventsnn.spec import Equations, Fixed, Given, NetworkSpec, PoissonSource, Relay, Value
from eventsnn.units import grid_steps, magnitude
from eventsnn.values import as_value

Weights = dict[str, npt.NDArray[Any]]
Dealt = list[tuple[Any, Call]]
"""Calls, and what their answers are for."""


class Running(Protocol):
    """What handles need of a simulation."""

    spec: NetworkSpec

    @property
    def step(self) -> int: ...

    def ask(self, deal: Callable[[Owners], Dealt]) -> list[tuple[Any, Any]]:
        """What the answers are for, and the answers, of calls that are made for the parts as they are; raises once the run has
        ended."""
        ...

    def changed(self, change: Callable[[], None]) -> None:
        """`change` has changed something, and would do it again."""
        ...


class PopulationHandle:
    """Neurons of a population in a running simulation; `handle[index]` narrows it like a selection.

    Arrays are in the order of its neurons. Changes act from the next step on.
    """

    def __init__(self, simulation: Running, selection: Selection) -> None:
        self._simulation, self._spec, self._selection = simulation, simulation.spec, selection
        names = [p.name for p in self._spec.populations]
        self._index = names.index(selection.population.name)
        self._who = f"sim[{selection.population.name!r}]"

    def __len__(self) -> int:
        return len(self._selection)

    __iter__ = None

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise AttributeError(f"{self._who}.{name} cannot be set like this; use {self._who}.set({name!r}, ...)")
        super().__setattr__(name, value)

    def __getitem__(self, index: Index) -> PopulationHandle:
        return PopulationHandle(self._simulation, self._selection[index])

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
        self._change("set", ids, lambda o: (name, o.ids, numbers[o.where]))

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
        if len(steps) and steps.min() <= self._simulation.step:
            present = self._simulation.step * self._spec.dt
            raise ParameterError(f"{self._who}.inject: {times[steps.argmin()]:g} ms is not after the present, {present:g} ms")
        members = self._selection.subset.array()[ids]
        self._check_repeats(steps, members)
        self._change("inject", members, lambda o: (steps[o.where], o.ids))

    def counts(self) -> npt.NDArray[np.int64]:
        """Spikes of each neuron so far."""
        return self._gather("counts", np.int64, ())

    # ---- over the slices

    def _call(self, method: str, ids: npt.NDArray[np.int64], args: Callable[[Owned], tuple[Any, ...]]) -> list[tuple[Any, Any]]:
        return self._simulation.ask(
            lambda owners: [(o.where, Call(o.rank, o.slice, method, args(o))) for o in owners.of(self._index, ids)]
        )

    def _change(self, method: str, ids: npt.NDArray[np.int64], args: Callable[[Owned], tuple[Any, ...]]) -> None:
        def change() -> None:
            self._call(method, ids, args)

        change()
        self._simulation.changed(change)

    def _gather(self, method: str, dtype: Any, first: tuple[Any, ...]) -> npt.NDArray[Any]:
        ids = self._selection.subset.array()
        out = np.empty(len(ids), dtype)
        for where, values in self._call(method, ids, lambda o: (*first, o.ids)):
            out[where] = values
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
        key = f"{self._spec.seed}|set|{self._selection.population.name}|{name}|{self._simulation.step}".encode()
        stream = hashlib.shake_128(key).digest(4 * n * draws)
        return np.frombuffer(stream, "<u4").astype(np.uint32).reshape(n, draws)


Sent = dict[int, tuple[int, npt.NDArray[np.float64] | None]]
"""By projection whose weights were set: the step, and the largest |w| of each synapse that was under way then, if it is known."""


class ProjectionHandle:
    """The synapses of a projection in a running simulation."""

    def __init__(self, simulation: Running, index: int, sent: Sent) -> None:
        self._simulation, self._spec, self._index, self._sent = simulation, simulation.spec, index, sent
        projection = self._spec.projections[index]
        self._who = f"sim[{projection.name!r}]"

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and name != "learning":
            raise AttributeError(f"{self._who}.{name} cannot be set; a projection has .set_weights(...) and .learning")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<handle of projection {self._spec.projections[self._index].name}>"

    def weights(self) -> Weights:
        """pre and post (indices in their populations), weight (unit of the receptor), delay (ms); by target, then as drawn."""
        pieces, order = self._pieces()
        return {name: np.concatenate([piece[name] for piece in pieces])[order] for name in ("pre", "post", "weight", "delay")}

    @property
    def learning(self) -> float:
        """How much of what its rule says a plastic projection does: 1 as described, 0 nothing, -1 the opposite."""
        self._require_plastic("learning")
        ranks = self._ranks()
        answers = self._simulation.ask(lambda owners: [(None, Call(ranks(owners)[0], None, "learning", (self._index,)))])
        return float(answers[0][1])

    @learning.setter
    def learning(self, factor: float) -> None:
        """Acts on what reaches the synapses after the current time; True and False are 1 and 0."""
        self._require_plastic("learning")
        who = f"{self._who}.learning"
        if not isinstance(factor, Real | np.bool_):
            raise KindError(f"{who} must be True, False or a number such as -1, not {factor!r}")
        try:
            number = float(factor)
        except OverflowError:
            raise ParameterError(f"{who} must be True, False or a number such as -1, not one that no float can hold") from None
        if not math.isfinite(number):
            raise KindError(f"{who} must be True, False or a number such as -1, not {factor!r}")
        self._learn(number)
        self._simulation.changed(lambda: self._learn(number))

    def _learn(self, factor: float) -> None:
        ranks = self._ranks()
        self._simulation.ask(lambda owners: [(None, Call(rank, None, "learn", (self._index, factor))) for rank in ranks(owners)])

    def _ranks(self) -> Callable[[Owners], list[int]]:
        """The parts that hold synapses of it."""
        projection = self._spec.projections[self._index]
        return lambda owners: sorted(owners.ranks(projection.post, projection.post_subset))

    def _require_plastic(self, what: str) -> None:
        if self._spec.projections[self._index].plasticity is None:
            raise ParameterError(f"{self._who}.{what}: its weights never change; connect it by a plastic synapse such as Stdp")

    def set_weights(self, values: float | npt.ArrayLike | Callable[[Mapping[str, npt.NDArray[Any]]], npt.ArrayLike]) -> None:
        """Sets the weights to a number, to one per synapse in the order of `weights()`, or to what a function makes of that.

        Parrots only tell weights > 0, which are 1 then, from others.
        """
        if self._spec.projections[self._index].procedural:
            raise ParameterError(
                f"{self._who}.set_weights: its synapses are not kept, so their weights cannot be set; connect it without "
                "procedural=True"
            )
        pieces, order = self._pieces()
        whole = {name: np.concatenate([piece[name] for piece in pieces])[order] for name in ("pre", "post", "weight", "delay")}
        made = self._weights(values(whole) if callable(values) else values)
        if made.ndim and made.shape != order.shape:
            raise ShapeError(f"{self._who}.set_weights: {made.shape} values for {len(order)} synapses; give one, or one for each")
        if not np.isfinite(made).all():
            raise ParameterError(f"{self._who}.set_weights: weights must be finite")
        made = np.broadcast_to(made, order.shape)
        rule = self._spec.projections[self._index].plasticity
        if rule is None:
            under_way = self._under_way(np.abs(whole["weight"]))
            check_weights(self._spec.projections[self._index], whole["post"], made, under_way, f"{self._who}.set_weights")
            self._sent[self._index] = (self._simulation.step, under_way)
        elif len(made) and not rule.low <= made.min() <= made.max() <= rule.high:
            raise ParameterError(
                f"{self._who}.set_weights: {rule.name} keeps weights between {rule.low:g} and {rule.high:g}, "
                f"not {made.min():g} to {made.max():g}"
            )
        self._put(made, whole["post"])
        self._simulation.changed(lambda: self._put(made, whole["post"]))

    def normalise(self, target: float | npt.ArrayLike, norm: int = 1, axis: str = "in") -> None:
        """Scales weights so that their L1 or L2 norm (norm=1 or 2) is `target` (unit of the receptor) over the synapses of each
        target (axis="in") or source (axis="out"), one number for all or one for each; where all are 0 they stay so.
        """
        who = f"{self._who}.normalise"
        if isinstance(norm, bool | np.bool_) or norm not in (1, 2) or axis not in ("in", "out"):
            raise ParameterError(f"{who}: norm is 1 or 2 and axis 'in' or 'out', not {norm!r} and {axis!r}")
        end = "post" if axis == "in" else "pre"
        projection = self._spec.projections[self._index]
        size = self._spec.populations[projection.post if axis == "in" else projection.pre].size
        wanted = self._magnitudes(target, f"{who}: norms")
        if wanted.ndim and wanted.shape != (size,):
            raise ShapeError(f"{who}: {wanted.shape} targets for {size} neurons; give one, or one for each")
        if not np.isfinite(wanted).all() or (wanted < 0.0).any():
            raise ParameterError(f"{who}: norms must be finite and >= 0")

        def scaled(synapses: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
            sums = np.bincount(synapses[end], np.abs(synapses["weight"]) ** norm, minlength=size) ** (1.0 / norm)
            factors = np.divide(np.broadcast_to(wanted, size), sums, out=np.ones(size), where=sums > 0.0)
            made: npt.NDArray[np.float64] = synapses["weight"] * factors[synapses[end]]
            return made

        self.set_weights(scaled)

    def to_scipy(self, what: str = "weight") -> Any:
        """A scipy.sparse.coo_array, shape (sources, targets), of the "weight" or the "delay" (ms) of every synapse."""
        if what not in ("weight", "delay"):
            raise unknown_name(f"{self._who}.to_scipy", "column", str(what), ("weight", "delay"))
        return edges.to_scipy(self.weights(), self._shape, what)

    def degrees(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(synapses of every source, synapses of every target)."""
        return edges.degrees(self.weights(), self._shape)

    @property
    def _shape(self) -> tuple[int, int]:
        projection, populations = self._spec.projections[self._index], self._spec.populations
        return populations[projection.pre].size, populations[projection.post].size

    def _put(self, weights: npt.NDArray[np.float64], posts: npt.NDArray[np.int64]) -> None:
        """Weights by target, then as drawn."""
        projection = self._spec.projections[self._index]

        def deal(owners: Owners) -> Dealt:
            rank_of = np.full(self._spec.populations[projection.post].size, -1, np.int64)
            for o in owners.of(projection.post, np.arange(len(rank_of))):
                rank_of[o.ids] = o.rank
            ranks = rank_of[posts]
            return [(None, Call(int(r), None, "set_weights", (self._index, weights[ranks == r]))) for r in np.unique(ranks)]

        self._simulation.ask(deal)

    def _under_way(self, current: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The largest |w| of each synapse that a spike may still carry."""
        now = self._simulation.step
        since, before = self._sent.get(self._index, (0, np.zeros_like(current)))
        left = since + self._spec.projections[self._index].max_delay - now
        if before is None and left > 0:
            raise ParameterError(
                f"{self._who}.set_weights: the simulation was resumed while spikes with other weights were under way, and what "
                f"these carry is not known; run {round(left * self._spec.dt, 10):g} ms first"
            )
        if now == since and before is not None:
            return before  # what was set in this step has carried nothing
        return current if before is None or left <= 0 or self._index not in self._sent else np.maximum(current, before)

    def _weights(self, given: object) -> npt.NDArray[np.float64]:
        projection = self._spec.projections[self._index]
        made = self._magnitudes(given, f"{self._who}.set_weights: weights")
        if isinstance(self._spec.populations[projection.post].dynamics, Relay) and np.isfinite(made).all():
            return np.asarray(made > 0.0, np.float64)
        return made

    def _magnitudes(self, given: object, what: str) -> npt.NDArray[np.float64]:
        """Numbers in the unit of the receptor."""
        projection = self._spec.projections[self._index]
        unit = self._spec.populations[projection.post].receptors[projection.receptor_positive].unit
        try:
            made = np.asarray(magnitude(given, unit, what.partition(":")[0]))
            if made.dtype.kind == "b":
                raise TypeError
            return made.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, EventsnnError):
                raise
            raise KindError(f"{what} must be numbers, not {given!r}") from None

    def _pieces(self) -> tuple[list[Weights], npt.NDArray[np.int64]]:
        """What each part holds, and the order by target of all of it."""
        projection = self._spec.projections[self._index]
        answers = self._simulation.ask(
            lambda owners: [
                (None, Call(rank, None, "weights", (self._index,)))
                for rank in sorted(owners.ranks(projection.post, projection.post_subset))
            ]
        )
        pieces = [piece for _, piece in answers]
        return pieces, np.argsort(np.concatenate([piece["post"] for piece in pieces]), kind="stable")


def _numbers(value: Value, n: int, words: Callable[[int], npt.NDArray[np.uint32]]) -> npt.NDArray[np.float64]:
    match value:
        case Fixed(number):
            return np.full(n, number)
        case Given(numbers):
            return numbers
        case _:
            return sample(value, words(len(value.tables)))
