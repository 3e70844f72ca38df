"""On SLURM, from the login node; what a job is stands in jobqueue.yaml."""

from __future__ import annotations

from dask_jobqueue import SLURMCluster
from simulate import on_jobs


def cluster() -> SLURMCluster:
    return SLURMCluster()


if __name__ == "__main__":
    on_jobs(cluster(), jobs=2)
