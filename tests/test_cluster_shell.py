"""`eventsnn resume` on a cluster: what it needs it asks for in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import dask
import pytest
from click.testing import CliRunner, Result
from distributed import LocalCluster, Security

import eventsnn as snn
from eventsnn.cli import main
from tests.test_resume import assert_equal, mixed


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """15 ms, with a checkpoint at 10 ms."""
    made = tmp_path / "run.zarr"
    with snn.Simulation(mixed(), store=made, checkpoint_every=10.0) as sim:
        sim.run(15.0)
    return made


def resume(store: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["resume", str(store), *words])


def test_a_cluster_with_tls_needs_certificates_and_says_which(tmp_path: Path, store: Path) -> None:
    security, file = Security.temporary(), tmp_path / "scheduler.json"
    loopback = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, threads_per_worker=1, security=security, **loopback) as cluster:
        file.write_text(json.dumps(cluster.scheduler.identity(), default=str))
        for where in (("--scheduler-file", str(file)), ("--scheduler", cluster.scheduler_address)):
            refused = resume(store, *where)
            assert refused.exit_code == 1
            assert refused.output.startswith(f"Error: the scheduler at {cluster.scheduler_address} wants certificates")
            assert "distributed.comm.tls.client.key" in refused.output and len(refused.output.splitlines()) == 1
        named = {"ca-file": security.tls_ca_file, "client.cert": security.tls_client_cert, "client.key": security.tls_client_key}
        with dask.config.set({f"distributed.comm.tls.{name}": text for name, text in named.items()}):
            done = resume(store, "--scheduler-file", str(file), "--parts", "1", "--until", "20")
    assert done.exit_code == 0, done.output
    assert f"{store} holds 20 ms" in done.output
    with snn.Simulation(mixed(), store=tmp_path / "alone.zarr") as sim:
        sim.run(20.0)
    assert_equal(store, tmp_path / "alone.zarr")


def test_a_resumed_run_may_have_any_number_of_parts(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    made: list[int] = []
    plain = snn.Simulation.__enter__

    def entered(self: snn.Simulation) -> snn.Simulation:
        made.append(len(self.plan.shares))
        return plain(self)

    monkeypatch.setattr(snn.Simulation, "__enter__", entered)
    assert resume(store, "--parts", "3", "--until", "20").exit_code == 0
    assert made == [3]
    refused = resume(store, "--parts", "0")
    assert refused.exit_code == 2 and "0 is not in the range x>=1" in refused.output
