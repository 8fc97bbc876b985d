"""Opens one session: finds an endpoint that accepts the upgrade, then relays.

The steps are those of every call (gateway.py). Realtime names its model in the request, so the
client's own upgrade is answered when an endpoint has accepted ours, and a refusal is an answer in
HTTP. Responses name theirs in the first message, so that upgrade is answered at once, and a later
failure is an `error` event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Protocol, cast

from msgspec.structs import replace
from websockets.frames import CloseCode, Frame, Opcode

from llmproxy.batteries.websockets.checks import MessageChecks, Unwritten
from llmproxy.batteries.websockets.client_messages import CONTROL, ClientMessages, HeldMessage
from llmproxy.batteries.websockets.events import error_event
from llmproxy.batteries.websockets.meter import Meter, capacities_of
from llmproxy.batteries.websockets.offer import Handshake, Offer, with_model
from llmproxy.batteries.websockets.peer import Peer, closed
from llmproxy.batteries.websockets.session import OPEN_ANOTHER, STUCK_S, Session
from llmproxy.batteries.websockets.upgrade import NoWebSockets, UpgradeAnswer, UpgradeClient
from llmproxy.calls import Accepted, Call, Headers, Request
from llmproxy.errors import (
    SHUTTING_DOWN,
    GatewayError,
    NoEndpoint,
    ShuttingDown,
)
from llmproxy.operations import RESPONSES
from llmproxy.operations.table import route_to
from llmproxy.pipeline.failover import AttemptMaker
from llmproxy.pipeline.relay import answer_headers
from llmproxy.protocols import AskGroup, Client
from llmproxy.record import CallRecord
from llmproxy.routing import Group, Pool
from llmproxy.runtime import Runtime
from llmproxy.upstream import UpstreamClient


class UpgradableClient(Client, Protocol):
    """The client of a request to upgrade: see `ResponseWriter.upgrade`."""

    def upgrade(
        self, protocol: asyncio.BaseProtocol, on_drain: Callable[[], None]
    ) -> tuple[bytes, Callable[[Exception | None], None]]:
        """Let another protocol go on with the connection, and write the answer itself."""


class NoBody:
    """The body of a session's call: its messages are still to come, so no tokens are estimated."""

    length: int | None = None

    def chunks(self) -> AsyncIterator[bytes]:
        """Never called: an upgrade has no body."""
        raise NotImplementedError

    def renamed(self, model: str) -> NoBody:
        """Return this body: it names no model."""
        del model
        return self

    model: str | None = None
    stream = True

    def close(self) -> None:
        """Free nothing."""


class Opening:
    """One session while it is opened. `_session`: once an endpoint has accepted it."""

    __slots__ = (
        "_client",
        "_draining",
        "_handshake",
        "_offer",
        "_peer",
        "_record",
        "_runtime",
        "_session",
    )

    def __init__(
        self,
        offer: Offer,
        handshake: Handshake,
        runtime: Runtime,
        client: Client,
        record: CallRecord,
    ) -> None:
        self._offer = offer
        self._handshake = handshake
        self._runtime = runtime
        self._client = cast("UpgradableClient", client)  # the server asks for nothing else
        self._record = record
        self._peer: Peer | None = None  # the client's end, once its upgrade is answered
        self._session: Session | None = None
        self._draining = False

    async def at_once(self) -> None:
        """Serve a session whose request names the model."""
        request, model = self._offer.request, self._offer.model
        if model is not None:
            request = replace(request, query=with_model(self._offer.query, model))
        await self._serve(request)

    async def after_first_message(self) -> None:
        """Serve a session whose first message names the model."""
        self._record.answer.status = 101
        peer = self._accept([], next(iter(self._offer.protocols), None))
        self._client.keep_call(_ignore)  # the end of the frames says it
        message = await _first_message(peer)
        now = monotonic()
        self._record.waited_s += now - self._offer.request.received_at
        if message is None:
            return
        self._client.keep_call(_cancelling_this_task())
        request = [replace(self._offer.request, body=message, received_at=now)]
        del message  # it may be long, and a session longer
        try:
            await self._serve(request.pop())
        except GatewayError as error:
            self._client.keep_call(_ignore)
            if self._session is None:
                await self._refuse(peer, error)
            raise
        except asyncio.CancelledError:
            if not self._client.connected:
                raise
            self._leave(peer)
            raise ShuttingDown(SHUTTING_DOWN, retry_after_s=1) from None
        finally:
            self._client.keep_call(_ignore)

    async def _serve(self, request: Request) -> None:
        """Serve the session by an endpoint of its group, or by the account that keeps what its
        first message names, or the call that it joins (docs/decisions/048)."""
        runtime, record = self._runtime, self._record
        async with runtime.intake.read(request, record) as asked:
            call = self._as_session(asked, request)
        pool, stateful = runtime.callers.pool_of(call.caller), None
        joined = self._offer.joins
        if runtime.owners is not None and joined is not None:
            there = replace(asked, route=route_to("realtime/calls/" + joined, "GET"))
            stateful = runtime.owners.answering(there, pool)
        elif runtime.owners is not None and call.route.dialect is RESPONSES:
            stateful = runtime.owners.answering(replace(asked, method="POST"), pool)
        del asked, request
        async with AsyncExitStack() as opened:
            taken: list[tuple[Accepted, Group]] = []

            async def ask(_call: Call, group: Group, client: Client, _record: CallRecord) -> None:
                taken.append(await self._opened(call, group, opened))
                client.start(taken[-1][0].response.status, [], length=None)

            if stateful is None:
                await ask(call, pool.group_for(call), Unwritten(), record)
            else:
                await stateful(Unwritten(), record, ask)
            del stateful  # it holds the first message
            await self._relay(*taken.pop())

    def _as_session(self, call: Call, request: Request) -> Call:
        return replace(
            call,
            query=self._offer.query if call.route.dialect is RESPONSES else request.query,
            body=NoBody(),
            bound_to_account=call.bound_to_account or self._offer.joins is not None,
            # The time to an upgrade says nothing about the time to an answer: it is noted where it
            # changes nothing (hedging/promptness.py).
            thinks=True,
        )

    async def _opened(
        self, call: Call, group: Group, held: AsyncExitStack
    ) -> tuple[Accepted, Group]:
        """Return the upgrade that an endpoint has accepted, and its group. `held`: what it holds
        until the session is over."""
        runtime, record = self._runtime, self._record
        record.group = group.name
        async with AsyncExitStack() as holding:
            hold = holding.enter_async_context
            await hold(runtime.admit(call, group, record))
            accepted = await hold(self._asking(call, group)(call, group, record))
            held.push_async_exit(holding.pop_all())
        fallback = record.fallback
        return accepted, group if fallback is None else runtime.pool.groups[fallback]

    def _asking(self, call: Call, group: Group) -> AskGroup:
        """Return what asks the endpoints, as for every call, but for an upgrade."""
        usual, settings = self._runtime.resources.attempts, self._runtime.config.general_settings
        client = UpgradeClient(
            usual.client, call, group.name, self._offer.protocols, settings.max_body_bytes
        )
        maker = AttemptMaker(
            cast("UpstreamClient", client),  # what an attempt uses of it
            settings.timeouts,
            masking=usual.masking,
            read_answer=usual.read_answer,
        )
        return self._runtime.asking_by(maker)

    async def _relay(self, accepted: Accepted, group: Group) -> None:
        runtime, record, call = self._runtime, self._record, accepted.call
        answer = cast("UpgradeAnswer", accepted.response)
        record.answer.status = answer.status
        record.answer.request_id = answer.content.request_id
        record.answer.first_byte_at = monotonic()
        if self._peer is None:
            headers = answer_headers(accepted, record)
            self._accept(headers, answer.peer.protocol.subprotocol)
        peer = cast("Peer", self._peer)
        of_callers = runtime.callers.capacities()
        checks = None
        if runtime.owners is not None and (call.caller is not None or has_several(runtime.pool)):
            checks = MessageChecks(runtime.owners, call, runtime.pool, record)
        meter = Meter(
            capacities_of(call, record.request.team, group, accepted.endpoint, of_callers)
        )
        session = self._session = Session(
            accepted,
            record,
            client=peer,
            upstream=answer.peer,
            messages=ClientMessages(call, answer.endpoint, checks),
            charge=meter.charge,
        )
        self._client.keep_call(session.client_left)
        if self._draining:
            session.drain()
        try:
            await session.run()
        finally:
            meter.take_back()
            self._client.keep_call(_ignore)

    def _accept(self, headers: Headers, subprotocol: str | None) -> Peer:
        """Answer the client's upgrade: its connection speaks WebSockets from here on."""
        self._handshake.accept(headers, subprotocol)
        peer = self._peer = Peer(self._handshake.protocol)
        received, peer.on_lost = self._client.upgrade(peer, self._drain)
        peer.flush()
        if received:
            peer.data_received(received)
        return peer

    def _drain(self) -> None:
        """The server is shutting down."""
        self._draining = True
        if self._session is not None:
            self._session.drain()
        elif self._peer is not None and not self._record.group:
            self._leave(self._peer)

    def _leave(self, peer: Peer) -> None:
        self._record.answer.close_code = int(CloseCode.SERVICE_RESTART)
        self._tell(peer, ShuttingDown(SHUTTING_DOWN, retry_after_s=1), OPEN_ANOTHER)
        peer.close(CloseCode.SERVICE_RESTART, SHUTTING_DOWN)
        peer.transport.close()

    async def _refuse(self, peer: Peer, error: GatewayError) -> None:
        """Tell the client why no endpoint serves the session, and close."""
        self._record.answer.status = error.status
        self._tell(peer, error, OPEN_ANOTHER if speaks_none(error) else "")
        code = CloseCode.POLICY_VIOLATION if error.status < 500 else CloseCode.INTERNAL_ERROR
        if error.status in (429, 503, 504):
            code = CloseCode.TRY_AGAIN_LATER
        peer.close(code)
        peer.start(_ignore)
        await closed(peer, STUCK_S)

    def _tell(self, peer: Peer, error: GatewayError, code: str) -> None:
        event = error_event(error, RESPONSES, self._record.request.id, code)
        peer.send(Frame(Opcode.TEXT, event))


def speaks_none(error: GatewayError) -> bool:
    """Return whether no endpoint that was asked serves WebSockets."""
    if isinstance(error, NoEndpoint):
        return bool(error.failures) and all(map(speaks_none, error.failures))
    return isinstance(error, NoWebSockets)


async def _first_message(peer: Peer) -> bytes | None:
    """Wait for a client's first message, and leave it in the peer; None: the client has left."""
    held = HeldMessage()
    while events := await peer.next_events():
        for number, frame in enumerate(events, 1):
            if not isinstance(frame, Frame) or frame.opcode in CONTROL - {Opcode.CLOSE}:
                continue
            if frame.opcode is Opcode.CLOSE:
                return None
            held.add(frame)
            if frame.fin:
                peer.put_back([*held.frames, *events[number:]])
                return b"".join(bytes(part.data) for part in held.frames)
    return None


def _cancelling_this_task() -> Callable[[], None]:
    task = asyncio.current_task()

    def cancel() -> None:
        if task is not None:
            task.cancel()

    return cancel


def has_several(pool: Pool) -> bool:
    """Return whether a pool has several endpoints, which may be several accounts."""
    return sum(len(group.states) for group in pool.groups.values()) > 1


def _ignore(*_: object) -> None:
    """Ignore an event: the session is ending, or has noticed it."""
