"""A simulation: a network on a machine. The only place where description, plan, parts and store meet."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn.arguments import whole_number
from eventsnn.canonical import canonical
from eventsnn.devices import find_gpu
from eventsnn.errors import KindError, ParameterError, unknown_name
from eventsnn.handles import PopulationHandle, ProjectionHandle, Sent
from eventsnn.lower import lower, quantisation
from eventsnn.network import Network
from eventsnn.scheduler.engine import cores
from eventsnn.scheduler.errors import Interrupted
from eventsnn.scheduler.executor import Call, Parts
from eventsnn.scheduler.layout import Owners
from eventsnn.scheduler.local import LocalParts
from eventsnn.scheduler.partition import Partition
from eventsnn.scheduler.placement import Placement, here
from eventsnn.scheduler.plan import Plan, make_plan
from eventsnn.scheduler.recording import Request
from eventsnn.spec import NetworkSpec
from eventsnn.units import grid_steps, magnitude

if TYPE_CHECKING:
    from distributed import Client
    from zarr.abc.store import Store

Report = Callable[[float, int], None]
"""Time reached (ms), spikes so far."""
BACKENDS = ("auto", "cpu", "cuda")
LAST = 2**32 - 1
"""The last step: recorded spikes keep theirs in 32 bits."""


class Simulation:
    """Runs a network, in this process or on the workers of a Dask client; the same spikes either way.

    The plan is made at once and may be printed; parts are built on entering the context.

    >>> import eventsnn as snn
    >>> from eventsnn.models import IafPscExp
    >>> net = snn.Network(seed=1, dt=0.1)
    >>> exc = net.population("exc", 10, IafPscExp(I_e=500.0))
    >>> with snn.Simulation(net) as sim:
    ...     sim.run(100.0)
    ...     rate = sim["exc"].counts().mean() / 0.1
    """

    def __init__(
        self,
        network: Network,
        *,
        store: str | os.PathLike[str] | Store | None = None,
        client: Client | None = None,
        threads: int | None = None,
        parts: int | None = None,
        partition: Partition | None = None,
        placement: Placement | None = None,
        backend: str = "auto",
        precision: str = "float64",
        overwrite: bool = False,
        progress: Report | bool = False,
    ) -> None:
        """`store`: where recordings go; None: memory, in-process only. `client`: a distributed.Client; None: in-process.

        `threads` of each part: the worker's, or the cores of this process, when None. `parts`: 1 in-process and one per worker
        when None. `partition`: (network spec, n) -> slices of each part; `placement`: (layout, places) -> place of each part.
        `backend`: "cpu", "cuda", or "auto": the GPU of each process that has one, else its CPU.
        `progress`: called with (ms reached, spikes so far) at most five times a second; True shows a bar on stderr.
        """
        _check_arguments(network, client, backend)
        _check_functions(partition, placement, progress)
        threads, parts = _number("threads", threads), _number("parts", parts)
        self.network = network.copy()
        """As it was; what is added to the user's network later is no part of this run."""
        self.spec = lower(self.network, precision)
        self._step = 0
        self._sent: Sent = {}
        self._state = "planned"
        self._seconds: dict[str, float] = {}
        self._progress = progress
        request = _request(self.network, store, client, overwrite, bool(self.spec.recordings))
        if request is not None:
            request.check()
        self.plan: Plan = _plan(self.spec, client, threads, parts, partition, placement, backend)
        self.plan.check_memory()
        self._owners = Owners(self.plan.layout)
        self._parts = _parts(self.spec, self.plan, client, request)

    def __enter__(self) -> Simulation:
        if self._state != "planned":
            raise RuntimeError(f"this simulation is {self._state}; it can be entered once: make another one")
        began = time.perf_counter()
        self._state = "running"
        try:
            self._parts.build()
        except BaseException:
            self._end(suppress=True)
            raise
        self._seconds["build"] = time.perf_counter() - began
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(suppress=error is not None)

    def close(self) -> None:
        """Ends the parts and completes the store; only the store is left."""
        self._end(suppress=False)

    @property
    def time(self) -> float:
        """ms"""
        return round(self._step * self.spec.dt, 10)

    def run(self, duration: float) -> None:
        """Goes on by `duration` ms, a multiple of dt; what was recorded is in the store when it returns.

        Ctrl-C ends the run early, at a step that all parts have reached and that is in the store.
        """
        self._require_running()
        until = self._step + self._steps(duration)
        if until == self._step:
            return
        if until > LAST:
            raise ParameterError(f"sim.run({duration!r}): time ends at step {LAST} ({LAST * self.spec.dt:g} ms)")
        with self._reporting(until) as report:
            try:
                done = self._parts.run(until, report)
            except Interrupted as interrupt:
                self._step = interrupt.step
                raise
            except BaseException:
                self._state = "failed"
                raise
        self._step = until
        for kind in {kind for seconds in done for kind in seconds} - {"step"}:
            most = sum if kind == "spikes" else max
            value = most(seconds.get(kind, 0.0) for seconds in done)
            self._seconds[kind] = value if kind == "spikes" else self._seconds.get(kind, 0.0) + value

    def __getitem__(self, name: str) -> Any:
        """The handle of a population or a projection."""
        self._require_running()
        if not isinstance(name, str):
            raise KindError(f"sim[{name!r}]: give the name of a population or of a projection, such as sim['exc']")
        if name in self.network.populations:
            return PopulationHandle(self._ask, self.spec, self._owners, self.network[name][:], lambda: self._step)
        projections = [p.name for p in self.spec.projections]
        if name in projections:
            return ProjectionHandle(self._ask, self.spec, self._owners, projections.index(name), lambda: self._step, self._sent)
        raise unknown_name("simulation", "population or projection", name, (*self.network.populations, *projections))

    def report(self) -> dict[str, object]:
        """Time simulated (ms), spikes, seconds by kind of work (of the slowest part), rounding of weights, facts of each part."""
        facts = self._ask([Call(share.rank, None, "statistics", ()) for share in self.plan.shares])
        seconds = {kind: value for kind, value in self._seconds.items() if kind != "spikes"}
        return {
            "time": self.time,
            "spikes": int(self._seconds.get("spikes", 0)),
            "seconds": seconds,
            "real_time_factor": seconds.get("wall", 0.0) / (self.time * 1e-3) if self.time else math.nan,
            "epoch": self.plan.epoch,
            "quantisation": quantisation(self.spec),
            "parts": facts,
        }

    def __repr__(self) -> str:
        parts = f"{len(self.plan.shares)} part{'' if len(self.plan.shares) == 1 else 's'}"
        return f"<Simulation of {self.spec.size:,} neurons in {parts}, {self._state}, at {self.time:g} ms>"

    @property
    def _recorded_store(self) -> object:
        """What snn.open(simulation) reads."""
        return self._parts.recorded

    def _ask(self, calls: Sequence[Call]) -> list[Any]:
        """Answers of the parts, for handles; they outlive the run, and say so."""
        self._require_running()
        return self._parts.ask(calls)

    def _steps(self, duration: object) -> int:
        number = magnitude(duration, "ms", "sim.run(ms)")
        if isinstance(number, (bool, np.bool_, str)) or np.ndim(number) or not hasattr(number, "__float__"):
            raise KindError(f"sim.run(ms) takes a number of ms, not {duration!r}")
        ms = float(number)
        if not math.isfinite(ms) or ms < 0.0:
            raise ParameterError(f"sim.run({duration!r}): give a finite time >= 0 ms")
        return int(grid_steps(np.array([ms]), self.spec.dt, "sim.run")[0])

    def _require_running(self) -> None:
        if self._state == "planned":
            raise RuntimeError("the simulation is not built yet; use it in a block: with Simulation(network, ...) as sim:")
        if self._state != "running":
            raise RuntimeError(f"the simulation is {self._state} and cannot go on; make another one")

    def _end(self, suppress: bool) -> None:
        if self._state == "closed":
            return
        told = suppress or self._state == "failed"
        self._state = "closed"
        with contextlib.suppress(Exception) if told else contextlib.nullcontext():
            self._parts.close()

    @contextlib.contextmanager
    def _reporting(self, until: int) -> Any:
        """What the parts call with the step reached and the spikes so far, or None."""
        dt, progress = self.spec.dt, self._progress
        if callable(progress):
            yield lambda step, spikes: progress(round(step * dt, 10), spikes)
        elif progress:
            from tqdm import tqdm

            first = self._step
            with tqdm(total=round((until - first) * dt, 10), unit="ms", file=sys.stderr) as bar:

                def show(step: int, spikes: int) -> None:
                    bar.set_postfix_str(f"{spikes:,} spikes", refresh=False)
                    bar.update((step - first) * dt - bar.n)

                yield show
        else:
            yield None


def _check_arguments(network: object, client: object, backend: object) -> None:
    """What can be said before the network is looked at."""
    if not isinstance(network, Network):
        raise KindError(f"Simulation(network, ...): {network!r} is no network; make one with Network(seed=..., dt=...)")
    if backend not in BACKENDS:
        raise unknown_name("Simulation", "backend", str(backend), BACKENDS)
    if client is not None:
        from eventsnn.scheduler.workers import check_client

        check_client(client)


def _check_functions(partition: object, placement: object, progress: object) -> None:
    for name, given, what in (
        ("partition", partition, "(network spec, n) -> slices of each part, such as eventsnn.scheduler.partition.balanced"),
        ("placement", placement, "(layout, places) -> place of each part"),
    ):
        if given is not None and not callable(given):
            raise KindError(f"{name}={given!r}: give a function {what}, or None")
    if not isinstance(progress, bool) and not callable(progress):
        raise KindError(f"progress={progress!r}: give True, False, or a function of (ms reached, spikes so far)")


def _number(name: str, given: object) -> int | None:
    """A number of threads or parts, as it was given."""
    if given is None:
        return None
    number = whole_number(given)
    if number is None:
        raise KindError(f"{name}={given!r}: give a whole number, or None")
    if number < 1:
        raise ParameterError(f"{name}={number}: give at least 1, or None")
    return number


def _request(network: Network, store: Any, client: object, overwrite: bool, records: bool) -> Request | None:
    if store is None and not records:
        return None
    if store is None and client is not None:
        raise ParameterError(
            "the network records, and on a cluster recordings need a store: "
            "give store='...' on a file system that the client and the workers share, or a URL"
        )
    return Request(store, {"network": canonical(network)}, overwrite).absolute()


def _plan(
    spec: NetworkSpec,
    client: Client | None,
    threads: int | None,
    parts: int | None,
    partition: Partition | None,
    placement: Placement | None,
    backend: str,
) -> Plan:
    if client is None:
        gpu = "not looked for" if backend == "cpu" else find_gpu()
        return make_plan(spec, [here(cores(), gpu)], parts or 1, threads, partition, placement, backend=backend)
    from eventsnn.scheduler.workers import cluster_places

    places = cluster_places(client, parts, backend)
    n = parts or min(len(places), spec.size)
    return make_plan(spec, places, n, threads, partition, placement, alone=True, backend=backend)


def _parts(spec: NetworkSpec, plan: Plan, client: Client | None, request: Request | None) -> Parts:
    if client is None:
        return LocalParts(spec, plan, request)
    from eventsnn.scheduler.cluster import DaskParts

    return DaskParts(client, spec, plan, request)
