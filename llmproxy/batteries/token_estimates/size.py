"""The size of a body: how many bytes of text, of which kind, and its images, audio and files.

Nothing is decoded, and no Python loop walks the body: a few calls of C look at its ends and at
samples of it. A kind need not describe the content. It must only be the same for bodies that are
alike, so that what is learned from one holds for the next.

A kind is named `FAMILY CONTENT` (`chat text`), with ` tools` or ` media` added if it has any. The
family comes from the operation's table.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from llmproxy.operations import OPERATIONS, operation_at


class Size(msgspec.Struct, frozen=True, gc=False):
    """The size of a body.

    `kind`: one of KINDS. `text_bytes`: the bytes that are not base64. `extra_tokens`: a first guess
    for images, audio and files.
    """

    kind: str
    text_bytes: int
    extra_tokens: int


TEXT = "text"  # ASCII: prose, code
LATIN = "latin"  # with accents: German, French
DENSE = "dense"  # hardly any ASCII: Chinese, Russian, Arabic
ESCAPED = "escaped"  # the same, written as \u4f60
QUOTED = "quoted"  # JSON within a string: many escaped quotes
IDS = "token ids"  # `[9906, 1917]`, as embeddings take them
# Tokens per byte before any usage is known: rather too many, so that no limit is exceeded. o200k
# and cl100k give texts 0.2 to 0.25, JSON in a string 0.3, Chinese 0.25 to 0.33 (decision 013).
PRIORS = {TEXT: 0.25, LATIN: 0.27, DENSE: 0.33, ESCAPED: 0.15, QUOTED: 0.3, IDS: 0.17}

SHORT_BYTES = 2_048  # up to here one sample is enough, and base64 would not matter
SAMPLE_BYTES = 256
# A schema or a tool ends with two braces, and clients write tools last.
TAIL_BYTES = 128
# More than one in so many bytes of a sample begins an escape: JSON within the JSON, or no ASCII.
# (Code has fewer escaped quotes than that, and costs as much as prose.)
QUOTED_PART = 18
# More than one in so many bytes is beyond ASCII: German has one in thirty, Chinese nearly all. A
# single dash in English changes nothing.
LATIN_PART, DENSE_PART = 60, 3
URL_BYTES = 512  # an image by its URL is looked for near the end only: in the last message
SLASH = 0x2F


def measure(body: bytes, operation: str) -> Size:
    """Return the size of a JSON body. Never raises.

    A few calls of C: 0.5 us for a plain body of 1 kB, 30 us for one with an image of 1 MB, 60 us
    for 1 MB of text.
    """
    kinds = _KINDS_OF[operation_at(operation).family]
    size = len(body)
    if size > SHORT_BYTES:
        return _measure_long(body, kinds)
    quarter = size >> 2
    if kinds is _KINDS_OF_ARRAYS or not body.isascii() or body.find(b"\\", quarter, -quarter) >= 0:
        content = content_of(body, body[quarter : quarter + SAMPLE_BYTES])
    else:
        content = TEXT
    names = kinds[content]
    if SLASH in body and body.rfind(b'_url"', -URL_BYTES) >= 0:
        return Size(names.with_media, size, _media_tokens(body, 0))
    has_tools = body.rfind(b"}}", -TAIL_BYTES) >= 0
    return Size(names.with_tools if has_tools else names.plain, size, 0)


def _measure_long(body: bytes, kinds: Kinds) -> Size:
    text, extra_tokens = body, 0
    payloads = _payloads(body)
    if payloads:
        text, extra_tokens = _without(body, payloads)
    size = len(text)
    sample = [text[at : at + SAMPLE_BYTES] for at in range(size >> 3, size, (size >> 2) + 1)]
    names = kinds[content_of(text, b"".join(sample))]
    if extra_tokens or (SLASH in text and text.rfind(b'_url"', -URL_BYTES) >= 0):
        return Size(names.with_media, size, _media_tokens(text, extra_tokens))
    has_tools = text.rfind(b"}}", -TAIL_BYTES) >= 0
    return Size(names.with_tools if has_tools else names.plain, size, 0)


def content_of(text: bytes, sample: bytes) -> str:
    """Return what a text is made of, a key of PRIORS. `sample`: of the text."""
    if not text.isascii():
        wide_bytes = len(sample) - len(sample.translate(None, _BEYOND_ASCII))
        if wide_bytes * LATIN_PART > len(sample):
            return DENSE if wide_bytes * DENSE_PART > len(sample) else LATIN
    if sample.count(b"\\") * QUOTED_PART > len(sample):
        if sample.count(b"\\u") * QUOTED_PART > len(sample):
            return ESCAPED
        if sample.count(b'\\"') * QUOTED_PART > len(sample):
            return QUOTED
    return IDS if _ONLY_IDS.fullmatch(sample) is not None else TEXT


_BEYOND_ASCII = bytes(range(0x80, 0x100))
_ONLY_IDS = re.compile(rb"[\d,\s\[\]]+")


class KindNames(NamedTuple):
    """The kinds of one family and content."""

    plain: str
    with_tools: str
    with_media: str


Kinds = dict[str, KindNames]
_KINDS_OF: dict[str, Kinds] = {
    family: {
        content: KindNames(
            f"{family} {content}", f"{family} {content} tools", f"{family} {content} media"
        )
        for content in PRIORS
    }
    for family in {operation.family for operation in OPERATIONS.values()}
}
_KINDS_OF_ARRAYS = _KINDS_OF["embeddings"]  # their input may be arrays of token ids
PRIOR_OF = {
    name: PRIORS[content]
    for kinds in _KINDS_OF.values()
    for content, names in kinds.items()
    for name in names
}
KINDS = frozenset(PRIOR_OF)


# ---- images, audio and files

# OpenAI's guide to images (November 2026) for the models that count tiles: 85 tokens, and 170 for
# each tile of 512 pixels, of which 1024 x 1024 makes four; low detail 85 in all. Other models count
# otherwise: a guess, which the returned usage corrects.
IMAGE_TOKENS, LOW_DETAIL_TOKENS = 765, 85
MEDIA_TEXT_BYTES = 65_536  # of the text, the end, where images by URL are counted
# OpenAI counts ten tokens for a second of audio, here of 32 kB in base64. A file of 100 kB may be a
# page or two. Guesses as well.
AUDIO_BYTES_A_TOKEN, FILE_BYTES_A_TOKEN = 3_200, 64

MIN_PAYLOAD_BYTES = 1_024
MIN_STRIDE_BYTES, MAX_STRIDES = 1_024, 32
NEXT_PAYLOAD_BYTES = 160  # behind one payload another one begins soon, if at all
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{32}")  # short enough to fit between the escapes of PHP's `\/`

Payload = tuple[int, int]  # offsets of the quotation marks around it


def _payloads(body: bytes) -> list[Payload]:
    """Return where long strings without a space are: base64, in every dialect.

    The search goes in strides: a string shorter than a stride may be missed and count as text.
    """
    found: list[Payload] = []
    size = len(body)
    stride = max(MIN_STRIDE_BYTES, size // MAX_STRIDES)
    at = stride >> 1
    while at < size:
        if _RUN.match(body, at) is not None:
            start, end = body.rfind(b'"', 0, at), body.find(b'"', at)
            if start < 0 or end < 0:
                break
            if end - start > MIN_PAYLOAD_BYTES and body.find(b" ", start, end) < 0:
                found.append((start, end))
                at = end + NEXT_PAYLOAD_BYTES
            else:
                at = max(at + stride, end)  # so that no string is looked at twice, however long
        else:
            at += stride
    return found


def _without(body: bytes, payloads: list[Payload]) -> tuple[bytes, int]:
    """Return the body without its payloads, and a guess of their tokens."""
    parts: list[bytes] = []
    tokens, at = 0, 0
    for start, end in payloads:
        parts.append(body[at:start])
        at = end
        around = body[max(start - 48, 0) : start + 32]  # its key, and its own `data:image/png`
        if b"image" in around:
            tokens += IMAGE_TOKENS
        elif b"audio" in around:
            tokens += 1 + (end - start) // AUDIO_BYTES_A_TOKEN
        else:
            tokens += 1 + (end - start) // FILE_BYTES_A_TOKEN
    parts.append(body[at:])
    return b"".join(parts), tokens


def _media_tokens(text: bytes, payload_tokens: int) -> int:
    text = text[-MEDIA_TEXT_BYTES:]
    urls = text.count(b'url":"http') + text.count(b'url": "http') + text.count(b'"data:image')
    coarse = text.count(b'"detail":"low"') + text.count(b'"detail": "low"')
    tokens = payload_tokens + urls * IMAGE_TOKENS
    return max(tokens - coarse * (IMAGE_TOKENS - LOW_DETAIL_TOKENS), min(tokens, LOW_DETAIL_TOKENS))
