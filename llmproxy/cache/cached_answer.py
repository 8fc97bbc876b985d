"""How an answer is written down to be kept outside of the process, and how it is known again.

Who shares a store may be of another version, may have been broken off, or may be another program
altogether. So whatever is not, bit by bit, what `pack` made under the same key is no answer.
The checksum finds accidents; it keeps out nobody who may write to the store and wants to deceive.

    magic and version   4 bytes
    checksum           16 bytes   BLAKE2b over the key and all that follows
    stored_at           8 bytes   Unix seconds, a big-endian double: its place never changes
    the rest                      msgpack of `_Rest`, the body by zstd where that makes it smaller
"""

from __future__ import annotations

from hashlib import blake2b
from math import isfinite
from struct import Struct

import msgspec

MAGIC = b"lpa\x01"
DIGEST_BYTES = 16
COMPRESSED_ABOVE = 1024  # bytes of a body; below it little is won
MAX_BODY_BYTES = 8 * 1024 * 1024  # of a body that was compressed: no entry is a bomb
# Of zstd, 1 to 22. 1 takes 5 us for 1 kB and 0.2 ms for 100 kB, 3 makes it a tenth smaller in 1.6
# times as long. (measured with zstandard 0.25)
LEVEL = 1

_SEAL = len(MAGIC) + DIGEST_BYTES
_STORED_AT = Struct(">d")
HEAD_BYTES = _SEAL + _STORED_AT.size  # what `stored_at_of` needs


class CachedAnswer(msgspec.Struct, frozen=True, gc=False):
    """An answer as it is given again."""

    group: str  # the model group that answered
    content_type: bytes
    body: bytes  # decoded, as the client got it
    stored_at: float  # Unix seconds
    streamed: bool = False  # body is a whole event stream, otherwise a JSON object
    has_usage: bool = True  # the call had asked for the usage, or the answer tells it
    input_tokens: int = 0  # what a hit saves
    output_tokens: int = 0
    cost_usd: float = 0.0

    def is_meant(self, group: str | None, stored_before: float | None) -> bool:
        """Whether a purge means it: of one group, or of all (None), and of what was stored before
        a moment in Unix seconds, or ever (None)."""
        return (group is None or self.group == group) and (
            stored_before is None or self.stored_at < stored_before
        )


class _Rest(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """CachedAnswer without `stored_at`. Another order of fields is another version of MAGIC."""

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
    """An answer as bytes that `unpack` knows under this key, and under no other."""
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
        entry.cost_usd,
    )
    sealed = _STORED_AT.pack(entry.stored_at) + _WRITE.encode(rest)
    return b"".join((MAGIC, _checksum(key, sealed), sealed))


def unpack(key: bytes, value: bytes) -> CachedAnswer | None:
    """The answer that was pack under this key; None if the value is anything else. Never raises.

    Of a value made to do harm no more than MAX_BODY_BYTES are decompressed.
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
    if body is None or not isfinite(stored_at + rest.cost_usd):
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
        rest.cost_usd,
    )


def stored_at_of(head: bytes) -> float | None:
    """When an answer was stored, in Unix seconds, from the first HEAD_BYTES of its value (or more).

    None if it is not of this format. Nothing is verified.
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
    """None if that makes it no smaller."""
    if not COMPRESSED_ABOVE < len(body) <= MAX_BODY_BYTES:
        return None
    import zstandard  # noqa: PLC0415 - costs start-up time

    # One for each body, 8 us: they must not be used by two threads at once.
    smaller: bytes = zstandard.ZstdCompressor(level=LEVEL).compress(body)
    return smaller if len(smaller) < len(body) else None


def _decompressed(body: bytes) -> bytes | None:
    import zstandard  # noqa: PLC0415 - costs start-up time

    try:
        # It allocates what the frame says: that comes first. -1: it does not say.
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
