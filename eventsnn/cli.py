"""The command `eventsnn`: run a network of the library, say what a store holds."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import xarray as xr

SETTLED = 500.0
"""ms: rates are counted after so long, or in the second half of a shorter run."""


class _Group(click.Group):
    """Faults of the user end the command with one line; anything else is ours and keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        from eventsnn.errors import EventsnnError

        try:
            return super().invoke(ctx)
        except (EventsnnError, OSError, MemoryError) as fault:
            told = " ".join(str(fault).split()) or type(fault).__name__
            raise click.ClickException(told.replace("overwrite=True", "--overwrite")) from fault


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="eventsnn")
def main() -> None:
    """Simulate networks of spiking neurons."""


@main.group()
def run() -> None:
    """Run a network of the library."""


@run.command()
@click.option("--scale", default=1.0, show_default=True, help="Neurons and in-degrees, as a fraction of the full model.")
@click.option("--time", "duration", default=1000.0, show_default=True, help="Biological time in ms.")
@click.option("--seed", default=1, show_default=True, help="Seed of everything random.")
@click.option("--threads", type=int, help="Threads of each process.  [default: its cores]")
@click.option("--workers", type=click.IntRange(min=1), help="Start a local Dask cluster of so many processes.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster with this scheduler.")
@click.option("--store", default="microcircuit.zarr", show_default=True, help="Where the spikes go.")
@click.option("--overwrite", is_flag=True, help="Replace an existing store.")
@click.option("--backend", default="auto", show_default=True, help="What computes: auto, cpu or cuda.")
@click.option("--figure", default="microcircuit.png", show_default=True, help="Where the figure goes; needs matplotlib.")
def microcircuit(
    scale: float,
    duration: float,
    seed: int,
    threads: int | None,
    workers: int | None,
    scheduler: str | None,
    store: str,
    overwrite: bool,
    backend: str,
    figure: str,
) -> None:
    """The cortical microcircuit of Potjans & Diesmann (2014), with Poisson background."""
    import eventsnn as snn
    from eventsnn.models.networks.microcircuit import Microcircuit
    from eventsnn.models.networks.microcircuit import microcircuit as describe

    net = describe(scale=scale, seed=seed)
    _check_duration(duration, net.dt)
    bar = _Bar()
    with _client(workers, scheduler) as client:
        click.echo(f"building {sum(Microcircuit.at(scale).neurons):,} neurons", err=True)
        started = time.perf_counter()
        options = {"client": client, "threads": threads, "backend": backend, "overwrite": overwrite}
        with snn.Simulation(net, store=store, progress=bar.report, **options) as sim:
            built = time.perf_counter()
            with bar.over(0.0, duration):
                sim.run(duration)
            ended = time.perf_counter()
            peak = _peak(client)
    sizes = dict(zip(Microcircuit.at(scale).names, Microcircuit.at(scale).neurons, strict=True))
    recorded, since = snn.open(store), min(SETTLED, duration / 2.0)
    means = [firing_rate(recorded.children[name].children["spikes"], size, since, duration) for name, size in sizes.items()]
    reference = Microcircuit.at(scale).nest_rates()
    click.echo(rate_table(sizes, means, reference, since, duration))
    factor = (ended - built) / (duration * 1e-3)
    click.echo(f"real-time factor {factor:.3g} (build {built - started:.1f} s, peak {peak / 1e9:.2f} GB)")
    _draw(recorded, sizes, means, reference, figure)


@main.command()
@click.argument("store")
@click.option("--until", type=float, help="Biological time to reach, in ms.  [default: where the run was to go]")
@click.option("--threads", type=int, help="Threads of each process.  [default: its cores]")
@click.option("--parts", type=click.IntRange(min=1), help="Cut the network into so many.  [default: 1, or one per worker]")
@click.option("--workers", type=click.IntRange(min=1), help="Start a local Dask cluster of so many processes.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster with this scheduler.")
@click.option("--scheduler-file", metavar="FILE", help="Run on the Dask cluster that this file names.")
@click.option("--backend", default="auto", show_default=True, help="What computes: auto, cpu or cuda.")
def resume(
    store: str,
    until: float | None,
    threads: int | None,
    parts: int | None,
    workers: int | None,
    scheduler: str | None,
    scheduler_file: str | None,
    backend: str,
) -> None:
    """Go on with the run in STORE from its last checkpoint, on any machine."""
    import eventsnn as snn

    with _client(workers, scheduler, scheduler_file) as client:
        bar = _Bar()
        sim = snn.resume(store, client=client, threads=threads, parts=parts, backend=backend, progress=bar.report)
        goal = sim.goal if until is None else until
        if goal < sim.time:
            raise click.UsageError(f"--until {goal:g}: the last checkpoint is at {sim.time:g} ms already")
        click.echo(f"going on from {sim.time:g} ms to {goal:g} ms", err=True)
        with sim, bar.over(sim.time, goal):
            sim.run(round(goal - sim.time, 10))
    click.echo(f"{store} holds {goal:g} ms")


@main.command()
@click.argument("store")
def info(store: str) -> None:
    """Say what STORE holds."""
    from eventsnn.storage.summary import summary

    click.echo(summary(store))


@main.command()
@click.argument("store")
@click.option("--undo", is_flag=True, help="Make them many again.")
def pack(store: str, undo: bool) -> None:
    """Make few files of the many of the ended run in STORE, with the same contents."""
    from eventsnn.storage import packing

    before, after = packing.unpack(store) if undo else packing.pack(store)
    click.echo(f"{store}: {before:,} files before, {after:,} now")


@main.command()
def doctor() -> None:
    """Say what this machine offers, and what to install."""
    from eventsnn.doctor import findings

    for finding in findings():
        click.echo(finding)


def _check_duration(duration: float, dt: float) -> None:
    """Before a store is made."""
    import numpy as np

    from eventsnn.units import grid_steps

    if not 0.0 < duration < float("inf"):
        raise click.UsageError(f"--time {duration:g}: give a positive time in ms")
    grid_steps(np.array([duration]), dt, "--time")


def firing_rate(spikes: xr.DataTree, neurons: int, since: float, until: float) -> float:
    """Hz: mean over neurons, of the spikes stamped in (since, until] ms."""
    times = spikes.to_dataset()["time"].values
    return int(((times > since) & (times <= until)).sum()) / (neurons * (until - since) * 1e-3)


def rate_table(
    sizes: dict[str, int], means: Sequence[float], reference: Sequence[float] | None, since: float, until: float
) -> str:
    """Firing rates of each population beside those of the NEST reference run."""
    lines = [f"firing rates from {since:g} to {until:g} ms", f"{'population':<10} {'neurons':>8} {'Hz':>8} {'NEST':>8}"]
    for k, (name, size) in enumerate(sizes.items()):
        beside = f"{reference[k]:8.3f}" if reference is not None else f"{'-':>8}"
        lines.append(f"{name:<10} {size:>8} {means[k]:8.3f} {beside}")
    if reference is None:
        lines.append("(NEST reference runs exist for scale 1 and 0.1)")
    return "\n".join(lines)


@contextmanager
def _client(workers: int | None, scheduler: str | None, scheduler_file: str | None = None) -> Iterator[Any]:
    if sum(given is not None for given in (workers, scheduler, scheduler_file)) > 1:
        raise click.UsageError("--workers starts a cluster, --scheduler and --scheduler-file use one that runs: give one of them")
    if workers is not None:
        from distributed import LocalCluster

        options = {"processes": True, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        with LocalCluster(n_workers=workers, **options) as cluster, cluster.get_client() as client:
            yield client
    elif scheduler is not None or scheduler_file is not None:
        from distributed import Client

        where = {"address": scheduler} if scheduler is not None else {"scheduler_file": scheduler_file}
        _check_certificates(scheduler or _address_in(str(scheduler_file)))
        with Client(**where, timeout="10s") as client:
            yield client
    else:
        yield None


def _address_in(scheduler_file: str) -> str:
    """Of the scheduler that a file names, if it is there yet."""
    with suppress(OSError, ValueError), open(scheduler_file) as file:
        return str(json.load(file).get("address", ""))
    return ""


def _check_certificates(address: str) -> None:
    from distributed import Security

    if address.startswith("tls://") and Security().get_connection_args("client")["ssl_context"] is None:
        raise click.ClickException(
            f"the scheduler at {address} wants certificates, and Dask's configuration has none: name the files in "
            "distributed.comm.tls.ca-file, distributed.comm.tls.client.cert and distributed.comm.tls.client.key, "
            "or as DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ..__CLIENT__CERT and ..__CLIENT__KEY"
        )


class _Bar:
    """A bar on stderr: time reached (ms), time spent and left, real-time factor, spikes so far."""

    def __init__(self) -> None:
        self._since = self._until = self._began = 0.0
        self._bar: Any = None

    @contextmanager
    def over(self, since: float, until: float) -> Iterator[None]:
        """Shows a run from `since` to `until` ms."""
        from tqdm import tqdm

        shape = "{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} ms [{elapsed}, {remaining} left{postfix}]"
        self._since, self._until, self._began = since, until, time.perf_counter()
        with tqdm(total=until, initial=since, file=sys.stderr, bar_format=shape) as self._bar:
            yield

    def report(self, reached: float, spikes: int) -> None:
        if reached > self._since:
            factor = (time.perf_counter() - self._began) / ((reached - self._since) * 1e-3)
            self._bar.set_postfix_str(f"real-time factor {factor:.2f}, {spikes:,} spikes", refresh=False)
            self._bar.update(min(reached, self._until) - self._bar.n)


def peak_memory() -> int:
    """Bytes: the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peak(client: Any) -> int:
    """Bytes: this process and the workers together."""
    return peak_memory() + (0 if client is None else sum(client.run(peak_memory).values()))


def _draw(
    recorded: xr.DataTree, sizes: dict[str, int], means: Sequence[float], reference: Sequence[float] | None, path: str
) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        click.echo("no figure: matplotlib is not installed; python -m pip install 'eventsnn[plot]' brings it", err=True)
        return
    from eventsnn.plot import overview

    overview(recorded, sizes, means, reference).savefig(path, dpi=150)
    click.echo(f"figure: {path}", err=True)
