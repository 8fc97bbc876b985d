"""The size of a body: how many bytes of text, of which kind, and what images and files it has.

Nothing is decoded and nothing walks the body in Python: a few calls of C look at its ends and at
samples of it. A kind is no promise about the content. It only has to be the same for bodies that
are alike, so that what is learned from one is true of the next.
"""

from __future__ import annotations

import re

import msgspec

from llmproxy.operations import OPERATIONS, operation_at


class Size(msgspec.Struct, frozen=True, gc=False):
    """What a body amounts to.

    `kind`: one of KINDS, as `chat text` or `chat text tools`. `text_bytes`: all but what is
    base64. `extra_tokens`: a first guess for images, audio and files.
    """

    kind: str
    text_bytes: int
    extra_tokens: int


# Contents; one of TOOLS and MEDIA may be added.
TEXT, LATIN, DENSE, ESCAPED, QUOTED, TOKEN_IDS = 0, 3, 6, 9, 12, 15
TOOLS, MEDIA = 1, 2
# Tokens a byte, before any usage is known: rather too many, so that no limit is passed. o200k and
# cl100k give texts 0.2 to 0.25, JSON in a string 0.3, Chinese 0.25 to 0.33 (decision 013).
PRIORS = {
    TEXT: ("text", 0.25),  # ASCII: prose, code
    LATIN: ("latin", 0.27),  # with accents: German, French
    DENSE: ("dense", 0.33),  # hardly any ASCII: Chinese, Russian, Arabic
    ESCAPED: ("escaped", 0.15),  # the same, written as \u4f60
    QUOTED: ("quoted", 0.3),  # JSON within a string: many escaped quotes
    TOKEN_IDS: ("token ids", 0.17),  # `[9906, 1917]`, as embeddings take them
}

SHORT_BYTES = 2_048  # up to here one sample is enough, and base64 would not matter
SAMPLE_BYTES = 256
# A schema or a tool ends with two braces, and those who write tools write them last.
TAIL_BYTES = 128
# More than one in so many bytes of a sample begins an escape: JSON within the JSON, or no ASCII.
# (Code has fewer escaped quotes than that, and costs as prose does.)
QUOTED_PART = 18
# More than one in so many bytes is beyond ASCII: German has one in thirty, Chinese nearly all. A
# single dash in English changes nothing.
LATIN_PART, DENSE_PART = 60, 3
URL_BYTES = 512  # an image by its URL is looked for near the end only: in the last message
SLASH = 0x2F


def measure(body: bytes, operation: str) -> Size:
    """The size of a JSON body. Never raises.

    A few calls of C: 0.5 us for a plain body of 1 kB, 30 us for one with an image of 1 MB, 60 us
    for 1 MB of text.
    """
    kinds = _KINDS_OF[operation_at(operation).family]
    size = len(body)
    if size > SHORT_BYTES:
        return _measure_long(body, kinds)
    quarter = size >> 2
    if kinds is _KINDS_OF_ARRAYS or not body.isascii() or body.find(b"\\", quarter, -quarter) >= 0:
        kind = _content(body, body[quarter : quarter + SAMPLE_BYTES])
    else:
        kind = TEXT
    if SLASH in body and body.rfind(b'_url"', -URL_BYTES) >= 0:
        return Size(kinds[kind + MEDIA], size, _media_tokens(body, 0))
    if body.rfind(b"}}", -TAIL_BYTES) >= 0:
        kind += TOOLS
    return Size(kinds[kind], size, 0)


def _measure_long(body: bytes, kinds: Kinds) -> Size:
    text, extra_tokens = body, 0
    payloads = _payloads(body)
    if payloads:
        text, extra_tokens = _without(body, payloads)
    size = len(text)
    sample = [text[at : at + SAMPLE_BYTES] for at in range(size >> 3, size, (size >> 2) + 1)]
    kind = _content(text, b"".join(sample))
    if extra_tokens or (SLASH in text and text.rfind(b'_url"', -URL_BYTES) >= 0):
        return Size(kinds[kind + MEDIA], size, _media_tokens(text, extra_tokens))
    if text.rfind(b"}}", -TAIL_BYTES) >= 0:
        kind += TOOLS
    return Size(kinds[kind], size, 0)


def _content(text: bytes, sample: bytes) -> int:
    if not text.isascii():
        wide_bytes = len(sample) - len(sample.translate(None, _BEYOND_ASCII))
        if wide_bytes * LATIN_PART > len(sample):
            return DENSE if wide_bytes * DENSE_PART > len(sample) else LATIN
    if sample.count(b"\\") * QUOTED_PART > len(sample):
        if sample.count(b"\\u") * QUOTED_PART > len(sample):
            return ESCAPED
        if sample.count(b'\\"') * QUOTED_PART > len(sample):
            return QUOTED
    return TOKEN_IDS if _IDS.fullmatch(sample) is not None else TEXT


_BEYOND_ASCII = bytes(range(0x80, 0x100))
_IDS = re.compile(rb"[\d,\s\[\]]+")

Kinds = list[str]
_CONTENTS = [name + more for name, _ in PRIORS.values() for more in ("", " tools", " media")]
_FAMILIES = {operation.family for operation in OPERATIONS.values()}
_KINDS_OF: dict[str, Kinds] = {
    family: [f"{family} {content}" for content in _CONTENTS] for family in _FAMILIES
}
_KINDS_OF_ARRAYS = _KINDS_OF["embeddings"]  # their input may be arrays of token ids
KINDS = frozenset().union(*_KINDS_OF.values())
PRIOR_OF = {
    f"{family} {name}{more}": prior
    for family in _FAMILIES
    for name, prior in PRIORS.values()
    for more in ("", " tools", " media")
}


# ---- images, audio and files

# OpenAI's guide to images (November 2026) for the models that count tiles: 85 tokens, and 170 for
# each tile of 512 pixels, of which 1024 x 1024 makes four; low detail 85 in all. Other models count
# otherwise: a guess, which the returned usage corrects.
IMAGE_TOKENS, LOW_DETAIL_TOKENS = 765, 85
MEDIA_TEXT_BYTES = 65_536  # of the text, the end, where images by URL are counted
# OpenAI counts ten tokens for a second of audio, here of 32 kB in base64; and a file of 100 kB is
# taken for a page or two. Guesses as well.
AUDIO_BYTES_A_TOKEN, FILE_BYTES_A_TOKEN = 3_200, 64

MIN_PAYLOAD_BYTES = 1_024
MIN_STRIDE_BYTES, MAX_STRIDES = 1_024, 32
NEXT_PAYLOAD_BYTES = 160  # behind one payload another one begins soon, if at all
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{32}")  # short enough to fit between the escapes of PHP's `\/`

Payload = tuple[int, int]  # offsets of the quotation marks around it


def _payloads(body: bytes) -> list[Payload]:
    """Where long strings without a space stand: base64, in whichever dialect.

    Looked for in strides: one that is shorter than a stride may be missed, and counts as text.
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
    """The body without its payloads, and the tokens that these may be."""
    parts: list[bytes] = []
    tokens, at = 0, 0
    for start, end in payloads:
        parts.append(body[at:start])
        at = end
        told = body[max(start - 48, 0) : start + 32]  # its key, and its own `data:image/png`
        if b"image" in told:
            tokens += IMAGE_TOKENS
        elif b"audio" in told:
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
