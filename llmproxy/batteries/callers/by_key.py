"""The callers of a config: identification, the groups each may use, and their limits.

A caller is identified by the SHA-256 of its key; the key itself is neither kept nor passed on.
Without configured callers, every client may use everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from hmac import compare_digest
from time import monotonic

from llmproxy.batteries.callers.limits import CallerLimits, CallerPermit
from llmproxy.calls import Call, Headers
from llmproxy.config import Caller
from llmproxy.errors import ClientError
from llmproxy.protocols import Admit
from llmproxy.providers.base import BARE_KEYS
from llmproxy.record import CallRecord
from llmproxy.routing import Group, Pool
from llmproxy.rules.capacity import Capacity

UNKNOWN = (b"", "")  # no digest equals b""


class ConfiguredCallers:
    """Makes the callers of each config. Usage is carried over to the caller of the same name."""

    def __init__(self) -> None:
        self._limits: Mapping[str | None, CallerLimits] = {}

    def serve(self, callers: Sequence[Caller], pool: Pool) -> CallersByKey:
        """Return the callers of a config that now takes effect. `pool`: all groups."""
        made = CallersByKey(callers, pool, self._limits)
        self._limits = made.limits
        return made


def digest_of(caller: Caller) -> bytes:
    """Return the SHA-256 of a caller's key. Empty if it has no key, and so equal to no digest."""
    if caller.key is not None:
        return sha256(caller.key.get_secret_value().encode()).digest()
    return bytes.fromhex(caller.key_sha256 or "")


class CallersByKey:
    """The callers of one config. `before`: the limits of the config before it, by caller name."""

    __slots__ = ("_by_digest", "_pool", "_pools", "limits")

    def __init__(
        self,
        callers: Iterable[Caller],
        pool: Pool,
        before: Mapping[str | None, CallerLimits],
    ) -> None:
        self.limits: dict[str | None, CallerLimits] = {}
        self._pool = pool
        self._pools: dict[str | None, Pool] = {}
        self._by_digest: dict[bytes, tuple[bytes, str]] = {}
        for caller in callers:
            digest = digest_of(caller)
            self._by_digest[digest] = (digest, caller.name)
            if caller.groups is not None or caller.aliases:
                groups = pool.groups if caller.groups is None else caller.groups
                self._pools[caller.name] = pool.limited_to(groups, caller.aliases)
            limits = caller.limits
            if limits.rpm or limits.tpm or limits.concurrent:
                self.limits[caller.name] = CallerLimits(caller, before.get(caller.name))
            if limits.tpm:
                for group in pool.groups.values():
                    group.estimates.needed = True

    def identify(self, headers: Headers) -> str | None:
        """Return the name of the caller that sent a request; None without configured callers.

        Raises the same ClientError for a missing key and for an unknown one.
        """
        if not self._by_digest:
            return None
        for header, value in headers:
            if header == b"authorization":
                scheme, _, key = value.partition(b" ")
                if scheme.lower() == b"bearer" and (name := self._name_of(key)):
                    return name
            elif header in BARE_KEYS and (name := self._name_of(value)):
                return name
        raise ClientError(
            "The request has no valid API key for this proxy. Send the key that its operator gave "
            "you as 'Authorization: Bearer KEY', as 'api-key' or as 'x-api-key'.",
            status=401,
            code="invalid_api_key",
        )

    def _name_of(self, key: bytes) -> str | None:
        digest = sha256(key.strip()).digest()
        known, name = self._by_digest.get(digest, UNKNOWN)
        return name if compare_digest(digest, known) else None

    def pool_of(self, caller: str | None) -> Pool:
        """Return the groups that a caller may use."""
        return self._pools.get(caller, self._pool)

    def limiting(self, admit: Admit) -> Admit:
        """Return what counts calls against their callers' limits, and then admits them by `admit`.

        It raises CallerThrottled if there is no room.
        """
        if not self.limits:
            return admit

        def limited(
            call: Call, group: Group, record: CallRecord
        ) -> AbstractAsyncContextManager[None]:
            limits, admitted = self.limits.get(call.caller), admit(call, group, record)
            return (
                admitted if limits is None else CallerPermit(limits, call, group, record, admitted)
            )

        return limited

    def limit_headers(self, call: Call) -> Headers | None:
        """Return what a caller has left of its limits, in its dialect; None without limits."""
        limits = self.limits.get(call.caller)
        return None if limits is None else limits.headers(call.route.dialect, monotonic())

    def capacities(self) -> Iterator[Capacity]:
        """Yield the capacity of each caller with limits; instances share them."""
        for limits in self.limits.values():
            yield limits.capacity
