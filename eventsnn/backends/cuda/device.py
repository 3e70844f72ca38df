"""The GPU of this process, or the simulator of one: arrays, compilers, sizes of launches.

With NUMBA_ENABLE_CUDASIM=1 kernels run as Python on numpy arrays, for tests of small networks without a GPU.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config, cuda

from eventsnn.backends.loops import cache_folder
from eventsnn.errors import DeviceError

SIMULATED = bool(config.ENABLE_CUDASIM)
THREADS = 4 if SIMULATED else 256
BLOCKS_PER_SM = 4
WARP = 4 if SIMULATED else 32
FAULTS = {
    *("OutOfMemoryError", "CUDARuntimeError", "CUDADriverError", "CUDAError", "CompileException"),
    *("CudaAPIError", "CudaDriverError", "CudaRuntimeError", "LinkerError", "NvvmError", "nvvmError", "nvJitLinkError"),
    *("NvrtcError", "NvrtcCompilationError"),
}
MISSING = {"CudaSupportError", "NvvmSupportError", "NvrtcSupportError", "CCSupportError", "DynamicLibNotFoundError"}
"""Errors of CuPy, cuda.core and Numba, by name: their modules may be missing."""
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # a small network has few neurons; that is no fault
_TURN = threading.Lock()
"""The simulator runs one kernel at a time."""
_COMPILED: set[tuple[Any, ...]] = set()
"""Kernels, with types of arguments, that this process has launched."""
PINNED = 1 << 26
"""Bytes of the largest copy for which memory is pinned, which takes time and is not given back to the system."""
PATIENCE = 60.0
"""Seconds for which another process may compile."""
ADVICE = "run with backend='cpu', or install eventsnn[cuda] on a machine with an NVIDIA GPU and a driver for CUDA 13"


def arrays() -> ModuleType:
    """CuPy, or numpy under the simulator: the same functions on the arrays that kernels take."""
    if SIMULATED:
        return np
    try:
        import cupy
    except ImportError:
        raise DeviceError(f"backend='cuda' needs CuPy, which is not installed; {ADVICE}") from None
    return cupy  # type: ignore[no-any-return]


def device(function: Callable[..., Any]) -> Any:
    """Compile for calls from kernels."""
    return cuda.jit(function, device=True) if SIMULATED else cuda.jit(device=True, forceinline=True)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile for launches. Without link-time optimization a GPU gets the PTX that is tested; there is nothing to link."""
    return cuda.jit(function) if SIMULATED else cuda.jit(cache=True, lto=False)(function)


def words(precision: str = "float64") -> dict[str, Any]:
    """What shared texts leave open; `mul` is never fused into a sum, `fma` rounds once."""
    open_words = {
        "I0": np.int32(0),
        "I1": np.int32(1),
        "item": device(_item),
        "bits": device(_bits),
        "clamp": device(_clamp),
        "nearest": device(_nearest),
    }
    if SIMULATED:
        from eventsnn.backends.cpu.portable import fused

        real = np.dtype(precision).type
        # the simulator's own fma rounds twice; what is compiled gives Python floats
        return {**open_words, "fma": lambda a, b, c: real(fused(real(a), real(b), real(c))), "mul": _product, "sqrt": np.sqrt}
    from numba.cuda import libdevice

    single = precision == "float32"
    fma, mul = (libdevice.fmaf_rn, libdevice.fmul_rn) if single else (libdevice.fma_rn, libdevice.dmul_rn)
    return {**open_words, "fma": fma, "mul": mul, "sqrt": math.sqrt}


def _item(array, k, kind):
    return array[k]


def _bits(x):
    return np.float64(x).view(np.int64)


def _clamp(x, low, high):
    x = x if x > low else low
    return x if x < high else high


def _nearest(x):
    return np.int64(round(x))


def _product(a, b):
    return a * b


@cache
def most_blocks() -> int:
    """Blocks that run at once; kernels loop over what is more."""
    return 2 if SIMULATED else BLOCKS_PER_SM * int(cuda.get_current_device().MULTIPROCESSOR_COUNT)


def launch_size(items: int) -> tuple[int, int]:
    """(blocks, threads) for so many items."""
    return max(1, min(most_blocks(), -(-items // THREADS))), THREADS


def argument(a: Any) -> Any:
    """An array as launches take it without looking it up or copying it."""
    if SIMULATED and isinstance(a, np.ndarray):
        from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

        return FakeCUDAArray(a)
    return cuda.as_cuda_array(a, sync=False) if hasattr(a, "__cuda_array_interface__") else a


def launch(kernel: Any, items: int, *arguments: Any) -> None:
    """Run a kernel on so many items, in the order of launches."""
    given = tuple(argument(a) for a in arguments)
    key = (kernel, *(getattr(a, "dtype", type(a)) for a in given))
    with nullcontext() if key in _COMPILED else compiling():
        start(kernel, launch_size(items), given)
    _COMPILED.add(key)


@contextmanager
def compiling() -> Iterator[None]:
    """Processes of a user compile one after the other: Numba may keep two of their kernels under each other's name otherwise.

    Waits PATIENCE seconds at most.
    """
    with (cache_folder() / "compiling.lock").open("w") as lock:
        until = time.monotonic() + PATIENCE
        while not _locked(lock.fileno()) and time.monotonic() < until:
            time.sleep(0.01)
        yield  # closing gives the lock back


def _locked(file: int) -> bool:
    try:
        import fcntl
    except ImportError:  # where there is none nor is there CUDA with more than one process
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def start(kernel: Any, size: tuple[int, int], arguments: tuple[Any, ...], stream: Any = 0) -> None:
    """Launch (blocks, threads)."""
    with _TURN if SIMULATED else nullcontext():
        kernel[*size, stream](*arguments)


@contextmanager
def told() -> Iterator[None]:
    """What CUDA raises inside becomes one sentence with the cure."""
    try:
        yield
    except Exception as error:
        kind, kinds, said = type(error).__name__, {c.__name__ for c in type(error).__mro__}, str(error).lower().replace("_", " ")
        full = "out of memory" in said or "OutOfMemoryError" in kinds
        if (full and kinds & FAULTS) or (isinstance(error, MemoryError) and "bad_alloc" in str(error)):  # the latter: CuPy's sort
            cure = "end what else uses the GPU, use more of them, or make the network smaller"
            raise MemoryError(f"the GPU has no memory left ({error}); {cure}") from error
        if kinds & MISSING:
            raise DeviceError(f"kernels can't be compiled here ({kind}: {error}); {ADVICE}") from error
        if kinds & FAULTS:
            cure = "look at nvidia-smi, and start the simulation again in a new process"
            raise DeviceError(f"the GPU failed or was lost ({kind}: {error}); {cure}") from error
        raise


def wait() -> None:
    """Until all that was launched and written is done. Not the whole device: another part may be capturing a graph."""
    if not SIMULATED:
        cuda.default_stream().synchronize()


def give_back() -> None:
    """Return memory that nothing uses to the device, and what was pinned for uploads to the host, for others."""
    if not SIMULATED:
        wait()
        arrays().get_default_memory_pool().free_all_blocks()
        arrays().get_default_pinned_memory_pool().free_all_blocks()


def to_host(array: Any) -> npt.NDArray[Any]:
    """A copy in the memory of the host: pinned, which a device writes without a detour, unless it is large."""
    if SIMULATED:
        return np.array(array)
    return array.get(out=pinned(array) if 0 < array.nbytes <= PINNED else None)  # type: ignore[no-any-return]


def pinned(array: Any) -> npt.NDArray[Any]:
    """Pinned memory for a copy of an array of the device, from CuPy's pool."""
    import cupyx

    return cupyx.empty_pinned(array.shape, array.dtype)  # type: ignore[no-any-return]


def put(array: Any, values: npt.NDArray[Any]) -> None:
    """Write an array of the device, of the same type and shape."""
    if SIMULATED:
        array[...] = values
    elif len(values):
        array.set(values)
