"""As pbs.py, on nodes with four GPUs: dask-cuda starts a worker for each GPU that PBS gives the job."""

from __future__ import annotations

from dask_jobqueue import PBSCluster
from simulate import on_jobs

GPUS = 4


def cluster() -> PBSCluster:
    return PBSCluster(
        worker_command="dask_cuda.cli",
        processes=GPUS,
        cores=GPUS,  # a thread for each worker
        resource_spec=f"select=1:ncpus={8 * GPUS}:ngpus={GPUS}:mem=128gb",
    )


if __name__ == "__main__":
    on_jobs(cluster(), jobs=2, workers=GPUS)
