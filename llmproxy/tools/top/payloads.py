"""The admin API's JSON, as far as the terminal shows it.

Text comes from clients and vendors: `readable` removes characters that would move a cursor.
"""

from __future__ import annotations

import msgspec


class _Payload(msgspec.Struct, frozen=True):
    """Base of the payloads. Unknown fields are ignored: a newer proxy may send more."""


class ShownConfig(_Payload, frozen=True):
    """The config in use, and the problems of a newer one."""

    source: str | None = None
    error: str | None = None


class ShownSharedState(_Payload, frozen=True):
    """The state that instances share."""

    connected: bool
    instances: int
    why: str | None = None
    since_s: float = 0.0


class Recent(_Payload, frozen=True):
    """Calls (of an endpoint: attempts) of the last 60 s."""

    calls: int
    errors: int
    error_rate: float
    calls_per_s: float
    input_tokens: int
    output_tokens: int
    cost_usd: float
    first_byte_p50_ms: float | None
    first_byte_p99_ms: float | None
    unknown_cost_calls: int = 0


class Totals(_Payload, frozen=True):
    """Totals since the proxy started."""

    calls: int
    errors: int
    cost_usd: float
    cache_hits: int
    cache_misses: int
    unknown_cost_calls: int = 0


class Level(_Payload, frozen=True):
    """What is left of a limit: per minute, or of concurrent calls."""

    limit: float
    left: float

    @property
    def share_left(self) -> float:
        """The part that is left, 0 to 1."""
        return min(1.0, max(0.0, self.left / self.limit)) if self.limit else 0.0


class ShownCapacity(_Payload, frozen=True):
    """The limits of an endpoint; None: unknown."""

    requests: Level | None = None
    tokens: Level | None = None
    concurrent: Level | None = None


class ShownEndpoint(_Payload, frozen=True):
    """An endpoint in its group."""

    endpoint: str
    state: str
    why: str | None
    ready_in_s: float | None
    tier: int
    weight: float
    breaker: str
    in_flight: int
    capacity: ShownCapacity
    recent: Recent


class ShownGroup(_Payload, frozen=True):
    """A model group."""

    group: str
    status: str
    waiting: int
    in_flight: int
    recent: Recent
    endpoints: tuple[ShownEndpoint, ...]


class ShownStore(_Payload, frozen=True):
    """The connection to the cache's store."""

    connected: bool
    why: str | None = None


class ShownCache(_Payload, frozen=True):
    """The cache."""

    store: ShownStore | None = None


class ShownProxy(_Payload, frozen=True):
    """The whole proxy at a moment (`now`, Unix seconds)."""

    version: str
    status: str
    now: float
    started_at: float
    workers: int
    config: ShownConfig
    shared: ShownSharedState | None
    in_flight: int
    recent: Recent
    totals: Totals
    groups: tuple[ShownGroup, ...]
    cache: ShownCache | None


class Point(_Payload, frozen=True):
    """A few seconds of traffic, from `at`."""

    at: float
    calls: int
    errors: int


class History(_Payload, frozen=True):
    """Points, oldest first, each `step_s` long."""

    step_s: float
    points: tuple[Point, ...]


class NewPoint(_Payload, frozen=True):
    """The latest point."""

    step_s: float
    point: Point


class ShownStep(_Payload, frozen=True):
    """One step of a call's route, `at_ms` after its arrival: of an endpoint passed over, an attempt
    that took `ms`, a fallback or a change of parameters."""

    what: str
    endpoint: str | None = None
    at_ms: float = 0.0
    why: str | None = None
    ms: float | None = None
    outcome: str | None = None
    reason: str | None = None
    status: int | None = None
    verdict: str | None = None
    message: str | None = None
    hedge: bool | None = None


class Trace(_Payload, frozen=True):
    """A call that has ended, at `at`."""

    id: str | None
    at: float
    request: str
    group: str | None
    fallback: str | None
    caller: str | None
    endpoint: str | None
    status: int
    error: str | None
    cache: str | None
    first_byte_ms: float | None
    total_ms: float
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    steps: tuple[ShownStep, ...]
    model: str | None = None
    stream: bool = False
    client: str | None = None
    error_source: str | None = None
    upstream_id: str | None = None
    cached_tokens: int | None = None
    overhead_ms: float | None = None
    waited_ms: float | None = None

    @property
    def key(self) -> tuple[str | None, float]:
        """What tells it from others: a client may send an id twice."""
        return self.id, self.at

    def asked(self, group: str, endpoint: str | None) -> bool:
        """Whether it asked a group, or this endpoint of it, also in vain."""
        if group not in (self.group, self.fallback):
            return False
        attempts = (step.endpoint for step in self.steps if step.what == "attempt")
        return endpoint is None or endpoint == self.endpoint or endpoint in attempts


class Calls(_Payload, frozen=True):
    """Calls, newest first."""

    calls: tuple[Trace, ...]


def readable(text: str) -> str:
    """Return a text on one line, without terminal control characters."""
    return "".join(char if char.isprintable() else "\N{MIDDLE DOT}" for char in text)
