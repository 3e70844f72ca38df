"""A network: populations, projections, stimuli and recordings, as data that can be copied, pickled and described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NoReturn

import numpy.typing as npt

from eventsnn import describe
from eventsnn.arguments import on_behalf_of, one_number, shown, whole_number
from eventsnn.errors import KindError, ParameterError, SelectionError, unknown_name
from eventsnn.keys import key
from eventsnn.model import Model, Rule, Stimulus, Synapse, kept
from eventsnn.names import check_name, first_free
from eventsnn.projection import Projection, projection
from eventsnn.recording import Recording, recording
from eventsnn.selection import Population, Route, Selection, selection_of
from eventsnn.stimulation import Stimulation, stimulation

Target = Population | Selection


class Network:
    """What is to be simulated, on a grid of `dt` ms, with every random number decided by `seed`.

    Nothing is computed and nothing is recorded unless asked; every call is checked before it returns.
    """

    def __init__(self, *, seed: int, dt: float) -> None:
        self._seed = _seed(seed)
        self._dt = _dt(dt)
        self._populations: dict[str, Population] = {}
        self._projections: dict[str, Projection] = {}
        self._stimulations: dict[str, tuple[Stimulation, ...]] = {}
        self._recordings: dict[str, Recording] = {}

    @property
    def seed(self) -> int:
        return self._seed

    @property
    def dt(self) -> float:
        """Step of the grid, in ms."""
        return self._dt

    @property
    def populations(self) -> Mapping[str, Population]:
        return MappingProxyType(self._populations)

    @property
    def projections(self) -> Mapping[str, Projection]:
        return MappingProxyType(self._projections)

    @property
    def stimulations(self) -> tuple[Stimulation, ...]:
        """By population, in the order in which they were attached."""
        return tuple(s for attached in self._stimulations.values() for s in attached)

    @property
    def recordings(self) -> Mapping[str, Recording]:
        """By path in the store."""
        return MappingProxyType(self._recordings)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return sum(p.n for p in self._populations.values())

    def __getitem__(self, name: str) -> Population:
        if name not in self._populations:
            raise unknown_name("network", "population", str(name), self._populations)
        return self._populations[name]

    def __contains__(self, name: object) -> bool:
        return name in self._populations

    def __iter__(self) -> NoReturn:
        raise KindError("a network is not a sequence; loop over network.populations.values() or network.projections.values()")

    def population(self, name: str, n: int, model: Model, /, **values: object) -> Population:
        """`n` neurons of `model`; values set parameters and initial states.

        Each is a number, an array (n,), a distribution or a pint quantity, in the unit that the model declares.
        """
        check_name(name, "population")
        self._check_free(name, "population")
        who = f"population {name!r}"
        size = _count(n, who)
        if not isinstance(model, Model):
            raise KindError(f"{who}: {shown(model)} is no model; give an object such as IafPscExp(tau_m=10.0)")
        words = (*model.params(), *model.states())
        for word in values:
            if word not in words:
                raise unknown_name(f"{who}: {type(model).__name__}", "parameter or state", word, words)
        merged = {**model.values, **values}
        with on_behalf_of(who):
            dynamics = model.dynamics(size, self._dt, merged, key(self._seed, "source", name))
            most = model.multiplicity(size, self._dt, merged)
        made = Population(name, size, model, {word: kept(value) for word, value in values.items()}, dynamics, most)
        self._populations[name] = made
        return made

    def connect(
        self, route: Route, rule: Rule, synapse: Synapse, receptor: str | None = None, name: str | None = None
    ) -> Projection:
        """Connect `pre >> post` by a rule; without `receptor` the sign of each weight chooses "ex" or "in".

        The name defaults to pre_to_post, then pre_to_post_2, ...
        """
        if not isinstance(route, Route):
            raise KindError(f"connect: {route!r} is no route; give connect(pre >> post, rule, synapse)")
        self._check_own(route.pre, "connect")
        self._check_own(route.post, "connect")
        if name is None:
            default = f"{route.pre.population.name}_to_{route.post.population.name}"
            name = first_free(default, self._taken)
        check_name(name, "projection")
        self._check_free(name, "projection")
        made = projection(name, route, rule, synapse, receptor, self._dt)
        self._projections[name] = made
        return made

    def stimulate(self, target: Target, stimulus: Stimulus, receptor: str | None = None) -> Stimulation:
        """Attach an input that lives inside the update of its target, such as a Poisson drive or a current."""
        selection = self._check_own(selection_of(target, "stimulate"), "stimulate")
        attached = self._stimulations.get(selection.population.name, ())
        ordinal = sum(s.pulse is not None for s in attached)
        made = stimulation(selection, stimulus, receptor, ordinal, self._dt)
        self._stimulations[selection.population.name] = (*attached, made)
        return made

    def record(
        self,
        target: Target,
        what: str,
        every: float | None = None,
        dtype: npt.DTypeLike = "float32",
        name: str | None = None,
        keep: float | str | None = None,
    ) -> Recording:
        """Keep "spikes", a state or a receptor's input (sampled each `every` ms, default dt) under "<population>/<what>".

        `name` replaces the last part of that path, as a second recording of the same thing needs it. `keep`: only what is not
        older than so many ms, or "last 10 s"; what is older is deleted while the run goes on, and `snn.open` does not show it.
        """
        selection = self._check_own(selection_of(target, "record"), "record")
        if name is not None:
            check_name(name, "recording")
        made = recording(selection, what, every, dtype, name, keep, self._dt)
        if made.path in self._recordings:
            raise ParameterError(f"recording {made.path!r} exists already; give this one another name=")
        self._recordings[made.path] = made
        return made

    def copy(self) -> Network:
        """A network that can be changed without changing this one; populations are values and belong to both."""
        made = Network(seed=self._seed, dt=self._dt)
        made._populations = dict(self._populations)
        made._projections = dict(self._projections)
        made._stimulations = dict(self._stimulations)
        made._recordings = dict(self._recordings)
        return made

    def merge(self, other: Network) -> None:
        """Add all of another network on the same grid, under its own names; every draw comes from the seed of this one."""
        if not isinstance(other, Network):
            raise KindError(f"merge: {shown(other)} is no network; give another Network")
        if other.dt != self._dt:
            raise ParameterError(f"merge: dt is {other.dt:g} ms there and {self._dt:g} ms here; both must be on one grid")
        for kind, names in (("population", other.populations), ("projection", other.projections)):
            for name in names:
                self._check_free(name, kind)
        for p in other.populations.values():
            self.population(p.name, p.n, p.model, **p.values)
        for c in other.projections.values():
            self.connect(self._moved(c.pre) >> self._moved(c.post), c.rule, c.synapse, c.receptor, c.name)
        for s in other.stimulations:
            self.stimulate(self._moved(s.target), s.stimulus, s.receptor)
        for path, r in other.recordings.items():
            self._recordings[path] = replace(r, target=self._moved(r.target))

    def describe(self) -> str:
        """Tables of populations, projections, stimuli and recordings with expected synapses and memory."""
        return describe.as_text(self)

    def __repr__(self) -> str:
        return describe.one_line(self)

    def _repr_html_(self) -> str:
        return describe.as_html(self)

    def _moved(self, selection: Selection) -> Selection:
        """The same neurons of the population of that name in this network."""
        return Selection(self._populations[selection.population.name], selection.subset)

    def _taken(self, name: str) -> bool:
        return name in self._populations or name in self._projections

    def _check_free(self, name: str, kind: str) -> None:
        for other, taken in (("population", self._populations), ("projection", self._projections)):
            if name in taken:
                raise ParameterError(f"{kind} {name!r}: this network has a {other} of that name already; choose another one")

    def _check_own(self, selection: Selection, who: str) -> Selection:
        population = selection.population
        if self._populations.get(population.name) is not population:
            raise SelectionError(
                f"{who}: population {population.name!r} belongs to another network; "
                "use a population of this one, as network[name] gives it"
            )
        return selection


def _seed(seed: object) -> int:
    number = whole_number(seed)
    if number is None or not 0 <= number < 2**64:
        raise ParameterError(f"network: seed must be a whole number in [0, 2**64), not {seed!r}")
    return number


def _dt(dt: object) -> float:
    number = one_number(dt, "ms", "network: dt")
    if number <= 0.0:
        raise ParameterError(f"network: dt must be a time > 0 ms, not {number:g}")
    return number


def _count(n: object, who: str) -> int:
    number = whole_number(n)
    if number is None:
        raise KindError(f"{who}: n must be a whole number of neurons, not {n!r}")
    if not 1 <= number < 2**31:
        raise ParameterError(f"{who}: n must be a number of neurons from 1 to 2**31 - 1, not {number}")
    return number
