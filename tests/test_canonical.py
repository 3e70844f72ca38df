"""A network as JSON: equal networks are told equally, what differs is told in words, and no address or Python code gets in."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pint
import pytest

import eventsnn as snn
from eventsnn.canonical import big_arrays, canonical, first_difference
from eventsnn.models import (
    AllToAll,
    Bernoulli,
    Explicit,
    FixedIndegree,
    IafPscDelta,
    IafPscExp,
    Poisson,
    PoissonInput,
    SpikeTrain,
    Static,
    StepCurrent,
)
from eventsnn.network import Network


def described(weight: object = 1.0, n: int = 3, **values: object) -> str:
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", n, IafPscDelta(), **values)
    net.connect(cells[::2] >> cells, AllToAll(), Static(weight=weight, delay=1.0))
    net.stimulate(cells, PoissonInput(rate=1.0, weight=1.0))
    net.record(cells, "spikes")
    return json.dumps(canonical(net), allow_nan=False)


def test_equal_networks_have_equal_descriptions() -> None:
    assert described() == described()
    assert described(V_m=[1.0, 2.0, 3.0]) == described(V_m=np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    "other", [{"weight": 2.0}, {"n": 4}, {"V_m": -65.0}, {"V_m": snn.Uniform(0.0, 1.0)}, {"weight": snn.Normal(1.0, 0.1)}]
)
def test_what_differs_shows(other: dict[str, object]) -> None:
    assert described(**other) != described()  # type: ignore[arg-type]


def test_the_description_holds_the_equations_as_text() -> None:
    model = json.loads(described())["populations"][0]["model"]
    assert "dV_m/dt" in model["declaration"]["equations"]
    assert model["values"]["tau_m"] == 10.0


def test_twice_one_draw_is_not_the_sum_of_two() -> None:
    x = snn.Uniform(0.0, 1.0)
    assert described(V_m=x + x) != described(V_m=snn.Uniform(0.0, 1.0) + snn.Uniform(0.0, 1.0))


def test_a_distribution_is_described_by_its_parts() -> None:
    low, cut = snn.Normal(1.0, 0.5), snn.Normal(1.5, 0.75).truncate(0.1, None)
    held = json.loads(described(V_m=2.0 * low - cut))["populations"][0]["values"]["V_m"]
    normal = {"kind": "Normal", "mean": 1.0, "std": 0.5}
    inner = {"kind": "Normal", "mean": 1.5, "std": 0.75}
    truncated = {"kind": "Truncated", "leaf": inner, "scale": 1.0, "shift": 0.0, "low": 0.1, "high": {"float": "inf"}}
    program = [["const", 2.0], ["draw", 0], ["mul", 0], ["draw", 1], ["sub", 0]]
    assert held == {"kind": "Operation", "draws": [normal, truncated], "program": program}


def test_long_arrays_are_described_by_their_hash() -> None:
    values = np.linspace(-70.0, -60.0, 1001)
    held = json.loads(described(n=1001, V_m=values))["populations"][0]["values"]["V_m"]
    assert held == {"shape": [1001], "dtype": "<f8", "sha256": hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()}
    assert len(json.loads(described(n=1000, V_m=values[:1000]))["populations"][0]["values"]["V_m"]) == 1000


def test_arrays_of_any_byte_order_and_width_are_told_alike() -> None:
    values = np.linspace(-70.0, -60.0, 1500)
    wide = values.astype(np.longdouble)
    texts = {described(n=1500, V_m=v) for v in (values, values.astype(">f8"), wide, list(values), np.repeat(values, 2)[::2])}
    assert len(texts) == 1
    assert described(V_m=wide[:3]) == described(V_m=values[:3])


def test_the_arrays_that_are_only_named_are_given_by_their_hash() -> None:
    net = Network(seed=1, dt=0.1)
    start = np.random.default_rng(1).normal(-60.0, 2.0, 3000)
    cells = net.population("cells", 3000, IafPscExp(tau_m=np.full(3000, 7.0)), V_m=start)
    pairs = np.random.default_rng(2).integers(0, 1500, (2, 5000))
    net.connect(cells[::2] >> cells[::2], Explicit(*pairs), Static(weight=np.ones(5000), delay=1.0))
    net.stimulate(cells, StepCurrent(times=[0.0, 5.0], values=np.ones((2, 3000))))
    found = big_arrays(net)
    expected = [start, np.full(3000, 7.0), *pairs, np.ones(5000), np.ones((2, 3000)), np.arange(0, 3000, 2)]
    assert found.keys() == {hashlib.sha256(a.tobytes()).hexdigest() for a in expected}
    assert all(hashlib.sha256(a.tobytes()).hexdigest() == name for name, a in found.items())
    text = json.dumps(canonical(net))
    assert all(name in text for name in found)
    assert len(text) < 10_000


def test_a_quantity_is_the_number_that_it_means() -> None:
    unit = pint.UnitRegistry()

    def net(*, plain: bool) -> Network:
        def given(number: float, name: str) -> Any:
            return number if plain else unit.Quantity(number, name)

        made = Network(seed=1, dt=given(0.1, "ms"))
        model = IafPscExp(tau_m=given(20.0, "ms"), C_m=given(200.0, "pF"))
        cells = made.population("cells", 3, model, V_m=given(np.array([-60.0, -61.0, -62.0]), "mV"))
        train = made.population("train", 2, SpikeTrain(times=given(np.array([1.0, 2.0]), "ms"), ids=[0, 1]))
        made.connect(train >> cells, AllToAll(), Static(weight=given(20.0, "pA"), delay=given(1.5, "ms")))
        made.stimulate(cells, PoissonInput(rate=given(900.0, "Hz"), weight=given(2.0, "pA")))
        made.stimulate(cells, StepCurrent(times=given(np.array([1.0]), "ms"), values=given(np.array([5.0]), "pA")))
        return made

    assert canonical(net(plain=False)) == canonical(net(plain=True))


def test_a_weight_is_told_in_the_unit_of_its_receptor() -> None:
    class Strong(snn.NeuronModel):
        V_m = snn.State(0.0, "V")
        equations = "dV_m/dt = -V_m/(10*ms)"
        receptors = (snn.Receptor("in", "V", "V_m += w"),)
        threshold = "V_m >= 1"

    unit = pint.UnitRegistry()
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 2, Strong())
    weight = 500.0 * unit.mV
    made = net.connect(cells >> cells, AllToAll(), Static(weight=weight, delay=1.0))
    drive = net.stimulate(cells, PoissonInput(rate=1.0, weight=weight))
    told = canonical(net)
    assert told["projections"][0]["synapse"]["weight"] == made.weight.value == 0.5  # type: ignore[union-attr]
    assert told["stimuli"][0]["stimulus"]["weight"] == drive.pulse == 0.5


class Ring:
    """A rule of the user's own that is no dataclass."""

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self.inner = object()

    def lower(self, pre: Any, post: Any, same: bool) -> Any:
        return AllToAll().lower(pre, post, same)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(n_pre * n_post)

    def per_target(self, n_pre: int, n_post: int) -> float:
        return float(n_pre)


def ring(reach: int) -> Network:
    net = Network(seed=1, dt=0.1)
    cells = net.population("cells", 3, IafPscDelta())
    net.connect(cells >> cells, Ring(reach), Static(weight=1.0, delay=1.0))
    return net


def test_objects_of_own_classes_are_told_by_what_they_hold() -> None:
    told = canonical(ring(2))["projections"][0]["rule"]
    assert told == {"own": "Ring", "values": {"reach": 2, "inner": {"own": "object", "values": {}}}}
    assert first_difference(canonical(ring(2)), canonical(ring(2))) is None
    assert first_difference(canonical(ring(2)), canonical(ring(3))) == (
        "projection 'cells_to_cells': reach is 2 in the store and 3 in this network"
    )


def test_layout_of_the_text_of_equations_does_not_matter() -> None:
    def net(text: str) -> Network:
        body = {"V_m": snn.State(0.0), "equations": text, "threshold": "V_m >= 1"}
        made = Network(seed=1, dt=0.1)
        made.population("cells", 1, type("Leaky", (snn.NeuronModel,), body)())
        return made

    assert canonical(net("dV_m/dt = -V_m/10")) == canonical(net("\n        dV_m/dt = -V_m/10\n    "))
    assert canonical(net("dV_m/dt = -V_m/10")) != canonical(net("dV_m/dt = -V_m/11"))


def test_importing_it_loads_nothing_heavy() -> None:
    script = "import sys, eventsnn.restored; print(sorted({'dask', 'numba', 'pint', 'sympy', 'zarr'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# ---- differences


def network(
    seed: int = 1,
    dt: float = 0.1,
    n: int = 20,
    model: Any = None,
    order: tuple[str, ...] = ("exc", "inh"),
    p: float = 0.1,
    synapse: Any = None,
    **more: Any,
) -> Network:
    net = Network(seed=seed, dt=dt)
    for name in order:
        net.population(name, n if name == "inh" else 80, model or IafPscExp(), **more.get("values", {}))
    net.connect(net["exc"][more.get("pre", slice(None))] >> net["inh"], more.get("rule") or Bernoulli(p), synapse or SYNAPSE)
    for rate in more.get("rates", (900.0, 300.0)):
        net.stimulate(net["exc"], PoissonInput(rate=rate, weight=2.0))
    for what in more.get("what", ("spikes", "V_m")):
        net.record(net["exc"], what)
    return net


SYNAPSE = Static(weight=snn.Normal(20.0, 2.0), delay=1.5)

DIFFERENCES: dict[str, tuple[Callable[[], Network], str]] = {
    "seed": (lambda: network(seed=2), "seed is 1 in the store and 2 in this network"),
    "dt": (lambda: network(dt=0.05), "dt is 0.1 in the store and 0.05 in this network"),
    "size": (lambda: network(n=25), "population 'inh': n is 20 in the store and 25 in this network"),
    "seed before size": (lambda: network(seed=2, n=25), "seed is 1 in the store and 2 in this network"),
    "size before a rule": (lambda: network(n=25, p=0.2), "population 'inh': n is 20 in the store and 25 in this network"),
    "parameter": (
        lambda: network(model=IafPscExp(tau_m=20.0)),
        "population 'exc': tau_m is 10.0 in the store and 20.0 in this network",
    ),
    "model": (
        lambda: network(model=IafPscDelta(), what=("spikes",)),
        "population 'exc': model is IafPscExp in the store and IafPscDelta in this network",
    ),
    "value": (lambda: network(values={"V_m": -60.0}), "population 'exc': V_m is in this network only"),
    "order": (
        lambda: network(order=("inh", "exc")),
        "the populations come in another order: population 'exc' in the store where population 'inh' is in this network",
    ),
    "probability": (lambda: network(p=0.2), "projection 'exc_to_inh': p is 0.1 in the store and 0.2 in this network"),
    "rule": (
        lambda: network(rule=FixedIndegree(3)),
        "projection 'exc_to_inh': rule is Bernoulli(p=0.1, autapses=True) in the store and "
        "FixedIndegree(indegree=3, autapses=True, multapses=True) in this network",
    ),
    "draw": (
        lambda: network(synapse=Static(weight=snn.Normal(20.0, 3.0), delay=1.5)),
        "projection 'exc_to_inh': weight.std is 2.0 in the store and 3.0 in this network",
    ),
    "number": (
        lambda: network(synapse=Static(weight=20.0, delay=1.5)),
        "projection 'exc_to_inh': weight is Normal(mean=20.0, std=2.0) in the store and 20.0 in this network",
    ),
    "selection": (
        lambda: network(pre=slice(0, 40)),
        "projection 'exc_to_inh': pre is exc[0:80] in the store and exc[0:40] in this network",
    ),
    "stimulus": (
        lambda: network(rates=(900.0, 200.0)),
        "stimulus 1 on 'exc': rate is 300.0 in the store and 200.0 in this network",
    ),
    "no stimulus": (lambda: network(rates=(900.0,)), "stimulus 1 on 'exc' is in the store only"),
    "recording": (lambda: network(what=("spikes", "V_m", "I_ex")), "recording 'exc/I_ex' is in this network only"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_first_difference_is_told_in_words(name: str) -> None:
    make, words = DIFFERENCES[name]
    stored = json.loads(json.dumps(canonical(network())))
    assert first_difference(stored, canonical(network())) is None
    assert first_difference(stored, canonical(make())) == words


def test_two_long_arrays_are_told_apart() -> None:
    def net(last: float) -> Network:
        made = Network(seed=1, dt=0.1)
        made.population("cells", 2000, IafPscExp(), V_m=np.append(np.full(1999, -60.0), last))
        return made

    assert first_difference(canonical(net(-60.0)), canonical(net(-60.0))) is None
    assert first_difference(canonical(net(-60.0)), canonical(net(-61.0))) == (
        "population 'cells': V_m is an array of shape (2000,) in both, but not the same one"
    )


def test_a_declaration_is_compared_line_by_line() -> None:
    def net(bound: float) -> Network:
        body = {"tau": snn.Param(10.0, "ms", low=bound), "V_m": snn.State(0.0), "equations": "dV_m/dt = -V_m/tau"}
        made = Network(seed=1, dt=0.1)
        made.population("cells", 1, type("Leaky", (snn.NeuronModel,), {**body, "threshold": "V_m >= 1"})())
        return made

    assert first_difference(canonical(net(1.0)), canonical(net(2.0))) == (
        "population 'cells': tau.low is 1.0 in the store and 2.0 in this network"
    )


def test_what_an_older_or_newer_version_says_is_a_difference() -> None:
    told = canonical(network())
    assert first_difference({**told, "plasticity": [1]}, told) == "plasticity is in the store only"
    assert first_difference({k: v for k, v in told.items() if k != "seed"}, told) == "seed is in this network only"
    assert first_difference({**told, "stimuli": None}, told) == "stimulus 0 on 'exc' is in this network only"
    assert first_difference({}, told) == "seed is in this network only"


def test_a_source_has_values_but_no_declaration() -> None:
    net = Network(seed=1, dt=0.1)
    net.population("src", 2, Poisson(rate=[1.0, 2.0]))
    assert canonical(net)["populations"][0]["model"] == {"kind": "Poisson", "values": {"rate": [1.0, 2.0]}}
