"""How the proxy stands, in one word, and what it knows together with other instances: as `/health`
and `/admin/state` tell it."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

if TYPE_CHECKING:
    from llmproxy.routing import Group
    from llmproxy.runtime import LiveConfig, Runtime


from llmproxy.errors import CredentialRejected, Misconfigured
from llmproxy.routing import EndpointState
from llmproxy.rules.breaker import State

EndpointStatus = Literal["ok", "full", "cooling", "open", "half-open", "misconfigured", "drained"]
ENDPOINT_STATUSES: tuple[EndpointStatus, ...] = (
    *("ok", "full", "cooling", "open", "half-open"),
    *("misconfigured", "drained"),
)
# Reasons to cool that only a person can mend.
LOUD = frozenset((CredentialRejected.reason, Misconfigured.reason))


def endpoint_status(state: EndpointState, now: float) -> EndpointStatus:
    """The condition at a moment of the monotonic clock; the gravest if there are several."""
    if state.drained:
        return "drained"
    if state.cooldown_until > now:
        return "misconfigured" if state.cooldown_why in LOUD else "cooling"
    breaker = state.breaker.state(now)
    if breaker is State.OPEN and not state.alone:
        return "open"
    if breaker is State.HALF_OPEN and not state.alone:
        return "half-open"
    return "full" if state.available_in_s(0, now) > 0 else "ok"


GroupStatus = Literal["ok", "degraded", "down"]
ProxyStatus = Literal["ok", "degraded", "down", "draining"]


def reason_of(state: EndpointState, now: float) -> str | None:
    """Return the reason of the failure that takes an endpoint out, such as `throttled`."""
    if state.drained:
        return None
    if state.cooldown_until > now:
        return state.cooldown_why
    is_out = not state.alone and state.breaker.state(now) is not State.CLOSED
    return state.failed_why or None if is_out else None


class SharedStateView(BaseModel):
    """What is known together with other instances. Not connected: each keeps to its part of every
    limit."""

    connected: bool
    instances: int
    why: str | None
    since_s: float


def group_status(group: Group, now: float) -> GroupStatus:
    """`degraded`: an endpoint of the group is out; `down`: all are."""
    out = [not state.available(now) for state in group.states]
    return "down" if all(out) else "degraded" if any(out) else "ok"


def proxy_status(live: LiveConfig, groups: Iterable[GroupStatus]) -> ProxyStatus:
    """The worst of the groups, unless the process is going down."""
    if live.draining:
        return "draining"
    found = set(groups)
    return "down" if "down" in found else "degraded" if "degraded" in found else "ok"


def shared_state_view(runtime: Runtime) -> SharedStateView | None:
    """None: there are no other instances."""
    if runtime.shared is None:
        return None
    status = runtime.shared.status(monotonic())
    return SharedStateView(
        connected=status.connected,
        instances=status.instances,
        why=status.why,
        since_s=round(status.since_s, 3),
    )
