"""Connections as arrays: from sparse matrices and tables, and to them.

Sources are rows and targets are columns: pre before post everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eventsnn.errors import KindError, ParameterError, ShapeError
from eventsnn.models.rules.explicit import Explicit

Array = npt.NDArray[Any]
COLUMNS = ("pre", "post", "weight", "delay")


class Edges(NamedTuple):
    """For connect(pre >> post, edges.rule, Static(weight=edges.weight, delay=edges.delay)); None: was not in the table."""

    rule: Explicit
    weight: npt.NDArray[np.float64] | None
    """In the order of the rule's connections."""
    delay: npt.NDArray[np.float64] | None
    """ms"""


def from_matrix(weights: Any) -> Edges:
    """The entries of a matrix, shape (sources, targets): of scipy.sparse all that are stored, of an array those other than 0.

    A sparse matrix in coordinate form may hold an entry several times: each is a connection.
    """
    if hasattr(weights, "tocoo"):
        found = weights.tocoo()
        return Edges(Explicit(found.row, found.col), np.array(found.data, np.float64), None)
    array = np.asarray(weights)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise ShapeError(f"from_matrix: give a matrix of numbers (sources, targets), not {array.dtype} of shape {array.shape}")
    pre, post = np.nonzero(array)
    return Edges(Explicit(pre, post), array[pre, post].astype(np.float64), None)


def from_table(table: Any) -> Edges:
    """A table of connections: an array (n, 2 to 4) of pre, post, weight, delay; or columns by these names.

    Columns: of a mapping, a structured array, a pandas frame, an open Zarr group or an xarray dataset. Others are left alone.
    """
    if (isinstance(table, np.ndarray) and table.dtype.names is None) or isinstance(table, list | tuple):
        array = np.asarray(table)
        if array.ndim != 2 or not 2 <= array.shape[1] <= 4 or array.dtype.kind not in "iuf":
            raise ShapeError(f"from_table: give rows of pre, post[, weight[, delay]], not shape {array.shape} of {array.dtype}")
        columns = {word: array[:, k] for k, word in enumerate(COLUMNS[: array.shape[1]])}
    else:
        names = table.dtype.names if isinstance(table, np.ndarray) else table
        columns = {word: np.asarray(table[word]) for word in COLUMNS if word in names}
    missing = [word for word in ("pre", "post") if word not in columns]
    if missing:
        raise ParameterError(f"from_table: there is no column {' and none '.join(missing)}; columns are {', '.join(COLUMNS)}")
    ends = [_whole(columns[word], word) for word in ("pre", "post")]
    values = (columns[word].astype(np.float64) if word in columns else None for word in ("weight", "delay"))
    return Edges(Explicit(*ends), *values)


def to_scipy(edges: Mapping[str, Array], shape: tuple[int, int], what: str = "weight") -> Any:
    """A scipy.sparse.coo_array (sources, targets) of the "weight" or the "delay" of every connection; multapses stay apart.

    `edges` as `sim[projection].weights()` gives them.
    """
    from scipy.sparse import coo_array

    return coo_array((np.asarray(edges[what]), (np.asarray(edges["pre"]), np.asarray(edges["post"]))), shape=shape)


def degrees(edges: Mapping[str, Array], shape: tuple[int, int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(out-degree of every source, in-degree of every target)."""
    out, into = (np.bincount(np.asarray(edges[end]), minlength=n) for end, n in zip(("pre", "post"), shape, strict=True))
    return out.astype(np.int64), into.astype(np.int64)


def degree_table(edges: Mapping[str, Array], shape: tuple[int, int]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, least and greatest of the "in" and "out" degrees, and the number of multapses and autapses.

    "autapses" are connections with equal indices: they mean something within one population.
    """
    pre, post = np.asarray(edges["pre"]).astype(np.int64), np.asarray(edges["post"]).astype(np.int64)
    pairs = np.unique(pre * shape[1] + post)
    out, into = degrees(edges, shape)
    stats = {
        word: {"mean": float(d.mean()), "std": float(d.std()), "min": float(d.min()), "max": float(d.max())}
        for word, d in (("in", into), ("out", out))
    }
    return {**stats, "number": {"synapses": len(pre), "multapses": len(pre) - len(pairs), "autapses": int((pre == post).sum())}}


def fan_in_shares(indegree: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of the `indegree` synapses of a target come from each source, in proportion to `shares`.

    Whole numbers by largest remainders, which add up to `indegree`; of equal remainders, the first source gets one.

    >>> fan_in_shares(1000, {"exc": 0.8, "inh": 0.19, "thalamus": 0.01})
    {'exc': 800, 'inh': 190, 'thalamus': 10}
    """
    values = np.array([float(x) for x in shares.values()])
    if isinstance(indegree, bool) or not isinstance(indegree, int | np.integer) or indegree < 0:
        raise KindError(f"fan_in_shares: indegree must be a whole number >= 0, not {indegree!r}")
    if not len(values) or not np.isfinite(values).all() or (values < 0.0).any() or not values.any():
        raise ParameterError(f"fan_in_shares: shares must be >= 0 and not all 0, not {dict(shares)}")
    exact = values / values.sum() * int(indegree)
    whole = np.floor(np.round(exact, 9)).astype(int)
    for k in np.argsort(-(exact - whole), kind="stable")[: int(indegree) - int(whole.sum())]:
        whole[k] += 1
    return dict(zip(shares, whole.tolist(), strict=True))


def _whole(column: Array, word: str) -> npt.NDArray[np.int64]:
    if column.dtype.kind not in "iu" and not (column.dtype.kind == "f" and (column == np.floor(column)).all()):
        raise KindError(f"from_table: {word} must hold whole numbers, positions in its side")
    return column.astype(np.int64)
