"""The checkpoints of a run: what a part must know to go on, below `checkpoints/` in the run's store."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zipfile import BadZipFile

import numpy.typing as npt

from eventsnn.storage.bundles import checksum, read_arrays, write_arrays
from eventsnn.storage.errors import CheckpointGone, StoreError, advice
from eventsnn.storage.shelves import MANIFEST, Shelf, shelf_of
from eventsnn.storage.targets import Target, resolve

KEPT = 2
"""Complete checkpoints that are kept."""

Arrays = dict[str, npt.NDArray[Any]]


class Checkpoints:
    """Written by all parts, each its own file, and completed by one process. Names sort in the order of their making.

    Example
    -------
    >>> import numpy as np
    >>> from zarr.storage import MemoryStore
    >>> checkpoints = Checkpoints(MemoryStore())
    >>> entry = checkpoints.write("000001_step_10", 0, {"exc/V_m": np.array([-65.0])})
    >>> checkpoints.complete("000001_step_10", {"step": 10, "files": [entry]})
    >>> [arrays["exc/V_m"].tolist() for arrays in checkpoints.latest().load()]
    [[-65.0]]
    """

    def __init__(self, target: Target, storage_options: Mapping[str, Any] | None = None) -> None:
        place = resolve(target, storage_options)
        self._where, self._shelf = place.name, shelf_of(place)

    def write(self, name: str, rank: int, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Write the file of part `rank`; returns its entry (JSON) in the manifest's "files", to which more may be added.

        Raises StoreError where it cannot be written.
        """
        file, summed = f"part_{rank:05d}.npz", (0, 0)

        def fill(out: Any) -> None:
            nonlocal summed
            summed = write_arrays(out, arrays)

        try:
            self._shelf.add(name, file, fill)
        except OSError as error:
            raise self._not_written(name, error) from error
        return {"rank": rank, "file": file, "bytes": summed[0], "crc32": summed[1]}

    def complete(self, name: str, manifest: Mapping[str, Any]) -> None:
        """Make a checkpoint count, all at once, and delete all but the last two and what was begun before and not completed.

        `manifest`: JSON, with the entries of all files under "files". Raises StoreError where that fails: then it does not count.
        """
        if name in self.names():
            raise StoreError(f"{self._where} has a complete checkpoint {name} already; give the next one another name")
        try:
            self._shelf.finish(name, _seal(manifest), {entry["file"]: entry["bytes"] for entry in manifest["files"]})
        except OSError as error:
            raise self._not_written(name, error) from error
        for old in [*self.names()[:-KEPT], *(begun for begun in self._shelf.unfinished() if begun < name)]:
            self._shelf.remove(old)

    def names(self) -> list[str]:
        """Names of the complete ones, oldest first."""
        return self._shelf.complete()

    def get(self, name: str) -> Checkpoint:
        """The complete one of this name; CheckpointGone where it is not there, or not whole."""
        found = self._usable(name)
        if found is None:
            raise CheckpointGone(f"{self._where} has no complete checkpoint {name}; it has {', '.join(self.names()) or 'none'}")
        return found

    def whole(self) -> Iterator[Checkpoint]:
        """Those that are whole, oldest first."""
        return (found for name in self.names() if (found := self._usable(name)) is not None)

    def latest(self) -> Checkpoint | None:
        """The last one whose manifest is whole and whose files are all there with their sizes."""
        return next((found for name in reversed(self.names()) if (found := self._usable(name)) is not None), None)

    def sweep(self, after: str | None) -> None:
        """Delete unfinished ones and complete ones later than `after`, all where it is None; of the others the last two stay."""
        names = self.names()
        left = [name for name in names if after is not None and name <= after][-KEPT:]
        for name in [*self._shelf.unfinished(), *(name for name in names if name not in left)]:
            self._shelf.remove(name)

    def _usable(self, name: str) -> Checkpoint | None:
        try:
            with self._shelf.open(name, MANIFEST) as file:
                manifest = _unseal(file.read())
            sizes = self._shelf.sizes(name)
        except (OSError, ValueError):
            return None
        if any(sizes.get(entry["file"]) != entry["bytes"] for entry in manifest["files"]):
            return None
        return Checkpoint(name, manifest, self._shelf, self._where)

    def _not_written(self, name: str, error: OSError) -> StoreError:
        return StoreError(f"checkpoint {name} of {self._where} could not be written: {error}. {advice(error)}; it does not count")


class Checkpoint:
    """A complete checkpoint."""

    def __init__(self, name: str, manifest: dict[str, Any], shelf: Shelf, where: str) -> None:
        self.name, self.manifest = name, manifest
        self._shelf, self._where = shelf, where

    @property
    def nbytes(self) -> int:
        """Of the files of all parts."""
        return sum(entry["bytes"] for entry in self.manifest["files"])

    def load(self, wanted: Callable[[dict[str, Any]], bool] | None = None) -> Iterator[Arrays]:
        """The arrays of each part whose entry is wanted, read when they are asked for.

        Raises StoreError where a file is damaged or gone.
        """
        for entry in self.manifest["files"]:
            if wanted is None or wanted(entry):
                yield self._read(entry)

    def _read(self, entry: Mapping[str, Any]) -> Arrays:
        try:
            with self._shelf.open(self.name, entry["file"]) as file:
                if checksum(file) != (entry["bytes"], entry["crc32"]):
                    raise ValueError("its checksum is another one than when it was written")
                file.seek(0)
                return read_arrays(file)
        except (OSError, ValueError, BadZipFile) as error:
            raise StoreError(
                f"file {entry['file']} of checkpoint {self.name} of {self._where} is damaged: {error}. "
                "Resume from the checkpoint before, or start the run anew"
            ) from error


def _seal(manifest: Mapping[str, Any]) -> bytes:
    text = json.dumps(manifest)
    return json.dumps({"crc32": zlib.crc32(text.encode()), "manifest": text}).encode()


def _unseal(data: bytes) -> dict[str, Any]:
    """Raises ValueError where the manifest is damaged."""
    sealed = json.loads(data)
    if not isinstance(sealed, dict) or zlib.crc32(str(sealed.get("manifest")).encode()) != sealed.get("crc32"):
        raise ValueError("the manifest is damaged")
    manifest: dict[str, Any] = json.loads(sealed["manifest"])
    return manifest
