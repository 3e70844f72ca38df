"""The networks of the library on backend cuda: every spike that backend cpu gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import xarray as xr
from test_cuda_engine import GPU

import eventsnn as snn
from eventsnn.models.networks import brunel, cobahh, cuba, hpc_benchmark, microcircuit, polychronization, small

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}")]
NETWORKS: dict[str, tuple[Callable[[], snn.Network], float, int]] = {
    "microcircuit": (lambda: microcircuit(0.1), 40.0, 300),
    "brunel": (lambda: brunel(2_500), 30.0, 500),
    "cuba": (cuba, 30.0, 500),
    "cobahh": (cobahh, 20.0, 100),
    "hpc_benchmark": (lambda: hpc_benchmark(0.1, indegrees=0.05), 40.0, 300),
    "small": (lambda: small(1_000), 100.0, 500),
    "polychronization": (polychronization, 100.0, 50),
}
"""A network, ms, and spikes that it gives at least."""


def spikes(net: snn.Network, duration: float, backend: str) -> xr.DataTree:
    for name in net.populations:
        if f"{name}/spikes" not in net.recordings:
            net.record(net[name], "spikes")
    with snn.Simulation(net, backend=backend) as sim:
        sim.run(duration)
        return snn.open(sim).load()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_spike(name: str) -> None:
    make, duration, least = NETWORKS[name]
    expected, found = (spikes(make(), duration, backend) for backend in ("cpu", "cuda"))
    number = 0
    for node in expected.subtree:
        if node.has_data:
            xr.testing.assert_identical(found[node.path].to_dataset(), node.to_dataset())
            number += node.sizes.get("event", 0)
    assert number >= least
