"""The loop around a model's step, as text: steps outer, neurons inner and branchless, so that LLVM makes it SIMD."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from types import ModuleType

import llvmlite
import numba

from eventsnn.backends.cpu.operation import Code
from eventsnn.codegen.portable import EXP_SOURCE, LOG_SOURCE
from eventsnn.spec import KernelSpec

HEADER = '''"""Generated from the model {name!r}; do not edit."""
import numpy as np
from eventsnn.backends.cpu.intrinsics import fma, helper, item, mul, view, words

F = np.{precision}
I0 = np.int32(0)
I1 = np.int32(1)


'''

_LOADING = threading.Lock()
"""Parts of one process may need the same new kernel at once."""


def update_code(kernel: KernelSpec, precision: str, arrays: frozenset[str], wide: tuple[bool, ...], current: bool) -> Code:
    """The compiled update of a kernel. `arrays`: constants that are given per neuron; `wide`: int64 accumulators, by receptor."""
    source = render(kernel, precision, arrays, wide, current)
    return _code(source, kernel.name)


@cache
def _code(source: str, name: str) -> Code:
    return Code(_module(source, name).update)


def render(kernel: KernelSpec, precision: str, arrays: frozenset[str], wide: tuple[bool, ...], current: bool) -> str:
    """The text of the module that holds the update.

    Its arguments: n, states, refr, accumulators, flags, current, scalars (scale of each receptor, constants), arrays, NREF.
    """
    step = kernel.step_source(current)
    names = [*kernel.constant_names(current)]
    pointers = [f"s_{s}:F" for s in kernel.states]
    if kernel.refractory:
        pointers.append("refr:np.int32")
    pointers += [f"a_{r}:np.int{64 if w else 32}" for r, w in zip(kernel.receptors, wide, strict=True)]
    pointers.append("flags:np.uint8")
    if current:
        pointers.append("stimulus:F")
    pointers.append("scalars:F")
    pointers += [f"c_{c}:F" for c in names if c in arrays]
    if kernel.refractory:
        pointers.append("nref:np.int32")
    lines = [f"a = words(args, {len(pointers) + 1})", "n = a[0]"]
    scalars = [f"scale_{r}" for r in kernel.receptors] + [c for c in names if c not in arrays]
    for k, pointer in enumerate(pointers):
        name, kind = pointer.split(":")
        if name == "scalars":
            lines.append(f"scalars = a[{k + 1}]")
        elif name == "nref" and "NREF" not in arrays:
            lines.append(f"NREF = item(a[{k + 1}], 0, np.int32)")
        else:
            lines.append(f"{name} = view(a[{k + 1}], n, {kind})")
    lines += [f"{c} = item(scalars, {k}, F)" for k, c in enumerate(scalars)]
    call = [f"s_{s}[i]" for s in kernel.states] + ["refr[i]"] * kernel.refractory
    call += [f"mul(F(a_{r}[i]), scale_{r})" for r in kernel.receptors] + ["stimulus[i]"] * current
    call += [f"c_{c}[i]" if c in arrays else c for c in names]
    if kernel.refractory:
        call.append("nref[i]" if "NREF" in arrays else "NREF")
    results = [f"n_{s}" for s in kernel.states] + ["n_refr"] * kernel.refractory + ["spikes"]
    body = [f"{', '.join(results)}{',' * (len(results) == 1)} = step({', '.join(call)})"]
    body += [f"s_{s}[i] = n_{s}" for s in kernel.states] + ["refr[i] = n_refr"] * kernel.refractory
    body += [f"a_{r}[i] = 0" for r in kernel.receptors] + ["flags[i] = np.uint8(spikes)"]
    inner = "\n        ".join(body)
    outer = "\n    ".join(lines)
    return (
        HEADER.format(name=kernel.name, precision=precision)
        + _inlined(_portable(step, precision) + step)
        + f"\n\ndef update(args, step_number):\n    {outer}\n    for i in range(n):\n        {inner}\n    return 0\n"
    )


def _portable(step: str, precision: str) -> str:
    parts = [text[precision] for name, text in (("exp(", EXP_SOURCE), ("log(", LOG_SOURCE)) if name in step]
    return "\n\n".join([*parts, ""])


def _inlined(source: str) -> str:
    """Every function at top level compiled for inlining: without it AdEx and Hodgkin-Huxley are 12 times slower."""
    return "\n".join("@helper(forceinline=True)\n" + line if line.startswith("def ") else line for line in source.splitlines())


def _module(source: str, name: str) -> ModuleType:
    """Import generated source from the cache folder.

    Numba's own cache then lies beside it; it doesn't notice a changed callee, so the file's name holds a hash of everything that
    reaches the machine code.
    """
    from eventsnn.backends.cpu import intrinsics

    text = Path(intrinsics.__file__).read_bytes() + source.encode() + f"{numba.__version__} {llvmlite.__version__}".encode()
    stem = f"{name.lower()}_{hashlib.sha256(text).hexdigest()[:24]}"
    module = f"eventsnn_generated_{stem}"
    with _LOADING:
        return sys.modules[module] if module in sys.modules else _load(module, stem, source)


def _load(module: str, stem: str, source: str) -> ModuleType:
    path = cache_folder() / f"{stem}.py"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            file.write(source)
        os.replace(temporary, path)
    found = importlib.util.spec_from_file_location(module, path)
    assert found is not None and found.loader is not None
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    sys.modules[module] = loaded
    return loaded


def cache_folder() -> Path:
    """Where generated modules are kept: $EVENTSNN_CACHE, else the user's cache folder, else a temporary one."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (os.environ.get("EVENTSNN_CACHE"), home / "eventsnn", Path(tempfile.gettempdir()) / f"eventsnn-{os.getuid()}"):
        if folder is None:
            continue
        try:
            Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=folder):
                return Path(folder)
        except OSError:
            continue
    raise OSError("no folder for generated kernels can be written; set EVENTSNN_CACHE to one that can")
