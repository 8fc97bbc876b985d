"""What outlives a config: waiting calls, places in flight, what other instances report."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Any

from llmproxy.config import GeneralSettings
from llmproxy.events import EndpointChange, Listener
from llmproxy.pipeline.admission import Admission
from llmproxy.pipeline.failover.waiting import WaitingRooms
from llmproxy.protocols import (
    AnswerCaches,
    CallerSource,
    Credentials,
    Heartbeat,
    Hedging,
    Masking,
    PeerConnector,
    PriceList,
    ReadForm,
    TokenEstimates,
    Tunnels,
)
from llmproxy.routing import Pool

MAX_EARLY = 1_000  # instances with other configs report much that this one never serves


# Enters a context manager for a user that exits it. The key is a kind and the settings that it is
# opened with: configs that follow each other may share what has the same key.
Acquire = Callable[
    [AsyncExitStack, tuple[str, object], AbstractAsyncContextManager[Any]], Awaitable[Any]
]


async def enter(
    user: AsyncExitStack, _key: tuple[str, object], opening: AbstractAsyncContextManager[Any]
) -> Any:
    """Open what a config needs, for it alone."""
    return await user.enter_async_context(opening)


@dataclass(frozen=True, slots=True)
class RuntimeBatteries:
    """The batteries that a Runtime works with; None = not installed."""

    caches: AnswerCaches | None = None
    connector: PeerConnector | None = None
    callers: CallerSource | None = None
    price_list: PriceList | None = None
    credentials: Callable[[], Credentials] | None = None
    form_reader: ReadForm | None = None
    token_estimates: Callable[[], TokenEstimates] | None = None
    masking: Masking | None = None
    tunnels: Callable[[Mapping[str, str]], Tunnels] | None = None
    hedging: Callable[[], Hedging] | None = None
    heartbeat: Callable[[float | None], Heartbeat] | None = None
    acquire: Acquire | None = None


class ProcessState:
    """What each Runtime inherits from the one before. `pool` is the current one."""

    def __init__(
        self,
        settings: GeneralSettings,
        *,
        environ: Mapping[str, str],
        listener: Listener,
        batteries: RuntimeBatteries,
    ) -> None:
        self.environ = environ
        self.listener = listener
        self.batteries = batteries
        self.acquire = batteries.acquire or enter
        self.rooms = WaitingRooms()
        self.admission = Admission(settings)
        self.pool = Pool({})
        # States of endpoints that another instance has and this one does not serve (yet).
        self._early: deque[tuple[str, str, EndpointChange, float | None, float]] = deque(
            maxlen=MAX_EARLY
        )

    def apply_state(
        self, group: str, endpoint: str, change: EndpointChange, for_s: float | None, now: float
    ) -> None:
        """Apply a change of an endpoint that another instance reports. If the group is not in the
        config, it may be in the next one."""
        if group in self.pool.groups:
            self.pool.apply_state(group, endpoint, change, for_s, now)
        else:
            self._early.append((group, endpoint, change, for_s, now))

    def install(self, settings: GeneralSettings, pool: Pool) -> None:
        """Make the pool of another config the current one."""
        self.pool = pool
        self.admission.limit_to(settings)
        if self.batteries.caches is not None:
            self.batteries.caches.install(settings)
        self.rooms.forget_others(frozenset(pool.groups.values()))
        early, now = tuple(self._early), monotonic()
        self._early.clear()
        for group, endpoint, change, for_s, reported_at in early:
            left_s = None if for_s is None else for_s - (now - reported_at)
            if left_s is None or left_s > 0:
                self.apply_state(group, endpoint, change, left_s, now)
