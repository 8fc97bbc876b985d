"""Clients without keys of their own: each may use every group, and none has limits."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from llmproxy.calls import Call, Headers
from llmproxy.record import CallRecord
from llmproxy.routing import Group, Pool
from llmproxy.rules.capacity import Capacity

NO_LIMITS = nullcontext()


class AnonymousClients:
    """What the core serves without the package of callers. `pool`: all groups."""

    __slots__ = ("_pool",)

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def identify(self, headers: Headers) -> str | None:
        """Return None: no client has a name."""
        del headers
        return None

    def pool_of(self, caller: str | None) -> Pool:
        """Return all groups."""
        del caller
        return self._pool

    def admit(
        self, call: Call, group: Group, record: CallRecord
    ) -> AbstractAsyncContextManager[None]:
        """Return a context manager that does nothing."""
        del call, group, record
        return NO_LIMITS

    def limit_headers(self, call: Call) -> Headers | None:
        """Return None: there are no limits to report."""
        del call
        return None

    def capacities(self) -> tuple[Capacity, ...]:
        """Return nothing: there are no limits to share."""
        return ()
