"""A network as JSON: what is kept with its recordings, and compared before a run is resumed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from eventsnn.model import Model, NeuronModel
from eventsnn.network import Network
from eventsnn.projection import Projection
from eventsnn.selection import Selection
from eventsnn.values import Distribution

LONGEST = 1000
"""Arrays with more elements are kept as their shape and SHA-256."""


def canonical(network: Network) -> dict[str, Any]:
    """Everything that decides the results, as JSON; equal networks give equal descriptions."""
    return {
        "seed": network.seed,
        "dt": network.dt,
        "populations": [
            {"name": p.name, "n": p.n, "model": _model(p.model), "values": plain(p.values)} for p in network.populations.values()
        ],
        "projections": [_projection(p) for p in network.projections.values()],
        "stimuli": [
            {"target": _selection(s.target), "stimulus": plain(s.stimulus), "receptor": s.receptor} for s in network.stimulations
        ],
        "recordings": [
            {"path": r.path, "target": _selection(r.target), "what": r.what, "every": r.every, "dtype": r.dtype}
            for r in network.recordings.values()
        ],
    }


@singledispatch
def plain(given: Any) -> Any:
    """A value or description object as JSON: numbers, text, lists, and {"kind": class, field: value, ...}."""
    if hasattr(given, "magnitude") and hasattr(given, "units"):
        return {"magnitude": plain(given.magnitude), "unit": str(given.units)}
    if is_dataclass(given):
        return {"kind": type(given).__name__, **{f.name: plain(getattr(given, f.name)) for f in fields(given)}}
    return repr(given)


@plain.register(str)
@plain.register(bool)
@plain.register(int)
@plain.register(type(None))
def _as_it_is(given: Any) -> Any:
    return given


@plain.register
def _number(given: float) -> float | str:
    return float(given) if math.isfinite(given) else repr(float(given))


@plain.register(list)
@plain.register(tuple)
def _sequence(given: Any) -> Any:
    return plain(np.asarray(given)) if len(given) > LONGEST else [plain(item) for item in given]


@plain.register
def _array(given: np.ndarray) -> Any:
    if given.size <= LONGEST:
        return given.tolist()
    ordered = np.ascontiguousarray(given, dtype=given.dtype.newbyteorder("<"))
    return {"shape": list(given.shape), "sha256": hashlib.sha256(ordered.tobytes()).hexdigest()}


@plain.register
def _numpy_number(given: np.generic) -> Any:
    return plain(given.item())


@plain.register
def _mapping(given: Mapping) -> dict[str, Any]:  # type: ignore[type-arg]
    return {str(name): plain(value) for name, value in given.items()}


@plain.register
def _distribution(given: Distribution) -> dict[str, Any]:
    """`program` tells x + x from the sum of two draws."""
    return {"distribution": repr(given), "program": [list(word) for word in given.drawn().program]}


def _model(model: Model) -> dict[str, Any]:
    values = {"kind": type(model).__name__, "values": plain(model.values)}
    return {**values, "declaration": plain(asdict(model.declaration()))} if isinstance(model, NeuronModel) else values


def _projection(p: Projection) -> dict[str, Any]:
    ends = {"name": p.name, "pre": _selection(p.pre), "post": _selection(p.post)}
    return {**ends, "rule": plain(p.rule), "synapse": plain(p.synapse), "receptor": p.receptor}


def _selection(selection: Selection) -> dict[str, Any]:
    subset = selection.subset
    span = {"start": subset.start, "stop": subset.stop}
    return {"population": selection.population.name, **(span if subset.ids is None else {"ids": plain(subset.ids)})}
