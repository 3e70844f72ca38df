"""As slurm.py, on nodes with four GPUs: dask-cuda starts a worker for each GPU that SLURM gives the job."""

from __future__ import annotations

from dask_jobqueue import SLURMCluster
from simulate import on_jobs

GPUS = 4


def cluster() -> SLURMCluster:
    return SLURMCluster(
        worker_command="dask_cuda.cli",
        processes=GPUS,
        cores=GPUS,  # a thread for each worker
        job_cpu=8 * GPUS,
        job_extra_directives=[f"--gres=gpu:{GPUS}"],
    )


if __name__ == "__main__":
    on_jobs(cluster(), jobs=2, workers=GPUS)
