"""The pages and pictures of the models are those of their declarations; every model and function of the library has a page."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from eventsnn import models
from eventsnn.model import NeuronModel
from eventsnn.models import IafPscExp
from eventsnn.plasticity import SynapseModel

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(DOCS), *sys.path])
        yield importlib.import_module("make_models")


def test_pages_are_current(maker: ModuleType) -> None:
    names = (*maker.library(), *maker.functions())
    stale = [n for n in names if not (p := maker.FOLDER / f"{n}.md").exists() or p.read_text() != maker.page(n)]
    assert not stale, f"run python docs/make_models.py: {stale}"
    assert (maker.FOLDER / "README.md").read_text() == maker.index()


def test_pictures_are_current(maker: ModuleType) -> None:
    """Each names the declaration and the drawing code that it was made from."""
    drawn = {n: re.search("<dc:identifier>(.*)</dc:identifier>", (maker.FOLDER / f"{n}.svg").read_text()) for n in maker.drawn()}
    stale = [n for n, found in drawn.items() if found is None or found[1] != maker.mark(maker.drawn()[n])]
    assert not stale, f"run python docs/make_models.py {' '.join(stale)}"


def test_a_changed_number_makes_a_picture_stale(maker: ModuleType) -> None:
    class Same(IafPscExp):
        pass

    class Other(IafPscExp):
        V_th = IafPscExp.V_th.__class__(-54.9, "mV", IafPscExp.V_th.doc)

    class Renamed(IafPscExp):
        reset = "V_m = E_L"

    for made in (Same, Other, Renamed):
        made.__name__ = "IafPscExp"
    assert maker.mark(Same) == maker.mark(IafPscExp)
    assert len({maker.mark(made) for made in (Same, Other, Renamed)}) == 3


def test_every_model_has_a_page_and_none_is_left_over(maker: ModuleType) -> None:
    classes = {n for n in models.__all__ if isinstance(getattr(models, n), type)}
    functions = {n for n in models.__all__ if inspect.isfunction(getattr(models, n))}
    assert len(classes) > 30 and len(functions) >= 5
    assert {p.stem for p in maker.FOLDER.glob("*.md")} - {"README"} == classes | functions
    drawn = {n for n in classes if issubclass(getattr(models, n), NeuronModel | SynapseModel)}
    assert {p.stem for p in maker.FOLDER.glob("*.svg")} == drawn | (functions - {"rate_function"})


def test_what_a_page_says(maker: ModuleType) -> None:
    text = maker.page("IafPscExp")
    assert r"\frac{d\,V_{\mathrm{m}}}{dt}" in text and "| `tau_m` | 10 | ms |" in text and "V_m >= V_th" in text
    assert "w -= alpha*lambda_*Wmax" in maker.page("Stdp")
    assert "at a spike of the target" not in maker.page("Clopath")
    assert "`g_ex += weight`" in maker.page("AEifCondExp")


@pytest.mark.parametrize(("name", "states"), [("conductance_lif", ("d_nmda", "r_ampa")), ("with_noise", ("I_noise",))])
def test_a_function_is_shown_by_what_it_makes(maker: ModuleType, name: str, states: tuple[str, ...]) -> None:
    text = maker.page(name)
    assert f"import {'AMPA, GABA, NMDA, ' if name == 'conductance_lif' else 'IafPscExp, '}{name}\n" in text
    assert all(f"| `{state}` |" in text for state in states)


def test_every_name_in_a_condition_is_told(maker: ModuleType) -> None:
    """A condition or a reset names states, parameters and what the equations define; no fraction has more than four digits."""
    for name, made in maker.drawn().items():
        if issubclass(made, NeuronModel) and made.step is None:
            text = maker.page(name)
            told = {*made.params(), *made.states(), *re.findall(r"\$\$\\?(?:mathrm\{)?(\w+)\}? =", text)}
            words = set(re.findall(r"[A-Za-z]\w*(?!\w*\()", made.threshold)) - {"and", "or", "not", "dt", "mV", "ms"}
            assert words <= told, name
            assert not re.search(r"(?<![\d.])\d{5,}", "".join(re.findall(r"\$\$.*\$\$", text))), name
