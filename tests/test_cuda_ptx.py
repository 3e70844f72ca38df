"""Every CUDA kernel, compiled to PTX for compute capability 9.0 and assembled by ptxas; nothing runs.

No spills; and no product is fused into a sum but where the text says fma: the PTX is the same with contraction forbidden.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_cuda_engine import Exponential, Theta, mixed
from test_neurons_cuda import everyone, inputs
from test_plasticity_cuda import first, second, third
from test_rules_cuda import procedural

import eventsnn as snn
from eventsnn.lower import lower
from eventsnn.models import PoissonInput
from eventsnn.spec import NetworkSpec, Slice

HERE = [Path(p) / "nvidia" / "cu13" / "bin" / "ptxas" for p in sys.path]
PTXAS = shutil.which("ptxas") or next((str(p) for p in HERE if p.exists()), None)
pytestmark = pytest.mark.skipif(find_spec("numba_cuda") is None, reason="numba-cuda is not installed")


def exponential(precision: str) -> snn.Network:
    net = snn.Network(seed=2, dt=0.1)
    cells = net.population("cells", 30, Exponential(b=snn.Uniform(20.0, 80.0)))
    net.stimulate(cells, PoissonInput(rate=5000.0, weight=1.5))
    net.population("waves", 20, Theta())
    return net


def library(precision: str) -> snn.Network:
    """Neurons that draw, that call exprel, and that go on in many stages."""
    return everyone(precision, ("EscapeLif", "HhCondExpTraub"))


class Launches:
    """Takes the place of the device: keeps what would be launched."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, Any], Any] = {}

    def add(self, kernel: Any, items: int, *arguments: Any) -> None:
        from numba import types

        signature = types.void(*(self._type(a) for a in arguments))
        self.seen[kernel.py_func.__module__, signature] = kernel.py_func

    before = add

    @staticmethod
    def _type(a: Any) -> Any:
        from numba import types
        from numba.np.numpy_support import from_dtype

        if isinstance(a, np.ndarray):
            return types.Array(from_dtype(a.dtype), 1, "C")
        return types.int32 if isinstance(a, np.int32) else types.float64 if isinstance(a, float) else types.int64


@pytest.fixture(scope="module")
def launches() -> Iterator[dict[tuple[str, Any], Any]]:
    """Kernels and signatures of all launches of all networks, in both precisions."""
    from numba.cuda import dispatcher

    from eventsnn.backends.cuda import block, currents, fired, plastic, synapses
    from eventsnn.backends.cuda import procedural as drawn_again

    found = Launches()
    with pytest.MonkeyPatch.context() as patch:
        for module in (block, synapses, plastic, drawn_again):
            patch.setattr(module, "arrays", lambda: np)
            patch.setattr(module, "launch", found.add)
        for module in (currents, fired):
            patch.setattr(module, "arrays", lambda: np)
        patch.setattr(block, "to_host", np.array)
        patch.setattr(block, "give_back", lambda: None)
        patch.setattr(block, "Steps", lambda: found)
        patch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))
        for net in (mixed, exponential, library, inputs, first, second, third, procedural):
            for precision in ("float64", "float32"):
                _launch(block.Block, lower(net(precision), precision))
        yield found.seen


def _launch(block: Any, spec: NetworkSpec) -> None:
    made = block(spec, [Slice(k, 0, p.size) for k, p in enumerate(spec.populations)])
    made.steps(0)
    made.deliver(np.zeros(3, np.int64))


@cache
def ptx(function: Any, signature: Any, contraction: bool) -> str:
    from numba.cuda import compile_ptx
    from numba.cuda.cudadrv import nvvm

    compile_ir = nvvm.compile_ir
    with pytest.MonkeyPatch.context() as patch:
        if not contraction:
            patch.setattr(nvvm, "compile_ir", lambda ir, **options: compile_ir(ir, **{**options, "fma": False}))
        return str(compile_ptx(function, signature, cc=(9, 0))[0])


def test_kernels_are_assembled_without_spills(launches: dict[Any, Any], tmp_path: Path) -> None:
    assert {f.__name__ for f in launches.values()} == {
        "arrive", "current", "cut", "deliver", "deliver_given", "draw", "draw_again", "draw_again_given", "emit_poisson",
        "enter_given", "given", "keep", "noise",
        "prepare", "relay", "sample", "tidy", "update", "wave",
    }  # fmt: skip
    if PTXAS is None:
        pytest.skip("there is no ptxas")
    for (module, signature), function in launches.items():
        source = tmp_path / "kernel.ptx"
        source.write_text(ptx(function, signature, contraction=True))
        command = [PTXAS, "-arch=sm_90", "-v", "-c", str(source), "-o", str(tmp_path / "kernel.o")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (module, function.__name__, done.stderr)
        registers = re.findall(r"Used (\d+) registers", done.stderr)
        print(f"{function.__name__} of {module}: {registers[0]} registers")
        assert re.findall(r"(\d+) bytes spill stores", done.stderr) == ["0"] * len(registers), (module, done.stderr)


def test_nothing_is_contracted(launches: dict[Any, Any]) -> None:
    """The same floating-point operations with and without leave to contract."""
    for (module, signature), function in launches.items():
        allowed, forbidden = (
            sorted(re.findall(r"\b(?:fma|mul|add|sub|div)(?:\.rn)?\.f\d\d", ptx(function, signature, c).replace(".rn", "")))
            for c in (True, False)
        )
        assert allowed == forbidden, (module, function.__name__)


def test_the_check_of_contraction_can_fail() -> None:
    from numba import types

    def fused(out, a, b, c):  # type: ignore[no-untyped-def]
        out[0] = a * b + c

    signature = types.void(types.float64[::1], types.float64, types.float64, types.float64)
    assert "fma" in ptx(fused, signature, contraction=True)
    assert "fma" not in ptx(fused, signature, contraction=False)
