"""The recorder: what a store holds, whatever the parts, their order, the clock, and the end of the process."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from zarr.storage import MemoryStore

from eventsnn.spec import Columns, RecordingSpec, Subset
from eventsnn.storage import recorder as recorder_module
from eventsnn.storage.clock import block_ends, blocks_until, times
from eventsnn.storage.errors import StoreError
from eventsnn.storage.recorder import Recorder
from eventsnn.storage.results import open_run

DT = 0.1
NEURONS = 300
CHOSEN = np.array([1, 4, 5, 6, 90, 299])


def spikes(path="exc/spikes", subset=None):
    return RecordingSpec(path, 0, Subset(0, NEURONS) if subset is None else subset, "spikes", 0, "", "")


def states(path="exc/V_m", every=10, subset=None, dtype="float32"):
    return RecordingSpec(path, 0, Subset(0, NEURONS) if subset is None else subset, "V_m", every, dtype, "mV")


TABLES = [spikes(), states(), states("net/inh/V_m", 3, Subset(0, 0, CHOSEN), "float64")]


def event_words(rng, first, last, count):
    """Sorted events of the steps (first, last], duplicates included."""
    ticks = rng.integers(first + 1, last + 1, count).astype(np.uint64)
    return np.sort((ticks << np.uint64(32)) | rng.integers(0, NEURONS, count).astype(np.uint64))


def value(sample, neuron):
    return np.sin(0.37 * np.asarray(sample)[:, None] + np.asarray(neuron)[None, :])


def part_chunks(words, owner, part, first, last):
    """What a part gives for the steps (first, last]: the rows of its neurons."""
    ticks, neurons = words >> np.uint64(32), words & np.uint64(0xFFFFFFFF)
    inside = (ticks > first) & (ticks <= last)
    chunks = {0: words[inside & (owner[neurons.astype(int)] == part)]}
    for table, every, ids in ((1, 10, np.arange(NEURONS)), (2, 3, CHOSEN)):
        mine = ids[owner[ids] == part]
        samples = np.arange(first // every + 1, last // every + 1)
        if len(mine) and len(samples):
            chunks[table] = Columns(int(samples[0]), value(samples, mine))
    return chunks


def record(words, steps, parts, seed, target=None, **options):
    """Run a recorder over `parts` fake parts which report in random order and at random steps."""
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, parts, NEURONS)
    recorder = Recorder(target, TABLES, {"seed": 1}, dt=DT, parts=parts, **options)
    for part in range(parts):
        recorder.layout(part, 1, np.flatnonzero(owner == part))
        recorder.layout(part, 2, np.flatnonzero(owner[CHOSEN] == part))
    done = [0] * parts
    while min(done) < steps:
        part = int(rng.choice([p for p in range(parts) if done[p] < steps]))
        last = min(steps, done[part] + int(rng.integers(1, steps // 3)))
        recorder.put(part, last, part_chunks(words, owner, part, done[part], last))
        done[part] = last
    recorder.close()
    return recorder


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_contents_depend_neither_on_parts_nor_on_order_nor_on_flushes(parts):
    steps = 15_000
    words = event_words(np.random.default_rng(1), 0, steps, 70_000)  # more than two chunks
    run = open_run(record(words, steps, parts, seed=parts, flush_seconds=0.0)).load()

    table = run["exc/spikes"].to_dataset()
    assert np.array_equal(table.tick, (words >> np.uint64(32)).astype(np.int64))
    assert np.array_equal(table.neuron, (words & np.uint64(0xFFFFFFFF)).astype(np.int32))
    stops = [int(np.sum(words >> np.uint64(32) <= 1000 * (block + 1))) for block in range(15)]
    assert run["exc/spikes/index"]["stop"].values.tolist() == stops
    samples = np.arange(1, steps // 10 + 1)
    assert np.array_equal(run["exc/V_m"]["V_m"], value(samples, np.arange(NEURONS)).astype(np.float32))
    few = run["net/inh/V_m"]
    assert np.array_equal(few["V_m"], value(np.arange(1, steps // 3 + 1), CHOSEN))
    assert few["neuron"].values.tolist() == CHOSEN.tolist()
    assert few["time"].values.tolist() == [round(k * 3 * DT, 10) for k in range(1, steps // 3 + 1)]

    other = open_run(record(words, steps, parts=3, seed=99, flush_seconds=1000.0)).load()
    assert [tree.attrs.pop("run")["state"] for tree in (run, other)] == ["ended", "ended"]  # at another time of day
    assert run.identical(other)


def test_a_reader_sees_only_steps_that_all_parts_have_reported():
    recorder = Recorder(None, [spikes()], {}, dt=DT, parts=2)
    word = [np.array([(step << 32) | 7], np.uint64) for step in (1, 2, 3)]
    recorder.put(0, 3, {0: np.concatenate(word)})
    recorder.put(1, 2, {})
    recorder.commit(2, timeout=5.0)
    assert open_run(recorder)["exc/spikes"]["tick"].values.tolist() == [1, 2]
    assert open_run(recorder).attrs["committed_ms"] == 0.2
    with pytest.raises(StoreError, match=r"parts \[1\] have not reported step 3"):
        recorder.commit(3, timeout=0.2)
    recorder.put(1, 3, {})
    recorder.commit(3, timeout=5.0)
    assert open_run(recorder)["exc/spikes"]["tick"].values.tolist() == [1, 2, 3]
    recorder.close()


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from test_storage_recorder import *
recorder = Recorder({store!r}, [spikes(), states()], {{}}, dt=DT, parts=1, flush_seconds=0.0)
print("open", flush=True)
for turn in range(100_000):
    first, last = 100 * turn, 100 * (turn + 1)
    words = event_words(np.random.default_rng(turn), first, last, 40 * turn)
    samples = np.arange(first // 10 + 1, last // 10 + 1)
    recorder.put(0, last, {{0: words, 1: Columns(int(samples[0]), value(samples, np.arange(NEURONS)))}})
    recorder.commit(last, 60.0) if turn % 3 == 0 else time.sleep(0.002)
"""


def check_prefix(store: Path) -> int:
    run = open_run(store)
    step = run.attrs["committed_step"]
    turns = [event_words(np.random.default_rng(t), 100 * t, 100 * (t + 1), 40 * t) for t in range(step // 100)]
    words = np.concatenate([np.empty(0, np.uint64), *turns])
    assert np.array_equal(run["exc/spikes"]["tick"].values, (words >> np.uint64(32)).astype(np.int64))
    assert np.array_equal(run["exc/spikes"]["neuron"].values, (words & np.uint64(0xFFFFFFFF)).astype(np.int32))
    truth = value(np.arange(1, step // 10 + 1), np.arange(NEURONS)).astype(np.float32)
    assert np.array_equal(run["exc/V_m"]["V_m"].values, truth)
    assert run["exc/spikes/index"].sizes["block"] == step // 1000
    return int(step)


def test_a_live_reader_and_a_reader_after_kill_9_see_a_whole_commit(tmp_path):
    store = tmp_path / "run.zarr"
    script = WRITER.format(tests=str(Path(__file__).parent), store=str(store))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout.readline() == "open\n"
            seen, end = {0}, time.monotonic() + 30.0
            while len(seen) < 8 and time.monotonic() < end:
                seen.add(check_prefix(store))
            assert len(seen) >= 8
        finally:
            writer.send_signal(signal.SIGKILL)
    assert check_prefix(store) >= max(seen)


class FillingStore(MemoryStore):
    """A disk that is full after some writes, or one that never answers."""

    room = 10**9
    stuck: threading.Event | None = None

    async def set(self, key, value, byte_range=None):
        while self.stuck is not None and not self.stuck.is_set():
            await recorder_sleep()
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= 1
        await super().set(key, value)


async def recorder_sleep():
    import asyncio

    await asyncio.sleep(0.01)


def test_a_full_disk_stops_the_run_and_keeps_the_last_commit():
    store = FillingStore()
    recorder = Recorder(store, [spikes()], {}, dt=DT, parts=1, flush_seconds=0.0)
    recorder.put(0, 10, {0: np.array([3 << 32], np.uint64)})
    recorder.commit(10, timeout=5.0)
    store.room = 1  # one chunk of the next two goes in, the record does not
    begin = time.monotonic()
    recorder.put(0, 20, {0: np.array([15 << 32], np.uint64)})
    message = r"memory://.* failed: .*No space left on device\. Free space.* up to 1 ms"
    with pytest.raises(StoreError, match=message):
        recorder.commit(20, timeout=5.0)
    with pytest.raises(StoreError, match=message):
        recorder.put(0, 30, {})
    with pytest.raises(StoreError, match=message):
        recorder.close()
    recorder.close(finalise=False)
    assert time.monotonic() - begin < 3.0
    assert open_run(store)["exc/spikes"]["tick"].values.tolist() == [3]


def test_a_store_that_does_not_answer_hangs_nobody():
    store = FillingStore()
    recorder = Recorder(store, [spikes()], {}, dt=DT, parts=1, queue_bytes=800, patience=0.3)
    store.stuck = threading.Event()
    words = event_words(np.random.default_rng(0), 0, 10, 40_000)  # a full chunk: it is written at once
    recorder.put(0, 10, {0: words})
    with pytest.raises(StoreError, match=r"has stood still for 0\.3 s; the store holds everything up to 0 ms"):
        recorder.put(0, 20, {0: words + (np.uint64(10) << np.uint64(32))})
    with pytest.raises(StoreError, match=r"nothing was committed for 0\.2 s"):
        recorder.commit(10, timeout=0.2)
    with pytest.raises(StoreError, match=r"did not end within 0\.3 s"):
        recorder.close()
    store.stuck.set()


def test_a_full_queue_holds_back_the_part_that_is_ahead_but_never_for_good(monkeypatch):
    monkeypatch.setattr(recorder_module, "_GRACE", 0.1)
    recorder = Recorder(None, [spikes()], {}, dt=DT, parts=2, queue_bytes=1000)
    for step in (10, 20, 30):
        recorder.put(0, step, {0: event_words(np.random.default_rng(step), step - 10, step, 200)})
    assert 0.1 <= recorder.waited < 5.0
    waited = recorder.waited
    recorder.put(1, 30, {})  # the part that is behind is never held back by the rows of others
    assert recorder.waited - waited < 0.1
    recorder.commit(30, timeout=5.0)
    assert open_run(recorder)["exc/spikes"].sizes["event"] == 600
    recorder.close()


def test_memory_stays_flat_while_a_run_goes_on(tmp_path):
    recorder = Recorder(tmp_path / "run.zarr", [spikes()], {}, dt=DT, parts=1, queue_bytes=8 << 20)
    tracemalloc.start()
    for turn in range(30):
        base = np.uint64(turn * 100) << np.uint64(32)
        recorder.put(0, 100 * (turn + 1), {0: event_words(np.random.default_rng(turn), 0, 100, 500_000) + base})
    recorder.commit(3000, timeout=30.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    recorder.close()
    assert open_run(tmp_path / "run.zarr")["exc/spikes"].sizes["event"] == 15_000_000  # 120 MB of rows came in
    assert peak < 80e6


def test_silent_and_empty_recordings_are_readable():
    tables = [spikes(), states(every=100), states("none/V_m", 10, Subset(3, 3))]
    recorder = Recorder(None, tables, {}, dt=DT, parts=1)
    recorder.put(0, 99, {2: Columns(1, np.empty((9, 0)))})
    recorder.close()
    run = open_run(recorder).load()
    assert run["exc/spikes"].sizes["event"] == 0
    assert run["exc/spikes"]["time"].dtype == np.float64
    assert dict(run["exc/V_m"].sizes) == {"time": 0, "neuron": NEURONS}
    assert dict(run["none/V_m"].sizes) == {"time": 9, "neuron": 0}
    nothing = Recorder(None, [], {}, dt=DT, parts=1)
    nothing.put(0, 10, {})
    nothing.close()
    assert open_run(nothing).attrs["committed_ms"] == 1.0


def test_wrong_rows_are_refused_where_they_are_given():
    recorder = Recorder(None, [spikes(), states()], {}, dt=DT, parts=1)
    with pytest.raises(TypeError, match=r"exc/spikes: part 0 gave int64; give a uint64 array"):
        recorder.put(0, 10, {0: np.array([1])})
    with pytest.raises(ValueError, match=r"spikes of steps 11 to 11, reporting \(0, 10\]"):
        recorder.put(0, 10, {0: np.array([11 << 32], np.uint64)})
    with pytest.raises(TypeError, match="exc/V_m: part 0 gave a ndarray; give Columns"):
        recorder.put(0, 10, {1: np.zeros((1, NEURONS))})
    with pytest.raises(ValueError, match=r"samples from 1 of shape \(2, 300\); .* from 1 of shape \(1, 300\)"):
        recorder.put(0, 10, {1: Columns(1, np.zeros((2, NEURONS)))})
    with pytest.raises(ValueError, match=r"rows for table 2; there are tables 0\.\.1"):
        recorder.put(0, 10, {2: np.empty(0, np.uint64)})
    with pytest.raises(ValueError, match="claims columns outside"):
        recorder.layout(0, 1, np.array([NEURONS]))
    recorder.put(0, 10, {1: Columns(1, np.zeros((1, NEURONS)))})
    with pytest.raises(ValueError, match="reports step 5 after step 10"):
        recorder.put(0, 5, {})
    recorder.put(0, 20, {})  # a sample is due
    with pytest.raises(StoreError, match=r"exc/V_m: 300 of \d+ samples up to step 20 were never given"):
        recorder.commit(20, timeout=5.0)
    recorder.close(finalise=False)
    with pytest.raises(StoreError):
        recorder.put(0, 30, {})
    with pytest.raises(ValueError, match=r"recordings share a path: \['exc/V_m'\]"):
        Recorder(None, [states(), states()], {}, dt=DT, parts=1)


def test_an_aborted_recorder_keeps_the_last_commit_and_takes_no_more():
    recorder = Recorder(None, [spikes()], {}, dt=DT, parts=1, flush_seconds=1000.0)
    recorder.put(0, 10, {0: np.array([3 << 32], np.uint64)})
    recorder.commit(10, timeout=5.0)
    recorder.put(0, 20, {0: np.array([15 << 32], np.uint64)})
    recorder.close(finalise=False)
    assert open_run(recorder)["exc/spikes"]["tick"].values.tolist() == [3]
    with pytest.raises(StoreError, match="is closed"):
        recorder.put(0, 30, {})


@pytest.mark.parametrize("dt", ["0.1", "0.025", "0.05", "0.125", "1.0", "0.3"])
def test_times_are_the_floats_nearest_to_the_decimal_numbers(dt):
    ticks = np.concatenate([np.arange(5000), np.random.default_rng(0).integers(0, 10**11, 2000)])
    expected = [float(Decimal(int(tick)) * Decimal(dt)) for tick in ticks]
    assert times(ticks, float(dt)).tolist() == expected
    assert times(ticks[:5000], float(dt)).tolist() == [round(k * float(dt), 10) for k in range(5000)]


def test_index_blocks_end_at_the_last_step_within_them():
    for dt in (0.1, 0.3, 1.0, 7.0):
        step = 10_000
        ends = block_ends(0, blocks_until(step, dt), dt)
        exact = Decimal(str(dt))
        brute = defaultdict(int)
        for k in range(1, step + 1):
            brute[int((Decimal(k) * exact - Decimal("1e-9")) // 100)] = k
        whole = [last for block, last in sorted(brute.items()) if (block + 1) * 100 <= step * exact]
        assert ends.tolist() == whole


def test_plain_xarray_opens_a_store_while_it_grows_and_later(tmp_path):
    store = str(tmp_path / "run.zarr")
    recorder = Recorder(store, [spikes(), states()], {}, dt=DT, parts=1)
    sample = Columns(1, value(np.array([1]), np.arange(NEURONS)))
    recorder.put(0, 10, {0: np.array([(3 << 32) | 5, (3 << 32) | 6], np.uint64), 1: sample})
    recorder.commit(10, timeout=5.0)
    for _ in ("live", "closed"):
        for events in (
            xr.open_datatree(store)["exc/spikes"].to_dataset(),
            xr.open_zarr(store, group="exc/spikes", chunks=None),
            xr.open_dataset(store, group="exc/spikes"),
        ):
            assert events.tick.values.tolist() == [3, 3]
            assert events.coords["neuron"].values.tolist() == [5, 6]
        v = xr.open_dataset(store, group="exc/V_m")["V_m"]
        assert v.dims == ("time", "neuron")
        assert v.attrs["units"] == "mV"
        assert v.sel(neuron=7).values.tolist() == sample.values[0, 7:8].astype(np.float32).tolist()
        assert v["time"].values.tolist() == [1.0]
        assert v["time"].attrs["units"] == "ms"
        recorder.close()
    assert xr.open_dataset(f"{store}/exc/spikes", engine="zarr", consolidated=False).tick.values.tolist() == [3, 3]
