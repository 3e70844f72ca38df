"""The pages of the models are those of their declarations; every model of the library has one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from eventsnn import models
from eventsnn.model import NeuronModel
from eventsnn.plasticity import SynapseModel

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    found = importlib.util.spec_from_file_location("make_models", ROOT / "docs" / "make_models.py")
    assert found is not None and found.loader is not None
    made = importlib.util.module_from_spec(found)
    found.loader.exec_module(made)
    return made


def test_pages_are_current(maker: ModuleType) -> None:
    stale = [n for n in maker.library() if not (p := maker.FOLDER / f"{n}.md").exists() or p.read_text() != maker.page(n)]
    assert not stale, f"run python docs/make_models.py: {stale}"
    assert (maker.FOLDER / "README.md").read_text() == maker.index()


def test_every_model_has_a_page_and_none_is_left_over(maker: ModuleType) -> None:
    classes = {n for n in models.__all__ if isinstance(getattr(models, n), type)}
    assert len(classes) > 30
    assert {p.stem for p in maker.FOLDER.glob("*.md")} - {"README"} == classes
    drawn = {n for n in classes if issubclass(getattr(models, n), NeuronModel | SynapseModel)}
    assert {p.stem for p in maker.FOLDER.glob("*.svg")} == drawn


def test_what_a_page_says(maker: ModuleType) -> None:
    text = maker.page("IafPscExp")
    assert r"\frac{d\,V_{\mathrm{m}}}{dt}" in text and "| `tau_m` | 10 | ms |" in text and "V_m >= V_th" in text
    assert "w -= alpha*lambda_*Wmax" in maker.page("Stdp")
