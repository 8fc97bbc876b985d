"""Applies what other instances report of their endpoints to the same endpoints here."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import assert_never

from llmproxy.errors import Misconfigured, Throttled
from llmproxy.events import EndpointChange
from llmproxy.routing import EndpointState, Pool

MAX_EARLY = 1_000  # instances with other configs report much that this one never serves


class EndpointStates:
    """Knows the pool that is being served. States of endpoints that another instance has and this
    one does not serve (yet) are kept for the next pool."""

    def __init__(self) -> None:
        self._pool = Pool({})
        self._early: deque[tuple[str, str, EndpointChange, float | None, float]] = deque(
            maxlen=MAX_EARLY
        )

    def apply(
        self, group: str, endpoint: str, change: EndpointChange, for_s: float | None, now: float
    ) -> None:
        """Apply a change. If the group is not in the config, it may be in the next one."""
        if group in self._pool.groups:
            apply_state(self._pool, group, endpoint, change, for_s, now=now)
        else:
            self._early.append((group, endpoint, change, for_s, now))

    def serve(self, pool: Pool) -> None:
        """Apply changes to this pool from now on."""
        self._pool = pool
        early, now = tuple(self._early), monotonic()
        self._early.clear()
        for group, endpoint, change, for_s, reported_at in early:
            left_s = None if for_s is None else for_s - (now - reported_at)
            if left_s is None or left_s > 0:
                self.apply(group, endpoint, change, left_s, now)


def apply_state(
    pool: Pool,
    group: str,
    endpoint: str,
    change: EndpointChange,
    for_s: float | None,
    *,
    now: float,
) -> None:
    """Apply a change that another instance reports; nothing if the endpoint is not ours."""
    here = _state_of(pool, group, endpoint)
    if here is None:
        return
    match change:
        case EndpointChange.COOLING:
            here.cool(now + (for_s or 0.0), Throttled.reason)
        case EndpointChange.MISCONFIGURED:
            here.cool(now + (for_s or 0.0), Misconfigured.reason)
        case EndpointChange.OPEN:
            here.breaker.open_elsewhere(now, for_s or 0.0)
        case EndpointChange.CLOSED:
            here.breaker.close_elsewhere(now)
        case EndpointChange.CLEARED:
            here.clear(now)
        case EndpointChange.DRAINED:
            here.drain()
        case EndpointChange.ENABLED:
            here.enable()
        case EndpointChange.HALF_OPEN | EndpointChange.SUSPECT:
            pass  # each instance probes, and suspects, for itself
        case _:
            assert_never(change)


def _state_of(pool: Pool, group: str, endpoint: str) -> EndpointState | None:
    states = pool.groups[group].states if group in pool.groups else ()
    return next((state for state in states if state.endpoint.name == endpoint), None)
