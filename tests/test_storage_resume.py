"""A store that goes back to an earlier moment and grows on from it is the store of a run that nothing disturbed."""

from __future__ import annotations

import errno
import json
import os
import threading
import uuid
from dataclasses import replace

import numpy as np
import pytest
import zarr
from test_storage_recorder import DT, NEURONS, TABLES, event_words, part_chunks, spikes, states
from zarr.storage import LocalStore, MemoryStore

from eventsnn.spec import Columns, Subset
from eventsnn.storage import ownership as ownership_module
from eventsnn.storage.checkpoints import Checkpoints
from eventsnn.storage.errors import StoreError, StoreMissing, StoreUnusable
from eventsnn.storage.objects import delete_objects, list_objects, read_object, write_objects
from eventsnn.storage.ownership import Ownership
from eventsnn.storage.recorder import Recorder, Since
from eventsnn.storage.results import open_run
from eventsnn.storage.targets import OWNER, ROOT, resolve

WORDS = event_words(np.random.default_rng(5), 0, 24_000, 110_000)  # chunks end at steps 7,150, 14,300, 21,400 or so
OWNERS = np.zeros(NEURONS, np.int64)
END = 20_000


def drive(recorder, first, last, piece=500):
    for step in range(first, last, piece):
        stop = min(last, step + piece)
        recorder.put(0, stop, part_chunks(WORDS, OWNERS, 0, step, stop))


def start(target, **options):
    return Recorder(target, TABLES, {"seed": 1}, dt=DT, parts=1, **options)


def objects(target):
    """All objects of a store; of its root, all but the time of day."""
    store = resolve(target).store
    found = {key: read_object(store, key) for key in list_objects(store)}
    root = json.loads(found.pop(ROOT))
    root["attributes"]["run"].pop("updated")
    return {**found, ROOT: root}


def stopped_at(step):
    """The store of a run that got there and no further."""
    store = MemoryStore()
    recorder = start(store)
    drive(recorder, 0, step)
    recorder.commit(step, timeout=30.0)
    recorder.close(finalise=False)
    return store


def equal(one, other):
    """Whether two trees hold the same arrays."""
    return all(one[path].to_dataset().equals(other[path].to_dataset()) for path in ("exc/spikes", "exc/spikes/index", "exc/V_m"))


@pytest.fixture(scope="module")
def undisturbed():
    store = MemoryStore()
    recorder = start(store)
    drive(recorder, 0, END)
    recorder.close()
    return objects(store)


TARGETS = {
    "folder": lambda path: path / "run.zarr",
    "memory": lambda path: MemoryStore(),
    "url": lambda path: f"memory://{uuid.uuid4().hex}/run.zarr",
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize(
    ("back", "reached", "ended"),
    [
        (0, 9_000, False),
        (7_300, 9_000, False),
        (10_000, 19_900, True),
        (12_345, 24_000, True),
        (19_999, 20_500, False),
        (20_000, 20_000, True),
    ],
)
def test_a_store_that_went_back_and_on_again_is_that_of_an_undisturbed_run(tmp_path, kind, back, reached, ended, undisturbed):
    target = TARGETS[kind](tmp_path)
    first = start(target)
    drive(first, 0, back)
    first.commit(back, timeout=30.0)
    rows = first.rows() if back else {}
    drive(first, back, reached)
    first.commit(reached, timeout=30.0)
    first.close(finalise=ended)
    earlier, truth = open_run(target), open_run(target).load()

    second = start(target, since=Since(back, rows))
    assert open_run(target).attrs["committed_step"] == second.committed == back
    assert objects(target)[ROOT] == objects(stopped_at(back))[ROOT]
    shown = open_run(target).load()
    assert equal(shown, open_run(stopped_at(back)).load())
    assert shown["exc/spikes"].sizes["event"] == np.sum(WORDS >> np.uint64(32) <= back)
    assert shown["exc/V_m"].sizes["time"] == back // 10
    if kind == "folder":
        (tmp_path / "run.zarr" / "exc" / f"zarr.{uuid.uuid4().hex}.partial").write_text("")  # swept the next time
        second.close(finalise=False)
        second = start(target, since=Since(back, rows))
    middle = min(back + 600, END)
    drive(second, back, middle, piece=300)
    second.commit(middle, timeout=30.0)
    assert equal(earlier.load(), truth), "who has opened the store before it went back reads what was there"
    drive(second, middle, END, piece=700)
    second.close()
    assert objects(target) == undisturbed


@pytest.mark.parametrize("back", [0, 7_300, 10_000, 19_999])
def test_a_run_that_ends_before_it_has_come_as_far_again_leaves_nothing_of_the_time_after(tmp_path, back):
    target, end = tmp_path / "run.zarr", back + 500
    first = start(target)
    drive(first, 0, back)
    first.commit(back, timeout=30.0)
    rows = first.rows() if back else {}
    drive(first, back, 24_000)
    first.close()
    second = start(target, since=Since(back, rows))
    drive(second, back, end)
    second.close()
    alone = MemoryStore()
    recorder = start(alone)
    drive(recorder, 0, end)
    recorder.close()
    assert objects(target) == objects(alone)


def test_killed_within_the_way_back_it_can_be_gone_again(tmp_path, undisturbed):
    """Every write of resuming fails once; the next attempt finds a store that it can take up."""
    target = tmp_path / "run.zarr"
    recorder = start(target)
    drive(recorder, 0, 7_300)
    recorder.commit(7_300, timeout=30.0)
    since = Since(7_300, recorder.rows())
    drive(recorder, 7_300, 18_000)
    recorder.close()

    class Failing(LocalStore):
        left = 0

        async def set(self, key, value):
            self.count()
            await super().set(key, value)

        async def delete(self, key):
            self.count()
            await super().delete(key)

        def count(self):
            if self.left == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self.left -= 1

    attempts = 0
    while True:
        store = Failing(target)
        store.left = attempts
        try:
            recorder = start(store, since=since)
            break
        except StoreUnusable as error:
            message = str(error)
        assert "Input/output error" in message
        shown = open_run(target).load()
        assert shown.attrs["committed_step"] in (7_300, 18_000)
        attempts += 1
    store.left = 10**9
    assert attempts > 5
    drive(recorder, 7_300, END)
    recorder.close()
    assert objects(target) == undisturbed


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (TABLES[:2], r"holds net, which this run does not record; resume with the network that it had"),
        ([*TABLES, spikes("inh/spikes")], r"holds no inh, which this run records"),
        (
            [spikes(), states(dtype="float64"), TABLES[2]],
            r"exc/V_m/V_m has dtype 'float32' in store .* and 'float64' in this run",
        ),
        ([spikes(), states(subset=Subset(0, 10)), TABLES[2]], r"exc/V_m has neurons 300 in store .* and 10 in this run"),
        ([spikes(), states(every=5), TABLES[2]], r"exc/V_m has every_ms 1\.0 in store .* and 0\.5 in this run"),
        ([replace(spikes(), keep=100), *TABLES[1:]], r"exc/spikes has keep_ms None in store .* and 10\.0 in this run"),
        (
            [*TABLES[:2], states("net/inh/V_m", 3, Subset(0, 0, np.array([1, 4, 5, 6, 90, 298])), "float64")],
            r"net/inh/V_m/neuron/c/0 of store",
        ),
    ],
)
def test_other_recordings_are_refused_by_name_and_change_nothing(tables, message):
    store = MemoryStore()
    recorder = start(store)
    drive(recorder, 0, 1000)
    recorder.commit(1000, timeout=30.0)
    before = objects(store)
    with pytest.raises(StoreUnusable, match=message):
        Recorder(store, tables, {}, dt=DT, parts=1, since=Since(0, {}))
    assert objects(store) == before
    drive(recorder, 1000, 2000)  # nobody has taken the store from it
    recorder.close()


def test_a_store_that_cannot_go_back_there_says_why(tmp_path):
    with pytest.raises(StoreMissing, match=r"there is no store at .*none\.zarr"):
        start(tmp_path / "none.zarr", since=Since(0, {}))
    assert not (tmp_path / "none.zarr").exists()
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(StoreUnusable, match="no run was recorded in it"):
        start(tmp_path / "other.zarr", since=Since(0, {}))
    store = MemoryStore()
    recorder = start(store)
    drive(recorder, 0, 12_000)
    recorder.commit(12_000, timeout=30.0)
    rows = recorder.rows()
    recorder.close()
    with pytest.raises(StoreUnusable, match=r"everything up to step 12000 only, and cannot go on after step 12001"):
        start(store, since=Since(12_001, rows))
    with pytest.raises(StoreUnusable, match=r"cannot be resumed at step 11000: .* are not those of 11000 steps"):
        start(store, since=Since(11_000, rows))
    with pytest.raises(StoreUnusable, match=r"has dt 0\.1 ms and this run 0\.2 ms"):
        Recorder(store, TABLES, {}, dt=0.2, parts=1, since=Since(0, {}))
    chunk = rows["exc/spikes/tick"] // 32768
    whole = read_object(store, f"exc/spikes/tick/c/{chunk}")
    write_objects(store, {f"exc/spikes/tick/c/{chunk}": b"torn"})
    with pytest.raises(StoreUnusable, match=rf"chunk exc/spikes/tick/c/{chunk} is damaged or gone"):
        start(store, since=Since(12_000, rows))
    write_objects(store, {f"exc/spikes/tick/c/{chunk}": whole})
    delete_objects(store, ["exc/spikes/neuron/c/0"])
    with pytest.raises(StoreUnusable, match=r"chunk exc/spikes/neuron/c/0 is gone"):
        start(store, since=Since(12_000, rows))
    write_objects(store, {ROOT: b'{"attributes": {'})
    with pytest.raises(StoreUnusable, match=r"zarr\.json of store memory://.* is damaged"):
        start(store, since=Since(0, {}))


def test_what_others_keep_in_the_store_outlives_its_way_back(tmp_path):
    files = {"network/positions/c/0": b"\x01\x02", "network/positions/zarr.json": b"{}"}
    recorder = start(tmp_path / "run.zarr")
    write_objects(recorder.store, files)
    drive(recorder, 0, 2000)
    recorder.close()
    recorder = start(tmp_path / "run.zarr", since=Since(0, {}))
    recorder.close()
    found = objects(tmp_path / "run.zarr")
    assert {key: found[key] for key in files} == files


# ---- where the run is


def test_the_root_says_how_far_the_run_is_to_go_and_whether_it_has_ended():
    store = MemoryStore()
    recorder = start(store, flush_seconds=0.0)
    assert open_run(store).attrs["run"]["until_ms"] is None
    recorder.aim(12_000)
    recorder.put(0, 0, {})  # no step is done, and still the record says so
    end = threading.Event()
    for _ in range(200):
        if open_run(store).attrs["run"]["until_ms"] == 1200.0:
            break
        end.wait(0.05)
    assert open_run(store).attrs["run"]["until_ms"] == 1200.0
    drive(recorder, 0, 1000)
    recorder.commit(1000, timeout=30.0)
    run = open_run(store).attrs["run"]
    assert run["state"] == "running" and run["updated"].endswith("+00:00")
    recorder.close(finalise=False)
    assert open_run(store).attrs["run"]["state"] == "running"
    start(store, since=Since(0, {})).close()
    assert open_run(store).attrs["run"] | {"updated": ""} == {"state": "ended", "until_ms": None, "updated": ""}


# ---- one writer


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("overwrite", [False, True])
def test_who_opens_a_store_last_writes_it_alone(tmp_path, kind, overwrite, undisturbed):
    target = TARGETS[kind](tmp_path)
    first = start(target, flush_seconds=1000.0)
    drive(first, 0, 9_000)
    first.commit(9_000, timeout=30.0)
    second = start(target, overwrite=True) if overwrite else start(target, since=Since(0, {}))
    drive(first, 9_000, 9_500)
    with pytest.raises(StoreError, match=r"failed: another process has taken over this store"):
        first.commit(9_500, timeout=30.0)
    with pytest.raises(StoreError, match=r"another process has taken over this store"):
        first.put(0, 10_000, {})
    first.close(finalise=False)
    drive(second, 0, END)
    second.close()
    assert objects(target) == undisturbed


def test_a_chunk_of_who_has_lost_a_store_does_not_get_there():
    store = MemoryStore()
    first = start(store, flush_seconds=1000.0)
    second = start(store, since=Since(0, {}))
    before = objects(store)
    drive(first, 0, 9_000, piece=9_000)  # more than a chunk of spikes: written before any commit
    with pytest.raises(StoreError, match="another process"):
        first.close()
    assert objects(store) == before
    second.close()
    assert OWNER not in objects(store)


def test_a_store_that_was_removed_is_not_made_again(tmp_path):
    recorder = start(tmp_path / "run.zarr", flush_seconds=1000.0)
    os.rename(tmp_path / "run.zarr", tmp_path / "moved.zarr")
    drive(recorder, 0, 1000)
    with pytest.raises(StoreError, match=r"the store was removed while this process wrote it"):
        recorder.close()
    assert not (tmp_path / "run.zarr").exists()


def test_on_disk_a_store_cannot_be_taken_within_a_write(tmp_path, monkeypatch):
    place = resolve(tmp_path / "run.zarr")
    ours, theirs = Ownership(place), Ownership(place)
    ours.take()
    taken = threading.Thread(target=theirs.take)
    with ours.held():
        taken.start()
        taken.join(0.1)
        assert taken.is_alive()
    taken.join(10.0)
    assert not taken.is_alive()
    with pytest.raises(StoreError, match="another process"), ours.held():
        raise AssertionError("written")
    monkeypatch.setattr(ownership_module, "_PATIENCE", 0.1)
    with (
        theirs.held(),
        pytest.raises(StoreUnusable, match=r"another process has been writing to store .* end that process first"),
    ):
        ours.take()
    theirs.release()
    ours.take()
    with ours.held():
        pass


def test_the_mark_of_the_owner_disturbs_no_reader(tmp_path):
    recorder = start(tmp_path / "run.zarr")
    drive(recorder, 0, 1000)
    recorder.commit(1000, timeout=30.0)
    assert (tmp_path / "run.zarr" / OWNER).exists()
    group = zarr.open_group(tmp_path / "run.zarr", mode="r")
    assert sorted(name for name, _ in group.members()) == ["exc", "net"]
    recorder.close()
    plain = zarr.open_group(tmp_path / "run.zarr", mode="r", use_consolidated=False)
    assert sorted(name for name, _ in plain.members()) == ["exc", "net"]


# ---- writes that fail


class Filling(MemoryStore):
    """A store that takes so many bytes more, and then answers with an error."""

    room = 10**12
    fault = errno.ENOSPC

    async def set(self, key, value, byte_range=None):
        if self.room < len(value):
            raise OSError(self.fault, os.strerror(self.fault))
        self.room -= len(value)
        await super().set(key, value)


ADVICE = {errno.ENOSPC: "Free space", errno.EIO: "Make the store writable", errno.EACCES: "Make the store writable"}


@pytest.mark.parametrize("fault", ADVICE)
def test_whatever_write_fails_the_run_can_be_resumed_when_it_works_again(fault, undisturbed):
    """Room for some bytes, then none: the run ends with one error, and goes on from the last checkpoint that counts."""
    failed = {"open": 0, "record": 0, "checkpoint": 0}
    store = Filling()
    run_with_checkpoints(start(store, flush_seconds=1000.0), Checkpoints(store), 0)
    needed = 10**12 - store.room
    for room in np.linspace(1_000, needed - 1, 10):
        store = Filling()
        store.fault, store.room = fault, int(room)
        kept = Checkpoints(store)
        problem, recorder, back = None, None, 0
        try:
            run_with_checkpoints(start(store, flush_seconds=1000.0), kept, 0)
        except (StoreUnusable, StoreError) as error:
            problem = error
        message = str(problem)
        assert os.strerror(fault) in message and ADVICE[fault] in message
        store.room = 10**12
        if isinstance(problem, StoreUnusable):
            failed["open"] += 1
            recorder = start(store, overwrite=True)
        else:
            failed["checkpoint" if "does not count" in message else "record"] += 1
            shown = open_run(store).load()
            truth = WORDS[WORDS >> np.uint64(32) <= shown.attrs["committed_step"]]
            assert np.array_equal(shown["exc/spikes"]["tick"], truth >> np.uint64(32))
            last = kept.latest()
            if last is not None:
                back = last.manifest["step"]
                assert [arrays["step"].tolist() for arrays in last.load()] == [[back]]
            recorder = start(store, since=Since(back, {} if last is None else last.manifest["rows"]))
            kept.sweep(None if last is None else last.name)
        run_with_checkpoints(recorder, kept, back)
        kept.sweep(None)
        assert objects(store) == undisturbed
    assert min(failed.values()) > 0


def run_with_checkpoints(recorder, kept, first):
    for step in range(first, END, 2_000):
        stop = min(END, step + 2_000)
        drive(recorder, step, stop)
        recorder.commit(stop, timeout=30.0)
        name = f"{stop:06d}_step_{stop}"
        filler = np.random.default_rng(stop).random(20_000)
        entry = kept.write(name, 0, {"step": np.array([stop]), "filler": filler})
        kept.complete(name, {"step": stop, "rows": recorder.rows(), "files": [entry]})
    recorder.close()


def test_columns_that_part_a_chunk_come_back_whole():
    """Wide states: a chunk of rows is several objects."""
    table = [states(subset=Subset(0, 0, np.arange(NEURONS)), every=1)]
    values = np.random.default_rng(0).random((3_000, NEURONS))

    def record(recorder, first, last):
        for step in range(first, last, 100):
            recorder.put(0, step + 100, {0: Columns(step + 1, values[step : step + 100])})
        recorder.commit(last, timeout=30.0)

    store = MemoryStore()
    recorder = Recorder(store, table, {}, dt=DT, parts=1)
    record(recorder, 0, 1_300)
    rows = recorder.rows()
    record(recorder, 1_300, 2_900)
    recorder = Recorder(store, table, {}, dt=DT, parts=1, since=Since(1_300, rows))
    assert open_run(store)["exc/V_m"].sizes["time"] == 1_300
    record(recorder, 1_300, 3_000)
    recorder.close()
    assert np.array_equal(open_run(store)["exc/V_m"]["V_m"], values.astype(np.float32))
