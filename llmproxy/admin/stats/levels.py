"""What is left of an endpoint's limits, put together from what each worker knows.

What workers have sent adds up. What a vendor told does not: each may have heard of what all of them
sent, so the least is true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from llmproxy.telemetry.counters import Tree

if TYPE_CHECKING:
    from llmproxy.config import Limits
    from llmproxy.routing import EndpointState


class LimitView(BaseModel):
    """One limit: all of it as it is now, what is left of it, and what the config says.

    Per minute for requests and tokens.
    """

    limit: float
    left: float
    configured: int | None


class LimitsView(BaseModel):
    """Null: no limit is known."""

    requests: LimitView | None
    tokens: LimitView | None
    concurrent: LimitView | None


def limit_gauges(state: EndpointState, place: str, now: float) -> Tree:
    """What one worker knows, so that it adds up with what the others do. `place`: the worker's."""
    sent_requests, sent_tokens = state.capacity.sent_in_last_minute(now)
    limits, told_left = state.capacity.vendor_limits, state.capacity.vendor_left(now)
    return {
        "in_flight": state.in_flight,
        "requests": _gauge(sent_requests, limits[0], told_left[0], place),
        "tokens": _gauge(sent_tokens, limits[1], told_left[1], place),
    }


def _gauge(sent: int, limit: float | None, left: float | None, place: str) -> Tree:
    if limit is None or left is None:
        return {"sent": sent, "limit": {}, "left": {}}
    return {"sent": sent, "limit": {place: limit}, "left": {place: left}}


def limits_view(configured: Limits, gauges: Tree) -> LimitsView:
    """Of an endpoint, from the gauges of all workers together."""
    places = configured.concurrent
    concurrent = None
    if places is not None:
        left = max(0, places - gauges.get("in_flight", 0))
        concurrent = LimitView(limit=places, left=left, configured=places)
    return LimitsView(
        requests=_level(configured.rpm, gauges.get("requests")),
        tokens=_level(configured.tpm, gauges.get("tokens")),
        concurrent=concurrent,
    )


def _level(configured: int | None, gauge: Tree | None) -> LimitView | None:
    known: list[tuple[float, float]] = []  # limits, and what is left of each
    if gauge is not None:
        known += [(limit, gauge["left"][place]) for place, limit in gauge["limit"].items()]
    if configured is not None:
        known.append((configured, max(0, configured - (gauge["sent"] if gauge else 0))))
    if not known:
        return None
    limit = min(limit for limit, _ in known)
    left = min(left for _, left in known)
    return LimitView(limit=limit, left=round(min(left, limit), 1), configured=configured)
