"""`/admin/drain`, `/admin/enable`, `/admin/clear`, `/admin/reload`: what an operator can do.

What is done to an endpoint is published as a change of its state: it is logged, and the workers and
instances that share their state do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

from llmproxy.batteries.admin.audit import audit
from llmproxy.batteries.admin.stats.state import StateCache
from llmproxy.errors import ConfigError
from llmproxy.events import EndpointChange, EndpointStateChanged
from llmproxy.routing import EndpointState

if TYPE_CHECKING:
    from llmproxy.batteries.reload import Reloader
    from llmproxy.runtime import LiveConfig

Action = Callable[[EndpointState], object]

NOTHING_TO_RELOAD = "This proxy was started without a config file, so it has nothing to reload."


class Target(BaseModel):
    """An endpoint of one group; of every group that has it, if `group` is null."""

    group: str | None = None
    endpoint: str


class ActionResult(BaseModel):
    """The number of endpoints that were changed; one in several groups counts several times."""

    endpoints: int


class ReloadResult(BaseModel):
    """The changes that were made, or that need a restart, in sentences."""

    reloaded: bool
    changes: list[str]


def action_routes(
    live: LiveConfig, state_cache: StateCache, reloader: Reloader | None
) -> APIRouter:
    """Return the routes for everything that changes the proxy, but for the cache."""
    router = APIRouter()
    if reloader is not None:
        reloader.on_reload.append(state_cache.invalidate)

    def act(
        request: Request, target: Target, action: Action, *changes: EndpointChange
    ) -> ActionResult:
        result = _act(live, target, action, changes)
        word = request.url.path.rpartition("/")[2]
        where = target.endpoint if target.group is None else f"{target.group}/{target.endpoint}"
        audit(request, f"endpoint.{word}", where)
        state_cache.invalidate()
        return result

    @router.post("/drain")
    async def drain(target: Target, request: Request) -> ActionResult:
        """Stop sending calls to an endpoint; those in flight finish as usual."""
        return act(request, target, lambda state: state.drain(), EndpointChange.DRAINED)

    @router.post("/enable")
    async def enable(target: Target, request: Request) -> ActionResult:
        """Undo a drain."""
        return act(request, target, lambda state: state.enable(), EndpointChange.ENABLED)

    @router.post("/clear")
    async def clear(target: Target, request: Request) -> ActionResult:
        """End an endpoint's cooldown and close its breaker."""
        return act(
            request,
            target,
            lambda state: state.clear(monotonic()),
            EndpointChange.CLOSED,
            EndpointChange.CLEARED,
        )

    _add_reload(router, reloader)
    return router


def _add_reload(router: APIRouter, reloader: Reloader | None) -> None:
    """Add what loads the config again."""

    @router.post("/reload")
    async def reload(request: Request) -> ReloadResult:
        """Load the config file again, in all workers. No call is lost.

        A file with an error is refused as a whole, and the previous config stays in use.
        """
        if reloader is None:
            raise HTTPException(409, NOTHING_TO_RELOAD)
        try:
            changes = await reloader.reload()
        except ConfigError as error:
            audit(request, "config.reload", "request", after={"changes": [], "error": str(error)})
            raise HTTPException(422, str(error)) from error
        finally:
            reloader.tell_others()
        audit(request, "config.reload", "request", after={"changes": changes, "error": None})
        return ReloadResult(reloaded=True, changes=changes)


def _act(
    live: LiveConfig, target: Target, action: Action, changes: tuple[EndpointChange, ...]
) -> ActionResult:
    runtime = live.runtime
    chosen = [
        (group.name, state)
        for group in runtime.pool.groups.values()
        for state in group.states
        if state.endpoint.name == target.endpoint and target.group in (None, group.name)
    ]
    if not chosen:
        where = "No group has an" if target.group is None else f"Group {target.group!r} has no"
        raise HTTPException(404, f"{where} endpoint {target.endpoint!r}.")
    for group, state in chosen:
        action(state)
        for change in changes:
            runtime.listener.endpoint_state_changed(
                EndpointStateChanged(group, target.endpoint, change, "by the operator", None)
            )
    live.process.rooms.serve()  # waiting calls may go now, or must go elsewhere
    return ActionResult(endpoints=len(chosen))
