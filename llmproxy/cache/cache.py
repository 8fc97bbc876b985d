"""What was asked before is answered from what is known; what is being asked is asked once.

Only whole answers are kept, and only of calls whose answer depends on nothing but the call
(cache/keys.py). An answer serves both forms, JSON and events, whichever it came in. When no
endpoint can answer, an old one may stand in, if the operator wants that.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING

from llmproxy.cache.answers import AnswerLevels
from llmproxy.cache.cached_answer import CachedAnswer
from llmproxy.cache.coalescing import Ask, Coalescer
from llmproxy.cache.counters import CacheCounters
from llmproxy.cache.lookup import CachePolicy, Lookup, not_cached
from llmproxy.cache.stores.health import StoreCounters
from llmproxy.cache.stores.l2 import L2Store
from llmproxy.cache.stores.memory import MemoryStore
from llmproxy.calls import Call
from llmproxy.config import CacheParams
from llmproxy.errors import GatewayError, NoEndpoint, Overload, UpstreamError
from llmproxy.protocols import Client
from llmproxy.record import CacheResult, CallRecord
from llmproxy.routing import Group
from llmproxy.rules.prices import Prices

if TYPE_CHECKING:
    from llmproxy.shared_state.locks import SharedLocks


class Cache:
    """The step of the story. `memory` and `l2` own the answers; `counters` only ever grow, as do
    `store_counters`: of `l2`, and of what stood in its place.

    `serve` says for whom it is; before that it is for nobody.
    """

    asked: Callable[[Call, Group, CallRecord], Lookup | None]

    def __init__(
        self,
        params: CacheParams,
        memory: MemoryStore,
        *,
        l2: L2Store | None,
        leases: SharedLocks | None,
        counters: CacheCounters,
        store_counters: StoreCounters | None,
    ) -> None:
        self._params = params
        self.memory = memory
        self.l2 = l2
        self.counters = counters
        self.store_counters = store_counters
        self._known = AnswerLevels(memory, l2, counters, fresh_s=params.ttl)
        self.coalescer = Coalescer(self._known, leases=leases)

    def serve(self, questions: CachePolicy, prices: Prices) -> None:
        """From now on it is for these groups and callers, at these prices."""
        self.asked = questions.asked
        self.coalescer.prices = prices

    async def answer(self, asked: Lookup, client: Client, record: CallRecord, ask: Ask) -> None:
        """Answer a call whose question may be known. `ask`: how the endpoints are asked.

        Raises what `ask` raises, and ClientError where the call wants no other answer than one
        that is remembered.
        """
        now = time()
        found = self.memory.get(asked.key, now) if asked.directives.reads else None
        if asked.directives.reads and self.l2 is not None:
            found = await self._known.behind(found, asked, now)
        result = None if found is None else self._good_as(found, asked, now)
        if found and result and self._known.give(found, asked, client, record, result):
            if result is CacheResult.STALE:
                self.coalescer.renew(asked, ask)
            return
        if asked.directives.order == b"only":
            raise not_cached()
        try:
            await self.coalescer.answered(asked, client, record, ask)
        except GatewayError as error:
            if client.started or found is None or not self._may_stand_in(found, error, now):
                raise
            if not self._known.give(found, asked, client, record, CacheResult.STALE):
                raise

    async def purge(self, group: str | None, stored_before: float | None) -> tuple[int, int]:
        """Forget the answers of a group, or of all, stored before a moment (Unix seconds), or ever.

        Returns how many here, and how many behind. Raises StoreError.
        """
        forgotten = self.memory.purge(group, stored_before)
        if self.l2 is None:
            return forgotten, 0
        return forgotten, await self.l2.purge(group, stored_before)

    async def close(self) -> None:
        """Nothing is asked for later use any more."""
        await self.coalescer.close()

    def _good_as(self, found: CachedAnswer, asked: Lookup, now: float) -> CacheResult | None:
        """What an answer may be given as, at once; None if it is too old for that."""
        age_s = now - found.stored_at
        if age_s > asked.directives.max_age_s:
            return None
        if age_s < self._params.ttl:
            return CacheResult.HIT
        return (
            CacheResult.STALE
            if age_s < self._params.ttl + self._params.stale_while_revalidate_s
            else None
        )

    def _may_stand_in(self, found: CachedAnswer, error: GatewayError, now: float) -> bool:
        """Whether an old answer is better than this error: nobody could answer (RFC 5861, 4)."""
        nobody = isinstance(error, UpstreamError | NoEndpoint | Overload)
        if not nobody or (error.status < 500 and error.status != 429):
            return False
        return now - found.stored_at < self._params.ttl + self._params.stale_if_error_s
