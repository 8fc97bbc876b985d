"""The key of a conversation: an id that the client sends, else a hash of its beginning.

A key only decides which endpoint is preferred, so two conversations may share one: only balance
suffers. All turns of a conversation must have the same one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from llmproxy.calls import Call, Headers

# Headers in which clients name a conversation (docs/project/upstreams.md, "Prompt caches").
SESSION_HEADERS = frozenset(
    (
        b"session_id",  # Codex
        b"session-id",
        b"x-claude-code-session-id",
        b"x-grok-conv-id",
        b"x-session-affinity",
        b"x-session-id",
    )
)
MAX_ID_BYTES = 512
# Of a system prompt and of each message, so many bytes count. The length counts, too.
HEAD_BYTES, TAIL_BYTES = 2048, 512
MAX_OPENING_ITEMS = 8  # messages before the first answer that count


class Naming(NamedTuple):
    """The key of a call's conversation; None: it has none. `goes_on`: it has earlier turns."""

    key: bytes | None
    goes_on: bool = False


NAMELESS = Naming(None)


def naming_of(call: Call, *, by_session: bool) -> Naming:
    """Return what names a call's conversation. Never raises.

    `by_session`: ids of users count, too, which may have several conversations.
    """
    body = call.body
    if not isinstance(body, bytes):
        return NAMELESS
    session = _session_in(call.headers)
    if session is not None:
        return Naming(_digest(b"session", session))
    value = _cache_key(body)
    if value is None and by_session:
        value = _session_of(body)
    if value is not None:
        return Naming(_digest(b"id", value))
    return _by_beginning(body)


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# --- ids -------------------------------------------------------------------------------------


_CACHE_KEY = b'"prompt_cache_key"'
_TEXT = re.compile(rb'\s*:\s*"((?:[^"\\]|\\.){1,%d})"' % MAX_ID_BYTES)
_BACKSLASH = 0x5C


def _cache_key(body: bytes) -> bytes | None:
    """Return the body's `prompt_cache_key`. Within a string, its quotation marks are escaped."""
    at = body.rfind(_CACHE_KEY)
    if at < 0 or body[at - 1] == _BACKSLASH:
        return None
    found = _TEXT.match(body, at + len(_CACHE_KEY))
    return None if found is None else found[1]


class _Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class _Ids(msgspec.Struct, gc=False):
    """The ids of a body, the closest one first."""

    session_id: str | None = None
    metadata: _Metadata | None = None
    safety_identifier: str | None = None
    user: str | None = None


_ids = msgspec.json.Decoder(_Ids)


def _session_of(body: bytes) -> bytes | None:
    try:
        ids = _ids.decode(body)
    except _UNREADABLE:
        return None
    user_id = None if ids.metadata is None else ids.metadata.user_id
    session = ids.session_id or user_id or ids.safety_identifier or ids.user
    return session.encode("utf-8", "replace")[:MAX_ID_BYTES] if session else None


def _session_in(headers: Headers) -> bytes | None:
    for name, value in headers:
        if name in SESSION_HEADERS and value:
            return value
    return None


# --- the beginning ---------------------------------------------------------------------------

_ABSENT = msgspec.Raw(b"")
_OPENING_ROLES = frozenset(("system", "developer", "user"))
_ROLE_FIRST = re.compile(rb'\{\s*(?:"type"\s*:\s*"message"\s*,\s*)?"role"\s*:\s*"([a-z]+)"')
_CACHE_CONTROL = re.compile(rb',?\s*"cache_control"\s*:\s*\{[^{}]*\}')


class _Prompt(msgspec.Struct, gc=False):
    system: msgspec.Raw = _ABSENT
    instructions: msgspec.Raw = _ABSENT
    messages: list[msgspec.Raw] | None = None
    input: list[msgspec.Raw] | str | None = None


class _Item(msgspec.Struct, gc=False):
    role: str | None = None


_prompt = msgspec.json.Decoder(_Prompt)
_item = msgspec.json.Decoder(_Item)


def _by_beginning(body: bytes) -> Naming:
    """Hash the system prompt and all messages before the first answer."""
    try:
        prompt = _prompt.decode(body)
        items = prompt.input if prompt.messages is None else prompt.messages
        if isinstance(items, list):
            opening, goes_on = _opening(items)
        else:
            opening, goes_on = [msgspec.Raw((items or "").encode("utf-8", "replace"))], False
    except _UNREADABLE:
        return NAMELESS
    key = _digest(*map(_sample, (prompt.system, prompt.instructions, *opening)))
    return Naming(key, goes_on) if opening else NAMELESS


def _opening(items: Sequence[msgspec.Raw]) -> tuple[Sequence[msgspec.Raw], bool]:
    """Return the messages before the first answer, and whether others follow."""
    for number, item in enumerate(items[:MAX_OPENING_ITEMS]):
        if _role_of(item) not in _OPENING_ROLES:
            return items[:number], True
    return items[:MAX_OPENING_ITEMS], len(items) > MAX_OPENING_ITEMS


def _role_of(item: msgspec.Raw) -> str | None:
    """Return whose message it is. Most clients say that first, so a long one is not read."""
    if found := _ROLE_FIRST.match(item):
        return found[1].decode("ascii")
    return _item.decode(item).role


def _sample(value: msgspec.Raw) -> bytes:
    """Return the bytes of a value that are hashed: without `cache_control`, which clients move."""
    text = bytes(value)
    if text.rfind(b'"cache_control"') >= 0:  # twice as fast as `find`
        text = _CACHE_CONTROL.sub(b"", text)
    if len(text) <= HEAD_BYTES + TAIL_BYTES:
        return text
    return b"%d " % len(text) + text[:HEAD_BYTES] + text[-TAIL_BYTES:]


def _digest(*parts: bytes) -> bytes:
    return blake2b(b"\0".join(parts), digest_size=12).digest()
