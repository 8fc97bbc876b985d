"""What is known: answers in memory and behind it, given again in the form that a call wants."""

from __future__ import annotations

from time import monotonic, time

from llmproxy.cache import representations
from llmproxy.cache.cached_answer import CachedAnswer
from llmproxy.cache.counters import CacheCounters
from llmproxy.cache.lookup import Lookup
from llmproxy.cache.stores.l2 import L2Store
from llmproxy.cache.stores.memory import MemoryStore
from llmproxy.calls import Headers
from llmproxy.protocols import Downstream
from llmproxy.record import CacheResult, CallRecord, explanation


class AnswerLevels:
    """Looks up, gives and keeps. `fresh_s`: for how long an answer is as good as new."""

    __slots__ = ("counters", "fresh_s", "l2", "memory")

    def __init__(
        self, memory: MemoryStore, l2: L2Store | None, counters: CacheCounters, *, fresh_s: float
    ) -> None:
        self.memory = memory
        self.l2 = l2
        self.counters = counters
        self.fresh_s = fresh_s

    async def behind(
        self, found: CachedAnswer | None, asked: Lookup, now: float
    ) -> CachedAnswer | None:
        """What is known here, unless that is old, or nothing, and more is known behind."""
        if self.l2 is None or (found is not None and now - found.stored_at < self.fresh_s):
            return found
        other = await self.l2.get(asked.group.name, asked.key)
        if other is None or (found is not None and found.stored_at >= other.stored_at):
            return found
        self.memory.put(asked.key, other)
        return other

    def give(
        self,
        found: CachedAnswer,
        asked: Lookup,
        client: Downstream,
        record: CallRecord,
        result: CacheResult,
    ) -> bool:
        """Give an answer in the form that the call wants; False if it lacks what the call wants.

        `result`: what the client is told of it: hit, stale or coalesced.
        """
        body = self._in_form(found, asked)
        if body is None:
            return False
        record.cache = result
        record.answer.status, record.answer.first_byte_at = 200, monotonic()
        kind = b"text/event-stream" if asked.call.stream else b"application/json"
        if found.streamed is asked.call.stream:
            kind = found.content_type
        headers = cache_headers(kind, record)
        if result is not CacheResult.COALESCED:
            headers.append((b"age", b"%d" % max(0.0, time() - found.stored_at)))
        client.start(200, headers, length=len(body))
        client.write(body)
        client.finish()
        self.counters.count_served(result, found)
        return True

    def keep(self, answer: CachedAnswer, asked: Lookup) -> bool:
        """Remember an answer; False if it is none to be given again."""
        whole = (
            representations.stream_is_complete if answer.streamed else representations.is_complete
        )
        if not whole(answer.body, asked.call.route.path):
            return False
        self.counters.kept += 1
        self.memory.put(asked.key, answer)
        if self.l2 is not None:
            self.l2.put_later(asked.key, answer)
        return True

    def _in_form(self, found: CachedAnswer, asked: Lookup) -> bytes | None:
        stream = asked.call.stream
        if not (found.streamed or stream):
            return found.body
        if found.streamed and asked.usage and not found.usage_told:
            return None
        operation = asked.call.route.path
        if found.streamed and stream:
            return (
                found.body if asked.usage else representations.without_usage(found.body, operation)
            )
        made = self.memory.get(asked.form, found.stored_at)
        if made is not None and made.stored_at == found.stored_at:
            return made.body
        if stream:
            body = representations.json_to_sse(found.body, operation, include_usage=asked.usage)
        else:
            body = representations.sse_to_json(found.body, operation)
        if body is not None:  # so that it is made once
            made = CachedAnswer(found.group, b"", body, found.stored_at, streamed=stream)
            self.memory.put(asked.form, made)
        return body


def cache_headers(content_type: bytes, record: CallRecord) -> Headers:
    """What a client is told whose answer was asked for by somebody else."""
    headers = [
        (b"content-type", content_type),
        *(record.limit_headers or ()),
        (b"x-llmproxy-cache", (record.cache or "").encode("ascii")),
        (b"x-request-id", record.request.id.encode("latin-1")),
    ]
    if record.request.explain:
        headers.append(explanation(record))
    if record.endpoint is not None:
        headers.append((b"x-llmproxy-endpoint", record.endpoint.encode("latin-1")))
    if record.fallback is not None:
        headers.append((b"x-llmproxy-fallback", record.fallback.encode("utf-8")))
    return headers
