"""Shards: many chunks of an array in one object, with an index at its end (Zarr v3, `sharding_indexed`)."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

Node = Mapping[str, Any]
"""Metadata of an array: what its zarr.json says."""

Place = tuple[int, ...]
"""Of a chunk or a shard in the grid of its array."""

BYTES = 256 << 20
"""What a shard holds before compression, at most: who makes or reads a whole one needs that much memory."""
CHUNKS = 1024
"""Of a shard, at most: its index, 16 bytes for each chunk, is read before any of them."""

OBJECT = re.compile(r"(.+)/c[/.]([0-9]+)([/.][0-9]+)*")
"""Key of a chunk or a shard: its array, and its place by rows."""

_CODEC = "sharding_indexed"
_NONE = 2**64 - 1
"""Offset and size, in the index, of a chunk that is not there."""
_CHECK = 4
"""Bytes of the checksum behind the index."""
_HEADER = struct.Struct("<4xI4xI")
"""Of a Blosc frame: its bytes before compression, and those of the frame itself."""


def is_sharded(node: Node) -> bool:
    return bool(node["codecs"][0]["name"] == _CODEC)


def sharded(node: Node) -> dict[str, Any]:
    """The metadata of the same array in shards; their keys are `c.0`, where those of chunks are `c/0`."""
    if is_sharded(node):
        return dict(node)
    chunk = node["chunk_grid"]["configuration"]["chunk_shape"]
    shape = [length * count for length, count in zip(chunk, _chunks_of_a_shard(node), strict=True)]
    codec = {
        "chunk_shape": chunk,
        "codecs": node["codecs"],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    return _with(node, shape, ".", [{"name": _CODEC, "configuration": codec}])


def unsharded(node: Node) -> dict[str, Any]:
    """The metadata of the same array in chunks, as they were before `sharded`."""
    if not is_sharded(node):
        return dict(node)
    codec = node["codecs"][0]["configuration"]
    return _with(node, codec["chunk_shape"], "/", codec["codecs"])


def grid(node: Node) -> Place:
    """How many objects an array has along each dimension: chunks, or shards where it is in shards."""
    lengths = node["chunk_grid"]["configuration"]["chunk_shape"]
    return tuple(-(-size // length) for size, length in zip(node["shape"], lengths, strict=True))


def holds_rows(node: Node, row: int, first: int) -> bool:
    """Whether objects of this place by rows, chunks or shards as the node says, hold rows of the array from `first` on."""
    length = node["chunk_grid"]["configuration"]["chunk_shape"][0]
    return bool(first < min((row + 1) * length, node["shape"][0]))


def key(path: str, node: Node, place: Place) -> str:
    """Of the object at a place of the grid."""
    separator = node["chunk_key_encoding"]["configuration"]["separator"]
    return f"{path}/c{separator}{separator.join(map(str, place))}"


def inside(node: Node, shard: Place) -> list[Place]:
    """The chunks of a shard, in the order of its index; those at the edge may lie outside the array."""
    chunk = node["codecs"][0]["configuration"]["chunk_shape"]
    counts = [size // length for size, length in zip(node["chunk_grid"]["configuration"]["chunk_shape"], chunk, strict=True)]
    return [tuple(s * c + o for s, c, o in zip(shard, counts, offset, strict=True)) for offset in np.ndindex(*counts)]


def join(chunks: Sequence[bytes | None]) -> bytes:
    """A shard: its chunks as they are, then the index with offset and size of each, then the checksum of the index."""
    index, at = np.full((len(chunks), 2), _NONE, "<u8"), 0
    for row, chunk in zip(index, chunks, strict=True):
        if chunk is not None:
            row[:] = at, len(chunk)
            at += len(chunk)
    tail = index.tobytes()
    return b"".join([*(chunk for chunk in chunks if chunk is not None), tail, crc32c(tail).to_bytes(_CHECK, "little")])


def split(shard: bytes, count: int) -> list[bytes | None]:
    """The chunks of a shard that has room for so many; None for those that are not there.

    Raises ValueError where the index is damaged, or speaks of bytes that are not there.
    """
    at = len(shard) - 16 * count - _CHECK
    tail = shard[max(at, 0) : -_CHECK]
    if at < 0 or crc32c(tail) != int.from_bytes(shard[-_CHECK:], "little"):
        raise ValueError("its index is damaged")
    chunks: list[bytes | None] = []
    for start, size in np.frombuffer(tail, "<u8").reshape(count, 2).tolist():
        if start != _NONE and start + size > at:
            raise ValueError("it is cut off")
        chunks.append(None if start == _NONE else shard[start : start + size])
    return chunks


def require_frame(chunk: bytes, node: Node) -> None:
    """Raise ValueError where bytes are not a whole chunk of an array: one Blosc frame of the right size, by its header."""
    wanted = _bytes_of_a_chunk(unsharded(node))
    size, frame = _HEADER.unpack_from(chunk) if len(chunk) >= _HEADER.size else (0, 0)
    if (size, frame) != (wanted, len(chunk)):
        raise ValueError(f"it has {len(chunk)} bytes, for {size} of {wanted}")


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli; RFC 3720, appendix B.4)."""
    table, value = _crc_table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


@cache
def _crc_table() -> list[int]:
    """Remainders of all bytes by the polynomial 0x1EDC6F41, its bits reversed."""
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return table


def _chunks_of_a_shard(node: Node) -> list[int]:
    """Along each dimension: as many columns of chunks as fit, evenly, and then as many rows."""
    most = max(min(CHUNKS, BYTES // _bytes_of_a_chunk(node)), 1)
    rows, *columns = grid(node)
    across = [-(-count // -(-count // most)) for count in columns]
    return [max(min(most // math.prod(across), rows), 1), *across]


def _bytes_of_a_chunk(node: Node) -> int:
    values: int = math.prod(node["chunk_grid"]["configuration"]["chunk_shape"])
    return values * np.dtype(node["data_type"]).itemsize


def _with(node: Node, shape: list[int], separator: str, codecs: list[Any]) -> dict[str, Any]:
    return {
        **node,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": separator}},
        "codecs": codecs,
    }
