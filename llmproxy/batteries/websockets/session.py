"""A session that an endpoint has accepted: frames go both ways as they came, until one end closes.

No task is woken for a frame: it is written from within the read that brought it. An end that is
behind stops the reading of the other one. The task of the call only waits for the end. Where ids
have owners, a message that may name one waits until they are known, and so does what follows it.

| the session ends because | the client gets | the endpoint gets |
|---|---|---|
| the client closes | its own code | the code and the reason |
| the endpoint closes | the code and the reason | its own code |
| the client is gone, or breaks the protocol | 1002, 1007 or 1009 | 1001 |
| the endpoint is gone, or breaks the protocol | an `error` event, 1011 | |
| the proxy is shutting down, at the end of a response | an `error` event, 1012 | 1001 |
| the client's own deadline | an `error` event, 1011 | 1001 |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import Event

from llmproxy.batteries.websockets.checks import Learner
from llmproxy.batteries.websockets.client_messages import ClientMessages
from llmproxy.batteries.websockets.events import added, error_event, unfinished
from llmproxy.batteries.websockets.peer import Peer, closed
from llmproxy.batteries.websockets.responses import Responses
from llmproxy.calls import Accepted
from llmproxy.errors import (
    SHUTTING_DOWN,
    ClientError,
    GatewayError,
    ShuttingDown,
    StreamBroken,
    TimedOut,
    client_too_slow,
)
from llmproxy.operations import RESPONSES, Usage
from llmproxy.record import CallRecord
from llmproxy.streams import masked_text

# How long a client that takes nothing may delay the end, and how long an endpoint.
STUCK_S, LINGER_S = 10.0, 0.8
# An endpoint that closes with one of these has failed.
FAILED = frozenset((CloseCode.INTERNAL_ERROR, CloseCode.BAD_GATEWAY))
# What Responses' clients take for "open another connection"; Codex does so at once.
OPEN_ANOTHER = "websocket_connection_limit_reached"

Charge = Callable[[Usage], None]


class Session:
    """One session, from its first frame to its end.

    `charge`: called with the usage of each response. `_over`: its result is how the session ended.
    `_checking`: the message that waits for what is known of its ids.
    """

    __slots__ = (
        "_accepted",
        "_charge",
        "_checking",
        "_client",
        "_draining",
        "_messages",
        "_mid_message",
        "_over",
        "_record",
        "_responses",
        "_upstream",
    )

    def __init__(
        self,
        accepted: Accepted,
        record: CallRecord,
        *,
        client: Peer,
        upstream: Peer,
        messages: ClientMessages,
        charge: Charge,
    ) -> None:
        self._accepted = accepted
        self._record = record
        self._client = client
        self._upstream = upstream
        self._messages = messages
        self._charge = charge
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._responses = Responses()
        self._checking: asyncio.Task[None] | None = None
        self._draining = False
        self._mid_message = False  # the client has got a part of a message

    async def run(self) -> None:
        """Relay until the session is over. Raises StreamBroken, ShuttingDown, ClientError."""
        client, upstream = self._client, self._upstream
        client.other, upstream.other = upstream, client
        client.on_stalled = self._client_stalled
        upstream.on_stalled = self._upstream_stalled
        ends_at = self._accepted.call.ends_at
        stuck_s = STUCK_S
        try:
            upstream.start(self._from_upstream)
            client.start(self._from_client)
            async with asyncio.timeout_at(None if ends_at == inf else ends_at):
                await self._over
        except TimeoutError:
            late = TimedOut("the call's time is over", phase="total")
            self._tell(late)
            self._client.close(CloseCode.INTERNAL_ERROR, late.message)
            raise late from None
        except asyncio.CancelledError:  # the time for draining is over
            self._leave()
            client.transport.close()
            stuck_s = LINGER_S
            raise ShuttingDown(SHUTTING_DOWN, retry_after_s=1) from None
        finally:
            if self._checking is not None:
                self._checking.cancel()
            if self._responses.under_way:
                self._record.answer.usage = unfinished(self._record.answer.usage)
            upstream.close(CloseCode.GOING_AWAY)
            await closed(upstream, LINGER_S)
            await closed(client, stuck_s)

    def drain(self) -> None:
        """End the session as soon as no response is under way: the server is shutting down. It does
        not count as failed; clients open another session."""
        self._draining = True
        self._leave_if_idle()

    def client_left(self) -> None:
        """Note that the client's connection is closed, once what it said before has been read."""
        if self._checking is not None and not self._checking.done():
            self._checking.add_done_callback(lambda _: self.client_left())
        elif not self._over.done():
            self._record.client_left()
            self._over.set_result(None)

    # ---- frames

    def _from_client(self, events: list[Event]) -> None:
        for number, frame in enumerate(events, 1):
            if not isinstance(frame, Frame):
                continue
            if frame.opcode is Opcode.CLOSE:
                self._closed_by(self._upstream, frame)
                return
            try:
                frames, is_request, to_check = self._messages.to_send(frame)
            except ClientError as error:
                self._tell(error)
                continue
            if to_check is not None:
                self._client.hold(events[number:])
                checked = self._pass_on_checked(frames, to_check, is_request=is_request)
                self._checking = asyncio.create_task(checked)
                return
            self._pass_on(frames, None, is_request=is_request)
        broken = self._client.protocol.parser_exc
        if broken is not None and not isinstance(broken, EOFError):
            self._end(_protocol_error(self._client))

    def _pass_on(self, frames: list[Frame], learner: Learner | None, *, is_request: bool) -> None:
        if is_request:
            self._responses.asked(learner)
        for frame in frames:
            self._upstream.send(frame)

    async def _pass_on_checked(
        self, frames: list[Frame], message: bytes, *, is_request: bool
    ) -> None:
        """Pass a message on if the client may use what it names; then go on with what followed."""
        checks, learner = self._messages.checks, None
        try:
            if checks is not None:
                learner = await checks.check(message)
            self._pass_on(frames, learner, is_request=is_request)
        except ClientError as error:
            self._tell(error)
        finally:
            if not self._over.done():
                self._client.start(self._from_client)

    def _from_upstream(self, events: list[Event]) -> None:
        client = self._client
        for frame in events:
            if not isinstance(frame, Frame):
                continue
            if frame.opcode is Opcode.CLOSE:
                self._closed_by(client, frame)
                return
            if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
                self._note(frame)
            if frame.opcode not in (Opcode.PING, Opcode.PONG):
                self._mid_message = not frame.fin
            client.send(frame)
            if self._draining:
                self._leave_if_idle()
        if self._upstream.ended:
            self._broken("the connection was closed in the middle of the session")

    def _note(self, frame: Frame) -> None:
        """Note usage and responses in an event of the endpoint, and mask our key in an error."""
        payload = bytes(frame.data)
        if payload.find(b"error") >= 0:
            frame.data = payload = self._accepted.mask(payload)
        if (usage := self._responses.note(frame, payload)) is not None:
            self._record.answer.usage = added(self._record.answer.usage, usage)
            self._charge(usage)

    # ---- ends

    def _closed_by(self, other: Peer, frame: Frame) -> None:
        """Pass a close on to the other end."""
        close = Close.parse(bytes(frame.data))
        reason = masked_text(close.reason, self._accepted.mask)
        other.close(close.code, reason)
        if self._over.done():
            return
        self._record.answer.close_code = int(close.code)
        if other is self._client and close.code in FAILED:
            message = f"the endpoint closed with {int(close.code)}: {reason}"
            self._over.set_exception(StreamBroken(message, endpoint=self._accepted.endpoint))
        else:
            self._over.set_result(None)

    def _broken(self, message: str) -> None:
        """End the session because the endpoint has failed."""
        if self._over.done():
            return
        broken = StreamBroken(message, endpoint=self._accepted.endpoint)
        self._tell(broken)
        self._client.close(CloseCode.INTERNAL_ERROR, "the endpoint failed")
        self._end(broken)

    def _end(self, error: GatewayError) -> None:
        if not self._over.done():
            code = self._client.protocol.close_sent
            self._record.answer.close_code = None if code is None else int(code.code)
            self._over.set_exception(error)

    def _leave_if_idle(self) -> None:
        if not (self._responses.under_way or self._over.done()):
            self._leave()
            self._over.set_result(None)

    def _leave(self) -> None:
        """Tell the client that the server is shutting down, and close."""
        self._record.answer.close_code = int(CloseCode.SERVICE_RESTART)
        self._tell(ShuttingDown(SHUTTING_DOWN, retry_after_s=1), OPEN_ANOTHER)
        self._client.close(CloseCode.SERVICE_RESTART, SHUTTING_DOWN)

    def _tell(self, error: GatewayError, code: str = "") -> None:
        """Send an error as an event, unless the client has got only a part of a message.

        `code`: for Responses, in place of the error's own.
        """
        call = self._accepted.call
        if not self._mid_message:
            shown = code if call.route.dialect is RESPONSES else ""
            event = error_event(error, call.route.dialect, call.id, shown)
            self._client.send(Frame(Opcode.TEXT, event))

    def _client_stalled(self) -> None:
        self._end(client_too_slow())
        self._client.abort()

    def _upstream_stalled(self) -> None:
        self._broken("the endpoint has stopped reading")


def _protocol_error(peer: Peer) -> ClientError:
    """Return the error of a client that has broken the protocol, as its end was told."""
    sent = peer.protocol.close_sent
    why = "unexpected end" if sent is None else f"{sent.reason or sent.code}"
    return ClientError(f"Not the WebSocket protocol: {why}.", code="websocket_protocol_error")
