"""Recordings that keep the last steps only: exactly these are shown, what is older leaves the disk, and resuming still works."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from test_storage_recorder import DT, NEURONS, event_words, part_chunks, spikes, states
from test_storage_resume import TARGETS, objects
from zarr.storage import MemoryStore

from eventsnn.storage.recorder import Recorder, Since
from eventsnn.storage.results import open_run
from eventsnn.storage.summary import summary

KEEP = 4_000
TABLES = [replace(spikes(), keep=KEEP), replace(states(every=2), keep=KEEP), states("net/inh/V_m", 3)]
RATE = 2_000
"""Events of 100 steps."""
OWNERS = np.zeros(NEURONS, np.int64)


def words_of(first, last):
    """Events of the steps (first, last], multiples of 100."""
    return np.concatenate([event_words(np.random.default_rng(k), k, k + 100, RATE) for k in range(first, last, 100)])


def rows_of(first, last):
    chunks = part_chunks(words_of(first, last), OWNERS, 0, first, last)
    samples = np.arange(first // 2 + 1, last // 2 + 1)
    chunks[1] = type(chunks[1])(int(samples[0]), sampled(samples)) if 1 in chunks else None
    chunks[2] = type(chunks[1])(first // 3 + 1, np.ones((last // 3 - first // 3, NEURONS)))
    return chunks


def sampled(samples):
    return (samples[:, None] * 1_000 + np.arange(NEURONS)).astype(np.float32)


def start(target, tables=TABLES, **options):
    return Recorder(target, tables, {"seed": 1}, dt=DT, parts=1, flush_seconds=1000.0, **options)


def drive(recorder, first, last, piece=500, tables=3):
    for step in range(first, last, piece):
        chunks = rows_of(step, min(last, step + piece))
        recorder.put(0, min(last, step + piece), {table: chunks[table] for table in range(tables)})
        recorder.commit(min(last, step + piece), timeout=30.0)


def check(target, step, oldest=None):
    """What is shown are the rows of (step - KEEP, step], or of those after `oldest`."""
    start = max(step - KEEP, 0) if oldest is None else oldest
    run = open_run(target)
    words = words_of(0, step)
    words = words[words >> np.uint64(32) > start]
    events = run["exc/spikes"].to_dataset()
    assert np.array_equal(events["tick"], (words >> np.uint64(32)).astype(np.int64))
    assert np.array_equal(events["neuron"], (words & np.uint64(0xFFFFFFFF)).astype(np.int32))
    assert np.array_equal(events["time"], np.round((words >> np.uint64(32)).astype(float) * DT, 10))
    index = run["exc/spikes/index"].to_dataset()
    ends = [end for end in range(1000, step + 1, 1000) if end > start]
    assert index["end_ms"].values.tolist() == [end * DT for end in ends]
    assert index["stop"].values.tolist() == [int(np.sum(words >> np.uint64(32) <= end)) for end in ends]
    samples = np.arange(start // 2 + 1, step // 2 + 1)
    assert np.array_equal(run["exc/V_m"]["V_m"], sampled(samples))
    assert run["exc/V_m"]["time"].values.tolist() == [round(k * 2 * DT, 10) for k in samples]
    assert run["net/inh/V_m"].sizes["time"] == step // 3  # keeps all


@pytest.mark.parametrize("kind", TARGETS)
def test_exactly_the_last_steps_are_shown_at_every_commit(tmp_path, kind):
    target = TARGETS[kind](tmp_path)
    recorder = start(target)
    for step in range(0, 14_000, 700):
        drive(recorder, step, step + 700, piece=700)
        check(target, step + 700)
    recorder.close()
    check(target, 14_000)


def test_what_was_dropped_reads_as_zeros_for_who_does_not_look(tmp_path):
    store = tmp_path / "run.zarr"
    recorder = start(store)
    drive(recorder, 0, 14_000)
    recorder.close()
    plain = xr.open_dataset(store, engine="zarr", group="exc/V_m")
    first = plain.attrs["first_row"]
    assert first == (14_000 - KEEP) // 2 and plain.attrs["keep_ms"] == 400.0
    assert np.array_equal(plain["V_m"][first:], sampled(np.arange(first + 1, 7_001)))
    assert not plain["V_m"][:1000].any()


@pytest.mark.parametrize("kind", TARGETS)
def test_disk_use_stays_flat_over_a_run_of_twenty_times_the_length(tmp_path, kind):
    target = TARGETS[kind](tmp_path)
    recorder, sizes = start(target, TABLES[:2]), []
    for step in range(0, 20 * KEEP, KEEP):
        drive(recorder, step, step + KEEP, piece=1000, tables=2)
        found = objects(target)
        sizes.append((len(found), sum(len(data) for data in found.values() if isinstance(data, bytes))))
    recorder.close()
    first, later = np.array(sizes)[:5].max(axis=0), np.array(sizes)[5:].max(axis=0)
    assert (later <= first).all()  # of counts and of bytes; both go up and down by whole chunks
    if kind == "folder":
        folders = [path for path in (tmp_path / "run.zarr").rglob("*") if path.is_dir()]
        assert len(folders) < 30  # rows of chunks are folders


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize(("back", "reached"), [(2_000, 3_500), (6_100, 13_000), (9_900, 19_900)])
def test_a_run_that_goes_back_keeps_what_an_undisturbed_one_keeps(tmp_path, kind, back, reached):
    """Rows of a checkpoint outlive the window of the run that goes on."""
    end = 12_000

    def undisturbed(target):
        recorder = start(target)
        drive(recorder, 0, back)
        rows = recorder.rows()
        return recorder, rows

    whole = MemoryStore()
    recorder, _ = undisturbed(whole)
    drive(recorder, back, end)
    recorder.close()
    check(whole, end)

    target = TARGETS[kind](tmp_path)
    recorder, rows = undisturbed(target)
    drive(recorder, back, reached)
    recorder.close(finalise=False)
    recorder = start(target, since=Since(back, rows))
    check(target, back)
    drive(recorder, back, end, piece=800)
    recorder.close()
    check(target, end)
    assert objects(target) == objects(whole)


def test_rows_of_a_moment_that_was_not_marked_are_missed_and_not_made_up():
    store = MemoryStore()
    recorder = start(store)
    drive(recorder, 0, 6_000)
    marked = recorder.rows()
    for step in range(6_000, 20_000, 500):
        drive(recorder, step, step + 500)
        recorder.rows()
    recorder.close(finalise=False)
    recorder = start(store, since=Since(6_000, marked))  # three others were marked since
    shown = open_run(store)
    assert shown["exc/spikes"].sizes["event"] == 0 and shown["exc/V_m"].sizes["time"] == 0
    drive(recorder, 6_000, 11_000)
    recorder.close()
    check(store, 11_000)


def test_a_summary_counts_what_is_kept():
    store = MemoryStore()
    recorder = start(store, TABLES[:2])
    drive(recorder, 0, 10_000, tables=2)
    recorder.close()
    states_line, spikes_line = (line.split() for line in summary(store).splitlines()[-2:])
    assert states_line[-4:] == [f"{KEEP // 2:,}", "x", "300", "float32"]
    events = RATE * KEEP // 100
    assert spikes_line[-4:] == [f"{events:,}", "events,", f"{events / (NEURONS * KEEP * DT / 1000):.2f}", "Hz"]
