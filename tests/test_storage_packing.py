"""Packed, a run is the same run in fewer objects: whenever packing ends, whoever reads, and if it goes on afterwards."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from test_storage_keep import check as check_kept
from test_storage_keep import drive as drive_kept
from test_storage_keep import start as start_kept
from test_storage_recorder import NEURONS, value
from test_storage_resume import END, TARGETS, WORDS, Filling, drive, objects, start
from zarr.storage import LocalStore, MemoryStore

import eventsnn as snn
from eventsnn.cli import main
from eventsnn.storage import shards
from eventsnn.storage.errors import StoreMissing, StoreTaken, StoreUnusable
from eventsnn.storage.objects import delete_objects, write_objects
from eventsnn.storage.ownership import Ownership
from eventsnn.storage.packing import pack, unpack
from eventsnn.storage.recorder import Since
from eventsnn.storage.results import open_run
from eventsnn.storage.summary import summary
from eventsnn.storage.targets import resolve

RECORDED = WORDS[WORDS >> np.uint64(32) <= END]
TICKS = (RECORDED >> np.uint64(32)).astype(np.int64)
SENDERS = (RECORDED & np.uint64(0xFFFFFFFF)).astype(np.int32)
VOLTAGE = value(np.arange(1, END // 10 + 1), np.arange(NEURONS)).astype(np.float32)


@pytest.fixture(params=[shards.CHUNKS, 3], ids=["one shard", "several shards"])
def limit(request, monkeypatch):
    """Chunks of a shard."""
    monkeypatch.setattr(shards, "CHUNKS", request.param)
    return request.param


def ended(target):
    recorder = start(target)
    drive(recorder, 0, END)
    recorder.close()
    return target


@pytest.fixture(scope="module")
def plain():
    return objects(ended(MemoryStore()))


@pytest.fixture(scope="module")
def truth():
    return open_run(ended(MemoryStore())).load()


def same(tree, truth):
    """Whether two trees hold the same variables, bit by bit."""
    paths = [path for path, node in truth.subtree_with_keys if node.data_vars]
    return len(paths) == 4 and all(tree[path].to_dataset().equals(truth[path].to_dataset()) for path in paths)


@pytest.mark.parametrize("kind", TARGETS)
def test_a_packed_run_reads_the_same_and_is_the_same_again_when_unpacked(tmp_path, kind, limit, plain, truth):
    target = ended(TARGETS[kind](tmp_path))
    before, after = pack(target)
    packed = objects(target)
    assert (before, after) == (len(plain), len(packed))
    arrays = {name.rpartition("/c.")[0]: 0 for name in packed if "/c." in name}
    assert sorted(arrays) == ["exc/V_m/V_m", "exc/spikes/neuron", "exc/spikes/tick", "net/inh/V_m/V_m", "net/inh/V_m/time"]
    assert not [name for name in packed if name.rpartition("/c/")[0] in arrays]
    # chunks: 3 + 3 of events, 2 x 2 of V_m, 7 + 2 of six neurons every 0.3 ms
    assert before - after == 19 - (5 if limit > 3 else 1 + 1 + 2 + 3 + 1)
    assert same(open_run(target), truth)
    assert pack(target) == (after, after) and objects(target) == packed
    assert unpack(target) == (after, before) and objects(target) == plain


def test_plain_zarr_and_xarray_read_a_packed_store(tmp_path, limit):
    store = ended(tmp_path / "run.zarr")
    pack(store)
    for group in (zarr.open_group(store, mode="r"), zarr.open_group(store, mode="r", use_consolidated=False)):
        tick = group["exc/spikes/tick"]
        assert tick.chunks == (1 << 15,) and tick.shards == (3 << 15,)
        assert np.array_equal(tick[:], TICKS)
        assert np.array_equal(tick[40_000:70_001:7], TICKS[40_000:70_001:7])
        assert np.array_equal(group["exc/V_m/V_m"][990:1_010, 245:255], VOLTAGE[990:1_010, 245:255])
    assert np.array_equal(zarr.open_array(store / "exc/spikes/neuron", mode="r")[:], SENDERS)
    with xr.open_datatree(store, engine="zarr") as tree:
        assert np.array_equal(tree["exc/spikes/neuron"], SENDERS)
        assert np.array_equal(tree["exc/V_m/V_m"], VOLTAGE)
    with xr.open_zarr(store, group="exc/V_m", consolidated=False) as alone:
        assert np.array_equal(alone["V_m"], VOLTAGE)
        assert alone["time"].values[-1] == END * 0.1


class Counted(LocalStore):
    """Ends its process, or stands still for good, once it has changed so many objects."""

    left = 10**9
    kill = False

    async def set(self, key, value):
        self.count()
        await super().set(key, value)

    async def delete(self, key):
        self.count()
        await super().delete(key)

    def count(self):
        if self.left == 0:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.left -= 1


def test_wherever_packing_breaks_off_the_store_reads_right_and_can_be_packed(tmp_path, monkeypatch, plain, truth):
    monkeypatch.setattr(shards, "CHUNKS", 3)
    target = ended(tmp_path / "run.zarr")
    pack(target)
    packed = objects(target)
    for work, undo, goal in ((unpack, pack, plain), (pack, unpack, packed)):
        for attempts in range(1000):
            undo(target)
            problem = broke_off(work, target, attempts)
            if problem is None:
                break
            assert "Input/output error" in problem
            assert same(open_run(target), truth), attempts
            with xr.open_datatree(target, engine="zarr") as tree:
                assert np.array_equal(tree["exc/spikes/tick"], TICKS)
            for path in ("exc/spikes/neuron", "exc/V_m/V_m"):
                expected = SENDERS if path.endswith("neuron") else VOLTAGE
                assert np.array_equal(zarr.open_array(target / path, mode="r")[:], expected)
            if attempts % 4 == 0:
                work(target)
                assert objects(target) == goal
        assert objects(target) == goal and attempts > 30
        undo(target)
        for changes in range(2, 1000, 3):  # again and again
            if broke_off(work, target, changes) is None:
                break
            assert same(open_run(target), truth)
        assert objects(target) == goal


def broke_off(work, target, changes):
    """Do the work, but after so many changes no other one; what it said, None where these were enough."""
    store = Counted(target)
    store.left = changes
    try:
        return work(store) and None
    except StoreUnusable as error:
        return str(error)


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from test_storage_packing import *
shards.CHUNKS = 3
store = Counted({store!r})
store.left, store.kill = {left}, True
{work}(store)
"""


def killed(store, work, left):
    script = KILLED.format(tests=str(Path(__file__).parent), store=str(store), work=work, left=left)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL


def test_a_store_whose_packing_was_killed_reads_right_and_can_be_packed(tmp_path, monkeypatch, plain, truth):
    monkeypatch.setattr(shards, "CHUNKS", 3)
    target = ended(tmp_path / "run.zarr")
    for left in np.random.default_rng().integers(0, 30, 4).tolist():  # packing makes some 40 changes, unpacking more
        for work, rest in (("pack", pack), ("unpack", unpack)):
            killed(target, work, left)
            assert same(open_run(target), truth), (work, left)
            (target / "exc" / "spikes" / "tick" / f"c.{'0' * 32}.partial").write_bytes(b"half a shard")
            rest(target)
            assert same(open_run(target), truth), (work, left)
            assert not list(target.rglob("*.partial"))
        assert objects(target) == plain


def test_a_reader_meanwhile_sees_the_truth_or_an_error_and_never_zeros(tmp_path, truth):
    target = ended(tmp_path / "run.zarr")
    earlier = open_run(target)
    over, failures, missed = threading.Event(), [], []

    def turn():
        try:
            for _ in range(6):
                pack(target)
                unpack(target)
        except BaseException as error:
            failures.append(error)
        over.set()

    thread = threading.Thread(target=turn)
    thread.start()
    seen = 0
    while not over.is_set():
        try:
            assert same(open_run(target), truth)
            seen += 1
        except StoreMissing as error:
            missed.append(str(error))
    thread.join()
    assert not failures and seen > 5
    assert all("open it again" in message for message in missed)
    pack(target)
    with pytest.raises(StoreMissing, match=r"exc/.*/c/0.* is gone: .* packed; open it again with snn\.open"):
        earlier.load()
    assert same(open_run(target), truth)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("back", [0, 12_345, END - 1_000])
def test_a_packed_run_goes_on_as_if_it_had_never_been_packed(tmp_path, kind, back, limit, plain):
    target = TARGETS[kind](tmp_path)
    first = start(target)
    drive(first, 0, back)
    first.commit(back, timeout=30.0)
    rows = first.rows() if back else {}
    drive(first, back, END - 500)
    first.close()
    pack(target)
    with pytest.raises(StoreUnusable, match="up to step 19500 only"):
        start(target, since=Since(END, rows))
    second = start(target, since=Since(back, rows))
    drive(second, back, END)
    second.close()
    assert objects(target) == plain


def test_a_run_goes_on_after_its_unpacking_was_cut_off(tmp_path, plain):
    target = ended(tmp_path / "run.zarr")
    pack(target)

    def resume(store):
        start(store, since=Since(0, {})).close(finalise=False)

    broken = [broke_off(resume, target, changes) for changes in range(0, 60, 4)]
    assert broken[0] and broken[4] and not broken[-1]
    recorder = start(target, since=Since(0, {}))
    drive(recorder, 0, END)
    recorder.close()
    assert objects(target) == plain


@pytest.mark.parametrize("kind", TARGETS)
def test_recordings_of_the_last_steps_are_packed_without_what_is_gone(tmp_path, kind, limit):
    target = TARGETS[kind](tmp_path)
    recorder = start_kept(target)
    drive_kept(recorder, 0, 14_000, piece=700)
    rows = recorder.rows()
    recorder.close()
    kept = objects(target)
    before, after = pack(target)
    assert after < before
    check_kept(target, 14_000)
    unpack(target)
    assert objects(target) == kept
    pack(target)
    recorder = start_kept(target, since=Since(14_000, rows))
    drive_kept(recorder, 14_000, 21_000, piece=700)
    check_kept(target, 21_000)
    recorder.close()


def test_a_store_that_is_not_fit_for_it_is_left_as_it_is(tmp_path):
    target = tmp_path / "run.zarr"
    recorder = start(target)
    drive(recorder, 0, END)
    for close in (lambda: recorder.commit(END, timeout=30.0), lambda: recorder.close(finalise=False)):
        close()
        with pytest.raises(StoreUnusable, match=r"run\.zarr has not ended: .* `eventsnn resume .*run\.zarr"):
            pack(target)
    with pytest.raises(StoreMissing, match="there is no store at"):
        pack(tmp_path / "other.zarr")
    assert not (tmp_path / "other.zarr").exists()
    store = ended(MemoryStore())
    with pytest.raises(StoreUnusable, match="opened read-only"):
        pack(store.with_read_only(True))
    key = "exc/spikes/neuron/c/1"
    whole = objects(store)
    for spoil in (
        lambda: write_objects(store, {key: whole[key][:-1]}),
        lambda: write_objects(store, {key: b""}),
        lambda: delete_objects(store, [key]),
    ):
        spoil()
        spoiled = objects(store)
        with pytest.raises(StoreUnusable, match=rf"{key} of store .* is damaged or gone: .* left as it was"):
            pack(store)
        assert [name for name in objects(store) if name.startswith("exc/spikes/neuron/")] == [
            name for name in spoiled if name.startswith("exc/spikes/neuron/")
        ]
        unpack(store)
        assert objects(store) == spoiled
    write_objects(store, {key: whole[key]})
    pack(store)
    key = "exc/spikes/neuron/c.0"
    shard = objects(store)[key]
    for spoiled, why in ((shard[:-1], "index is damaged"), (shard[100:], "cut off"), (None, "not there")):
        delete_objects(store, [key]) if spoiled is None else write_objects(store, {key: spoiled})
        with pytest.raises(StoreUnusable, match=rf"{key} of store .* is damaged or gone: .*{why}"):
            unpack(store)


def test_where_there_is_no_room_for_shards_the_store_stays_as_it_is(plain):
    store = Filling()
    ended(store)
    store.room = 20_000
    with pytest.raises(StoreUnusable, match=r"No space left on device\. Free space.* nothing of it is lost"):
        pack(store)
    assert objects(store) == plain
    store.room = 10**12
    pack(store)
    store.room = 20_000
    with pytest.raises(StoreUnusable, match="No space left"):
        unpack(store)
    store.room = 10**12
    unpack(store)
    assert objects(store) == plain


def test_a_run_that_takes_the_store_over_ends_packing(truth):
    class Contested(MemoryStore):
        async def set(self, key, value, byte_range=None):
            await super().set(key, value)
            if key.endswith("/c.0"):
                self._store_dict[".eventsnn-owner"] = type(value).from_bytes(b"another one")

    store = Contested()
    ended(store)
    with pytest.raises(StoreTaken, match="another process has taken over"):
        pack(store)
    assert same(open_run(store), truth)
    Ownership(resolve(store)).take()  # left by a process that was killed
    unpack(store)
    assert same(open_run(store), truth)


def test_shards_are_as_large_as_they_may_be():
    def made(shape, chunk, dtype):
        node = {
            "shape": shape,
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": [{"name": "bytes"}],
        }
        assert shards.unsharded(shards.sharded(node)) == node
        return shards.sharded(node)["chunk_grid"]["configuration"]["chunk_shape"]

    hour = 3_600_000_000
    assert made([hour], [1 << 18], "int64") == [1 << 25]  # 256 MB
    assert made([hour], [1 << 18], "int32") == [1 << 26]
    assert made([hour], [1 << 15], "int32") == [1 << 25]  # 1024 chunks
    assert made([3 << 18], [1 << 18], "int32") == [3 << 18]
    assert made([36_000_000, 1_000], [1000, 250], "float64") == [33_000, 1_000]  # 4 x 33 chunks of 2 MB
    assert made([36_000_000, 300_000], [16, 15_625], "float64") == [96, 312_500]  # 20 x 6
    assert made([100, 10_000_000], [16, 1_000], "float64") == [16, 1_000_000]  # 1,000 x 1
    assert made([10], [1 << 28], "int32") == [1 << 28]


def test_the_checksum_is_crc32c():
    assert shards.crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32/ISCSI
    assert shards.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert shards.crc32c(bytes(range(32))) == 0x46DD794E


def test_the_command_packs_and_unpacks_and_info_says_so(tmp_path, truth):
    store = ended(tmp_path / "run.zarr")
    files = sum(path.is_file() for path in store.rglob("*"))
    done = CliRunner().invoke(main, ["pack", str(store)])
    assert done.exit_code == 0 and done.output == f"{store}: {files} files before, {files - 14} now\n"
    assert "not active: ended, packed" in summary(store)
    assert same(snn.open(store), truth)
    done = CliRunner().invoke(main, ["pack", "--undo", str(store)])
    assert done.exit_code == 0 and done.output == f"{store}: {files - 14} files before, {files} now\n"
    assert "packed" not in summary(store)
    assert snn.pack(store) == (files, files - 14)
