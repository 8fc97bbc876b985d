"""`/admin/drain`, `/admin/enable`, `/admin/clear`: what an operator does to an endpoint.

Done here, and published as news of the endpoint: the log has it, and the workers and instances
that share a view do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from llmproxy.admin.stats.state import StateCache
from llmproxy.events import EndpointChange, EndpointStateChanged
from llmproxy.routing import EndpointState

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig, Runtime


from typing import TYPE_CHECKING

from llmproxy.errors import ConfigError
from llmproxy.runtime import NoFile

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig


Act = Callable[[EndpointState], object]


class Target(BaseModel):
    """An endpoint of one group; of every group that has it, if `group` is null."""

    group: str | None = None
    endpoint: str


class ActionResult(BaseModel):
    """At so many endpoints."""

    endpoints: int


def action_routes(live: LiveConfig, glance: StateCache) -> APIRouter:
    """`/admin/drain`, `/admin/enable`, `/admin/clear`."""
    router = APIRouter()

    def act(target: Target, what: Act, *changes: EndpointChange) -> ActionResult:
        done = _act(live.runtime, target, what, changes)
        glance.forget()
        return done

    @router.post("/drain")
    async def drain(target: Target) -> ActionResult:
        """Send nothing there any more; what is under way ends as it would."""
        return act(target, lambda state: state.drain(), EndpointChange.DRAINED)

    @router.post("/enable")
    async def enable(target: Target) -> ActionResult:
        """Undo a drain."""
        return act(target, lambda state: state.enable(), EndpointChange.ENABLED)

    @router.post("/clear")
    async def clear(target: Target) -> ActionResult:
        """Forget a cooldown and an open breaker."""
        return act(
            target,
            lambda state: state.clear(monotonic()),
            EndpointChange.CLOSED,
            EndpointChange.CLEARED,
        )

    return router


def _act(
    runtime: Runtime, target: Target, what: Act, changes: tuple[EndpointChange, ...]
) -> ActionResult:
    chosen = [
        (group.name, state)
        for group in runtime.pool.groups.values()
        for state in group.states
        if state.endpoint.name == target.endpoint and target.group in (None, group.name)
    ]
    if not chosen:
        where = "no group" if target.group is None else f"the group {target.group!r}"
        has = "has" if target.group is None else "does not have"
        raise HTTPException(
            404, f"{where[0].upper()}{where[1:]} {has} an endpoint {target.endpoint!r}."
        )
    for group, state in chosen:
        what(state)
        for change in changes:
            runtime.listener.endpoint_state_changed(
                EndpointStateChanged(group, target.endpoint, change, "by the operator", None)
            )
    runtime.failover.capacity_freed()  # who waits may go, or must go elsewhere
    return ActionResult(endpoints=len(chosen))


class Reloaded(BaseModel):
    """The file is served as far as that is possible without a restart. `changes`: in words."""

    reloaded: bool
    changes: list[str]


def reload_routes(live: LiveConfig, glance: StateCache) -> APIRouter:
    """`/admin/reload`."""
    router = APIRouter()
    live.on_reload.append(glance.forget)

    @router.post("/reload")
    async def reload() -> Reloaded:
        """Take up what the config file says now, in all workers. No call is lost. A file that is
        wrong is refused whole, and the config before it stays."""
        try:
            changes = await live.reload()
        except NoFile:
            raise HTTPException(
                409, "This proxy's config comes from no file: there is nothing to read again."
            ) from None
        except ConfigError as error:
            raise HTTPException(422, str(error)) from error
        finally:
            live.tell_others()
        return Reloaded(reloaded=True, changes=changes)

    return router
