"""The loop around a model's step, as text: one thread per neuron, one launch for all populations that share a kernel."""

from __future__ import annotations

from typing import Any

from eventsnn.backends.cuda.kernels import CALLEES
from eventsnn.backends.loops import decorated, imported, portable
from eventsnn.backends.shared import LARGEST_UNIFORM
from eventsnn.spec import KernelSpec

HEADER = '''"""Generated from the model {name!r}; do not edit."""
import numpy as np
from numba import cuda

from eventsnn.backends.cuda.device import device, kernel, words
from eventsnn.backends.cuda.kernels import RUN, STEP
from eventsnn.backends.cuda.kernels import emit as _emit
from eventsnn.backends.shared import bind

F = np.{precision}
globals().update(words({precision!r}))
bind((_emit,), device, globals())


'''
WITH_DRAWS = """from eventsnn.backends.shared import STEP_DRAWS

_draws = words()
bind(STEP_DRAWS, device, _draws)
_word, _uniform, _quantile = _draws["drawn_word"], _draws["uniform"], _draws["quantile"]


"""
NUMBERS = ("drawers", "key0", "key1", "normal")
"""Where a step draws: index in its population and key of each neuron, the quantiles of the normal distribution."""
FIXED = ("control", "low", "n", "mask", "receptors", "size", "ring32", "ring64", "arrived32", "arrived64", "flags", "counts")
LOG = ("network_ids", "log")


def update_kernel(kernel: KernelSpec, precision: str, arrays: frozenset[str], wide: tuple[bool, ...], current: bool) -> Any:
    """The compiled update. `arrays`: scales (scale_<receptor>) and constants that are given per neuron."""
    return imported(render(kernel, precision, arrays, wide, current), kernel.name + "_cuda", CALLEES).update


def arguments(kernel: KernelSpec, arrays: frozenset[str], current: bool) -> tuple[list[str], list[str]]:
    """Names of constants given as one number, and of those given per neuron, in the order of the kernel's arguments."""
    names = [f"scale_{r}" for r in kernel.receptors] + [*kernel.constant_names(current)] + ["NREF"] * kernel.refractory
    return [c for c in names if c not in arrays], [c for c in names if c in arrays]


def render(kernel: KernelSpec, precision: str, arrays: frozenset[str], wide: tuple[bool, ...], current: bool) -> str:
    """The text of the module that holds the update.

    Arguments: FIXED, LOG, states, refr, stimulus, NUMBERS, scalars (an array of F), NREF if all share it, constants per neuron.
    """
    step = kernel.step_source(current)
    scalars, each = arguments(kernel, arrays, current)
    states = [f"s_{s}" for s in kernel.states] + ["refr"] * kernel.refractory
    given = [
        *FIXED,
        *LOG,
        *states,
        *["stimulus"] * current,
        *(NUMBERS if kernel.draws else ()),
        "scalars",
        *["NREF"] * ("NREF" in scalars),
        *(f"c_{c}" for c in each),
    ]
    scalars = [c for c in scalars if c != "NREF"]
    lines = ["if control[RUN] == 0:", "    return", "t = control[STEP] + 1", "slot = (t & mask) * receptors"]
    lines += [f"p_{c} = scalars[{k}]" for k, c in enumerate(scalars)]
    lines.append("for j in range(cuda.grid(1), n, cuda.gridsize(1)):")
    body = ["i = low + j"]
    for k, (r, w) in enumerate(zip(kernel.receptors, wide, strict=True)):
        bits = 64 if w else 32
        body += [f"at = (slot + {k}) * size + i", f"a_{r} = ring{bits}[at]", f"ring{bits}[at] = 0"]
        body.append(f"arrived{bits}[{k} * size + i] = a_{r}")
    value = {"NREF": "NREF"} | {c: f"p_{c}" for c in scalars} | {c: f"c_{c}[j]" for c in each}
    call = [f"s_{s}[i]" for s in kernel.states] + ["refr[i]"] * kernel.refractory
    call += [f"mul(F(a_{r}), {value[f'scale_{r}']})" for r in kernel.receptors] + ["stimulus[i]"] * current
    body += [f"d_{k} = {_draw(kind, k, precision)}" for k, kind in enumerate(kernel.draws)]
    call += [f"d_{k}" for k in range(len(kernel.draws))]
    call += [value[c] for c in kernel.constant_names(current)] + [value["NREF"]] * kernel.refractory
    results = [f"n_{s}" for s in kernel.states] + ["n_refr"] * kernel.refractory + ["spikes"]
    body.append(f"{', '.join(results)}{',' * (len(results) == 1)} = step({', '.join(call)})")
    body += [f"s_{s}[i] = n_{s}" for s in kernel.states] + ["refr[i] = n_refr"] * kernel.refractory
    body += ["stimulus[i] = F(0.0)"] * current
    body += [
        "flags[i] = np.uint8(spikes)",
        "if spikes:",
        "    counts[i] += 1",
        "    emit(control, log, (t << 32) | network_ids[i], 1)",
    ]
    text = "\n    ".join(lines) + "\n        " + "\n        ".join(body)
    functions = decorated(portable(step, precision) + step, "@device")
    return (
        HEADER.format(name=kernel.name, precision=precision)
        + (WITH_DRAWS if kernel.draws else "")
        + functions
        + f"\n\n@kernel\ndef update({', '.join(given)}):\n    {text}\n"
    )


def _draw(kind: str, k: int, precision: str) -> str:
    word = f"_word(drawers[j], t, {k}, key0[j], key1[j])"
    return f"F(_quantile(normal, {word}))" if kind == "normal" else f"F(min(_uniform({word}), {LARGEST_UNIFORM[precision]!r}))"
