"""What an endpoint is, in one word."""

from __future__ import annotations

from typing import Literal

from llmproxy.errors import CredentialRejected, Misconfigured
from llmproxy.routing import EndpointState
from llmproxy.rules.breaker import State

Condition = Literal["ok", "full", "cooling", "open", "half-open", "misconfigured", "drained"]
CONDITIONS: tuple[Condition, ...] = (
    *("ok", "full", "cooling", "open", "half-open"),
    *("misconfigured", "drained"),
)
# Reasons to cool that only a person can mend.
LOUD = frozenset((CredentialRejected.reason, Misconfigured.reason))


def condition_of(state: EndpointState, now: float) -> Condition:
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
    return "full" if state.room_in_s(0, now) > 0 else "ok"
