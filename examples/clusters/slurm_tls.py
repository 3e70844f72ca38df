"""As slurm.py, with all connections encrypted and both ends known to each other, by certificates made for this run."""

from __future__ import annotations

from dask.distributed import Security
from dask_jobqueue import SLURMCluster
from simulate import on_jobs


def cluster() -> SLURMCluster:
    return SLURMCluster(security=Security.temporary())


if __name__ == "__main__":
    on_jobs(cluster(), jobs=2)
