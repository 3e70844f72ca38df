"""An array that grows by rows, and its form on disk (Zarr v3, one Blosc frame per chunk)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs.blosc import SHUFFLE, Blosc  # type: ignore[import-untyped]

Objects = dict[str, bytes]
"""Store key -> bytes, still to be written."""


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
    ) -> None:
        """`width`: number of columns; arrays of one dimension have one, and no second dimension on disk."""
        self.path = path
        self.rows = 0
        self._dims = dims
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._chunk = chunk
        self._attrs = dict(attrs)
        self._width = width
        self._chunk_width = chunk_width
        self._tail: npt.NDArray[Any] | None = None
        self._tail_written = 0

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
            count = min(self._chunk - at, len(rows) - done)
            tail[at : at + count, : self._width] = rows[done : done + count]
            self.rows += count
            done += count
            if at + count == self._chunk:
                self._encode(tail, (self.rows - 1) // self._chunk, out)
                tail.fill(0)
                self._tail_written = 0

    def flush(self, out: Objects) -> None:
        """The partial chunk, where it has grown since it was last written, goes to `out`."""
        at = self.rows % self._chunk
        if at > self._tail_written and self._tail is not None:
            self._encode(self._tail, self.rows // self._chunk, out)
            self._tail_written = at

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

    def _open_tail(self) -> npt.NDArray[Any]:
        if self._tail is None:
            columns = -(-self._width // self._chunk_width) * self._chunk_width
            self._tail = np.zeros((self._chunk, columns), self._dtype)
        return self._tail

    def _encode(self, tail: npt.NDArray[Any], row: int, out: Objects) -> None:
        codec = Blosc(cname="lz4", clevel=5, shuffle=SHUFFLE, blocksize=0)
        for column in range(tail.shape[1] // self._chunk_width):
            piece = tail[:, column * self._chunk_width : (column + 1) * self._chunk_width]
            index = (row, column)[: len(self._dims)]
            out["/".join((self.path, "c", *map(str, index)))] = bytes(codec.encode(np.ascontiguousarray(piece)))
