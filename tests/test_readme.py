"""What the documents show runs as shown."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks whose first line is exactly ```language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_two_commands_stand_in_one_block_one_per_line(root: Path):
    section = (root / "README.md").read_text().split("## Two commands\n", 1)[1].split("\n## ", 1)[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    first, second = block.splitlines()
    assert first.startswith("python -m pip install ")
    assert first.endswith("&& eventsnn run microcircuit --overwrite")
    assert second.startswith("python -m pip install ")
    assert second.endswith("&& python -m pytest")


@pytest.mark.parametrize("name", ["README.md", "docs/guide.md", "docs/extending.md"])
def test_the_python_of_a_page_runs(root: Path, tmp_path: Path, name: str):
    script = tmp_path / "script.py"
    script.write_text("\n".join(blocks(root / name, "python")))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env=_environment(root),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(path.name for path in (Path(__file__).parent.parent / "examples").glob("*.py")))
def test_an_example_runs(root: Path, tmp_path: Path, name: str):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(root / "examples" / name)],
        cwd=tmp_path,
        env=_environment(root),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def _environment(root: Path) -> dict[str, str]:
    import os

    # the code under test is that of this checkout, installed or not
    return {**os.environ, "PYTHONPATH": str(root), "MPLBACKEND": "Agg"}
