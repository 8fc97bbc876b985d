"""Follow a proxy: its state, its latest calls and traffic, then each of its events.

A separate thread reads (the socket blocks) and passes on what it receives as frozen values. It ends
by itself only if the proxy refuses; after any other failure it asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPException, HTTPResponse
from threading import Event
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from llmproxy.tools.admin_client import AdminApiError, ProxyAddress, ask, open_response
from llmproxy.tools.top.payloads import Calls, History, NewPoint, ShownProxy
from llmproxy.tools.top.view import Heard, Lost, Refused

ASK_TIMEOUT_S = 10.0
# The proxy sends its state each second.
SILENCE_S = 20.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
CALLS_ASKED = 50

_PayloadT = TypeVar("_PayloadT", ShownProxy, History, NewPoint, Calls)


def listen(
    address: ProxyAddress, group: str | None, tell: Callable[[Heard], object], stop: Event
) -> None:
    """Report each payload until `stop` or a refusal; reconnect after a lost connection."""
    pause_s = FIRST_PAUSE_S
    while not stop.is_set():
        lost = Lost(
            "The proxy closed the stream.", brief="It closed the stream, as it does when it stops."
        )
        try:
            for heard in _hear(address, group):
                tell(heard)
                pause_s = FIRST_PAUSE_S
                if stop.is_set():
                    return
        except AdminApiError as error:
            if error.reached:
                tell(Refused(str(error)))
                return
            lost = Lost(str(error), error.brief)
        tell(lost)
        stop.wait(pause_s)
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)


def present(address: ProxyAddress, group: str | None) -> Iterator[Heard]:
    """Yield the current payloads once, the ShownProxy first. Raises AdminApiError."""
    yield _read(ask(address, "/admin/state", timeout_s=ASK_TIMEOUT_S), ShownProxy)
    yield from _past(address, group)


def events_in(lines: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield name and data of each event of a stream; skip comments and other fields.

    WHATWG HTML, section 9.2.6, for a stream in which every line ends with LF or CRLF.
    """
    name, parts = "", list[bytes]()
    for line in lines:
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            parts.append(value)
        elif not field and not value and line in (b"\n", b"\r\n"):
            if parts:
                yield name or "message", b"\n".join(parts)
            name, parts = "", []


def _hear(address: ProxyAddress, group: str | None) -> Iterator[Heard]:
    """Follow one connection to its end. Raises AdminApiError."""
    with open_response(address, "/admin/events", timeout_s=SILENCE_S) as answer:
        if answer.headers.get_content_type() != "text/event-stream":
            raise AdminApiError(
                f"{address.url}/admin/events answers, but sends no events. Is it an LLMProxy?",
                reached=True,
            )
        begun = False
        for name, payload in events_in(_lines(answer)):
            match name:
                case "state":
                    yield _decoded(payload, ShownProxy)
                    if not begun:
                        yield from _past(address, group)
                        begun = True
                case "calls":
                    yield _decoded(payload, Calls)
                case "point" if group is None:
                    yield _decoded(payload, NewPoint)
                case "point":  # of all groups: time to ask for those of this one
                    yield _history(address, group)
                case _:
                    pass


def _past(address: ProxyAddress, group: str | None) -> Iterator[Heard]:
    yield _history(address, group)
    path = "/admin/calls?" + _query(group, limit=str(CALLS_ASKED))
    yield _read(ask(address, path, timeout_s=ASK_TIMEOUT_S), Calls)


def _history(address: ProxyAddress, group: str | None) -> History:
    path = "/admin/history?" + _query(group, span="15m")
    return _read(ask(address, path, timeout_s=ASK_TIMEOUT_S), History)


def _query(group: str | None, **others: str) -> str:
    return urlencode(others if group is None else {**others, "group": group})


def _lines(answer: HTTPResponse) -> Iterator[bytes]:
    try:
        yield from answer
    except TimeoutError as error:
        raise AdminApiError(f"The proxy sent nothing for {SILENCE_S:.0f} s.") from error
    except (OSError, ValueError, HTTPException) as error:
        raise AdminApiError(f"The connection broke: {error!r}.") from error


def _decoded(payload: bytes, kind: type[_PayloadT]) -> _PayloadT:
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unexpected(error) from error


def _read(payload: object, kind: type[_PayloadT]) -> _PayloadT:
    try:
        return msgspec.convert(payload, kind)
    except msgspec.ValidationError as error:
        raise _unexpected(error) from error


def _unexpected(error: Exception) -> AdminApiError:
    return AdminApiError(
        f"Unexpected answer from the proxy: {error}. Is it of the same version as this command?",
        reached=True,
    )
