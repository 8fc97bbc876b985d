"""The admin application (FastAPI). If it is slow or broken, calls are unaffected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI, Response

import llmproxy
from llmproxy.batteries.admin.api.actions import action_routes
from llmproxy.batteries.admin.api.audit import audit_routes
from llmproxy.batteries.admin.api.cache import cache_routes
from llmproxy.batteries.admin.api.calls import call_routes
from llmproxy.batteries.admin.api.events import event_routes
from llmproxy.batteries.admin.api.explain import explain_routes
from llmproxy.batteries.admin.api.health import health_routes
from llmproxy.batteries.admin.api.spend import spend_routes
from llmproxy.batteries.admin.api.state import state_routes
from llmproxy.batteries.admin.api_page import api_page_routes
from llmproxy.batteries.admin.auth import by_method, metrics_reader, session_routes
from llmproxy.batteries.admin.guessing import WrongKeys
from llmproxy.batteries.admin.malformed import answer_malformed, without_nul
from llmproxy.batteries.admin.pages import SecurityHeaders, dashboard_routes
from llmproxy.batteries.admin.sources import Sources
from llmproxy.batteries.admin.stats.metrics.page import CONTENT_TYPE, metrics_text
from llmproxy.batteries.admin.stats.sampler import Sampler
from llmproxy.batteries.admin.stats.state import StateCache
from llmproxy.batteries.settings import full

if TYPE_CHECKING:
    from llmproxy.batteries.budgets import Budgets
    from llmproxy.batteries.keys import Keys
    from llmproxy.runtime import LiveConfig


ROOT = {
    "name": "LLMProxy",
    "version": llmproxy.__version__,
    "api": "/v1",
    "health": "/health",
    "metrics": "/metrics",
    "admin": "/admin",
    "dashboard": "/dashboard",
    "docs": "/docs",
}

CHECKS = [Depends(by_method), Depends(without_nul)]


def make_admin(
    live: LiveConfig,
    sampler: Sampler,
    sources: Sources,
) -> FastAPI:
    """Return the admin application of one process."""
    documented = full(live.runtime.config.general_settings).expose_docs
    app = FastAPI(
        title="LLMProxy",
        version=llmproxy.__version__,
        openapi_url="/openapi.json" if documented else None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.live, app.state.audit, app.state.wrong_keys = live, sources.audit, WrongKeys()
    app.add_middleware(SecurityHeaders)
    answer_malformed(app)
    reloader, keys, store = sources.reloader, sources.keys, sources.store
    state_cache = StateCache(live, sampler, reloader)

    @app.head("/", include_in_schema=False)  # Claude Code looks whether its base URL is there
    @app.get("/", include_in_schema=False)
    async def root() -> dict[str, str]:
        return ROOT

    _add_metrics(app, sampler, state_cache, sources.budgets)
    app.include_router(health_routes(live, reloader, sampler.collector))
    app.include_router(session_routes(live))
    if sources.oidc is not None:
        from llmproxy.batteries.admin.sign_in import sign_in_routes  # noqa: PLC0415

        app.include_router(sign_in_routes(live, sources.oidc, keys))
    app.include_router(dashboard_routes())
    if documented:
        app.include_router(api_page_routes(app))
    for routes in (
        state_routes(sampler, state_cache, store),
        call_routes(sampler.collector, store),
        explain_routes(live),
        event_routes(live, sampler, state_cache),
        action_routes(live, state_cache, reloader),
        cache_routes(live),
        audit_routes(store),
        *_key_routes(live, keys, sources.budgets),
        *(() if store is None else (spend_routes(store),)),
        *_budget_routes(sources.budgets),
    ):
        app.include_router(routes, prefix="/admin", dependencies=CHECKS)
    _add_habits(app, live, sources)
    return app


def _add_habits(app: FastAPI, live: LiveConfig, sources: Sources) -> None:
    if sources.habits is not None:
        app.include_router(sources.habits(live, sources), dependencies=[Depends(without_nul)])


def _key_routes(
    live: LiveConfig, keys: Keys | None, budgets: Budgets | None
) -> tuple[APIRouter, ...]:
    """Return the routes of keys, which show what is left of budgets, and those of teams."""
    if keys is None:
        return ()
    from llmproxy.batteries.admin.api.keys import key_routes, team_routes  # noqa: PLC0415

    return key_routes(live, keys, budgets), team_routes(live, keys, budgets)


def _budget_routes(budgets: Budgets | None) -> list[APIRouter]:
    if budgets is None:
        return []
    from llmproxy.batteries.admin.api.budgets import budget_routes  # noqa: PLC0415 - may be missing

    return [budget_routes(budgets)]


def _add_metrics(
    app: FastAPI, sampler: Sampler, state_cache: StateCache, budgets: Budgets | None
) -> None:
    """Add the page that Prometheus scrapes."""

    @app.get("/metrics", response_class=Response, dependencies=[Depends(metrics_reader)])
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        known = [] if budgets is None else budgets.statuses()
        text = await metrics_text(await state_cache.state(), await sampler.collector.stats(), known)
        return Response(text, media_type=CONTENT_TYPE)
