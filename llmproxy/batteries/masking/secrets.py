"""Masks secrets in texts that may quote what was sent: errors, logs, headers.

A secret is found as it stands, and as JSON, URLs, HTML or base64 write it: `a"b` is also `a\\"b`,
`a\\u0022b`, `a%22b`, `a&quot;b`, in any mixture and more than once over.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from html.entities import codepoint2name
from urllib.parse import quote, quote_plus

MASK = b"***"
MIN_CHARS = 4  # a shorter value is not masked: it occurs in any text
ANYWHERE_CHARS = 8  # a shorter value is masked only as a whole word
# No message of an error is longer. In longer texts a search for every form would block the loop.
MAX_SEARCHED_BYTES = 64 * 1024
_SCHEME = re.compile(r"(?i:bearer|basic|token|key|apikey)\s+")
# Before a word: no letter and no digit, except those of an escape.
_WORD_BEGINS = rb"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\[nrt]))"
# Bounded, or a text of backslashes alone would take quadratic time.
_SLASHES = rb"(?:\\|%(?:25){0,3}5[cC]){0,6}"
_WORD_ENDS = rb"(?![A-Za-z0-9])"


class Secrets:
    """Values that must not be shown to others than their owner. No repr contains one."""

    __slots__ = ("_patterns", "_values")

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = frozenset(value for value in values if len(value) >= MIN_CHARS)
        # The longest first: one may contain another.
        by_length = sorted(self._values, key=lambda value: (-len(value), value))
        self._patterns = tuple(pattern for value in by_length for pattern in _patterns(value))

    def __bool__(self) -> bool:
        return bool(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and self._values == other._values

    def __hash__(self) -> int:
        return hash(self._values)

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets(self._values | other._values) if other else self

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)})"

    def mask(self, text: bytes) -> bytes:
        """Return the text with `***` for each secret."""
        if len(text) > MAX_SEARCHED_BYTES:
            return self._mask_plainly(text)
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        return text

    def _mask_plainly(self, text: bytes) -> bytes:
        """Return a long text with `***` for what is written in one of the usual ways only."""
        for value in sorted(self._values, key=len, reverse=True):
            raw = value.encode("utf-8", "surrogatepass")
            forms = (json.dumps(value)[1:-1], quote(raw, safe=""), quote_plus(raw))
            for form in (raw, *(form.encode() for form in forms)):
                text = text.replace(form, MASK)
        return text

    __call__ = mask  # a `Mask`

    def mask_text(self, text: str) -> str:
        """Return the text with `***` for each secret."""
        if not self._patterns:
            return text
        return self.mask(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


NO_SECRETS = Secrets()


def bare_key(header: str) -> str:
    """Return the credential in the value of a header, without the word for its scheme."""
    return _SCHEME.sub("", header, count=1) if _SCHEME.match(header) else header


def _patterns(secret: str) -> Iterable[re.Pattern[bytes]]:
    written = b"".join(map(_forms, secret))
    if len(secret) < ANYWHERE_CHARS:
        written = _WORD_BEGINS + written + _WORD_ENDS
    yield re.compile(written)
    if len(secret) >= ANYWHERE_CHARS:
        yield re.compile(b"|".join(sorted({*map(re.escape, _in_base64(secret.encode()))})))


def _forms(char: str) -> bytes:
    """Return a pattern for one character in each way in which it may be written."""
    raw, code = char.encode("utf-8", "surrogatepass"), ord(char)
    # Each begins with a plain character, so that the search is for a set of characters.
    in_url = b"".join(b"%%(?:25){0,3}%s" % _hex(b"%02x" % byte) for byte in raw)
    forms = [
        re.escape(raw),
        in_url,
        *_escaped(
            b"".join(
                b"%su%s" % (b"" if at == 0 else _SLASHES, _hex(b"%04x" % unit))
                for at, unit in enumerate(_units(char))
            )
        ),
        b"&#0{0,5}%d;" % code,
        b"&#[xX]0{0,5}%s;" % _hex(b"%x" % code),
    ]
    if (name := codepoint2name.get(code)) is not None:
        forms.append(b"&%s;" % name.encode("ascii"))
    if char in "\"'\\/":
        forms += _escaped(b"(?:%s|%s)" % (re.escape(raw), in_url))
    if char == "'":
        forms.append(b"&apos;")
    if char == " ":
        forms.append(rb"\+")
    return b"(?:%s)" % b"|".join(forms)


def _escaped(form: bytes) -> tuple[bytes, bytes]:
    """Return a form behind one backslash or more, each of which may be written as in a URL."""
    return rb"\\" + _SLASHES + form, b"%(?:25){0,3}5[cC]" + _SLASHES + form


def _units(char: str) -> list[int]:
    """Return the UTF-16 code units of a character, as JSON escapes it."""
    raw = char.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]


def _hex(digits: bytes) -> bytes:
    """Return a pattern for hexadecimal digits in either case."""
    return b"(?i:%s)" % digits


def _in_base64(secret: bytes) -> Iterable[bytes]:
    """Yield what base64 makes of a secret at each of three places in a longer text, as far as the
    neighbours have no part in it, in both alphabets."""
    for offset in range(3):
        encoded = b64encode(b"\0" * offset + secret)
        begin = (0, 2, 3)[offset]
        end = (len(secret) + offset) * 8 // 6
        inner = encoded[begin:end]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))
