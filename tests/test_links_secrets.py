"""Nothing that comes from a link or a store is code, and the secret of a run is nowhere but in the memory of its parts."""

from __future__ import annotations

import ast
import base64
import json
import logging
import os
import pickle
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import LocalCluster

import eventsnn as snn
from eventsnn.models import FixedIndegree, IafPscExp, Static
from eventsnn.scheduler.door import RECORDS, Door, Key

ROOMS = ("storage/*.py", "scheduler/door.py", "scheduler/links.py", "scheduler/exchange.py", "scheduler/records.py")
MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
RUNS = {"__import__", "compile", "eval", "exec", "importlib.import_module"}
READERS = {"load", "read_array"}
"""Functions of NumPy that unpickle where they are not told otherwise."""


def faults(text: str) -> list[str]:
    """What in a source could make code of data."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.split(".")[-1]
            said = [ast.unparse(k.value) for k in node.keywords if k.arg == "allow_pickle"]
            if name in RUNS or said not in ([], ["False"]) or (last in READERS and said != ["False"]):
                found.append(name)
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_what_reads_links_and_stores_runs_nothing_of_it(root: Path, room: str) -> None:
    sources = sorted(root.glob(room))
    assert sources
    assert {path.name: faults(path.read_text()) for path in sources} == {path.name: [] for path in sources}


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle as p",
        "from pickle import loads",
        "import numpy, marshal",
        "eval(x)",
        "def f():\n    exec(compile(x, '', 'exec'))",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "np.lib.format.read_array(x)",
        "np.save(x, y, allow_pickle=maybe)",
        "importlib.import_module(x)",
    ],
)
def test_what_would_run_data_is_found(planted: str) -> None:
    assert faults(planted)
    assert faults("np.load(x, allow_pickle=False)\nre.compile(y)\njson.loads(z)") == []


# ---- the secret of a run


def spellings(secret: bytes) -> dict[str, bytes]:
    return {
        "raw": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "base64": base64.b64encode(secret).rstrip(b"="),
        "urlsafe": base64.urlsafe_b64encode(secret).rstrip(b"="),
        "repr": repr(secret).encode()[2:-1],
        "numbers": str(list(secret)).encode()[1:-1],
    }


def found(secret: bytes, text: bytes) -> list[str]:
    return [how for how, words in spellings(secret).items() if words in text]


MANY = ("bokeh", "numba")
"""Loggers that have a lot to say, and nothing of a run."""


def listen(path: Path) -> logging.Handler:
    """Every record of every logger of this process goes to a file, but for those of which there are too many."""
    handler = logging.FileHandler(path)
    for logger in loggers():
        logger.setLevel(logging.DEBUG)
        if logger is logging.root or not logger.propagate:
            logger.addHandler(handler)
    return handler


def loggers() -> list[logging.Logger]:
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] not in MANY]
    return [logging.root, *map(logging.getLogger, names)]


@contextmanager
def listening(path: Path) -> Iterator[None]:
    before = {logger: logger.level for logger in loggers()}
    handler = listen(path)
    yield
    for logger in loggers():
        logger.removeHandler(handler)
        logger.setLevel(before.get(logger, logging.NOTSET))
    handler.close()


@pytest.mark.parametrize("how", sorted(spellings(bytes(32))))
def test_every_spelling_is_recognised(how: str) -> None:
    secret = secrets.token_bytes(32)
    assert how in found(secret, b"... " + spellings(secret)[how] + b" ...")


def test_a_key_cannot_be_printed() -> None:
    key = Key.fresh(7)
    door, other = Door("127.0.0.1", 0, key, unix=False), Door("127.0.0.1", 1, Key(key.secret, 8), unix=False)
    with pytest.raises(ConnectionRefusedError) as refused:
        other.dial(0, door.address, RECORDS, time.monotonic() + 10)
    shown = [key, vars(door), door.address, refused.value, refused.value.__cause__]
    text = f"{shown} {key} {pickle.loads(pickle.dumps(key))}"
    assert found(key.secret, text.encode()) == [] and "generation=7" in text
    door.close(), other.close()


@dataclass(frozen=True)
class Overheard:
    """What a run on a cluster leaves behind."""

    secret: bytes
    logs: dict[str, bytes]
    """Of the client's process, which is the scheduler's, and of the workers."""
    kept: bytes
    """What Dask keeps of the logs of its workers."""
    processes: dict[str, bytes]
    """Arguments and environments."""
    store: Path


@pytest.fixture(scope="module")
def overheard(tmp_path_factory: pytest.TempPathFactory) -> Overheard:
    if sys.platform != "linux":
        pytest.skip("looks at processes through /proc")
    folder = tmp_path_factory.mktemp("overheard")
    net = snn.Network(seed=1, dt=0.1)
    cells = net.population("cells", 400, IafPscExp(I_e=500.0), V_m=snn.Uniform(-70.0, -55.0))
    net.connect(cells >> cells, FixedIndegree(20), Static(weight=20.0, delay=1.5))
    net.record(cells, "spikes")
    key, processes = Key.fresh(), {}

    def join() -> None:
        listen(folder / f"{os.getpid()}.log")

    with (
        pytest.MonkeyPatch.context() as patch,
        listening(folder / "client.log"),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        cluster.get_client() as client,
    ):
        patch.setattr(Key, "fresh", staticmethod(lambda: key))
        client.run(join)
        with snn.Simulation(net, client=client, store=folder / "run.zarr") as sim:
            sim.run(50.0)
            for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
                for what in ("cmdline", "environ"):
                    processes[f"{process.pid}/{what}"] = Path(f"/proc/{process.pid}/{what}").read_bytes()
        kept = repr({**client.get_worker_logs(), "": client.get_scheduler_logs()}).encode()
    logs = {path.name: path.read_bytes() for path in folder.glob("*.log")}
    return Overheard(key.secret, logs, kept, processes, folder / "run.zarr")


def test_the_secret_is_in_no_log(overheard: Overheard) -> None:
    """At level DEBUG workers log every call that they are asked for, with its arguments."""
    assert len(overheard.logs) == 3 and all(b"'function': 'open'" in words for words in overheard.logs.values())
    assert {name: found(overheard.secret, words) for name, words in overheard.logs.items()} == {
        name: [] for name in overheard.logs
    }
    assert found(overheard.secret, overheard.kept) == []


def test_the_secret_is_in_no_process_list(overheard: Overheard) -> None:
    assert len(overheard.processes) >= 6
    assert {where: found(overheard.secret, words) for where, words in overheard.processes.items()} == {
        where: [] for where in overheard.processes
    }


def test_the_secret_is_in_no_store(overheard: Overheard) -> None:
    files = [path for path in overheard.store.rglob("*") if path.is_file()]
    assert {path.name: found(overheard.secret, path.read_bytes()) for path in files} == {path.name: [] for path in files}
    run = snn.open(overheard.store)
    assert len(run["cells/spikes"]["tick"]) > 0
    assert found(overheard.secret, "".join(f"{node.attrs} {node.to_dict()}" for node in run.subtree).encode()) == []


class Boom:
    """What unpickles to a file that says so."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    "codecs",
    [
        {"filters": [{"id": "pickle", "protocol": 5}], "compressor": None},
        {"filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle", "protocol": 5}},
    ],
    ids=["filter", "compressor"],
)
def test_a_store_that_would_be_unpickled_is_not_read(overheard: Overheard, tmp_path: Path, codecs: dict[str, Any]) -> None:
    """Zarr's second format knows codecs that unpickle; a store may claim to be written so."""
    store = Path(shutil.copytree(overheard.store, tmp_path / "run.zarr"))
    record = json.loads((store / "zarr.json").read_text())
    nodes = record["consolidated_metadata"]["metadata"]
    true = nodes["cells/spikes/neuron"]
    attributes = {**true["attributes"], "_ARRAY_DIMENSIONS": true["dimension_names"]}
    kind = {"zarr_format": 2, "dtype": "|O", "fill_value": "", "order": "C", "dimension_separator": "/"}
    forged = {**kind, "shape": true["shape"], "chunks": true["shape"], "attributes": attributes, **codecs}
    nodes["cells/spikes/neuron"] = forged
    (store / "zarr.json").write_text(json.dumps(record))
    array = store / "cells" / "spikes" / "neuron"
    shutil.rmtree(array)
    array.mkdir()
    bomb = pickle.dumps(Boom(tmp_path / "boom"))
    (array / "0").write_bytes(bomb)
    (array / ".zarray").write_text(json.dumps(forged))
    with pytest.raises((ValueError, RuntimeError), match="not of Zarr v3"):
        snn.open(store)["cells/spikes"]["neuron"].load()
    assert not (tmp_path / "boom").exists()
    pickle.loads(bomb)
    assert (tmp_path / "boom").exists()
