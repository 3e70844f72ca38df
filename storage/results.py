"""Reading a run with xarray, while it goes on or later."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.abc.store import Store

from eventsnn.storage.clock import times
from eventsnn.storage.errors import StoreMissing, StoreUnusable
from eventsnn.storage.objects import read_object
from eventsnn.storage.targets import ROOT, Place, resolve
from eventsnn.storage.watchful import WatchfulStore


def open_run(source: object, storage_options: Mapping[str, Any] | None = None) -> xr.DataTree:
    """Recordings as a tree, one node per recording; `source`: a path, a URL, a Zarr store or a simulation.

    Arrays are read when they are used. Spikes have `time` (ms) and `neuron` as coordinates of `tick`; the attributes of the
    root say what is there: committed_ms, seed, dt, network, versions. While a run goes on, each call shows the last commit.

    Of recordings that keep the last steps only, these are shown. (Their arrays in the store begin with the first step of the run;
    rows before the group's attribute first_row are gone, or on their way, and read as zeros with plain xarray or Zarr.)

    What a tree still has to read may be gone when its run has gone on, or the store been packed: that raises StoreMissing, and
    the store has to be opened again.

    Raises StoreMissing where there is no store, StoreUnusable where it is not one of this package.
    """
    place, _ = read_commit(source, storage_options)
    store: Any = WatchfulStore(place.store)  # xarray's annotations leave Zarr stores out
    groups = xr.open_groups(store, engine="zarr", consolidated=True)
    return xr.DataTree.from_dict({path: _as_recorded(group) for path, group in groups.items()})


def read_commit(source: object, storage_options: Mapping[str, Any] | None = None) -> tuple[Place, dict[str, Any]]:
    """Where a run is, and its commit record (the root's zarr.json)."""
    place = resolve(_target(source), storage_options, read_only=True)
    try:
        text = read_object(place.store, ROOT)
    except OSError as error:
        raise StoreMissing(f"store {place.name} cannot be read: {error}") from error
    if text is None:
        raise StoreMissing(f"there is no store at {place.name}; check the path that Simulation(net, store=...) was given")
    try:
        record: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise StoreUnusable(f"{ROOT} of store {place.name} is damaged: {error}; it cannot be read") from error
    if "committed_ms" not in record.get("attributes", {}):
        raise StoreUnusable(f"{place.name} is a Zarr group, but no run was recorded in it (it has no attribute committed_ms)")
    nodes = record.get("consolidated_metadata", {}).get("metadata", {})
    if any(node.get("zarr_format") != 3 for node in nodes.values()):
        raise StoreUnusable(f"{ROOT} of store {place.name} speaks of arrays that are not of Zarr v3, which no run records")
    return place, record


def _target(source: object) -> Store | str | os.PathLike[str]:
    store = getattr(source, "_recorded_store", source)
    if store is None:
        raise StoreMissing(f"{type(source).__name__} has recorded nothing: net.record(...) says what is kept")
    if not isinstance(store, (str, os.PathLike, Store)):
        raise StoreUnusable(f"cannot open {source!r}; give the path or URL of a store, a zarr Store, or a Simulation")
    return store


def _as_recorded(group: xr.Dataset) -> xr.Dataset:
    """Without rows that are not valid any more, and spikes with their times."""
    first = group.attrs.get("first_row", 0)
    if first:
        group = group.isel({dim: slice(first, None) for dim in ("event", "block", "time") if dim in group.sizes})
    if "tick" in group:
        tick = group["tick"].variable
        dt = float(tick.attrs["dt"])
        time = _mapped(tick, np.float64, lambda ticks: times(ticks, dt), {"long_name": "time of the spike", "units": "ms"})
        return group.assign_coords(time=time).set_coords("neuron")
    if "first_event" in group.attrs:
        events = group.attrs["first_event"]
        stop = group["stop"].variable
        return group.assign(stop=_mapped(stop, np.int64, lambda stops: stops - events, stop.attrs))
    return group


Map = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def _mapped(source: xr.Variable, dtype: npt.DTypeLike, function: Map, attrs: Mapping[str, Any]) -> xr.Variable:
    lazy = indexing.LazilyIndexedArray(_Mapped(source, dtype, function))
    return xr.Variable(source.dims, indexing.MemoryCachedArray(lazy), attrs)


class _Mapped(BackendArray):
    """Values made from those of another variable where they are looked at, so that a large store opens at once."""

    def __init__(self, source: xr.Variable, dtype: npt.DTypeLike, function: Map) -> None:
        self._source, self._function = source, function
        self.shape = source.shape
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        values = np.asarray(self._source[key].values)
        return self._function(values.reshape(-1)).reshape(values.shape)
