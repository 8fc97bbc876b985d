"""What was asked before is answered from what is known; what is being asked is asked once.

Only whole answers are kept, and only of calls whose answer depends on nothing but the call
(rules/caching.py). An answer serves both forms, JSON and events, whichever it came in. When no
endpoint can answer, an old one may stand in, if the operator wants that.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING

from llmproxy.cache.asking import Ask, Asking
from llmproxy.cache.counts import Counts
from llmproxy.cache.known import Known
from llmproxy.cache.question import Asked, Questions, nothing_remembered
from llmproxy.cache.recording import Recorded
from llmproxy.cache.stores.condition import Counts as StoreCounts
from llmproxy.cache.stores.memory import Memory
from llmproxy.cache.stores.second_level import SecondLevel
from llmproxy.calls import Call
from llmproxy.config import CacheParams
from llmproxy.errors import GatewayError, NoEndpoint, Overload, UpstreamError
from llmproxy.protocols import Client
from llmproxy.record import CallRecord
from llmproxy.routing import Group
from llmproxy.rules.prices import Prices

if TYPE_CHECKING:
    from llmproxy.shared_state.locks import SharedLocks


class Cache:
    """The step of the story. `memory` and `second` own the answers; `counts` only ever grow, as do
    `store_counts`: of `second`, and of what stood in its place.

    `serve` says for whom it is; before that it is for nobody.
    """

    asked: Callable[[Call, Group, CallRecord], Asked | None]

    def __init__(
        self,
        params: CacheParams,
        memory: Memory,
        *,
        second: SecondLevel | None,
        leases: SharedLocks | None,
        counts: Counts,
        store_counts: StoreCounts | None,
    ) -> None:
        self._params = params
        self.memory = memory
        self.second = second
        self.counts = counts
        self.store_counts = store_counts
        self._known = Known(memory, second, counts, fresh_s=params.ttl)
        self.asking = Asking(self._known, leases=leases)

    def serve(self, questions: Questions, prices: Prices) -> None:
        """From now on it is for these groups and callers, at these prices."""
        self.asked = questions.asked
        self.asking.prices = prices

    async def answer(self, asked: Asked, client: Client, record: CallRecord, ask: Ask) -> None:
        """Answer a call whose question may be known. `ask`: how the endpoints are asked.

        Raises what `ask` raises, and ClientError where the call wants no other answer than one
        that is remembered.
        """
        now = time()
        found = self.memory.get(asked.key, now) if asked.wish.reads else None
        if asked.wish.reads and self.second is not None:
            found = await self._known.behind(found, asked, now)
        word = None if found is None else self._good_as(found, asked, now)
        if found and word and self._known.give(found, asked, client, record, word):
            if word == "stale":
                self.asking.renew(asked, ask)
            return
        if asked.wish.order == b"only":
            raise nothing_remembered()
        try:
            await self.asking.answered(asked, client, record, ask)
        except GatewayError as error:
            if client.started or found is None or not self._may_stand_in(found, error, now):
                raise
            if not self._known.give(found, asked, client, record, "stale"):
                raise

    async def purge(self, group: str | None, stored_before: float | None) -> tuple[int, int]:
        """Forget the answers of a group, or of all, stored before a moment (Unix seconds), or ever.

        Returns how many here, and how many behind. Raises StoreError.
        """
        forgotten = self.memory.purge(group, stored_before)
        if self.second is None:
            return forgotten, 0
        return forgotten, await self.second.purge(group, stored_before)

    async def close(self) -> None:
        """Nothing is asked for later use any more."""
        await self.asking.close()

    def _good_as(self, found: Recorded, asked: Asked, now: float) -> str | None:
        """What an answer may be given as, at once; None if it is too old for that."""
        age_s = now - found.stored_at
        if age_s > asked.wish.max_age_s:
            return None
        if age_s < self._params.ttl:
            return "hit"
        return "stale" if age_s < self._params.ttl + self._params.stale_while_revalidate_s else None

    def _may_stand_in(self, found: Recorded, error: GatewayError, now: float) -> bool:
        """Whether an old answer is better than this error: nobody could answer (RFC 5861, 4)."""
        nobody = isinstance(error, UpstreamError | NoEndpoint | Overload)
        if not nobody or (error.status < 500 and error.status != 429):
            return False
        return now - found.stored_at < self._params.ttl + self._params.stale_if_error_s
