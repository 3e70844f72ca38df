"""The launches of one step; many steps are captured into a CUDA graph, so that the host pays once for a hundred of them."""

from __future__ import annotations

import threading
from typing import Any

from eventsnn.backends.cuda.device import SIMULATED, argument, compiling, launch_size, start, wait

_CAPTURING = threading.Lock()
"""Parts of one process capture one after the other."""
CAPTURED = (100, 10, 1)
"""Steps of the graphs that a run is put together from."""


class Steps:
    """Launches in order: (kernel, (blocks, threads), arguments)."""

    def __init__(self) -> None:
        self._launches: list[tuple[Any, tuple[int, int], tuple[Any, ...]]] = []
        self._first: list[tuple[Any, tuple[int, int], tuple[Any, ...]]] = []
        self._graphs: dict[int, Any] = {}
        self._stream: Any = None

    def add(self, kernel: Any, items: int, *arguments: Any) -> None:
        """A launch of every step."""
        self._launches.append((kernel, launch_size(items), tuple(argument(a) for a in arguments)))

    def before(self, kernel: Any, items: int, *arguments: Any) -> None:
        """A launch before the first of several steps."""
        self._first.append((kernel, launch_size(items), tuple(argument(a) for a in arguments)))

    def once(self, stream: Any = 0) -> None:
        """Launch one step."""
        for kernel, size, arguments in self._launches:
            start(kernel, size, arguments, stream)

    def run(self, steps: int) -> None:
        """Launch so many steps, and wait for them. Those that the control array does not allow do nothing."""
        for kernel, size, arguments in self._first:
            start(kernel, size, arguments)
        if SIMULATED:
            for _ in range(steps):
                self.once()
            return
        wait()
        for many in CAPTURED:
            times, steps = divmod(steps, many)
            for _ in range(times):
                self._graph(many).launch(self._stream)
        if self._stream is not None:
            self._stream.sync()

    def compile(self) -> None:
        """Compile and load every kernel, which a capture can't; the control array must forbid steps."""
        if not SIMULATED:
            with compiling():
                for kernel, size, arguments in self._first:
                    start(kernel, size, arguments)
                self.once()
                wait()

    def _graph(self, steps: int) -> Any:
        if steps not in self._graphs:
            from cuda.core import Device

            device = Device()
            device.set_current()
            if self._stream is None:
                self._stream = device.create_stream()
            with _CAPTURING:
                builder = device.create_graph_builder()
                try:
                    builder.begin_building()
                    for _ in range(steps):
                        self.once(builder)
                    self._graphs[steps] = builder.end_building().complete()
                finally:
                    builder.close()
        return self._graphs[steps]
