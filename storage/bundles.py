"""Named arrays in one file, laid out as np.savez does it, and a checksum of all its bytes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import IO, cast
from zipfile import ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

_SUFFIX = ".npy"
_BLOCK = 1 << 20


def write_arrays(file: IO[bytes], arrays: Mapping[str, npt.NDArray[np.generic]]) -> tuple[int, int]:
    """Write arrays to an empty file: (bytes, CRC-32 of them). The same arrays give the same bytes.

    Keys may hold "/". Raises ValueError for an array of Python objects, which is never pickled.
    """
    summed = _Summed(file)
    with ZipFile(cast(IO[bytes], summed), "w") as archive:  # which writes front to back where it cannot seek
        for key, array in arrays.items():
            if np.asanyarray(array).dtype.hasobject:
                raise ValueError(f"array {key!r} holds Python objects; only plain arrays are kept")
            with archive.open(ZipInfo(key + _SUFFIX), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return summed.bytes, summed.crc


def read_arrays(file: IO[bytes]) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a file that write_arrays made; never unpickles."""
    found = {}
    with ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                found[name.removesuffix(_SUFFIX)] = np.lib.format.read_array(member, allow_pickle=False)
    return found


def checksum(file: IO[bytes]) -> tuple[int, int]:
    """(bytes, CRC-32) of a file from here to its end."""
    size = crc = 0
    while block := file.read(_BLOCK):
        size, crc = size + len(block), zlib.crc32(block, crc)
    return size, crc


class _Summed:
    """A file that is written front to back, and summed meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.bytes = self.crc = 0

    def write(self, data: bytes) -> int:
        self.bytes, self.crc = self.bytes + len(data), zlib.crc32(data, self.crc)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()
