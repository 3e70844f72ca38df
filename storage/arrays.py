"""An array that grows by rows, and its form on disk (Zarr v3, one Blosc frame per chunk)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs.blosc import SHUFFLE, Blosc  # type: ignore[import-untyped]

Objects = dict[str, bytes]
"""Store key -> bytes, still to be written."""

Read = Callable[[str], bytes | None]
"""An object of the store by its key, None where it is not there."""


class GrowingArray:
    """Rows are appended; whole chunks leave at once, the last, partial one stays here and is written again when it has grown.

    The chunk is encoded here and not by `zarr.Array.__setitem__`, which would read the partial chunk back and rewrite the
    array's metadata for every append. No chunk is ever changed but the last, and that one only beyond the rows it had: what a
    commit has published stays true, and an array can be cut back to any commit by its shape alone.
    """

    def __init__(
        self,
        path: str,
        dims: tuple[str, ...],
        dtype: str,
        *,
        chunk: int,
        attrs: Mapping[str, Any],
        width: int = 1,
        chunk_width: int = 1,
        bounded: bool = False,
    ) -> None:
        """`width`: number of columns; arrays of one dimension have one, and no second dimension on disk.

        `bounded`: old rows may be gone from the store.
        """
        self.path = path
        self.rows = 0
        self.first = 0
        """The first row that is valid; 0 where the array is not bounded."""
        self._bounded = bounded
        self._dims = dims
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._chunk = chunk
        self._attrs = dict(attrs)
        self._width = width
        self._chunk_width = chunk_width
        self._tail: npt.NDArray[Any] | None = None
        self._tail_written = 0
        self._stored: set[int] = set()
        """The chunks, by rows, that the store holds."""
        self._stale: set[int] = set()
        """Those with rows that were taken back: kept as they are, for who has read the record before, until they come again."""
        self._read: Read | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, self._width)[: len(self._dims)]

    def append(self, rows: npt.NDArray[Any], out: Objects) -> None:
        """Add rows, shape (rows,) or (rows, width); chunks that are full now go to `out`."""
        rows = rows.reshape(len(rows), self._width)
        done = 0
        while done < len(rows):
            tail = self._open_tail()
            at = self.rows % self._chunk
            if at == 0:
                self._begin(tail)
            count = min(self._chunk - at, len(rows) - done)
            tail[at : at + count, : self._width] = rows[done : done + count]
            self.rows += count
            done += count
            if at + count == self._chunk:
                self._encode(tail, (self.rows - 1) // self._chunk, out)
                self._stale.discard((self.rows - 1) // self._chunk)
                tail.fill(0)
                self._tail_written = 0

    def flush(self, out: Objects) -> None:
        """The partial chunk, where it has grown since it was last written, goes to `out`."""
        at = self.rows % self._chunk
        if at > self._tail_written and self._tail is not None:
            self._encode(self._tail, self.rows // self._chunk, out)
            self._tail_written = at

    def rewind(self, rows: int, keys: frozenset[str], read: Read) -> None:
        """Take the array up as it was when it had so many rows; `keys`: all objects of the store, where more may be by now.

        `first` becomes the first row that is there, with all after it. What was beyond stays in the store until it comes again or
        `forget` is called: a run that is taken up gives the same rows again, and somebody may be reading them.
        Raises ValueError where that chunk is damaged, or rows of an array that is not bounded are gone.
        """
        mine = f"{self.path}/c/"
        places = [key.removeprefix(mine).split("/") for key in keys if key.startswith(mine)]
        self._stored = {int(place[0]) for place in places if all(index.isdigit() for index in place)}
        chunks = -(-rows // self._chunk)
        gaps = [row for row in range(chunks) if not keys.issuperset(self._keys(row))]
        if gaps and not self._bounded:
            raise ValueError(f"chunk {self._keys(gaps[0])[0]} is gone")
        self.rows = rows
        self.first = min((gaps[-1] + 1) * self._chunk, rows) if gaps else 0
        at = rows % self._chunk
        self._stale, self._read = {row for row in self._stored if row >= rows // self._chunk}, read
        if at and self.first < rows and self._width:
            self._open_tail()[:] = self.chunk(chunks - 1, read)
            self._tail_written = at

    def forget(self, out: Objects) -> None:
        """The run ends here: rows that were taken back will not come again; a partial chunk that holds some goes to `out`."""
        row, at = divmod(self.rows, self._chunk)
        if at and row in self._stale and self._tail is not None:
            self._tail[at:] = 0
            self._encode(self._tail, row, out)
        self._stale.clear()

    def chunk(self, row: int, read: Read) -> npt.NDArray[Any]:
        """A chunk that the store holds, all columns: shape (rows of a chunk, columns of the chunks)."""
        pieces = []
        for key in self._keys(row):
            try:
                piece = np.frombuffer(_codec().decode(read(key)), self._dtype).reshape(self._chunk, self._chunk_width)
            except (RuntimeError, TypeError, ValueError) as error:
                raise ValueError(f"chunk {key} is damaged or gone") from error
            pieces.append(piece)
        return np.concatenate(pieces, axis=1)

    def surplus(self, wanted: Iterable[tuple[int, int]]) -> list[str]:
        """Keys of the chunks that hold no row of the wanted ranges [first, stop); they count as deleted from now on."""
        needed = {row for first, stop in wanted for row in range(first // self._chunk, -(-stop // self._chunk))}
        gone = self._stored - needed - self._stale
        self._stored -= gone
        return [key for row in sorted(gone) for key in self._keys(row)]

    def metadata(self) -> dict[str, Any]:
        """The array's zarr.json."""
        blosc = {"typesize": self._dtype.itemsize, "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0}
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self._dtype.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [self._chunk, self._chunk_width][: len(self._dims)]},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0.0 if self._dtype.kind == "f" else 0,
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "blosc", "configuration": blosc},
            ],
            "attributes": self._attrs,
            "dimension_names": list(self._dims),
            "storage_transformers": [],
        }

    def _begin(self, tail: npt.NDArray[Any]) -> None:
        """A new chunk begins: with what it held before, if the store has it."""
        if self.rows // self._chunk in self._stale and self._read is not None:
            with contextlib.suppress(ValueError):  # not all of its columns are there
                tail[:] = self.chunk(self.rows // self._chunk, self._read)

    def _open_tail(self) -> npt.NDArray[Any]:
        if self._tail is None:
            columns = -(-self._width // self._chunk_width) * self._chunk_width
            self._tail = np.zeros((self._chunk, columns), self._dtype)
        return self._tail

    def _encode(self, tail: npt.NDArray[Any], row: int, out: Objects) -> None:
        self._stored.add(row)
        for column, key in enumerate(self._keys(row)):
            piece = tail[:, column * self._chunk_width : (column + 1) * self._chunk_width]
            out[key] = bytes(_codec().encode(np.ascontiguousarray(piece)))

    def _keys(self, row: int) -> list[str]:
        """Of the objects that are one chunk, by rows."""
        columns = range(-(-self._width // self._chunk_width))
        return ["/".join((self.path, "c", *map(str, (row, column)[: len(self._dims)]))) for column in columns]


def _codec() -> Blosc:
    return Blosc(cname="lz4", clevel=5, shuffle=SHUFFLE, blocksize=0)
