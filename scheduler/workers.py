"""The workers of a Dask cluster as places."""

from __future__ import annotations

import time
from typing import Any

import dask
from distributed import Client

from eventsnn.devices import Gpu, find_gpu
from eventsnn.errors import KindError, ParameterError
from eventsnn.scheduler.errors import PlanError
from eventsnn.scheduler.placement import Place


def check_client(client: object) -> None:
    """Raises where `client` is no connected, synchronous distributed.Client."""
    if not isinstance(client, Client):
        hint = "; a cluster's is cluster.get_client()" if hasattr(client, "get_client") else ""
        raise KindError(f"client={client!r} is no distributed.Client{hint}; give one, or None to run in this process")
    if client.asynchronous:
        raise KindError("client is asynchronous; give one made with asynchronous=False")
    if client.status != "running":
        raise ParameterError(f"client is {client.status}; give one that is connected to its scheduler")


def running(client: Client) -> dict[str, Any]:
    """What the scheduler knows of each worker that runs, by address."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {address: info for address, info in workers.items() if info["status"] == "running"}


def cluster_places(client: Client, parts: int | None, backend: str = "cpu", without: frozenset[str] = frozenset()) -> list[Place]:
    """The workers, sorted by address; waits for `parts` of them, or for one, as long as `eventsnn.workers-timeout` allows.

    `without`: addresses to leave out. Where `backend` is not "cpu", each is asked for its GPU.
    """
    timeout = float(dask.config.get("eventsnn.workers-timeout", 30.0))
    until = time.monotonic() + timeout
    wanted = parts or 1
    while True:
        found = {address: info for address, info in running(client).items() if address not in without}
        if len(found) >= wanted:
            break
        if time.monotonic() > until:
            raise PlanError(
                f"the cluster at {client.scheduler_info(n_workers=0)['address']} has {len(found)} workers after {timeout:g} s, "
                f"{'at least ' if parts is None else ''}{wanted} needed; start workers, or ask for fewer parts"
            )
        time.sleep(0.05)
    gpus = {} if backend == "cpu" else _gpus(client, list(found), max(min(FIRST_LOOK, timeout), until - time.monotonic()))
    return [
        Place(address, info["host"], int(info["nthreads"]), int(info["memory_limit"] or 0), gpus.get(address, "not looked for"))
        for address, info in sorted(found.items())
    ]


FIRST_LOOK = 30.0
"""Seconds, where there is as much time at all, in which a worker can load what it looks for its GPU with."""


def _gpus(client: Client, workers: list[str], timeout: float) -> dict[str, Gpu | str]:
    """The GPU of each worker, or why it has none."""
    asked = {w: client.submit(find_gpu, workers=[w], allow_other_workers=False, pure=False) for w in workers}
    found: dict[str, Gpu | str] = {}
    for worker, future in asked.items():
        try:
            found[worker] = future.result(timeout=timeout)
        except Exception as error:
            found[worker] = f"it could not say whether it has a GPU ({type(error).__name__}: {error})"
    return found
