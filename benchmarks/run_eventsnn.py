"""One run of eventsnn in a process of its own: reads a request (JSON file), prints a row (JSON line)."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from benchmarks.cases import CASES


def run(request: dict[str, Any]) -> dict[str, Any]:
    import eventsnn as snn

    net = CASES[request["case"]].network(request["seed"])
    started = time.perf_counter()
    with snn.Simulation(net, threads=request["threads"]) as sim:
        sim.run(request["settle"])
        built = time.perf_counter()
        sim.run(request["time"])
        ended = time.perf_counter()
        spikes, neurons = 0, 0
        for name in net.populations:
            times = snn.open(sim)[f"{name}/spikes"].to_dataset()["time"].values
            spikes += int((times > request["settle"]).sum())
            neurons += len(net[name])
    return {
        "version": snn.__version__,
        "build_s": built - started,
        "wall_s": ended - built,
        "rate_Hz": spikes / neurons / (request["time"] * 1e-3),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.dumps(run(json.load(file))))
