"""What is not known is asked once: one call leads, and whoever asks the same follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic, time
from typing import TYPE_CHECKING

from llmproxy.cache.answers import AnswerLevels, cache_headers
from llmproxy.cache.cached_answer import CachedAnswer
from llmproxy.cache.lookup import Lookup
from llmproxy.cache.single_flight import MAX_ANSWER_BYTES, SingleFlight, Subscriber
from llmproxy.calls import Headers
from llmproxy.errors import SHUTTING_DOWN, GatewayError
from llmproxy.protocols import Client, Downstream
from llmproxy.record import CacheResult, CallRecord, RequestSummary
from llmproxy.rules.encoding import readable
from llmproxy.rules.prices import Prices, cost_usd

if TYPE_CHECKING:
    from llmproxy.shared_state.locks import SharedLocks

Ask = Callable[[Downstream, CallRecord], Awaitable[None]]
# A call that has waited for so many others in vain asks by itself.
MAX_FOLLOWED = 2
LOOK_AGAIN_S = 0.05  # for the answer that another instance is asking for


class Coalescer:
    """Owns the flights under way, by the form of their questions, and what runs in the background.

    `leases`: of questions that all instances together ask once; None: each asks for itself.
    `prices`: what is not there saves no money that we know of.
    """

    def __init__(self, known: AnswerLevels, *, leases: SharedLocks | None) -> None:
        self._known = known
        self._leases = leases
        self.prices: Prices = {}
        self.flights: dict[bytes, SingleFlight] = {}
        self._renewals: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def answered(self, asked: Lookup, client: Client, record: CallRecord, ask: Ask) -> None:
        """Follow a call that asks the same; else ask, and let others follow. Raises what `ask`
        raises."""
        followed = 0
        while asked.directives.reads and followed < MAX_FOLLOWED:
            flight = self.flights.get(asked.form)
            if flight is not None and flight.joinable:
                if await self._followed(flight, asked, client, record):
                    return
                followed += 1
            elif self._leases is None or await self._leases.acquire(asked.form):
                break
            elif await self._answered_elsewhere(asked, client, record):
                return
        record.cache = CacheResult.MISS
        self._known.counters.misses += 1
        flight = SingleFlight(asked.call.route.dialect, record)
        leader = flight.lead(client)
        try:
            await self._fly(flight, asked, ask)
            if leader.behind:
                await _in_time(leader, asked)
        finally:
            leader.leave()
        if not client.connected:
            record.client_left()

    def renew(self, asked: Lookup, ask: Ask) -> None:
        """Ask again for an answer that has become old, with nobody waiting for it."""
        if asked.form not in self.flights and asked.form not in self._renewals:
            self._renewals.add(asked.form)
            self._in_background(self._renewed(asked, ask))

    @property
    def in_background(self) -> frozenset[asyncio.Task[None]]:
        """What runs without a client at this moment."""
        return frozenset(self._tasks)

    async def close(self) -> None:
        """End what is being asked and done without a client."""
        leading = (flight.leading for flight in self.flights.values())
        tasks = [*self._tasks, *(task for task in leading if task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- behind another call

    async def _followed(
        self, flight: SingleFlight, asked: Lookup, client: Downstream, record: CallRecord
    ) -> bool:
        """Wait for the answer to the same question; False if it did not come, or is not for two."""

        def head(content_type: bytes) -> Headers:
            record.endpoint, record.fallback = flight.record.endpoint, flight.record.fallback
            return cache_headers(content_type, record)

        record.cache = CacheResult.COALESCED
        subscriber = flight.board(client, head)
        joined_at = monotonic()
        try:
            await _in_time(subscriber, asked)
        finally:
            record.waited_s += (subscriber.begun_at or monotonic()) - joined_at
            subscriber.leave()
        answer = flight.answer
        if subscriber.started:
            record.answer.status, record.answer.first_byte_at = 200, subscriber.begun_at
            if flight.error is not None:
                raise flight.error
            self._known.counters.count_served(CacheResult.COALESCED, answer)
            return True
        return answer is not None and self._known.give(
            answer, asked, client, record, CacheResult.COALESCED
        )

    async def _answered_elsewhere(
        self, asked: Lookup, client: Downstream, record: CallRecord
    ) -> bool:
        """Another instance asks: wait a moment, and look whether its answer has come."""
        began_at = monotonic()
        if began_at >= asked.call.deadline_at:
            raise _too_late()
        await asyncio.sleep(LOOK_AGAIN_S)
        found = await self._known.behind(None, asked, time())
        record.waited_s += monotonic() - began_at
        if found is None or time() - found.stored_at >= self._known.fresh_s:
            return False
        return self._known.give(found, asked, client, record, CacheResult.COALESCED)

    # ---- in front

    async def _fly(self, flight: SingleFlight, asked: Lookup, ask: Ask) -> None:
        """Ask, and let others follow; then they are told what came of it."""
        if asked.patient and asked.directives.writes:
            self.flights.setdefault(asked.form, flight)
        lease = None
        if self._leases is not None:
            lease = asyncio.Task(self._leases.renew(asked.form), name="lease")
        error = None
        try:
            await ask(flight, flight.record)
        except GatewayError as failure:
            error = failure
            raise
        finally:
            if self.flights.get(asked.form) is flight:
                del self.flights[asked.form]
            answer = _recorded(flight, asked, self.prices)
            # What another group answers is another model's.
            keeps = asked.directives.writes and flight.record.fallback is None
            kept = answer is not None and keeps and self._known.keep(answer, asked)
            flight.land(answer, error)
            if lease is not None:
                self._end_lease(lease, asked, kept=kept)

    async def _renewed(self, asked: Lookup, ask: Ask) -> None:
        record = CallRecord(RequestSummary(id=asked.call.id), group=asked.group.name)
        try:
            await self._fly(SingleFlight(asked.call.route.dialect, record), asked, ask)
        except GatewayError:
            return  # its attempts have been logged, and the old answer is still there
        finally:
            self._renewals.remove(asked.form)

    def _end_lease(self, lease: asyncio.Task[None], asked: Lookup, *, kept: bool) -> None:
        """Others look for the answer until the lease is over; if there is none, one of them asks
        at once."""
        lease.cancel()
        if not kept and self._leases is not None:
            self._in_background(self._leases.release(asked.form))

    def _in_background(self, job: Coroutine[None, None, None]) -> None:
        task = asyncio.Task(job, name="cache")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _in_time(subscriber: Subscriber, asked: Lookup) -> None:
    """The ride of a call that has nothing else to do, for as long as it may take.

    Raises GatewayError when its time is over.
    """
    call = asked.call
    try:
        async with asyncio.timeout_at(call.deadline_at) as limit:
            await subscriber.begun()
            limit.reschedule(call.ends_at)
            await subscriber.ride()
    except TimeoutError:
        subscriber.cut_short("The call's time is over.")
        raise _too_late() from None
    except asyncio.CancelledError:
        subscriber.cut_short(SHUTTING_DOWN)
        raise


def _too_late() -> GatewayError:
    return GatewayError(
        "The call's time was over before the answer to the same question was complete.",
        status=504,
        code="deadline_exceeded",
    )


def _recorded(flight: SingleFlight, asked: Lookup, prices: Prices) -> CachedAnswer | None:
    """The answer of a flight, if it can be given to anybody else."""
    body = flight.body
    if body and flight.encoding:
        body = readable(body, flight.encoding, max_bytes=MAX_ANSWER_BYTES)
    if flight.status != 200 or not body:
        return None
    usage = flight.record.answer.usage
    price = prices.get((asked.group.name, flight.record.endpoint or ""))
    return CachedAnswer(
        group=asked.group.name,
        content_type=flight.content_type or b"application/json",
        body=body,
        stored_at=time(),
        streamed=flight.live,
        usage_told=asked.usage or usage is not None,
        input_tokens=usage.input_tokens if usage else 0,
        output_tokens=usage.output_tokens if usage else 0,
        cost_usd=cost_usd(price, usage) if price and usage else 0.0,
    )
