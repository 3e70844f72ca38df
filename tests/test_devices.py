"""What is said of GPUs, and of machines without one: one sentence with the cure, before anything is built."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster

import eventsnn as snn
from eventsnn.cli import main
from eventsnn.devices import Gpu, find_gpu, misfit
from eventsnn.lower import lower
from eventsnn.models import IafPscExp
from eventsnn.scheduler.errors import PlanError
from eventsnn.scheduler.placement import Place
from eventsnn.scheduler.plan import computing, make_plan
from eventsnn.scheduler.workers import cluster_places

H200 = Gpu("H200", "a", 150 * 10**9, 149 * 10**9, (9, 0), 132)


class CudaError(Exception):
    """Stands for cupy's."""


def runtime(**changes: Any) -> SimpleNamespace:
    """CUDA as CuPy shows it, with one H200."""
    facts = {
        "major": 9,
        "minor": 0,
        "name": b"H200",
        "uuid": b"\x12\xab",
        "multiProcessorCount": 132,
    }
    facts.update(changes.pop("facts", {}))
    whole = {
        "driverGetVersion": lambda: 13000,
        "getDeviceProperties": lambda number: facts,
        "memGetInfo": lambda: (100, 200),
        "CUDARuntimeError": CudaError,
    }
    return SimpleNamespace(**{**whole, **changes})


class Entered:
    def __init__(self, number: int) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def found(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Gpu | str:
    cuda = SimpleNamespace(runtime=runtime(**changes), Device=Entered)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    pool = SimpleNamespace(free_bytes=lambda: 7)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool))
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    return find_gpu()


def lost(*_: object) -> int:
    raise CudaError("cudaErrorDeviceUnavailable: the device is gone")


def test_a_gpu_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch) == Gpu("H200", "12ab", 200, 107, (9, 0), 132)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"driverGetVersion": lambda: 0}, "this machine has no NVIDIA driver; install one, or use backend='cpu'"),
        ({"driverGetVersion": lambda: 12080}, "the NVIDIA driver knows CUDA 12.8, and 13.0 is needed; install a newer driver"),
        ({"getDeviceProperties": lost}, "CUDA can't be used: cudaErrorDeviceUnavailable: the device is gone; look at nvidia-smi"),
        ({"facts": {"major": 6, "minor": 1}}, "H200 has compute capability 6.1, and 7.5 is needed"),
    ],
    ids=["no driver", "old driver", "lost device", "old device"],
)
def test_what_is_missing_is_told(changes: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = found(monkeypatch, **changes)
    assert isinstance(message, str)
    assert message.startswith(told)


def test_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, name in (("numba_cuda", "numba-cuda"), ("cupy", "cupy")):
        with monkeypatch.context() as patch:
            patch.setattr("importlib.util.find_spec", lambda asked, package=package: None if asked == package else True)
            assert find_gpu() == f"the package {name} is not installed; python -m pip install 'eventsnn[cuda]' brings it"


def test_a_numpy_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, fits in (("2.4.6", True), ("2.5.0", False), ("3.0.0rc1", False)):
        monkeypatch.setattr("importlib.metadata.version", lambda name, version=version: version)
        said = misfit()
        assert (said is None) == fits
        assert fits or said == f"numba-cuda does not work with numpy {version}; python -m pip install 'numpy<2.5' mends it"


@pytest.mark.parametrize(
    ("backend", "gpu", "chosen"),
    [("auto", H200, "cuda"), ("auto", "none", "cpu"), ("cpu", H200, "cpu"), ("cuda", H200, "cuda")],
)
def test_the_backend_of_a_place(backend: str, gpu: Gpu | str, chosen: str) -> None:
    assert computing(backend, Place("tcp://a:1", "a", 4, 0, gpu)) == chosen


def test_auto_never_takes_the_simulator() -> None:
    simulated = Gpu("CUDA simulator", "", 1, 1, (9, 0), 1, True)
    assert computing("auto", Place("here", "a", 4, 0, simulated)) == "cpu"
    assert computing("cuda", Place("here", "a", 4, 0, simulated)) == "cuda"


def test_a_worker_without_a_gpu_is_named_before_the_build() -> None:
    net = snn.Network(seed=1, dt=0.1)
    net.population("cells", 10, IafPscExp())
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        places = cluster_places(client, None, "auto")
        if isinstance(places[0].gpu, Gpu):
            pytest.skip("this machine has a GPU")
        assert snn.Simulation(net, client=client).plan.shares[0].backend == "cpu"
        with pytest.raises(PlanError, match=r"backend='cuda' on tcp://127\.0\.0\.1:\d+: .*; or use backend='cpu'"):
            snn.Simulation(net, client=client, backend="cuda")


def test_the_doctor_says_what_there_is_and_what_to_install() -> None:
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    topics = [line[3:].split()[0] for line in lines]
    assert topics == ["Python", "cores", "packages", "[cuda]", "[hpc]", "[plot]", "GPU", "PTX", "cache", "links"]
    assert not any(line.startswith("!!") for line in lines)
    missing = next(line for line in lines if "[hpc]" in line)
    assert "dask-jobqueue" in missing


def test_the_doctor_reports_faults_instead_of_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise OSError("no folder for generated kernels can be written")

    monkeypatch.setattr("eventsnn.doctor._cache", broken)
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0
    assert "!! cache        OSError: no folder for generated kernels can be written" in done.output


def test_a_gpu_gets_more_of_the_network_than_a_core() -> None:
    net = snn.Network(seed=1, dt=0.1)
    net.population("large", 100_000, IafPscExp())
    net.population("small", 100, IafPscExp())
    places = [Place("tcp://a:1", "a", 2, 0, "none"), Place("tcp://b:1", "b", 4, 0, H200)]
    shares = make_plan(lower(net), places, 2, None, backend="auto").shares
    assert [share.backend for share in shares] == ["cpu", "cuda"]
    sizes = [sum(s.stop - s.start for s in share.slices if s.population == 0) for share in shares]
    assert sizes == [3846, 96_154]  # 2 to 50
