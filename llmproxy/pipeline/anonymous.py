"""Clients without keys of their own: each may use every group, and none has limits."""

from __future__ import annotations

from llmproxy.calls import Call, Headers
from llmproxy.protocols import Admit
from llmproxy.record import RequestSummary
from llmproxy.routing import Pool
from llmproxy.rules.capacity import Capacity


class AnonymousClients:
    """What the core serves without the package of callers. `pool`: all groups."""

    __slots__ = ("_pool",)

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def identify(
        self, headers: Headers, summary: RequestSummary, proven_names: tuple[str, ...] = ()
    ) -> None:
        """Note nobody: no client has a name."""

    def pool_of(self, caller: str | None) -> Pool:
        """Return all groups."""
        del caller
        return self._pool

    def limiting(self, admit: Admit) -> Admit:
        """Return what admits calls: there are no limits."""
        return admit

    def limit_headers(self, call: Call) -> Headers | None:
        """Return None: there are no limits to report."""
        del call
        return None

    def capacities(self) -> tuple[Capacity, ...]:
        """Return nothing: there are no limits to share."""
        return ()
