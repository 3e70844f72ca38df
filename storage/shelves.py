"""Where the files of checkpoints lie, and how a checkpoint comes to count: a rename on disk, a last object elsewhere."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol

from zarr.abc.store import Store
from zarr.core.sync import sync

from eventsnn.storage.objects import delete_objects, list_objects, read_object, write_objects
from eventsnn.storage.targets import CHECKPOINTS, Place

MANIFEST = "manifest.json"
_UNFINISHED = ".tmp"


class Shelf(Protocol):
    """Folders of files, by the name of their checkpoint."""

    def complete(self) -> list[str]:
        """Names of those that count, in their order."""
        ...

    def unfinished(self) -> list[str]:
        """Names of those that were begun, or half deleted."""
        ...

    def add(self, name: str, file: str, fill: Callable[[IO[bytes]], None]) -> None:
        """Write a file of an unfinished checkpoint; when this returns, it lasts."""
        ...

    def finish(self, name: str, manifest: bytes, files: Mapping[str, int]) -> None:
        """Make a checkpoint count that has these files of these sizes, and no others; OSError where one is not there."""
        ...

    def sizes(self, name: str) -> dict[str, int]:
        """File -> bytes of a checkpoint that counts."""
        ...

    def open(self, name: str, file: str) -> AbstractContextManager[IO[bytes]]:
        """A file of a checkpoint that counts, to be read; OSError where it is not there."""
        ...

    def remove(self, name: str) -> None:
        """Delete a checkpoint; it ceases to count before anything of it goes."""
        ...


def shelf_of(place: Place) -> Shelf:
    return ObjectShelf(place.store) if place.folder is None else FolderShelf(place.folder / CHECKPOINTS)


class FolderShelf:
    """A checkpoint is a folder, `<name>.tmp` until it is complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def complete(self) -> list[str]:
        return sorted(path.name for path in self._folders() if path.suffix != _UNFINISHED and (path / MANIFEST).is_file())

    def unfinished(self) -> list[str]:
        complete = set(self.complete())
        return sorted({path.name.removesuffix(_UNFINISHED) for path in self._folders() if path.name not in complete})

    def add(self, name: str, file: str, fill: Callable[[IO[bytes]], None]) -> None:
        folder = self._made(name)
        try:
            with open(folder / file, "wb") as out:
                fill(out)
                out.flush()
                os.fsync(out.fileno())
        except BaseException:
            (folder / file).unlink(missing_ok=True)  # a full disk gets its room back
            raise

    def finish(self, name: str, manifest: bytes, files: Mapping[str, int]) -> None:
        folder = self._made(name)
        found = _sizes(folder)
        _require(files, found)
        for stray in found.keys() - files.keys():
            (folder / stray).unlink()
        self.add(name, MANIFEST, lambda out: _write_all(out, manifest))
        _sync_folder(folder)
        folder.rename(self._folder / name)
        _sync_folder(self._folder)

    def sizes(self, name: str) -> dict[str, int]:
        return _sizes(self._folder / name)

    def open(self, name: str, file: str) -> AbstractContextManager[IO[bytes]]:
        return open(self._folder / name / file, "rb")

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (self._folder / name / MANIFEST).unlink()
        for path in (self._folder / name, self._folder / (name + _UNFINISHED)):
            shutil.rmtree(path, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.is_dir()] if self._folder.is_dir() else []

    def _made(self, name: str) -> Path:
        """The folder of an unfinished checkpoint, made so that it lasts."""
        folder = self._folder / (name + _UNFINISHED)
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _sync_folder(self._folder)
            _sync_folder(self._folder.parent)
        return folder


class ObjectShelf:
    """A checkpoint counts once its manifest is there, which is written last and deleted first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def complete(self) -> list[str]:
        return sorted(name for name, file in self._all() if file == MANIFEST)

    def unfinished(self) -> list[str]:
        return sorted({name for name, _ in self._all()} - set(self.complete()))

    def add(self, name: str, file: str, fill: Callable[[IO[bytes]], None]) -> None:
        buffer = io.BytesIO()
        fill(buffer)
        write_objects(self._store, {self._key(name, file): buffer.getvalue()})

    def finish(self, name: str, manifest: bytes, files: Mapping[str, int]) -> None:
        found = self.sizes(name)
        _require(files, found)
        delete_objects(self._store, [self._key(name, stray) for stray in found.keys() - files.keys()])
        write_objects(self._store, {self._key(name, MANIFEST): manifest})

    def sizes(self, name: str) -> dict[str, int]:
        return {file: sync(self._store.getsize(self._key(name, file))) for found, file in self._all() if found == name}

    @contextlib.contextmanager
    def open(self, name: str, file: str) -> Iterator[IO[bytes]]:
        data = read_object(self._store, self._key(name, file))
        if data is None:
            raise FileNotFoundError(f"there is no object {self._key(name, file)}")
        yield io.BytesIO(data)

    def remove(self, name: str) -> None:
        delete_objects(self._store, [self._key(name, MANIFEST)])
        delete_objects(self._store, [self._key(found, file) for found, file in self._all() if found == name])

    def _all(self) -> list[tuple[str, str]]:
        """(checkpoint, file) of all objects."""
        keys = list_objects(self._store, f"{CHECKPOINTS}/")
        return [(key.split("/")[1], key.split("/", 2)[2]) for key in keys if key.count("/") > 1]

    def _key(self, name: str, file: str) -> str:
        return f"{CHECKPOINTS}/{name}/{file}"


def _require(files: Mapping[str, int], found: Mapping[str, int]) -> None:
    for file, size in files.items():
        if found.get(file) != size:
            raise OSError(f"{file} should have {size} bytes and has {found.get(file, 'vanished')}")


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}


def _write_all(out: IO[bytes], data: bytes) -> None:
    out.write(data)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
