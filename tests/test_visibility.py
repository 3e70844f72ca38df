"""What a run shows while it runs: heartbeats, the dashboard's page, Prometheus, and the report."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from distributed import Client, LocalCluster

import eventsnn as snn
import eventsnn.part
import eventsnn.scheduler.dashboard as dashboard
from eventsnn.models import FixedIndegree, IafPscExp, Parrot, PoissonInput, Static
from eventsnn.scheduler.metrics import Collector, publish
from eventsnn.scheduler.report import slowest

TOLD = {"step": 500, "until": 1000, "speed": 2000.0, "spikes": 70, "wall": 0.5, "compute": 0.3, "exchange": 0.15, "record": 0.05}


def network() -> snn.Network:
    net = snn.Network(seed=1, dt=0.1)
    exc = net.population("exc", 200, IafPscExp(), V_m=snn.Uniform(-70.0, -55.0))
    inh = net.population("inh", 50, IafPscExp(), V_m=snn.Uniform(-70.0, -55.0))
    net.population("quiet", 10, Parrot())
    for post in (exc, inh):
        net.stimulate(post, PoissonInput(rate=9000.0, weight=30.0))
        net.connect(exc >> post, FixedIndegree(10), Static(weight=20.0, delay=1.5))
        net.connect(inh >> post, FixedIndegree(3), Static(weight=-100.0, delay=0.8))
    return net


def await_(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `look` finds, once it finds something."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "nothing was found in time"
        time.sleep(0.05)
    return found


def environment(root: Path) -> dict[str, str]:
    """The code under test is that of this checkout, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))}


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        cluster.get_client() as client,
    ):
        yield client


def parts(client: Client) -> list[dict[str, Any]]:
    """What the last heartbeats said, by part."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return sorted((told for w in workers for told in w["metrics"].get("eventsnn", ())), key=lambda told: told["part"])


def parts_at(client: Client, *ms: float) -> list[dict[str, Any]] | None:
    """The same, once there are as many parts as times and these are what they have reached."""
    told = parts(client)
    return told if sorted(part["time_ms"] for part in told) == sorted(ms) else None


def on_page(client: Client) -> tuple[dict[str, list[Any]], str]:
    """The table and the text that a visitor of the page is given."""
    from bokeh.client import pull_session
    from bokeh.models import ColumnDataSource
    from bokeh.models.widgets import Div

    with pull_session(url=client.dashboard_link.replace("/status", "/eventsnn")) as session:
        assert session.document.title == "Dask: eventsnn"
        source = session.document.select_one({"type": ColumnDataSource})
        return dict(source.data), session.document.select_one({"type": Div}).text


def exposed(client: Client) -> list[dict[tuple[str, ...], float]]:
    """Of each worker, what Prometheus reads there of us: by name, part, and kind of work."""
    parser = pytest.importorskip("prometheus_client.parser")
    found = []
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        host = address.split("://")[1].split(":")[0]
        status, text = get(f"http://{host}:{worker['services']['dashboard']}/metrics")
        assert status == 200
        samples = [s for family in parser.text_string_to_metric_families(text) for s in family.samples]
        ours = [s for s in samples if s.name.startswith("eventsnn")]
        found.append({(s.name, s.labels["part"], s.labels.get("kind", "")): s.value for s in ours})
    return found


# ---- on a cluster


def test_a_run_is_seen_while_it_runs_and_afterwards_no_more(client: Client) -> None:
    with snn.Simulation(network(), client=client) as sim, ThreadPoolExecutor(1) as pool:
        seen = Event()

        def run() -> None:
            while not seen.is_set():
                sim.run(100.0)

        running = pool.submit(run)
        try:
            first = await_(lambda: told if len(told := parts(client)) == 2 else None)
            await_(lambda: running.done() or parts(client)[0]["time_ms"] > first[0]["time_ms"])
            assert not running.done()
        finally:
            seen.set()
            running.result(120)

        last = await_(lambda: parts_at(client, sim.time, sim.time))
        assert [told["part"] for told in last] == [0, 1]
        assert len({told["run"] for told in last}) == 1
        assert {told["goal_ms"] for told in last} == {sim.time}
        assert sum(told["spikes"] for told in last) == sum(int(sim[name].counts().sum()) for name in ("exc", "inh", "quiet"))
        facts = sim.report()["parts"]
        for told, fact in zip(last, facts, strict=True):
            assert told["spikes"] == fact["spikes"]
            for kind in ("wall", "compute", "exchange", "record"):
                assert told["seconds"][kind] == pytest.approx(fact[f"seconds_{kind}"], rel=1e-6, abs=1e-6)
    await_(lambda: not any("eventsnn" in w["metrics"] for w in client.scheduler_info(n_workers=-1)["workers"].values()))


@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")  # bokeh's client, from Python 3.12 on
def test_the_page_shows_what_heartbeats_tell(client: Client) -> None:
    pytest.importorskip("bokeh")
    url = client.dashboard_link.replace("/status", "/eventsnn")
    assert get(url)[0] == 200
    assert on_page(client) == ({column: [] for column in (*dashboard.COLUMNS, "name")}, "Nothing runs.")
    with snn.Simulation(network(), client=client) as sim:
        sim.run(200.0)
        told = await_(lambda: parts_at(client, 200.0, 200.0))
        table, text = on_page(client)
        for column in ("run", "part", "time_ms", "goal_ms", "real_time_factor", "spikes"):
            assert table[column] == [part[column] for part in told]
        for kind in ("compute", "exchange", "record"):
            np.testing.assert_allclose(table[kind], [part["seconds"][kind] / part["seconds"]["wall"] for part in told])
        np.testing.assert_allclose(np.sum([table[kind] for kind in ("compute", "exchange", "record")], axis=0), 1.0)
        np.testing.assert_allclose(table["spikes_per_s"], [part["spikes"] / part["seconds"]["wall"] for part in told])
        assert sorted(table["worker"]) == sorted(client.scheduler_info(n_workers=-1)["workers"])
        assert text.startswith(f"run {told[0]['run']}: 200.0 of 200.0 ms, real-time factor ")
    await_(lambda: on_page(client)[1] == "Nothing runs.")


def test_prometheus_reads_what_heartbeats_tell(client: Client) -> None:
    pytest.importorskip("prometheus_client")
    assert exposed(client) == [{}, {}]
    with snn.Simulation(network(), client=client) as sim:
        sim.run(200.0)
        told = await_(lambda: parts_at(client, 200.0, 200.0))
        found = {key: value for worker in exposed(client) for key, value in worker.items()}
        for part in told:
            rank = str(part["part"])
            assert found["eventsnn_time_ms", rank, ""] == 200.0
            assert found["eventsnn_real_time_factor", rank, ""] == pytest.approx(part["real_time_factor"])
            assert found["eventsnn_spikes_total", rank, ""] == part["spikes"]
            for kind in ("compute", "exchange", "record"):
                assert found["eventsnn_seconds_total", rank, kind] == pytest.approx(part["seconds"][kind])
        assert len(found) == 2 * 6
    await_(lambda: exposed(client) == [{}, {}])


def test_two_runs_of_a_worker_are_told_apart_and_end_apart(client: Client) -> None:
    with snn.Simulation(network(), client=client) as longer:
        longer.run(300.0)
        with snn.Simulation(network(), client=client) as shorter:
            shorter.run(100.0)
            both = await_(lambda: parts_at(client, 100.0, 100.0, 300.0, 300.0))
            assert len({(told["run"], told["time_ms"]) for told in both}) == 2
        await_(lambda: parts_at(client, 300.0, 300.0))
    await_(lambda: not parts(client))


# ---- without one


class Loop:
    """Of a worker; runs what it is given at once."""

    def add_callback(self, callback: Callable[..., None], *args: Any) -> None:
        callback(*args)


def worker(**metrics: Any) -> Any:
    return SimpleNamespace(loop=Loop(), metrics=dict(metrics))


def test_steps_are_told_in_milliseconds_and_a_factor() -> None:
    """2,000 steps of 0.1 ms in a second are 200 ms in 1,000: a factor of 5."""
    mine = worker()
    shown = publish(mine, "r", 3, SimpleNamespace(told={}), 0.1)  # type: ignore[arg-type]
    assert mine.metrics["eventsnn"](mine) == []
    shown._engine.told = TOLD  # type: ignore[assignment]
    seconds = {"wall": 0.5, "compute": 0.3, "exchange": 0.15, "record": 0.05}
    (told,) = mine.metrics["eventsnn"](mine)
    assert told.pop("real_time_factor") == pytest.approx(5.0)
    assert told == {"run": "r", "part": 3, "time_ms": 50.0, "goal_ms": 100.0, "spikes": 70, "seconds": seconds}
    shown.withdraw()


def test_a_worker_tells_of_its_own_parts_and_keeps_the_metrics_of_others() -> None:
    here, there = worker(other=len), worker()
    engine: Any = SimpleNamespace(told=TOLD)
    shown = [publish(w, "r", rank, engine, 0.1) for rank, w in enumerate([here, here, there])]
    before = here.metrics
    assert [told["part"] for told in here.metrics["eventsnn"](here)] == [0, 1]
    assert [told["part"] for told in there.metrics["eventsnn"](there)] == [2]
    shown[0].withdraw()
    assert [told["part"] for told in here.metrics["eventsnn"](here)] == [1]
    shown[1].withdraw()
    shown[1].withdraw()
    assert here.metrics == {"other": len}
    assert set(before) == {"other", "eventsnn"}  # a heartbeat may be going through them
    shown[2].withdraw()
    assert there.metrics == {}


def test_a_part_that_nobody_holds_is_told_of_no_more() -> None:
    mine = worker()
    shown = publish(mine, "r", 0, SimpleNamespace(told=TOLD), 0.1)  # type: ignore[arg-type]
    assert len(mine.metrics["eventsnn"](mine)) == 1
    del shown
    assert mine.metrics["eventsnn"](mine) == []


def test_prometheus_is_shown_nothing_where_nothing_runs() -> None:
    pytest.importorskip("prometheus_client")
    assert list(Collector().collect()) == []
    shown = publish(worker(), "r", 0, SimpleNamespace(told=TOLD), 0.1)  # type: ignore[arg-type]
    families = {family.name: [sample.value for sample in family.samples] for family in Collector().collect()}
    assert families["eventsnn_seconds"] == [0.3, 0.15, 0.05]
    assert families["eventsnn_spikes"] == [70]
    shown.withdraw()
    assert list(Collector().collect()) == []


def told(part: int, wall: float, spikes: int, ms: float, factor: float = 1.0) -> dict[str, Any]:
    seconds = {"wall": wall, "compute": 0.5 * wall, "exchange": 0.25 * wall, "record": 0.25 * wall}
    fixed = {"run": "r", "goal_ms": 1e3, "worker": f"tcp://{part}"}
    return {**fixed, "part": part, "time_ms": ms, "real_time_factor": factor, "spikes": spikes, "seconds": seconds}


def test_spikes_per_second_are_of_the_time_between_two_tellings() -> None:
    speeds = dashboard.Speeds()
    assert dashboard.table([told(0, 2.0, 100, 1.0)], speeds)["spikes_per_s"] == [50.0]
    assert dashboard.table([told(0, 4.0, 500, 2.0)], speeds)["spikes_per_s"] == [200.0]
    assert dashboard.table([told(0, 4.0, 500, 2.0)], speeds)["spikes_per_s"] == [200.0]
    assert dashboard.table([told(1, 4.0, 500, 2.0)], speeds)["spikes_per_s"] == [125.0]


def test_a_run_is_summed_up_by_its_slowest_part() -> None:
    table = dashboard.table([told(0, 2.0, 100, 10.0, 3.0), told(1, 2.0, 200, 12.5, 2.0)], dashboard.Speeds())
    assert dashboard.summary(table) == "run r: 10.0 of 1,000.0 ms, real-time factor 3, 150 spikes per second, 2 parts"


def test_a_page_that_is_open_follows_the_heartbeats() -> None:
    pytest.importorskip("bokeh")
    from bokeh.core.validation import check_integrity

    heard = SimpleNamespace(metrics={})
    scheduler: Any = SimpleNamespace(workers={"tcp://0": heard, "tcp://1": SimpleNamespace(metrics={})})
    page = dashboard.Page(scheduler)
    assert page.text.text == "Nothing runs."
    heard.metrics = {"eventsnn": [told(0, 2.0, 100, 10.0), told(1, 2.0, 200, 10.0)]}
    page.update()
    assert page.source.data["time_ms"] == [10.0, 10.0]
    assert page.names.factors == ["r part 1", "r part 0"]
    issues = check_integrity(page.root.references())
    assert not issues.error
    assert not issues.warning
    heard.metrics = {}
    page.update()
    assert page.source.data["time_ms"] == []
    assert page.text.text == "Nothing runs."


def test_a_scheduler_that_preloads_the_page_has_it(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    command += ["--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file), "--preload", "eventsnn.scheduler.dashboard"]
    with subprocess.Popen(
        command, env=environment(root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as scheduler:
        try:
            await_(file.exists)
            with Client(scheduler_file=str(file), timeout=20) as client:
                assert get(client.dashboard_link.replace("/status", "/eventsnn"))[0] == 200
        finally:
            scheduler.terminate()
            scheduler.wait(20)


def test_without_bokeh_there_is_one_sentence_and_no_page(root: Path, tmp_path: Path) -> None:
    script = "import sys; sys.modules['bokeh'] = None; import eventsnn.scheduler.dashboard"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(root), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("the dashboard has no page /eventsnn, because it needs bokeh")


# ---- the report


@pytest.mark.parametrize("parts", [1, 3])
def test_rates_are_counts_over_time(parts: int) -> None:
    with snn.Simulation(network(), parts=parts) as sim:
        assert all(math.isnan(of["rate"]) for of in sim.report()["populations"].values())
        for piece in (20.0, 30.0):
            sim.run(piece)
        report = sim.report()
        for name, size in (("exc", 200), ("inh", 50), ("quiet", 10)):
            of, counts = report["populations"][name], sim[name].counts()
            assert of == {"neurons": size, "spikes": int(counts.sum()), "rate": pytest.approx(counts.mean() / 0.05)}
        assert report["populations"]["exc"]["spikes"] > 0
        assert report["spikes"] == sum(of["spikes"] for of in report["populations"].values())


def test_rates_of_a_resumed_run_are_of_all_of_its_time(tmp_path: Path) -> None:
    with snn.Simulation(network(), store=tmp_path / "run.zarr") as sim:
        sim.run(30.0)
        sim.checkpoint()
    with snn.Simulation(network()) as whole:
        whole.run(50.0)
        expected = whole.report()
    with snn.resume(tmp_path / "run.zarr") as sim:
        assert sim.report()["time"] == 30.0
        sim.run(20.0)
        report = sim.report()
    assert report["populations"] == expected["populations"]
    assert report["real_time_factor"] == pytest.approx(report["seconds"]["wall"] / 0.02)


def test_the_time_of_each_part_is_split_without_a_rest() -> None:
    with snn.Simulation(network(), parts=3) as sim:
        sim.run(100.0)
        report = sim.report()
    for part in report["parts"]:
        assert sum(part[f"seconds_{kind}"] for kind in ("compute", "exchange", "record")) == pytest.approx(part["seconds_wall"])
        assert part["bytes"] > 0
    waits = [part["seconds_exchange"] for part in report["parts"]]
    assert waits[report["slowest"]] == min(waits)


def test_the_slowest_part_is_the_one_that_waits_least() -> None:
    assert slowest([{"seconds_exchange": wait} for wait in (0.5, 0.1, 0.7)]) == 1
    assert slowest([{"seconds_exchange": 0.0}, {"seconds_exchange": 0.0}]) is None
    assert slowest([{"seconds_exchange": 0.3}]) is None


@pytest.mark.parametrize("tls", [False, True])
def test_the_slowest_link_is_the_one_that_is_waited_for(monkeypatch: pytest.MonkeyPatch, tls: bool) -> None:
    """Part 2 dawdles between its epochs; whoever waits longest waits for it. With `tls` the links take Python's way."""
    plain, advance = eventsnn.part.Part.connect, eventsnn.part.Part._advance

    def connect(self: Any, links: Any, *args: Any) -> None:
        if tls:
            links.fds = None
        plain(self, links, *args)

    def dawdle(self: Any, until: int) -> None:
        if self.rank == 2:
            time.sleep(0.003)
        advance(self, until)

    monkeypatch.setattr(eventsnn.part.Part, "connect", connect)
    monkeypatch.setattr(eventsnn.part.Part, "_advance", dawdle)
    monkeypatch.setattr(eventsnn.part.Part, "_whole", lambda self, size: self._epoch)
    with snn.Simulation(network(), parts=3, threads=1) as sim:
        sim.run(100.0)
        report = sim.report()
    link = report["slowest_link"]
    assert link["peer"] == 2 and link["part"] != 2
    assert link["seconds"] > 0.5 * report["parts"][link["part"]]["seconds_exchange"] > 0.02
    for part in report["parts"]:
        assert sum(part["waits"].values()) == pytest.approx(part["seconds_exchange"], rel=0.1)
    assert f"part {link['part']} waited longest for part 2" in repr(report)


def test_a_report_prints_as_tables_and_is_a_dictionary() -> None:
    with snn.Simulation(network(), parts=2) as sim:
        sim.run(50.0)
        report = sim.report()
    assert isinstance(report, dict)
    lines = repr(report).splitlines()
    of = report["populations"]["exc"]
    assert lines[0].startswith("at 50 ms, simulated in ")
    assert lines[0].endswith(f"{report['spikes']:,} spikes")
    assert ["exc", "200", f"{of['spikes']:,}", f"{of['rate']:.2f}", "Hz"] in [line.split() for line in lines]
    assert ["quiet", "10", "0", "0.00", "Hz"] in [line.split() for line in lines]
    assert [line.split()[:3] for line in lines if " here " in line] == [["0", "here", "1"], ["1", "here", "1"]]
    assert lines[-1].endswith(f"part {report['slowest']} is the slowest")


def test_a_report_of_many_populations_prints_some_of_them() -> None:
    net = snn.Network(seed=1, dt=0.1)
    for k in range(70):
        net.population(f"p{k}", 2, IafPscExp())
    with snn.Simulation(net) as sim:
        sim.run(1.0)
        report = sim.report()
    assert len(report["populations"]) == 70
    text = repr(report)
    assert "p39 " in text
    assert "p40 " not in text
    assert "and 30 more populations" in text
