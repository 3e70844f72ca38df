"""What all tests share: where the project lies, a backend for figures that needs no screen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
if os.environ.get("EVENTSNN_STANDIN"):
    from standin.device import install

    install()


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """Reference data of the tests."""
    return Path(__file__).resolve().parent / "data"
