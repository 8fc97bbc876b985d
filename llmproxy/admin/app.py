"""The operator's app: everything that is not a call. FastAPI; slow and gone, it harms no call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.concurrency import run_in_threadpool

import llmproxy
from llmproxy.admin.api.actions import action_routes, reload_routes
from llmproxy.admin.api.cache import cache_routes
from llmproxy.admin.api.calls import trace_routes
from llmproxy.admin.api.events import event_routes
from llmproxy.admin.api.explain import explain_routes
from llmproxy.admin.api.health import health_routes
from llmproxy.admin.api.state import watching_routes
from llmproxy.admin.auth import require_operator, signing_in_routes
from llmproxy.admin.pages import dashboard_routes
from llmproxy.admin.stats.sampler import Sampler
from llmproxy.admin.stats.state import StateCache
from llmproxy.runtime import LiveConfig

if TYPE_CHECKING:
    from llmproxy.telemetry.call_file import CallFile


def make_admin(live: LiveConfig, watch: Sampler, kept: CallFile | None = None) -> FastAPI:
    """The operator's app of one process. `kept`: the file of earlier calls, if there is one."""
    documented = live.runtime.config.general_settings.expose_docs
    app = FastAPI(
        title="LLMProxy",
        version=llmproxy.__version__,
        openapi_url="/openapi.json" if documented else None,
        redoc_url=None,
    )

    glance = StateCache(live, watch)

    @app.get("/", include_in_schema=False)
    async def root() -> dict[str, str]:
        return {
            "name": "LLMProxy",
            "version": llmproxy.__version__,
            "api": "/v1",
            "health": "/health",
            "metrics": "/metrics",
            "admin": "/admin",
            "dashboard": "/dashboard",
            "docs": "/docs",
        }

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """What Prometheus scrapes."""
        # The library takes 0.05 s: only who scrapes pays for it.
        from llmproxy.admin.stats.metrics.page import CONTENT_TYPE  # noqa: PLC0415
        from llmproxy.admin.stats.metrics.samples import metrics_text  # noqa: PLC0415

        now, numbers = glance.now(), watch.overview.numbers()
        # Some milliseconds for each dozen endpoints: calls need not wait for it.
        text = await run_in_threadpool(metrics_text, now, numbers)
        return Response(text, media_type=CONTENT_TYPE)

    app.include_router(health_routes(live))
    app.include_router(signing_in_routes(live))
    app.include_router(_admin_routes(live, watch, glance, kept))
    app.include_router(dashboard_routes())
    return app


def _admin_routes(
    live: LiveConfig, watch: Sampler, glance: StateCache, kept: CallFile | None
) -> APIRouter:
    admin = APIRouter(prefix="/admin", dependencies=[Depends(require_operator(live))])
    for routes in (
        watching_routes(watch, glance),
        trace_routes(watch.overview, kept),
        explain_routes(live),
        event_routes(live, watch, glance),
        action_routes(live, glance),
        cache_routes(live),
        reload_routes(live, glance),
    ):
        admin.include_router(routes)
    return admin
