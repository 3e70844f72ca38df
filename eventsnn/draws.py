"""Numbers per neuron, drawn on the host: f(stream, name of the variable, neuron), the same for any backend and layout."""

from __future__ import annotations

from functools import singledispatch
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from eventsnn.codegen.sampling import sample
from eventsnn.spec import Drawn, Fixed, Given, Key, Value

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
LOW, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
QUANTILES = 4096


def philox(c0: Ints, c1: int, c2: int, c3: int, key: Key) -> npt.NDArray[np.uint32]:
    """Philox4x32-10 over an array of first counter words: shape (n, 4)."""
    n = len(c0)
    a, b, c, d = (np.broadcast_to(np.asarray(x, np.uint64), n) for x in (c0, c1, c2, c3))
    k0, k1 = key
    for _ in range(10):
        p, q = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b, c, d = (q >> S32) ^ b ^ np.uint64(k0), q & LOW, (p >> S32) ^ d ^ np.uint64(k1), p & LOW
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([a, b, c, d], axis=1).astype(np.uint32)


@singledispatch
def per_neuron(value: Value, key: Key, name: str, ids: Ints, positions: Ints | None = None) -> float | Floats:
    """The value of each neuron of `ids`: one number where all share it, else shape (len(ids),).

    `positions`: places of ids in a Given array (the ids themselves by default).
    """
    raise TypeError(f"{name}: no rule for a value of type {type(value).__name__}")


@per_neuron.register
def _(value: Fixed, key: Key, name: str, ids: Ints, positions: Ints | None = None) -> float | Floats:
    return float(value.value)


@per_neuron.register
def _(value: Given, key: Key, name: str, ids: Ints, positions: Ints | None = None) -> float | Floats:
    return value.values[ids if positions is None else positions]


@per_neuron.register
def _(value: Drawn, key: Key, name: str, ids: Ints, positions: Ints | None = None) -> float | Floats:
    ordinal = int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little")
    words = [philox(ids, ordinal, t // 4, 0, key)[:, t % 4] for t in range(len(value.tables))]
    return sample(value, np.stack(words, axis=1))


@singledispatch
def spread(value: Value) -> Floats:
    """Numbers that stand for all that a value can be, each as likely as any other: for expectations, never for results."""
    raise TypeError(f"no rule for a value of type {type(value).__name__}")


@spread.register
def _(value: Fixed) -> Floats:
    return np.array([value.value])


@spread.register
def _(value: Given) -> Floats:
    return value.values


@spread.register
def _(value: Drawn) -> Floats:
    step = (1 << 32) // QUANTILES
    words = (np.arange(QUANTILES, dtype=np.uint64) * np.uint64(step) + np.uint64(step // 2)).astype(np.uint32)
    return sample(value, np.stack([np.roll(words, 911 * k) for k in range(len(value.tables))], axis=1))
