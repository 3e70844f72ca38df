"""The simulation of these examples, the same on every cluster. usage: simulate.py SCHEDULER_FILE [MS]"""

from __future__ import annotations

import sys
from typing import Any

from dask.distributed import Client

import eventsnn as snn
from eventsnn.models.networks import microcircuit

STORE = "microcircuit.zarr"
"""On a file system that the client and all workers share."""


def simulate(client: Client, ms: float = 1000.0) -> None:
    with snn.Simulation(microcircuit(0.1), client=client, store=STORE) as sim:
        print(sim.plan)
        sim.run(ms)
    for name, population in snn.open(STORE).children.items():
        print(name, population["spikes"].sizes["event"], "spikes")


def on_jobs(cluster: Any, jobs: int, workers: int = 1) -> None:
    """On a cluster of dask-jobqueue with so many jobs of so many workers; a job that ends is replaced."""
    with cluster, cluster.get_client() as client:
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
        client.wait_for_workers(jobs * workers)
        simulate(client)


if __name__ == "__main__":
    with Client(scheduler_file=sys.argv[1]) as client:
        client.wait_for_workers(1)
        simulate(client, *map(float, sys.argv[2:]))
