"""What a dialect is: how its streams begin, end and break, and how its clients read our errors.

Only events that may decide something are read, and none is changed. An event that is not
understood counts as content, so nothing is ever held back for being unknown.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from llmproxy.errors import GatewayError, StreamBroken
from llmproxy.operations import sse
from llmproxy.streams import Headers


class EventKind(StrEnum):
    """What an event means for a call."""

    PREAMBLE = "preamble"  # no client would miss it: may be held back and dropped
    CONTENT = "content"  # the first of these is the commit point
    ERROR = "error"  # the stream reports that it failed
    END = "end"  # the stream reports that it is complete


# Python 3.11 finds an Enum's member six times slower than a global: 0.4 us, for each event.
PREAMBLE, CONTENT, ERROR, END = EventKind


LAST_EVENTS = 4  # comments and a vendor's own events may follow the terminal one


class Dialect:
    """A dialect of the API. Subclasses say what differs; they are stateless, one object each.

    The defaults are OpenAI's, which most dialects share.
    """

    __slots__ = ()

    name = ""
    # A call may name stored state in its body, as responses do.
    reads_stored_state = False
    # An event that keeps a waiting connection alive; None: this dialect's clients read none.
    heartbeat: bytes | None = b": ka\n\n"

    # How its clients read their limits: the names of the headers, and whether the reset is a moment
    # or the time until then.
    limit_header = "x-ratelimit-{part}-{kind}"
    limit_reset_is_moment = False

    # In which headers its clients read what names a call.
    id_headers: tuple[bytes, ...] = (b"x-request-id",)

    _empty = EventKind.PREAMBLE  # an event without data
    _done = EventKind.END  # `data: [DONE]`

    def __repr__(self) -> str:
        return self.name

    def id_of(self, call_id: str) -> Headers:
        """Return our id of a call, in each header where the dialect's clients look for one."""
        value = call_id.encode("latin-1")
        return [(name, value) for name in self.id_headers]

    # ---- streams

    def classify(self, event: bytes) -> EventKind:
        """Say what one event (with or without its terminator) means. Never raises."""
        name, data = sse.fields(event)
        if name == b"error":
            return ERROR
        if not data:
            return self._empty
        if data.startswith(b"[DONE]"):
            return self._done
        return self._kind_of(name, data)

    def _kind_of(self, name: bytes, data: bytes) -> EventKind:
        """Say what an event with data means."""
        raise NotImplementedError

    def ends_empty(self, event: bytes) -> bool:
        """Whether a stream whose first meaningful event is this terminal one holds no answer."""
        return True

    def is_complete(self, tail: bytes) -> bool:
        """Whether the last bytes of a stream (16 KiB are plenty) report its end.

        An error event is a reported end, too.
        """
        return any(
            self.classify(event) in (END, ERROR) for event in sse.last_events(tail, LAST_EVENTS)
        )

    def interruption(
        self, message: str, code: str = StreamBroken.code, *, beginning: bytes = b""
    ) -> bytes:
        """Return what to write, at an event boundary, when a stream broke after the commit point.

        `beginning`: the first bytes of the stream, as the client saw them. b"" = this dialect has
        no event that every client understands; close the connection without an end instead.
        """
        raise NotImplementedError

    # ---- errors

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Render an error of ours. OpenAI's shape: all four keys, always."""
        return msgspec.json.encode(
            {
                "error": {
                    "message": error.message,
                    "type": error.kind,
                    "param": error.param,
                    "code": error.code,
                }
            }
        )

    # ---- the list of models

    def model(self, name: str, created: int) -> dict[str, object]:
        """Describe a model group. `created`: Unix seconds."""
        return {"id": name, "object": "model", "created": created, "owned_by": "llmproxy"}

    def model_list(self, names: list[str], created: int) -> dict[str, object]:
        """List model groups, at least one."""
        return {"object": "list", "data": [self.model(name, created) for name in names]}


# ---- reading JSON that may hold anything

ABSENT = msgspec.Raw(b"")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_EMPTY = frozenset((b"", b"null", b"false", b"0", b'""', b"[]", b"{}"))
_list = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


def is_truthy(raw: msgspec.Raw) -> bool:
    """Whether a JSON value says anything."""
    return bytes(raw).strip() not in _EMPTY


def members(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the members of a JSON object; none of anything else."""
    try:
        return _object.decode(raw)
    except UNREADABLE:
        return {}


def kind_of_unreadable(data: bytes) -> EventKind:
    """Return what data means that should be a JSON object.

    HTML is the page of a server in between; Gemini puts its errors into a list.
    """
    is_error = data.lstrip().startswith(b"<") or is_error_in_list(data)
    return EventKind.ERROR if is_error else EventKind.CONTENT


def is_error_in_list(data: bytes) -> bool:
    """Whether JSON is a list whose first member is an error."""
    try:
        first = next(iter(_list.decode(data)), ABSENT)
    except UNREADABLE:
        return False
    return is_truthy(members(first).get("error", ABSENT))


def text_of(raw: msgspec.Raw) -> str | None:
    """Return a JSON string; None for anything else."""
    try:
        return _text.decode(raw)
    except UNREADABLE:
        return None
