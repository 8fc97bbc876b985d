"""The paths of LiteLLM's that the admin application answers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from llmproxy.batteries.admin.sources import Sources
from llmproxy.batteries.litellm_habits.asking import LitellmRoute, error_response
from llmproxy.batteries.litellm_habits.models import model_routes
from llmproxy.batteries.litellm_habits.paths import CONTROL_PATHS, instead_of
from llmproxy.batteries.store import Store
from llmproxy.runtime import LiveConfig

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def all_routes(live: LiveConfig, sources: Sources) -> APIRouter:
    """Return all routes. The last ones say of LiteLLM's other paths what to use instead."""
    router = APIRouter()
    router.include_router(probe_routes(live, sources.store))
    router.include_router(model_routes(live))
    if sources.keys is not None:
        from llmproxy.batteries.litellm_habits.keys import key_routes  # noqa: PLC0415 - may be missing
        from llmproxy.batteries.litellm_habits.teams import team_routes  # noqa: PLC0415

        router.include_router(key_routes(live, sources, sources.keys))
        router.include_router(team_routes(live, sources, sources.keys))
    router.include_router(_unanswered_routes())
    return router


def probe_routes(live: LiveConfig, store: Store | None) -> APIRouter:
    """Return the probes of load balancers and Kubernetes, which need no key."""
    router = APIRouter(prefix="/health", include_in_schema=False)

    @router.api_route("/liveliness", methods=["GET", "HEAD"])
    @router.api_route("/liveness", methods=["GET", "HEAD"])
    async def liveness() -> str:
        """Return 200 while the process runs."""
        return "I'm alive!"

    @router.api_route("/readiness", methods=["GET", "HEAD"])
    async def readiness(response: Response) -> dict[str, Any]:
        """Return 200 if the proxy accepts traffic, 503 while it drains. No database decides."""
        if live.draining:
            response.status_code = 503
            return {"status": "shutting_down"}
        return {"status": "healthy", "db": _database_in_words(store)}

    return router


def _database_in_words(store: Store | None) -> str:
    status = None if store is None else store.status()
    if status is None:
        return "Not connected"
    return "disconnected" if status.connected is False else "connected"


def _unanswered_routes() -> APIRouter:
    router = APIRouter(route_class=LitellmRoute, include_in_schema=False)

    async def unanswered(request: Request) -> Response:
        path = request.url.path
        message = f"This proxy does not answer LiteLLM's {path}. {instead_of(path)}"
        return error_response(404, message)

    for segment in sorted(path.decode() for path in CONTROL_PATHS if b"/" not in path):
        for place in (f"/{segment}", f"/{segment}/{{rest:path}}"):
            router.add_api_route(place, unanswered, methods=METHODS)
    return router
