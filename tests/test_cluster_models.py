"""Models that stand in the user's script, on worker processes: they need no module there, and their faults come home."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = '''
import time

import numpy as np
from distributed import LocalCluster

import eventsnn as snn
from eventsnn.models import FixedIndegree, PoissonInput, Static


class Izhikevich(snn.NeuronModel):
    """dv/dt = 0.04 v^2 + 5 v + 140 - u, du/dt = a (b v - u)."""

    a = snn.Param(0.02, "1/ms", "rate of recovery")
    b = snn.Param(0.2, "1/ms", "coupling of recovery")
    c = snn.Param(-65.0, "mV", "potential after a spike")
    d = snn.Param(8.0, "mV/ms", "kick of recovery")
    v = snn.State(-65.0, "mV")
    u = snn.State(-13.0, "mV/ms")
    equations = """
        dv/dt = 0.04*v**2 + 5*v + 140 - u
        du/dt = a*(b*v - u)
    """
    receptors = (snn.Receptor("in", "mV", "v += w"),)
    threshold = "v >= 30"
    reset = "v = c; u += d"
    method = "rk4"
    check_units = False


class Noisy(snn.NeuronModel):
    """White noise, a threshold by chance, a reset with a draw: functions of the neuron and the step, wherever it lives."""

    v = snn.State(0.0, "mV")
    equations = "dv/dt = -v/(10*ms) + 2*mV/sqrt(ms)*xi"
    receptors = (snn.Receptor("in", "mV", "v += w"),)
    threshold = "uniform() < where(v > 0, 0.02, 0.001)"
    reset = "v = normal()*mV"


class Leaky(snn.NeuronModel):
    """v <- leak v + w, given as a plain step."""

    leak = snn.Param(0.9, "")
    v = snn.State(0.0, "mV")
    receptors = (snn.Receptor("in", "mV", "v += w"),)

    @staticmethod
    def step(v, w_in, leak):
        v = leak * v + w_in
        fire = v >= 10.0
        return 0.0 if fire else v, 1 if fire else 0


class Inverse(snn.NeuronModel):
    """v <- 1 / (k v), which begins with a division by zero."""

    k = snn.Param(0.0, "")
    v = snn.State(0.0, "mV")
    receptors = (snn.Receptor("in", "mV", "v += w"),)

    @staticmethod
    def step(v, w_in, k):
        return 1.0 / (k * v), 0


class Decay(snn.NeuronModel):
    tau = snn.Param(10.0, "ms")  # nothing forbids 0
    v = snn.State(0.0, "mV")
    equations = "dv/dt = -v/tau"
    receptors = (snn.Receptor("in", "mV", "v += w"),)
    threshold = "v >= 30"
    reset = "v = 0"


class Uncompiled(snn.NeuronModel):
    v = snn.State(0.0, "mV")
    receptors = (snn.Receptor("in", "mV", "v += w"),)

    @staticmethod
    def step(v, w_in):
        return v.nothing, 0


def network(**more):
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 500, Izhikevich(c=snn.Uniform(-65.0, -50.0)))
    leaky = net.population("leaky", 600, Leaky())
    net.population("noisy", 300, Noisy())
    net.stimulate(cells, PoissonInput(rate=2000.0, weight=3.0))
    net.connect(cells >> leaky, FixedIndegree(60), Static(weight=8.0, delay=1.0))
    net.connect(leaky >> cells, FixedIndegree(20), Static(weight=0.5, delay=1.5))
    for name, model in more.items():
        net.population(name, 300, model)
    return net


ASKED = (("get", ("v",)), ("counts", ()))


def same(client):
    found = []
    for options in ({}, {"client": client}):
        with snn.Simulation(network(), **options) as sim:
            sim.run(60.0)
            found.append([getattr(sim[name], what)(*given) for name in ("cells", "leaky", "noisy") for what, given in ASKED])
    assert min(counts.sum() for counts in found[0][1::2]) > 50, found
    assert all(np.array_equal(a, b) for a, b in zip(*found))


def fault(client, name, model, tau=None):
    """The error of a run, with and without the cluster, and the longest that either took."""
    texts, began = [], time.monotonic()
    for options in ({}, {"client": client}):
        try:
            with snn.Simulation(network(**{name: model}), **options) as sim:
                sim.run(1.0)
                if tau is not None:
                    sim[name].set("tau", tau)
                    sim.run(1.0)
                texts.append(str(sim[name].get("v")[0]))
        except Exception as error:
            texts.append(f"{type(error).__name__}: {error}".split("\\n")[0])
    assert time.monotonic() - began < 10.0
    print(" | ".join(texts))


if __name__ == "__main__":
    try:
        class Wrong(Decay):
            equations = "dv/dt = -v/taau"

        network(wrong=Wrong())
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster:
        client = cluster.get_client()
        same(client)
        fault(client, "inverse", Inverse())
        fault(client, "decay", Decay(tau=0.0))
        fault(client, "decay", Decay(), tau=0.0)
        fault(client, "uncompiled", Uncompiled())
        same(client)
        client.close()
'''


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the script says, run as a user runs it: its classes are those of __main__."""
    path: Path = tmp_path_factory.mktemp("script") / "script.py"
    path.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    assert "orphan" not in done.stderr and "leaked" not in done.stderr, done.stderr
    return done.stdout.splitlines()


def test_a_wrong_equation_is_refused_where_it_stands(lines: list[str]) -> None:
    assert lines[0].startswith("ModelError: population 'wrong': Wrong.equations: 'dv/dt = -v/taau': unknown name 'taau'")
    assert "did you mean 'tau'?" in lines[0]


def test_a_division_by_zero_in_a_step_is_ieee_arithmetic(lines: list[str]) -> None:
    """1/0 is inf and 1/(0 inf) is nan: in every process, and no crash."""
    assert lines[1] == "nan | nan"


@pytest.mark.parametrize("line", [2, 3], ids=["at the start", "by a handle"])
def test_a_constant_that_cannot_be_made_names_the_population(lines: list[str], line: int) -> None:
    here, there = lines[line].split(" | ")
    assert here.startswith("ParameterError: part 0 (cells, leaky, noisy, decay): population 'decay': Decay: constant ")
    assert there.startswith("ParameterError: part ") and "decay) on tcp://127.0.0.1:" in there
    assert here.endswith("is not finite; check the parameters (a time constant of 0?)") and there.endswith(here[-60:])


def test_a_step_that_does_not_compile_names_the_population(lines: list[str]) -> None:
    here, there = lines[4].split(" | ")
    assert here.startswith("TypingError: part 0 (cells, leaky, noisy, uncompiled): Failed in nopython mode pipeline")
    assert there.startswith("TypingError: part ") and "uncompiled) on tcp://127.0.0.1:" in there


def test_the_cluster_is_as_good_as_before(lines: list[str]) -> None:
    """The last thing the script did was the first again, which is the same in-process and on the workers."""
    assert len(lines) == 5
