"""One question on its way to the endpoints, and every client that waits for its answer.

The call that leads writes its answer here as it would write it to its client. Each piece goes
straight on to everybody on board, so that no task is woken for it; who comes later is first given
what has already come. A client that reads slowly falls behind and catches up by itself. It holds up
nobody, unless the answer is too big for all of it to be kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from llmproxy.cache.cached_answer import CachedAnswer
from llmproxy.calls import Headers
from llmproxy.errors import GatewayError
from llmproxy.operations import Dialect
from llmproxy.protocols import Client, Downstream
from llmproxy.record import CallRecord

# Of an answer that grows beyond this nothing is kept, neither for others nor for later.
MAX_ANSWER_BYTES = 4 * 1024 * 1024
Head = Callable[[bytes], Headers]  # from a content-type to all headers


class SingleFlight:
    """Owns the pieces that have come, and knows who is on board. A Downstream.

    `live`: an event stream, given to everybody as it comes; any other answer goes to the call that
    leads, and to the others when it is complete (`answer`). `record`: of the call that leads, which
    goes on without its client for as long as anybody is on board; then its task is cancelled.
    """

    __slots__ = (
        "_aboard",
        "_caught_up",
        "_chunks",
        "_dropped",
        "_size",
        "aborted",
        "answer",
        "content_type",
        "dialect",
        "encoding",
        "error",
        "finished",
        "leading",
        "live",
        "over",
        "record",
        "started",
        "status",
    )

    def __init__(self, dialect: Dialect, record: CallRecord) -> None:
        self.dialect = dialect
        self.record = record
        self.leading: asyncio.Task[None] | None = None  # until it has landed
        self._aboard: list[Subscriber] = []
        self._chunks: list[bytes] = []
        self._dropped = 0  # pieces that are not kept any more
        self._size = 0
        self._caught_up: asyncio.Future[None] | None = None
        self.started = self.finished = self.aborted = self.live = self.over = False
        self.status = 0
        self.content_type = self.encoding = b""
        self.answer: CachedAnswer | None = None
        self.error: GatewayError | None = None

    # ---- who is on board

    def lead(self, client: Client) -> Subscriber:
        """This task's call asks. Its client gets the headers that the endpoint gives."""
        self.leading = asyncio.current_task()
        leader = Subscriber(self, client, None)
        self._aboard.append(leader)
        client.keep_call(leader.leave)
        return leader

    def board(self, client: Downstream, head: Head) -> Subscriber:
        """One more client; `head` makes the headers that it gets."""
        subscriber = Subscriber(self, client, head)
        self._aboard.append(subscriber)
        if self.live:
            subscriber.join()
        return subscriber

    def land(self, answer: CachedAnswer | None, error: GatewayError | None) -> None:
        """The call that leads has nothing more to give."""
        self.over, self.answer, self.error = True, answer, error
        self.leading = None  # a cycle that only the garbage collector would find
        for subscriber in self._aboard:
            subscriber.wake()

    def left(self, subscriber: Subscriber) -> None:
        """A client is served, or gone."""
        if subscriber not in self._aboard:
            return
        self._aboard.remove(subscriber)
        self.caught_up()
        if not self._aboard and not self.over and self.leading is not None:
            self.leading.cancel()

    @property
    def joinable(self) -> bool:
        """Everything that came so far is here for one who comes now."""
        return not (self._dropped or self.aborted or self.over)

    @property
    def body(self) -> bytes | None:
        """The whole answer as it came; None if it is not complete, or was too big.

        A stream as far as it came: what is complete, its own events say. Clients leave at its last
        event, and then nobody waits for the end of its body.
        """
        if not (self.finished or self.live) or self._size > MAX_ANSWER_BYTES:
            return None
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def chunk(self, number: int) -> bytes | None:
        """A piece of the body; None if it has not come yet."""
        at = number - self._dropped
        return self._chunks[at] if at < len(self._chunks) else None

    def caught_up(self) -> None:
        """Somebody is not behind any more."""
        waiter, self._caught_up = self._caught_up, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- Downstream

    @property
    def connected(self) -> bool:
        """Somebody wants the answer."""
        return bool(self._aboard)

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """The answer begins."""
        told = dict(headers)
        self.content_type = told.get(b"content-type", b"")
        self.encoding = told.get(b"content-encoding", b"")
        self.started, self.status = True, status
        events = self.content_type.startswith(b"text/event-stream")
        self.live = events and status == 200 and not self.encoding
        for subscriber in self._aboard:
            subscriber.start(status, headers, length=length)

    def write(self, chunk: bytes) -> bool:
        """A piece of the body; False = somebody is so far behind that no more should come."""
        if not chunk:
            return True
        self._chunks.append(chunk)
        self._size += len(chunk)
        for subscriber in self._aboard:
            subscriber.give(chunk)
        return self._size <= MAX_ANSWER_BYTES or self._let_go()

    def _let_go(self) -> bool:
        """Too big to be kept: forget what everybody has. True if they all have everything."""
        reading = [each for each in self._aboard if each.started]
        dropped = min((each.given for each in reading), default=self._dropped + len(self._chunks))
        del self._chunks[: dropped - self._dropped]
        self._dropped = dropped
        return not any(each.behind for each in reading)

    async def drain(self) -> None:
        """Wait until nobody is behind."""
        while any(subscriber.behind for subscriber in self._aboard):
            self._caught_up = asyncio.get_running_loop().create_future()
            await self._caught_up

    def finish(self) -> None:
        """The body is complete."""
        self.finished = True
        for subscriber in self._aboard:
            subscriber.end()

    def abort(self) -> None:
        """The body cannot be completed."""
        self.aborted = True
        for subscriber in self._aboard:
            subscriber.end()


class Subscriber:
    """One client on board. `given`: how many pieces it has been given; `begun_at`: seconds of
    `time.monotonic`; `behind`: it does not read as fast as the pieces come."""

    __slots__ = ("_client", "_flight", "_head", "_pump", "_waiter", "begun_at", "given")

    def __init__(self, flight: SingleFlight, client: Downstream, head: Head | None) -> None:
        self._flight = flight
        self._client = client
        self._head = head
        self._waiter: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self.begun_at: float | None = None
        self.given = 0

    @property
    def started(self) -> bool:
        """The client has been given a beginning, and gets everything that follows."""
        return self.begun_at is not None

    @property
    def behind(self) -> bool:
        """It is being given what it has missed, at its own pace."""
        return self._pump is not None

    async def begun(self) -> None:
        """Wait until the answer begins for this client, or the flight is over."""
        while not (self.started or self._flight.over):
            await self._wait()

    async def ride(self) -> None:
        """To the end of the flight, and until the client has all of it."""
        while self.behind or not self._flight.over:
            await self._wait()

    def cut_short(self, message: str) -> None:
        """The ride ends before the answer does: tell the client, if it is in the middle of it."""
        flight = self._flight
        if not self.started or not self._client.connected or flight.finished or flight.aborted:
            return
        told = b""
        if flight.live and not self.behind:
            told = flight.dialect.interruption(message)
        if told:
            self._client.write(told)
            self._client.finish()
        else:
            self._client.abort()

    def leave(self) -> None:
        """The client is served, or gone."""
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
        self._flight.left(self)
        self.wake()

    # ---- called by the flight

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """The answer begins."""
        if self._head is None:
            self.begun_at = monotonic()
            self._client.start(status, headers, length=length)
        elif self._flight.live:
            self.join()

    def join(self) -> None:
        """Begin with what has come so far."""
        flight = self._flight
        self.begun_at = monotonic()
        self._client.start(200, self._head(flight.content_type) if self._head else [], length=None)
        self.wake()
        if self._pass_on():
            self._fall_behind()
        elif flight.finished or flight.aborted:
            self._close()

    def give(self, chunk: bytes) -> None:
        """A piece has come."""
        if self.begun_at is not None and self._pump is None:
            self.given += 1
            if not self._client.write(chunk):
                self._fall_behind()

    def end(self) -> None:
        """Nothing more will come."""
        if self.begun_at is not None and self._pump is None:
            self._close()

    def wake(self) -> None:
        """Something has changed for the client's own task."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ----

    def _wait(self) -> asyncio.Future[None]:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        return waiter

    def _fall_behind(self) -> None:
        self._pump = asyncio.Task(self._catch_up(), name="slow client")

    async def _catch_up(self) -> None:
        """Ends when the client has what has come, or with `leave`."""
        await self._client.drain()
        while self._pass_on():
            await self._client.drain()
        self._pump = None
        if self._flight.finished or self._flight.aborted:
            self._close()
        self._flight.caught_up()
        self.wake()

    def _pass_on(self) -> bool:
        """Give the client what it has not been given; True if it asks for a pause before that."""
        while (chunk := self._flight.chunk(self.given)) is not None:
            self.given += 1
            if not self._client.write(chunk):
                return True
        return False

    def _close(self) -> None:
        if self._flight.finished:
            self._client.finish()
        else:
            self._client.abort()
