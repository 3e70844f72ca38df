"""One run of Brian2 (C++ standalone) in a process of its own: reads a request (JSON file), prints a row (JSON line)."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import brian2 as b
import numpy as np


def brunel(p: dict[str, Any], seed: int) -> list[Any]:
    names = {"J": p["weight"], "gJ": p["g"] * p["weight"], "threshold": p["neuron"]["V_th"], "tau": p["neuron"]["tau_m"] * b.ms}
    group = b.NeuronGroup(
        p["excitatory"] + p["inhibitory"],
        "dv/dt = -v/tau : 1 (unless refractory)",
        threshold="v >= threshold",
        reset="v = 0",
        refractory=p["neuron"]["t_ref"] * b.ms,
        method="exact",
        namespace=names,
    )
    group.v = "rand() * threshold"
    parts: list[Any] = [group]
    ends = (group[: p["excitatory"]], group[p["excitatory"] :])
    for pre, degree, effect in zip(ends, p["degrees"], ("v_post += J", "v_post -= gJ"), strict=True):
        synapses = b.Synapses(pre, group, on_pre=effect, delay=p["delay"] * b.ms, namespace=names)
        synapses.connect(p=degree / len(pre))
        parts.append(synapses)
    parts.append(b.PoissonInput(group, "v", N=1000, rate=p["rate"] / 1000 * b.Hz, weight=p["weight"]))
    return parts


def microcircuit(p: dict[str, Any], seed: int) -> list[Any]:
    rng, sizes = np.random.default_rng(seed), np.array(p["neurons"])
    first = np.concatenate([[0], np.cumsum(sizes)])
    cell = p["neuron"]
    names = {
        "E_L": cell["E_L"] * b.mV,
        "V_th": cell["V_th"] * b.mV,
        "V_reset": cell["V_reset"] * b.mV,
        "tau_m": cell["tau_m"] * b.ms,
        "tau_s": cell["tau_syn_ex"] * b.ms,
        "C_m": cell["C_m"] * b.pF,
    }
    equations = """dv/dt = (E_L - v)/tau_m + (I + I_e)/C_m : volt (unless refractory)
                   dI/dt = -I/tau_s : amp
                   I_e : amp (constant)"""
    group = b.NeuronGroup(
        int(sizes.sum()),
        equations,
        threshold="v >= V_th",
        reset="v = V_reset",
        refractory=cell["t_ref"] * b.ms,
        method="exact",
        namespace=names,
    )
    group.v = rng.normal(np.repeat(p["V_m_mean"], sizes), np.repeat(p["V_m_sd"], sizes)) * b.mV
    group.I_e = np.repeat(p["I_e"], sizes) * b.pA
    pre, post, weight, delay = edges(p, rng, sizes, first)
    synapses = b.Synapses(group, group, "w : amp (constant)", on_pre="I_post += w")
    synapses.connect(i=pre, j=post)
    synapses.w = weight * b.pA
    synapses.delay = delay * b.ms
    drives = [
        b.PoissonInput(group[first[k] : first[k + 1]], "I", round(rate / 8.0), 8.0 * b.Hz, p["external_weight"] * b.pA)
        for k, rate in enumerate(p["rate"])
    ]
    return [group, synapses, *drives]


def edges(p: dict[str, Any], rng: np.random.Generator, sizes: Any, first: Any) -> tuple[Any, Any, Any, Any]:
    columns: tuple[list[Any], ...] = ([], [], [], [])
    for post, row in enumerate(p["synapses"]):
        for pre, total in enumerate(row):
            mean, late = p["weight"][post][pre], p["delay"][pre]
            weight = rng.normal(mean, abs(mean) * p["weight_relative_sd"], total)
            delay = redrawn(rng, late, late * p["delay_relative_sd"], 0.05, total)
            ends = (rng.integers(sizes[pre], size=total) + first[pre], rng.integers(sizes[post], size=total) + first[post])
            clipped = np.maximum(weight, 0.0) if mean > 0.0 else np.minimum(weight, 0.0)
            for column, values in zip(columns, (*ends, clipped, np.maximum(delay, 0.1)), strict=True):
                column.append(values)
    pre_ids, post_ids, weights, delays = (np.concatenate(column) for column in columns)
    return pre_ids, post_ids, weights, delays


def redrawn(rng: np.random.Generator, mean: float, sd: float, low: float, size: int) -> Any:
    values = rng.normal(mean, sd, size)
    while (wrong := values < low).any():
        values[wrong] = rng.normal(mean, sd, int(wrong.sum()))
    return values


def cuba(p: dict[str, Any], seed: int) -> list[Any]:
    cell = p["neuron"]
    # the example's own units: the synaptic drive in mV
    weights = [w * cell["tau_m"] / cell["C_m"] for w in p["weight"]]
    names = {
        "El": cell["E_L"],
        "Vt": cell["V_th"],
        "Vr": cell["V_reset"],
        "tm": cell["tau_m"] * b.ms,
        "te": cell["tau_syn_ex"] * b.ms,
        "ti": cell["tau_syn_in"] * b.ms,
        "we": weights[0],
        "wi": weights[1],
    }
    equations = """dv/dt = (ge + gi - (v - El))/tm : 1 (unless refractory)
                   dge/dt = -ge/te : 1
                   dgi/dt = -gi/ti : 1"""
    group = b.NeuronGroup(
        p["excitatory"] + p["inhibitory"],
        equations,
        threshold="v > Vt",
        reset="v = Vr",
        refractory=cell["t_ref"] * b.ms,
        method="exact",
        namespace=names,
    )
    group.v = "Vr + rand() * (Vt - Vr)"
    parts: list[Any] = [group]
    ends = (group[: p["excitatory"]], group[p["excitatory"] :])
    for pre, effect in zip(ends, ("ge += we", "gi += wi"), strict=True):
        synapses = b.Synapses(pre, group, on_pre=effect, delay=p["delay"] * b.ms, namespace=names)
        synapses.connect(p=p["p"])
        parts.append(synapses)
    return parts


def hpc(p: dict[str, Any], seed: int) -> list[Any]:
    cell, rule, rng = p["neuron"], p["rule"], np.random.default_rng(seed)
    names = {
        "tau_m": cell["tau_m"] * b.ms,
        "tau_s": cell["tau_syn_ex"] * b.ms,
        "C_m": cell["C_m"] * b.pF,
        "J": p["weight"],
        "gJ": p["g"] * p["weight"],
        "unit": np.e * b.pA,
        "threshold": cell["V_th"] * b.mV,
        "tau_plus": rule["tau_plus"] * b.ms,
        "tau_minus": rule["tau_minus"] * b.ms,
        "size": rule["lambda_"],
        "alpha": rule["alpha"],
        "mu": rule["mu"],
    }
    group = b.NeuronGroup(
        sum(p["sizes"]),
        """dv/dt = -v/tau_m + I/C_m : volt (unless refractory)
           dI/dt = (y - I)/tau_s : amp
           dy/dt = -y/tau_s : amp""",
        threshold="v >= threshold",
        reset="v = 0*mV",
        refractory=cell["t_ref"] * b.ms,
        method="exact",
        namespace=names,
    )
    group.v = rng.normal(p["V_m"][0], p["V_m"][1], len(group)) * b.mV
    ends = (group[: p["sizes"][0]], group[p["sizes"][0] :])
    parts: list[Any] = [group]
    traces = """w : 1
                dx/dt = -x/tau_plus : 1 (event-driven)
                dz/dt = -z/tau_minus : 1 (event-driven)"""
    learns = {
        "model": traces,
        "on_pre": "y_post += w*unit; x += 1; w = clip(w - size*alpha*w*z, 0, inf)",
        "on_post": "z += 1; w += size*w**mu*x",
    }
    for pre, post in ((0, 0), (0, 1), (1, 0), (1, 1)):
        kind = {"on_pre": "y_post -= gJ*unit"} if pre else {"on_pre": "y_post += J*unit"} if post else learns
        synapses = b.Synapses(ends[pre], ends[post], **kind, delay=p["delay"] * b.ms, namespace=names)
        targets = np.repeat(np.arange(p["sizes"][post]), p["degrees"][pre])
        synapses.connect(i=rng.integers(p["sizes"][pre], size=len(targets)), j=targets)
        if kind is learns:
            synapses.w = p["weight"]
        parts.append(synapses)
    parts.append(b.PoissonInput(group, "y", 1000, p["rate"] / 1000 * b.Hz, p["weight"] * np.e * b.pA))
    return parts


def cobahh(p: dict[str, Any], seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    names = {
        "C": 200 * b.pF,
        "gl": 10 * b.nS,
        "g_na": 20000 * b.nS,
        "g_kd": 6000 * b.nS,
        "El": -60 * b.mV,
        "EK": -90 * b.mV,
        "ENa": 50 * b.mV,
        "VT": -63 * b.mV,
        "Ee": 0 * b.mV,
        "Ei": -80 * b.mV,
        "te": 5 * b.ms,
        "ti": 10 * b.ms,
        "we": p["weight"][0] * b.nS,
        "wi": p["weight"][1] * b.nS,
    }
    equations = """
        dv/dt = (gl*(El-v)+ge*(Ee-v)+gi*(Ei-v)-g_na*(m*m*m)*h*(v-ENa)-g_kd*(n*n*n*n)*(v-EK))/C : volt
        dm/dt = alpha_m*(1-m)-beta_m*m : 1
        dn/dt = alpha_n*(1-n)-beta_n*n : 1
        dh/dt = alpha_h*(1-h)-beta_h*h : 1
        dge/dt = -ge/te : siemens
        dgi/dt = -gi/ti : siemens
        alpha_m = 0.32*(mV**-1)*4*mV/exprel((13*mV-v+VT)/(4*mV))/ms : Hz
        beta_m = 0.28*(mV**-1)*5*mV/exprel((v-VT-40*mV)/(5*mV))/ms : Hz
        alpha_h = 0.128*exp((17*mV-v+VT)/(18*mV))/ms : Hz
        beta_h = 4./(1+exp((40*mV-v+VT)/(5*mV)))/ms : Hz
        alpha_n = 0.032*(mV**-1)*5*mV/exprel((15*mV-v+VT)/(5*mV))/ms : Hz
        beta_n = .5*exp((10*mV-v+VT)/(40*mV))/ms : Hz"""
    group = b.NeuronGroup(
        p["excitatory"] + p["inhibitory"],
        equations,
        threshold="v > -20*mV",
        refractory=3 * b.ms,
        method="exponential_euler",
        namespace=names,
    )
    group.v = rng.normal(p["V_m"][0], p["V_m"][1], len(group)) * b.mV
    for name, (mean, sd) in zip(("ge", "gi"), p["g"], strict=True):
        setattr(group, name, np.maximum(rng.normal(mean, sd, len(group)), 0.0) * b.nS)
    parts: list[Any] = [group]
    ends = (group[: p["excitatory"]], group[p["excitatory"] :])
    for pre, effect in zip(ends, ("ge += we", "gi += wi"), strict=True):
        synapses = b.Synapses(pre, group, on_pre=effect, delay=p["delay"] * b.ms, namespace=names)
        synapses.connect(p=p["p"])
        parts.append(synapses)
    return parts


FAMILIES = {"cobahh": cobahh, "brunel": brunel, "microcircuit": microcircuit, "cuba": cuba, "hpc": hpc}


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    started = time.perf_counter()
    b.set_device("cpp_standalone", build_on_run=False, directory=str(folder))
    b.prefs.devices.cpp_standalone.openmp_threads = request["threads"] if request["threads"] > 1 else 0
    b.prefs.devices.cpp_standalone.extra_make_args_unix = [f"-j{os.cpu_count()}"]
    b.defaultclock.dt = 0.1 * b.ms
    b.seed(request["seed"])
    parts = FAMILIES[request["family"]](request["numbers"], request["seed"])
    monitor = b.SpikeMonitor(parts[0])
    network = b.Network(parts, monitor)
    network.run(request["settle"] * b.ms)
    network.run(request["time"] * b.ms)
    b.device.build(directory=str(folder), compile=True, run=False, debug=False)
    with subprocess.Popen(["./main"], cwd=folder, stdout=subprocess.DEVNULL) as program:
        _, status, usage = os.wait4(program.pid, 0)
        program.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"Brian2's program ended with {program.returncode}")
    # the program itself times its last run()
    wall = float((folder / "results" / "last_run_info.txt").read_text().split()[0])
    (times,) = (folder / "results").glob("_dynamic_array_spikemonitor_t_*")
    spikes = int((np.fromfile(times, np.float64) * 1e3 >= request["settle"]).sum())
    return {
        "version": b.__version__,
        "build_s": time.perf_counter() - started - wall,
        "wall_s": wall,
        "rate_Hz": spikes / len(parts[0]) / (request["time"] * 1e-3),
        "peak_bytes": max(usage.ru_maxrss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024,
    }


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file, tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(run(json.load(file), Path(temporary))))
