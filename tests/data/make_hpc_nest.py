"""Makes hpc_nest.json: what NEST says of hpc_benchmark(0.2, indegrees=0.1). Run it where NEST is installed; the tests read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nest
import numpy as np

SCALE, INDEGREES, SEEDS, SETTLED, END = 0.2, 0.1, range(11, 21), 200.0, 1000.0
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TAU_SYN, WEIGHT, G, DELAY, RATE = 0.32582722403722841, 45.6096 / INDEGREES**0.5, 5.0, 1.5, 20_856.04 * INDEGREES**0.5
NEURON = {"C_m": 250.0, "tau_m": 10.0, "t_ref": 0.5, "V_th": 20.0, "V_reset": 0.0, "E_L": 0.0, "tau_minus": 30.0}
RULE = {"tau_plus": 15.0, "lambda": 0.1, "alpha": 0.0513, "mu": 0.4}
SOURCES = 60
"""Sources whose synapses are read."""


def network(seed: int) -> tuple[list[Any], Any]:
    nest.ResetKernel()
    nest.set(resolution=0.1, local_num_threads=1, rng_seed=seed, print_time=False)
    neuron = {**NEURON, "tau_syn_ex": TAU_SYN, "tau_syn_in": TAU_SYN}
    exc, inh = (nest.Create("iaf_psc_alpha", round(n * SCALE), neuron) for n in (9_000, 2_250))
    for neurons in (exc, inh):
        neurons.V_m = nest.random.normal(5.7, 7.2)
    nest.CopyModel("stdp_pl_synapse_hom", "plastic", {**RULE, "weight": WEIGHT, "delay": DELAY})
    drive = nest.Create("poisson_generator", params={"rate": RATE})
    degrees = [
        {"rule": "fixed_indegree", "indegree": round(n * INDEGREES), "allow_autapses": False, "allow_multapses": True}
        for n in (9_000, 2_250)
    ]
    excites, inhibits = ({"synapse_model": "static_synapse", "weight": w, "delay": DELAY} for w in (WEIGHT, -G * WEIGHT))
    nest.Connect(exc, exc, degrees[0], {"synapse_model": "plastic"})
    nest.Connect(exc, inh, degrees[0], excites)
    for neurons in (exc, inh):
        nest.Connect(inh, neurons, degrees[1], inhibits)
        nest.Connect(drive, neurons, "all_to_all", excites)
    recorder = nest.Create("spike_recorder")
    nest.Connect(exc + inh, recorder)
    return [exc, inh], recorder


def made_up(weight: float, pre: Sequence[float], post: Sequence[float]) -> float:
    """NEST brings a weight up to date at spikes of its source only: here it also gets those of its target that came later.

    pre and post: times (ms), of which those up to END - DELAY have reached the synapse, the post ones DELAY late. A spike of the
    target adds lambda w**mu x, x being the trace of the source (Morrison, Aertsen, Diesmann 2007).
    """
    here = np.array([t for t in pre if t <= END - DELAY + 1e-6])
    if len(here):
        for late in (q + DELAY for q in post):
            if here[-1] + 1e-6 < late <= END - DELAY + 1e-6:
                weight += RULE["lambda"] * weight ** RULE["mu"] * float(np.exp(-(late - here) / RULE["tau_plus"]).sum())
    return weight


def statistics(seed: int) -> dict[str, Any]:
    populations, recorder = network(seed)
    nest.Simulate(END)
    senders, times = np.array(recorder.events["senders"]), np.array(recorder.events["times"])
    order = np.lexsort((times, senders))
    senders, times = senders[order], times[order]
    found: dict[str, Any] = {}
    for name, neurons in zip(("exc", "inh"), populations, strict=True):
        mine = np.isin(senders, neurons.tolist())
        trains = np.split(times[mine], np.flatnonzero(np.diff(senders[mine])) + 1)
        late = [train[train > SETTLED] for train in trains]
        intervals = [np.diff(train) for train in late if len(train) > 2]
        found[f"rate_{name}"] = sum(map(len, late)) / len(neurons) / (END - SETTLED) * 1e3
        found[f"cv_{name}"] = float(np.mean([x.std() / x.mean() for x in intervals]))
    trains_of = dict(zip(np.unique(senders).tolist(), np.split(times, np.flatnonzero(np.diff(senders)) + 1), strict=True))
    synapses = nest.GetConnections(source=populations[0][:SOURCES], synapse_model="plastic").get(["source", "target", "weight"])
    ends = zip(synapses["source"], synapses["target"], synapses["weight"], strict=True)
    weights = np.array([made_up(w, trains_of.get(s, ()), trains_of.get(t, ())) for s, t, w in ends]) / WEIGHT
    found |= {"synapses": len(weights), "mean": float(weights.mean()), "std": float(weights.std())}
    return {**found, "quantiles": np.quantile(weights, QUANTILES).tolist()}


def main() -> None:
    nest.verbosity = nest.VerbosityLevel.ERROR
    described = {
        "simulator": f"NEST {nest.__version__}",
        "network": f"hpc_benchmark, N scaled by {SCALE}, K by {INDEGREES}, weights by its inverse root, background by its root",
        "measured": f"rates (Hz) and CVs of intervals from {SETTLED:g} ms to {END:g} ms; plastic weights at {END:g} ms of "
        f"{SOURCES} sources, in units of the initial weight, with all that has reached synapses; by rng_seed",
        "quantiles": QUANTILES,
        "seeds": {str(seed): statistics(seed) for seed in SEEDS},
    }
    Path(__file__).with_name("hpc_nest.json").write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main()
