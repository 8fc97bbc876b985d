"""Finds the ids in calls and in answers. Pure rules over bytes.

A body is searched for the keys under which vendors write ids (`id`, `*_id`, `*_ids`, `*_file`,
`container`, `conversation`); it is never decoded. Inside a JSON string a quotation mark is escaped,
so `_id"` followed by a colon is a key. A value that is found may be no id of an account (a
`call_id`, a client's own metadata): in a call it counts only if the registry knows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from urllib.parse import unquote

import msgspec

from llmproxy.operations.dialects.base import ABSENT, UNREADABLE
from llmproxy.operations.table import OPERATIONS

MAX_FOUND = 2000  # keys of one kind in one body
MAX_NEWEST = 32
# An id that a vendor has given: one word, with a digit or a separator, neither short nor long.
_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.:-]{3,199}")
_QUOTED = re.compile(rb'\s*:\s*"([^"\\]{4,200})"')
_QUOTED_OR_IN_OBJECT = re.compile(rb'\s*:\s*(?:\{\s*"id"\s*:\s*)?"([^"\\]{4,200})"')
_LIST = re.compile(rb"\s*:\s*\[([^\]\[{}]*)\]")
_CONTAINER = re.compile(rb'(?:_id)?"\s*:\s*(?:\{\s*"id"\s*:\s*)?"([^"\\]{4,200})"')
_MEMBER = re.compile(rb'"([^"\\]{4,200})"')
_LONG = re.compile(rb'\s*:\s*"([^"\\]{16,})"')

# Keys under which an id of an account stands, and what may stand before the `_id`.
_FILE_KEYS = (b'file"', b'container"', b'conversation"', b'voice"', b'_model"')
_NOT_OF_ACCOUNT = (
    *(b"connector", b"custom", b"call", b"tool_use", b"user"),
    *(b"request", b"organization", b"project"),
)
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')
ITEM_REFERENCE = b'"item_reference"'


# What clients say for themselves: flat objects that an answer repeats. Not a vendor's ids.
_CLIENTS_OWN = re.compile(
    rb'"(?:metadata|attributes|variables)"\s*:\s*\{'
    rb'(?:[^{}"]++|"(?:[^"\\]|\\.)*+"){0,256}+\}',
    re.DOTALL,
)
# An object with nothing but an id: an item of a conversation, named without its type.
_ALONE = re.compile(rb'\s*:\s*"([^"\\]{4,200})"\s*(?:,\s*"type"\s*:\s*null\s*)?\}')
_IN_A_LIST = re.compile(rb'[\[,]\s*\{\s*(?:"type"\s*:\s*null\s*,\s*)?\Z')
# A letter, a digit or `-.:_` as an escape: nobody needs one, and it would hide an id or its key.
_HIDING = re.compile(rb"\\u00(?:2[deDE]|3[0-9aA]|[46][1-9a-fA-F]|5[0-9aAfF]|7[0-9aA])")


class StatePlace(msgspec.Struct, frozen=True):
    """Where a path leads among what accounts keep.

    `collection`: the path of the list, such as `files` or `fine_tuning/jobs`. `id`: the first one
    in the path; None: the path is the collection itself. `ids`: all segments that may be ids.
    """

    collection: str
    id: str | None = None
    ids: tuple[str, ...] = ()


def place_of(path: str) -> StatePlace | None:
    """Return the place of a path without `/v1/`; None if it leads to nothing that is kept."""
    segments = path.split("/")
    for length in range(len(segments), 0, -1):
        collection = "/".join(segments[:length])
        row = OPERATIONS.get(collection + "/")
        if row is not None:
            below = [unquote(segment) for segment in segments[length:]]
            place = StatePlace(collection, below[0] if below else None, tuple(below[::2]))
            return place if row.bound_to_account else None
    return None


def searchable(body: bytes) -> bytes:
    """Return a body in which ids can be searched for: without needless escapes, which would hide
    one, and without what clients say for themselves (`metadata`), which may be anything."""
    if hides(body):
        body = _without_escapes(body)
    return _CLIENTS_OWN.sub(b"", body) if _has_clients_own(body) else body


def hides(body: bytes) -> bool:
    """Whether a body has escapes that could hide an id or its key."""
    return body.rfind(b"\\u00") >= 0 and _HIDING.search(body) is not None


def ids_named_in(body: bytes) -> list[str]:
    """Return what a body names by keys that only ids have, each once: `file_ids`, `container`."""
    found = dict.fromkeys(_under_id_keys(body))
    for key in _FILE_KEYS:
        found |= dict.fromkeys(_after(body, key, _QUOTED_OR_IN_OBJECT))
    found |= dict.fromkeys(_in_lists(body))
    return _as_text(found)


def files_named_in(body: bytes) -> list[str]:
    """Return the files that a call of any dialect names."""
    return _as_text(dict.fromkeys(_after(body, b'file_id"', _QUOTED)))


def state_named_in(body: bytes) -> list[str]:
    """Return the files, containers and vector stores that a call for an answer names. Found with
    few searches: such bodies are long. Its conversation is named at the top (`BodyTop`)."""
    found = dict.fromkeys(_after(body, b'file_id"', _QUOTED))
    found |= dict.fromkeys(_after(body, b"container", _CONTAINER))
    for members in _after(body, b'_ids"', _LIST):
        found |= dict.fromkeys(_MEMBER.findall(members))
    return _as_text(found)


def items_named_in(body: bytes) -> list[str]:
    """Return the values of the key `id`, each once: of items of a conversation, and others."""
    return _as_text(dict.fromkeys(_after(body, b'"id"', _QUOTED)))


def items_referred_to_in(body: bytes) -> list[str]:
    """Return the items of a conversation that a body names by an id alone, without a type."""
    places = ((at, _ALONE.match(body, at + 4)) for at in _places(body, b'"id"'))
    found = (
        match[1] for at, match in places if match and _IN_A_LIST.search(body[max(0, at - 256) : at])
    )
    return _as_text(dict.fromkeys(found))


def newest_items_in(body: bytes) -> list[str]:
    """Return the last values of the key `id`, the last one first."""
    return _as_text(dict.fromkeys(_before(body, b'"id"', _QUOTED)))


def newest_reasoning_in(body: bytes, *, signed: bool) -> list[str]:
    """Return names for the last pieces of reasoning in a body, as `reasoning_in`, the last one
    first. `signed`: of Anthropic's messages; else of responses."""
    key = b'signature"' if signed else b'encrypted_content"'
    if found := dict.fromkeys(_before(body, key, _LONG)):
        return [name_of_secret(value) for value in found]
    return reasoning_in(body) if signed and body.find(b'"redacted_thinking"') >= 0 else []


class BodyTop(msgspec.Struct, gc=False):
    """Members at the top of a call for an answer, as JSON. Read at the speed of memory."""

    store: msgspec.Raw = ABSENT
    conversation: msgspec.Raw = ABSENT
    previous_response_id: msgspec.Raw = ABSENT

    def stores(self, *, usually: bool) -> bool:
        """Whether the account keeps the answer. `usually`: where the body does not say so."""
        return {b"true": True, b"false": False}.get(bytes(self.store).strip(), usually)

    @property
    def named(self) -> list[str]:
        """The conversation or the earlier response that it continues."""
        quoted = _MEMBER.findall(bytes(self.conversation) + bytes(self.previous_response_id))
        return _as_text(dict.fromkeys(quoted))


_top = msgspec.json.Decoder(BodyTop)


def top_of(body: bytes) -> BodyTop:
    """Return what is at the top of a body; nothing if it cannot be read."""
    try:
        return _top.decode(body)
    except UNREADABLE:
        return BodyTop()


def ids_in_answer(body: bytes) -> list[str]:
    """Return every id in an answer."""
    body = searchable(body)
    found = dict.fromkeys(_after(body, b'"id"', _QUOTED))
    found |= dict.fromkeys(_under_id_keys(body))
    for key in _FILE_KEYS:
        found |= dict.fromkeys(_after(body, key, _QUOTED_OR_IN_OBJECT))
    found |= dict.fromkeys(_in_lists(body))
    return _as_text(found)


def reasoning_in(body: bytes) -> list[str]:
    """Return a short name for each piece of reasoning that only the account that made it can read:
    `encrypted_content`, a thinking block's `signature`, the `data` of redacted thinking."""
    found = dict.fromkeys(_after(body, b'encrypted_content"', _LONG))
    found |= dict.fromkeys(_after(body, b'signature"', _LONG))
    if body.find(b'"redacted_thinking"') >= 0:
        found |= dict.fromkeys(_after(body, b'"data"', _LONG))
    return [name_of_secret(value) for value in found]


def name_of_secret(value: bytes) -> str:
    """Return a name under which something is remembered that must not be kept itself."""
    return "~" + blake2b(value, digest_size=15).hexdigest()


def model_hint(text: bytes) -> str | None:
    """Return the first model that is named anywhere, as in the first line of a batch."""
    found = _MODEL.search(text)
    return None if found is None else found[1].decode("utf-8", "replace")


def _without_escapes(body: bytes) -> bytes:
    try:
        read = json.loads(body, parse_int=str, parse_float=str)  # a number may be too long
        return json.dumps(read, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return body  # no endpoint can read it


def _has_clients_own(body: bytes) -> bool:
    return any(body.rfind(key) >= 0 for key in (b'"metadata"', b'"attributes"', b'"variables"'))


def _under_id_keys(body: bytes) -> Iterator[bytes]:
    """Yield the values of keys that end in `_id`."""
    for at in _places(body, b'_id"'):
        found = _QUOTED.match(body, at + 4)
        if found is not None and not body.endswith(_NOT_OF_ACCOUNT, max(0, at - 16), at):
            yield found[1]


def _in_lists(body: bytes) -> Iterator[bytes]:
    """Yield the members of lists whose keys end in `ids` or `files`."""
    for key in (b'ids"', b'files"'):
        for members in _after(body, key, _LIST):
            yield from _MEMBER.findall(members)


def _after(body: bytes, key: bytes, value: re.Pattern[bytes]) -> Iterator[bytes]:
    for at in _places(body, key):
        found = value.match(body, at + len(key))
        if found is not None:
            yield found[1]


def _before(body: bytes, key: bytes, value: re.Pattern[bytes]) -> Iterator[bytes]:
    """Yield the newest values of a key, the last one first."""
    at = body.rfind(key)
    for _ in range(MAX_NEWEST):
        if at < 0:
            return
        found = value.match(body, at + len(key))
        if found is not None:
            yield found[1]
        at = body.rfind(key, 0, at)


def _places(body: bytes, key: bytes) -> Iterator[int]:
    """Yield where a key is found. `find` runs at the speed of memory, which `re` does not, and
    `rfind` twice as fast: most keys are not there."""
    end = body.rfind(key) + len(key)
    at = body.find(key, 0, end)
    for _ in range(MAX_FOUND):
        if at < 0:
            return
        yield at
        at = body.find(key, at + 1, end)


def _as_text(found: dict[bytes, None]) -> list[str]:
    return [value.decode("ascii") for value in found if _ID.fullmatch(value)]
