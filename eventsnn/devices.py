"""The GPU of a process, or why there is none that can be used. CPU runs never import CUDA packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass

OLDEST = (7, 5)
"""Compute capability of the oldest GPU that CUDA 13 and the kernels here support."""
OLDEST_DRIVER = 13
"""Major version of CUDA that the driver must know."""
NUMPY = (2, 5)
"""The first version of numpy that numba-cuda does not compile with."""
INSTALL = "python -m pip install 'eventsnn[cuda]'"


@dataclass(frozen=True)
class Gpu:
    """The device that a process computes on: the first of those that CUDA_VISIBLE_DEVICES leaves it."""

    name: str
    uuid: str
    """Tells it from others, and parts of one from each other."""
    memory: int
    """Bytes, in all."""
    free: int
    """Bytes that nobody uses."""
    capability: tuple[int, int]
    multiprocessors: int
    simulated: bool = False


def find_gpu() -> Gpu | str:
    """The GPU of this process; else one sentence that says what is missing and what to do."""
    from numba import config

    if config.ENABLE_CUDASIM:
        return Gpu("CUDA simulator", "", 1 << 40, 1 << 40, (9, 0), 1, True)
    for package in ("numba_cuda", "cupy"):
        if importlib.util.find_spec(package) is None:
            return f"the package {package.replace('_', '-')} is not installed; {INSTALL} brings it"
    return misfit() or _real_gpu()


def misfit() -> str | None:
    """One sentence where installed packages do not work together."""
    version = importlib.metadata.version("numpy")
    if tuple(int(x) for x in version.split(".")[:2]) >= NUMPY:
        newest = ".".join(map(str, NUMPY))
        return f"numba-cuda does not work with numpy {version}; python -m pip install 'numpy<{newest}' mends it"
    return None


def _real_gpu() -> Gpu | str:
    try:
        import cupy
        from cupy.cuda import runtime
    except ImportError as error:
        return f"CuPy can't be imported ({error}); {INSTALL} brings one that fits"
    try:
        version = runtime.driverGetVersion()
        if version == 0:
            return "this machine has no NVIDIA driver; install one, or use backend='cpu'"
        if version // 1000 < OLDEST_DRIVER:
            known = f"{version // 1000}.{version % 1000 // 10}"
            return f"the NVIDIA driver knows CUDA {known}, and {OLDEST_DRIVER}.0 is needed; install a newer driver"
        facts = runtime.getDeviceProperties(0)
        with cupy.cuda.Device(0):
            free, total = runtime.memGetInfo()
            free += cupy.get_default_memory_pool().free_bytes()
    except runtime.CUDARuntimeError as error:
        return f"CUDA can't be used: {error}; look at nvidia-smi, the driver and CUDA_VISIBLE_DEVICES"
    capability = (int(facts["major"]), int(facts["minor"]))
    name = facts["name"].decode()
    if capability < OLDEST:
        return f"{name} has compute capability {capability[0]}.{capability[1]}, and {OLDEST[0]}.{OLDEST[1]} is needed"
    return Gpu(name, bytes(facts["uuid"]).hex(), total, free, capability, int(facts["multiProcessorCount"]))
