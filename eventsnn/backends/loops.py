"""Generated modules: a model's step as text, imported from the cache folder so that Numba's own cache lies beside it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
from pathlib import Path
from types import ModuleType

import llvmlite
import numba

from eventsnn.codegen.portable import functions

_LOADING = threading.Lock()
"""Parts of one process may need the same new kernel at once."""


def portable(step: str, precision: str) -> str:
    """The text of exp, log and exprel, where a step calls them."""
    return "\n\n".join([*functions(step, precision), ""])


def decorated(source: str, decorator: str) -> str:
    """The text with a decorator on every function at top level."""
    return "\n".join(f"{decorator}\n{line}" if line.startswith("def ") else line for line in source.splitlines())


def imported(source: str, name: str, callees: bytes = b"") -> ModuleType:
    """The module of a generated text.

    Numba's cache doesn't notice a changed callee, so the file's name holds a hash of everything that reaches the machine code;
    `callees` is what of it the text does not show.
    """
    text = callees + source.encode() + f"{numba.__version__} {llvmlite.__version__}".encode()
    stem = f"{name.lower()}_{hashlib.sha256(text).hexdigest()[:24]}"
    module = f"eventsnn_generated_{stem}"
    with _LOADING:
        return sys.modules[module] if module in sys.modules else _load(module, stem, source)


def _load(module: str, stem: str, source: str) -> ModuleType:
    path = cache_folder() / f"{stem}.py"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            file.write(source)
        os.replace(temporary, path)
    found = importlib.util.spec_from_file_location(module, path)
    assert found is not None and found.loader is not None
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    sys.modules[module] = loaded
    return loaded


def cache_folder() -> Path:
    """Where generated modules are kept: $EVENTSNN_CACHE, else the user's cache folder, else a temporary one."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (os.environ.get("EVENTSNN_CACHE"), home / "eventsnn", Path(tempfile.gettempdir()) / f"eventsnn-{os.getuid()}"):
        if folder is None:
            continue
        try:
            Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=folder):
                return Path(folder)
        except OSError:
            continue
    raise OSError("no folder for generated kernels can be written; set EVENTSNN_CACHE to one that can")
