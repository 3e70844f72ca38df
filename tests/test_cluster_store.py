"""Stores of runs on a cluster: settled before anything is built, and what was there before is kept until a run really begins."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, LocalCluster

import eventsnn as snn
from eventsnn.errors import ParameterError
from eventsnn.models import FixedIndegree, IafPscExp, Static
from eventsnn.storage.errors import StoreExists, StoreUnusable


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as made,
        made.get_client() as client,
    ):
        yield client


def network(seed: int = 1, tau_m: float = 10.0) -> snn.Network:
    net = snn.Network(seed=seed, dt=0.1)
    cells = net.population("cells", 600, IafPscExp(tau_m=tau_m, I_e=400.0), V_m=snn.Uniform(-70.0, -55.0))
    net.record(cells, "spikes")
    net.record(cells[::50], "V_m", every=1.0)
    return net


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def old(client: Client, tmp_path: Path) -> Path:
    """A store of an earlier run."""
    with snn.Simulation(network(), client=client, store=tmp_path / "run.zarr") as sim:
        sim.run(20.0)
    return tmp_path / "run.zarr"


def test_recordings_without_a_store_are_refused_before_anything_is_built(client: Client) -> None:
    with pytest.raises(ParameterError, match=r"on a cluster recordings need a store: give store='...'"):
        snn.Simulation(network(), client=client)


def test_an_existing_store_is_left_untouched(client: Client, old: Path) -> None:
    before = files(old)
    with pytest.raises(StoreExists, match=r"run.zarr exists; give another path, or overwrite=True to replace it"):
        snn.Simulation(network(2), client=client, store=old)
    assert files(old) == before and [path.name for path in old.parent.iterdir()] == ["run.zarr"]


def test_an_existing_store_is_replaced_when_that_is_asked_for(client: Client, old: Path) -> None:
    before = snn.open(old)["cells/V_m"]["V_m"].values
    with snn.Simulation(network(2), client=client, store=old, overwrite=True) as sim:
        sim.run(10.0)
    run = snn.open(old)
    assert run.attrs["committed_ms"] == 10.0 and run.attrs["seed"] == 2
    assert not np.array_equal(run["cells/V_m"]["V_m"].values, before[:10])


@pytest.mark.parametrize("there", [True, False], ids=["to be replaced", "new"])
def test_a_file_system_that_is_not_shared_is_told_before_the_run(
    client: Client, old: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """The worker finds no mark of the client at the path: it is another file system's. Nothing is replaced, nothing stays."""
    store = old if there else old.parent / "new.zarr"
    before = files(old)
    monkeypatch.setattr("eventsnn.scheduler.recording.write_sentinel", lambda target: secrets.token_hex(8))
    told = r"part 0 \(cells\[0:300\]\) on tcp://127.*: store .*\.zarr on .* is not the one that the client sees"
    sim = snn.Simulation(network(2), client=client, store=store, overwrite=True)
    with pytest.raises(StoreUnusable, match=told):
        sim.__enter__()
    assert files(old) == before and [path.name for path in old.parent.iterdir()] == ["run.zarr"]


def test_a_relative_store_is_that_of_the_client_whatever_the_folder_of_the_workers(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with snn.Simulation(network(), client=client, store="deep/run.zarr") as sim:
        monkeypatch.chdir("/")
        sim.run(1.0)
        assert snn.open(sim).attrs["committed_ms"] == 1.0
    assert snn.open(tmp_path / "deep" / "run.zarr").attrs["committed_ms"] == 1.0


@pytest.mark.parametrize("there", [True, False], ids=["to be replaced", "new"])
def test_a_build_that_fails_leaves_the_store_as_it_was(client: Client, old: Path, there: bool) -> None:
    """Parts are built before the store is opened: a fault on a worker costs no earlier recording, and leaves no half store."""
    store = old if there else old.parent / "new.zarr"
    before = files(old)
    net = network(2)
    net.connect(net["cells"][:] >> net["cells"][:], Unheard(10), Static(weight=1.0, delay=1.0), name="odd")
    told = r"part 0 \(cells\[0:300\]\) on tcp://.*: projection 'odd': the CPU backend knows no rule OfAnotherBackend"
    with pytest.raises(TypeError, match=told), snn.Simulation(net, client=client, store=store, overwrite=True):
        pass
    assert files(old) == before and [path.name for path in old.parent.iterdir()] == ["run.zarr"]


class OfAnotherBackend:
    """Something that only a worker's backend finds out not to be a rule."""


class Unheard(FixedIndegree):
    def lower(self, *args: Any) -> Any:
        return OfAnotherBackend()
