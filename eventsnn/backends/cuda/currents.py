"""Periodic currents and noise on the device."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from eventsnn.backends.cuda.device import arrays, device, kernel, words
from eventsnn.backends.cuda.kernels import CALLEES, RUN, STEP
from eventsnn.backends.loops import imported
from eventsnn.backends.members import Member
from eventsnn.backends.shared import bind, philox, quantile
from eventsnn.draws import per_neuron
from eventsnn.spec import NoiseStimulus, WaveStimulus

mul: Any = None
real: Any = None
"""Words that `load` fills in: a product that is never fused into a sum, the type of a current."""


def wave(control, values, start, stop, places, stimulus):
    """Add a periodic current."""
    if control[RUN] == 0:
        return
    step = control[STEP] + 1
    if step <= start or step > stop:
        return
    value = values[(step - 1) % values.size]
    for e in range(cuda.grid(1), places.size, cuda.gridsize(1)):
        stimulus[places[e]] += value


def noise(control, ids, means, stds, hold, start, stop, quantiles, k0, k1, places, stimulus):
    """Add noise: in each interval of `hold` steps word (k & 3) of counter (neuron, k >> 2, 0, 2), as on the CPU."""
    if control[RUN] == 0:
        return
    step = control[STEP] + 1
    if step <= start or step > stop:
        return
    k = (step - 1 - start) // hold
    which = k & 3
    for e in range(cuda.grid(1), places.size, cuda.gridsize(1)):
        a, b, c, d = philox(ids[e], np.uint32(k >> 2), np.uint32(0), np.uint32(2), np.uint32(k0), np.uint32(k1))
        word = a if which == 0 else (b if which == 1 else (c if which == 2 else d))
        stimulus[places[e]] += real(means[e] + mul(stds[e], quantile(quantiles, word)))


KERNELS = (wave, noise)


@cache
def load(precision: str) -> SimpleNamespace:
    """The kernels, compiled when first launched."""
    names: dict[str, Any] = {**words(), "real": np.dtype(precision).type}
    text = f'"""Numba keeps the currents of eventsnn in {precision} beside this file."""\n'
    here = Path(str(sys.modules[__name__].__file__)).read_bytes()
    kept = imported(text, f"currents_{precision}_cuda", CALLEES + here).__file__
    bind((philox, quantile), device, names)
    bind(KERNELS, kernel, names, str(kept))
    return SimpleNamespace(**{f.__name__: names[f.__name__] for f in KERNELS})


def launch_of(
    s: WaveStimulus | NoiseStimulus, m: Member, at: int, ids: npt.NDArray[np.int64], control: Any, current: Any
) -> tuple[Any, ...]:
    """(kernel, items, arguments) of a current into neurons ids of a member, which are members `at`, ... of its subset."""
    xp, n, places = arrays(), len(ids), np.arange(at, at + len(ids))
    kernels = load(current.dtype.name)
    if isinstance(s, WaveStimulus):
        values = xp.asarray(s.values.astype(current.dtype))
        return kernels.wave, n, control, values, s.start, s.stop, xp.asarray(m.where(ids)), current
    numbers = (per_neuron(value, s.key, name, ids, places) for name, value in (("mean", s.mean), ("std", s.std)))
    mean, std = (xp.asarray(np.ascontiguousarray(np.broadcast_to(x, n), np.float64)) for x in numbers)
    given = (xp.asarray(ids.astype(np.uint32)), mean, std, s.hold, s.start, s.stop, xp.asarray(s.normal.tables[0].reshape(-1)))
    return kernels.noise, n, control, *given, *s.key, xp.asarray(m.where(ids)), current
