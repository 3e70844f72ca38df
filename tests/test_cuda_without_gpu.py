"""Backend cuda where there is no GPU: its tests in Numba's simulator, and on the stand-in, which runs the PTX of its kernels.

The PTX that the stand-in ran is assembled here: no spills, and the same machine code with and without leave to contract. What it
shows of bits holds for the PTX; that a GPU does the same is shown on one only (`pytest -m gpu`).
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from standin.device import FOLDER, operations

ENGINE = [f"tests/test_{name}.py" for name in ("cuda_engine", "rules_cuda")]
MODELS = [f"tests/test_{name}.py" for name in ("neurons_cuda", "plasticity_cuda")]
MORE = [f"tests/test_{name}.py" for name in ("cuda_edges", "cuda_cluster", "networks_cuda")]
"""For the stand-in only, which is faster than the simulator."""
KERNELS = {
    *("arrive", "choose", "current", "cut", "deliver", "deliver_given", "draw", "draw_again", "draw_again_given", "emit_poisson"),
    *("enter_given", "given", "keep", "noise", "prepare", "relay", "sample", "tidy", "update", "wave"),
}
PLACES = [Path(p) / "nvidia" / "cu13" / "bin" / "ptxas" for p in sys.path]
PTXAS = shutil.which("ptxas") or next((str(p) for p in PLACES if p.exists()), None)
WAIT = 560.0
"""s"""
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("numba_cuda") is None, reason="numba-cuda is not installed"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stand-in leaves PTX."""
    return tmp_path_factory.mktemp("ptx")


@pytest.fixture(scope="module")
def runs(root: Path, folder: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """The tests of backend cuda, started at once: this takes minutes."""
    started = {}
    standin = {"EVENTSNN_STANDIN": "1", FOLDER: str(folder)}
    for name, files, more in (
        ("simulator", ENGINE + MODELS, {"NUMBA_ENABLE_CUDASIM": "1"}),
        ("stand-in, engine", ENGINE + MORE, standin),
        ("stand-in, models", MODELS, standin),
    ):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", *files]
        environment = {k: v for k, v in os.environ.items() if k not in {"NUMBA_ENABLE_CUDASIM", "EVENTSNN_STANDIN"}} | more
        environment["PYTHONPATH"] = os.pathsep.join([str(root / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
        started[name] = subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    try:
        yield started
    finally:
        for run in started.values():
            run.kill()
            run.communicate(timeout=60)


@pytest.mark.parametrize(("where", "skipped"), [("simulator", []), ("stand-in, engine", ["1"]), ("stand-in, models", [])])
def test_the_bits_of_backend_cpu(where: str, skipped: list[str], runs: dict[str, subprocess.Popen[str]]) -> None:
    said, _ = runs[where].communicate(timeout=WAIT)
    assert runs[where].returncode == 0, said[-8000:]
    assert re.search(r"\d+ passed", said)
    assert re.findall(r"(\d+) skipped", said) == skipped, said[-2000:]  # dask-cuda asks a real GPU


def machine_code(elf: bytes) -> dict[bytes, bytes]:
    """The sections of an ELF64 file that hold instructions."""
    at, size, number, names = struct.unpack_from("<Q10xHHH", elf, 40)
    rows = [struct.unpack_from("<I4xQQQQ", elf, at + k * size) for k in range(number)]
    text = elf[rows[names][3] :]
    found = {text[row[0] :].partition(b"\0")[0]: elf[row[3] : row[3] + row[4]] for row in rows}
    return {name: code for name, code in found.items() if name.startswith(b".text.")}


def test_kernels_are_assembled_without_spills_and_nothing_is_contracted(folder: Path, tmp_path: Path) -> None:
    """Of every kernel that the stand-in ran just now."""
    found = sorted(folder.glob("*.ptx"))
    assert {f.name.partition("-")[0] for f in found} - {"each"} == KERNELS  # each: a test's own
    if PTXAS is None:
        pytest.skip("there is no ptxas")
    for f in found:
        made = []
        for leave in ("true", "false"):
            out = tmp_path / leave
            command = [PTXAS, "-arch=sm_90", f"-fmad={leave}", "-v", "-c", str(f), "-o", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (f.name, done.stderr)
            made.append(machine_code(out.read_bytes()))
        registers = re.findall(r"Used (\d+) registers", done.stderr)
        print(f"{f.name}: {registers[0]} registers")
        assert re.findall(r"(\d+) bytes spill stores", done.stderr) == ["0"] * len(registers), (f.name, done.stderr)
        assert made[0] and made[0] == made[1], f"{f.name}: ptxas fuses a product into a sum"


def test_the_check_of_contraction_can_fail() -> None:
    from numba import types
    from numba.cuda import compile_ptx
    from standin.device import forbidden

    def fused(out, a, b, c):  # type: ignore[no-untyped-def]
        out[0] = a * b + c

    signature = types.void(types.float64[::1], types.float64, types.float64, types.float64)
    with forbidden() as found:
        allowed = str(compile_ptx(fused, signature, cc=(9, 0))[0])
    assert any(x.startswith("fma") for x in operations(allowed))
    assert not any(x.startswith("fma") for x in operations(found[-1]))


def test_the_check_of_machine_code_can_fail(tmp_path: Path) -> None:
    """ptxas itself fuses what NVVM has left without a rounding."""
    if PTXAS is None:
        pytest.skip("there is no ptxas")
    head = ".version 9.0\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 o) { .reg .f64 %fd<4>; .reg .b64 %rd<3>;"
    load = "ld.param.u64 %rd1, [o]; cvta.to.global.u64 %rd2, %rd1; ld.global.f64 %fd1, [%rd2];"
    found = []
    for product in ("mul.f64", "mul.rn.f64"):
        text = f"{head} {load} {product} %fd2, %fd1, %fd1; add.f64 %fd3, %fd2, %fd1; st.global.f64 [%rd2], %fd3; ret; }}"
        source = tmp_path / "k.ptx"
        source.write_text(text)
        for leave in ("true", "false"):
            out = tmp_path / leave
            subprocess.run([PTXAS, "-arch=sm_90", f"-fmad={leave}", "-c", str(source), "-o", str(out)], check=True, timeout=60)
            found.append(machine_code(out.read_bytes()))
    assert found[0] != found[1]
    assert found[2] == found[3] != {}
