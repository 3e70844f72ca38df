"""Distinct sources of targets, drawn on the device by a thread per target, with the numbers of cpu/listing.py."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from eventsnn.backends.cuda.device import arrays, device, kernel, launch, words
from eventsnn.backends.cuda.kernels import CALLEES
from eventsnn.backends.loops import imported
from eventsnn.backends.shared import below, bind, philox
from eventsnn.spec import Key

I8 = npt.NDArray[np.int64]
SPREAD = np.uint64(0x9E3779B1)
ROOM = 1 << 26
"""Places of hash tables at once: 4 bytes each."""


def find(table, base, size, number):
    """Where a number lies in a hash table of `size` places, a power of two, from `base` on, or where it would."""
    at = np.int64((np.uint64(number) * SPREAD) >> np.uint64(7)) & (size - 1)
    while table[base + at] != 0 and table[base + at] != number + 1:
        at = (at + 1) & (size - 1)
    return base + at


def choose(first, posts, candidates, degrees, offsets, k0, k1, bases, sizes, table, out):
    """Of targets `first`, ...: numbers below `candidates`, by rejection; of more than half, those that are left out are drawn."""
    for t in range(cuda.grid(1), bases.size, cuda.gridsize(1)):
        i = first + t
        n = candidates[i]
        want = degrees[i]
        few = want if 2 * want <= n else n - want
        got = np.int64(0)
        attempt = np.int64(0)
        while got < few:
            a, b, c, d = philox(np.uint32(posts[i]), np.uint32(attempt), np.uint32(1), np.uint32(0), np.uint32(k0), np.uint32(k1))
            attempt += 1
            for which in range(4):
                word = a if which == 0 else (b if which == 1 else (c if which == 2 else d))
                s = below(word, n)
                at = find(table, bases[t], sizes[t], s)
                if got < few and table[at] == 0:
                    table[at] = np.uint32(s + 1)
                    if few == want:
                        out[offsets[i] + got] = s
                    got += 1
        if few != want:
            got = np.int64(0)
            for s in range(n):
                if table[find(table, bases[t], sizes[t], s)] == 0:
                    out[offsets[i] + got] = s
                    got += 1


@cache
def load() -> SimpleNamespace:
    """The kernel, compiled when first launched."""
    names = words()
    text = '"""Numba keeps a kernel of eventsnn that draws connections beside this file."""\n'
    kept = imported(text, "choose_cuda", CALLEES + Path(str(sys.modules[__name__].__file__)).read_bytes()).__file__
    bind((philox, below, find), device, names)
    bind((choose,), kernel, names, str(kept))
    return SimpleNamespace(choose=names["choose"])


def distinct(posts: I8, candidates: I8, degrees: I8, key: Key) -> Any:
    """Distinct numbers below `candidates`, as many as `degrees`, of every target: on the device, in order (target, k)."""
    xp = arrays()
    few = np.where(2 * degrees <= candidates, degrees, candidates - degrees)
    sizes = 1 << np.ceil(np.log2(2 * few + 2)).astype(np.int64)
    ends = np.cumsum(degrees)
    out = xp.empty(int(degrees.sum()), np.int64)
    given = tuple(xp.asarray(a) for a in (posts, candidates, degrees, ends - degrees))
    begin = 0
    while begin < len(posts):
        places = np.cumsum(sizes[begin:])
        end = begin + max(1, int(np.searchsorted(places, ROOM, side="right")))
        bases = places[: end - begin] - sizes[begin:end]
        table = xp.zeros(int(places[end - begin - 1]), np.uint32)
        launch(load().choose, end - begin, begin, *given, *key, xp.asarray(bases), xp.asarray(sizes[begin:end]), table, out)
        begin = end
    return out
