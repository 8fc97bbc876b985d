"""A cached answer, and its format in a store.

Other programs that write to the same store may have another version, may have been killed while
writing, or may be something else altogether. So a value is only valid if it is, bit by bit, what
`pack` made under the same key. The checksum finds accidents, not deliberate forgeries.

    magic and version   4 bytes
    checksum           16 bytes   BLAKE2b over the key and all that follows
    stored_at           8 bytes   Unix seconds, a big-endian double; always at this offset
    the rest                      msgpack of `_Rest`, the body by zstd if that makes it smaller
"""

from __future__ import annotations

from hashlib import blake2b
from math import isfinite
from struct import Struct

import msgspec

from llmproxy.batteries.money import NANO

MAGIC = b"lpa\x01"
DIGEST_BYTES = 16
COMPRESSED_ABOVE = 1024  # bytes of a body; below it little is gained
MAX_BODY_BYTES = 8 * 1024 * 1024  # of a compressed body, against decompression bombs
# Of zstd, 1 to 22. 1 takes 5 us for 1 kB and 0.2 ms for 100 kB, 3 makes it a tenth smaller in 1.6
# times as long. (measured with zstandard 0.25)
LEVEL = 1

_SEAL = len(MAGIC) + DIGEST_BYTES
_STORED_AT = Struct(">d")
HEAD_BYTES = _SEAL + _STORED_AT.size  # what `stored_at_of` needs


class CachedAnswer(msgspec.Struct, frozen=True, gc=False):
    """An answer as it is served from the cache."""

    group: str  # the model group that answered
    content_type: bytes
    body: bytes  # decoded, as the client got it
    stored_at: float  # Unix seconds
    streamed: bool = False  # the body is a whole event stream, otherwise a JSON object
    has_usage: bool = True  # the call asked for the usage, or the answer contains it
    input_tokens: int = 0  # what a hit saves
    output_tokens: int = 0
    nano_usd: int = 0

    def matches(self, group: str | None, stored_before: float | None) -> bool:
        """Whether a purge removes it: of one group or all (None), stored before a Unix time or all
        (None)."""
        return (group is None or self.group == group) and (
            stored_before is None or self.stored_at < stored_before
        )


class _Rest(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """CachedAnswer without `stored_at`. If the order of fields changes, MAGIC must change."""

    group: str
    content_type: bytes
    body: bytes
    compressed: bool
    streamed: bool
    has_usage: bool
    input_tokens: int
    output_tokens: int
    cost_usd: float


def pack(key: bytes, entry: CachedAnswer) -> bytes:
    """Return an answer as bytes that `unpack` accepts under this key only."""
    body = _compressed(entry.body)
    rest = _Rest(
        entry.group,
        entry.content_type,
        entry.body if body is None else body,
        body is not None,
        entry.streamed,
        entry.has_usage,
        entry.input_tokens,
        entry.output_tokens,
        entry.nano_usd / NANO,
    )
    sealed = _STORED_AT.pack(entry.stored_at) + _WRITE.encode(rest)
    return b"".join((MAGIC, _checksum(key, sealed), sealed))


def unpack(key: bytes, value: bytes) -> CachedAnswer | None:
    """Return the answer that was packed under this key; None for any other value. Never raises.

    Decompresses at most MAX_BODY_BYTES.
    """
    stored_at = stored_at_of(value)
    sealed = memoryview(value)[_SEAL:]
    if stored_at is None or _checksum(key, sealed) != value[len(MAGIC) : _SEAL]:
        return None
    try:
        rest = _READ.decode(sealed[_STORED_AT.size :])
    except ValueError:
        return None
    body = _decompressed(rest.body) if rest.compressed else rest.body
    nano_usd = rest.cost_usd * NANO
    if body is None or not isfinite(stored_at + nano_usd):
        return None
    return CachedAnswer(
        rest.group,
        rest.content_type,
        body,
        stored_at,
        rest.streamed,
        rest.has_usage,
        rest.input_tokens,
        rest.output_tokens,
        round(nano_usd),
    )


def stored_at_of(head: bytes) -> float | None:
    """Return when an answer was stored (Unix seconds), from at least HEAD_BYTES of its value.

    None if it is not of this format. The checksum is not verified.
    """
    if len(head) < HEAD_BYTES or not head.startswith(MAGIC):
        return None
    (stored_at,) = _STORED_AT.unpack_from(head, _SEAL)
    return float(stored_at)


def _checksum(key: bytes, sealed: bytes | memoryview) -> bytes:
    digest = blake2b(len(key).to_bytes(4, "big") + key, digest_size=DIGEST_BYTES)
    digest.update(sealed)
    return digest.digest()


def _compressed(body: bytes) -> bytes | None:
    """Return a body compressed; None if that makes it no smaller."""
    if not COMPRESSED_ABOVE < len(body) <= MAX_BODY_BYTES:
        return None
    import zstandard  # noqa: PLC0415 - costs start-up time

    # A new one for each body (8 us): two threads must not share one.
    smaller: bytes = zstandard.ZstdCompressor(level=LEVEL).compress(body)
    return smaller if len(smaller) < len(body) else None


def _decompressed(body: bytes) -> bytes | None:
    import zstandard  # noqa: PLC0415 - costs start-up time

    try:
        # The size in the frame is allocated, so check it first. -1 = the frame has none.
        if not 0 <= zstandard.frame_content_size(body) <= MAX_BODY_BYTES:
            return None
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_BODY_BYTES)
        whole: bytes = reader.decompress(
            body, max_output_size=MAX_BODY_BYTES, allow_extra_data=False
        )
    except zstandard.ZstdError:
        return None
    return whole


_WRITE = msgspec.msgpack.Encoder()
_READ = msgspec.msgpack.Decoder(_Rest)
