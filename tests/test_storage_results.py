"""Where a store may be, what happens to one that is there, and how a run is opened."""

from __future__ import annotations

import json
import os
import re
import uuid
from datetime import datetime, timedelta

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore

from eventsnn.spec import RecordingSpec, Subset
from eventsnn.storage import summary as summary_module
from eventsnn.storage.checkpoints import Checkpoints
from eventsnn.storage.errors import StoreExists, StoreMissing, StoreUnusable
from eventsnn.storage.objects import read_object, write_objects
from eventsnn.storage.recorder import Recorder, Since
from eventsnn.storage.results import open_run
from eventsnn.storage.sentinel import check_sentinel, remove_sentinel, write_sentinel
from eventsnn.storage.states import Columns
from eventsnn.storage.states import _state_chunk as state_chunk
from eventsnn.storage.summary import summary
from eventsnn.storage.targets import require_free, resolve

TABLES = [
    RecordingSpec("exc/spikes", 0, Subset(0, 10), "spikes", 0, "", ""),
    RecordingSpec("exc/V_m", 0, Subset(0, 2), "V_m", 10, "float32", "mV"),
]
NETWORK = {"populations": [{"name": "exc", "n": 10}]}


def write(target, spikes=((3, 1), (4, 0)), **options):
    recorder = Recorder(target, TABLES, {"seed": 1, "network": NETWORK}, dt=0.1, parts=1, **options)
    words = np.array([(tick << 32) | neuron for tick, neuron in spikes], np.uint64)
    recorder.put(0, 20, {0: words, 1: Columns(1, np.array([[0.5, 1.5], [2.5, 3.5]]))})
    recorder.close()
    return recorder


def contents(source):
    """All of a run but the time of day at which it ended."""
    tree = open_run(source).load()
    tree.attrs["run"].pop("updated")
    return tree


def test_every_kind_of_store_holds_the_same(tmp_path):
    expected = contents(write(None))
    url = f"memory://{uuid.uuid4().hex}/run.zarr"
    kept = MemoryStore()
    for target in (
        tmp_path / "a.zarr",
        str(tmp_path / "b.zarr"),
        f"file://{tmp_path}/c.zarr",
        url,
        LocalStore(tmp_path / "d"),
        kept,
    ):
        write(target)
        assert contents(target).identical(expected), target
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr", "c.zarr", "d"]


def test_spikes_have_times_and_neurons_as_coordinates_and_become_a_frame(tmp_path):
    write(tmp_path / "run.zarr")
    run = open_run(tmp_path / "run.zarr")
    assert run.attrs["committed_ms"] == 2.0
    assert run.attrs["seed"] == 1
    assert run.attrs["network"] == NETWORK
    assert set(run.attrs["versions"]) == {"eventsnn", "numpy", "xarray", "zarr"}
    events = run["exc/spikes"].to_dataset()
    assert set(events.coords) == {"time", "neuron"}
    assert events["time"].attrs["units"] == "ms"
    frame = events.to_dataframe()
    assert frame["time"].tolist() == [0.3, 0.4]
    assert frame["neuron"].tolist() == [1, 0]
    assert events.isel(event=1)["time"].item() == 0.4
    assert events["time"][np.array([1, 0, 1])].values.tolist() == [0.4, 0.3, 0.4]
    assert events["time"][::-1].values.tolist() == [0.4, 0.3]
    v = run["exc/V_m"]["V_m"]
    assert v.sel(time=2.0).values.tolist() == [2.5, 3.5]
    assert v.to_dataframe()["V_m"].tolist() == [0.5, 1.5, 2.5, 3.5]


def test_times_are_made_where_they_are_looked_at(tmp_path, monkeypatch):
    write(tmp_path / "run.zarr")
    asked = []
    get = LocalStore.get

    async def watched(self, key, *args, **kwargs):
        asked.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "get", watched)
    run = open_run(tmp_path / "run.zarr")
    assert not [key for key in asked if "spikes" in key and "/c/" in key]
    assert run["exc/spikes"]["time"].values.tolist() == [0.3, 0.4]


@pytest.mark.parametrize("make", [lambda path: path, lambda path: f"memory://{path.parent.name}/run.zarr"])
def test_an_existing_store_is_replaced_only_on_request(tmp_path, make):
    target = make(tmp_path / "run.zarr")
    write(target)
    with pytest.raises(StoreExists, match=r"run\.zarr exists; give another path, or overwrite=True"):
        write(target, spikes=[(9, 9)])
    with pytest.raises(StoreExists):
        require_free(resolve(target), overwrite=False)
    require_free(resolve(target), overwrite=True)
    with pytest.raises(ValueError, match="share a path"):
        Recorder(target, TABLES + TABLES, {}, dt=0.1, parts=1, overwrite=True)
    assert open_run(target)["exc/spikes"]["tick"].values.tolist() == [3, 4]
    write(target, spikes=[(9, 9)], overwrite=True)
    assert open_run(target)["exc/spikes"]["tick"].values.tolist() == [9]


def test_overwriting_leaves_nothing_of_the_old_store(tmp_path):
    zarr.create_group(tmp_path / "old.zarr").create_array("x", shape=(3,), dtype="i4")[:] = 1
    write(tmp_path / "old.zarr", overwrite=True)
    assert sorted(os.listdir(tmp_path / "old.zarr")) == ["exc", "zarr.json"]


def test_only_a_zarr_store_is_ever_removed(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("one")
    with pytest.raises(StoreUnusable, match=r"holds other things than a Zarr store \(chapter\.txt\); it is left alone"):
        write(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "one"
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept.txt").write_text("kept")
    (tmp_path / "empty" / "link").symlink_to(tmp_path / "outside")
    write(tmp_path / "empty", overwrite=True)
    assert (tmp_path / "outside" / "kept.txt").read_text() == "kept"


def test_a_target_that_cannot_be_written_is_named_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match=r"file is a file; a store is a folder"):
        write(tmp_path / "file")
    with pytest.raises(StoreUnusable, match=r"file/run\.zarr cannot be written: .*Not a directory"):
        write(tmp_path / "file" / "run.zarr")
    with pytest.raises(StoreUnusable, match="opened read-only"):
        write(MemoryStore(read_only=True))
    with pytest.raises(StoreUnusable, match=r"store=3 is a int; give a path"):
        write(3)
    with pytest.raises(StoreUnusable, match="names nothing"):
        write("")
    with pytest.raises(StoreUnusable, match=r"'nonsense://x' cannot be reached: Protocol not known"):
        write("nonsense://x")


def test_a_source_without_a_run_is_named(tmp_path):
    with pytest.raises(StoreMissing, match=r"there is no store at .*none\.zarr"):
        open_run(tmp_path / "none.zarr")
    assert not (tmp_path / "none.zarr").exists()
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(StoreUnusable, match="no run was recorded in it"):
        open_run(tmp_path / "other.zarr")
    with pytest.raises(StoreUnusable, match="cannot open 3"):
        open_run(3)

    class Simulation:
        _recorded_store = None

    with pytest.raises(StoreMissing, match="Simulation has recorded nothing"):
        open_run(Simulation())


def test_a_sentinel_tells_whether_a_store_is_shared(tmp_path):
    token = write_sentinel(tmp_path / "run.zarr")
    check_sentinel(tmp_path / "run.zarr", token)
    with pytest.raises(StoreUnusable, match=r"other\.zarr on .* is not the one that the client sees"):
        check_sentinel(tmp_path / "other.zarr", token)
    assert not (tmp_path / "other.zarr").exists()
    write(tmp_path / "run.zarr")  # a folder with nothing but a sentinel is free
    remove_sentinel(tmp_path / "run.zarr", token)
    assert sorted(os.listdir(tmp_path / "run.zarr")) == ["exc", "zarr.json"]
    token = write_sentinel(tmp_path / "new.zarr")
    remove_sentinel(tmp_path / "new.zarr", token)
    assert not (tmp_path / "new.zarr").exists()
    url = f"memory://{uuid.uuid4().hex}/run.zarr"
    check_sentinel(url, write_sentinel(url))
    with pytest.raises(StoreUnusable, match="is not the one"):
        check_sentinel(url, "another")


def test_a_summary_says_what_a_store_holds(tmp_path):
    write(tmp_path / "run.zarr")
    text = summary(tmp_path / "run.zarr")
    size = sum(file.stat().st_size for file in (tmp_path / "run.zarr").rglob("*") if file.is_file())
    head, state, versions = text.splitlines()[:3]
    assert head == f"{tmp_path}/run.zarr: 2 ms committed, {size / 1000:.3g} KB"
    assert state == "not active: ended"
    assert versions.startswith("dt 0.1 ms, seed 1; eventsnn ")
    assert "populations: exc (10)\n" in text
    lines = [line.split() for line in text.splitlines()[-3:]]
    assert lines[0] == ["recording", "neurons", "kind", "size"]
    assert lines[1] == ["exc/V_m", "2", "V_m", "(mV),", "every", "1", "ms", "2", "x", "2", "float32"]
    assert lines[2] == ["exc/spikes", "10", "spikes", "2", "events,", "100.00", "Hz"]
    assert "2 events" in summary(write(None))


def test_a_summary_says_whether_a_run_goes_on_and_what_it_could_go_on_from(tmp_path, monkeypatch):
    store = tmp_path / "run.zarr"
    recorder = Recorder(store, TABLES, {"seed": 1}, dt=0.1, parts=1)
    recorder.aim(10_000)
    recorder.put(0, 4200, {1: Columns(1, np.zeros((420, 2)))})
    recorder.commit(4200, timeout=30.0)
    assert re.fullmatch(r"active: last commit \d+ s ago, on its way to 1,000 ms", summary(store).splitlines()[1])
    kept = Checkpoints(store)
    entries = [kept.write(name, 0, {"x": np.zeros(1000)}) for name in ("000001_step_2100", "000002_step_4200")]
    for name, entry in zip(("000001_step_2100", "000002_step_4200"), entries, strict=True):
        kept.complete(name, {"step": int(name[-4:]), "files": [entry]})
    recorder.close(finalise=False)
    size = f"{entries[0]['bytes'] / 1000:.3g} KB"
    for age, text in ((61, "61 s"), (130, "2 min"), (3 * 3600 + 5, "3 h"), (80 * 3600, "3 days")):
        monkeypatch.setattr(summary_module, "datetime", later(age))
        lines = summary(store).splitlines()
        assert lines[1] == f"cut off at 420 ms of 1,000 ms, {text} ago; resume with snn.resume or `eventsnn resume {store}`"
        assert lines[2] == f"checkpoints: 000001_step_2100 (210 ms, {size}), 000002_step_4200 (420 ms, {size})"
    Recorder(store, TABLES, {}, dt=0.1, parts=1, since=Since(0, {})).close()
    assert summary(store).splitlines()[1] == "not active: ended"


def later(seconds):
    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.now(zone) + timedelta(seconds=seconds)

    return Clock


def test_open_rows_of_wide_recordings_stay_small():
    for neurons in (1, 100, 250, 5_000, 77_169, 1_000_000):
        rows, columns = state_chunk(neurons)
        assert 16 <= rows <= 1000
        assert rows == 16 or rows * neurons <= 1 << 22
        assert rows * columns <= 250_000
    assert state_chunk(100) == (1000, 100)
    assert state_chunk(2000) == (1000, 250)


def test_metadata_of_another_format_are_refused() -> None:
    """Zarr v2 metadata may name any codec that is installed, one that unpickles among them."""
    store = MemoryStore()
    Recorder(store, [], {}, dt=0.1, parts=1).close()
    root = json.loads(read_object(store, "zarr.json") or b"")
    root["consolidated_metadata"]["metadata"]["a"] = {"zarr_format": 2, "node_type": "array", "filters": [{"id": "pickle"}]}
    write_objects(store, {"zarr.json": json.dumps(root).encode()})
    with pytest.raises(StoreUnusable, match="not of Zarr v3"):
        open_run(store)
