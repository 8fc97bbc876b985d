"""Streams without the usage that we have asked for: what the client would have seen otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from llmproxy.batteries.changed_answers import ChangedStream
from llmproxy.batteries.usage_of_streams import usage_of_stream
from llmproxy.operations import Usage
from llmproxy.operations.sse import complete_length, fields, split_events
from llmproxy.streams import UpstreamResponse

KEY = b'"usage"'
ABSENT, NULL = msgspec.Raw(), msgspec.Raw(b"null")
# A longer event, such as a picture, is passed on as it comes.
MAX_EVENT_BYTES = 64 * 1024
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class FirstStream(ChangedStream):
    """The first stream of an endpoint, unchanged. `learn` is told, at a good end, whether it has
    reported usage, and whether it has written `null` for it."""

    __slots__ = ("_cutter", "_learn", "_reports", "_writes_null")

    def __init__(self, response: UpstreamResponse, learn: Callable[[bool, bool], None]) -> None:
        super().__init__(response, response.headers, response.content)
        self._learn = learn
        self._cutter = _WholeEvents()
        self._reports = self._writes_null = False

    def passed(self, chunk: bytes) -> bytes:
        """Return the bytes as they are."""
        events = self._cutter.cut(chunk)
        if KEY in events:
            for event in split_events(events)[0]:
                if (usage := bytes(_members_of(event).get("usage", ABSENT))) == b"null":
                    self._writes_null = True
                elif usage:
                    self._reports = True
        if b"[DONE]" in events:
            self._learn(self._reports, self._writes_null)
        return chunk


class QuietStream(ChangedStream):
    """A stream without the usage that was asked for.

    `keeps_null`: the endpoint writes `"usage": null` also if it is not asked.
    """

    __slots__ = ("_cutter", "_keeps_null", "_usage")

    def __init__(self, response: UpstreamResponse, *, keeps_null: bool) -> None:
        super().__init__(response, response.headers, response.content)
        self._usage: Usage | None = None
        self._keeps_null = keeps_null
        self._cutter = _WholeEvents()

    @property
    def usage(self) -> Usage | None:
        """The usage that was taken out."""
        return self._usage

    def passed(self, chunk: bytes) -> bytes:
        """Return the events that are complete with these bytes, without the usage."""
        events = self._cutter.cut(chunk)
        if KEY not in events:
            return events
        whole, rest = split_events(events)
        return b"".join(map(self._without_usage, [*whole, rest]))

    def _without_usage(self, event: bytes) -> bytes:
        if KEY not in event:
            return event
        members = _members_of(event)
        usage = bytes(members.pop("usage", ABSENT))
        if not usage or (usage == b"null" and self._keeps_null):
            return event
        if usage != b"null":
            self._usage = usage_of_stream(event) or self._usage
            if bytes(members.get("choices", ABSENT)).translate(None, b" \r\n\t") == b"[]":
                return b""
            if self._keeps_null:
                return _changed(event, usage, {**members, "usage": NULL})
        return _changed(event, usage, members)


class _WholeEvents:
    """Cuts a stream behind its events. Mutable; keeps what is not complete."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, chunk: bytes) -> bytes:
        """Return the events that are complete with these bytes; with b"", the rest."""
        events = self._rest + chunk
        length = complete_length(events) if chunk else len(events)
        if len(events) - length > MAX_EVENT_BYTES:
            length = len(events)
        self._rest = events[length:]
        return events[:length]


def _members_of(event: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _members.decode(fields(event)[1])
    except _UNREADABLE:
        return {}


def _changed(event: bytes, usage: bytes, wanted: dict[str, msgspec.Raw]) -> bytes:
    """Return an event with other members, without `usage` or with `null` for it.

    A member of that name may be deeper, too: what is cut is what leaves the others.
    """
    member = KEY + rb"\s*:\s*" + re.escape(usage)
    for found in re.finditer(rb",\s*" + member + rb"|" + member + rb"\s*,\s*", event):
        kept = b""
        if "usage" in wanted:
            at = found[0].rindex(usage)
            kept = found[0][:at] + bytes(NULL) + found[0][at + len(usage) :]
        changed = event[: found.start()] + kept + event[found.end() :]
        if _members_of(changed) == wanted:
            return changed
    return event
