"""The house holds: the gate catches faults in every room, imports stay light, and the wheel carries all of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOMS = ("models", "scheduler", "storage")
HEAVY = ("cupy", "dask", "distributed", "matplotlib", "numba", "sympy", "xarray", "zarr")


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=250)


def tool(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    beside = Path(sys.executable).parent / name
    return run(str(beside) if beside.exists() else name, *arguments, cwd=cwd)


def lint_imports(cwd: Path) -> subprocess.CompletedProcess[str]:
    return tool("lint-imports", "--no-cache", cwd=cwd)


def ruff(cwd: Path) -> subprocess.CompletedProcess[str]:
    return tool("ruff", "check", "--no-cache", ".", cwd=cwd)


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """The project without what tools leave behind; links stay links."""
    left = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "*.zarr", "*.png")
    return Path(shutil.copytree(root, tmp_path / "copy", symlinks=True, ignore=left))


@pytest.mark.parametrize("room", ROOMS)
def test_an_undefined_name_in_any_room_fails_the_gate(copy: Path, room: str):
    (copy / room / "planted.py").write_text('"""Planted."""\n\nvalue = undefined_here\n')
    done = ruff(copy)
    assert done.returncode != 0
    assert f"{room}/planted.py" in done.stdout
    assert "F821" in done.stdout


@pytest.mark.parametrize("room", ROOMS)
def test_a_bare_import_of_any_room_fails_the_gate(copy: Path, room: str):
    (copy / "eventsnn" / "planted.py").write_text(f'"""Planted."""\n\nimport {room}\n\n__all__ = ["{room}"]\n')
    done = ruff(copy)
    assert done.returncode != 0
    assert f"import it as eventsnn.{room}" in done.stdout


def test_the_import_law_is_kept(copy: Path):
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("room", "forbidden", "contract"),
    [
        ("models", "import numba", "descriptions know no machinery"),
        ("models", "from eventsnn import scheduler", "imports go one way"),
        ("scheduler", "import zarr", "the scheduler knows no kernels and no files"),
        ("scheduler", "from eventsnn import simulation", "imports go one way"),
        ("storage", "import dask", "the storage knows neither Dask nor kernels"),
        ("storage", "from eventsnn import scheduler", "imports go one way"),
    ],
)
def test_a_forbidden_import_in_any_room_fails_the_gate(copy: Path, room: str, forbidden: str, contract: str):
    (copy / room / "planted.py").write_text(f'"""Planted."""\n\n{forbidden}\n')
    done = lint_imports(copy)
    assert done.returncode != 0
    assert re.search(rf"{re.escape(contract)} BROKEN", done.stdout), done.stdout
    assert f"eventsnn.{room}.planted" in done.stdout


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_refuses_its_bare_name(root: Path, room: str):
    done = run(sys.executable, "-c", f"import {room}", cwd=root)
    assert done.returncode != 0
    assert f"import it as 'eventsnn.{room}', not as '{room}'" in done.stderr


@pytest.mark.parametrize("statement", ["import eventsnn", "import eventsnn.models", "import eventsnn.models.networks"])
def test_importing_loads_no_heavy_library(root: Path, statement: str):
    text = f"{statement}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}} & set({HEAVY!r})))"
    done = run(sys.executable, "-c", text, cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def wheel(source: Path, target: Path) -> set[str]:
    """Names in the wheel built from `source`."""
    target.mkdir()
    build = f"from setuptools import build_meta; print(build_meta.build_wheel({str(target)!r}))"
    done = run(sys.executable, "-W", "ignore", "-c", build, cwd=source)
    assert done.returncode == 0, done.stderr
    (made,) = target.glob("*.whl")
    return set(zipfile.ZipFile(made).namelist())


def test_the_wheel_holds_every_file_of_every_room_and_nothing_else(copy: Path, tmp_path: Path):
    names = {name for name in wheel(copy, tmp_path / "wheel") if ".dist-info/" not in name}
    rooms = {room: f"eventsnn/{room}" for room in ROOMS} | {"eventsnn": "eventsnn"}
    expected = {
        (Path(inside) / path.relative_to(copy / folder)).as_posix()
        for folder, inside in rooms.items()
        for path in (copy / folder).rglob("*")
        if path.is_file() and path.suffix in {".py", ".json", ".typed"}
    }
    assert names == expected
    assert "eventsnn/models/networks/microcircuit.json" in names


def test_a_wheel_made_from_the_source_archive_is_the_same(copy: Path, tmp_path: Path):
    direct = wheel(copy, tmp_path / "direct")
    (tmp_path / "archive").mkdir()
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path / 'archive')!r})"
    done = run(sys.executable, "-W", "ignore", "-c", build, cwd=copy)
    assert done.returncode == 0, done.stderr
    (made,) = (tmp_path / "archive").glob("*.tar.gz")
    with tarfile.open(made) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert wheel(unpacked, tmp_path / "again") == direct


def test_the_two_extras_of_the_readme_and_all_others_are_declared(root: Path):
    import tomllib

    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) == {"cuda", "hpc", "plot", "test", "dev"}


def test_links_between_pages_lead_somewhere(root: Path):
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "changes").glob("*.md")]
    assert len(pages) > 5
    dead = [
        f"{page.relative_to(root)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []
