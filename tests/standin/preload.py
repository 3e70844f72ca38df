"""A preload of Dask: the worker's backend cuda is the stand-in."""

from __future__ import annotations

from standin.device import install


def dask_setup(worker: object) -> None:
    """Called by Dask as the worker starts."""
    install()
