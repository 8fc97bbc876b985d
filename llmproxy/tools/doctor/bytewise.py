"""The difference of one call on the two sides of a proxy, byte by byte. Pure.

The request that the endpoint got must be the one that it gets directly; the answer that the client
got must be the one that the endpoint sent. Only headers may differ, and only those that
docs/concepts/life-of-a-call.md names: the rules for them are the proxy's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.calls import Headers
from llmproxy.rules.headers import HOP_BY_HOP, downstream_headers, sandboxed
from llmproxy.tools.doctor.recorder import ID_HEADER, WireMessage

SHOWN_BEFORE, SHOWN_AFTER = 12, 36
OF_FRAMING = HOP_BY_HOP | {b"content-length"}
# What a signature changes with each call.
_OF_SIGNATURES = (b"authorization", b"x-amz-")


def request_differences(
    direct: WireMessage, through: WireMessage, *, is_signed: bool
) -> Iterator[str]:
    """Yield where the request that came through a proxy differs from the direct one.

    `is_signed`: its credential is made anew for each request.
    """
    if direct.start != through.start:
        yield f"{_shown(through.start)} instead of {_shown(direct.start)}"
    signatures = _OF_SIGNATURES if is_signed else ()
    one, other = (
        [header for header in message.headers if not header[0].startswith(signatures)]
        if signatures
        else message.headers
        for message in (direct, through)
    )
    yield from _headers(one, other)
    yield from _body(direct.body, through.body, "sent directly", "sent by the proxy")


def answer_differences(sent: WireMessage, received: WireMessage) -> Iterator[str]:
    """Yield where the answer that a client received differs from what the endpoint sent."""
    if sent.start != received.start:
        yield f"status {_shown(received.start)} instead of {_shown(sent.start)}"
    expected = sandboxed(downstream_headers(sent.headers))
    names = {name for name, _ in expected}
    got = [
        (name, value)
        for name, value in received.headers
        if name not in OF_FRAMING
        and not name.startswith(b"x-llmproxy-")
        and (name != ID_HEADER or name in names)
    ]
    yield from _headers(expected, got)
    yield from _body(sent.body, received.body, "sent by the endpoint", "received by the client")


def _headers(one: Headers, other: Headers) -> Iterator[str]:
    """Yield the names of the headers that differ. Values may be secrets."""
    first, second = {name for name, _ in one}, {name for name, _ in other}
    both = first & second
    for what, names in (
        ("header dropped", first - second),
        ("header added", second - first),
        ("header changed", {name for name in both if _values(one, name) != _values(other, name)}),
    ):
        if names:
            yield f"{what}: {', '.join(name.decode('latin-1') for name in sorted(names))}"


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _body(one: bytes, other: bytes, as_first: str, as_second: str) -> Iterator[str]:
    if one == other:
        return
    same = min(len(one), len(other))
    place = next((at for at in range(same) if one[at] != other[at]), same)
    yield (
        f"the bodies differ from byte {place}: {len(one)} bytes {as_first} have "
        f"{_around(one, place)}, {len(other)} {as_second} have {_around(other, place)}"
    )


def _around(body: bytes, place: int) -> str:
    if place >= len(body):
        return "their end there"
    start = max(0, place - SHOWN_BEFORE)
    dots = "..." if start else ""
    return f"`{dots}{_escaped(body[start : place + SHOWN_AFTER])}`"


def _shown(start: bytes) -> str:
    return _escaped(start) or "nothing"


def _escaped(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace").encode("unicode_escape").decode("ascii")
