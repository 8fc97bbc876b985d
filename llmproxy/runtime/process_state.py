"""What outlives a config: waiting calls, places in flight, what other instances report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

from llmproxy.config import Config, GeneralSettings
from llmproxy.events import Listener
from llmproxy.operations.answers import take_as_answer
from llmproxy.pipeline.failover.waiting import WaitingRooms
from llmproxy.pipeline.unbounded import UnboundedAdmission
from llmproxy.protocols import (
    Admission,
    AffinityMaker,
    AnswerCaches,
    BudgetSource,
    CallerSource,
    CostHeaders,
    Credentials,
    Fallbacks,
    Heartbeat,
    Hedging,
    Masking,
    MeterAnswer,
    OwnerSource,
    ParameterEdits,
    PeerConnector,
    PriceCall,
    PriceList,
    Pricing,
    ReadAnswer,
    ReadForm,
    ReadLabels,
    Resolver,
    StreamUsage,
    TlsSessions,
    TokenEstimates,
    Tunnels,
)
from llmproxy.routing import Pool
from llmproxy.routing.strategies import Strategies

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
    parameters: ParameterEdits | None = None
    translation: ParameterEdits | None = None
    credentials: Credentials | None = None
    form_reader: ReadForm | None = None
    labels: Callable[[GeneralSettings], ReadLabels | None] | None = None
    token_estimates: Callable[[], TokenEstimates] | None = None
    usage_of_streams: Callable[[Pool], StreamUsage] | None = None
    meter: MeterAnswer | None = None
    masking: Masking | None = None
    resolver: Callable[[], Resolver] | None = None
    read_answer: ReadAnswer | None = None
    pricing: Pricing | None = None
    cost_headers: Callable[[GeneralSettings, PriceCall], CostHeaders | None] | None = None
    tls_sessions: Callable[[], TlsSessions] | None = None
    tunnels: Callable[[Mapping[str, str]], Tunnels] | None = None
    hedging: Callable[[], Hedging] | None = None
    strategies: Strategies | None = None
    affinity: AffinityMaker | None = None
    fallbacks: Fallbacks | None = None
    admission: Callable[[], Admission] | None = None
    heartbeat: Callable[[float | None], Heartbeat] | None = None
    owners: OwnerSource | None = None
    budgets: BudgetSource | None = None
    acquire: Acquire | None = None

    def check(self, config: Config) -> None:
        """Raise ConfigError for every part that a config needs and that is not installed."""


class ProcessState:
    """What each Runtime inherits from the one before."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        listener: Listener,
        batteries: RuntimeBatteries,
    ) -> None:
        self.environ = environ
        self.listener = listener
        self.batteries = batteries
        self.acquire = batteries.acquire or enter
        self.read_answer = batteries.read_answer or take_as_answer
        self.rooms = WaitingRooms()
        self.admission: Admission = UnboundedAdmission()
        if batteries.admission is not None:
            self.admission = batteries.admission()

    def install(self, settings: GeneralSettings, pool: Pool) -> None:
        """Adopt another config, whose pool is served from now on."""
        self.admission.limit_to(settings)
        if self.batteries.caches is not None:
            self.batteries.caches.install(settings)
        self.rooms.forget_others(frozenset(pool.groups.values()))
