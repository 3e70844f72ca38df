"""Two hosts with a network between them that fails: `python -m benchmarks.hosts` (Linux, as root; needs `ip` and `tc`).

The hosts are network namespaces joined by a pair of virtual Ethernet devices. The scheduler, the script and one worker are on the
first, another worker on the second. In the middle of a run the network is cut for good, cut for some seconds, or slowed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

HOSTS = {"snnhost1": "10.77.0.1", "snnhost2": "10.77.0.2"}
SCRIPT = """
import sys, time, threading, logging
import dask
dask.config.set({"eventsnn.link-deadline": 2.0, "eventsnn.recovery-wait": 8.0, "eventsnn.checkpoint-wall": 1.0})
import eventsnn as snn
from distributed import Client
from tests.test_resume import mixed
began = time.perf_counter()
class Told(logging.Handler):
    def emit(self, record): print(f"{time.perf_counter() - began:6.2f} s  {record.getMessage()}", flush=True)
logging.getLogger("eventsnn").addHandler(Told())
said = []
def report(ms, spikes):
    if ms > 300.0 and not said:
        said.append(1)
        print("MIDDLE", flush=True)
        print(f"{time.perf_counter() - began:6.2f} s  the network fails", flush=True)
client = Client(sys.argv[1], timeout=20)
client.wait_for_workers(2, timeout=60)
with snn.Simulation(mixed(), store=sys.argv[2], client=client, overwrite=True, progress=report) as sim:
    sim.run(float(sys.argv[3]))
    print(f"{time.perf_counter() - began:6.2f} s  done on {len(sim.plan.shares)} workers", flush=True)
"""


def host(name: str, *args: str, **options: object) -> subprocess.Popen[str]:
    """A process on a host, in this environment."""
    return subprocess.Popen(["ip", "netns", "exec", name, *args], text=True, **options)  # type: ignore[call-overload,no-any-return]


def run(*args: str) -> None:
    subprocess.run(args, check=True, capture_output=True)


@contextmanager
def hosts() -> Iterator[None]:
    for name in HOSTS:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", "snn1", "type", "veth", "peer", "name", "snn2")
        for device, (name, address) in zip(("snn1", "snn2"), HOSTS.items(), strict=True):
            run("ip", "link", "set", device, "netns", name)
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def cut(seconds: float | None) -> None:
    """The link goes down: what is under way is lost, and nobody is told."""
    run("ip", "-n", "snnhost1", "link", "set", "snn1", "down")
    if seconds is not None:
        time.sleep(seconds)
        run("ip", "-n", "snnhost1", "link", "set", "snn1", "up")


def slow(_: float | None) -> None:
    """A packet takes at least 20 ms, and one in a hundred is lost; without netem in the kernel: 200 kbit/s."""
    device = ["tc", "-n", "snnhost1", "qdisc", "add", "dev", "snn1", "root"]
    if subprocess.run([*device, "netem", "delay", "20ms", "loss", "1%"], capture_output=True).returncode:
        run(*device, "tbf", "rate", "200kbit", "burst", "4kb", "latency", "200ms")


FAULTS = {"cut": (cut, None), "cut for 6 s": (cut, 6.0), "slowed": (slow, None)}


def trial(fault: str, folder: Path, duration: float) -> bool:
    """Whether the run ended with the bits of one on one machine."""
    from eventsnn import Simulation
    from tests.test_resume import assert_equal, mixed

    with Simulation(mixed(), store=folder / "alone.zarr") as sim:
        sim.run(duration)
    with hosts():
        python, one = sys.executable, HOSTS["snnhost1"]
        started = [
            host(
                "snnhost1",
                python,
                "-m",
                "distributed.cli.dask_scheduler",
                "--host",
                one,
                "--port",
                "8786",
                "--no-dashboard",
                stderr=subprocess.DEVNULL,
            )
        ]
        try:
            for name, address in HOSTS.items():
                worker = (
                    "-m",
                    "distributed.cli.dask_worker",
                    f"tcp://{one}:8786",
                    "--host",
                    address,
                    "--nthreads",
                    "1",
                    "--no-nanny",
                )
                started.append(host(name, python, *worker, stderr=subprocess.DEVNULL))
            script = host(
                "snnhost1",
                python,
                "-c",
                SCRIPT,
                f"tcp://{one}:8786",
                str(folder / "run.zarr"),
                str(duration),
                stdout=subprocess.PIPE,
            )
            started.append(script)
            assert script.stdout is not None
            for line in script.stdout:
                if line.strip() == "MIDDLE":
                    act, seconds = FAULTS[fault]
                    act(seconds)
                else:
                    click.echo("    " + line.rstrip())
            ended = script.wait(120) == 0
        finally:
            for process in started:
                process.kill()
                process.wait()
    if ended:
        assert_equal(folder / "alone.zarr", folder / "run.zarr")
    return ended


@click.command()
@click.argument("faults", nargs=-1, type=click.Choice(list(FAULTS)))
@click.option("--time", "duration", default=20000.0, help="Biological time in ms.")
def main(faults: tuple[str, ...], duration: float) -> None:
    """Print what happened, and whether the bits are those of an undisturbed run."""
    if os.geteuid() != 0:
        raise click.ClickException("network namespaces need root")
    for fault in faults or FAULTS:
        click.echo(f"{fault}:")
        with tempfile.TemporaryDirectory() as folder:
            click.echo(f"    {'equal bits' if trial(fault, Path(folder), duration) else 'FAILED'}")


if __name__ == "__main__":
    main()
