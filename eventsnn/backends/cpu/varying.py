"""Inputs that change with time: Poisson counts of a profile of rates, periodic currents, noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.intrinsics import helper, item, mul, view, words
from eventsnn.backends.cpu.operation import Code, Operation
from eventsnn.backends.cpu.philox import philox, quantile, search_count
from eventsnn.backends.members import Means, Member, means_of
from eventsnn.draws import per_neuron
from eventsnn.spec import Key, NoiseStimulus, PoissonSource, RateProfile, WaveStimulus

I8 = npt.NDArray[np.int64]


@helper(forceinline=True)
def row_of(steps, at, period):
    """The row of a profile that holds in a step; -1 before the first."""
    return np.searchsorted(steps, (at - 1) % period + 1 if period > 0 else at) - 1


def draw_varying(args, step):
    """Counts of four steps by sequential search.

    Arguments: n, ids, steps of the rows, rows, period, means of a part, exp(-mean), parts, columns (1 or n), key, counts, clock.
    """
    a = words(args, 13)
    if (step & 3) != 0 and step != item(a[12], 0, np.int64):
        return 0
    n, rows, columns = a[0], a[3], a[8]
    ids = view(a[1], n, np.uint32)
    steps = view(a[2], rows, np.int64)
    means = view(a[5], rows * columns, np.float64)
    zeros = view(a[6], rows * columns, np.float64)
    parts = view(a[7], rows * columns, np.int64)
    k0, k1 = np.uint32(a[9]), np.uint32(a[10])
    counts = view(a[11], (4, n), np.uint16)
    quad = step >> 2
    first = 4 * quad
    found = (
        row_of(steps, first, a[4]), row_of(steps, first + 1, a[4]), row_of(steps, first + 2, a[4]), row_of(steps, first + 3, a[4])
    )  # fmt: skip
    for i in range(n):
        column = i if columns > 1 else 0
        many = 0
        for q in range(4):
            counts[q, i] = 0
            if found[q] >= 0:
                many = max(many, parts[found[q] * columns + column])
        for part in range(many):
            four = philox(ids[i], np.uint32(quad), np.uint32(part), np.uint32(0), k0, k1)
            for q in range(4):
                k = found[q] * columns + column
                if found[q] >= 0 and part < parts[k]:
                    counts[q, i] += search_count(four[q], means[k], zeros[k])
    return 0


def _add_wave(real):
    def add(args, step):
        a = words(args, 7)
        if step <= a[3] or step > a[4]:
            return 0
        value = real(item(a[1], (step - 1) % a[2], np.float64))
        current = view(a[5], 65536, real)
        where = view(a[6], a[0], np.int64)
        for i in range(a[0]):
            current[where[i]] += value
        return 0

    return add


def _add_noise(real):
    def add(args, step):
        a = words(args, 12)
        n = a[0]
        if step <= a[5] or step > a[6]:
            return 0
        k = (step - 1 - a[5]) // a[4]
        ids = view(a[1], n, np.uint32)
        mean = view(a[2], n, np.float64)
        std = view(a[3], n, np.float64)
        k0, k1 = np.uint32(a[8]), np.uint32(a[9])
        current = view(a[10], 65536, real)
        where = view(a[11], n, np.int64)
        for i in range(n):
            four = philox(ids[i], np.uint32(k >> 2), np.uint32(0), np.uint32(2), k0, k1)
            current[where[i]] += real(mean[i] + mul(std[i], quantile(a[7], four[k & 3])))
        return 0

    return add


DRAW_VARYING = Code(draw_varying)
REALS = {"float64": np.float64, "float32": np.float32}
ADD_WAVE = {name: Code(_add_wave(real)) for name, real in REALS.items()}
"""(n, values, their number, start, stop, current, positions)"""
ADD_NOISE = {name: Code(_add_noise(real)) for name, real in REALS.items()}
"""(n, ids, means, standard deviations, hold, start, stop, quantiles, key, current, positions)"""


def source_means(m: Member, dt: float) -> Means | None:
    """Of a source whose rate changes; what was set since holds for ever. None where none of its neurons follows a profile."""
    assert isinstance(m.spec.dynamics, PoissonSource)
    profile, here = m.spec.dynamics.profile, slice(m.slice.start, m.slice.stop)
    rate = np.broadcast_to(m.parameters["rate"], m.high - m.low)
    given = ~np.isnan(rate)
    if profile is None or given.all():
        return None
    if not given.any():
        return means_of(profile, here, dt)
    values = profile.values[:, here] if profile.values.ndim == 2 else profile.values[:, None]
    steps = profile.steps
    if steps[0] > 0:
        steps, values = np.concatenate([steps[:1] * 0, steps]), np.concatenate([values[:1] * 0.0, values])
    return means_of(RateProfile(steps, np.where(given, rate, values), profile.period), slice(None), dt)


def varying_counts(means: Means, ids: I8, key: Key, clock: I8) -> tuple[list[Operation], npt.NDArray[np.uint16]]:
    """Draw counts of a profile for ids, and where the counts of four steps lie."""
    counts = np.zeros((4, len(ids)), np.uint16)
    rows, columns = means.part.shape
    args = (len(ids), ids.astype(np.uint32), means.steps, rows, means.period, means.part, means.zero, means.parts, columns)
    return [Operation(DRAW_VARYING, *args, *key, counts, clock)], counts


def wave_operation(stimulus: WaveStimulus, m: Member, ids: I8, current: npt.NDArray[Any]) -> Operation:
    """Add a periodic current to neurons ids of a member."""
    args = (len(ids), stimulus.values, len(stimulus.values), stimulus.start, stimulus.stop, current, m.where(ids))
    return Operation(ADD_WAVE[current.dtype.name], *args)


def noise_operation(stimulus: NoiseStimulus, m: Member, at: int, ids: I8, current: npt.NDArray[Any]) -> Operation:
    """Add noise to neurons ids of a member, which are members `at`, ... of the subset."""
    places = np.arange(at, at + len(ids))
    mean, std = (
        np.ascontiguousarray(np.broadcast_to(per_neuron(value, stimulus.key, name, ids, places), len(ids)), np.float64)
        for name, value in (("mean", stimulus.mean), ("std", stimulus.std))
    )
    table = np.ascontiguousarray(stimulus.normal.tables[0])
    args = (len(ids), ids.astype(np.uint32), mean, std, stimulus.hold, stimulus.start, stimulus.stop, table)
    return Operation(ADD_NOISE[current.dtype.name], *args, *stimulus.key, current, m.where(ids))
