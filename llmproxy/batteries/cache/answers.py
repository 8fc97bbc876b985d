"""The two levels of cached answers: memory, and a store behind it; each as JSON or as a stream."""

from __future__ import annotations

from time import monotonic, time

import msgspec

from llmproxy.batteries.cache import representations
from llmproxy.batteries.cache.cached_answer import CachedAnswer
from llmproxy.batteries.cache.lookup import Lookup
from llmproxy.batteries.cache.stores.l2 import L2Store
from llmproxy.batteries.cache.stores.memory import MemoryStore
from llmproxy.calls import Headers
from llmproxy.operations import operation_at
from llmproxy.protocols import Downstream
from llmproxy.record import CacheResult, CallRecord, Cost, explanation


class CacheCounters(msgspec.Struct, gc=False):
    """Counts since the start. Only ever grow.

    Attributes:
        hits, stale, coalesced, misses: Calls, by what the cache had for them.
        kept: Answers that were stored.
        saved_input_tokens, saved_output_tokens: Of the answers that were served, as the endpoint
            counted them when they were new.
        saved_nano_usd: Their cost at that time, in nano-dollars; 0 where the endpoint has no price.
    """

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    stale: int = 0
    kept: int = 0
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    saved_nano_usd: int = 0

    def count_served(self, result: CacheResult, answer: CachedAnswer | None) -> None:
        """Count an answer that was served. `answer`: None if it was too big to be recorded."""
        if result is CacheResult.HIT:
            self.hits += 1
        elif result is CacheResult.STALE:
            self.stale += 1
        else:
            self.coalesced += 1
        if answer is not None:
            self.saved_input_tokens += answer.input_tokens
            self.saved_output_tokens += answer.output_tokens
            self.saved_nano_usd += answer.nano_usd


def saved_by(answer: CachedAnswer) -> Cost:
    """Return the cost of a call that was served from the cache: nothing, and what it saved."""
    return Cost(saved_nano_usd=answer.nano_usd)


class AnswerLevels:
    """Finds, serves and keeps answers. `fresh_s`: the age from which on an answer is stale."""

    __slots__ = ("counters", "fresh_s", "l2", "memory")

    def __init__(
        self, memory: MemoryStore, l2: L2Store | None, counters: CacheCounters, *, fresh_s: float
    ) -> None:
        self.memory = memory
        self.l2 = l2
        self.counters = counters
        self.fresh_s = fresh_s

    async def find_in_l2(
        self, found: CachedAnswer | None, lookup: Lookup, now: float
    ) -> CachedAnswer | None:
        """Return the newer one of the answer found in memory and that of L2.

        L2 is not read if the answer in memory is fresh. `now`: Unix seconds.
        """
        if self.l2 is None or (found is not None and now - found.stored_at < self.fresh_s):
            return found
        other = await self.l2.get(lookup.group.name, lookup.key)
        if other is None or (found is not None and found.stored_at >= other.stored_at):
            return found
        self.memory.put(lookup.key, other)
        return other

    def serve(
        self,
        found: CachedAnswer,
        lookup: Lookup,
        client: Downstream,
        record: CallRecord,
        result: CacheResult,
    ) -> bool:
        """Send an answer as JSON or as a stream, as the call asks; False if that is impossible.

        `result`: hit, stale or coalesced.
        """
        body = self._represented(found, lookup)
        if body is None:
            return False
        record.cache = result
        record.answer.status, record.answer.first_byte_at = 200, monotonic()
        content_type = b"text/event-stream" if lookup.call.stream else b"application/json"
        if found.streamed is lookup.call.stream:
            content_type = found.content_type
        headers = cache_headers(content_type, record)
        if result is not CacheResult.COALESCED:
            headers.append((b"age", b"%d" % max(0.0, time() - found.stored_at)))
        client.start(200, headers, length=len(body))
        client.write(body)
        client.finish()
        self.counters.count_served(result, found)
        record.cost = saved_by(found)
        return True

    def keep(self, answer: CachedAnswer, lookup: Lookup) -> bool:
        """Store an answer in both levels; False if it is not a complete one."""
        is_complete = (
            representations.stream_is_complete if answer.streamed else representations.is_complete
        )
        if not is_complete(answer.body, lookup.call.route.path):
            return False
        self.counters.kept += 1
        self.memory.put(lookup.key, answer)
        if self.l2 is not None:
            self.l2.put_later(lookup.key, answer)
        return True

    def _represented(self, found: CachedAnswer, lookup: Lookup) -> bytes | None:
        """Return an answer as JSON or events, with usage or without, as the call asks."""
        stream = lookup.call.stream
        if not (found.streamed or stream):
            return found.body
        if found.streamed and lookup.usage and not found.has_usage:
            return None
        operation = lookup.call.route.path
        if found.streamed and stream:
            if lookup.usage:
                return found.body
            return representations.without_usage(found.body, operation)
        converted = self.memory.get(lookup.variant, found.stored_at)
        if converted is not None and converted.stored_at == found.stored_at:
            return converted.body
        if stream:
            body = representations.json_to_sse(found.body, operation, include_usage=lookup.usage)
        else:
            body = representations.sse_to_json(found.body, operation)
        if body is not None:  # convert once
            converted = CachedAnswer(found.group, b"", body, found.stored_at, streamed=stream)
            self.memory.put(lookup.variant, converted)
        return body


def cache_headers(content_type: bytes, record: CallRecord) -> Headers:
    """Return the headers of an answer that this call did not ask an endpoint for."""
    dialect = operation_at(record.request.operation or "").dialect
    headers = [
        (b"content-type", content_type),
        *(record.limit_headers or ()),
        (b"x-llmproxy-cache", (record.cache or "").encode("ascii")),
        *dialect.id_of(record.request.id),
    ]
    if record.request.explain:
        headers.append(explanation(record))
    if record.endpoint is not None:
        headers.append((b"x-llmproxy-endpoint", record.endpoint.encode("latin-1")))
    if record.fallback is not None:
        headers.append((b"x-llmproxy-fallback", record.fallback.encode("utf-8")))
    return headers
