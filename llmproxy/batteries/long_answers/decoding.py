"""Decodes the content encoding of a body piece by piece, in bounded memory and time."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

Decode = Callable[[bytes], Iterator[bytes]]

STEP_BYTES = 256 * 1024  # of output
# zstandard cannot bound the output of a step (rules/encoding.py).
ZSTD_STEP_BYTES = 512
MAX_ZSTD_WINDOW_BYTES = 8 << 20


class UndecodableError(Exception):
    """The body is not as its content encoding says."""


def decoder_of(encoding: bytes) -> Decode | None:
    """Return what decodes the pieces of one body; None for an encoding that is not known.

    It raises UndecodableError. What it yields is at most 16 MiB at a time.
    """
    match encoding.strip().lower():
        case b"" | b"identity":
            return lambda piece: iter((piece,))
        case b"gzip" | b"x-gzip":
            return _inflating(zlib.MAX_WBITS | 16)
        case b"deflate":
            return _inflating(zlib.MAX_WBITS)
        case b"br":
            return _brotli()
        case b"zstd":
            return _zstd()
        case _:
            return None


def _inflating(wbits: int) -> Decode:
    stream = zlib.decompressobj(wbits)

    def decode(piece: bytes) -> Iterator[bytes]:
        while piece:
            try:
                yield stream.decompress(piece, STEP_BYTES)
            except zlib.error as error:
                raise UndecodableError from error
            piece = stream.unconsumed_tail

    return decode


def _brotli() -> Decode:
    import brotli  # noqa: PLC0415 - costs start-up time, few bodies need it

    stream = brotli.Decompressor()

    def decode(piece: bytes) -> Iterator[bytes]:
        try:
            decoded = stream.process(piece, output_buffer_limit=STEP_BYTES)
            while decoded or not (stream.can_accept_more_data() or stream.is_finished()):
                yield decoded
                decoded = stream.process(b"", output_buffer_limit=STEP_BYTES)
        except brotli.error as error:
            raise UndecodableError from error

    return decode


def _zstd() -> Decode:
    import zstandard  # noqa: PLC0415 - costs start-up time, few bodies need it

    stream = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES).decompressobj()

    def decode(piece: bytes) -> Iterator[bytes]:
        try:
            for at in range(0, len(piece), ZSTD_STEP_BYTES):
                yield stream.decompress(piece[at : at + ZSTD_STEP_BYTES])
        except (zstandard.ZstdError, EOFError) as error:
            raise UndecodableError from error

    return decode
