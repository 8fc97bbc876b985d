"""One attempt of a call at one endpoint, up to the commit point.

It ends in an Accepted, which holds the first meaningful bytes, or raises an UpstreamError.
"""

from __future__ import annotations

from functools import partial
from time import monotonic

from llmproxy.calls import Accepted, Call
from llmproxy.config import Timeouts
from llmproxy.errors import (
    Answer,
    CredentialRejected,
    KeyWithheld,
    NoAnswer,
    TimedOut,
    UpstreamError,
    UpstreamFailed,
)
from llmproxy.operations import Usage
from llmproxy.operations.answers import begins_as_events, take_as_answer
from llmproxy.operations.dialects.base import END, ERROR
from llmproxy.pipeline.failover.answerless import (
    begun,
    failure_in,
    failure_of_ended,
    promised_member,
    read_success,
    redirection_of,
)
from llmproxy.pipeline.failover.beginning import HOLDING, Holding, StreamBeginning
from llmproxy.pipeline.failover.outgoing import outgoing_request, withholds_key
from llmproxy.pipeline.failover.unread import MAX_FAILURE_BYTES, read_into
from llmproxy.protocols import Masking, ReadAnswer
from llmproxy.providers.base import Endpoint
from llmproxy.record import CallRecord
from llmproxy.streams import UpstreamResponse as Response
from llmproxy.upstream import UpstreamClient

# A unary answer up to this size is held until it is complete: if its endpoint dies in the middle,
# another can still answer. Larger ones are relayed as they come.
MAX_HELD_BYTES = 256 * 1024
KEY_IS_ELSEWHERE = "it was asked without the client's key, which has gone to another"
LAST_MOMENT_S = 0.05  # before the end of the client's patience, to begin the answer


class AttemptMaker:
    """Makes attempts. Keeps no state between them."""

    __slots__ = ("_holding", "_timeouts", "client", "masking", "read_answer")

    def __init__(
        self,
        client: UpstreamClient,
        timeouts: Timeouts,
        holding: Holding = HOLDING,
        *,
        masking: Masking | None = None,
        read_answer: ReadAnswer = take_as_answer,
    ) -> None:
        self.masking = masking
        self.read_answer = read_answer
        self._holding = holding
        self.client = client
        self._timeouts = timeouts

    async def make(self, call: Call, endpoint: Endpoint, record: CallRecord) -> Accepted:
        """Make one attempt. Raises an UpstreamError with the endpoint's name."""
        credential = endpoint.credential
        try:
            translate = endpoint.translators.get(call.route.operation.dialect.name)
            asked, in_dialect = (call, None) if translate is None else translate(call, record)
            outgoing = outgoing_request(asked, endpoint, credential, record)
            if endpoint.authorize is not None:
                outgoing, added = await endpoint.authorize(outgoing)
                credential += added
            until = call.deadline_at
            first_byte_s = self._first_byte_s(call, endpoint)
            if first_byte_s is not None:
                until = min(until, monotonic() + first_byte_s)
            renewed = partial(self._after_sign, call)
            sent = await self.client.send(endpoint, outgoing, until=until, renewed=renewed)
            response: Response = sent if in_dialect is None else in_dialect(sent)
            try:
                if response.status >= 300 and (failure := redirection_of(call, response)):
                    raise failure
                if response.status >= 400:
                    raise await _error_response(response, endpoint)
                if monotonic() >= until:  # signs of life before the head
                    until = self._after_sign(call)
                return await self._first_bytes(call, endpoint, response, until)
            except UpstreamError as failure:
                if failure.answer is None or failure.answer.rest is None:
                    response.close()
                raise
            except BaseException:
                response.close()
                raise
        except UpstreamError as error:
            shown = error
            if isinstance(error, CredentialRejected) and withholds_key(call, endpoint, record):
                shown = KeyWithheld(f"{KEY_IS_ELSEWHERE}: {error.message}")
            if self.masking is not None:
                self.masking.conceal(shown, call, endpoint, credential)
            shown.endpoint = endpoint.name
            if isinstance(shown, TimedOut) and monotonic() >= call.deadline_at:
                shown.phase = "total"  # the client's patience says nothing about the endpoint
            raise shown from error.__cause__

    def _first_byte_s(self, call: Call, endpoint: Endpoint) -> float | None:
        """Return the operator's limit; None if there is none, and silence is no failure."""
        timeouts = self._timeouts
        if endpoint.first_byte_timeout_s is not None:
            return endpoint.first_byte_timeout_s
        return timeouts.first_byte_s if call.stream else timeouts.unary_first_byte_s

    async def _first_bytes(
        self, call: Call, endpoint: Endpoint, response: Response, until: float
    ) -> Accepted:
        """Hold the body until it means something."""
        if response.content.events:
            return await self._first_content(call, endpoint, response, until)
        held = await response.chunk(until, "first byte")
        member = promised_member(call, response)
        usage: Usage | None = None
        if member is not None and call.stream and begins_as_events(held):
            return await self._first_content(call, endpoint, response, until, held)
        if member is not None or response.content.json:
            if not response.exhausted:
                held += await self._rest_of_json(call, response, until, held)
            read_answer = self.read_answer
            usage = read_success(call, endpoint, response, held, read_answer=read_answer)
            usage = response.usage or usage
        content_by = call.deadline_at if held.isspace() else 0.0
        return Accepted(call, endpoint.name, response, held, endpoint.mask, content_by, usage)

    async def _first_content(
        self, call: Call, endpoint: Endpoint, response: Response, until: float, first: bytes = b""
    ) -> Accepted:
        """The stream up to the event that makes it the answer; an early error is a failure.

        `first`: what was read of it already.
        """
        dialect, provider = call.route.dialect, endpoint.provider
        beginning, chunk = StreamBeginning(call, self._holding, endpoint.mask), first or None
        while chunk != b"":
            now = monotonic()
            for event in beginning.add(chunk or b""):
                kind = provider.classify(event, dialect)
                if kind is ERROR:
                    raise failure_in(begun(response, bytes(beginning.held)), endpoint, event)
                if kind is END and dialect.ends_empty(event):
                    answer = begun(response, bytes(beginning.held))
                    raise NoAnswer("a stream without an answer", answer=answer)
                if beginning.note(event, kind, now):
                    return beginning.accepted(endpoint.name, response)
            if beginning.look(now):
                return beginning.accepted(endpoint.name, response)
            if chunk:
                until = max(until, self._after_sign(call))
            chunk = await response.chunk_by(beginning.look_at, until, "first byte")
        raise failure_of_ended(endpoint, dialect, response, bytes(beginning.held), beginning.rest)

    async def _rest_of_json(
        self, call: Call, response: Response, until: float, first: bytes
    ) -> bytes:
        """The rest of a JSON body, up to a size, or as far as it came until the call must answer.

        An answer that is under way is not given up for its slowness. Blank lines keep it alive
        (DeepSeek, OpenRouter), in the end also for the client.
        """
        rest, last_moment = b"", call.deadline_at - LAST_MOMENT_S
        blank_until = min(last_moment, monotonic() + self._holding.blanks_s)
        while not response.exhausted and len(first) + len(rest) <= MAX_HELD_BYTES:
            until = max(until, self._after_sign(call))
            begun_at = blank_until if (first + rest).isspace() else last_moment
            chunk = await response.chunk_by(begun_at, until, "first byte")
            if chunk is None:
                break
            rest += chunk
        return rest

    def _after_sign(self, call: Call) -> float:
        """Return until when to wait after a sign of life."""
        return min(monotonic() + self._timeouts.idle_s, call.deadline_at)


async def _error_response(response: Response, endpoint: Endpoint) -> UpstreamError:
    """Read the whole answer of a status of 400 and above, and return the failure it stands for."""
    body = bytearray()
    await read_into(body, response)
    if len(body) > MAX_FAILURE_BYTES:
        return UpstreamFailed(f"status {response.status} with an endless body")
    return failure_in(Answer(response.status, response.headers, bytes(body)), endpoint)
