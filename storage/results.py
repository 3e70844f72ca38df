"""Reading a run with xarray, while it goes on or later."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
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


def open_run(source: object, storage_options: Mapping[str, Any] | None = None) -> xr.DataTree:
    """Recordings as a tree, one node per recording; `source`: a path, a URL, a Zarr store or a simulation.

    Arrays are read when they are used. Spikes have `time` (ms) and `neuron` as coordinates of `tick`; the attributes of the
    root say what is there: committed_ms, seed, dt, network, versions. While a run goes on, each call shows the last commit.

    Raises StoreMissing where there is no store, StoreUnusable where it is not one of this package.
    """
    place, _ = read_commit(source, storage_options)
    store: Any = place.store  # xarray's annotations leave Zarr stores out
    groups = xr.open_groups(store, engine="zarr", consolidated=True)
    return xr.DataTree.from_dict({path: _with_times(group) if "tick" in group else group for path, group in groups.items()})


def read_commit(source: object, storage_options: Mapping[str, Any] | None = None) -> tuple[Place, dict[str, Any]]:
    """Where a run is, and its commit record (the root's zarr.json)."""
    place = resolve(_target(source), storage_options, read_only=True)
    try:
        text = read_object(place.store, ROOT)
    except OSError as error:
        raise StoreMissing(f"store {place.name} cannot be read: {error}") from error
    if text is None:
        raise StoreMissing(f"there is no store at {place.name}; check the path that Simulation(net, store=...) was given")
    record: dict[str, Any] = json.loads(text)
    if "committed_ms" not in record.get("attributes", {}):
        raise StoreUnusable(f"{place.name} is a Zarr group, but no run was recorded in it (it has no attribute committed_ms)")
    return place, record


def _target(source: object) -> Store | str | os.PathLike[str]:
    store = getattr(source, "_recorded_store", source)
    if store is None:
        raise StoreMissing(f"{type(source).__name__} has recorded nothing: net.record(...) says what is kept")
    if not isinstance(store, (str, os.PathLike, Store)):
        raise StoreUnusable(f"cannot open {source!r}; give the path or URL of a store, a zarr Store, or a Simulation")
    return store


def _with_times(spikes: xr.Dataset) -> xr.Dataset:
    tick = spikes["tick"].variable
    lazy = indexing.LazilyIndexedArray(_Times(tick, float(tick.attrs["dt"])))
    time = xr.Variable(tick.dims, indexing.MemoryCachedArray(lazy), {"long_name": "time of the spike", "units": "ms"})
    return spikes.assign_coords(time=time).set_coords("neuron")


class _Times(BackendArray):
    """Times of ticks, made where they are looked at, so that a large store opens at once."""

    def __init__(self, tick: xr.Variable, dt: float) -> None:
        self._tick, self._dt = tick, dt
        self.shape = tick.shape
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[np.float64]:
        ticks = np.asarray(self._tick[key].values)
        return times(ticks.reshape(-1), self._dt).reshape(ticks.shape)
