"""Some of every fault, on clusters with and without TLS: the short version of `python -m benchmarks.torture`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import eventsnn as snn
from benchmarks.torture import EVERY, Bout, differs, faults_of, go_on, keys, network, recorded, undisturbed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes, and their sessions, are Linux's")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "run.zarr"
    undisturbed(store)
    return store


@pytest.mark.parametrize(
    ("tls", "workers", "deck"),
    [(False, 3, ["scheduler", "client", "kill"]), (True, 2, ["full", "stop", "cut"])],
    ids=["tcp", "tls"],
)
def test_whatever_befalls_a_run_it_ends_as_if_nothing_had(
    tmp_path: Path, reference: Path, tls: bool, workers: int, deck: list[str]
) -> None:
    bout = Bout(tls, workers, list(deck), 5, tmp_path / "bout", reference).fight()
    assert not bout.wrong
    assert sorted(fault.kind for fault in bout.done) == sorted(deck)
    assert all(fault.equal for fault in bout.done) and bout.reads > 0


def test_what_a_bout_looks_at_would_tell_it(tmp_path: Path, reference: Path) -> None:
    _, truth = recorded(reference)
    assert not faults_of(reference, truth, keys(reference))
    store = tmp_path / "run.zarr"
    with snn.Simulation(network(), store=store, checkpoint_every=EVERY) as sim:
        sim.run(130.0)
        assert differs(store, truth) is None
        sim["exc"][:1].set("V_m", -60.0)
        sim.run(20.0)
        assert "/exc/" in str(differs(store, truth))
        go_on(sim)
    (store / "left.tmp").write_text("")
    told = " ".join(faults_of(store, truth, keys(reference)))
    assert "not the undisturbed run" in told and "left: left.tmp" in told and "objects: ['left.tmp']" in told
    short = {name: values[:-1] for name, values in truth.items()}
    assert differs(reference, short) is not None
    wrong = {name: values + np.ones((), values.dtype) if name == "/inh/ex/ex" else values for name, values in truth.items()}
    assert "/inh/ex/ex" in str(differs(reference, wrong))
