"""The installed batteries, connected to the core: one function for each.

A battery is an optional package, imported only here. If a deployment leaves one out, a config that
uses it is refused (`Batteries.check`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from llmproxy.app import Habits, Upgrade
from llmproxy.composition.packages import has, needs
from llmproxy.composition.preloading import imports_for_calls
from llmproxy.composition.store import StoreParts, store_parts
from llmproxy.config import Config, GeneralSettings
from llmproxy.protocols import (
    Admission,
    AffinityMaker,
    AnswerCaches,
    ASGIApp,
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
    TelemetryOpener,
    TlsSessions,
    TokenEstimates,
    Tunnels,
    WebPages,
)
from llmproxy.providers.base import Endpoints
from llmproxy.routing import Pool
from llmproxy.routing.strategies import Strategies
from llmproxy.runtime import LiveConfig
from llmproxy.serving import Batteries, HealthCheckOpener

if TYPE_CHECKING:
    from fastapi import APIRouter

    from llmproxy.batteries.admin import Sources, WorkerSlot
    from llmproxy.batteries.front import Front
    from llmproxy.batteries.reload import Reloader


def installed(
    *, log_to: int | None = None, slot: WorkerSlot | None = None, reloader: Reloader | None = None
) -> Batteries:
    """Return new batteries. `log_to`: the access log's descriptor. `slot`: a worker's counters."""
    beside, front = store_parts(), _front(reloader)
    return Batteries(
        caches=_caches(),
        connector=_connector(),
        callers=_callers(beside),
        price_list=_price_list(),
        pricing=_pricing(),
        cost_headers=_cost_headers(),
        parameters=_parameters(),
        translation=_translation(),
        credentials=_credentials(),
        form_reader=_form_reader(),
        labels=None if beside.store is None else _labels(),
        read_answer=_read_answer(),
        token_estimates=_token_estimates(),
        usage_of_streams=_usage_of_streams(),
        meter=_meter(),
        masking=_masking(),
        resolver=_resolver(),
        tls_sessions=_tls_sessions(),
        tunnels=_tunnels(),
        hedging=_hedging(),
        strategies=_strategies(),
        affinity=_affinity(),
        fallbacks=_fallbacks(),
        admission=_admission(),
        heartbeat=_heartbeat(),
        owners=_owners(),
        budgets=beside.budgets,
        open_store=beside.opener,
        alerts=beside.alerts,
        oidc=beside.oidc,
        telemetry=_telemetry(log_to, slot),
        web_pages=_web_pages(),
        websockets=_websockets(),
        litellm_habits=_litellm_habits(),
        open_admin=_opening_of_admin(slot, reloader, beside, front),
        acquire=None if reloader is None else reloader.shared.acquire,
        reload=None if reloader is None else reloader.serve,
        health_checks=_health_checks(),
        warm_connections=_warm_connections(),
        service_manager=None if slot is not None else _service_manager(reloader),
        imports=imports_for_calls,
        front=front,
    )


# One function for each battery. It imports the battery itself: the package may not be there.


@needs("health_checks")
def _health_checks() -> HealthCheckOpener:
    from llmproxy.batteries.health_checks import open_health_checks  # noqa: PLC0415

    return open_health_checks


@needs("warm_connections")
def _warm_connections() -> HealthCheckOpener:
    from llmproxy.batteries.warm_connections import open_warm_connections  # noqa: PLC0415

    return open_warm_connections


@needs("systemd")
def _service_manager(reloader: Reloader | None) -> HealthCheckOpener:
    from llmproxy.batteries.systemd import Systemd  # noqa: PLC0415

    on_hangup = None if reloader is None else reloader.on_hangup
    return lambda live: Systemd(live.process.environ).watch(live, on_hangup)


@needs("front", "tls")
def _front(reloader: Reloader | None) -> Front:
    from llmproxy.batteries.front import Front  # noqa: PLC0415

    return Front(None if reloader is None else reloader.on_hangup)


@needs("callers")
def _callers(beside: StoreParts) -> CallerSource:
    from llmproxy.batteries.callers import ConfiguredCallers  # noqa: PLC0415

    keys, oidc = beside.keys, beside.oidc
    known = None if keys is None else keys.known
    identities = None if oidc is None else oidc.identities
    sources = [source for source in (known, identities) if source is not None]
    return ConfiguredCallers(sources, known)


@needs("price_list")
def _price_list() -> PriceList:
    from llmproxy.batteries.price_list import with_list_prices  # noqa: PLC0415

    return with_list_prices


@needs("spend")
def _pricing() -> Pricing:
    from llmproxy.batteries.spend import pricing  # noqa: PLC0415

    return pricing


@needs("spend")
def _cost_headers() -> Callable[[GeneralSettings, PriceCall], CostHeaders | None]:
    from llmproxy.batteries.spend import cost_headers  # noqa: PLC0415

    return cost_headers


@needs("parameters")
def _parameters() -> ParameterEdits:
    from llmproxy.batteries.parameters import with_edits  # noqa: PLC0415

    return with_edits


@needs("translation", "answer_checks")  # an answer must be one to be translated
def _translation() -> ParameterEdits:
    from llmproxy.batteries.translation import with_translators  # noqa: PLC0415

    if not has("stream_usage"):
        return with_translators
    from llmproxy.batteries.stream_usage import with_asking  # noqa: PLC0415

    def prepared(config: Config, endpoints: Endpoints) -> Endpoints:
        return with_asking(config, with_translators(config, endpoints))

    return prepared


@needs("credentials")
def _credentials() -> Credentials:
    from llmproxy.batteries.credentials import CloudCredentials  # noqa: PLC0415

    return CloudCredentials()


@needs("hedging")
def _hedging() -> Callable[[], Hedging]:
    from llmproxy.batteries.hedging import Hedger  # noqa: PLC0415

    return Hedger()


@needs("affinity")
def _affinity() -> AffinityMaker:
    from llmproxy.batteries.affinity import affinity_of  # noqa: PLC0415

    return affinity_of


@needs("strategies")
def _strategies() -> Strategies:
    from llmproxy.batteries.strategies import ALL_STRATEGIES  # noqa: PLC0415

    return ALL_STRATEGIES


@needs("fallbacks")
def _fallbacks() -> Fallbacks:
    from llmproxy.batteries.fallbacks import with_fallbacks  # noqa: PLC0415

    return with_fallbacks


@needs("admission")
def _admission() -> Callable[[], Admission]:
    from llmproxy.batteries.admission import BoundedAdmission  # noqa: PLC0415

    return BoundedAdmission


@needs("resolver")
def _resolver() -> Callable[[], Resolver]:
    from llmproxy.batteries.resolver import CachingResolver  # noqa: PLC0415

    return CachingResolver


@needs("tls_sessions")
def _tls_sessions() -> Callable[[], TlsSessions]:
    from llmproxy.batteries.tls_sessions import LatestSessions  # noqa: PLC0415

    return LatestSessions


@needs("tunnel")
def _tunnels() -> Callable[[Mapping[str, str]], Tunnels]:
    from llmproxy.batteries.tunnel import ProxyTunnels  # noqa: PLC0415

    return ProxyTunnels


@needs("masking")
def _masking() -> Masking:
    from llmproxy.batteries.masking import EndpointSecrets  # noqa: PLC0415

    return EndpointSecrets()


@needs("signs_of_life")
def _heartbeat() -> Callable[[float | None], Heartbeat]:
    from llmproxy.batteries.signs_of_life import SignsOfLife  # noqa: PLC0415

    return SignsOfLife


@needs("owners")
def _owners() -> OwnerSource:
    from llmproxy.batteries.owners import OwnerRegistries  # noqa: PLC0415

    return OwnerRegistries()


@needs("web_pages")
def _web_pages() -> WebPages:
    from llmproxy.batteries.web_pages import OriginChecks  # noqa: PLC0415

    return OriginChecks()


@needs("websockets")
def _websockets() -> Upgrade:
    from llmproxy.batteries.websockets import WebSockets  # noqa: PLC0415

    return WebSockets()


@needs("litellm_habits", "parameters")  # members are taken out of bodies as endpoints' edits do it
def _litellm_habits() -> Habits:
    from llmproxy.batteries.litellm_habits import litellm_habits  # noqa: PLC0415

    return litellm_habits


@needs("litellm_habits", "parameters")
def _litellm_routes() -> Callable[[LiveConfig, Sources], APIRouter]:
    from llmproxy.batteries.litellm_habits import litellm_routes  # noqa: PLC0415

    return litellm_routes


@needs("callers")
def _labels() -> Callable[[GeneralSettings], ReadLabels | None]:
    from llmproxy.batteries.callers import LabelReader  # noqa: PLC0415

    return LabelReader().wanted


@needs("uploads")
def _form_reader() -> ReadForm:
    from llmproxy.batteries.uploads import read_form  # noqa: PLC0415

    return read_form


@needs("answer_checks")
def _read_answer() -> ReadAnswer:
    from llmproxy.batteries.answer_checks import read_answer  # noqa: PLC0415

    return read_answer


@needs("token_estimates")
def _token_estimates() -> Callable[[], TokenEstimates]:
    from llmproxy.batteries.token_estimates import LearnedEstimates  # noqa: PLC0415

    return LearnedEstimates


@needs("token_estimates")
def _usage_of_streams() -> Callable[[Pool], StreamUsage]:
    from llmproxy.batteries.token_estimates import usage_of_streams  # noqa: PLC0415

    return usage_of_streams


@needs("long_answers")
def _meter() -> MeterAnswer:
    from llmproxy.batteries.long_answers import metered  # noqa: PLC0415

    return metered


@needs("cache")
def _caches() -> AnswerCaches:
    from llmproxy.batteries.cache import Caches  # noqa: PLC0415

    return Caches()


@needs("shared_state", "masking")  # a server's errors may quote a password
def _connector() -> PeerConnector:
    from llmproxy.batteries.shared_state import Connector  # noqa: PLC0415

    return Connector()


@needs("telemetry", "tunnel")  # traces go through a proxy as calls do
def _telemetry(log_to: int | None, slot: WorkerSlot | None) -> TelemetryOpener:
    from llmproxy.batteries.telemetry import Exporters, write_lines_to, write_to  # noqa: PLC0415

    # Workers write to the same descriptor: their lines must not mix.
    writer = write_to if slot is None else write_lines_to
    return Exporters(None if log_to is None else writer(log_to))


@needs("admin", "cache", "telemetry")  # it reads the counters of both
def _opening_of_admin(
    slot: WorkerSlot | None,
    reloader: Reloader | None,
    beside: StoreParts,
    front: Front | None,
) -> Callable[[LiveConfig, Any], AbstractAsyncContextManager[ASGIApp]]:
    from llmproxy.batteries.admin import Sources, open_admin  # noqa: PLC0415

    sources = Sources(
        reloader=reloader,
        keys=beside.keys,
        store=beside.store,
        budgets=beside.budgets,
        oidc=beside.oidc,
        habits=_litellm_routes(),
        front=None if front is None else front.status,
    )
    return partial(open_admin, slot=slot, sources=sources)
