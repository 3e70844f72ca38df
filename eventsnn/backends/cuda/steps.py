"""The launches of one step; many steps are captured into a CUDA graph, so that the host pays once for a hundred of them."""

from __future__ import annotations

from typing import Any

from eventsnn.backends.cuda.device import SIMULATED, argument, launch_size, start

CAPTURED = 100
"""Steps of one graph. Kernels do nothing once the last step is done, so a graph may run over the end of a run."""


class Steps:
    """Launches in order: (kernel, items, arguments)."""

    def __init__(self) -> None:
        self._launches: list[tuple[Any, tuple[int, int], tuple[Any, ...]]] = []
        self._graph: Any = None
        self._stream: Any = None

    def add(self, kernel: Any, items: int, *arguments: Any) -> None:
        self._launches.append((kernel, launch_size(items), tuple(argument(a) for a in arguments)))

    def once(self, stream: Any = 0) -> None:
        """Launch one step."""
        for kernel, size, arguments in self._launches:
            start(kernel, size, arguments, stream)

    def run(self, steps: int) -> None:
        """Launch at least so many steps, and wait for them. Those that the control array does not allow do nothing."""
        if SIMULATED:
            for _ in range(steps):
                self.once()
            return
        from numba import cuda

        if self._graph is None:
            self._capture()
        cuda.synchronize()  # what was written to the device, on the stream that all share
        for _ in range(-(-steps // CAPTURED)):
            self._graph.launch(self._stream)
        self._stream.sync()

    def compile(self) -> None:
        """Compile and load every kernel, which a capture can't; the control array must forbid steps."""
        if not SIMULATED:
            from numba import cuda

            self.once()
            cuda.synchronize()

    def _capture(self) -> None:
        from cuda.core import Device

        self.compile()
        device = Device()
        device.set_current()
        self._stream = device.create_stream()
        builder = device.create_graph_builder()
        builder.begin_building()
        for _ in range(CAPTURED):
            self.once(builder)
        self._graph = builder.end_building().complete()
