"""One run of NEST in a process of its own: reads a request (JSON file), prints a row (JSON line). Needs only NEST."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any


def brunel(nest: Any, p: dict[str, Any]) -> list[Any]:
    exc, inh = (nest.Create("iaf_psc_delta", p[kind], p["neuron"]) for kind in ("excitatory", "inhibitory"))
    everyone = exc + inh
    everyone.V_m = nest.random.uniform(0.0, p["neuron"]["V_th"])
    for pre, degree, weight in zip((exc, inh), p["degrees"], (p["weight"], -p["g"] * p["weight"]), strict=True):
        rule = {"rule": "fixed_indegree", "indegree": degree}
        nest.Connect(pre, everyone, rule, {"weight": weight, "delay": p["delay"]})
    drive = nest.Create("poisson_generator", params={"rate": p["rate"]})
    nest.Connect(drive, everyone, "all_to_all", {"weight": p["weight"], "delay": p["delay"]})
    return [everyone]


def microcircuit(nest: Any, p: dict[str, Any]) -> list[Any]:
    populations = []
    for k, size in enumerate(p["neurons"]):
        neurons = nest.Create("iaf_psc_exp", size, {**p["neuron"], "I_e": p["I_e"][k]})
        neurons.V_m = nest.random.normal(p["V_m_mean"][k], p["V_m_sd"][k])
        drive = nest.Create("poisson_generator", params={"rate": p["rate"][k]})
        nest.Connect(drive, neurons, "all_to_all", {"weight": p["external_weight"], "delay": 1.5})
        populations.append(neurons)
    for post, row in enumerate(p["synapses"]):
        for pre, total in enumerate(row):
            if total:
                rule = {"rule": "fixed_total_number", "N": total}
                nest.Connect(populations[pre], populations[post], rule, drawn(nest, p, post, pre))
    return populations


def drawn(nest: Any, p: dict[str, Any], post: int, pre: int) -> dict[str, Any]:
    weight, delay, infinite = p["weight"][post][pre], p["delay"][pre], float("inf")
    low, high = (0.0, infinite) if weight > 0.0 else (-infinite, 0.0)
    weights = nest.random.normal(weight, abs(weight) * p["weight_relative_sd"])
    delays = nest.random.normal(delay, delay * p["delay_relative_sd"])
    return {
        "weight": nest.math.redraw(weights, min=low, max=high),
        "delay": nest.math.redraw(delays, min=0.05, max=infinite),
    }


def cuba(nest: Any, p: dict[str, Any]) -> list[Any]:
    exc, inh = (nest.Create("iaf_psc_exp", p[kind], p["neuron"]) for kind in ("excitatory", "inhibitory"))
    everyone = exc + inh
    everyone.V_m = nest.random.uniform(p["neuron"]["V_reset"], p["neuron"]["V_th"])
    for pre, weight in zip((exc, inh), p["weight"], strict=True):
        rule = {"rule": "pairwise_bernoulli", "p": p["p"]}
        nest.Connect(pre, everyone, rule, {"weight": weight, "delay": p["delay"]})
    return [everyone]


def hpc(nest: Any, p: dict[str, Any]) -> list[Any]:
    rule = p["rule"]
    exc, inh = (nest.Create("iaf_psc_alpha", n, {**p["neuron"], "tau_minus": rule["tau_minus"]}) for n in p["sizes"])
    for neurons in (exc, inh):
        neurons.V_m = nest.random.normal(*p["V_m"])
    plastic = {"tau_plus": rule["tau_plus"], "lambda": rule["lambda_"], "alpha": rule["alpha"], "mu": rule["mu"]}
    nest.CopyModel("stdp_pl_synapse_hom_hpc", "plastic", {**plastic, "weight": p["weight"], "delay": p["delay"]})
    drive = nest.Create("poisson_generator", params={"rate": p["rate"]})
    degrees = [{"rule": "fixed_indegree", "indegree": n, "allow_autapses": False, "allow_multapses": True} for n in p["degrees"]]
    excites = {"synapse_model": "static_synapse_hpc", "weight": p["weight"], "delay": p["delay"]}
    inhibits = {**excites, "weight": -p["g"] * p["weight"]}
    nest.Connect(exc, exc, degrees[0], {"synapse_model": "plastic"})
    nest.Connect(exc, inh, degrees[0], excites)
    for neurons in (exc, inh):
        nest.Connect(inh, neurons, degrees[1], inhibits)
        nest.Connect(drive, neurons, "all_to_all", excites)
    return [exc, inh]


def cobahh(nest: Any, p: dict[str, Any]) -> list[Any]:
    exc, inh = (nest.Create("hh_cond_exp_traub", p[kind], {"E_L": -60.0, "I_e": 0.0}) for kind in ("excitatory", "inhibitory"))
    everyone = exc + inh
    everyone.V_m = nest.random.normal(*p["V_m"])
    for pre, weight in zip((exc, inh), (p["weight"][0], -p["weight"][1]), strict=True):
        nest.Connect(pre, everyone, {"rule": "pairwise_bernoulli", "p": p["p"]}, {"weight": weight, "delay": p["delay"]})
    # NEST keeps conductances to itself: the same total arrives as one spike each
    for (mean, sd), sign in zip(p["g"], (1.0, -1.0), strict=True):
        kick = nest.Create("spike_generator", params={"spike_times": [p["delay"]]})
        weights = sign * nest.math.max(nest.random.normal(mean, sd), 0.0)
        nest.Connect(kick, everyone, "all_to_all", {"weight": weights, "delay": p["delay"]})
    return [everyone]


FAMILIES = {"cobahh": cobahh, "brunel": brunel, "microcircuit": microcircuit, "cuba": cuba, "hpc": hpc}


MOST = 134_217_726
"""Connections of one synapse model that NEST holds per virtual process."""


def run(request: dict[str, Any]) -> dict[str, Any]:
    connections = sum(map(sum, request["numbers"].get("synapses", [])))
    # a virtual process is a thread: where they cannot hold the network there must be more, whatever the cores
    request["threads"] = max(request["threads"], 4 if connections > MOST * request["threads"] else 1)
    os.environ["OMP_NUM_THREADS"] = str(request["threads"])
    import nest

    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.set(resolution=0.1, local_num_threads=request["threads"], rng_seed=request["seed"], print_time=False)
    started = time.perf_counter()
    populations = FAMILIES[request["family"]](nest, request["numbers"])
    recorder = nest.Create("spike_recorder")
    for neurons in populations:
        nest.Connect(neurons, recorder)
    nest.Simulate(request["settle"])
    recorder.n_events = 0
    built = time.perf_counter()
    nest.Simulate(request["time"])
    ended = time.perf_counter()
    size = sum(len(neurons) for neurons in populations)
    return {
        "version": nest.__version__,
        "build_s": built - started,
        "wall_s": ended - built,
        "rate_Hz": recorder.n_events / size / (request["time"] * 1e-3),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.dumps(run(json.load(file))))
