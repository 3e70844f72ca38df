"""On PBS, from the login node; what a job is stands in jobqueue.yaml."""

from __future__ import annotations

from dask_jobqueue import PBSCluster
from simulate import on_jobs


def cluster() -> PBSCluster:
    return PBSCluster()


if __name__ == "__main__":
    on_jobs(cluster(), jobs=2)
