"""The launches of one step; many steps are captured into a CUDA graph, so that the host pays once for all of them."""

from __future__ import annotations

import threading
from typing import Any

from eventsnn.backends.cuda.device import SIMULATED, argument, compiling, launch_size, start, wait

_CAPTURING = threading.Lock()
"""Parts of one process capture one after the other."""
CAPTURED = (100, 10, 1)
"""Steps of the graphs that a run is put together from."""
LONGEST = 200
"""Steps of the longest graph."""
Launch = tuple[Any, tuple[int, int], tuple[Any, ...]]


class Steps:
    """Launches in order: (kernel, (blocks, threads), arguments). `epoch`: steps between two exchanges, one graph where it can."""

    def __init__(self, epoch: int = 1) -> None:
        self._launches: list[Launch] = []
        self._first: list[Launch] = []
        self._given: list[Launch] = []
        self._sizes = sorted({*CAPTURED, min(epoch, LONGEST)}, reverse=True)
        self._graphs: dict[tuple[int, bool], Any] = {}
        self._stream: Any = None

    def add(self, kernel: Any, items: int, *arguments: Any) -> None:
        """A launch of every step."""
        self._launches.append((kernel, launch_size(items), tuple(argument(a) for a in arguments)))

    def before(self, kernel: Any, items: int, *arguments: Any) -> None:
        """A launch before the first of several steps."""
        self._first.append((kernel, launch_size(items), tuple(argument(a) for a in arguments)))

    def given(self, kernel: Any, items: int, *arguments: Any) -> None:
        """A launch for what peers sent, before all others."""
        self._given.append((kernel, launch_size(items), tuple(argument(a) for a in arguments)))

    def take(self, stream: Any = 0) -> None:
        """Launch what peers sent."""
        for kernel, size, arguments in self._given:
            start(kernel, size, arguments, stream)

    def once(self, stream: Any = 0) -> None:
        """Launch one step."""
        for kernel, size, arguments in self._launches:
            start(kernel, size, arguments, stream)

    def run(self, steps: int) -> None:
        """Launch what peers sent and so many steps, and wait. Those that the control array does not allow do nothing."""
        if SIMULATED:
            self._several(steps, True, 0)
            return
        wait()
        first = True
        for many in self._sizes:
            times, steps = divmod(steps, many)
            for _ in range(times):
                self._graph(many, first).launch(self._stream)
                first = False
        if self._stream is not None:
            self._stream.sync()

    def _several(self, steps: int, first: bool, stream: Any) -> None:
        if first:
            self.take(stream)
            for kernel, size, arguments in self._first:
                start(kernel, size, arguments, stream)
        for _ in range(steps):
            self.once(stream)

    def compile(self) -> None:
        """Compile and load every kernel, which a capture can't; the control array must forbid steps."""
        if not SIMULATED:
            with compiling():
                self._several(1, True, 0)
                wait()

    def _graph(self, steps: int, first: bool) -> Any:
        if (steps, first) not in self._graphs:
            from cuda.core import Device

            device = Device()
            device.set_current()
            if self._stream is None:
                self._stream = device.create_stream()
            with _CAPTURING:
                builder = device.create_graph_builder()
                try:
                    builder.begin_building()
                    self._several(steps, first, builder)
                    self._graphs[steps, first] = builder.end_building().complete()
                finally:
                    builder.close()
        return self._graphs[steps, first]
