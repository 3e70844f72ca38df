"""What is recorded: the spikes, a state or the input of some neurons of one population."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eventsnn.arguments import one_number
from eventsnn.errors import ParameterError, unknown_name
from eventsnn.selection import Selection
from eventsnn.units import grid_steps

SPIKES = "spikes"
COORDINATES = ("time", "neuron")
DTYPES = ("float32", "float64")


@dataclass(frozen=True, eq=False)
class Recording:
    """`what` of the neurons in `target`, kept under `path` of the store."""

    path: str
    target: Selection
    what: str
    every: int
    """Steps between samples; 0 for spikes."""
    dtype: str
    """Of the samples; "" for spikes."""
    unit: str


def recording(target: Selection, what: str, every: float | None, dtype: npt.DTypeLike, name: str | None, dt: float) -> Recording:
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
        return Recording(path, target, what, 0, "", units[what])
    return Recording(path, target, what, _steps_between(every, dt, f"{who}: every"), _dtype(dtype, who), units[what])


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


def _dtype(given: npt.DTypeLike, who: str) -> str:
    try:
        name = np.dtype(given).name
    except TypeError:
        name = str(given)
    if name not in DTYPES:
        raise ParameterError(f"{who}: dtype must be {' or '.join(DTYPES)}, not {name}")
    return name
