"""Who is calling, what they may use, and how much of it.

A caller is known by the SHA-256 of its key; the key itself is neither kept nor passed on. Callers
do not wait in line: one that has used up its limits is told at once when it may come again. With no
callers configured everybody may do everything, and nothing is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from hashlib import sha256
from hmac import compare_digest
from time import monotonic
from typing import Protocol

from llmproxy.calls import Call, Headers
from llmproxy.config import Caller
from llmproxy.errors import CallerThrottled, ClientError, GatewayError
from llmproxy.record import CallRecord
from llmproxy.routing import Group, Pool
from llmproxy.rules.capacity import Capacity, Reservation
from llmproxy.rules.limit_headers import WINDOW_S, Dimension

BARE_KEYS = frozenset((b"api-key", b"x-api-key"))  # as AzureOpenAI and Anthropic clients send them
STRANGER = (b"", "")  # its digest equals none
# With other instances, what this one may give out of a caller's limit is granted to it ahead of
# need. The first call after a silence must wait for its grant: a few ms, and no longer than this.
GRANT_S = 0.25
GRANT_POLL_S = 0.005


class Admitted(Protocol):
    """What `admit` gives: `async with` it."""

    async def __aenter__(self) -> None:
        """Raises CallerThrottled."""

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """The call is over."""


class Callers:
    """Knows every caller, and owns what each has used. `pool`: all the groups that there are.

    `before`: as they were known until now; who is still there has used what they had used.
    """

    __slots__ = ("_allowances", "_by_digest", "_pool", "_pools")

    def __init__(
        self, callers: Iterable[Caller], pool: Pool, before: Callers | None = None
    ) -> None:
        self._pool = pool
        self._pools: dict[str | None, Pool] = {}
        self._by_digest: dict[bytes, tuple[bytes, str]] = {}
        self._allowances: dict[str | None, Allowance] = {}
        for caller in callers:
            self._by_digest[caller.digest] = (caller.digest, caller.name)
            if caller.groups is not None:
                self._pools[caller.name] = pool.limited_to(caller.groups)
            limits = caller.limits
            if limits.rpm or limits.tpm or limits.concurrent:
                known = before._allowances.get(caller.name) if before is not None else None
                self._allowances[caller.name] = Allowance(caller, known)
            if limits.tpm:
                for group in pool.groups.values():
                    group.counts_tokens = True

    def identify(self, headers: Headers) -> str | None:
        """The name of whoever sent a request; None if no callers are configured.

        Raises ClientError, one and the same for no key and for an unknown one.
        """
        if not self._by_digest:
            return None
        for header, value in headers:
            if header == b"authorization":
                scheme, _, key = value.partition(b" ")
                if scheme.lower() == b"bearer" and (name := self._whose(key)):
                    return name
            elif header in BARE_KEYS and (name := self._whose(value)):
                return name
        raise ClientError(
            "Found no API key of this proxy in the request, or one that it does not know. Send the "
            "key that its operator gave you as 'Authorization: Bearer KEY', as 'api-key' or as "
            "'x-api-key'.",
            status=401,
            code="invalid_api_key",
        )

    def _whose(self, key: bytes) -> str | None:
        digest = sha256(key.strip()).digest()
        known, name = self._by_digest.get(digest, STRANGER)
        return name if compare_digest(digest, known) else None

    def pool_of(self, caller: str | None) -> Pool:
        """The groups that a caller may use."""
        return self._pools.get(caller, self._pool)

    def admit(self, call: Call, group: Group, record: CallRecord) -> Admitted:
        """`async with` it, until the call is over: its share of the caller's limits."""
        allowance = self._allowances.get(call.caller)
        return OPEN if allowance is None else Place(allowance, call, group, record)

    def limit_headers(self, caller: str | None) -> Headers | None:
        """Return what a caller has left of its limits, as headers; None for one without limits."""
        allowance = self._allowances.get(caller)
        return None if allowance is None else allowance.headers(monotonic())

    def capacities(self) -> Iterator[Capacity]:
        """Of every caller with limits, to be shared with other instances."""
        for allowance in self._allowances.values():
            yield allowance.capacity


class Allowance:
    """What one caller may send. Mutable; owned by Callers.

    Like a vendor, it counts a call when it arrives, with the tokens that it may use at most, and
    corrects the tokens when it is over.
    """

    __slots__ = ("_name", "_requests", "_requests_at", "_tokens", "_tokens_at", "capacity")

    def __init__(self, caller: Caller, before: Allowance | None = None) -> None:
        limits = caller.limits
        self.capacity: Capacity = Capacity() if before is None else before.capacity
        self.capacity.change_limits(
            f"caller:{caller.name}", rpm=limits.rpm, tpm=limits.tpm, concurrent=limits.concurrent
        )
        self._name = caller.name
        self._requests = Dimension("requests", limits.rpm) if limits.rpm else None
        self._tokens = Dimension("tokens", limits.tpm) if limits.tpm else None
        # When the last ones were counted.
        self._requests_at: float = -WINDOW_S if before is None else before._requests_at
        self._tokens_at: float = -WINDOW_S if before is None else before._tokens_at

    def take(self, tokens: int, now: float) -> Reservation | None:
        """Count a call if there is room for it."""
        if not self.capacity.has_room(tokens, now):
            return None
        self._requests_at = now
        if tokens:
            self._tokens_at = now
        return self.capacity.reserve(tokens, now)

    def headers(self, now: float) -> Headers:
        """What the caller is told, of the limits that it has."""
        requests_left, tokens_left = self.capacity.left(now)
        told: Headers = []
        if self._requests is not None:
            told += self._requests.headers(requests_left or 0, now - self._requests_at)
        if self._tokens is not None:
            told += self._tokens.headers(tokens_left or 0, now - self._tokens_at)
        return told

    def may_be_granted(self, tokens: int, now: float) -> bool:
        """Whether it is worth waiting a moment for what other instances do not use."""
        stock = self.capacity.quota
        granted = stock is not None and stock.share is None
        return granted and self.capacity.wait_s(tokens, now) <= GRANT_S

    def refusal(self, tokens: int, now: float) -> CallerThrottled:
        """Which limit is in the way, in OpenAI's words, and until when."""
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
            f"Rate limit reached for caller '{self._name}' on {found}. "
            f"Please try again in {wait_s:.3g}s.",
            kind=kind,
            retry_after_s=wait_s,
        )


class Place:
    """One call's share of its caller's limits."""

    __slots__ = ("_allowance", "_record", "_reservation", "_tokens")

    def __init__(self, allowance: Allowance, call: Call, group: Group, record: CallRecord) -> None:
        self._allowance = allowance
        self._tokens = group.tokens_of(call)[0] if allowance.capacity.tpm is not None else 0
        self._record = record

    async def __aenter__(self) -> None:
        allowance, tokens = self._allowance, self._tokens
        now = monotonic()
        reservation = allowance.take(tokens, now)
        if reservation is None and allowance.may_be_granted(tokens, now):
            reservation = await self._wait_for_grant(now)
            self._record.waited_s += monotonic() - now
            now = monotonic()
        self._record.limit_headers = allowance.headers(now)
        if reservation is None:
            raise allowance.refusal(tokens, now)
        self._reservation = reservation

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        capacity, record = self._allowance.capacity, self._record
        now = monotonic()
        if record.attempts == 0:
            capacity.give_back(self._reservation, now)  # no endpoint has heard of it
            return
        used_tokens = None  # an answer that does not tell what it used is counted as reserved
        if record.answer.usage is not None:
            used_tokens = record.answer.usage.input_tokens + record.answer.usage.output_tokens
        elif isinstance(error, GatewayError) and record.answer.first_byte_at is None:
            used_tokens = 0  # refused: it counts as a request, as it does at the vendors
        capacity.settle(self._reservation, used_tokens, now)

    async def _wait_for_grant(self, now: float) -> Reservation | None:
        allowance, tokens, until = self._allowance, self._tokens, now + GRANT_S
        while now < until and allowance.may_be_granted(tokens, now):
            allowance.capacity.note_waiting(tokens)
            await asyncio.sleep(GRANT_POLL_S)
            now = monotonic()
            reservation = allowance.take(tokens, now)
            if reservation is not None:
                return reservation
        return None


class _Open:
    """Nobody counts."""

    __slots__ = ()

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        return None


OPEN = _Open()
