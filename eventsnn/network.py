"""A network: populations, projections, stimuli and recordings, as data that can be copied, pickled and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar, overload

import numpy as np
import numpy.typing as npt

from eventsnn import describe
from eventsnn.arguments import on_behalf_of, one_number, shown, whole_number
from eventsnn.editing import check_extended, check_pruned, edited, extended, is_drawn, pruned, rescaled, with_values
from eventsnn.errors import KindError, ParameterError, SelectionError, unknown_name
from eventsnn.keys import key
from eventsnn.mirrored import Mirrored, mirrored
from eventsnn.model import Model, Rule, Stimulus, Synapse, kept
from eventsnn.names import between, check_name, check_path, first_free
from eventsnn.positions import Places, places
from eventsnn.projection import Edit, Projection, projection
from eventsnn.recording import Recording, recording, synapse_path, synapse_recording
from eventsnn.selection import Population, Route, Selection, selection_of
from eventsnn.stimulation import Stimulation, stimulation
from eventsnn.subnetwork import SubNetwork

Target = Population | Selection
Made = TypeVar("Made")


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
        self._subnetworks: dict[str, SubNetwork] = {}

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
    def subnetworks(self) -> Mapping[str, SubNetwork]:
        """Of all levels, by path."""
        return MappingProxyType(self._subnetworks)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return sum(p.n for p in self._populations.values())

    def __getitem__(self, name: str) -> Any:
        """The population or the sub-network of that name."""
        if name in self._subnetworks:
            return self._subnetworks[name]
        if name not in self._populations:
            raise unknown_name("network", "population", str(name), self._populations)
        return self._populations[name]

    def __contains__(self, name: object) -> bool:
        return name in self._populations

    def __iter__(self) -> NoReturn:
        raise KindError("a network is not a sequence; loop over network.populations.values() or network.projections.values()")

    def population(self, name: str, n: int, model: Model, /, *, positions: object = None, **values: object) -> Population:
        """`n` neurons of `model`; values set parameters and initial states.

        Each is a number, an array (n,), a distribution or a pint quantity, in the unit that the model declares, or a function of
        the positions (n, dimensions) that returns one of these. `positions`: an array, or such as Grid((80, 100)).
        """
        check_path(name, "population", self._subnetworks)
        self._check_free(name, "population")
        who = f"population {name!r}"
        size = _count(n, who)
        if not isinstance(model, Model):
            raise KindError(f"{who}: {shown(model)} is no model; give an object such as IafPscExp(tau_m=10.0)")
        words = (*model.params(), *model.states())
        for word in values:
            if word not in words:
                raise unknown_name(f"{who}: {type(model).__name__}", "parameter or state", word, words)
        lying = None
        if positions is not None:
            with on_behalf_of(who):
                lying = places(positions, size, key(self._seed, "positions", name), who)
        values = {word: _of_positions(value, lying, f"{who}: {word}") for word, value in values.items()}
        merged = {**model.values, **values}
        with on_behalf_of(who):
            dynamics = model.dynamics(size, self._dt, merged, key(self._seed, "source", name))
            most = model.multiplicity(size, self._dt, merged)
        made = Population(name, size, model, {word: kept(value) for word, value in values.items()}, dynamics, most, lying)
        self._populations[name] = made
        return made

    def subnetwork(self, name: str, build: Callable[..., Any] | None = None, /, **parameters: object) -> SubNetwork:
        """A sub-network of that name, whose populations are found as network["name/population"].

        `build(subnetwork, **parameters)` fills it: any function that builds in what it is given, a Network as well.
        """
        check_path(name, "sub-network", self._subnetworks)
        self._check_free(name, "sub-network")
        made = self._subnetworks[name] = SubNetwork(self, name)
        if build is not None:
            build(made, **parameters)
        return made

    def connect(
        self,
        route: Route | None = None,
        rule: Rule | None = None,
        synapse: Synapse | None = None,
        receptor: str | None = None,
        name: str | None = None,
        *,
        like: Projection | str | None = None,
        weight: object = None,
        delay: object = None,
        procedural: bool = False,
    ) -> Projection:
        """Connect `pre >> post` by a rule; without `receptor` the sign of each weight chooses "ex" or "in".

        The name defaults to pre_to_post, then pre_to_post_2, ... Instead of a route and a rule, `like` takes the connections of
        another projection, with its weights and delays unless others are given: connect(like=ampa, receptor="nmda", weight=2.0).
        Both then draw their weights with the same random numbers: equal distributions give equal weights. With the route back,
        connect(post >> pre, like=...), it takes the same pairs in the other direction, with numbers of its own.

        `procedural`: no connection is kept; a spike draws those of its source again, the same ones, which takes longer.
        """
        base = None
        if like is not None:
            shared = self._projection(like, "connect: like")
            if shared.edits:
                raise ParameterError(
                    f"connect: like={shared.name!r}: its drawn edges were changed by prune or extend; take them before, and "
                    "change both alike"
                )
            synapse = with_values(shared.synapse if synapse is None else synapse, weight, delay, f"connect like {shared.name!r}")
            if route is None and rule is None:
                route, rule, base = Route(shared.pre, shared.post), shared.rule, shared
            else:
                rule = mirrored(shared, route, rule)
        elif weight is not None or delay is not None:
            raise KindError(
                "connect: weight= and delay= go with like=; else they belong to the synapse, such as Static(weight=...)"
            )
        if not isinstance(route, Route):
            raise KindError(f"connect: {route!r} is no route; give connect(pre >> post, rule, synapse)")
        self._check_own(route.pre, "connect")
        self._check_own(route.post, "connect")
        if name is None:
            name = first_free(between(route.pre.population.name, route.post.population.name), self._taken)
        check_path(name, "projection", self._subnetworks)
        self._check_free(name, "projection")
        made = projection(name, route, rule, synapse, receptor, self._dt, base, procedural)  # type: ignore[arg-type]
        if made.modulator is not None:
            self._check_own(made.synapse.modulator[:], f"projection {name!r}: modulator")  # type: ignore[attr-defined]
        self._projections[name] = made
        return made

    def prune(self, which: Projection | str, keep: object) -> Projection:
        """Only those edges where `keep` is true.

        A function of some of pre, post, pos_pre, pos_post, distance, weight and delay, by name; of an Explicit projection also a
        mask, one truth per edge. Edges that are drawn are so, and listed one by one, when a Simulation is made.
        """
        old = self._projection(which, "prune")
        _check_shared(old, "prune")
        if is_drawn(old):
            check_pruned(old, keep)
        return self._edited(old, partial(pruned, keep=keep), "prune")

    def extend(
        self, which: Projection | str, pre: npt.ArrayLike, post: npt.ArrayLike, weight: object = None, delay: object = None
    ) -> Projection:
        """More edges, from positions in its `pre` to positions in its `post`; those that are drawn are listed, as by `prune`."""
        old = self._projection(which, "extend")
        _check_shared(old, "extend")
        more = (kept(np.asarray(pre)), kept(np.asarray(post)), kept(weight), kept(delay))
        if is_drawn(old):
            check_extended(old, self._dt, *more)
        return self._edited(old, partial(extended, **dict(zip(("pre", "post", "weight", "delay"), more, strict=True))), "extend")

    def scale(self, which: Projection | str, factor: float) -> Projection:
        """Every weight of a projection times a factor."""
        old = self._projection(which, "scale")
        number = one_number(factor, "", f"projection {old.name!r}: scale: factor")
        edit = partial(rescaled, factor=number)
        return self._edited(old, edit, "scale") if old.listed else self._changed(old, *edit(old))

    @overload
    def stimulate(self, target: SubNetwork, stimulus: Stimulus, receptor: str | None = None) -> tuple[Stimulation, ...]: ...

    @overload
    def stimulate(self, target: Target, stimulus: Stimulus, receptor: str | None = None) -> Stimulation: ...

    def stimulate(
        self, target: Target | SubNetwork, stimulus: Stimulus, receptor: str | None = None
    ) -> Stimulation | tuple[Stimulation, ...]:
        """Attach an input that lives inside the update of its target, such as a Poisson drive or a current.

        Of a sub-network: of each of its populations, all of which must take it.
        """
        if isinstance(target, SubNetwork):
            return self._all_of(target, "stimulate", lambda net, p: net.stimulate(p, stimulus, receptor))
        selection = self._check_own(selection_of(target, "stimulate"), "stimulate")
        attached = self._stimulations.get(selection.population.name, ())
        ordinal = sum(s.pulse is not None or getattr(s.stimulus, "draws", False) for s in attached)
        made = stimulation(selection, stimulus, receptor, ordinal, self._dt)
        self._stimulations[selection.population.name] = (*attached, made)
        return made

    @overload
    def record(
        self,
        target: SubNetwork,
        what: str,
        every: float | None = None,
        dtype: npt.DTypeLike = "float32",
        name: str | None = None,
        keep: float | str | None = None,
    ) -> tuple[Recording, ...]: ...

    @overload
    def record(
        self,
        target: Target | Projection | str,
        what: str,
        every: float | None = None,
        dtype: npt.DTypeLike = "float32",
        name: str | None = None,
        keep: float | str | None = None,
        *,
        pre: Target | None = None,
        post: Target | None = None,
    ) -> Recording: ...

    def record(
        self,
        target: Target | SubNetwork | Projection | str,
        what: str,
        every: float | None = None,
        dtype: npt.DTypeLike = "float32",
        name: str | None = None,
        keep: float | str | None = None,
        *,
        pre: Target | None = None,
        post: Target | None = None,
    ) -> Recording | tuple[Recording, ...]:
        """Keep "spikes", a state or a receptor's input (sampled each `every` ms, default dt) under "<population>/<what>".

        Of a plastic projection, or its name: "weight", or a variable of its rule, each `every` ms, under
        "projections/<projection>/<what>", for the synapses from `pre` to `post` (both default to all).

        Of a sub-network: of each of its populations, all of which must have it, each under its own path.

        `name` replaces the last part of that path, as a second recording of the same thing needs it. `keep`: only what is not
        older than so many ms, or "last 10 s"; what is older is deleted while the run goes on, and `snn.open` does not show it.
        """
        if name is not None:
            check_name(name, "recording")
        if isinstance(target, SubNetwork) and pre is None and post is None:
            return self._all_of(target, "record", lambda net, p: net.record(p, what, every, dtype, name, keep))
        if isinstance(target, Projection) or (isinstance(target, str) and target not in self._populations):
            projection = self._projection(target, "record")
            made = synapse_recording(projection, what, every, dtype, name, keep, pre, post, self._dt)
        elif pre is not None or post is not None:
            raise KindError("record: pre= and post= choose synapses of a projection; of a population, record a selection of it")
        else:
            selection = self._check_own(selection_of(target, "record"), "record")
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
        made._subnetworks = {path: SubNetwork(made, path) for path in self._subnetworks}
        return made

    def merge(self, other: Network, path: str | None = None) -> None:
        """Add all of another network on the same grid, under its own names; every draw comes from the seed of this one.

        `path`: in the sub-network of that name, which is made where there is none.
        """
        if not isinstance(other, Network):
            raise KindError(f"merge: {shown(other)} is no network; give another Network")
        if other.dt != self._dt:
            raise ParameterError(f"merge: dt is {other.dt:g} ms there and {self._dt:g} ms here; both must be on one grid")
        start = "" if path is None else f"{path}/"
        for kind, names in (("population", other.populations), ("projection", other.projections)):
            for name in names:
                self._check_free(start + name, kind)
        for home in ([] if path is None else [path]) + [start + home for home in other.subnetworks]:
            if home not in self._subnetworks:
                self.subnetwork(home)
        for p in other.populations.values():
            self.population(start + p.name, p.n, p.model, positions=p.places and p.places.given, **p.values)
        for c in other.projections.values():
            route = self._moved(c.pre, start) >> self._moved(c.post, start)
            synapse = c.synapse
            if c.modulator is not None:
                synapse = synapse.modulated_by(self._populations[start + c.modulator[0]])  # type: ignore[attr-defined]
            if c.like is None:
                rule = replace(c.rule, stream=start + c.rule.stream) if isinstance(c.rule, Mirrored) else c.rule
                self.connect(route, rule, synapse, c.receptor, start + c.name, procedural=c.procedural)
            else:
                name, like = start + c.name, start + c.like
                self.connect(None, None, synapse, c.receptor, name, like=like, procedural=c.procedural)
        for name, c in ((start + c.name, c) for c in other.projections.values() if c.edits):
            self._projections[name] = replace(self._projections[name], edits=c.edits)
        for s in other.stimulations:
            self.stimulate(self._moved(s.target, start), s.stimulus, s.receptor)
        for r in other.recordings.values():
            below = None if r.projection is None else start + r.projection
            where = start + r.path if below is None else synapse_path(below, r.path.rpartition("/")[2])
            sources = None if r.sources is None else self._moved(r.sources, start)
            target = self._moved(r.target, start)
            self._recordings[where] = replace(r, path=where, target=target, projection=below, sources=sources)

    def describe(self) -> str:
        """Tables of populations, projections, stimuli and recordings with expected synapses and memory."""
        return describe.as_text(self)

    def __repr__(self) -> str:
        return describe.one_line(self)

    def _repr_html_(self) -> str:
        return describe.as_html(self)

    def _moved(self, selection: Selection, start: str) -> Selection:
        """The same neurons of the population of that name in this network."""
        return Selection(self._populations[start + selection.population.name], selection.subset)

    def _all_of(self, part: SubNetwork, who: str, make: Callable[[Network, Population], Made]) -> tuple[Made, ...]:
        """What `make` makes for each population of a sub-network; tried in a copy first, so that all is made or nothing."""
        if part.network is not self:
            raise SelectionError(
                f"{who}: sub-network {part.path!r} belongs to another network; use network[{part.path!r}] of this one"
            )
        populations = part.populations.values()
        if not populations:
            raise SelectionError(f"{who}: sub-network {part.path!r} has no population; build in it before")
        trial = self.copy()
        for p in populations:
            make(trial, p)
        return tuple(make(self, p) for p in populations)

    def _projection(self, which: Projection | str, who: str) -> Projection:
        """A projection of this network, by itself or by its name."""
        name = which if isinstance(which, str) else getattr(which, "name", None)
        if not isinstance(which, str | Projection) or name is None:
            raise KindError(f"{who}: {shown(which)} is no projection; give one, as connect returned it, or its name")
        if name not in self._projections:
            raise unknown_name("network", "projection", name, self._projections)
        found = self._projections[name]
        if isinstance(which, Projection) and which is not found:
            raise ParameterError(f"{who}: projection {name!r} has been changed, or belongs to another network; give its name")
        return found

    def _edited(self, old: Projection, edit: Edit, who: str) -> Projection:
        """The projection with other edges, in its place."""
        if not is_drawn(old):
            return self._changed(old, *edit(old))
        made = self._projections[old.name] = edited(old, edit, who)
        return made

    def _changed(self, old: Projection, rule: Rule, synapse: Synapse) -> Projection:
        """The projection with another rule or synapse, in its place."""
        like = None if old.like is None else self._projections[old.like]
        made = projection(old.name, Route(old.pre, old.post), rule, synapse, old.receptor, self._dt, like, old.procedural)
        self._projections[old.name] = made
        return made

    def _taken(self, name: str) -> bool:
        return name in self._populations or name in self._projections or name in self._subnetworks

    def _check_free(self, name: str, kind: str) -> None:
        kinds = (("population", self._populations), ("projection", self._projections), ("sub-network", self._subnetworks))
        for other, taken in kinds:
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


def _check_shared(p: Projection, what: str) -> None:
    if p.plasticity is not None and p.plasticity.each:
        names = ", ".join(name for name, _ in p.plasticity.each)
        raise ParameterError(
            f"projection {p.name!r}: {what}: every synapse has its own {names}, which an edit cannot follow; give one number, or "
            "connect the edges that you want by Explicit"
        )


def with_projections(network: Network, projections: Mapping[str, Projection]) -> Network:
    """A copy with these in place of those of the same names."""
    made = network.copy()
    made._projections |= projections
    return made


def alone(network: Network, made: Projection) -> Network:
    """Its populations and one projection."""
    other = Network(seed=network.seed, dt=network.dt)
    other._populations = dict(network.populations)
    other._projections = {made.name: made}
    return other


def _of_positions(value: object, lying: Places | None, who: str) -> object:
    """What a function of the positions returns; anything else as it is."""
    if not callable(value) or hasattr(value, "magnitude"):
        return value
    if lying is None:
        raise ParameterError(f"{who} is a function of positions, and the population has none; make it with positions=")
    return value(lying.points)


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
