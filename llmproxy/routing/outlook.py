"""What a blocked call can still hope for: the endpoints of its group that may yet serve it."""

from __future__ import annotations

from collections.abc import Collection
from math import inf

import msgspec

from llmproxy.routing.endpoint import EndpointState
from llmproxy.routing.group import Group
from llmproxy.routing.tier import CallDemand


class Outlook(msgspec.Struct, frozen=True):
    """The endpoints that may still serve a call, and the one to probe.

    `probe`: the endpoint that is most likely to be well, of those that only their breaker shuts and
    that no other call probes; else one that another process found refused, for the vendor's words.
    `is_second`: this call has tried it already. `has_rival`: another
    endpoint is healthy, so the probe is not the best choice. `probed_for_s`: how long another call
    has been probing one of them; None: none does. `cools_for_s`: until the first cooldown ends, of
    those with an open breaker.
    """

    hopeful: list[EndpointState]
    probe: EndpointState | None = None
    is_second: bool = False
    has_rival: bool = False
    probed_for_s: float | None = None
    cools_for_s: float = inf


def outlook_of(
    group: Group,
    now: float,
    *,
    demand: CallDemand,
    tried: Collection[EndpointState],
    useless: Collection[EndpointState],
    attempts_left: int,
    patience_s: float,
) -> Outlook:
    """Return the outlook of a call.

    `tried`: the endpoints where it failed. `useless`: those where another attempt cannot help.
    `patience_s`: how long it would wait in the queue.
    """
    hopeful = [state for state in group.states if state not in useless]
    if tried:
        untried = [
            state
            for state in hopeful
            if state not in tried
            and _is_worth_waiting_for(state, demand.tokens_at(state), patience_s, now)
        ]
        if untried and attempts_left <= len(untried):
            hopeful = untried
    shut = [
        state
        for state in hopeful
        if not state.available(now) and (state.alone or not state.breaker.admits(now))
    ]
    cooled = [state for state in shut if state.cooldown_until <= now]
    to_probe = [state for state in cooled if not state.breaker.probed_for_s(now)]
    to_probe = to_probe or [state for state in hopeful if state.is_refused_by_hearsay(now)]
    probe = min(
        to_probe,
        key=lambda state: (state in tried, state.breaker.reopenings, state.past.failed_at),
        default=None,
    )
    is_second = probe in tried
    return Outlook(
        hopeful,
        probe,
        is_second,
        any(state.available(now) for state in hopeful if is_second or state not in tried),
        max((state.breaker.probed_for_s(now) for state in cooled), default=0.0) or None,
        min((state.cooldown_until for state in shut), default=inf) - now,
    )


def _is_worth_waiting_for(state: EndpointState, tokens: int, patience_s: float, now: float) -> bool:
    if state.alone or state.breaker.admits(now):
        return state.available_in_s(tokens, now) <= patience_s
    return state.cooldown_until <= now + patience_s  # then it is probed
