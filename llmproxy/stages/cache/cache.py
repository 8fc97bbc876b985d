"""What was asked before is answered from what is known; what is being asked is asked once.

Only whole answers are kept, and only of calls whose answer depends on nothing but the call
(rules/caching.py). An answer serves both forms, JSON and events, whichever it came in. Whoever asks
what is being asked already waits for that answer. When no endpoint can answer, an old one may
stand in, if the operator wants that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic, time

from llmproxy.adapters.answers.memory import Memory
from llmproxy.adapters.answers.second_level import SecondLevel
from llmproxy.calls import Client, Downstream, Headers, Trail
from llmproxy.config import CacheParams, Price
from llmproxy.errors import GatewayError, NoEndpoint, Overload, TimedOut, UpstreamError
from llmproxy.rules import forms
from llmproxy.rules.caching import is_whole
from llmproxy.rules.encoding import readable
from llmproxy.rules.prices import cost_usd
from llmproxy.rules.recording import Recorded
from llmproxy.stages.cache.counts import Counts
from llmproxy.stages.cache.flight import MAX_ANSWER_BYTES, Flight, Passenger
from llmproxy.stages.cache.question import Asked, Questions, nothing_remembered

Prices = Mapping[tuple[str, str], Price]  # by group and endpoint
Ask = Callable[[Downstream, Trail], Awaitable[None]]
# A call that has waited for so many others in vain asks by itself.
MAX_FOLLOWED = 2


class Cache:
    """Owns flights, renewals and counts; `memory` and `second` own the answers.

    `prices`: what is not there saves no money that we know of.
    """

    def __init__(
        self,
        params: CacheParams,
        questions: Questions,
        memory: Memory,
        second: SecondLevel | None,
        *,
        prices: Prices,
    ) -> None:
        self._params = params
        self.asked = questions.asked
        self.memory = memory
        self.second = second
        self._prices = prices
        self.flights: dict[bytes, Flight] = {}
        self._renewals: dict[bytes, asyncio.Task[None]] = {}
        self.counts = Counts()

    async def answer(self, asked: Asked, client: Client, trail: Trail, ask: Ask) -> None:
        """Answer a call whose question may be known. `ask`: how the endpoints are asked.

        Raises what `ask` raises, and ClientError where the call wants no other answer than one
        that is remembered.
        """
        wish, now = asked.wish, time()
        found = self.memory.get(asked.key, now) if wish.reads else None
        if wish.reads and self.second is not None:
            found = await self._newest(found, asked, self.second, now)
        if found is not None:
            age_s = now - found.stored_at
            params = self._params
            if age_s <= wish.max_age_s and age_s < params.ttl + params.stale_while_revalidate_s:
                fresh = age_s < params.ttl
                if self._replayed(found, asked, client, trail, "hit" if fresh else "stale"):
                    if not fresh:
                        self._renew(asked, ask)
                    return
        if wish.order == b"only":
            raise nothing_remembered()
        try:
            await self._asked_for(asked, client, trail, ask)
        except GatewayError as error:
            if client.started or found is None or not self._may_stand_in(found, error, now):
                raise
            if not self._replayed(found, asked, client, trail, "stale"):
                raise

    async def purge(self, group: str | None, stored_before: float | None) -> tuple[int, int]:
        """Forget the answers of a group, or of all, stored before a moment (Unix seconds), or ever.

        Returns how many here, and how many behind. Raises StoreError.
        """
        forgotten = self.memory.purge(group, stored_before)
        if self.second is None:
            return forgotten, 0
        return forgotten, await self.second.purge(group, stored_before)

    async def close(self) -> None:
        """End what is being asked for later use."""
        for task in self._renewals.values():
            task.cancel()
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)

    # ---- from what is known

    async def _newest(
        self, found: Recorded | None, asked: Asked, second: SecondLevel, now: float
    ) -> Recorded | None:
        """What is known here, unless it is old and something newer is known behind."""
        if found is not None and now - found.stored_at < self._params.ttl:
            return found
        other = await second.get(asked.group.name, asked.key)
        if other is None or (found is not None and found.stored_at >= other.stored_at):
            return found
        self.memory.put(asked.key, other)
        return other

    def _replayed(
        self, found: Recorded, asked: Asked, client: Downstream, trail: Trail, word: str
    ) -> bool:
        """Give an answer in the form that the call wants, if it can be given in that."""
        body = self._in_form(found, asked)
        if body is None:
            return False
        trail.cache, trail.status, trail.first_byte_at = word, 200, monotonic()
        kind = b"text/event-stream" if asked.call.stream else b"application/json"
        if found.streamed is asked.call.stream:
            kind = found.content_type
        headers = _headers(kind, trail)
        if word != "coalesced":
            headers.append((b"age", b"%d" % max(0.0, time() - found.stored_at)))
        client.start(200, headers, length=len(body))
        client.write(body)
        client.finish()
        self.counts.given(word, found)
        return True

    def _in_form(self, found: Recorded, asked: Asked) -> bytes | None:
        """The body of an answer as this call wants it; None if it lacks what the call wants."""
        stream = asked.call.stream
        if found.streamed is stream and not stream:
            return found.body
        if found.streamed and asked.usage and not found.usage_told:
            return None
        operation = asked.call.route.operation
        if found.streamed and stream:
            return found.body if asked.usage else forms.without_usage(found.body, operation)
        made = self.memory.get(asked.form, found.stored_at)
        if made is not None and made.stored_at == found.stored_at:
            return made.body
        if stream:
            body = forms.as_events(found.body, operation, include_usage=asked.usage)
        else:
            body = forms.as_json(found.body, operation)
        if body is not None:  # so that it is made once
            made = Recorded(found.group, b"", body, found.stored_at, streamed=stream)
            self.memory.put(asked.form, made)
        return body

    def _may_stand_in(self, found: Recorded, error: GatewayError, now: float) -> bool:
        """Whether an old answer is better than this error: nobody could answer (RFC 5861, 4)."""
        nobody = isinstance(error, UpstreamError | NoEndpoint | Overload)
        if not nobody or (error.status < 500 and error.status != 429):
            return False
        return now - found.stored_at < self._params.ttl + self._params.stale_if_error_s

    # ---- from the endpoints

    async def _asked_for(self, asked: Asked, client: Client, trail: Trail, ask: Ask) -> None:
        """Follow a call that asks the same; else ask, and let others follow."""
        followed = 0
        while asked.wish.reads and followed < MAX_FOLLOWED:
            flight = self.flights.get(asked.form)
            if flight is None or not flight.joinable:
                break
            if await self._followed(flight, asked, client, trail):
                return
            followed += 1
        trail.cache = "miss"
        self.counts.misses += 1
        flight = Flight(asked.call.route.dialect)
        leader = flight.lead(client)
        try:
            await self._fly(flight, asked, trail, ask)
            if leader.behind:
                await self._in_time(leader, asked)
        finally:
            leader.leave()
        if not client.connected:
            trail.status, trail.error = 499, "client_closed_request"

    async def _followed(
        self, flight: Flight, asked: Asked, client: Downstream, trail: Trail
    ) -> bool:
        """Wait for the answer to the same question; False if it did not come, or is not for two."""
        trail.cache = "coalesced"
        passenger = flight.board(client, lambda kind: _headers(kind, trail))
        joined_at = monotonic()
        try:
            await self._in_time(passenger, asked)
        finally:
            trail.waited_s += monotonic() - joined_at
            passenger.leave()
        answer = flight.answer
        if passenger.started:
            trail.status, trail.first_byte_at = 200, passenger.begun_at
            if flight.error is not None:
                raise flight.error
            self.counts.given("coalesced", answer)
            return True
        return answer is not None and self._replayed(answer, asked, client, trail, "coalesced")

    async def _in_time(self, passenger: Passenger, asked: Asked) -> None:
        """The ride of a call that has nothing else to do, for as long as it may take."""
        call = asked.call
        try:
            async with asyncio.timeout_at(call.deadline_at) as limit:
                await passenger.begun()
                limit.reschedule(call.ends_at)
                await passenger.ride()
        except TimeoutError:
            raise TimedOut("the call's time is over", phase="total") from None

    def _renew(self, asked: Asked, ask: Ask) -> None:
        """Ask again for an answer that has become old, with nobody waiting for it."""
        form = asked.form
        if form not in self.flights and form not in self._renewals:
            task = self._renewals[form] = asyncio.Task(self._renewed(asked, ask), name="renewal")
            task.add_done_callback(lambda _: self._renewals.pop(form))

    async def _renewed(self, asked: Asked, ask: Ask) -> None:
        trail = Trail()
        trail.id, trail.call, trail.group = asked.call.id, asked.call, asked.group.name
        with suppress(GatewayError):  # it has been logged, and the old answer is still there
            await self._fly(Flight(asked.call.route.dialect), asked, trail, ask)

    async def _fly(self, flight: Flight, asked: Asked, trail: Trail, ask: Ask) -> None:
        """Ask, and let others follow; then they are told what came of it."""
        if asked.patient and asked.wish.writes:
            self.flights.setdefault(asked.form, flight)
        error = None
        try:
            await ask(flight, trail)
        except GatewayError as failure:
            error = failure
            raise
        finally:
            if self.flights.get(asked.form) is flight:
                del self.flights[asked.form]
            answer = _recorded(flight, asked, trail, self._prices)
            # What another group answers is another model's.
            if answer is not None and asked.wish.writes and trail.fallback is None:
                self._keep(answer, asked)
            flight.land(answer, error)

    def _keep(self, answer: Recorded, asked: Asked) -> None:
        """Remember an answer, if it is one to be given again."""
        whole = forms.stream_is_whole if answer.streamed else is_whole
        if whole(answer.body, asked.call.route.operation):
            self.counts.kept += 1
            self.memory.put(asked.key, answer)
            if self.second is not None:
                self.second.put_later(asked.key, answer)


def _recorded(flight: Flight, asked: Asked, trail: Trail, prices: Prices) -> Recorded | None:
    """The answer of a flight, if it can be given to anybody else."""
    body = flight.body
    if body and flight.encoding:
        body = readable(body, flight.encoding, max_bytes=MAX_ANSWER_BYTES)
    if flight.status != 200 or not body:
        return None
    usage = trail.usage
    price = prices.get((asked.group.name, trail.endpoint or ""))
    return Recorded(
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


def _headers(content_type: bytes, trail: Trail) -> Headers:
    """What a client is told whose answer somebody else has asked for."""
    return [
        (b"content-type", content_type),
        *(trail.limit_headers or ()),
        (b"x-llmproxy-cache", (trail.cache or "").encode("ascii")),
        (b"x-request-id", trail.id.encode("latin-1")),
    ]
