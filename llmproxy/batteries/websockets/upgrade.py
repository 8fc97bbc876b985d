"""Asks an endpoint to upgrade, in place of the upstream client of an attempt.

The attempt around it is that of every call (pipeline/failover/attempt.py): credential, URL, what a
refusal means, what must not be shown. An answer of 101 has no body; it holds the open connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, time

from websockets.http11 import Response

from llmproxy.batteries.websockets.peer import Peer, UpstreamProtocol
from llmproxy.calls import Call, Headers, Outgoing
from llmproxy.errors import (
    Answer,
    OperationRefused,
    Phase,
    RequestRejected,
    TimedOut,
    UpstreamFailed,
)
from llmproxy.providers.base import Endpoint
from llmproxy.upstream import UpstreamClient
from llmproxy.upstream.response import content_of

# An endpoint answers an upgrade at once: no model works on it.
HANDSHAKE_S = 10.0
# The statuses of servers that do not speak WebSockets at a path.
NOT_THERE = frozenset((404, 405, 426, 501))


class NoWebSockets(OperationRefused):
    """The endpoint serves no WebSockets at this path; calls over HTTP may work."""


class UpgradeAnswer:
    """An endpoint's answer to an upgrade. Implements what an attempt uses of an UpstreamResponse.

    `peer`: the open connection, if the status is 101. `endpoint`: with the model's name for a
    wildcard.
    """

    __slots__ = ("_body", "content", "endpoint", "headers", "peer", "status")
    usage = None  # responses report it, while the session lasts

    def __init__(self, endpoint: Endpoint, peer: Peer, answer: Response) -> None:
        self.endpoint = endpoint
        self.peer = peer
        self.status = answer.status_code
        self.headers = _headers_of(answer)
        self.content = content_of(
            [header for header in self.headers if header[0] != b"transfer-encoding"]
        )
        self._body = bytes(answer.body)

    async def chunk(self, until: float, phase: Phase = "idle") -> bytes:
        """Return the body once, then b"". It came with the head."""
        del until, phase
        body, self._body = self._body, b""
        return body

    @property
    def exhausted(self) -> bool:
        """Whether the body has been read."""
        return not self._body

    def close(self) -> None:
        """Close the connection."""
        self.peer.abort()


class UpgradeClient:
    """Opens the connection of one session. Used in place of an UpstreamClient."""

    __slots__ = ("_call", "_client", "_group", "_max_bytes", "_protocols")

    def __init__(
        self, client: UpstreamClient, call: Call, group: str, protocols: list[str], max_bytes: int
    ) -> None:
        self._client = client
        self._call = call
        self._group = group
        self._protocols = protocols
        self._max_bytes = max_bytes

    async def send(
        self,
        endpoint: Endpoint,
        outgoing: Outgoing,
        *,
        until: float,
        renewed: Callable[[], float] | None = None,
    ) -> UpgradeAnswer:
        """Ask for an upgrade, and wait for the answer until a moment. Raises an UpstreamError."""
        del renewed
        if endpoint.model_pattern is not None and self._call.model is not None:
            endpoint = endpoint.named(self._call.model, self._group)
        protocol = UpstreamProtocol(self._max_bytes, self._protocols)
        peer = await self._client.dial(endpoint, lambda: Peer(protocol))
        try:
            peer.transport.write(_request(endpoint, outgoing, protocol.key, self._protocols))
            return self._judged(endpoint, peer, await _answer(peer, until))
        except BaseException:
            peer.abort()
            raise

    def _judged(self, endpoint: Endpoint, peer: Peer, answer: Response) -> UpgradeAnswer:
        """Return an answer. Raises NoWebSockets if its server does not speak them."""
        status = answer.status_code
        broken = peer.protocol.handshake_exc
        if status == 101 and broken is not None:
            raise UpstreamFailed(f"malformed upgrade: {broken}")
        if status < 300 and status != 101:
            raise NoWebSockets(f"status {status} instead of an upgrade to WebSockets")
        if status in NOT_THERE:
            told = Answer(status, _headers_of(answer), bytes(answer.body))
            failure = endpoint.provider.failure(
                told, endpoint=endpoint.name, wall_now=time(), mask=endpoint.mask
            )
            if failure is None or isinstance(failure, RequestRejected | OperationRefused):
                raise NoWebSockets(f"status {status}: no WebSockets here", answer=told)
        return UpgradeAnswer(endpoint, peer, answer)


def _request(endpoint: Endpoint, outgoing: Outgoing, key: str, protocols: list[str]) -> bytes:
    """Return the request to upgrade. Azure's classic style names the deployment in the query."""
    path, _, query = outgoing.target.partition(b"?")
    if endpoint.deployment:
        parameters = [name for name in query.split(b"&") if not name.startswith(b"model=")]
        query = b"&".join((*parameters, b"deployment=" + endpoint.deployment))
    target = path + b"?" + query if query else path
    offered = f"sec-websocket-protocol: {', '.join(protocols)}\r\n" if protocols else ""
    return b"".join(
        (
            b"GET %b HTTP/1.1\r\n" % target,
            outgoing.head,
            b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
            f"sec-websocket-key: {key}\r\n{offered}\r\n".encode("latin-1"),
        )
    )


async def _answer(peer: Peer, until: float) -> Response:
    """Wait for the answer to the request, until a moment."""
    until = min(until, monotonic() + HANDSHAKE_S)
    try:
        async with asyncio.timeout_at(until):
            event = await peer.answer()
    except TimeoutError:
        raise TimedOut("silent for too long (upgrade)", phase="first byte") from None
    if isinstance(event, Response):
        return event
    broken = peer.protocol.handshake_exc
    if broken is None or peer.lost.done():
        raise UpstreamFailed("the connection was closed before an answer")
    raise UpstreamFailed(f"malformed HTTP response: {broken.__cause__ or broken}")


def _headers_of(answer: Response) -> Headers:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in answer.headers.raw_items()
        if not name.lower().startswith("sec-websocket-")  # of this connection
    ]
