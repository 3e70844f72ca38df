"""A stored run that goes on, in any process and on any machine."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eventsnn.canonical import canonical, first_difference
from eventsnn.errors import ParameterError
from eventsnn.explicit import explicit
from eventsnn.network import Network
from eventsnn.restored import restore
from eventsnn.scheduler.keeping import Start
from eventsnn.scheduler.recording import NETWORK
from eventsnn.simulation import Simulation
from eventsnn.storage.checkpoints import Checkpoints
from eventsnn.storage.errors import StoreMissing
from eventsnn.storage.objects import read_object
from eventsnn.storage.results import read_commit

if TYPE_CHECKING:
    from zarr.abc.store import Store


def resume(store: str | os.PathLike[str] | Store, network: Network | None = None, **options: Any) -> Simulation:
    """The simulation that `store` holds, as it was at its last checkpoint, or at the beginning where there is none.

    What was recorded after that moment is recorded again, with the same bits. `network`: only needed where the stored one cannot
    be made again from data, such as one with a model that is a Python function; it must be the one that was stored. `options`:
    those of Simulation, such as client, threads, parts and backend, which may differ from before; checkpoints are made as before
    unless they say otherwise.

    >>> import eventsnn as snn
    >>> from eventsnn.models import IafPscExp
    >>> from zarr.storage import MemoryStore
    >>> net, store = snn.Network(seed=1, dt=0.1), MemoryStore()
    >>> exc = net.population("exc", 10, IafPscExp(I_e=500.0))
    >>> with snn.Simulation(net, store=store, checkpoint_every=10.0) as sim:
    ...     sim.run(25.0)
    >>> with snn.resume(store) as sim:
    ...     print(sim.time)
    ...     sim.run(sim.goal - sim.time)
    20.0

    Raises StoreMissing, StoreUnusable, and ParameterError where `network` is another one, with the first difference.
    """
    for word in ("store", "overwrite", "precision", "start"):
        if word in options:
            raise ParameterError(f"snn.resume takes no {word}=: that is settled by the store")
    place, record = read_commit(store)
    attributes = record["attributes"]
    stored = attributes.get("network")
    if not isinstance(stored, Mapping):
        raise StoreMissing(f"store {place.name} says nothing of the network; give it: snn.resume(store, network)")
    if network is None:
        network = restore(stored, lambda name: _array(place.store, name))
    network = explicit(network)
    difference = first_difference(stored, canonical(network))
    if difference is not None:
        raise ParameterError(f"this is not the network of {place.name}: {difference}")
    paces = attributes.get("checkpoints", {})
    if not {"checkpoint_every", "checkpoint_wall"} & options.keys():
        options["checkpoint_every"] = round(paces["every_steps"] * network.dt, 10) if paces.get("every_steps") else None
        options["checkpoint_wall"] = paces.get("wall_s")
    start = Start.of(Checkpoints(store).latest())
    goal = attributes.get("run", {}).get("until_ms")
    made = Simulation(network, store=store, precision=attributes.get("precision", "float64"), start=start, **options)
    made.goal = float(goal) if goal is not None else made.time
    return made


def _array(store: Store, name: str) -> npt.NDArray[Any]:
    data = read_object(store, f"{NETWORK}/{name}.npy")
    if data is None:
        raise StoreMissing(
            f"an array of the network ({name[:12]}...) is not in the store; give the network: snn.resume(store, network)"
        )
    found: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return found
