"""Wrong scripts raise at the wrong line, before anything runs, and say who, what was given, what is allowed and what to do."""

from __future__ import annotations

import re

import pytest
from wrong import Bench, Script
from wrong.connections import CONNECTIONS
from wrong.descriptions import NETWORK, POPULATIONS, SELECTIONS, VALUES
from wrong.inputs import RECORDINGS, STIMULI

from eventsnn.errors import EventsnnError, UnitError
from eventsnn.models import Static
from eventsnn.network import Network

SECTIONS = {
    "network": NETWORK,
    "population": POPULATIONS,
    "selection": SELECTIONS,
    "connection": CONNECTIONS,
    "stimulus": STIMULI,
    "recording": RECORDINGS,
    "value": VALUES,
}
SCRIPTS = [pytest.param(*rest, id=f"{section}: {name}") for section, wrong in SECTIONS.items() for name, *rest in wrong]


@pytest.mark.parametrize(("script", "error", "message"), SCRIPTS)
def test_a_wrong_script_says_what_to_do(script: Script, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        script(Bench())
    assert isinstance(caught.value, ValueError | TypeError)


def test_wrong_units_are_told_apart() -> None:
    pint = pytest.importorskip("pint")
    unit = pint.UnitRegistry()
    bench = Bench()
    with pytest.raises(UnitError, match="tau_m must be in ms, not in millivolt"):
        bench.population(tau_m=10.0 * unit.mV)
    with pytest.raises(UnitError, match="weight must be in pA, not in millivolt"):
        bench.connect(synapse=Static(weight=1.0 * unit.mV, delay=1.0))
    with pytest.raises(UnitError, match="delay must be in ms, not in picoampere"):
        bench.connect(synapse=Static(weight=1.0, delay=1.0 * unit.pA))


@pytest.mark.parametrize(("script", "error", "message"), SCRIPTS)
def test_a_refused_line_leaves_the_network_as_it_was(script: Script, error: type[Exception], message: str) -> None:
    bench, clean = Bench(), Bench()
    with pytest.raises(error):
        script(bench)
    added = {*bench.net.populations} - {*clean.net.populations}
    assert len(added) + len(bench.net.recordings) + len(bench.net.stimulations) <= 1
    bench.net.record(bench.exc, "spikes")
    assert bench.net["exc"] is bench.exc


def test_every_error_of_the_house_is_one_family() -> None:
    with pytest.raises(EventsnnError):
        Network(seed=-1, dt=0.1)


def test_a_refractory_time_off_the_grid_is_said() -> None:
    with pytest.warns(UserWarning, match=r"t_ref = 2.05 ms is not a multiple of dt = 0.1 ms; it is rounded to whole steps"):
        Bench().population(t_ref=2.05)
