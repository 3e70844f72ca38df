"""The host's side of backend cuda, with lists in the place of graphs: what is launched, what is told, who compiles."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("numba_cuda")

from eventsnn.backends.cuda import device, steps
from eventsnn.errors import DeviceError


class Graphs:
    """In the place of cuda.core: graphs are lists of launches."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.closed = 0
        self.building: list[str] = []

    def set_current(self) -> None: ...

    def create_stream(self) -> Any:
        return SimpleNamespace(sync=lambda: self.seen.append("sync"))

    def create_graph_builder(self) -> Any:
        return self

    def begin_building(self) -> None:
        self.building = []

    def end_building(self) -> Any:
        kept = list(self.building)
        return SimpleNamespace(complete=lambda: SimpleNamespace(launch=lambda stream: self.seen.extend(kept)))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Graphs:
    made = Graphs()

    def start(kernel: str, size: tuple[int, int], arguments: tuple[Any, ...], stream: Any = 0) -> None:
        if kernel == "broken":
            raise RuntimeError("broken")
        (made.building if stream is made else made.seen).append(kernel)

    core = SimpleNamespace(Device=lambda: made)
    monkeypatch.setitem(sys.modules, "cuda.core", core)
    monkeypatch.setattr(steps, "start", start)
    monkeypatch.setattr(steps, "launch_size", lambda items: (1, 1))
    monkeypatch.setattr(steps, "argument", lambda a: a)
    monkeypatch.setattr(steps, "wait", lambda: made.seen.append("wait"))
    monkeypatch.setattr(steps, "SIMULATED", False)
    return made


@pytest.mark.parametrize(("epoch", "number"), [(1, 1), (1, 234), (7, 7), (7, 20), (15, 300), (5000, 5000)])
def test_graphs_hold_the_steps_in_order(epoch: int, number: int, graphs: Graphs) -> None:
    made = steps.Steps(epoch)
    made.add("update", 1)
    made.add("deliver", 1)
    made.before("prepare", 1)
    made.given("mail", 1)
    for _ in range(2):  # the second time, graphs are there
        graphs.seen.clear()
        made.run(number)
        assert graphs.seen == ["wait", "mail", "prepare", *["update", "deliver"] * number, "sync"]


def test_a_capture_that_fails_is_closed(graphs: Graphs) -> None:
    made = steps.Steps()
    made.add("broken", 1)
    with pytest.raises(RuntimeError, match="broken"):
        made.run(1)
    assert graphs.closed == 1


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (type("NvvmSupportError", (Exception,), {})("no libnvvm"), DeviceError, "kernels can't be compiled here .*backend='cpu'"),
        (type("Late", (type("CUDAError", (Exception,), {}),), {})("lost"), DeviceError, "the GPU failed or was lost"),
        (MemoryError("std::bad_alloc: cudaErrorMemoryAllocation"), MemoryError, "the GPU has no memory left"),
        (MemoryError("of the host"), MemoryError, "^of the host"),
        (ValueError("out of memory, says a user"), ValueError, "^out of memory, says"),
    ],
)
def test_errors_of_cuda_are_told(error: Exception, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said), device.told():
        raise error


def test_processes_compile_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, but not for ever."""
    monkeypatch.setenv("EVENTSNN_CACHE", str(tmp_path))
    monkeypatch.setattr(device, "PATIENCE", 0.3)
    with device.compiling():
        began = time.monotonic()
        with device.compiling():
            assert 0.3 <= time.monotonic() - began < 10.0
    began = time.monotonic()
    with device.compiling():
        assert time.monotonic() - began < 0.3
