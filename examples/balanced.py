"""A balanced random network on a local Dask cluster: the same script runs in-process with client=None."""

from __future__ import annotations

import tempfile

from dask.distributed import LocalCluster

import eventsnn as snn
from eventsnn.models import FixedIndegree, IafPscExp, PoissonInput, Static


def network() -> snn.Network:
    net = snn.Network(seed=1, dt=0.1)
    exc = net.population("exc", 800, IafPscExp(), V_m=snn.Uniform(-70.0, -55.0))
    inh = net.population("inh", 200, IafPscExp(), V_m=snn.Uniform(-70.0, -55.0))
    for post in (exc, inh):
        net.stimulate(post, PoissonInput(rate=9000.0, weight=30.0))
        net.connect(exc >> post, FixedIndegree(80), Static(weight=20.0, delay=1.5))
        net.connect(inh >> post, FixedIndegree(20), Static(weight=-100.0, delay=1.5))
        net.record(post, "spikes")
    return net


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        cluster.get_client() as client,
        snn.Simulation(network(), store=f"{folder}/balanced.zarr", client=client) as sim,
    ):
        sim.run(200.0)
        run = snn.open(f"{folder}/balanced.zarr")
        for name in ("exc", "inh"):
            print(name, run[f"{name}/spikes"].sizes["event"], "spikes")


if __name__ == "__main__":
    main()
