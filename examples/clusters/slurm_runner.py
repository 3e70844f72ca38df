"""In one SLURM job, whose tasks are the scheduler, this client and the workers. usage: srun -n 4 python slurm_runner.py"""

from __future__ import annotations

import os

from dask.distributed import Client
from dask_jobqueue.slurm import SLURMRunner
from simulate import simulate


def main() -> None:
    interface = os.environ.get("INTERFACE", "ib0")
    threads = int(os.environ.get("SLURM_CPUS_PER_TASK", "1"))
    with (
        SLURMRunner(
            scheduler_options={"interface": interface},
            worker_options={"interface": interface, "nthreads": threads},
        ) as runner,
        Client(runner) as client,
    ):
        client.wait_for_workers(runner.n_workers)
        simulate(client)


if __name__ == "__main__":
    main()
