"""What is left of an endpoint's limits, combined from the views of all workers.

The requests and tokens that workers sent are summed. What a vendor's headers reported is not: each
report already includes the traffic of the other workers, so the lowest one is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from pydantic import BaseModel

if TYPE_CHECKING:
    from llmproxy.config import Limits
    from llmproxy.routing import EndpointState


class LimitGauge(msgspec.Struct):
    """One limit of an endpoint, as one worker sees it or summed over workers.

    Attributes:
        sent: Requests or tokens that were sent within the last minute.
        limit: The limit that the vendor reported, by worker; empty if it reported none.
        left: What was left of it, by worker.
    """

    sent: int = 0
    limit: dict[str, float] = {}
    left: dict[str, float] = {}


class EndpointGauges(msgspec.Struct):
    """The current load of one endpoint, as one worker sees it or summed over workers."""

    in_flight: int = 0
    requests: LimitGauge = msgspec.field(default_factory=LimitGauge)
    tokens: LimitGauge = msgspec.field(default_factory=LimitGauge)


class LimitView(BaseModel):
    """One limit in the admin API: the lowest one known, what is left, and the configured one.

    Limits of requests and tokens are per minute.
    """

    limit: float
    left: float
    configured: int | None


class LimitsView(BaseModel):
    """The limits of an endpoint; null = no limit is known."""

    requests: LimitView | None
    tokens: LimitView | None
    concurrent: LimitView | None


def endpoint_gauges(state: EndpointState, worker: str, now: float) -> EndpointGauges:
    """Return this worker's view of an endpoint."""
    capacity = state.capacity
    sent_requests, sent_tokens = capacity.sent_in_last_minute(now)
    limits, left = capacity.vendor_limits, capacity.vendor_left(now)
    return EndpointGauges(
        in_flight=state.in_flight,
        requests=_gauge(sent_requests, limits[0], left[0], worker),
        tokens=_gauge(sent_tokens, limits[1], left[1], worker),
    )


def _gauge(sent: int, limit: float | None, left: float | None, worker: str) -> LimitGauge:
    if limit is None or left is None:
        return LimitGauge(sent)
    return LimitGauge(sent, {worker: limit}, {worker: left})


def limits_view(configured: Limits, gauges: EndpointGauges) -> LimitsView:
    """Return the limits of an endpoint. `gauges`: summed over all workers."""
    concurrent = None
    if configured.concurrent is not None:
        left = max(0, configured.concurrent - gauges.in_flight)
        concurrent = LimitView(
            limit=configured.concurrent, left=left, configured=configured.concurrent
        )
    return LimitsView(
        requests=_limit_view(configured.rpm, gauges.requests),
        tokens=_limit_view(configured.tpm, gauges.tokens),
        concurrent=concurrent,
    )


def _limit_view(configured: int | None, gauge: LimitGauge) -> LimitView | None:
    known = [(limit, gauge.left[worker]) for worker, limit in gauge.limit.items()]
    if configured is not None:
        known.append((configured, max(0, configured - gauge.sent)))
    if not known:
        return None
    limit = min(limit for limit, _ in known)
    left = min(left for _, left in known)
    return LimitView(limit=limit, left=round(min(left, limit), 1), configured=configured)
