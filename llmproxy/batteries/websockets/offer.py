"""Reads a client's request to open a session, and answers it.

Browsers cannot set headers, so they put the key into a subprotocol (`openai-insecure-api-key.KEY`),
or, with Azure, into the query. Both become the `Authorization` header that
other calls have, and go nowhere else.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_plus

import msgspec
from msgspec.structs import replace
from websockets.http11 import Request as WebSocketRequest
from websockets.http11 import Response

from llmproxy.batteries.websockets.peer import DownstreamProtocol
from llmproxy.calls import Headers, Request, header_lines
from llmproxy.errors import ClientError
from llmproxy.providers.base import BARE_KEYS

KEY_PREFIX = "openai-insecure-api-key."
ACCOUNT_PREFIXES = {
    "openai-organization.": b"openai-organization",
    "openai-project.": b"openai-project",
}
UPGRADE_HEADERS = frozenset(
    (b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version")
)
_VISIBLE = re.compile(r"[\x21-\x7e]+")
KEY_HEADERS = BARE_KEYS | {b"authorization"}


class Offer(msgspec.Struct, frozen=True):
    """A request to open a session, its credentials in headers.

    `request`: the same without what belongs to this connection. `protocols`: the subprotocols that
    the client offers. `model`: the one that its query names. `query`: without model and key.
    `joins`: the id of the WebRTC or SIP call that it joins, as in a path.
    """

    request: Request
    protocols: list[str]
    model: str | None
    query: bytes
    joins: str | None


def offer_of(request: Request) -> Offer:
    """Read a request to open a session."""
    headers = [header for header in request.headers if not header[0].startswith(b"sec-websocket-")]
    protocols, key = [], ""
    for protocol in _offered(request.headers):
        account = next((name for name in ACCOUNT_PREFIXES if protocol.startswith(name)), None)
        if protocol.startswith(KEY_PREFIX):
            key = protocol.removeprefix(KEY_PREFIX)
        elif account is not None:
            name = ACCOUNT_PREFIXES[account]
            headers.append((name, protocol.removeprefix(account).encode("latin-1")))
        else:
            protocols.append(protocol)
    model, joins, kept = None, None, []
    for parameter in request.query.split(b"&"):
        name, _, value = parameter.partition(b"=")
        if name.lower() in BARE_KEYS:
            key = key or _plain(value)
        elif name in (b"model", b"deployment"):
            model = model or _plain(value) or None
        elif parameter:
            if name == b"call_id":
                joins = quote(_plain(value), safe="") or None
            kept.append(parameter)
    # A key from the query may hold anything, line breaks included, which no header may.
    if _VISIBLE.fullmatch(key) and not any(name in KEY_HEADERS for name, _ in headers):
        headers.append((b"authorization", b"Bearer " + key.encode("ascii")))
    query = b"&".join(kept)
    return Offer(replace(request, headers=headers, query=query), protocols, model, query, joins)


def with_model(query: bytes, model: str) -> bytes:
    """Return a query that names a model."""
    named = b"model=" + quote(model, safe="").encode("ascii")
    return query + b"&" + named if query else named


class Handshake:
    """Our side of the opening handshake. Raises ClientError (400) for a request that is none."""

    __slots__ = ("_answer", "protocol")

    def __init__(self, request: Request, max_bytes: int) -> None:
        self.protocol = DownstreamProtocol(max_bytes)
        ours = [header for header in request.headers if header[0] in UPGRADE_HEADERS]
        self.protocol.receive_data(b"GET / HTTP/1.1\r\n%b\r\n" % header_lines(ours))
        (asked,) = self.protocol.events_received() or (None,)
        if not isinstance(asked, WebSocketRequest):
            raise ClientError("The request to upgrade is not well-formed.", code="invalid_upgrade")
        self._answer: Response = self.protocol.accept(asked)
        if self._answer.status_code != 101:
            raise ClientError(bytes(self._answer.body).decode().strip(), code="invalid_upgrade")

    def accept(self, headers: Headers, protocol: str | None) -> None:
        """Accept the session: the answer is the first thing that `protocol` has to write."""
        del self._answer.headers["Date"]
        for name, value in headers:
            self._answer.headers[name.decode("latin-1")] = value.decode("latin-1")
        if protocol is not None:
            self._answer.headers["Sec-WebSocket-Protocol"] = protocol
        self.protocol.send_response(self._answer)


def _offered(headers: Headers) -> list[str]:
    """Return the subprotocols in a request's headers."""
    values = [value for name, value in headers if name == b"sec-websocket-protocol"]
    names = b",".join(values).decode("latin-1").split(",")
    return [name.strip() for name in names if name.strip()]


def _plain(value: bytes) -> str:
    return unquote_plus(value.decode("latin-1"))
