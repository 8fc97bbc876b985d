"""The limits of a caller or a team, and the share of them that one call uses.

Calls over a caller's limit do not queue: they get a 429 at once, with the seconds to wait.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from time import monotonic, time
from types import TracebackType
from typing import Protocol

from llmproxy.batteries.callers.limit_headers import limit_headers
from llmproxy.calls import Call, Headers
from llmproxy.errors import CallerThrottled, GatewayError
from llmproxy.operations import Dialect
from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.record import CallRecord
from llmproxy.routing import Group
from llmproxy.rules.capacity import Capacity, Reservation

# A sliding window is full again a minute after the last call in it.
WINDOW_S = 60.0
# Instances that share a limit get grants ahead of need. The first call after a pause waits for
# its grant: usually a few milliseconds, and at most GRANT_S.
GRANT_S = 0.25
GRANT_POLL_S = 0.005


class Bounds(Protocol):
    """At most so much in any 60 seconds, and calls at a time; None: no limit."""

    @property
    def rpm(self) -> int | None:
        """Requests."""

    @property
    def tpm(self) -> int | None:
        """Tokens."""

    @property
    def concurrent(self) -> int | None:
        """Calls at a time."""


class CallerLimits:
    """The limits of one caller or team (`kind`), and what it has used of them.

    As at vendors, a call counts on arrival, with the most tokens that it may use; the tokens are
    corrected when the call ends.
    """

    __slots__ = ("_kind", "_name", "_requests_at", "_tokens_at", "capacity")

    def __init__(self, kind: str, name: str) -> None:
        self.capacity = Capacity(f"{kind}:{name}")
        self._kind = kind
        self._name = name
        self._requests_at = -WINDOW_S  # when a request was last counted
        self._tokens_at = -WINDOW_S  # when tokens were

    def change(self, bounds: Bounds) -> None:
        """Set other limits. What was used until now still counts."""
        capacity = self.capacity
        limits = bounds.rpm, bounds.tpm, bounds.concurrent
        if limits != (capacity.rpm, capacity.tpm, capacity.concurrent):
            rpm, tpm, concurrent = limits
            capacity.change_limits(capacity.key, rpm=rpm, tpm=tpm, concurrent=concurrent)

    def reserve(self, tokens: int, now: float) -> Reservation | None:
        """Count a call against the limits; None if there is no room for it."""
        if not self.capacity.has_room(tokens, now):
            return None
        self._requests_at = now
        if tokens:
            self._tokens_at = now
        return self.capacity.reserve(tokens, now)

    def headers(self, dialect: Dialect, now: float) -> Headers:
        """Return the rate-limit headers of a dialect, with what is left of the limits."""
        rpm, tpm = self.capacity.rpm, self.capacity.tpm
        requests_left, tokens_left = self.capacity.left(now)
        requests = tokens = None
        if rpm is not None:
            requests = RateLimit(rpm, requests_left or 0, WINDOW_S - (now - self._requests_at))
        if tpm is not None:
            tokens = RateLimit(tpm, tokens_left or 0, WINDOW_S - (now - self._tokens_at))
        return limit_headers(dialect, RateLimits(requests, tokens), time())

    def may_be_granted(self, tokens: int, now: float) -> bool:
        """Whether a grant of a limit shared with other instances may come within GRANT_S."""
        quota = self.capacity.quota
        is_shared = quota is not None and quota.share is None
        return is_shared and self.capacity.wait_s(tokens, now) <= GRANT_S

    def refusal(self, tokens: int, now: float) -> CallerThrottled:
        """Return the 429 in OpenAI's wording: the exhausted limit, and the seconds to wait."""
        capacity = self.capacity
        wait_s = capacity.wait_s(tokens, now)
        requests_left, tokens_left = capacity.left(now)
        kind = "requests"
        if capacity.permits is not None and capacity.in_flight >= capacity.permits:
            found = f"calls at a time: Limit {capacity.permits}, Used {capacity.in_flight}"
        elif capacity.tpm is None or (requests_left is not None and requests_left < 1):
            used = (capacity.rpm or 0) - (requests_left or 0)
            found = f"requests per min (RPM): Limit {capacity.rpm}, Used {used:.0f}, Requested 1"
        else:
            kind, used = "tokens", capacity.tpm - (tokens_left or 0)
            found = (
                f"tokens per min (TPM): Limit {capacity.tpm}, Used {used:.0f}, Requested {tokens}"
            )
        return CallerThrottled(
            f"Rate limit reached for {self._kind} '{self._name}' on {found}. "
            f"Please try again in {wait_s:.3g}s.",
            kind=kind,
            retry_after_s=wait_s,
        )


class CallerPermit:
    """Reserves a call's share of its caller's limits on entry, and settles it on exit.

    Entering raises CallerThrottled if there is no room. `admitted`: entered then.
    """

    __slots__ = ("_admitted", "_dialect", "_limits", "_record", "_reservation", "_tokens")

    def __init__(
        self,
        limits: CallerLimits,
        call: Call,
        group: Group,
        record: CallRecord,
        admitted: AbstractAsyncContextManager[None],
    ) -> None:
        self._limits = limits
        self._admitted = admitted
        self._dialect = call.route.dialect
        is_counted = limits.capacity.tpm is not None and call.route.operation.uses_tokens
        self._tokens = group.estimates.of(call)[0] if is_counted else 0
        self._record = record

    async def __aenter__(self) -> None:
        limits, tokens = self._limits, self._tokens
        now = monotonic()
        reservation = limits.reserve(tokens, now)
        if reservation is None and limits.may_be_granted(tokens, now):
            reservation = await self._wait_for_grant(now)
            self._record.waited_s += monotonic() - now
            now = monotonic()
        self._record.limit_headers = limits.headers(self._dialect, now)
        if reservation is None:
            raise limits.refusal(tokens, now)
        self._reservation = reservation
        try:
            await self._admitted.__aenter__()
        except BaseException:
            limits.capacity.give_back(reservation, monotonic())
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._admitted.__aexit__(kind, error, trace)
        capacity, record = self._limits.capacity, self._record
        now = monotonic()
        if record.attempts == 0:  # nothing was sent to an endpoint
            capacity.give_back(self._reservation, now)
            return
        used_tokens = None  # without usage, the reserved tokens count
        if record.answer.usage is not None:
            used_tokens = record.answer.usage.input_tokens + record.answer.usage.output_tokens
        elif isinstance(error, GatewayError) and record.answer.first_byte_at is None:
            used_tokens = 0  # refused: as at vendors, only the request counts
        capacity.settle(self._reservation, used_tokens, now)

    async def _wait_for_grant(self, now: float) -> Reservation | None:
        limits, tokens, until = self._limits, self._tokens, now + GRANT_S
        while now < until and limits.may_be_granted(tokens, now):
            if (quota := limits.capacity.quota) is not None:
                quota.note_waiting(tokens)
            await asyncio.sleep(GRANT_POLL_S)
            now = monotonic()
            reservation = limits.reserve(tokens, now)
            if reservation is not None:
                return reservation
        return None
