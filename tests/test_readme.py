"""What the documents show runs as shown.

The first word of a fenced block is its language, the second says how it is run: `python` blocks of a page are one script, `python
apart` is a script of its own, and a block with `no-run: reason` is skipped for that reason.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    page: str
    number: int
    language: str
    how: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Fenced blocks in the order of the page."""
    found = []
    for number, (info, text) in enumerate(FENCE.findall(page.read_text()), start=1):
        language, _, how = info.strip().partition(" ")
        found.append(Block(page.relative_to(ROOT).as_posix(), number, language, how, text))
    return found


ALL = [block for page in PAGES for block in blocks(page)]
TOGETHER = sorted({b.page for b in ALL if b.language == "python" and not b.how})
OTHERS = [pytest.param(b, id=f"{b.page} {b.number}") for b in ALL if b.language and (b.language != "python" or b.how)]


def run(script: Path, folder: Path, *flags: str) -> str:
    """What the script prints; it must end well."""
    # the code under test is that of this checkout, installed or not
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    command = [sys.executable, *flags, str(script)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_commands_stand_in_one_block_one_per_line() -> None:
    section = (ROOT / "README.md").read_text().split("## Two commands\n", 1)[1].split("\n## ", 1)[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    first, second = block.splitlines()
    assert first.startswith("python -m pip install ")
    assert first.endswith("&& eventsnn run microcircuit --overwrite")
    assert second.startswith("python -m pip install ")
    assert second.endswith("&& python -m pytest")


def test_pages_with_code_are_found() -> None:
    assert {"README.md", "docs/guide.md", "docs/extending.md"} <= set(TOGETHER)


@pytest.mark.parametrize("page", TOGETHER)
def test_the_python_of_a_page_runs(tmp_path: Path, page: str) -> None:
    script = tmp_path / "script.py"
    script.write_text("\n".join(b.text for b in ALL if b.page == page and b.language == "python" and not b.how))
    run(script, tmp_path, "-W", "error")


@pytest.mark.parametrize("block", OTHERS)
def test_every_other_block_runs_or_says_why_not(tmp_path: Path, block: Block) -> None:
    if block.how.startswith("no-run: "):
        pytest.skip(block.how.removeprefix("no-run: "))
    if (block.page, block.language) == ("README.md", "sh"):
        pytest.skip(
            "the gate, .ci/run, runs the second command in a fresh environment, and the first as installed, at small scale"
        )
    assert (block.language, block.how) == ("python", "apart"), (
        f"{block.page}: no one runs a block of {block.language} {block.how}"
    )
    script = tmp_path / "script.py"
    script.write_text(block.text)
    assert run(script, tmp_path)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_an_example_runs(tmp_path: Path, name: str) -> None:
    assert run(ROOT / "examples" / name, tmp_path, "-W", "error")


def test_examples_in_docstrings_run() -> None:
    folders = (ROOT / "eventsnn", ROOT / "models", ROOT / "scheduler", ROOT / "storage")
    shown = sorted({path for folder in folders for path in folder.rglob("*.py") if "\n    >>> " in path.read_text()})
    assert len(shown) >= 2
    for path in shown:
        inside = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(inside if inside[0] == "eventsnn" else ("eventsnn", *inside))
        failed, tried = doctest.testmod(importlib.import_module(name))
        assert tried > 0 and failed == 0, name


def test_every_test_that_a_page_names_exists() -> None:
    text = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())}
    files = {name for page in PAGES for name in re.findall(r"`(?:tests/)?(test_\w+\.py)`", page.read_text())}
    assert len(named) > 40
    assert [name for name in sorted(named) if f"def {name}(" not in text] == []
    assert [name for name in sorted(files) if not (ROOT / "tests" / name).exists()] == []
