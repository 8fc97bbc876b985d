"""The difference of the answers to two equal calls, in form: what may differ by nature, and what
must not. Pure.

By nature: dates, ids, lengths, cookies, remaining limits, sampled text and its length. Not so: the
status, the names of the other headers, the framing of events, the names and the order of members.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from llmproxy.calls import Headers
from llmproxy.rules.headers import downstream_headers
from llmproxy.tools.doctor.exchanges import Exchange, SmallCall
from llmproxy.tools.doctor.findings import DoctorFinding, found

# Hop-by-hop, or of the moment: a vendor may send them with one answer and not with the next.
_BY_NATURE = re.compile(
    rb"connection|keep-alive|transfer-encoding|content-length|content-encoding|vary|date|age|"
    rb"set-cookie|server-timing|alt-svc|cf-.*|via|x-cache.*|.*request-?id.*|.*trace.*|"
    rb"x-ratelimit-.*|anthropic-ratelimit-.*|retry-after.*|openai-processing-ms|"
    rb"x-should-retry|x-envoy-.*|x-llmproxy-.*|report-to|nel|x-amzn?-.*"
)
MAX_SHOWN = 3


def what_of(call: SmallCall) -> str:
    """Return what a call asks for, in words."""
    return "a stream" if call.stream else "a whole answer"


def differences_in_form(
    direct: Exchange, through: Exchange, call: SmallCall, subject: str
) -> Iterator[DoctorFinding]:
    """Yield what the proxy changes of an answer."""
    what = what_of(call)
    if direct.status != through.status:
        yield found(
            "proxy_changes_status",
            subject,
            what=what,
            direct=direct.status,
            through=through.status,
        )
        return
    if headers := _headers(direct, through):
        yield found("proxy_changes_headers", subject, what=what, difference=headers)
    of_stream = stream_difference if call.stream else whole_difference
    if (difference := of_stream(direct, through)) is not None:
        yield found("proxy_changes_answer", subject, what=what, difference=difference)


def whole_difference(direct: Exchange, through: Exchange) -> str | None:
    """Return where two JSON answers differ in form; None: only values differ."""
    if direct.text == through.text:
        return None
    try:
        return form_difference(direct.parsed(), through.parsed(), "answer")
    except (ValueError, RecursionError):
        return "one of the two is no JSON"


def stream_difference(direct: Exchange, through: Exchange) -> str | None:
    """Return where two streams differ in form. Runs of events of one form count as one."""
    one, other = _events(direct.body), _events(through.body)
    if _line_end(direct.body) != _line_end(through.body):
        return "the lines end otherwise (LF, CRLF)"
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return f"the {_ordinal(place)} kind of event is {_shown(b)} instead of {_shown(a)}"
    if len(one) != len(other):
        more = (one if len(one) > len(other) else other)[min(len(one), len(other))]
        which = "directly" if len(one) > len(other) else "through the proxy"
        return f"only {which} there is an event {_shown(more)}"
    return None


def form_difference(one: Any, other: Any, place: str) -> str | None:
    """Return the first place where two JSON values differ in their members or types."""
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            return _members(list(one), list(other), place)
        for key in one:
            if found_there := form_difference(one[key], other[key], f"{place}.{key}"):
                return found_there
        return None
    if isinstance(one, list) and isinstance(other, list):
        if one and other:
            return form_difference(one[0], other[0], f"{place}[0]")
        return None
    if _type(one) != _type(other) and None not in (one, other):
        return f"{place} is {_type(other)} instead of {_type(one)}"
    return None


def _members(one: list[str], other: list[str], place: str) -> str:
    if missing := [key for key in one if key not in other]:
        return f"{place} lacks {', '.join(missing[:MAX_SHOWN])}"
    if added := [key for key in other if key not in one]:
        return f"{place} has {', '.join(added[:MAX_SHOWN])} in addition"
    return f"the members of {place} have another order"


def _headers(direct: Exchange, through: Exchange) -> str:
    # What the proxy leaves out on purpose (the account, cookies) is no difference.
    one, other = _names(downstream_headers(direct.headers)), _names(through.headers)
    parts = []
    if dropped := sorted(one - other):
        parts.append("dropped " + ", ".join(dropped))
    if added := sorted(other - one):
        parts.append("added " + ", ".join(added))
    first, second = direct.header(b"content-type"), through.header(b"content-type")
    if not parts and first != second:
        parts.append("content-type")
    return "; ".join(parts)


def _names(headers: Headers) -> set[str]:
    return {name.decode("latin-1") for name, _ in headers if not _BY_NATURE.fullmatch(name.lower())}


def _events(body: bytes) -> list[tuple[str, ...]]:
    """Return the forms of a stream's events; comments (signs of life) are left out."""
    events = re.split(rb"\r?\n\r?\n", body)
    forms = [form for event in events if (form := _form(event))]
    return [form for form, _ in groupby(forms)]


def _form(event: bytes) -> tuple[str, ...]:
    lines = []
    for line in event.splitlines():
        name, _, value = line.partition(b":")
        if not name:
            continue
        if name == b"data":
            lines.append("data:" + _form_of_data(value.strip()))
        elif name == b"event":
            lines.append(line.decode("utf-8", "replace"))
        else:
            lines.append(name.decode("utf-8", "replace"))
    return tuple(lines)


def _form_of_data(data: bytes) -> str:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data[:20].decode("utf-8", "replace")
    return ",".join(value) if isinstance(value, dict) else _type(value)


def _line_end(body: bytes) -> bytes:
    return b"\r\n" if b"\r\n\r\n" in body else b"\n"


def _type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
    return "an object"


def _shown(form: tuple[str, ...]) -> str:
    text = " ".join(form)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _ordinal(place: int) -> str:
    return {0: "first", 1: "second", 2: "third"}.get(place, f"{place + 1}th")
