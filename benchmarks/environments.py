"""Where each simulator runs: eventsnn in this interpreter, the others in environments that are made here once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".bench"

REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "nest": ("nest-simulator==3.10.*",),
    # Brian2 2.9 does not run with numpy 2.4
    "brian2": ("brian2", "numpy<2.4", "setuptools"),
}

SIMULATORS = ("eventsnn", *REQUIREMENTS)


def interpreter(simulator: str) -> str:
    """The Python of a simulator; its environment is made where there is none yet."""
    if simulator == "eventsnn":
        return sys.executable
    folder = ENVIRONMENTS / simulator
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        print(f"making {folder.relative_to(ROOT)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[simulator]], check=True, stdout=sys.stderr)
        ready.touch()
    return str(python)
