"""Simulated instances that share their limits: their leases, and the windows that grant quota.

The timing is that of shared_state/sync.py: an instance with something to ask sends a request every
20 ms, or after 5 ms if a call waits. The reply takes one round trip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from math import ceil, inf

from llmproxy.batteries.shared_state.endpoint_states import apply_state
from llmproxy.batteries.shared_state.quota import (
    SLOT_S,
    WINDOW_SLOTS,
    Lease,
    QuotaReply,
    QuotaRequest,
)
from llmproxy.batteries.shared_state.sync import ALIVE_S, SOONEST_S, TICK_S
from llmproxy.routing.endpoint import StateChange
from llmproxy.tools.simulate.clock import Clock
from llmproxy.tools.simulate.proxy import Proxy
from llmproxy.tools.simulate.results import SharedWork

ROUND_TRIP_S = 0.001
NEWS_S = 0.05  # a change of state reaches the other instances; the real view promises 0.1 s
CLAIM_S = 0.3


class Window:
    """The window of one account: what shared_state/window.lua does, in Python.

    tests/tools/simulate compares it with a plain implementation of the same script.
    """

    __slots__ = ("_claim", "_newest", "_requests", "_tokens", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        self._requests = deque([0] * WINDOW_SLOTS, WINDOW_SLOTS)  # the newest slot is the last
        self._tokens = deque([0] * WINDOW_SLOTS, WINDOW_SLOTS)
        self._newest = 0
        self._claim: tuple[float, int, int, object] | None = None  # until, needs, owner

    def answer(self, who: object, ask: QuotaRequest, now: float) -> QuotaReply:
        """Charge what the instance reports as sent, and grant what it may have of its request."""
        self._pass_time(now)
        for report in ask.reports:
            if report.age_slots < WINDOW_SLOTS:
                self._add(report.age_slots, report.requests, report.tokens)
        free_requests, free_tokens, bursts = self._free(who, ask, now)
        others = self._claim is not None and self._claim[3] is not who
        requests = tokens = 0
        wait_s = 0.0
        if ask.want_requests > 0 or ask.want_tokens > 0:
            if free_requests >= ask.need_requests and free_tokens >= ask.need_tokens:
                requests = _part(free_requests, ask.need_requests, ask.want_requests, ask.instances)
                tokens = _part(free_tokens, ask.need_tokens, ask.want_tokens, ask.instances)
                self._add(0, requests, tokens)
                self._claim = self._claim if others else None
            else:
                if ask.waiting and not others:
                    self._claim = (now + CLAIM_S, ask.need_requests, ask.need_tokens, who)
                short = ask.need_requests - free_requests, ask.need_tokens - free_tokens
                wait_s = SLOT_S if bursts else self._wait_s(*short, now)
        has_room = free_requests > requests and free_tokens > tokens
        return QuotaReply("simulated", False, requests, tokens, has_room, wait_s)

    def _pass_time(self, now: float) -> None:
        newest = int(now / SLOT_S)
        for _ in range(min(newest - self._newest, WINDOW_SLOTS)):
            self.requests -= self._requests[0]
            self.tokens -= self._tokens[0]
            self._requests.append(0)
            self._tokens.append(0)
        self._newest = newest

    def _add(self, age_slots: int, requests: int, tokens: int) -> None:
        self._requests[-1 - age_slots] += requests
        self._tokens[-1 - age_slots] += tokens
        self.requests += requests
        self.tokens += tokens

    def _free(self, who: object, ask: QuotaRequest, now: float) -> tuple[float, float, bool]:
        free_requests: float = inf if ask.rpm is None else ask.rpm - self.requests
        free_tokens: float = inf if ask.tpm is None else ask.tpm - self.tokens
        bursts = False
        if ask.burst is not None:
            recent = sum(self._requests[-1 - age] for age in range(ask.burst.slots))
            bursts = ask.burst.requests - recent < min(free_requests, ask.need_requests)
            free_requests = min(free_requests, ask.burst.requests - recent)
        if self._claim is not None:
            until, requests, tokens, owner = self._claim
            if until <= now:
                self._claim = None
            elif owner is not who:
                free_requests -= requests
                free_tokens -= tokens
        return free_requests, free_tokens, bursts

    def _wait_s(self, short_requests: float, short_tokens: float, now: float) -> float:
        for age in range(WINDOW_SLOTS - 1, -1, -1):
            short_requests -= self._requests[-1 - age]
            short_tokens -= self._tokens[-1 - age]
            if short_requests <= 0 and short_tokens <= 0:
                return (self._newest - age + WINDOW_SLOTS) * SLOT_S - now
        return WINDOW_SLOTS * SLOT_S


class SharedView:
    """The leases of all instances, and the Redis server between them."""

    def __init__(self, proxies: Sequence[Proxy], clock: Clock) -> None:
        self.work = SharedWork(instances=len(proxies))
        self._clock = clock
        self._windows: dict[str, Window] = {}
        self._proxies = proxies
        self._members = [_Member(self, proxy, len(proxies)) for proxy in proxies]
        for proxy in proxies:
            proxy.on_change = partial(self._publish, proxy)

    def plan(self, when: float, member: _Member) -> None:
        """Plan a tick of a member."""
        self._clock.at(when, member.tick)

    @property
    def now(self) -> float:
        """The simulated time."""
        return self._clock.now

    def ask(self, member: _Member, asked: dict[str, QuotaRequest], now: float) -> None:
        """Answer a member's requests. They arrive at once; the replies take a round trip."""
        self.work.round_trips += 1
        self.work.asks += len(asked)
        grants = {}
        for key, ask in asked.items():
            window = self._windows.get(key)
            if window is None:
                window = self._windows[key] = Window()
            grants[key] = grant = window.answer(member, ask, now)
            self.work.grants += bool(grant.requests or grant.tokens)
        self._clock.at(now + ROUND_TRIP_S, partial(member.receive, grants))

    def _publish(self, origin: Proxy, change: StateChange, now: float) -> None:
        group, name = change.state.endpoint.group, change.state.endpoint.name

        def receive(then: float) -> None:
            for proxy in self._proxies:
                if proxy is not origin:
                    apply_state(proxy.pool, group, name, change.what, change.for_s, now=then)

        self._clock.at(now + NEWS_S, receive)


class _Member:
    """One instance's side of the shared view: its leases, and when they send requests."""

    __slots__ = ("_awake", "_leases", "_planned_for", "_proxy", "_ticked_at", "_view")

    def __init__(self, view: SharedView, proxy: Proxy, instances: int) -> None:
        self._view = view
        self._proxy = proxy
        self._leases: dict[str, Lease] = {}
        self._awake: dict[str, Lease] = {}
        self._ticked_at = -ALIVE_S
        self._planned_for = inf
        for capacity in proxy.pool.capacities():
            lease = Lease(smooth=capacity.fixed_windows)
            capacity.share(lease)
            self._leases[capacity.key] = lease
            lease.set_instances(instances)
            lease.go_shared()
            lease.on_work = partial(self._need, capacity.key, lease)
            if lease.has_work:
                self._need(capacity.key, lease)

    def tick(self, now: float) -> None:
        """Send the requests of every lease that has one."""
        if now < self._planned_for:
            return  # an earlier tick has replaced this one
        self._planned_for = inf
        self._ticked_at = now
        asked = {}
        for key, lease in list(self._awake.items()):
            ask = lease.next_request(now)
            if ask is not None:
                asked[key] = ask
            elif not lease.has_work:
                del self._awake[key]
        if asked:
            self._view.ask(self, asked, now)
        if self._awake:
            self._plan(now + TICK_S)

    def receive(self, grants: dict[str, QuotaReply], now: float) -> None:
        """Pass the server's replies to the leases."""
        for key, grant in grants.items():
            self._leases[key].receive(grant, now)
        self._proxy.capacity_freed(now)

    def _need(self, key: str, lease: Lease) -> None:
        self._awake[key] = lease
        self._plan(max(self._view.now, self._ticked_at + SOONEST_S))

    def _plan(self, when: float) -> None:
        if when < self._planned_for:
            self._planned_for = when
            self._view.plan(when, self)


def _part(free: float, need: int, want: int, instances: int) -> int:
    if free == inf:
        return want
    return max(0, min(want, int(free), max(need, ceil(free / instances))))
