"""The one-word status of an endpoint, of a model group and of the proxy."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from llmproxy.errors import CredentialRejected, Misconfigured
from llmproxy.routing import EndpointState
from llmproxy.routing.endpoint import AvailabilityKind
from llmproxy.rules.breaker import BreakerState

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig, Runtime


class EndpointStatus(StrEnum):
    """The state that an endpoint is in; the most severe if several apply."""

    OK = "ok"
    FULL = "full"
    COOLING = "cooling"
    OPEN = "open"
    HALF_OPEN = "half-open"
    MISCONFIGURED = "misconfigured"
    DRAINED = "drained"


GroupStatus = Literal["ok", "degraded", "down"]
ProxyStatus = Literal["ok", "degraded", "down", "draining"]

# An endpoint in these states is known to be well, though perhaps full.
AVAILABLE = (EndpointStatus.OK, EndpointStatus.FULL)
# Reasons of a cooldown that only a person can remove.
_NEEDS_A_PERSON = (CredentialRejected.reason, Misconfigured.reason)


def endpoint_status(state: EndpointState, now: float) -> EndpointStatus:
    """Return the status at a moment of the monotonic clock.

    An endpoint that failed is half-open when its time is over, until a call or a health check shows
    that it is well. The only endpoint of a group gets calls in any state.
    """
    if state.drained:
        return EndpointStatus.DRAINED
    if state.cooldown_until > now:
        needs_a_person = state.cooldown_why in _NEEDS_A_PERSON
        return EndpointStatus.MISCONFIGURED if needs_a_person else EndpointStatus.COOLING
    breaker = state.breaker.state(now)
    if breaker is BreakerState.OPEN:
        return EndpointStatus.OPEN
    if breaker is BreakerState.HALF_OPEN or state.is_set_aside(now):
        return EndpointStatus.HALF_OPEN
    return EndpointStatus.FULL if state.available_in_s(0, now) > 0 else EndpointStatus.OK


def why_out(state: EndpointState, now: float) -> tuple[str, str | None]:
    """Return why an endpoint is not known to be well, as a sentence, and the failure behind it."""
    availability = state.availability(0, now)
    cause = availability.cause
    if availability.kind is not AvailabilityKind.AVAILABLE:
        return availability.text, cause or None
    if state.alone and state.breaker.state(now) is not BreakerState.CLOSED:
        cause = state.past.failed_why
        return f"{cause or 'failed'}; calls still try it, as the group has no other", cause or None
    return f"{cause}, {availability.text}" if cause else availability.text, cause or None


class SharedStateView(BaseModel):
    """The state that is shared with other instances.

    While it is not connected, each instance keeps to its share of every limit.
    """

    connected: bool
    instances: int
    why: str | None
    since_s: float


def worst_of(statuses: Iterable[EndpointStatus]) -> GroupStatus:
    """Return `degraded` if an endpoint of a group is out, `down` if all are."""
    out = [status not in AVAILABLE for status in statuses]
    return "down" if all(out) else "degraded" if any(out) else "ok"


def proxy_status(live: LiveConfig, groups: Iterable[GroupStatus]) -> ProxyStatus:
    """Return the worst status of the groups, or `draining` while the process shuts down."""
    if live.draining:
        return "draining"
    found = set(groups)
    return "down" if "down" in found else "degraded" if "degraded" in found else "ok"


def shared_state_view(runtime: Runtime) -> SharedStateView | None:
    """Return None if there are no other instances."""
    if runtime.peers is None:
        return None
    status = runtime.peers.status(monotonic())
    return SharedStateView(
        connected=status.connected,
        instances=status.instances,
        why=status.why,
        since_s=round(status.since_s, 3),
    )
