"""Checkpoints count all at once or not at all, on disk and on object stores, whatever ends the process that writes them."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from test_storage_recorder import DT, NEURONS, event_words, spikes, states, value
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from eventsnn.spec import Columns
from eventsnn.storage.checkpoints import Checkpoints
from eventsnn.storage.errors import StoreError, StoreMissing, StoreUnusable
from eventsnn.storage.objects import delete_objects, list_objects, read_object, write_objects
from eventsnn.storage.recorder import Recorder, Since
from eventsnn.storage.results import open_run
from eventsnn.storage.targets import OWNER, ROOT, resolve

ARRAYS = {
    "exc/V_m": np.linspace(-70.0, -50.0, 1000),
    "exc/refractory": np.arange(1000, dtype=np.int32),
    "file": np.array(7, np.uint64),  # names that np.savez would take for its own
    "a.npy": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.empty((0, 3), np.float32),
    "flags": np.array([True, False]),
}

KINDS = {
    "folder": lambda path: str(path / "run.zarr"),
    "memory": lambda path: MemoryStore(),
    "url": lambda path: f"memory://{uuid.uuid4().hex}/run.zarr",
}


@pytest.fixture(params=KINDS)
def target(request, tmp_path):
    return KINDS[request.param](tmp_path)


def make(kept, serial, parts=2):
    name = f"{serial:06d}_step_{10 * serial}"
    files = [kept.write(name, rank, {**ARRAYS, "rank": np.array(rank)}) for rank in range(parts)]
    kept.complete(name, {"step": 10 * serial, "files": files})
    return name


def keys(target):
    return [key for key in list_objects(resolve(target).store) if key.startswith("checkpoints/")]


def test_what_was_written_is_what_is_read(target):
    kept = Checkpoints(target)
    assert kept.latest() is None and kept.names() == []
    name = "000001_step_5"
    entries = [{**kept.write(name, rank, {**ARRAYS, "rank": np.array(rank)}), "cells": [rank, rank + 1]} for rank in range(3)]
    assert kept.latest() is None  # it does not count yet
    kept.complete(name, {"step": 5, "rows": {"x": 3}, "files": json.loads(json.dumps(entries))})
    found = Checkpoints(target).latest()
    assert (found.name, found.manifest["step"], found.manifest["rows"]) == (name, 5, {"x": 3})
    assert found.nbytes == sum(entry["bytes"] for entry in entries)
    for rank, arrays in enumerate(found.load()):
        assert arrays.keys() == {*ARRAYS, "rank"} and arrays["rank"] == rank
        for key, array in ARRAYS.items():
            assert arrays[key].dtype == array.dtype and np.array_equal(arrays[key], array) and arrays[key].shape == array.shape
    wanted = kept.get(name).load(lambda entry: entry["cells"][0] == 1)
    assert [int(arrays["rank"]) for arrays in wanted] == [1]


def test_numpy_reads_the_files_too(tmp_path):
    name = make(Checkpoints(tmp_path / "run.zarr"), 1)
    with np.load(tmp_path / "run.zarr" / "checkpoints" / name / "part_00001.npz", allow_pickle=False) as found:
        assert np.array_equal(found["exc/V_m"], ARRAYS["exc/V_m"]) and found["rank"] == 1


def test_the_last_two_are_kept_and_nothing_of_what_was_begun_before(target):
    kept = Checkpoints(target)
    kept.write("000001_step_10", 0, ARRAYS)  # never completed
    names = [make(kept, serial) for serial in (2, 3, 4)]
    kept.write("000009_step_90", 0, ARRAYS)
    assert kept.names() == names[1:] == [found.name for found in kept.whole()]
    assert {key.split("/")[1].removesuffix(".tmp") for key in keys(target)} == {*names[1:], "000009_step_90"}
    kept.sweep(names[1])
    assert kept.names() == names[1:2]
    assert {key.split("/")[1] for key in keys(target)} == {names[1]}
    kept.sweep(None)
    assert kept.latest() is None and keys(target) == []


def test_a_kill_before_the_old_ones_were_deleted_leaves_no_more_than_two(target, monkeypatch):
    kept = Checkpoints(target)
    names = [make(kept, serial) for serial in (1, 2)]
    with monkeypatch.context() as patch:
        patch.setattr(type(kept._shelf), "remove", lambda shelf, name: None)
        names.append(make(kept, 3))
    assert kept.names() == names
    kept.sweep(names[2])
    assert kept.names() == names[1:]


def test_files_that_the_manifest_does_not_name_go(target):
    """Parts of an earlier attempt under the same name, which had more of them."""
    kept = Checkpoints(target)
    for rank in range(3):
        kept.write("000001_step_10", rank, ARRAYS)
    make(kept, 1)
    assert sorted(key.split("/")[2] for key in keys(target)) == ["manifest.json", "part_00000.npz", "part_00001.npz"]


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def change(target, name, file, function):
    """Damage a file of a complete checkpoint; function(bytes) -> bytes, or None to delete it."""
    store, key = resolve(target).store, f"checkpoints/{name}/{file}"
    data = function(read_object(store, key))
    delete_objects(store, [key]) if data is None else write_objects(store, {key: data})


@pytest.mark.parametrize(
    ("file", "function"),
    [
        ("manifest.json", lambda data: data[:-9]),
        ("manifest.json", lambda data: data.replace(b"20", b"21", 1)),
        ("manifest.json", lambda data: b"[]"),
        ("manifest.json", lambda data: b"\xff\xfe"),
        ("part_00001.npz", lambda data: data[:-1]),
        ("part_00001.npz", lambda data: None),
    ],
)
def test_where_the_last_is_damaged_the_one_before_is_taken(target, file, function):
    kept = Checkpoints(target)
    first, second = make(kept, 1), make(kept, 2)
    change(target, second, file, function)
    assert kept.latest().name == first
    with pytest.raises(StoreError, match=rf"has no complete checkpoint {second}; it has"):
        kept.get(second)
    make(kept, 3)
    assert kept.latest().name == "000003_step_30"


def test_a_flipped_bit_anywhere_is_found(target):
    kept = Checkpoints(target)
    name = make(kept, 1)
    size = kept.latest().manifest["files"][1]["bytes"]
    for at in np.random.default_rng(0).integers(0, size, 20):
        change(target, name, "part_00001.npz", lambda data, at=at: flip(data, at))
        parts = kept.latest().load()
        next(parts)
        with pytest.raises(StoreError, match=rf"part_00001\.npz of checkpoint {name} of .* is damaged: its checksum"):
            next(parts)
        change(target, name, "part_00001.npz", lambda data, at=at: flip(data, at))
    assert len(list(kept.latest().load())) == 2


def test_nothing_is_ever_pickled(target):
    kept = Checkpoints(target)
    with pytest.raises(ValueError, match="array 'bad' holds Python objects; only plain arrays are kept"):
        kept.write("000001_step_10", 0, {"bad": np.array([{}])})
    assert keys(target) == []


def test_a_manifest_that_names_what_is_not_there_is_refused(target):
    kept = Checkpoints(target)
    entry = kept.write("000001_step_10", 0, ARRAYS)
    with pytest.raises(StoreError, match=r"could not be written: part_00001\.npz should have .* bytes and has vanished"):
        kept.complete("000001_step_10", {"files": [entry, {**entry, "file": "part_00001.npz"}]})
    assert kept.latest() is None
    kept.complete("000001_step_10", {"files": [entry]})
    with pytest.raises(StoreError, match="has a complete checkpoint 000001_step_10 already"):
        kept.complete("000001_step_10", {"files": [entry]})


def test_looking_for_checkpoints_makes_nothing(tmp_path):
    kept = Checkpoints(tmp_path / "run.zarr")
    assert kept.latest() is None
    kept.sweep(None)
    assert os.listdir(tmp_path) == []


# ---- writes that fail


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_whichever_call_fails_on_disk_the_one_before_counts(tmp_path, monkeypatch, call, fault):
    kept = Checkpoints(tmp_path)
    before = make(kept, 1)

    def fail(*args, **kwargs):
        raise OSError(fault, os.strerror(fault))

    where = {
        "open": ("eventsnn.storage.shelves.open", False),
        "write": ("eventsnn.storage.bundles._Summed.write", True),
        "fsync": ("os.fsync", True),
        "rename": ("pathlib.Path.rename", True),
    }
    monkeypatch.setattr(where[call][0], fail, raising=where[call][1])
    with pytest.raises(StoreError, match=rf"checkpoint 000002_step_20 of .*{os.strerror(fault)}.*; it does not count"):
        make(kept, 2)
    monkeypatch.undo()
    assert kept.latest().name == before
    assert len(list(kept.latest().load())) == 2
    make(kept, 3)
    assert kept.names() == [before, "000003_step_30"]
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))


def limited(folder: str, answer: multiprocessing.connection.Connection) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    kept = Checkpoints(folder)
    before = make(kept, 1)
    try:
        kept.write("000002_step_20", 0, {"large": np.zeros(100_000)})
        problem = "none"
    except StoreError as error:
        problem = str(error)
    answer.send((problem, kept.latest().name == before, os.listdir(Path(folder) / "checkpoints" / "000002_step_20.tmp")))


def test_a_file_system_that_takes_no_more_leaves_the_one_before(tmp_path):
    context = forkserver()
    ours, theirs = context.Pipe()
    child = context.Process(target=limited, args=(str(tmp_path), theirs))
    child.start()
    assert ours.poll(60.0)
    problem, kept, left = ours.recv()
    child.join(10.0)
    assert "File too large" in problem and "Free space" in problem and "it does not count" in problem
    assert kept and left == []


def test_on_a_full_disk_a_run_stops_and_goes_on_when_there_is_room(tmp_path):
    """A real file system of eight megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        store, ballast = disk / "run.zarr", disk / "ballast"
        with pytest.raises(StoreError, match="No space left on device.*Free space"):
            ballast.write_bytes(bytes(7_200_000))
            run(store)
        ballast.unlink()
        assert look(store) > 0
        run(store)
        assert contents(store) == undisturbed(tmp_path / "whole.zarr")
    finally:
        subprocess.run(["umount", disk], check=True)


# ---- kill -9


class Bucket(WrapperStore):
    """An object store that outlives processes: objects come whole or not at all, nothing can be renamed or locked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalStore(folder))

    def with_read_only(self, read_only: bool = False) -> Bucket:
        return self


PLACES = {"folder": Path, "objects": Bucket}
TURNS, STEPS, LIFE = 200, 100, 20


@functools.cache
def rows_of(turn):
    """What the only part of the run gives for its 100 steps."""
    words = event_words(np.random.default_rng(turn), STEPS * turn, STEPS * (turn + 1), 1500)
    samples = np.arange(STEPS * turn // 10 + 1, STEPS * (turn + 1) // 10 + 1)
    return {0: words, 1: Columns(int(samples[0]), value(samples, np.arange(NEURONS)))}


@functools.cache
def all_rows():
    """Events and samples of the whole run."""
    turns = [rows_of(turn) for turn in range(TURNS)]
    return np.concatenate([turn[0] for turn in turns]), np.concatenate([turn[1].values for turn in turns]).astype(np.float32)


def state_of(turn):
    return {"exc/V_m": np.random.default_rng(turn).random(20_000), "turn": np.array(turn)}


def run(target, ready=None):
    """A process's life: go on from the last checkpoint, if any. With `ready`, do LIFE turns and wait to be killed."""
    kept = Checkpoints(target)
    checkpoint = kept.latest()
    tables, first, serial = [spikes(), states()], 0, 0
    try:
        if checkpoint is None:
            recorder = Recorder(target, tables, {}, dt=DT, parts=1, flush_seconds=0.01, since=Since(0, {}))
        else:
            (arrays,) = checkpoint.load()
            first, serial = checkpoint.manifest["step"] // STEPS, checkpoint.manifest["serial"]
            expected = state_of(first)
            assert arrays.keys() == expected.keys() and all(np.array_equal(arrays[key], expected[key]) for key in expected)
            since = Since(first * STEPS, checkpoint.manifest["rows"])
            recorder = Recorder(target, tables, {}, dt=DT, parts=1, flush_seconds=0.01, since=since)
    except (StoreMissing, StoreUnusable):  # killed before there was a first commit record
        recorder = Recorder(target, tables, {}, dt=DT, parts=1, flush_seconds=0.01, overwrite=True)
    kept.sweep(None if checkpoint is None else checkpoint.name)
    if ready is not None:
        (ready / read_object(recorder.store, OWNER).decode()).touch()
    for turn in range(first, TURNS if ready is None else min(first + LIFE, TURNS)):
        recorder.put(0, STEPS * (turn + 1), rows_of(turn))
        time.sleep(0.0 if ready is None else 0.004)
        if turn % 8 == 7:
            serial, step = serial + 1, STEPS * (turn + 1)
            name = f"{serial:06d}_step_{step}"
            entry = kept.write(name, 0, state_of(turn + 1))
            recorder.commit(step, timeout=60.0)
            kept.complete(name, {"step": step, "serial": serial, "rows": recorder.rows(), "files": [entry]})
    while ready is not None:
        time.sleep(1.0)
    recorder.close()


def child(kind, folder, ready):
    run(PLACES[kind](Path(folder)), Path(ready))


def contents(target):
    """All objects but checkpoints; of the root, all but the time of day."""
    store = resolve(target).store
    found = {key: read_object(store, key) for key in list_objects(store) if not key.startswith("checkpoints/")}
    root = json.loads(found.pop(ROOT))
    root["attributes"]["run"].pop("updated")
    return {**found, ROOT: root}


def undisturbed(path):
    run(path)
    return contents(path)


def look(target) -> int:
    """Read all that a store shows, and compare; the committed step."""
    shown = open_run(target).load()
    step = shown.attrs["committed_step"]
    words, values = all_rows()
    words = words[words >> np.uint64(32) <= step]
    same = np.array_equal(shown["exc/spikes"]["tick"].values, (words >> np.uint64(32)).astype(np.int64))
    if same and np.array_equal(shown["exc/V_m"]["V_m"].values, values[: step // 10]):
        return int(step)
    raise AssertionError(f"the store does not hold the truth up to step {step}")


def live_look(target, ready: Path) -> bool:
    """Whether a look counts: a store that goes back in its course takes rows away from who reads the record before."""
    store = resolve(target, read_only=True).store
    owner, root = read_object(store, OWNER), read_object(store, ROOT)
    going_on = owner is not None and (ready / owner.decode()).exists()
    problem = None
    try:
        look(target)
    except (StoreMissing, StoreUnusable):
        return False
    except Exception as error:
        problem = error
    counts = read_object(store, ROOT) == root or (going_on and read_object(store, OWNER) == owner)
    if counts and problem is not None:
        raise problem
    return counts


def last_step(target) -> int:
    latest = Checkpoints(target).latest()
    return 0 if latest is None else latest.manifest["step"]


def forkserver():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["eventsnn.storage.recorder", "eventsnn.storage.checkpoints", "xarray", "pytest"])
    return context


@pytest.mark.parametrize("kind", PLACES)
def test_killed_again_and_again_a_run_ends_as_if_nothing_had_been(tmp_path, kind):
    """Ten kills at random moments, readers meanwhile; the store is bit for bit that of one process."""
    folder, ready, context = tmp_path / "run.zarr", tmp_path / "ready", forkserver()
    ready.mkdir()
    delays, moments = np.random.default_rng(1), [0]
    for kill in range(10):
        process = context.Process(target=child, args=(kind, str(folder), str(ready)), daemon=True)
        begun, patience, looks = len(os.listdir(ready)), time.monotonic() + 60.0, 0
        process.start()

        def waits(patience=patience, process=process):
            return process.is_alive() and time.monotonic() < patience

        anywhere = kill % 3 == 0  # from its first breath on; the others, when they have begun to write
        while not anywhere and len(os.listdir(ready)) == begun and waits():
            time.sleep(0.002)
        end = time.monotonic() + delays.uniform(0.0, 0.2)
        while time.monotonic() < end or (not anywhere and looks < 2 and waits()):
            looks += live_look(PLACES[kind](folder), ready)
        while kill % 3 == 1 and last_step(PLACES[kind](folder)) == moments[-1] and waits():
            time.sleep(0.002)
        process.kill()
        process.join(10.0)
        assert process.exitcode == -signal.SIGKILL
        assert anywhere or looks >= 2
        moments.append(last_step(PLACES[kind](folder)))
    assert len(set(moments)) > 3 and moments == sorted(moments)  # it was taken up at several moments
    target = PLACES[kind](folder)
    with contextlib.suppress(StoreMissing, StoreUnusable):
        look(target)
    run(target)
    assert look(target) == TURNS * STEPS
    assert contents(target) == undisturbed(tmp_path / "whole.zarr")
    names = Checkpoints(target).names()
    assert len(names) == 2 and {key.split("/")[1] for key in keys(target)} == set(names)
