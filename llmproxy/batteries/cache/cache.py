"""The answer cache: it answers calls from earlier answers, and sends identical calls only once.

Only complete answers are kept, and only of calls whose answer depends on nothing but the call
(keys.py). An answer serves JSON and streams alike, whichever it was. If no endpoint can answer, an
old answer may take its place, if the operator allows that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING

from llmproxy.batteries.cache.answers import AnswerLevels, CacheCounters
from llmproxy.batteries.cache.cached_answer import CachedAnswer
from llmproxy.batteries.cache.coalescing import Coalescer
from llmproxy.batteries.cache.lookup import CachePolicy, Lookup, not_cached
from llmproxy.batteries.cache.stores.base import StoreCounters
from llmproxy.batteries.cache.stores.l2 import L2Store
from llmproxy.batteries.cache.stores.memory import MemoryStore
from llmproxy.batteries.settings import CacheParams
from llmproxy.calls import Call
from llmproxy.config import Config
from llmproxy.errors import GatewayError, NoEndpoint, Overload, UpstreamError
from llmproxy.protocols import Ask, Client, Prices
from llmproxy.record import CacheResult, CallRecord
from llmproxy.routing import Group

if TYPE_CHECKING:
    from llmproxy.batteries.shared_state.locks import SharedLocks


class TwoLevelCache:
    """The cache of one config (an `AnswerCache`); call `serve` before the first lookup.

    `memory`, `l2`: the two levels of answers. `counters`: of this process; `store_counters`: of its
    stores behind the memory, this one and earlier ones. Both only ever grow.
    """

    lookup: Callable[[Call, Group, CallRecord], Lookup | None]

    def __init__(
        self,
        params: CacheParams,
        memory: MemoryStore,
        *,
        l2: L2Store | None,
        locks: SharedLocks | None,
        counters: CacheCounters,
        store_counters: StoreCounters | None,
    ) -> None:
        self._params = params
        self.memory = memory
        self.l2 = l2
        self.counters = counters
        self.store_counters = store_counters
        self._levels = AnswerLevels(memory, l2, counters, fresh_s=params.ttl)
        self.coalescer = Coalescer(self._levels, locks=locks)

    def serve(self, config: Config, prices: Prices) -> None:
        """Serve the groups and callers of a config from now on. `prices`: for what was saved."""
        self.lookup = CachePolicy(config).lookup
        self.coalescer.prices = prices

    async def answer(self, lookup: Lookup, client: Client, record: CallRecord, ask: Ask) -> None:
        """Answer a call from the cache if possible, otherwise by `ask`.

        Raises what `ask` raises, and ClientError for the directive `only` without a cached answer.
        """
        now = time()
        found = self.memory.get(lookup.key, now) if lookup.directives.reads else None
        if lookup.directives.reads and self.l2 is not None:
            found = await self._levels.find_in_l2(found, lookup, now)
        result = None if found is None else self._result_of(found, lookup, now)
        if found and result and self._levels.serve(found, lookup, client, record, result):
            if result is CacheResult.STALE:
                self.coalescer.renew(lookup, ask)
            return
        if lookup.directives.directive == b"only":
            raise not_cached()
        try:
            await self.coalescer.answer(lookup, client, record, ask)
        except GatewayError as error:
            if client.started or found is None or not self._may_replace(error, found, now):
                raise
            if not self._levels.serve(found, lookup, client, record, CacheResult.STALE):
                raise

    async def purge(self, group: str | None, stored_before: float | None) -> tuple[int, int]:
        """Remove the answers of one group or all, stored before a Unix time or all.

        Returns how many were removed from memory and from the store. Raises StoreError.
        """
        removed = self.memory.purge(group, stored_before)
        if self.l2 is None:
            return removed, 0
        return removed, await self.l2.purge(group, stored_before)

    @property
    def in_background(self) -> frozenset[asyncio.Task[None]]:
        """The tasks that renew stale answers."""
        return self.coalescer.in_background

    async def close(self) -> None:
        """Cancel the renewals of stale answers, and calls that go on without their client."""
        await self.coalescer.close()

    def _result_of(self, found: CachedAnswer, lookup: Lookup, now: float) -> CacheResult | None:
        """Return what a cached answer is served as; None if it is too old."""
        age_s = now - found.stored_at
        if age_s > lookup.directives.max_age_s:
            return None
        if age_s < self._params.ttl:
            return CacheResult.HIT
        is_usable = age_s < self._params.ttl + self._params.stale_while_revalidate_s
        return CacheResult.STALE if is_usable else None

    def _may_replace(self, error: GatewayError, found: CachedAnswer, now: float) -> bool:
        """Whether to serve an old answer in place of an error of the endpoints (RFC 5861, 4)."""
        no_answer = isinstance(error, UpstreamError | NoEndpoint | Overload)
        if not no_answer or (error.status < 500 and error.status != 429):
            return False
        return now - found.stored_at < self._params.ttl + self._params.stale_if_error_s
