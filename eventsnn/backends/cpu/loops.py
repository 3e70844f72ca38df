"""The loop around a model's step, as text: steps outer, neurons inner and branchless, so that LLVM makes it SIMD."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from eventsnn.backends.cpu import intrinsics
from eventsnn.backends.cpu.operation import Code
from eventsnn.backends.loops import decorated, imported, portable
from eventsnn.spec import KernelSpec

HEADER = '''"""Generated from the model {name!r}; do not edit."""
import numpy as np
from numpy import sqrt
from eventsnn.backends.cpu.intrinsics import fma, helper, item, mul, view, words

F = np.{precision}
I0 = np.int32(0)
I1 = np.int32(1)


'''

INLINED = "@helper(forceinline=True)"
"""Without it AdEx and Hodgkin-Huxley are 12 times slower."""
CALLEES = Path(str(intrinsics.__file__)).read_bytes()


def update_code(
    kernel: KernelSpec, precision: str, arrays: frozenset[str], wide: tuple[bool, ...], current: bool, undone: bool = False
) -> Code:
    """The compiled update of a kernel. `arrays`: constants that are given per neuron; `wide`: int64 accumulators, by receptor;
    `undone`: only of neurons whose flag is 2, which have been left as they were."""
    source = render(kernel, precision, arrays, wide, current, undone)
    return _code(source, kernel.name)


@cache
def _code(source: str, name: str) -> Code:
    return Code(imported(source, name, CALLEES).update)


def render(
    kernel: KernelSpec, precision: str, arrays: frozenset[str], wide: tuple[bool, ...], current: bool, undone: bool = False
) -> str:
    """The text of the module that holds the update.

    Its arguments: n, states, refr, accumulators, flags, current, draws, scalars (scales of receptors, constants), arrays, NREF.
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
    draws = range(len(kernel.draws))
    pointers += [f"d_{k}:F" for k in draws]
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
        elif name.startswith("d_"):
            row = np.dtype(precision).itemsize
            lines.append(f"{name} = view(a[{k + 1}] + {row} * n * (step_number & 3), n, {kind})")
        else:
            lines.append(f"{name} = view(a[{k + 1}], n, {kind})")
    lines += [f"p_{c} = item(scalars, {k}, F)" for k, c in enumerate(scalars)]
    call = [f"s_{s}[i]" for s in kernel.states] + ["refr[i]"] * kernel.refractory
    call += [f"mul(F(a_{r}[i]), p_scale_{r})" for r in kernel.receptors] + ["stimulus[i]"] * current
    call += [f"d_{k}[i]" for k in draws]
    call += [f"c_{c}[i]" if c in arrays else f"p_{c}" for c in names]
    if kernel.refractory:
        call.append("nref[i]" if "NREF" in arrays else "NREF")
    results = [f"n_{s}" for s in kernel.states] + ["n_refr"] * kernel.refractory + ["spikes"]
    body = ["if flags[i] < 2:", "    continue"] * undone
    body += [f"{', '.join(results)}{',' * (len(results) == 1)} = step({', '.join(call)})"]
    body += [f"s_{s}[i] = n_{s}" for s in kernel.states] + ["refr[i] = n_refr"] * kernel.refractory
    body += [f"a_{r}[i] = 0" for r in kernel.receptors] + ["flags[i] = np.uint8(spikes)"]
    inner = "\n        ".join(body)
    outer = "\n    ".join(lines)
    return (
        HEADER.format(name=kernel.name, precision=precision)
        + decorated(portable(step, precision) + step, INLINED)
        + f"\n\ndef update(args, step_number):\n    {outer}\n    for i in range(n):\n        {inner}\n    return 0\n"
    )
