"""What is recorded: the spikes, a state or the input of some neurons of one population; what changes in synapses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eventsnn.arguments import one_number
from eventsnn.errors import ParameterError, SelectionError, unknown_name
from eventsnn.plasticity import SynapseModel
from eventsnn.selection import Selection, selection_of
from eventsnn.units import grid_steps

if TYPE_CHECKING:
    from eventsnn.projection import Projection

SPIKES, WEIGHT = "spikes", "weight"
COORDINATES = ("time", "neuron")
OF_SYNAPSES = ("time", "synapse", "pre", "post")
"""Names that no recorded variable of a synapse can have."""
HOME = "projections"
"""Where recordings of synapses lie in a store."""
DTYPES = ("float32", "float64")
LAST = re.compile(r"last\s+([0-9.]+)\s*(ms|s)")


@dataclass(frozen=True, eq=False)
class Recording:
    """`what` of the neurons in `target`, kept under `path` of the store."""

    path: str
    target: Selection
    """Of synapses: those onto these neurons."""
    what: str
    every: int
    """Steps between samples; 0 for spikes."""
    dtype: str
    """Of the samples; "" for spikes."""
    unit: str
    keep: int = 0
    """Steps before the present of which rows are kept; 0: all."""
    projection: str | None = None
    """Whose synapses, where they are recorded and not neurons."""
    sources: Selection | None = None
    """Of synapses: those from these neurons; None: from all."""


def recording(
    target: Selection, what: str, every: float | None, dtype: npt.DTypeLike, name: str | None, keep: object, dt: float
) -> Recording:
    """A checked recording; `name` replaces the last part of its path."""
    who = f"recording of {target!r}"
    units = _recordable(target)
    if what not in units:
        raise unknown_name(f"{who}: {type(target.population.model).__name__}", "variable", str(what), units)
    if what in COORDINATES:
        raise ParameterError(
            f"{who}: {what!r} is the name of a coordinate of every recording; give this variable of the model another name"
        )
    path = f"{target.population.name}/{what if name is None else name}"
    if what == SPIKES:
        if every is not None:
            raise ParameterError(f"{who}: every spike is recorded at its own step; leave every={every!r} out")
        return Recording(path, target, what, 0, "", units[what], _kept(keep, dt, who))
    steps = _steps_between(every, dt, f"{who}: every")
    return Recording(path, target, what, steps, _dtype(dtype, who), units[what], _kept(keep, dt, who))


def synapse_recording(
    projection: Projection,
    what: str,
    every: float | None,
    dtype: npt.DTypeLike,
    name: str | None,
    keep: object,
    pre: object,
    post: object,
    dt: float,
) -> Recording:
    """A checked recording of the synapses of a projection from `pre` to `post`; None: all of that side."""
    who = f"recording of projection {projection.name!r}"
    synapse = projection.synapse
    if not isinstance(synapse, SynapseModel):
        raise ParameterError(
            f"{who}: its weights never change; read them once by sim[{projection.name!r}].weights(), "
            "or connect it by a plastic synapse such as Stdp"
        )
    names = (WEIGHT, *variables(synapse))
    if what not in names:
        raise unknown_name(f"{who}: {type(synapse).__name__}", "variable", str(what), names)
    if what in OF_SYNAPSES:
        raise ParameterError(f"{who}: {what!r} is the name of a coordinate of this recording; give the variable another name")
    if every is None:
        raise ParameterError(f"{who}: say how often, such as every=100.0 (ms); each sample holds a number for every synapse")
    steps = _steps_between(every, dt, f"{who}: every")
    sources, targets = (_among(side, given, who) for side, given in ((projection.pre, pre), (projection.post, post)))
    path = synapse_path(projection.name, what if name is None else name)
    unit = projection.post.population.model.receptors[projection.receptors[0]].unit if what == WEIGHT else ""
    kept = _kept(keep, dt, who)
    chosen = None if pre is None else sources
    return Recording(path, targets, what, steps, _dtype(dtype, who), unit, kept, projection.name, chosen)


def variables(synapse: SynapseModel) -> list[str]:
    """Names of the numbers that each synapse has besides its weight, as its rule counts them."""
    return [name for name, _, _ in synapse.declaration().variables]


def synapse_path(projection: str, name: str) -> str:
    """The path of a recording of a projection."""
    return f"{HOME}/{projection}/{name}"


def _among(side: Selection, given: object, who: str) -> Selection:
    """The neurons of one side of a projection that were chosen."""
    if given is None:
        return side
    chosen = selection_of(given, who)
    if chosen.population is not side.population:
        raise SelectionError(f"{who}: {chosen!r} is not of population {side.population.name!r}, which this side is of")
    return side & chosen


def _recordable(target: Selection) -> dict[str, str]:
    """Name -> unit of all that can be recorded: spikes, states, and the input of each receptor."""
    model = target.population.model
    states = {name: state.unit for name, state in model.states().items()}
    return {SPIKES: "", **states, **{r.name: r.unit for r in model.receptors}}


def _steps_between(every: float | None, dt: float, who: str) -> int:
    if every is None:
        return 1
    number = one_number(every, "ms", who)
    if number <= 0.0:
        raise ParameterError(f"{who} must be a time > 0 ms and a multiple of dt = {dt:g} ms, not {number:g}")
    return int(grid_steps(np.array([number]), dt, who)[0])


def _kept(keep: object, dt: float, who: str) -> int:
    """Steps of "last 10 s", or of a time in ms."""
    if keep is None:
        return 0
    given = keep
    if isinstance(keep, str):
        found = LAST.fullmatch(keep.strip())
        if found is None:
            raise ParameterError(
                f'{who}: keep={keep!r} is not understood; give such as "last 10 s", "last 500 ms", or a time in ms'
            )
        given = float(found[1]) * {"s": 1000.0, "ms": 1.0}[found[2]]
    number = one_number(given, "ms", f"{who}: keep")
    steps = int(grid_steps(np.array([number]), dt, f"{who}: keep")[0]) if number > 0.0 else 0
    if steps < 1:
        raise ParameterError(f"{who}: keep must be a time of at least dt = {dt:g} ms, not {number:g}")
    return steps


def _dtype(given: npt.DTypeLike, who: str) -> str:
    try:
        name = np.dtype(given).name
    except TypeError:
        name = str(given)
    if name not in DTYPES:
        raise ParameterError(f"{who}: dtype must be {' or '.join(DTYPES)}, not {name}")
    return name
