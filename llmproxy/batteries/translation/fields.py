"""The members of a JSON object, read one by one; what nobody has read is named at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec

from llmproxy.errors import ClientError
from llmproxy.rules.body import BOM

T = TypeVar("T")

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_number = msgspec.json.Decoder(float)
_integer = msgspec.json.Decoder(int)
_flag = msgspec.json.Decoder(bool)
_texts = msgspec.json.Decoder(list[str])
_NULL = b"null"
_SPACE = b" \t\r\n"


class Fields:
    """The members of one object of a request. A member that is null counts as absent.

    `path`: where the object stands, "" = it is the whole request. `unknown`: collects the paths of
    what was not read, of this object and of all within it.
    """

    __slots__ = ("_left", "path", "unknown")

    def __init__(self, raw: bytes | msgspec.Raw, path: str, unknown: list[str]) -> None:
        """Read an object. Raises ClientError if it is none."""
        self.path = path
        self.unknown = unknown
        self._left = _decoded(raw, _object, path or "the body", "an object")

    def at(self, name: str) -> str:
        """Return the path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str) -> msgspec.Raw | None:
        """Return a member as JSON, and count it as read."""
        raw = self._left.pop(name, None)
        return None if raw is None or bytes(raw).strip() == _NULL else raw

    def text(self, name: str) -> str | None:
        """Return a text."""
        return self._value(name, _text, "a string")

    def needed_text(self, name: str) -> str:
        """Return a text. Raises ClientError if there is none."""
        value = self.text(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def number(self, name: str) -> float | None:
        """Return a number."""
        return self._value(name, _number, "a number")

    def integer(self, name: str) -> int | None:
        """Return a whole number."""
        return self._value(name, _integer, "a whole number")

    def flag(self, name: str) -> bool | None:
        """Return true or false."""
        return self._value(name, _flag, "true or false")

    def texts(self, name: str) -> list[str] | None:
        """Return a list of texts."""
        return self._value(name, _texts, "a list of strings")

    def within(self, name: str) -> Fields | None:
        """Return the members of an object in this one."""
        raw = self.take(name)
        return None if raw is None else Fields(raw, self.at(name), self.unknown)

    def items(self, name: str) -> Iterator[tuple[str, msgspec.Raw]]:
        """Yield the path and the JSON of each item of a list; nothing if there is none."""
        raw = self.take(name)
        if raw is not None:
            path = self.at(name)
            listed: list[msgspec.Raw] = _decoded(raw, _list, path, "a list")
            for number, item in enumerate(listed):
                yield f"{path}[{number}]", item

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the members of each object in a list."""
        for path, raw in self.items(name):
            yield Fields(raw, path, self.unknown)

    def is_text(self, name: str) -> bool:
        """Return whether a member is a text."""
        return bytes(self._left.get(name, msgspec.Raw(b""))).lstrip()[:1] == b'"'

    def leave_out(self, neutral: Mapping[str, tuple[bytes, ...]]) -> None:
        """Count members as read whose value says the same as their absence."""
        for name, values in neutral.items():
            raw = self._left.get(name)
            if raw is not None and bytes(raw).translate(None, _SPACE) in values:
                del self._left[name]

    def not_carried(self) -> None:
        """Name this whole object as not carried."""
        self._left.clear()
        self.unknown.append(self.path)

    def end(self) -> None:
        """Name what was not read."""
        self.unknown += [
            self.at(name) for name, raw in self._left.items() if bytes(raw).strip() != _NULL
        ]
        self._left.clear()

    def _value(self, name: str, decoder: msgspec.json.Decoder[T], kind: str) -> T | None:
        raw = self.take(name)
        return None if raw is None else _decoded(raw, decoder, self.at(name), kind)


def fields_of(body: bytes, unknown: list[str]) -> Fields:
    """Return the members of a request's body. Raises ClientError if it is no JSON object."""
    body = body.removeprefix(BOM)
    try:
        _object.decode(body)
    except _UNREADABLE:
        body = _with_whole_characters(body)
    return Fields(body, "", unknown)


def _with_whole_characters(body: bytes) -> bytes:
    """Return a body with a question mark for each half of a character: Node's clients send such
    halves when they cut a text within an emoji."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def missing(path: str) -> ClientError:
    """Return the error of a request that lacks a member."""
    return ClientError(f"The request has no `{path}`.", param=path)


def _decoded(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T], path: str, kind: str) -> T:
    try:
        return decoder.decode(raw)
    except _UNREADABLE:
        found = bytes(raw)[:40].decode("utf-8", "replace")
        message = f"`{path}` must be {kind}, to be translated for an endpoint; it is {found}."
        raise ClientError(message, param=path) from None
