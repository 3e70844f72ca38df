"""A network is data: what was asked for, under the names that were given, checked and copyable."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

import eventsnn as snn
from eventsnn import spec
from eventsnn.canonical import canonical
from eventsnn.errors import ParameterError
from eventsnn.lower import lower
from eventsnn.models import (
    AllToAll,
    Explicit,
    FixedIndegree,
    IafPscDelta,
    IafPscExp,
    OneToOne,
    Parrot,
    Poisson,
    PoissonInput,
    SpikeTrain,
    Static,
    StepCurrent,
)
from eventsnn.network import Network

SYNAPSE = Static(weight=20.0, delay=1.5)


@pytest.fixture
def net() -> Network:
    net = Network(seed=1, dt=0.1)
    net.population("exc", 80, IafPscExp())
    net.population("inh", 20, IafPscExp())
    return net


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'dask', 'distributed', 'xarray', 'zarr', 'matplotlib', 'cupy', 'numba', 'sympy', 'scipy'}"
    script = f"import sys, eventsnn; eventsnn.Network; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_says_what_it_has() -> None:
    assert {"Network", "Simulation", "open", "Uniform", "NeuronModel"} <= set(dir(snn))
    assert snn.Network is Network
    with pytest.raises(AttributeError, match="no attribute 'Netwrok'"):
        _ = snn.Netwrok


def test_a_population_is_reached_by_name(net: Network) -> None:
    assert net["exc"] is net.populations["exc"]
    assert "inh" in net
    assert net.size == 100


def test_projections_are_named_after_their_ends_then_numbered(net: Network) -> None:
    exc, inh = net["exc"], net["inh"]
    names = [net.connect(exc >> inh, AllToAll(), SYNAPSE).name for _ in range(3)]
    assert names == ["exc_to_inh", "exc_to_inh_2", "exc_to_inh_3"]
    assert net.connect(inh >> exc, AllToAll(), SYNAPSE, name="feedback").name == "feedback"
    assert list(net.projections) == [*names, "feedback"]


def test_a_default_name_avoids_a_population_of_that_name(net: Network) -> None:
    net.population("exc_to_exc", 1, IafPscExp())
    assert net.connect(net["exc"] >> net["exc"], AllToAll(), SYNAPSE).name == "exc_to_exc_2"


def test_values_may_be_scalars_arrays_and_distributions(net: Network) -> None:
    taus = np.linspace(5.0, 15.0, 10)
    made = net.population("mixed", 10, IafPscExp(C_m=200.0), tau_m=taus, V_m=snn.Uniform(-70.0, -60.0), I_e=3)
    assert isinstance(made.dynamics, spec.Equations)
    parameters, initial = made.dynamics.parameters, made.dynamics.initial
    assert parameters["C_m"] == spec.Fixed(200.0)
    assert parameters["I_e"] == spec.Fixed(3.0)
    assert isinstance(parameters["tau_m"], spec.Given)
    assert np.array_equal(parameters["tau_m"].values, taus)
    assert isinstance(initial["V_m"], spec.Drawn)
    assert (initial["V_m"].low, initial["V_m"].high) == pytest.approx((-70.0, -60.0), abs=1e-6)


def test_an_array_changed_later_does_not_change_the_network(net: Network) -> None:
    taus = np.full(10, 7.0)
    made = net.population("mixed", 10, IafPscExp(), tau_m=taus)
    taus[:] = 1.0
    assert isinstance(made.dynamics, spec.Equations)
    given = made.dynamics.parameters["tau_m"]
    assert isinstance(given, spec.Given)
    assert given.values.tolist() == [7.0] * 10


def test_pint_quantities_are_converted_once() -> None:
    pint = pytest.importorskip("pint")
    unit = pint.UnitRegistry()
    net = Network(seed=1, dt=100 * unit.us)
    exc = net.population("exc", 10, IafPscExp(), tau_m=0.02 * unit.s, V_m=-0.065 * unit.V)
    net.connect(exc >> exc, AllToAll(), Static(weight=0.02 * unit.nA, delay=1500 * unit.us))
    recording = net.record(exc, "V_m", every=0.001 * unit.s)
    drive = net.stimulate(exc, PoissonInput(rate=1.0 * unit.kHz, weight=0.02 * unit.nA))
    assert drive.pulse == pytest.approx(20.0, rel=1e-15)
    assert drive.most(0.1) == PoissonInput(rate=1000.0, weight=20.0).most(10, 0.1)
    assert net.dt == pytest.approx(0.1, rel=1e-15)
    assert isinstance(exc.dynamics, spec.Equations)
    assert exc.dynamics.parameters["tau_m"] == spec.Fixed(20.0)
    made = net.projections["exc_to_exc"]
    assert isinstance(made.weight, spec.Fixed)
    assert made.weight.value == pytest.approx(20.0, rel=1e-15)
    assert made.delay == spec.Fixed(15.0)
    assert recording.every == 10


def test_recordings_have_paths(net: Network) -> None:
    exc = net["exc"]
    assert net.record(exc, "spikes").path == "exc/spikes"
    sampled = net.record(exc[:10], "V_m", every=1.0, dtype="float64")
    assert (sampled.path, sampled.every, sampled.dtype, sampled.unit) == ("exc/V_m", 10, "float64", "mV")
    again = net.record(exc[10:], "V_m", name="rest")
    assert (again.path, again.every, again.dtype) == ("exc/rest", 1, "float32")
    assert net.record(exc, "ex").unit == "pA"
    assert list(net.recordings) == ["exc/spikes", "exc/V_m", "exc/rest", "exc/ex"]


def test_nothing_is_recorded_unless_asked(net: Network) -> None:
    assert not net.recordings


def test_stimuli_of_a_population_are_counted_for_their_streams(net: Network) -> None:
    exc, inh = net["exc"], net["inh"]
    drive = PoissonInput(rate=1000.0, weight=20.0)
    current = StepCurrent(times=[1.0], values=[100.0])
    made = [net.stimulate(exc, drive), net.stimulate(exc, current), net.stimulate(inh, drive), net.stimulate(exc[:5], drive)]
    assert [s.ordinal for s in made if s.pulse is not None] == [0, 0, 1]


def test_a_copy_changes_alone(net: Network) -> None:
    twin = net.copy()
    twin.population("more", 5, Parrot())
    twin.connect(twin["exc"] >> twin["more"], AllToAll(), SYNAPSE)
    twin.record(net["exc"], "spikes")
    twin.stimulate(net["exc"], PoissonInput(rate=1.0, weight=1.0))
    assert (list(net.populations), len(net.projections), len(net.recordings), len(net.stimulations)) == (["exc", "inh"], 0, 0, 0)
    assert (twin.seed, twin.dt, twin.size) == (1, 0.1, 105)


def test_a_merged_network_is_what_one_script_would_have_made() -> None:
    def left(net: Network) -> None:
        net.stimulate(net.population("a", 5, IafPscExp(), V_m=snn.Uniform(-70.0, -60.0)), PoissonInput(rate=1.0, weight=1.0))

    def right(net: Network) -> None:
        b = net.population("b", 7, Poisson(rate=5.0))
        c = net.population("c", 7, IafPscExp())
        net.connect(b[2:] >> c[::3], FixedIndegree(2), SYNAPSE, name="drive")
        net.record(c[1:], "V_m", every=1.0, name="slow")

    whole, merged, other = Network(seed=1, dt=0.1), Network(seed=1, dt=0.1), Network(seed=2, dt=0.1)
    left(whole)
    right(whole)
    left(merged)
    right(other)
    merged.merge(other)
    assert canonical(merged) == canonical(whole)
    assert [p.key for p in lower(merged).projections] == [p.key for p in lower(whole).projections]
    merged.record(merged["c"], "spikes")  # its populations are its own
    with pytest.raises(ParameterError, match="population 'b': this network has a population of that name"):
        merged.merge(other)
    with pytest.raises(ParameterError, match="dt is 1 ms there and 0.1 ms here"):
        merged.merge(Network(seed=1, dt=1.0))


def test_views_of_the_network_cannot_be_written(net: Network) -> None:
    with pytest.raises(TypeError):
        net.populations["exc"] = net["inh"]  # type: ignore[index]


def test_a_network_survives_pickling(net: Network) -> None:
    exc = net["exc"]
    net.connect(exc[::2] >> net["inh"], FixedIndegree(4), Static(weight=snn.Normal(20.0, 2.0), delay=1.5))
    net.record(exc[:5], "V_m")
    loaded = pickle.loads(pickle.dumps(net))
    assert canonical(loaded) == canonical(net)
    loaded.connect(loaded["exc"] >> loaded["exc"], AllToAll(), SYNAPSE)  # its populations are its own
    with pytest.raises(ValueError, match="belongs to another network"):
        loaded.record(exc, "spikes")


def test_describe_counts_neurons_synapses_and_memory(net: Network) -> None:
    exc, inh = net["exc"], net["inh"]
    net.connect(exc >> inh, FixedIndegree(10), SYNAPSE)
    net.connect(inh >> exc, AllToAll(), Static(weight=snn.Uniform(-3.0, -1.0), delay=snn.Uniform(1.0, 2.0)))
    net.stimulate(exc, PoissonInput(rate=1000.0, weight=20.0))
    net.record(exc, "spikes")
    net.record(inh[:3], "V_m", every=1.0)
    lines = net.describe().splitlines()
    assert lines[0] == (
        "Network(seed=1, dt=0.1): 2 populations, 100 neurons, 2 projections, 1,800 synapses expected, 2 recordings"
    )
    rows = {line.split()[0]: line.split() for line in lines if line.startswith("  ") and "PoissonInput" not in line}
    assert rows["exc"][1] == "80"
    assert rows["exc_to_inh"][-7:] == ["200", "20", "pA", "1.5", "ms", "1.04", "kB"]  # 200 x 2 bytes + 80 segments x 8
    assert "-3 ... -1 pA  1 ... 2 ms" in next(line for line in lines if "inh_to_exc" in line)
    assert rows["inh_to_exc"][-2:] == ["8.16", "kB"]  # 1600 x 4 bytes + 20 sources x 11 delays x 8
    assert rows["inh/V_m"][1:] == ["3", "1", "ms", "float32"]
    assert lines[-1].startswith("total: 100 neurons, 1,800 synapses expected, about ")


def test_representations_are_short(net: Network) -> None:
    net.population("<b>", 1, IafPscDelta())
    assert repr(net).count("\n") == 0
    page = net._repr_html_()
    assert page.count("<table>") == 1
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert repr(net["exc"][:7]) == "exc[0:7]"
    assert repr(net["exc"][::9]) == "exc[9 of 80 neurons]"


def test_a_delay_is_rounded_to_the_nearest_step_half_up(net: Network) -> None:
    exc = net["exc"]
    for delay, steps in ((0.1, 1), (0.06, 1), (0.05, 1), (0.14, 1), (0.15, 2), (0.25, 3), (1.5, 15), (50.0, 500)):
        made = net.connect(exc >> exc, AllToAll(), Static(weight=1.0, delay=delay))
        assert made.delay == spec.Fixed(float(steps)), delay
        assert made.delay_bounds == (steps, steps)


def test_delays_given_edge_by_edge_are_rounded_one_by_one(net: Network) -> None:
    rule = Explicit(pre=[0, 1, 2], post=[0, 0, 1])
    made = net.connect(net["exc"] >> net["inh"], rule, Static(weight=[1.0, -2.0, 3.0], delay=[0.1, 0.15, 2.04]))
    assert isinstance(made.delay, spec.Given)
    assert made.delay.values.tolist() == [1.0, 2.0, 20.0]
    assert made.delay_bounds == (1, 20)
    assert made.receptors == (0, 1)


def test_a_drawn_delay_keeps_its_shape_and_its_bounds_in_steps(net: Network) -> None:
    delay = snn.Uniform(0.3, 0.9)
    made = net.connect(net["exc"] >> net["exc"], AllToAll(), Static(weight=1.0, delay=delay))
    assert isinstance(made.delay, spec.Drawn)
    assert made.delay_bounds == (3, 9)
    assert np.array_equal(made.delay.tables[0], delay.drawn().tables[0] / 0.1)


def test_a_delay_of_several_draws_is_divided_after_they_are_combined(net: Network) -> None:
    delay = snn.Uniform(0.3, 0.9) * snn.Uniform(1.0, 2.0)
    made = net.connect(net["exc"] >> net["exc"], AllToAll(), Static(weight=1.0, delay=delay))
    assert isinstance(made.delay, spec.Drawn)
    assert made.delay.program == (*delay.drawn().program, ("const", 0.1), ("div", 0.0))
    assert made.delay_bounds == (3, 18)


@pytest.mark.parametrize(
    "safe", [snn.Normal(1.0, 0.5).truncate(0.1, None), snn.Normal(1.0, 0.5).clip(0.1, None), snn.Normal(1.0, 0.5).clip(0.05)]
)
def test_clipped_and_truncated_delays_are_accepted(net: Network, safe: object) -> None:
    made = net.connect(net["exc"] >> net["exc"], AllToAll(), Static(weight=1.0, delay=safe))
    assert made.delay_bounds[0] == 1


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (20.0, (0, 0)),
        (0.0, (0, 0)),
        (-20.0, (1, 1)),
        (snn.Normal(20.0, 2.0), (0, 0)),
        (snn.Normal(-20.0, 2.0), (1, 1)),
        (snn.Normal(0.0, 2.0), (0, 1)),
    ],
)
def test_without_a_receptor_the_sign_of_the_weight_chooses(net: Network, weight: object, expected: tuple[int, int]) -> None:
    made = net.connect(net["exc"] >> net["exc"], AllToAll(), Static(weight=weight, delay=1.0))
    assert made.receptors == expected


def test_a_named_receptor_takes_every_sign(net: Network) -> None:
    made = net.connect(net["exc"] >> net["exc"], AllToAll(), Static(weight=snn.Normal(0.0, 2.0), delay=1.0), receptor="ex")
    assert made.receptors == (0, 0)
    assert net.stimulate(net["exc"], PoissonInput(rate=10.0, weight=-2.0), receptor="ex").position == 0
    assert net.stimulate(net["exc"], PoissonInput(rate=10.0, weight=-2.0)).position == 1


def test_a_model_with_one_receptor_ignores_the_sign() -> None:
    net = Network(seed=1, dt=0.1)
    neurons = net.population("delta", 10, IafPscDelta())
    made = net.connect(neurons >> neurons, AllToAll(), Static(weight=snn.Normal(0.0, 1.0), delay=1.0))
    assert made.receptors == (0, 0)


class Conductance(snn.NeuronModel):
    """Two conductances and a leak."""

    tau = snn.Param(10.0, "ms", above=0.0)
    V_m = snn.State(0.0, "mV")
    g_ex = snn.State(0.0, "nS")
    g_in = snn.State(0.0, "nS")
    equations = """
        dV_m/dt = -V_m/tau
        dg_ex/dt = -g_ex/tau
        dg_in/dt = -g_in/tau
    """
    receptors = (
        snn.Receptor("ex", "nS", "g_ex += w", magnitude=True),
        snn.Receptor("in", "nS", "g_in += w", magnitude=True),
    )
    threshold = "V_m >= 1"
    reset = "V_m = 0"


def test_a_conductance_takes_magnitudes_by_sign_but_refuses_negative_ones_by_name() -> None:
    net = Network(seed=1, dt=0.1)
    neurons = net.population("cells", 10, Conductance())
    made = net.connect(neurons >> neurons, AllToAll(), Static(weight=-2.0, delay=1.0))
    assert made.receptors == (1, 1)
    with pytest.raises(ParameterError, match="receptor 'in' is a conductance and takes weights >= 0, not -2 nS"):
        net.connect(neurons >> neurons, AllToAll(), Static(weight=-2.0, delay=1.0), receptor="in")


def test_sources_and_relays_are_populations_like_others() -> None:
    net = Network(seed=1, dt=0.1)
    sources = net.population("src", 3, Poisson(rate=5.0))
    trains = net.population("trn", 2, SpikeTrain(times=[0.3, 0.1], ids=[1, 0]))
    relays = net.population("rel", 3, Parrot())
    net.connect(sources >> relays, OneToOne(), Static(weight=1.0, delay=0.1))
    assert isinstance(trains.dynamics, spec.Train)
    assert (trains.dynamics.steps.tolist(), trains.dynamics.ids.tolist()) == ([1, 3], [0, 1])
    for population in (sources, trains, relays):
        net.record(population, "spikes")


def test_any_dt_is_allowed(net: Network) -> None:
    fine = Network(seed=1, dt=0.025)
    cells = fine.population("exc", 1, IafPscExp())
    assert fine.connect(cells >> cells, AllToAll(), Static(weight=1.0, delay=1.0)).delay == spec.Fixed(40.0)
