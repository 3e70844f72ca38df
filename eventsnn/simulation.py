"""A simulation: a network on a machine. The only place where description, plan, parts and store meet."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn.arguments import one_number, whole_number
from eventsnn.canonical import big_arrays, canonical
from eventsnn.devices import find_gpu
from eventsnn.errors import KindError, ParameterError, StateError, unknown_name
from eventsnn.explicit import explicit
from eventsnn.handles import Dealt, PopulationHandle, ProjectionHandle, Sent
from eventsnn.lower import lower, quantisation
from eventsnn.network import Network
from eventsnn.scheduler.engine import Progress, cores
from eventsnn.scheduler.errors import Exiting, Interrupted
from eventsnn.scheduler.executor import Call, Moved, Parts
from eventsnn.scheduler.keeping import Note, Pace, Start
from eventsnn.scheduler.layout import Owners
from eventsnn.scheduler.local import LocalParts
from eventsnn.scheduler.partition import Partition
from eventsnn.scheduler.placement import Placement, here
from eventsnn.scheduler.plan import Plan, make_plan
from eventsnn.scheduler.recording import Request
from eventsnn.scheduler.report import Latencies, RunReport, slowest, slowest_link
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


class Callback:
    """A function that is called during runs; see Simulation.every."""

    def __init__(self, period: int, function: Callable[[Simulation], object], calls: list[Callback]) -> None:
        self.period, self.function, self._calls = period, function, calls

    def after(self, step: int) -> int:
        """The next step at which it is called."""
        return step // self.period * self.period + self.period

    def cancel(self) -> None:
        """No further calls."""
        if self in self._calls:
            self._calls.remove(self)


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
        checkpoint_every: float | None = None,
        checkpoint_wall: float | None = None,
        recover: bool = True,
        start: Start | None = None,
    ) -> None:
        """`store`: where recordings go; None: memory, in-process only. `client`: a distributed.Client; None: in-process.

        `threads` of each part: the worker's, or the cores of this process, when None. `parts`: 1 in-process and one per worker
        when None. `partition`: (network spec, n) -> slices of each part; `placement`: (layout, places) -> place of each part.
        `backend`: "cpu", "cuda", or "auto": the GPU of each process that has one, else its CPU.
        `progress`: called with (ms reached, spikes so far) at most five times a second; True shows a bar on stderr.
        `checkpoint_every`: biological ms, `checkpoint_wall`: seconds between checkpoints, which lie in the store; None: none are
        made, but on a cluster one a minute. `recover`: a run on a cluster that loses workers goes on from the last checkpoint.
        `start`: where a stored run goes on; snn.resume gives it.
        """
        _check_arguments(network, client, backend)
        _check_functions(partition, placement, progress)
        threads, parts = _number("threads", threads), _number("parts", parts)
        self.network = explicit(network.copy())
        """As it was; what is added to the user's network later is no part of this run."""
        self.spec = lower(self.network, precision)
        self._step = 0 if start is None else start.step
        self._sent: Sent = {} if start is None else {int(p): (step, None) for p, step in start.note.get("sent", {}).items()}
        self._calls: list[Callback] = []
        self._calling = False
        self._state = "planned"
        self._seconds: dict[str, float] = {}
        self._latencies = Latencies()
        self.goal = self.time
        """ms: where the last run was to go."""
        self._progress = progress
        pace = _pace(checkpoint_every, checkpoint_wall, self.spec.dt, store, client is not None and recover)
        request = _request(self.network, store, client, overwrite, bool(self.spec.tables), pace, start)
        if request is not None:
            request.check()

        def planned(without: frozenset[str]) -> Plan:
            made = _plan(self.spec, client, threads, parts, partition, placement, backend, without)
            made.check_memory()
            return made

        self._request = request
        self._parts = _parts(self.spec, planned, client, request, recover)

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
        if self._request is not None and self._request.start is None:
            self._request.keep(self._parts.recorded, big_arrays(self.network))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(suppress=error is not None)

    def close(self) -> None:
        """Ends the parts and completes the store; only the store is left."""
        if self._calling:
            raise StateError(
                "a function that was given to sim.every cannot close the simulation, which goes on when it returns; "
                "raise an exception to end the run, or close it afterwards"
            )
        self._end(suppress=False)

    @property
    def time(self) -> float:
        """ms"""
        return round(self._step * self.spec.dt, 10)

    @property
    def plan(self) -> Plan:
        """Which slices live where; another one after workers were lost."""
        return self._parts.plan

    def run(self, duration: float) -> None:
        """Goes on by `duration` ms, a multiple of dt; what was recorded is in the store when it returns.

        Ctrl-C ends the run early, at a step that all parts have reached and that is in the store.
        """
        self._require_running()
        if self._calling:
            raise StateError("a function that was given to sim.every cannot run the simulation; it goes on when it returns")
        until = self._step + self._steps(duration, "sim.run(ms)")
        if until == self._step:
            return
        if until > LAST:
            raise ParameterError(f"sim.run({duration!r}): time ends at step {LAST} ({LAST * self.spec.dt:g} ms)")
        self.goal = round(until * self.spec.dt, 10)
        with self._reporting(until) as report:
            while self._step < until:
                self._go(min([until, *(call.after(self._step) for call in self._calls)]), report)
                self._call()

    def every(self, period: float, function: Callable[[Simulation], object]) -> Callback:
        """Calls `function(sim)` whenever the time is a multiple of `period` ms (a multiple of dt, > 0), in all runs from now on.

        It is called when all steps up to that time are done and in the store, in the order in which functions were given, and
        before `run` returns where that ends then. It may read, set and inject like a script between two runs, which acts from the
        next step on; an exception ends the run at that time. `every(...).cancel()` ends the calls. Steps between two calls run as
        one piece.
        """
        self._require_running()
        if not callable(function):
            raise KindError(f"sim.every: {function!r} cannot be called; give a function of the simulation")
        steps = self._steps(period, "sim.every(ms, function)")
        if steps < 1:
            raise ParameterError(f"sim.every: the period must be at least dt = {self.spec.dt:g} ms, not {period!r}")
        call = Callback(steps, function, self._calls)
        self._calls.append(call)
        return call

    def _call(self) -> None:
        self._calling = True
        try:
            for call in [call for call in self._calls if self._step % call.period == 0]:
                if call in self._calls:
                    call.function(self)
        finally:
            self._calling = False

    def _go(self, until: int, report: Progress | None) -> None:
        began = time.perf_counter()
        try:
            done = self._parts.run(until, report, self._note)
        except (Interrupted, Exiting) as stop:
            self._ran(stop.step, stop.done)
            raise
        except BaseException:
            self._state = "failed"
            raise
        self._ran(until, done)
        self._latencies.add(time.perf_counter() - began)

    def _ran(self, step: int, done: Sequence[Mapping[str, float]]) -> None:
        self._step = step
        for kind in {kind for seconds in done for kind in seconds} - {"step"}:
            most = sum if kind == "spikes" else max
            value = most(seconds.get(kind, 0.0) for seconds in done)
            self._seconds[kind] = value if kind == "spikes" else self._seconds.get(kind, 0.0) + value

    def checkpoint(self) -> None:
        """Keeps all that is needed to go on from here, in the store; `snn.resume(store)` does, on any machine."""
        self._require_running()
        if self._request is None:
            raise ParameterError("a checkpoint is kept in the store, and this simulation has none: give it store='...'")
        try:
            self._parts.checkpoint(self._note)
        except BaseException:
            self._state = "failed"
            raise

    def __getitem__(self, name: str) -> Any:
        """The handle of a population or a projection."""
        self._require_running()
        if not isinstance(name, str):
            raise KindError(f"sim[{name!r}]: give the name of a population or of a projection, such as sim['exc']")
        if name in self.network.populations:
            return PopulationHandle(_Access(self), self.network[name][:])
        projections = [p.name for p in self.spec.projections]
        if name in projections:
            return ProjectionHandle(_Access(self), projections.index(name), self._sent)
        raise unknown_name("simulation", "population or projection", name, (*self.network.populations, *projections))

    def report(self) -> RunReport:
        """What was done so far and what it cost: a dictionary that prints as tables.

        time (ms); spikes; populations (neurons, spikes, mean rate in Hz over all of that time); seconds by kind of work (of the
        slowest part in each run), of this simulation; real_time_factor; epoch (steps); quantisation (rounding of weights); parts,
        with the seconds of each by kind, its bytes, and its waits for each peer; slowest: the part for which the others wait, or
        None; slowest_link: part, peer and seconds where a part waited longest for one peer, or None; calls: how many pieces
        it ran in (calls of `run`, parted by functions of `every`), and how long one took on average and at most (ms).
        """
        parts: list[dict[str, Any]] = []
        for rank, fact in self._ask(lambda _: [(s.rank, Call(s.rank, None, "statistics", ())) for s in self.plan.shares]):
            compute = fact["seconds_wall"] - fact["seconds_exchange"] - fact["seconds_record"]
            parts.append({**fact, "place": self.plan.shares[rank].place.address, "seconds_compute": compute})
        spikes = self._spikes()
        seconds = {kind: value for kind, value in self._seconds.items() if kind != "spikes"}
        start = self._request.start if self._request is not None else None
        simulated = (self._step - (start.step if start is not None else 0)) * self.spec.dt * 1e-3
        return RunReport(
            time=self.time,
            spikes=sum(spikes),
            populations={
                p.name: {"neurons": p.size, "spikes": n, "rate": n / (p.size * self.time * 1e-3) if self.time else math.nan}
                for p, n in zip(self.spec.populations, spikes, strict=True)
            },
            seconds=seconds,
            real_time_factor=seconds.get("wall", 0.0) / simulated if simulated else math.nan,
            epoch=self.plan.epoch,
            quantisation=quantisation(self.spec),
            parts=parts,
            slowest=slowest(parts),
            slowest_link=slowest_link(parts),
            calls=self._latencies.told(),
        )

    def _spikes(self) -> list[int]:
        """Spikes so far of each population."""
        spikes = [0] * len(self.spec.populations)
        for _, emitted in self._ask(lambda _: [(None, Call(s.rank, None, "emitted", ())) for s in self.plan.shares]):
            for population, n in emitted.items():
                spikes[population] += n
        return spikes

    def __repr__(self) -> str:
        parts = f"{len(self.plan.shares)} part{'' if len(self.plan.shares) == 1 else 's'}"
        return f"<Simulation of {self.spec.size:,} neurons in {parts}, {self._state}, at {self.time:g} ms>"

    @property
    def _recorded_store(self) -> object:
        """What snn.open(simulation) reads."""
        return self._parts.recorded

    @property
    def _note(self) -> Note:
        """What a simulation that is resumed must know besides the state of the parts."""
        return {"sent": {str(projection): step for projection, (step, _) in self._sent.items()}}

    def _ask(self, deal: Callable[[Owners], Dealt]) -> list[tuple[Any, Any]]:
        """Answers of the parts, for handles; they outlive the run, and say so."""
        self._require_running()
        while True:
            dealt = deal(self.plan.owners)
            with contextlib.suppress(Moved):
                answers = self._parts.ask([call for _, call in dealt])
                return [(what, answer) for (what, _), answer in zip(dealt, answers, strict=True)]

    def _steps(self, duration: object, who: str) -> int:
        number = magnitude(duration, "ms", who)
        if isinstance(number, (bool, np.bool_, str)) or np.ndim(number) or not hasattr(number, "__float__"):
            raise KindError(f"{who} takes a number of ms, not {duration!r}")
        ms = float(number)
        if not math.isfinite(ms) or ms < 0.0:
            raise ParameterError(f"{who.partition('(')[0]}({duration!r}): give a finite time >= 0 ms")
        return int(grid_steps(np.array([ms]), self.spec.dt, who.partition("(")[0])[0])

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


class _Access:
    """A simulation as its handles see it."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation, self.spec = simulation, simulation.spec
        self.ask = simulation._ask
        self.changed = simulation._parts.changed

    @property
    def step(self) -> int:
        return self._simulation._step


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


def _pace(every: object, wall: object, dt: float, store: object, clustered: bool) -> Pace:
    """When checkpoints are made."""
    steps, seconds = 0, math.inf
    if (every is not None or wall is not None) and store is None:
        raise ParameterError("checkpoints are kept in the store: give store='...' with checkpoint_every= or checkpoint_wall=")
    if every is not None:
        ms = one_number(every, "ms", "checkpoint_every")
        steps = int(grid_steps(np.array([ms]), dt, "checkpoint_every")[0])
        if steps < 1:
            raise ParameterError(f"checkpoint_every={ms:g}: give a time of at least dt ({dt:g} ms)")
    if wall is not None:
        seconds = one_number(wall, "s", "checkpoint_wall")
        if seconds <= 0.0:
            raise ParameterError(f"checkpoint_wall={seconds:g}: give a number of seconds > 0")
    elif clustered and every is None:
        import dask

        seconds = float(dask.config.get("eventsnn.checkpoint-wall", 60.0))
    return Pace(steps, seconds)


def _request(
    network: Network, store: Any, client: object, overwrite: bool, records: bool, pace: Pace, start: Start | None
) -> Request | None:
    if store is None and not records:
        return None
    if store is None and client is not None:
        raise ParameterError(
            "the network records, and on a cluster recordings need a store: "
            "give store='...' on a file system that the client and the workers share, or a URL"
        )
    kept = {"every_steps": pace.steps, "wall_s": pace.seconds if math.isfinite(pace.seconds) else None}
    return Request(store, {"network": canonical(network), "checkpoints": kept}, overwrite, pace, start).absolute()


def _plan(
    spec: NetworkSpec,
    client: Client | None,
    threads: int | None,
    parts: int | None,
    partition: Partition | None,
    placement: Placement | None,
    backend: str,
    without: frozenset[str],
) -> Plan:
    if client is None:
        gpu = "not looked for" if backend == "cpu" else find_gpu()
        return make_plan(spec, [here(cores(), gpu)], parts or 1, threads, partition, placement, backend=backend)
    from eventsnn.scheduler.workers import cluster_places

    places = cluster_places(client, None if without else parts, backend, without)
    n = min(parts or len(places), len(places), spec.size)
    return make_plan(spec, places, n, threads, partition, placement, alone=True, backend=backend)


def _parts(
    spec: NetworkSpec, planned: Callable[[frozenset[str]], Plan], client: Client | None, request: Request | None, recover: bool
) -> Parts:
    if client is None:
        return LocalParts(spec, planned(frozenset()), request)
    from eventsnn.scheduler.recovery import RecoveringParts

    return RecoveringParts(client, spec, request, planned, recover)
