"""The benchmark networks as plain numbers, so that every simulator builds from the same ones. Units: ms, mV, pA, pF, Hz."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eventsnn.models.networks import brunel, cobahh, cuba, hpc_benchmark, microcircuit, small
from eventsnn.models.networks.hpc_benchmark import DELAY, NEURON, RATE, RULE, TAU_SYN, WEIGHT, G
from eventsnn.models.networks.microcircuit import Microcircuit
from eventsnn.network import Network


@dataclass(frozen=True)
class Case:
    """A network, and how much of it is run: `settle` ms before the clock starts, then `time` ms."""

    title: str
    family: str
    numbers: Mapping[str, Any]
    network: Callable[[int], Network]
    settle: float = 100.0
    time: float = 1000.0
    without: tuple[str, ...] = ()
    """Simulators that cannot run it on an ordinary machine."""


def _brunel(neurons: int, degrees: tuple[int, int]) -> dict[str, Any]:
    weight = 0.1 * math.sqrt(1000 / degrees[0])
    excitatory = int(0.8 * neurons)
    return {
        "excitatory": excitatory,
        "inhibitory": neurons - excitatory,
        "degrees": degrees,
        "weight": weight,
        "g": 5.0,
        "delay": 1.5,
        "rate": 1000.0 * 2.0 * 20.0 / (weight * 20.0),
        "neuron": {"tau_m": 20.0, "C_m": 1.0, "t_ref": 2.0, "E_L": 0.0, "V_reset": 0.0, "V_th": 20.0},
    }


def _microcircuit(scale: float) -> dict[str, Any]:
    facts, eight = Microcircuit.at(scale), range(8)
    return {
        "neurons": facts.neurons,
        "synapses": [[facts.synapses(post, pre) for pre in eight] for post in eight],
        "weight": [[facts.weight(post, pre) for pre in eight] for post in eight],
        "weight_relative_sd": facts.published["weight_relative_sd"],
        "delay": [facts.delay(pre) for pre in eight],
        "delay_relative_sd": facts.published["delay_relative_sd"],
        "rate": [facts.external_rate(post) for post in eight],
        "external_weight": facts.weight(0, 0),
        "I_e": [facts.compensation(post, poisson=True) for post in eight],
        "V_m_mean": facts.published["V_m_mean"],
        "V_m_sd": facts.published["V_m_sd"],
        "neuron": facts.published["neuron"],
    }


CUBA = {
    "excitatory": 3200,
    "inhibitory": 800,
    "p": 0.02,
    "weight": (16.2, -90.0),
    "delay": 0.1,
    "neuron": {
        "C_m": 200.0,
        "tau_m": 20.0,
        "E_L": -49.0,
        "V_th": -50.0,
        "V_reset": -60.0,
        "t_ref": 5.0,
        "tau_syn_ex": 5.0,
        "tau_syn_in": 10.0,
    },
}

COBAHH = {
    "excitatory": 3200,
    "inhibitory": 800,
    "p": 0.02,
    "weight": (6.0, 67.0),
    "delay": 0.1,
    "V_m": (-65.0, 5.0),
    "g": ((40.0, 15.0), (200.0, 120.0)),
}

HPC = {
    "sizes": (900, 225),
    "degrees": (9_000, 2_250),
    "weight": WEIGHT,
    "g": G,
    "delay": DELAY,
    "rate": RATE,
    "rule": RULE,
    "neuron": {**NEURON, "tau_syn_ex": TAU_SYN, "tau_syn_in": TAU_SYN},
    "V_m": (5.7, 7.2),
}

CASES: Mapping[str, Case] = {
    "brunel": Case("Brunel, 12,500 neurons", "brunel", _brunel(12_500, (1000, 250)), lambda seed: brunel(seed=seed)),
    "pd01": Case("microcircuit x0.1", "microcircuit", _microcircuit(0.1), lambda seed: microcircuit(0.1, seed)),
    "pd": Case("microcircuit x1", "microcircuit", _microcircuit(1.0), lambda seed: microcircuit(1.0, seed), without=("brian2",)),
    "cuba": Case("CUBA, 4,000 neurons", "cuba", CUBA, lambda seed: cuba(seed=seed), time=5000.0),
    "cobahh": Case("COBAHH, 4,000 neurons", "cobahh", COBAHH, lambda seed: cobahh(seed=seed)),
    "hpc": Case("hpc_benchmark, 12.7 M synapses, plastic", "hpc", HPC, lambda seed: hpc_benchmark(0.1, seed), 50.0, 100.0),
    "small100": Case("100 neurons", "brunel", _brunel(100, (8, 2)), lambda seed: small(100, seed), time=10_000.0),
    "small1000": Case("1000 neurons", "brunel", _brunel(1000, (80, 20)), lambda seed: small(1000, seed), time=5000.0),
}
