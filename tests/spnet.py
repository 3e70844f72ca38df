"""The network of Izhikevich (2006) in plain numpy, from the description in the paper; run as a script, it makes data/spnet.json.

In millisecond t: neurons with v >= 30 have fired; what is due arrives, at delay d a spike of t - d + 1; then v and u step.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

EXC, N, M, D = 800, 1000, 100, 20
QUANTILES = (0.1, 0.25, 0.5)


def simulate(
    post: npt.NDArray[np.int64],
    delay: npt.NDArray[np.int64],
    kicked: Callable[[int], Any],
    seconds: int,
    rounded: Callable[[Any], Any] = lambda w: w,
    millisecond: Callable[[int, Any], None] = lambda t, w: None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Times (ms) and neurons of all spikes, and the weights of the excitatory synapses, shape (EXC, M), at the end.

    post, delay (ms): of the M synapses of each neuron; kicked(t): neurons that get 20 mV in millisecond t, as often as they are
    named; `rounded`: what arrives of a weight; `millisecond` is called with t and the weights before they change.
    """
    a, d = (np.where(np.arange(N) < EXC, *pair) for pair in ((0.02, 0.1), (8.0, 2.0)))
    weight = np.where(np.arange(N) < EXC, 6.0, -5.0)[:, None].repeat(M, axis=1)
    sd = np.zeros((EXC, M))
    incoming = [np.nonzero(post[:EXC] == k) for k in range(N)]
    ltp, ltd = np.zeros((N, D + 1)), np.zeros(N)  # ltp[:, k]: as it was k milliseconds ago
    v, u = np.full(N, -65.0), np.full(N, -13.0)
    recent: list[npt.NDArray[np.int64]] = []
    found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    for t in range(1000 * seconds):
        ltp[:, 1:] = ltp[:, :-1]
        ltp[:, 0] *= 0.95
        ltd *= 0.95
        fired = np.flatnonzero(v >= 30.0)
        v[fired], ltp[fired, 0], ltd[fired] = -65.0, 0.1, 0.12
        u[fired] += d[fired]
        found.append((np.full(len(fired), t), fired))
        for k in fired:
            sources, which = incoming[k]
            sd[sources, which] += ltp[sources, delay[sources, which]]
        current = np.zeros(N)
        np.add.at(current, kicked(t), 20.0)
        recent = [fired, *recent[: D - 1]]
        for ago, neurons in enumerate(recent):
            rows, which = np.nonzero(delay[neurons] == ago + 1)
            sources = neurons[rows]
            np.add.at(current, post[sources, which], rounded(weight[sources, which]))
            plastic = sources < EXC
            sources, which = sources[plastic], which[plastic]
            sd[sources, which] -= ltd[post[sources, which]]
        for _ in range(2):
            v = v + 0.5 * ((0.04 * v + 5.0) * v + 140.0 - u + current)
        u = u + a * (0.2 * v - u)
        millisecond(t, weight)
        if t % 1000 == 999:
            weight[:EXC] = np.clip(weight[:EXC] + (0.01 + sd), 0.0, 10.0)
            sd *= 0.9
    return *(np.concatenate(x) for x in zip(*found, strict=True)), weight[:EXC]


def statistics(times: Any, neurons: Any, weight: Any, seconds: int) -> dict[str, Any]:
    """Rates (Hz) and, of all excitatory weights, mean, quantiles and shares at both ends; the last `seconds` of the run count."""
    late = neurons[times >= times.max() // 1000 * 1000 + 1000 - 1000 * seconds]
    return {
        "rate_exc": float((late < EXC).sum() / EXC / seconds),
        "rate_inh": float((late >= EXC).sum() / (N - EXC) / seconds),
        "mean": float(weight.mean()),
        "low": float((weight < 0.5).mean()),
        "high": float((weight > 9.5).mean()),
        "quantiles": np.quantile(weight, QUANTILES).tolist(),
    }


def drawn(seed: int, seconds: int) -> tuple[Any, Any, Any]:
    """A run with connections and kicks of a seed."""
    random = np.random.default_rng(seed)
    others = np.array([random.choice(np.delete(np.arange(N), k), M, replace=False) for k in range(EXC)])
    inhibited = np.array([random.choice(EXC, M, replace=False) for _ in range(N - EXC)])
    delay = np.where(np.arange(N)[:, None] < EXC, np.arange(M) // (M // D) + 1, 1)
    return simulate(np.concatenate([others, inhibited]), delay, lambda t: random.integers(0, N, 1), seconds)


def main() -> None:
    made = {
        "network": "polychronization, 1000 neurons; rates of the last 10 of 60 s, weights at 60 s; one kick in every ms; by seed",
        "quantiles": QUANTILES,
        "seeds": {str(seed): statistics(*drawn(seed, 60), 10) for seed in range(1, 9)},
    }
    (Path(__file__).parent / "data" / "spnet.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
