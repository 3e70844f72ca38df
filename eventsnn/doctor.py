"""What this machine offers to a simulation, and what to install where something is missing: `eventsnn doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eventsnn.devices import INSTALL, Gpu, find_gpu, misfit

NEEDED = ("numpy", "scipy", "numba", "llvmlite", "sympy", "dask", "distributed", "zarr", "xarray")
EXTRAS = {
    "cuda": ("numba-cuda", "cupy-cuda13x", "cuda-core", "dask-cuda"),
    "hpc": ("dask-jobqueue",),
    "plot": ("matplotlib",),
}


@dataclass(frozen=True)
class Finding:
    """One line of the report; `good` is None where it is neither good nor bad."""

    topic: str
    text: str
    good: bool | None = None

    def __str__(self) -> str:
        mark = {True: "ok", False: "!!", None: "  "}[self.good]
        return f"{mark} {self.topic:<12} {self.text}"


def findings() -> Iterator[Finding]:
    """What was found, in the order in which it is told."""
    yield Finding(
        "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", sys.version_info >= (3, 11)
    )
    yield Finding("cores", f"{_cores()} for this process")
    versions = {name: _version(name) for name in NEEDED}
    lost = [name for name, found in versions.items() if found is None]
    told = ", ".join(f"{name} {found or 'missing'}" for name, found in versions.items())
    yield Finding(
        "packages", told + (f"; install again: python -m pip install eventsnn ({', '.join(lost)})" if lost else ""), not lost
    )
    for extra, names in EXTRAS.items():
        yield _extra(extra, names)
    yield _gpu()
    yield _try("PTX", _ptx)
    yield _try("cache", _cache)
    yield _try("links", _links)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extra(extra: str, names: tuple[str, ...]) -> Finding:
    found = {name: _version(name) for name in names}
    if all(found.values()):
        return Finding(f"[{extra}]", ", ".join(f"{name} {version}" for name, version in found.items()), True)
    lost = ", ".join(name for name, version in found.items() if version is None)
    return Finding(f"[{extra}]", f"not there: {lost}; python -m pip install 'eventsnn[{extra}]' brings it")


def _gpu() -> Finding:
    gpu = find_gpu()
    if isinstance(gpu, str):
        return Finding("GPU", f"none: {gpu}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    facts = [gpu.name, f"compute capability {gpu.capability[0]}.{gpu.capability[1]}"]
    facts.append(f"{gpu.free / 1e9:.1f} GB free of {gpu.memory / 1e9:.1f}")
    facts += [f"CUDA_VISIBLE_DEVICES={visible}"] * bool(visible) + _driver(gpu)
    return Finding("GPU", ", ".join(facts), True)


def _driver(gpu: Gpu) -> list[str]:
    if gpu.simulated:
        return []
    from cupy.cuda import runtime

    version = runtime.driverGetVersion()
    return [f"driver for CUDA {version // 1000}.{version % 1000 // 10}"]


def _ptx() -> str | None:
    """The PTX version that kernels are compiled to; None without a compiler that works."""
    if _version("numba-cuda") is None or misfit() is not None:
        return None
    from numba import cuda, types

    ptx, _ = cuda.compile_ptx(lambda x: None, types.void(types.int64), cc=(9, 0))
    found = re.search(r"\.version (\S+)", ptx)
    return f"version {found.group(1) if found else '?'} for compute capability 9.0"


def _cache() -> str:
    from eventsnn.backends.loops import cache_folder

    return f"{cache_folder()} can be written: kernels are compiled once"


def _links() -> str:
    """Both kinds of socket that parts are joined by, tried."""
    kinds = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5.0):
        kinds.append("TCP")
    if hasattr(socket, "AF_UNIX"):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
            server.bind(str(Path(folder) / "door"))
            kinds.append("Unix")
    return f"{' and '.join(kinds)} sockets work between processes of this machine"


def _try(topic: str, look: Callable[[], str | None]) -> Finding:
    try:
        text = look()
    except Exception as error:
        return Finding(topic, f"{type(error).__name__}: {error}", False)
    return Finding(topic, f"no compiler for GPUs; {INSTALL} brings one") if text is None else Finding(topic, text, True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
