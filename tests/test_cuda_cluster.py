"""Parts on the GPUs of worker processes: the bits of backend cpu, two processes on one GPU, GPU and CPU workers in one run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from test_cuda_engine import GPU

import eventsnn as snn
from eventsnn.devices import Gpu
from eventsnn.models import FixedIndegree, FixedTotalNumber, IafPscExp, Poisson, PoissonInput, Static, Stdp
from eventsnn.scheduler import plan
from eventsnn.scheduler.errors import PlanError

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(isinstance(GPU, str), reason=f"no GPU: {GPU}"), pytest.mark.timeout(300)]
N = 4 if isinstance(GPU, Gpu) and GPU.name == "CUDA simulator" else 100


def network() -> snn.Network:
    """Spikes of every population reach every other; weights change in one projection."""
    net = snn.Network(seed=5, dt=0.1)
    exc = net.population("exc", 8 * N, IafPscExp(t_ref=0.5), V_m=snn.Uniform(-60.0, -50.0))
    inh = net.population("inh", 2 * N, IafPscExp(), V_m=snn.Uniform(-60.0, -50.0))
    noise = net.population("noise", 2 * N, Poisson(rate=2000.0))
    for post in (exc, inh):
        net.stimulate(post, PoissonInput(rate=20000.0, weight=80.0))
        net.connect(inh >> post, FixedIndegree(3), Static(weight=-60.0, delay=0.8))
        net.connect(noise >> post, FixedTotalNumber(6 * N), Static(weight=100.0, delay=snn.Uniform(0.3, 1.5)))
    net.connect(exc >> exc, FixedIndegree(5), Stdp(weight=snn.Uniform(20.0, 60.0), delay=0.4, Wmax=100.0), name="plastic")
    net.connect(exc >> inh, FixedIndegree(5), Static(weight=snn.Normal(40.0, 4.0), delay=0.3))
    for population in (exc, inh, noise):
        net.record(population, "spikes")
    net.record(exc[::3], "V_m", every=0.5, dtype="float64")
    return net


@pytest.fixture(scope="module")
def expected() -> tuple[xr.DataTree, np.ndarray]:
    with snn.Simulation(network(), backend="cpu", threads=1) as sim:
        sim.run(5.0)
        return snn.open(sim).load(), sim["plastic"].weights()["weight"]


def workers(n: int) -> LocalCluster:
    """Processes that see the same GPU."""
    preload = ["standin.preload"] if os.environ.get("EVENTSNN_STANDIN") else []
    return LocalCluster(
        n_workers=n, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", preload=preload, memory_limit=0
    )


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with workers(2) as cluster, cluster.get_client() as made:
        yield made


def assert_same(store: Path, weights: np.ndarray, expected: tuple[xr.DataTree, np.ndarray]) -> None:
    found = snn.open(store).load()
    for node in expected[0].subtree:
        if node.has_data:
            xr.testing.assert_identical(found[node.path].to_dataset(), node.to_dataset())
    assert found["exc/spikes"].sizes["event"] >= N
    np.testing.assert_array_equal(weights, expected[1])


def run(sim: snn.Simulation) -> np.ndarray:
    sim.run(2.2)
    sim.run(2.8)
    return np.asarray(sim["plastic"].weights()["weight"])


def test_two_processes_on_one_gpu(client: Client, tmp_path: Path, expected: tuple[xr.DataTree, np.ndarray]) -> None:
    with snn.Simulation(network(), client=client, store=tmp_path / "s.zarr", backend="cuda") as sim:
        assert [share.backend for share in sim.plan.shares] == ["cuda", "cuda"]
        assert len({share.place.address for share in sim.plan.shares}) == 2
        assert len({share.place.gpu.uuid for share in sim.plan.shares}) == 1  # type: ignore[union-attr]
        weights = run(sim)
    assert_same(tmp_path / "s.zarr", weights, expected)


def test_the_memory_of_one_gpu_is_that_of_both_processes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part would fit alone; together they do not."""
    assert isinstance(GPU, Gpu)
    part = 0.75 * GPU.free
    monkeypatch.setattr(plan, "device_bytes", lambda *_: (part, part))
    with pytest.raises(PlanError, match=f"need about {2 * part / 1e9:.2f} GB of GPU memory"):
        snn.Simulation(network(), client=client, store="never.zarr", backend="cuda")


@pytest.mark.skipif(
    find_spec("dask_cuda") is None or not isinstance(GPU, Gpu) or GPU.simulated, reason="needs dask-cuda and a real GPU"
)
def test_a_cluster_of_dask_cuda(tmp_path: Path, expected: tuple[xr.DataTree, np.ndarray]) -> None:
    from dask_cuda import LocalCUDACluster

    with (
        LocalCUDACluster(host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        cluster.get_client() as client,
        snn.Simulation(network(), client=client, store=tmp_path / "s.zarr") as sim,
    ):
        assert {share.backend for share in sim.plan.shares} == {"cuda"}
        weights = run(sim)
    assert_same(tmp_path / "s.zarr", weights, expected)
