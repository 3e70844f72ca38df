"""From a network to the plain data that parts build themselves from, with every scale of the fixed-point input decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from eventsnn import spec
from eventsnn.errors import ParameterError, unknown_name
from eventsnn.fixed_point import WIDE_BITS, Arrival, floor_log2, grid, magnitude, quantum, rounding
from eventsnn.keys import key
from eventsnn.network import Network
from eventsnn.plasticity import SynapseModel
from eventsnn.projection import Projection
from eventsnn.recording import WEIGHT, Recording, variables
from eventsnn.selection import Population
from eventsnn.stimulation import Stimulation
from eventsnn.values import bounds

PRECISIONS = ("float64", "float32")
Port = tuple[str, int]
"""An accumulator: (name of the population, position of the receptor)."""
Quanta = Mapping[Port, tuple[int, bool]]
"""(exponent, wide) of each."""


def lower(network: Network, precision: str = "float64") -> spec.NetworkSpec:
    """The network as plain data; `precision` is that of the states."""
    if precision not in PRECISIONS:
        raise unknown_name("simulation", "precision", str(precision), PRECISIONS)
    if not network.populations:
        raise ParameterError("network: there is no population; add one with network.population(name, n, model)")
    for p in network.projections.values():
        if p.listed:
            raise ParameterError(
                f"projection {p.name!r}: its connections are listed first, by eventsnn.explicit.explicit(network)"
            )
    positions = {name: k for k, name in enumerate(network.populations)}
    quanta = _quanta(network)
    return spec.NetworkSpec(
        dt=network.dt,
        seed=network.seed,
        precision=precision,
        populations=_populations(network, quanta),
        projections=tuple(_projection(p, network.seed, positions, quanta) for p in network.projections.values()),
        stimuli=tuple(_stimulus(s, network, positions, quanta) for s in network.stimulations),
        recordings=tuple(
            spec.RecordingSpec(
                r.path, positions[r.target.population.name], r.target.subset, r.what, r.every, r.dtype, r.unit, r.keep
            )
            for r in network.recordings.values()
            if r.projection is None
        ),
        synapse_recordings=tuple(_of_synapses(r, network) for r in network.recordings.values() if r.projection is not None),
    )  # fmt: skip


def quantisation(lowered: spec.NetworkSpec) -> dict[str, float]:
    """Largest rounding error of the weights, relative to the largest |w|, of each projection and Poisson stimulus."""
    errors = {p.name: rounding(p.weight, p.exponent) for p in lowered.projections}
    for k, stimulus in enumerate(lowered.stimuli):
        if isinstance(stimulus, spec.PoissonStimulus):
            name = f"stimulus {k} on {lowered.populations[stimulus.population].name}"
            errors[name] = 0.5 / abs(stimulus.weight) if stimulus.weight else 0.0
    return errors


def _populations(network: Network, quanta: Quanta) -> tuple[spec.PopulationSpec, ...]:
    made, first = [], 0
    for p in network.populations.values():
        receptors = tuple(
            spec.ReceptorSpec(r.name, r.unit, *quanta.get((p.name, k), (0, False))) for k, r in enumerate(p.model.receptors)
        )
        streams = key(network.seed, "population", p.name)
        made.append(spec.PopulationSpec(p.name, p.n, first, p.dynamics, receptors, streams, p.multiplicity))
        first += p.n
    return tuple(made)


def _quanta(network: Network) -> dict[Port, tuple[int, bool]]:
    """The scale of every accumulator that something enters; parrots count, so theirs is 1."""
    arrivals: dict[Port, list[Arrival]] = defaultdict(list)
    for p in network.projections.values():
        for position in dict.fromkeys(p.receptors):
            arrivals[p.post.population.name, position].append(_arrival(p))
    for s in network.stimulations:
        if s.pulse is not None:
            arrivals[s.target.population.name, s.position].append(Arrival(abs(s.pulse), s.most(network.dt), None))
    quanta = {}
    for (name, position), entering in arrivals.items():
        population = network.populations[name]
        receptor = population.model.receptors[position].name
        who = f"population {name!r}, receptor {receptor!r}"
        quanta[name, position] = (0, False) if _relays(population) else quantum(entering, who)
    return quanta


def _arrival(p: Projection) -> Arrival:
    bits, exponent = grid(p.weight)
    count = p.per_target * p.pre.population.multiplicity
    if p.plasticity is not None:
        most = max(abs(p.plasticity.low), abs(p.plasticity.high))
        return Arrival(most, count, floor_log2(most) - WIDE_BITS, explicit=True)
    return Arrival(magnitude(p.weight), count, exponent if bits else None, explicit=isinstance(p.weight, spec.Given))


def _projection(p: Projection, seed: int, positions: Mapping[str, int], quanta: Quanta) -> spec.ProjectionSpec:
    target = p.post.population
    weight = _counted(p.weight) if _relays(target) else p.weight
    bits, exponent = grid(weight)
    if _relays(target):
        exponent = 0
    elif p.plasticity is not None:
        pass  # weights are numbers of their own
    elif bits == 0 or magnitude(weight) == 0.0:
        exponent = max(quanta[target.name, position][0] for position in p.receptors)
    least, most = p.delay_bounds
    return spec.ProjectionSpec(
        name=p.name,
        pre=positions[p.pre.population.name],
        post=positions[target.name],
        pre_subset=p.pre.subset,
        post_subset=p.post.subset,
        rule=p.edges,
        key=key(seed, "projection", p.name),
        weight=weight,
        delay=p.delay,
        receptor_positive=p.receptors[0],
        receptor_negative=p.receptors[1],
        magnitude=target.model.receptors[p.receptors[0]].magnitude,
        bits=bits,
        exponent=exponent,
        min_delay=least,
        max_delay=most,
        expected=p.expected,
        per_target=p.per_target,
        by_sign=p.receptor is None and len(target.model.receptors) > 1,
        plasticity=p.plasticity,
        modulator=None if p.modulator is None else (positions[p.modulator[0]], p.modulator[1]),
        procedural=p.procedural,
    )


def _counted(weight: spec.Value) -> spec.Value:
    """What a parrot makes of weights: 1 where they are positive, else 0."""
    if isinstance(weight, spec.Given):
        return spec.Given(np.where(weight.values > 0.0, 1.0, 0.0))
    low, _ = bounds(weight)  # of a draw: positive throughout, as connect made sure
    return spec.Fixed(1.0 if low > 0.0 else 0.0)


def _stimulus(s: Stimulation, network: Network, positions: Mapping[str, int], quanta: Quanta) -> spec.Stimulus:
    population = s.target.population
    exponent, _ = quanta.get((population.name, s.position), (0, False))
    stream = key(network.seed, "stimulus", population.name, s.ordinal)
    made = s.lower(positions[population.name], network.dt, stream, exponent)
    if s.pulse is None or not _relays(population) or not isinstance(made, spec.PoissonStimulus):
        return made
    return replace(made, weight=int(s.pulse > 0.0))


def _of_synapses(r: Recording, network: Network) -> spec.SynapseRecording:
    projection = network.projections[str(r.projection)]
    assert isinstance(projection.synapse, SynapseModel)
    variable = None if r.what == WEIGHT else variables(projection.synapse).index(r.what)
    position = list(network.projections).index(projection.name)
    sources = projection.pre if r.sources is None else r.sources
    ends = (sources.subset, r.target.subset)
    return spec.SynapseRecording(r.path, position, *ends, r.what, variable, r.every, r.dtype, r.unit, r.keep)


def _relays(population: Population) -> bool:
    return isinstance(population.dynamics, spec.Relay)
