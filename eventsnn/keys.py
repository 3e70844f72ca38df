"""Keys of random streams: each stream belongs to a name, so adding a thing to a network changes no other draw."""

from __future__ import annotations

from hashlib import blake2b

from eventsnn.spec import Key


def key(seed: int, kind: str, *name: object) -> Key:
    """Two uint32 words: BLAKE2b, 8 bytes, little-endian, of "seed|kind|name|..."."""
    text = "|".join(map(str, (seed, kind, *name)))
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")
