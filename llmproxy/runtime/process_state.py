"""What outlives every config: made once for a process, and taken over by one Runtime after the
other. So no call that waits is forgotten, and no counter falls."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from time import monotonic

from llmproxy.cache.answers import CacheCounters
from llmproxy.cache.stores.base import StoreCounters
from llmproxy.cache.stores.memory import MemoryStore
from llmproxy.config import CacheParams, GeneralSettings
from llmproxy.events import Listener
from llmproxy.pipeline.admission import Admission
from llmproxy.pipeline.callers import Callers
from llmproxy.pipeline.failover.waiting import WaitingRooms
from llmproxy.routing import Pool
from llmproxy.runtime.shared_resources import SharedResources

Heard = tuple[str, str, str, float | None, float]  # what `Pool.hear` takes
MAX_EARLY = 1_000  # instances with other configs tell much that is never ours


class ProcessState:
    """Owns what is named here. `pool` and `callers` are those of the config that is served."""

    def __init__(
        self, settings: GeneralSettings, *, environ: Mapping[str, str], listener: Listener
    ) -> None:
        self.environ = environ
        self.listener = listener
        self.shared = SharedResources()
        self.rooms = WaitingRooms()
        self.admission = Admission(settings)
        params = settings.cache_params
        self.memory = MemoryStore(max_bytes=params.max_bytes, keep_s=keep_s(params))
        self.cache_counters = CacheCounters()
        self.store_counters: StoreCounters | None = None  # until there is a store
        self.pool = Pool({})
        self._early: deque[Heard] = deque(maxlen=MAX_EARLY)
        self.callers = Callers((), self.pool)

    def hear(self, group: str, endpoint: str, state: str, for_s: float | None, now: float) -> None:
        """News of another instance. What is not in the config yet may be in the next one."""
        if group in self.pool.groups:
            self.pool.hear(group, endpoint, state, for_s, now)
        else:
            self._early.append((group, endpoint, state, for_s, now))

    def adopt(self, settings: GeneralSettings, pool: Pool, callers: Callers) -> None:
        """Another config is served."""
        self.pool, self.callers = pool, callers
        self.admission.limit_to(settings)
        params = settings.cache_params
        self.memory.limit_to(max_bytes=params.max_bytes, keep_s=keep_s(params))
        if not settings.cache:
            self.memory.purge(None, None)
        self.rooms.forget_others(frozenset(pool.groups.values()))
        early, now = tuple(self._early), monotonic()
        self._early.clear()
        for group, endpoint, state, for_s, heard_at in early:
            left_s = None if for_s is None else for_s - (now - heard_at)
            if left_s is None or left_s > 0:
                self.hear(group, endpoint, state, left_s, now)


def keep_s(params: CacheParams) -> float:
    """For how many seconds an answer may be of any use."""
    return params.ttl + max(params.stale_if_error_s, params.stale_while_revalidate_s)
