"""What is recorded: the spikes, a state or the input of some neurons of one population."""

from __future__ import annotations

import re
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
LAST = re.compile(r"last\s+([0-9.]+)\s*(ms|s)")


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
    keep: int = 0
    """Steps before the present of which rows are kept; 0: all."""


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
