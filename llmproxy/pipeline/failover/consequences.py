"""What a failed attempt does to its endpoint, and that it is told once."""

from __future__ import annotations

from time import monotonic

from llmproxy.errors import Throttled, UpstreamError
from llmproxy.events import EndpointChange, EndpointStateChanged, Listener
from llmproxy.routing import Checkout, EndpointState, Group
from llmproxy.rules.retry import Judgement


def fail_breaker(
    listener: Listener, group: Group, checkout: Checkout, failure: UpstreamError, draw: float
) -> None:
    """The failure speaks against the endpoint's health. `draw`: a random number in [0, 1)."""
    now = monotonic()
    breaker = checkout.state.breaker
    before = breaker.state(now)
    checkout.failed(now, draw)
    checkout.state.failed_why = failure.reason
    after = breaker.state(now)
    if after is not before:
        open_s = breaker.opens_until(now) - now
        tell_change(
            listener,
            group,
            checkout.state,
            EndpointChange(after.value),
            failure.message,
            for_s=open_s,
        )


def cool(
    listener: Listener,
    group: Group,
    state: EndpointState,
    failure: UpstreamError,
    judgement: Judgement,
) -> None:
    """Leave the endpoint alone for as long as the judgement says."""
    now = monotonic()
    seconds = judgement.cooldown_s or 0.0
    cooling = state.cooldown_until > now
    state.cool(now + seconds, failure.reason)
    if isinstance(failure, Throttled):
        state.capacity.throttled()
    if judgement.slow_start:
        state.breaker.slow_down(now + seconds)
    if not cooling:  # else it was told already
        what = EndpointChange.MISCONFIGURED if judgement.loud else EndpointChange.COOLING
        tell_change(listener, group, state, what, failure.message, for_s=seconds)


def tell_change(
    listener: Listener,
    group: Group,
    state: EndpointState,
    what: EndpointChange,
    why: str,
    *,
    for_s: float | None = None,
) -> None:
    """An endpoint left the healthy state or came back."""
    name = state.endpoint.name
    listener.endpoint_state_changed(EndpointStateChanged(group.name, name, what, why, for_s))
