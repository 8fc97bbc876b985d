"""What is known: answers in memory and behind it, given again in the form that a call wants."""

from __future__ import annotations

from time import monotonic, time

from llmproxy.cache import forms
from llmproxy.cache.counts import Counts
from llmproxy.cache.question import Asked
from llmproxy.cache.recording import Recorded
from llmproxy.cache.stores.memory import Memory
from llmproxy.cache.stores.second_level import SecondLevel
from llmproxy.calls import Headers
from llmproxy.protocols import Downstream
from llmproxy.record import CallRecord, explanation


class Known:
    """Looks up, gives and keeps. `fresh_s`: for how long an answer is as good as new."""

    __slots__ = ("counts", "fresh_s", "memory", "second")

    def __init__(
        self, memory: Memory, second: SecondLevel | None, counts: Counts, *, fresh_s: float
    ) -> None:
        self.memory = memory
        self.second = second
        self.counts = counts
        self.fresh_s = fresh_s

    async def behind(self, found: Recorded | None, asked: Asked, now: float) -> Recorded | None:
        """What is known here, unless that is old, or nothing, and more is known behind."""
        if self.second is None or (found is not None and now - found.stored_at < self.fresh_s):
            return found
        other = await self.second.get(asked.group.name, asked.key)
        if other is None or (found is not None and found.stored_at >= other.stored_at):
            return found
        self.memory.put(asked.key, other)
        return other

    def give(
        self, found: Recorded, asked: Asked, client: Downstream, record: CallRecord, word: str
    ) -> bool:
        """Give an answer in the form that the call wants; False if it lacks what the call wants.

        `word`: what the client is told of it: hit, stale or coalesced.
        """
        body = self._in_form(found, asked)
        if body is None:
            return False
        record.cache = word
        record.answer.status, record.answer.first_byte_at = 200, monotonic()
        kind = b"text/event-stream" if asked.call.stream else b"application/json"
        if found.streamed is asked.call.stream:
            kind = found.content_type
        headers = headers_of(kind, record)
        if word != "coalesced":
            headers.append((b"age", b"%d" % max(0.0, time() - found.stored_at)))
        client.start(200, headers, length=len(body))
        client.write(body)
        client.finish()
        self.counts.given(word, found)
        return True

    def keep(self, answer: Recorded, asked: Asked) -> bool:
        """Remember an answer; False if it is none to be given again."""
        whole = forms.stream_is_whole if answer.streamed else forms.is_whole
        if not whole(answer.body, asked.call.route.path):
            return False
        self.counts.kept += 1
        self.memory.put(asked.key, answer)
        if self.second is not None:
            self.second.put_later(asked.key, answer)
        return True

    def _in_form(self, found: Recorded, asked: Asked) -> bytes | None:
        stream = asked.call.stream
        if not (found.streamed or stream):
            return found.body
        if found.streamed and asked.usage and not found.usage_told:
            return None
        operation = asked.call.route.path
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


def headers_of(content_type: bytes, record: CallRecord) -> Headers:
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
