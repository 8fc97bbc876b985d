"""Content encodings of bodies: gzip, deflate, br and zstd, decoded with bounds.

Output is produced in small steps and counted, so a decompression bomb ends early and is never whole
in memory. Corrupt, truncated and trailing bytes are errors: what one reader skips, another may
read. Decompressors are imported when a body first needs them, to save start-up time.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from llmproxy.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

SUPPORTED = "gzip, deflate, br, zstd"
RATIO_FREE_BYTES = 65_536  # below it no ratio is checked: short texts may compress well
MAX_ENCODINGS = 3  # in a comma list
MAX_PARTS = 1_000  # members of a gzip body, frames of a zstd body: bgzip makes one per 64 kB
MAX_ZSTD_WINDOW_BYTES = 8 << 20  # RFC 9659, section 3: no more for content coding zstd

_STEP_IN = 65_536
_STEP_OUT = 262_144
# zstandard cannot bound the output of one step. 4 bytes of input may become a block of 128 KiB, so
# a step of 512 yields 16 MiB at worst (measured with zstandard 0.25).
_STEP_IN_ZSTD = 512


def decoded(body: bytes, encoding: bytes, *, max_bytes: int, max_ratio: float) -> bytes:
    """Return a request body without its content encoding; a comma list is decoded from its end.

    `max_bytes` bounds the result and every step before it, `max_ratio` bounds result / body above
    RATIO_FREE_BYTES. Raises ClientError: 400 if corrupt, truncated or followed by other bytes, 413
    if too large, 415 if the encoding is unknown.
    """
    names = [name for part in encoding.split(b",") if (name := part.strip().lower())]
    if len(names) > MAX_ENCODINGS:
        raise ClientError(
            f"The request body has {len(names)} content-encodings; {MAX_ENCODINGS} are the most.",
            status=415,
            code="unsupported_content_encoding",
        )
    steps = [_step(name) for name in reversed(names)]
    limit = min(max_bytes, max(int(len(body) * max_ratio), RATIO_FREE_BYTES))
    for step in steps:
        if step is not None:
            body = _bounded(step, body, limit)
    if len(body) > max_bytes:
        raise _TooBigError(max_bytes)
    return body


def readable(body: bytes, encoding: bytes, *, max_bytes: int) -> bytes | None:
    """Return a response body without its content encoding; None if that fails. Never raises."""
    try:
        return decoded(body, encoding, max_bytes=max_bytes, max_ratio=float(max_bytes))
    except ClientError:
        return None


class _CorruptError(Exception):
    """Why a body cannot be decoded. Becomes a ClientError in `_bounded`."""


class _TooBigError(ClientError):
    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The request body is larger than {limit} bytes when decoded, or is compressed beyond "
            "the accepted ratio. Send it in smaller parts.",
            status=413,
            code="request_too_large",
        )


def _step(name: bytes) -> Callable[[bytes], Iterator[bytes]] | None:
    match name:
        case b"identity":
            return None
        case b"gzip" | b"x-gzip":
            return _gunzipped
        case b"deflate":
            return _inflated
        case b"br":
            return _unbrotlied
        case b"zstd":
            return _unzstd
        case _:
            raise ClientError(
                f"The content-encoding '{name.decode('latin-1')}' of the request is not "
                f"supported; send {SUPPORTED} or none.",
                status=415,
                code="unsupported_content_encoding",
            )


def _bounded(step: Callable[[bytes], Iterator[bytes]], body: bytes, limit: int) -> bytes:
    pieces = []
    size = 0
    try:
        for piece in step(body):
            size += len(piece)
            if size > limit:
                raise _TooBigError(limit)
            pieces.append(piece)
    except _CorruptError as error:
        raise ClientError(
            f"The request body cannot be decoded as its content-encoding says: {error}.",
            code="invalid_content_encoding",
        ) from error
    return b"".join(pieces)


def _gunzipped(body: bytes) -> Iterator[bytes]:
    """Decode RFC 1952: one or more members, nothing after them."""
    if not body:
        raise _CorruptError("it is empty")
    at = 0
    for _ in range(MAX_PARTS):
        at = yield from _one_zlib_stream(body, at, zlib.MAX_WBITS | 16)
        if at == len(body):
            return
    raise _CorruptError(f"it has more than {MAX_PARTS} members")


def _inflated(body: bytes) -> Iterator[bytes]:
    """Decode deflate: zlib's format (RFC 9110, 8.4.1.2), or its bare stream, as some clients do."""
    has_header = len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
    at = yield from _one_zlib_stream(body, 0, zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
    if at != len(body):
        raise _CorruptError("it continues after its end")


def _one_zlib_stream(body: bytes, at: int, wbits: int) -> Generator[bytes, None, int]:
    """Yield what the stream at offset `at` holds; return the offset after it."""
    stream = zlib.decompressobj(wbits)
    view = memoryview(body)
    try:
        while not stream.eof:
            taken = view[at : at + _STEP_IN]
            at += len(taken)
            piece = stream.decompress(taken, _STEP_OUT)
            if not (taken or piece or stream.eof):
                raise _CorruptError("it is truncated")
            yield piece
            while stream.unconsumed_tail and not stream.eof:
                yield stream.decompress(stream.unconsumed_tail, _STEP_OUT)
    except zlib.error as error:
        raise _CorruptError(str(error)) from error
    return at - len(stream.unused_data)


def _unbrotlied(body: bytes) -> Iterator[bytes]:
    """Decode RFC 7932: one stream. Brotli itself refuses bytes after its end."""
    import brotli  # noqa: PLC0415 - costs start-up time, few bodies need it

    stream = brotli.Decompressor()
    view = memoryview(body)
    at = 0
    try:
        while not stream.is_finished():
            taken = b""
            if stream.can_accept_more_data():
                taken = bytes(view[at : at + _STEP_IN])
                at += len(taken)
            piece = stream.process(taken, output_buffer_limit=_STEP_OUT)
            if not (taken or piece or stream.is_finished()):
                raise _CorruptError("it is truncated")
            yield piece
    except brotli.error as error:
        raise _CorruptError("it is not valid brotli, or continues after its end") from error
    if at != len(body):
        raise _CorruptError("it continues after its end")


def _unzstd(body: bytes) -> Iterator[bytes]:
    """Decode RFC 8878: one or more frames, nothing after them."""
    import zstandard  # noqa: PLC0415 - costs start-up time, few bodies need it

    if not body:
        raise _CorruptError("it is empty")
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES)
    view = memoryview(body)
    at = 0
    try:
        for _ in range(MAX_PARTS):
            frame = reader.decompressobj()
            while not frame.eof:
                if at == len(body):
                    raise _CorruptError("it is truncated")
                taken = view[at : at + _STEP_IN_ZSTD]
                at += len(taken)
                yield frame.decompress(taken)
            at -= len(frame.unused_data)
            if at == len(body):
                return
    except zstandard.ZstdError as error:
        raise _CorruptError(str(error)) from error
    raise _CorruptError(f"it has more than {MAX_PARTS} frames")
