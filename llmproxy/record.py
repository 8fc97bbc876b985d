"""The record of one call: filled in as the call goes, read by logs, metrics and traces at its end.

It is content-free: names, numbers and reasons, no prompt and no answer, so it may be kept, shown to
other workers and written to a file; there without the messages of its steps, in which an endpoint
may quote the call. Moments are seconds of `time.monotonic`, durations seconds.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from llmproxy.calls import Header, Headers, TraceContext
from llmproxy.errors import Blame
from llmproxy.operations import Usage
from llmproxy.steps import Step, in_words

CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that left; never sent, only logged


class CacheResult(StrEnum):
    """The part that the answer cache had in a call, as in the header `x-llmproxy-cache`."""

    HIT = "hit"
    STALE = "stale"  # an older answer, while a new one is fetched or none can be had
    COALESCED = "coalesced"  # the answer to another call that asked the same
    MISS = "miss"
    BYPASS = "bypass"  # neither looked up nor kept


class Basis(StrEnum):
    """How far the cost of a call is known."""

    FREE = "free"  # nothing was charged
    EXACT = "exact"  # each attempt reported its usage, and has a price
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"  # the usage or the price of an attempt is not known


class Cost(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a call cost, in nano-dollars (1e-9 USD).

    Attributes:
        nano_usd: The sum over all attempts, as far as it is known.
        basis: How far it is known.
        saved_nano_usd: What an answer from the answer cache had cost.
    """

    nano_usd: int = 0
    basis: Basis = Basis.FREE
    saved_nano_usd: int = 0


class CallOrigin(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Who made a call: what spend is summed by.

    Attributes:
        caller: Name of the caller whose key the client sent; None without configured callers.
        team: The caller's team.
        key: The id of the caller's key, if that was made at run time.
        tags: Labels, the caller's and those that the client sent.
        end_user: Whom the client calls for, as it says.
    """

    caller: str | None = None
    team: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    end_user: str | None = None


class RequestSummary(CallOrigin, omit_defaults=True, gc=False):
    """What the client asked for.

    Attributes:
        line: Method and path, such as `POST /v1/chat/completions`. May be as long as a head.
        client: The peer's address.
        received_at: When the request's head was complete.
        id: Our id of the call; "" until the headers are parsed.
        operation: The path without its prefix; None if the request was refused before.
        model: The model that the client named.
        stream: Whether it asked for a stream.
        explain: Whether it asked for the steps in a header.
        trace: Its position in a distributed trace; None if calls are not traced.
    """

    line: str = ""
    client: str | None = None
    received_at: float = 0.0
    id: str = ""
    operation: str | None = None
    model: str | None = None
    stream: bool = False
    explain: bool = False
    trace: TraceContext | None = None


class AnswerSummary(msgspec.Struct, omit_defaults=True, gc=False):
    """What the client got.

    Attributes:
        status: The HTTP status; 499 if the client left first, 0 if nothing was sent.
        error: Code of an error of ours, or the reason of an endpoint's; also of a stream that broke
            after a status of 200.
        error_source: Whose trouble the error is: `caller_limit`, `client`, `upstream` or `proxy`.
        usage: Tokens as the endpoint counted them; None if it did not report any.
        request_id: The `x-request-id` or `request-id` of the endpoint that answered.
        first_byte_at: When the answer began; None if it never did.
        close_code: The code that a WebSocket was closed with.
    """

    status: int = 0
    error: str | None = None
    usage: Usage | None = None
    request_id: bytes | None = None
    first_byte_at: float | None = None
    error_source: Blame | None = None
    close_code: int | None = None


class CallRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """Everything known about one call. Only the call's own task writes to it.

    Attributes:
        request: What the client asked for.
        answer: What it got.
        group: The model group that was asked; None if the request did not get that far.
        fallback: The group that was asked in its place, if it failed.
        endpoint: The endpoint that answered, or that was tried last.
        attempts: How many attempts were begun.
        steps: Attempts, skipped endpoints, changed parameters and fallbacks, in order.
        waited_s: Time before the first byte that was spent waiting for others: the client's upload,
            endpoints, capacity, permits, another call's answer.
        cache: The part that the answer cache had in the call; None if it is off for the call.
        key_origin: The origin that the client's own key was sent to; None: it was not sent.
        limit_headers: Headers that report the caller's own limits, in place of the endpoint's.
            Dropped when the call is over.
        cost: What it cost; None: nothing computes costs.
    """

    request: RequestSummary = msgspec.field(default_factory=RequestSummary)
    answer: AnswerSummary = msgspec.field(default_factory=AnswerSummary)
    group: str | None = None
    fallback: str | None = None
    endpoint: str | None = None
    attempts: int = 0
    steps: list[Step] = []
    waited_s: float = 0.0
    cache: CacheResult | None = None
    limit_headers: Headers | None = None
    key_origin: str | None = None
    cost: Cost | None = None

    def client_left(self) -> None:
        """Note that the client closed its connection before the answer was complete."""
        self.answer.status, self.answer.error = CLIENT_CLOSED_REQUEST, "client_closed_request"
        self.answer.error_source = "client"


def explanation(record: CallRecord) -> Header:
    """Return the header that lists a call's steps."""
    return b"x-llmproxy-explain", in_words(record.steps).encode("ascii", "replace")
