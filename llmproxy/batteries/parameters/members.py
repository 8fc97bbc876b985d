"""The positions of the top-level members of a JSON object. Pure.

Usually msgspec reads the object, whose values then say how long each of them is: the time in Python
depends on the number of members, not on their size. An object with a duplicate key, or with a key
that is not UTF-8, is walked token by token, which is bounded.
"""

from __future__ import annotations

import re

import msgspec

from llmproxy.errors import ClientError
from llmproxy.rules.body import BOM, MAX_WALKED_BYTES, OPENING, STRING, without_surrogates


class Member(msgspec.Struct, frozen=True, gc=False):
    """One member, with the space around it, and without the commas beside it. All are offsets."""

    name: str
    start: int
    key_start: int
    key_end: int
    value_start: int
    value_end: int
    end: int

    def value(self, body: bytes) -> bytes:
        """Return the value as it is written."""
        return body[self.value_start : self.value_end]


class Members(msgspec.Struct, frozen=True, gc=False):
    """The members of an object in order; `start` and `end` are what they take up together."""

    start: int
    members: list[Member]
    end: int


_SPACE = rb"[ \t\n\r]*"
_EMPTY = re.compile(_SPACE + rb"\}")
_KEY = re.compile(_SPACE + rb"(" + STRING + rb")" + _SPACE + rb":" + _SPACE, re.DOTALL)
_END = re.compile(_SPACE + rb"([,}])")
_TOKEN = re.compile(STRING + rb"|[\[\]{},]", re.DOTALL)

_values = msgspec.json.Decoder(dict[str, msgspec.Raw])
_key = msgspec.json.Decoder(str)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_members(body: bytes) -> Members | None:
    """Return the members of a JSON object that `rules.body.peek` accepts; None for anything else.

    Raises ClientError (400) for an object above MAX_WALKED_BYTES that must be walked.
    """
    opening = OPENING.match(body)
    if opening is None:
        return None
    if _EMPTY.match(body, opening.end()):
        return Members(opening.end(), [], opening.end())
    members = _measured(body, opening)
    if members is None:
        if len(body) > MAX_WALKED_BYTES:
            raise ClientError(
                "The parameters of this request cannot be changed as the endpoint needs it: one of "
                "them is there twice, or has a name that is not valid UTF-8. Name each once."
            )
        members = _walked(body, opening.end())
    return Members(opening.end(), members, members[-1].end) if members else None


def _measured(body: bytes, opening: re.Match[bytes]) -> list[Member] | None:
    """Return the members by the lengths of their values; None if a key is there twice."""
    text = body
    try:
        values = _values.decode(body.removeprefix(BOM))
    except _UNREADABLE:
        # msgspec refuses lone surrogates. The copy without them has the same length.
        text = without_surrogates(body)
        try:
            values = _values.decode(text.removeprefix(BOM))
        except _UNREADABLE:
            return None
    members: list[Member] = []
    at = opening.end()
    for name, raw in values.items():
        value, key = bytes(raw), _KEY.match(text, at)
        if key is None:
            return None
        value_end = key.end() + len(value)
        end = _END.match(text, value_end)
        if end is None or text[key.end() : value_end] != value:
            return None
        members.append(Member(name, at, *key.span(1), key.end(), value_end, end.start(1)))
        at = end.end()
    return members if text[at - 1 : at] == b"}" else None


def _walked(body: bytes, at: int) -> list[Member]:
    """Return the members by walking all tokens of the body."""
    members: list[Member] = []
    depth = 1
    key = _KEY.match(body, at)
    for token in _TOKEN.finditer(body, at):
        text = token[0]
        if depth == 1 and key is not None and text in (b",", b"}"):
            end = token.start()
            value_end = key.end() + len(body[key.end() : end].rstrip(b" \t\n\r"))
            members.append(Member(_text(key[1]), at, *key.span(1), key.end(), value_end, end))
            at = token.end()
            key = _KEY.match(body, at)
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                break
    return members


def _text(key: bytes) -> str:
    """Return what a key spells; of one that is no text, its bytes, which no config names."""
    try:
        return _key.decode(key)
    except _UNREADABLE:
        return key.decode("latin-1")
