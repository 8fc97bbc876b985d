"""What a streaming client sees while it waits: the endpoints' comments, and heartbeats.

A load balancer or a client may take a long silence for a failure. A comment in the event stream
(`: ka`), or the dialect's own ping, ends the silence, but also fixes the status at 200 and our own
headers before any endpoint has answered, so a later error is sent as an event: the same object that
would have been the body. `retry:` lines and the like are never sent, because SDKs fail on them
(docs/project/upstreams.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TypeGuard

from llmproxy.batteries.client_in_front import ClientInFront
from llmproxy.batteries.error_events import error_event
from llmproxy.calls import Call, Headers
from llmproxy.errors import SHUTTING_DOWN, Answer, GatewayError, UpstreamError, UpstreamFailed
from llmproxy.pipeline.no_heartbeat import NotShown, complete
from llmproxy.protocols import Client
from llmproxy.record import CallRecord

HEAD: Headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class SignsOfLife:
    """Implements `Heartbeat`. `every_s`: the silence before a heartbeat; None = there are none."""

    __slots__ = ("_every_s",)

    def __init__(self, every_s: float | None) -> None:
        self._every_s = every_s

    def during(self, call: Call, client: Client, record: CallRecord) -> NotShown | Shown:
        """Return a context manager that yields the Client to use from here on."""
        if not call.stream or call.route.dialect.heartbeat is None:
            return NotShown(client)
        return Shown(call, client, self._every_s, record)


class Shown(ClientInFront):
    """A Client that is shown signs of life until its answer begins. `write` is the client's
    own, so that writing an answer costs nothing more."""

    __slots__ = ("_answering", "_call", "_every_s", "_record", "_timer", "write")

    def __init__(
        self, call: Call, client: Client, every_s: float | None, record: CallRecord
    ) -> None:
        super().__init__(client)
        self._call = call
        self._every_s = every_s
        self._record = record
        self._answering = False
        self._timer: asyncio.TimerHandle | None = None
        self.write: Callable[[bytes], bool] = client.write
        call.patience.client = self
        self._wait_for_silence()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UpstreamError):
            await complete(error)
        self._stop()
        if self._answering or not self._client.started or not self._client.connected:
            return
        if isinstance(error, GatewayError):
            self.write(self._error_event(error))
            self._client.finish()
        elif isinstance(error, asyncio.CancelledError):
            dialect = self._call.route.dialect
            self.write(dialect.interruption(SHUTTING_DOWN, "proxy_shutting_down"))
            self._client.finish()

    def show(self, comments: bytes) -> None:
        """Pass an endpoint's comments on. The client's own timeout begins anew."""
        if self._answering or not self._client.connected:
            return
        self._send(comments)
        call, patience = self._call, self._call.patience
        renewed = min(monotonic() + call.patience_s, patience.at_most)
        patience.deadline_at = max(patience.deadline_at, renewed)
        if self._timer is not None:
            self._timer.cancel()
        self._wait_for_silence()

    def _beat(self) -> None:
        if self._client.connected:
            self._send(self._call.route.dialect.heartbeat or b"")
            self._wait_for_silence()

    def _wait_for_silence(self) -> None:
        if self._every_s is not None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._beat)

    def _send(self, comments: bytes) -> None:
        if not self._client.started:
            record = self._record  # complete by now: the caller has been admitted
            ours = self._call.route.dialect.id_of(record.request.id)
            headers = [*HEAD, *(record.limit_headers or ()), *ours]
            self._client.start(200, headers, length=None)
        self.write(comments)

    def _error_event(self, error: GatewayError) -> bytes:
        """Return the body that the client would have got, as an event of its dialect."""
        dialect = self._call.route.dialect
        answer = error.answer if isinstance(error, UpstreamError) else None
        if _is_stream(answer):
            return answer.body  # as it came
        event = None if answer is None else error_event(dialect, answer.body)
        if event is None:
            event = error_event(dialect, dialect.error_body(error, self._record.request.id))
        return event or b""

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._call.patience.client = None

    # ---- Client

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer. After a sign of life its headers come too late and are dropped."""
        self._stop()
        if self._client.started:
            if not _are_events(headers):
                raise UpstreamFailed("the endpoint answered a streaming call without a stream")
        else:
            self._client.start(status, headers, length=length)
        self._answering = True


def _are_events(headers: Headers) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in headers
    )


def _is_stream(answer: Answer | None) -> TypeGuard[Answer]:
    """Whether it is a stream that may follow comments: one that began with an error."""
    return answer is not None and answer.is_success and _are_events(answer.headers)
