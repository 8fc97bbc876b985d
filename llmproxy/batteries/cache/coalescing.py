"""Identical calls that arrive together are sent once: one leads, the others follow."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from math import isinf
from time import monotonic, time
from typing import TYPE_CHECKING

from llmproxy.batteries.cache.answers import AnswerLevels, cache_headers, saved_by
from llmproxy.batteries.cache.cached_answer import CachedAnswer
from llmproxy.batteries.cache.lookup import Lookup
from llmproxy.batteries.cache.single_flight import MAX_ANSWER_BYTES, SingleFlight, Subscriber
from llmproxy.batteries.spend.charging import nano_usd
from llmproxy.calls import Headers
from llmproxy.errors import SHUTTING_DOWN, GatewayError
from llmproxy.protocols import Ask, Client, Downstream, Prices
from llmproxy.record import CacheResult, CallRecord, RequestSummary
from llmproxy.rules.encoding import readable

if TYPE_CHECKING:
    from llmproxy.batteries.shared_state.locks import SharedLocks

MAX_FOLLOWED = 2  # leaders that failed; then a call asks by itself
POLL_S = 0.05  # between two looks for the answer that another instance is asking for


class Coalescer:
    """Owns the calls under way, by variant of their lookup, and the renewals of stale answers.

    `locks`: shared by the instances that ask once together; None = each instance asks by itself.
    `prices`: of what a cached answer saves; an endpoint without a price saves nothing.
    """

    def __init__(self, levels: AnswerLevels, *, locks: SharedLocks | None) -> None:
        self._levels = levels
        self._locks = locks
        self.prices: Prices = {}
        self.flights: dict[bytes, SingleFlight] = {}
        self._renewing: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, lookup: Lookup, client: Client, record: CallRecord, ask: Ask) -> None:
        """Follow an identical call in flight. Without one, ask, and lead the calls that come later.

        Raises what `ask` raises.
        """
        followed = 0
        while lookup.directives.reads and followed < MAX_FOLLOWED:
            flight, may_ask = self._joinable(lookup), True
            if flight is None and self._locks is not None:
                may_ask = await self._locks.acquire(lookup.variant)
                flight = self._joinable(lookup)  # one may have begun while this call waited
            if flight is not None:
                if await self._followed(flight, lookup, client, record):
                    return
                followed += 1
            elif may_ask:
                break
            elif await self._answered_by_other_instance(lookup, client, record):
                return
        record.cache = CacheResult.MISS
        self._levels.counters.misses += 1
        flight = SingleFlight(lookup.call.route.dialect, record)
        leader = flight.lead(client)
        try:
            await self._lead(flight, lookup, ask)
            if leader.behind:
                await _completed_in_time(leader, flight, lookup)
        finally:
            flight.unsubscribe(leader)
        if not client.connected:
            record.client_left()

    def renew(self, lookup: Lookup, ask: Ask) -> None:
        """Ask in the background for an answer to take the place of a stale one."""
        if lookup.variant not in self.flights and lookup.variant not in self._renewing:
            self._renewing.add(lookup.variant)
            self._in_background(self._renew(lookup, ask))

    @property
    def in_background(self) -> frozenset[asyncio.Task[None]]:
        """The tasks that run without a client."""
        return frozenset(self._tasks)

    async def close(self) -> None:
        """Cancel what runs without a client."""
        leaders = (flight.leader for flight in self.flights.values())
        tasks = [*self._tasks, *(task for task in leaders if task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- followers

    def _joinable(self, lookup: Lookup) -> SingleFlight | None:
        """Return this instance's identical call in flight, if it can be followed."""
        flight = self.flights.get(lookup.variant)
        return flight if flight is not None and flight.joinable else None

    async def _followed(
        self, flight: SingleFlight, lookup: Lookup, client: Downstream, record: CallRecord
    ) -> bool:
        """Wait for the leader's answer and serve it; False if it has none that fits this call."""

        def make_headers(content_type: bytes) -> Headers:
            record.endpoint, record.fallback = flight.record.endpoint, flight.record.fallback
            return cache_headers(content_type, record)

        record.cache = CacheResult.COALESCED
        follower = flight.follow(client, make_headers)
        joined_at = monotonic()
        try:
            await _completed_in_time(follower, flight, lookup)
        finally:
            record.waited_s += (follower.begun_at or monotonic()) - joined_at
            flight.unsubscribe(follower)
        answer = flight.answer
        if follower.started:
            record.answer.status, record.answer.first_byte_at = 200, follower.begun_at
            if flight.error is not None:
                raise flight.error
            self._levels.counters.count_served(CacheResult.COALESCED, answer)
            record.cost = None if answer is None else saved_by(answer)
            return True
        return answer is not None and self._levels.serve(
            answer, lookup, client, record, CacheResult.COALESCED
        )

    async def _answered_by_other_instance(
        self, lookup: Lookup, client: Downstream, record: CallRecord
    ) -> bool:
        """Wait a moment, then serve the answer that another instance has asked for, if it came."""
        began_at = monotonic()
        if began_at >= lookup.call.deadline_at:
            raise _deadline_exceeded()
        await asyncio.sleep(POLL_S)
        found = await self._levels.find_in_l2(None, lookup, time())
        record.waited_s += monotonic() - began_at
        if found is None or time() - found.stored_at >= self._levels.fresh_s:
            return False
        return self._levels.serve(found, lookup, client, record, CacheResult.COALESCED)

    # ---- leaders

    async def _lead(self, flight: SingleFlight, lookup: Lookup, ask: Ask) -> None:
        """Ask, keep the answer, and complete the flight. Raises what `ask` raises."""
        if lookup.patient and lookup.directives.writes:
            self.flights.setdefault(lookup.variant, flight)
        holding = None
        if self._locks is not None:
            holding = asyncio.Task(self._locks.renew(lookup.variant), name="lock")
        error = None
        try:
            await ask(flight, flight.record)
        except GatewayError as failure:
            error = failure
            raise
        finally:
            if self.flights.get(lookup.variant) is flight:
                del self.flights[lookup.variant]
            answer = _cached_answer(flight, lookup, self.prices)
            # The answer of a fallback group comes from another model.
            may_keep = lookup.directives.writes and flight.record.fallback is None
            kept = answer is not None and may_keep and self._levels.keep(answer, lookup)
            flight.complete(answer, error)
            if holding is not None:
                self._end_lock(holding, lookup, kept=kept)

    async def _renew(self, lookup: Lookup, ask: Ask) -> None:
        record = CallRecord(RequestSummary(id=lookup.call.id), group=lookup.group.name)
        try:
            await self._lead(SingleFlight(lookup.call.route.dialect, record), lookup, ask)
        except GatewayError:
            return  # its attempts are in the log, and the stale answer is still there
        finally:
            self._renewing.remove(lookup.variant)

    def _end_lock(self, holding: asyncio.Task[None], lookup: Lookup, *, kept: bool) -> None:
        """Stop renewing a lock. If there is no answer to find, release it: another may ask."""
        holding.cancel()
        if not kept and self._locks is not None:
            self._in_background(self._locks.release(lookup.variant))

    def _in_background(self, job: Coroutine[None, None, None]) -> None:
        task = asyncio.Task(job, name="cache")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _completed_in_time(subscriber: Subscriber, flight: SingleFlight, lookup: Lookup) -> None:
    """Wait until a client has the whole answer. Raises GatewayError when its time is over."""
    call = lookup.call
    try:
        async with asyncio.timeout_at(call.deadline_at) as limit:
            await subscriber.begun()
            limit.reschedule(None if isinf(call.ends_at) else call.ends_at)
            await subscriber.completed()
    except TimeoutError:
        subscriber.interrupt(flight.dialect, "The call's time is over.")
        raise _deadline_exceeded() from None
    except asyncio.CancelledError:
        subscriber.interrupt(flight.dialect, SHUTTING_DOWN)
        raise


def _deadline_exceeded() -> GatewayError:
    return GatewayError(
        "The call's time ran out before the answer to an identical call under way was complete.",
        status=504,
        code="deadline_exceeded",
    )


def _cached_answer(flight: SingleFlight, lookup: Lookup, prices: Prices) -> CachedAnswer | None:
    """Return the answer of a flight, for its followers and the cache; None if it is no use."""
    buffer = flight.buffer
    body = buffer.body
    if body and buffer.encoding:
        body = readable(body, buffer.encoding, max_bytes=MAX_ANSWER_BYTES)
    if buffer.status != 200 or not body:
        return None
    usage = flight.record.answer.usage
    price = prices.get((lookup.group.name, flight.record.endpoint or ""))
    return CachedAnswer(
        group=lookup.group.name,
        content_type=buffer.content_type or b"application/json",
        body=body,
        stored_at=time(),
        streamed=buffer.live,
        has_usage=lookup.usage or (usage is not None and b'"usage"' in body),
        input_tokens=usage.input_tokens if usage else 0,
        output_tokens=usage.output_tokens if usage else 0,
        nano_usd=nano_usd(price, usage) if price and usage else 0,
    )
