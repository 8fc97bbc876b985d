"""Heartbeats for a streaming client that waits, if the operator configures them.

A load balancer between the client and the proxy may take a long silence for a failure. A comment in
the event stream (`: ka`) ends the silence, but also fixes the status at 200 before any endpoint has
answered, so later errors are sent as events. `retry:` lines and the like are never sent, because
SDKs fail on them (docs/facts/upstreams.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeGuard

from llmproxy.calls import Call, Headers
from llmproxy.errors import SHUTTING_DOWN, Answer, GatewayError, UpstreamError, UpstreamFailed
from llmproxy.protocols import Client
from llmproxy.record import CallRecord

HEAD: Headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Heartbeat:
    """The pipeline's step. `every_s`: seconds between heartbeats; None: no heartbeats."""

    __slots__ = ("_every_s",)

    def __init__(self, every_s: float | None) -> None:
        self._every_s = every_s

    def during(self, call: Call, client: Client, record: CallRecord) -> Silence | Beating:
        """Return a context manager that yields the Client to use from here on."""
        every_s = self._every_s
        if every_s is None or not call.stream or call.route.dialect.heartbeat is None:
            return Silence(client)
        return Beating(call, client, every_s, record)


class Silence:
    """Sends nothing before the answer."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __aenter__(self) -> Client:
        return self._client

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UpstreamError):
            await _complete(error)


class Beating:
    """A Client that sends comments until the answer begins."""

    __slots__ = ("_answering", "_client", "_dialect", "_every_s", "_record", "_timer")

    def __init__(self, call: Call, client: Client, every_s: float, record: CallRecord) -> None:
        self._client = client
        self._dialect = call.route.dialect
        self._every_s = every_s
        self._record = record
        self._answering = False
        self._timer = asyncio.get_running_loop().call_later(every_s, self._beat)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UpstreamError):
            await _complete(error)
        self._timer.cancel()
        if self._answering or not self._client.started or not self._client.connected:
            return
        if isinstance(error, UpstreamError) and _is_stream(error.answer):
            self._client.write(error.answer.body)
            self._client.finish()
        elif isinstance(error, GatewayError):
            self._report(error.message, error.code or "upstream_error")
        elif isinstance(error, asyncio.CancelledError):
            self._report(SHUTTING_DOWN, "proxy_shutting_down")

    def _beat(self) -> None:
        if not self._client.connected:
            return
        if not self._client.started:
            record = self._record  # its caller has been admitted by now
            request_id = (b"x-request-id", record.request.id.encode("latin-1"))
            headers = [*HEAD, *(record.limit_headers or ()), request_id]
            self._client.start(200, headers, length=None)
        self._client.write(self._dialect.heartbeat or b"")
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._beat)

    def _report(self, message: str, code: str) -> None:
        self._client.write(self._dialect.interruption(message, code))
        self._client.finish()

    # ---- Client

    @property
    def connected(self) -> bool:
        """Whether the client is still connected."""
        return self._client.connected

    @property
    def started(self) -> bool:
        """Whether the status line has been written."""
        return self._client.started

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer. After a heartbeat its headers come too late and are dropped."""
        self._timer.cancel()
        if self._client.started:
            if not _are_events(headers):
                raise UpstreamFailed("the endpoint answered a streaming call without a stream")
        else:
            self._client.start(status, headers, length=length)
        self._answering = True

    def write(self, chunk: bytes) -> bool:
        """Hand over body bytes."""
        return self._client.write(chunk)

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        await self._client.drain()

    def finish(self) -> None:
        """End the body."""
        self._client.finish()

    def abort(self) -> None:
        """Close without the body's end."""
        self._client.abort()

    def keep_call(self, on_leave: Callable[[], None]) -> None:
        """Let the call continue when the client leaves."""
        self._client.keep_call(on_leave)


async def _complete(error: UpstreamError) -> None:
    """Wait for the rest of a failed answer, which the client gets."""
    if error.answer is not None:
        error.answer = await error.answer.whole()


def _are_events(headers: Headers) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in headers
    )


def _is_stream(answer: Answer | None) -> TypeGuard[Answer]:
    """Whether it is a stream that may follow comments: one that began with an error."""
    return answer is not None and answer.is_success and _are_events(answer.headers)
