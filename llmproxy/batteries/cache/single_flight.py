"""One call to an endpoint, and every client that waits for its answer.

The call that asks (the leader) writes its answer to the `SingleFlight` as it would write it to its
client. Each chunk goes straight on to every subscriber, so no task is woken for it. A client that
comes later first gets what has already come. A client that reads slowly falls behind and catches up
in a task of its own; it delays the others only if the answer is too big to be kept whole.

Calls go one way: the flight writes the buffer and notifies its subscribers; a subscriber reads the
buffer and writes to its client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic

from llmproxy.batteries.cache.cached_answer import CachedAnswer
from llmproxy.calls import Headers
from llmproxy.errors import GatewayError, client_too_slow
from llmproxy.operations import Dialect
from llmproxy.protocols import Client, Downstream
from llmproxy.record import CallRecord
from llmproxy.streams import STALLED_S

# A bigger answer is not kept: neither for clients that come later nor for the cache.
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MakeHeaders = Callable[[bytes], Headers]  # from the answer's content-type


class AnswerBuffer:
    """The answer as far as it has come. Written by its flight, read by the subscribers.

    `live`: it is an event stream, which every subscriber gets as it comes.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self.dropped = 0  # chunks before the first one that is kept
        self._size = 0
        self.status = 0  # until the answer begins
        self.content_type = self.encoding = b""
        self.live = self.finished = self.aborted = False

    @property
    def ended(self) -> bool:
        """No more chunks will come."""
        return self.finished or self.aborted

    @property
    def too_big(self) -> bool:
        """The answer has grown too big to be kept."""
        return self._size > MAX_ANSWER_BYTES

    @property
    def body(self) -> bytes | None:
        """The whole answer as it came; None if it is incomplete or too big.

        A stream is returned as far as it came; its own events say whether it is complete. Clients
        leave at the last event, and then the end of the body is not waited for.
        """
        if not (self.finished or self.live) or self.too_big:
            return None
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def chunk(self, number: int) -> bytes | None:
        """Return a chunk, counted from 0; None if it has not come yet."""
        at = number - self.dropped
        return self._chunks[at] if at < len(self._chunks) else None

    def start(self, status: int, headers: Headers) -> None:
        """Note what the answer is."""
        named = dict(headers)
        self.status = status
        self.content_type = named.get(b"content-type", b"")
        self.encoding = named.get(b"content-encoding", b"")
        is_events = self.content_type.startswith(b"text/event-stream")
        self.live = is_events and status == 200 and not self.encoding

    def append(self, chunk: bytes) -> None:
        """Add the next chunk."""
        self._chunks.append(chunk)
        self._size += len(chunk)

    def drop_before(self, number: int | None) -> None:
        """Drop the chunks before a chunk; all of them if None."""
        kept_from = self.dropped + len(self._chunks) if number is None else number
        del self._chunks[: kept_from - self.dropped]
        self.dropped = kept_from


class Subscriber:
    """One client that gets the answer.

    `given`: the number of chunks that the client has been given. `begun_at`: when the answer began
    for it, in seconds of `time.monotonic`. `pump`: gives a slow client what it has missed.
    `make_headers`: None for the leader, whose client gets the endpoint's headers. `stalled_s`: how
    long a client may read nothing.
    """

    def __init__(
        self,
        buffer: AnswerBuffer,
        client: Downstream,
        make_headers: MakeHeaders | None,
        *,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._stalled_s = stalled_s
        self._buffer = buffer
        self._client = client
        self._make_headers = make_headers
        self._over = False
        self._stalled = False
        self._waiter: asyncio.Future[None] | None = None
        self.pump: asyncio.Task[None] | None = None
        self.begun_at: float | None = None
        self.given = 0

    @property
    def started(self) -> bool:
        """The client has got the head of the answer."""
        return self.begun_at is not None

    @property
    def behind(self) -> bool:
        """The client reads more slowly than the chunks come."""
        return self.pump is not None

    # ---- for the client's own task

    async def begun(self) -> None:
        """Wait until the answer begins for this client, or the flight is over."""
        while not (self.started or self._over):
            await self._wait()

    async def completed(self) -> None:
        """Wait until the flight is over and the client has everything.

        Raises ClientError if the client has stopped reading.
        """
        while self.behind or not self._over:
            await self._wait()
        if self._stalled:
            raise client_too_slow()

    def interrupt(self, dialect: Dialect, message: str) -> None:
        """End the client's answer before its end, with an error event where there can be one."""
        buffer = self._buffer
        if not self.started or not self._client.connected or buffer.ended:
            return
        event = b""
        if buffer.live and not self.behind:
            event = dialect.interruption(message)
        if event:
            self._client.write(event)
            self._client.finish()
        else:
            self._client.abort()

    # ---- notifications of the flight

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """The answer begins."""
        if self._make_headers is None:
            self.begun_at = monotonic()
            self._client.start(status, headers, length=length)
        elif self._buffer.live:
            self.join()

    def join(self) -> None:
        """Start the client's answer with what has come so far."""
        headers = (
            [] if self._make_headers is None else self._make_headers(self._buffer.content_type)
        )
        self.begun_at = monotonic()
        self._client.start(200, headers, length=None)
        self._wake()
        if self._pass_on():
            self._fall_behind()
        elif self._buffer.ended:
            self._end_client()

    def give(self, chunk: bytes) -> None:
        """A chunk has come."""
        if self.begun_at is not None and self.pump is None:
            self.given += 1
            if not self._client.write(chunk):
                self._fall_behind()

    def end(self) -> None:
        """The last chunk has come."""
        if self.started and not self.behind:
            self._end_client()

    def complete(self) -> None:
        """The flight is over."""
        self._over = True
        self._wake()

    def stop(self) -> None:
        """The client is served, or has left."""
        if self.pump is not None:
            self.pump.cancel()
            self.pump = None
        self._wake()

    # ----

    def _wait(self) -> asyncio.Future[None]:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fall_behind(self) -> None:
        self.pump = asyncio.Task(self._catch_up(), name="slow client")

    async def _catch_up(self) -> None:
        """Give the client what has come, at its own pace."""
        try:
            await self._drain_client()
            while self._pass_on():
                await self._drain_client()
        except TimeoutError:
            self._stalled = self._over = True
            self._client.abort()
            self._wake()
            return
        finally:
            self.pump = None
        if self._buffer.ended:
            self._end_client()
        self._wake()

    async def _drain_client(self) -> None:
        async with asyncio.timeout(self._stalled_s):
            await self._client.drain()

    def _pass_on(self) -> bool:
        """Write the chunks that the client lacks; True if it has to be drained before the rest."""
        while (chunk := self._buffer.chunk(self.given)) is not None:
            self.given += 1
            if not self._client.write(chunk):
                return True
        return False

    def _end_client(self) -> None:
        if self._buffer.finished:
            self._client.finish()
        else:
            self._client.abort()


class SingleFlight:
    """A call under way, and its subscribers. A Downstream for the leader.

    A stream goes to every subscriber as it comes. Any other answer goes to the leader's client at
    once, and to the followers when it is complete, as `answer`. The leader's call goes on without
    its client as long as there are followers; then its task is cancelled.
    """

    def __init__(self, dialect: Dialect, record: CallRecord) -> None:
        self.dialect = dialect
        self.record = record  # the leader's
        self.leader: asyncio.Task[None] | None = None  # None when it has ended
        self.buffer = AnswerBuffer()
        self.answer: CachedAnswer | None = None
        self.error: GatewayError | None = None
        self.over = False
        self._subscribers: list[Subscriber] = []

    # ---- subscribers

    def lead(self, client: Client) -> Subscriber:
        """Make the running task the leader; its client gets the endpoint's headers."""
        self.leader = asyncio.current_task()
        subscriber = Subscriber(self.buffer, client, None)
        self._subscribers.append(subscriber)
        client.keep_call(partial(self.unsubscribe, subscriber))
        return subscriber

    def follow(self, client: Downstream, make_headers: MakeHeaders) -> Subscriber:
        """Add a client that waits for the same answer."""
        subscriber = Subscriber(self.buffer, client, make_headers)
        self._subscribers.append(subscriber)
        if self.buffer.live:
            subscriber.join()
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a client that is served or has left; without any, cancel the leader."""
        subscriber.stop()
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)
            if not self._subscribers and not self.over and self.leader is not None:
                self.leader.cancel()

    def complete(self, answer: CachedAnswer | None, error: GatewayError | None) -> None:
        """The leader has ended: with an answer for its followers, an error, or neither."""
        self.over, self.answer, self.error = True, answer, error
        self.leader = None  # breaks a reference cycle
        for subscriber in self._subscribers:
            subscriber.complete()

    @property
    def joinable(self) -> bool:
        """Whether a client that comes now can still get the whole answer."""
        return not (self.buffer.dropped or self.buffer.aborted or self.over)

    # ---- Downstream

    @property
    def connected(self) -> bool:
        """Whether any client is left."""
        return bool(self._subscribers)

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.buffer.status > 0

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer."""
        self.buffer.start(status, headers)
        for subscriber in self._subscribers:
            subscriber.start(status, headers, length=length)

    def write(self, chunk: bytes) -> bool:
        """Write the next chunk; False = call `drain()` before the next one."""
        if not chunk:
            return True
        self.buffer.append(chunk)
        for subscriber in self._subscribers:
            subscriber.give(chunk)
        return not self.buffer.too_big or self._drop_read_chunks()

    def _drop_read_chunks(self) -> bool:
        """Drop the chunks that every client has; True if no client is behind."""
        reading = [subscriber for subscriber in self._subscribers if subscriber.started]
        self.buffer.drop_before(min((subscriber.given for subscriber in reading), default=None))
        return not any(subscriber.behind for subscriber in reading)

    async def drain(self) -> None:
        """Wait until no client is behind."""
        while pumps := [
            pump for subscriber in self._subscribers if (pump := subscriber.pump) is not None
        ]:
            await asyncio.wait(pumps)

    def finish(self) -> None:
        """Note that the body is complete."""
        self.buffer.finished = True
        for subscriber in self._subscribers:
            subscriber.end()

    def abort(self) -> None:
        """Note that the body cannot be completed."""
        self.buffer.aborted = True
        for subscriber in self._subscribers:
            subscriber.end()
