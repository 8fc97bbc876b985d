"""One simulated instance of the proxy: its pool, its waiting calls, and the driver of each call.

routing/attempts.py makes the decisions, as in the proxy itself. Where the proxy awaits, the
simulation plans an event on its clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import assert_never

import msgspec

from llmproxy.batteries.affinity import GroupAffinity
from llmproxy.batteries.fallbacks import Fallbacks, Followers
from llmproxy.batteries.hedging import LOOK_AGAIN_S
from llmproxy.batteries.settings import full
from llmproxy.batteries.shared_state.shortage import Shortages
from llmproxy.calls import Headers
from llmproxy.config import GeneralSettings
from llmproxy.errors import GatewayError, Throttled, TimedOut, UpstreamError
from llmproxy.operations import Replay
from llmproxy.pipeline.failover.waiting import MAX_LOOK_S, MIN_LOOK_S
from llmproxy.routing import CallDemand, Checkout, EndpointState, Group, Pool
from llmproxy.routing.actions import AttemptPolicy, GiveUp, Pause, Try, WaitInLine
from llmproxy.routing.attempts import Attempts
from llmproxy.routing.endpoint import StateChange
from llmproxy.tools.simulate.clock import Clock
from llmproxy.tools.simulate.results import EndpointCount, Results
from llmproxy.tools.simulate.traffic import Arrival
from llmproxy.tools.simulate.vendors import Outcome, SimulatedEndpoint

OnChange = Callable[[StateChange, float], None]
NONE = Followers()
Served = Callable[[Checkout | None, float], None]


class SimulatedRequest(msgspec.Struct, frozen=True, gc=False):
    """The part of a simulated call that routing reads."""

    deadline_at: float
    caller: str | None
    replay: Replay = Replay.SAFE
    hedgeable: bool = True
    model: str | None = None
    stream: bool = False
    thinks: bool | None = None


class SimulatedRoom:
    """The waiting calls of a group (pipeline/failover/waiting.py), on the simulated clock."""

    __slots__ = ("_clock", "_group", "_looks", "_shortages", "_waiting")

    def __init__(self, group: Group, clock: Clock, shortages: Shortages) -> None:
        self._group = group
        self._clock = clock
        self._shortages = shortages
        self._waiting: dict[CallDemand, Served] = {}
        self._looks = 0

    def wait(self, demand: CallDemand, served: Served, now: float, *, at_most_s: float) -> None:
        """Join the queue. `served` gets a checkout, or None if the wait ended without one."""
        self._waiting[demand] = served
        self._group.queue.join(demand)
        self._clock.at(now + at_most_s, lambda then: self._time_out(demand, served, then))
        self.serve(now)

    def serve(self, now: float) -> None:
        """Hand out the checkouts that are free now, in queue order."""
        self._looks += 1
        if not self._waiting:
            return
        group = self._group
        for demand, checkout in group.serve_queue(now):
            self._waiting.pop(demand)(checkout, now)
        for demand in group.unservable(now):
            self._end(demand, now)
        if self._waiting:
            self._shortages.report(group, now)
            pause_s = min(MAX_LOOK_S, max(MIN_LOOK_S, group.queue_moves_in_s(now)))
            look = self._looks
            self._clock.at(now + pause_s, lambda then: self._look(look, then))

    def _look(self, look: int, now: float) -> None:
        if look == self._looks:  # otherwise the queue has been served since this was planned
            self.serve(now)

    def _time_out(self, demand: CallDemand, served: Served, now: float) -> None:
        if self._waiting.get(demand) is served:
            self._end(demand, now)

    def _end(self, demand: CallDemand, now: float) -> None:
        served = self._waiting.pop(demand)
        self._group.queue.leave(demand)
        self._clock.at(now, lambda then: served(None, then))


class Proxy:
    """One instance. `followers`: the fallbacks of groups. `vendors` and `counts` hold the model and
    the statistics of each endpoint; `on_change` is called when the state of an endpoint changes."""

    def __init__(
        self,
        pool: Pool,
        settings: GeneralSettings,
        *,
        followers: Mapping[str, Followers],
        clock: Clock,
        results: Results,
        vendors: Mapping[EndpointState, SimulatedEndpoint],
        counts: Mapping[EndpointState, EndpointCount],
        random: Random,
    ) -> None:
        self.pool = pool
        self.settings = settings
        self.followers = followers
        self.clock = clock
        self.results = results
        self.vendors = vendors
        self.counts = counts
        self.draw = random.random
        self.policy = AttemptPolicy(settings.num_retries + 1, settings.queue)
        self.on_change: OnChange | None = None
        self._rooms: dict[str, SimulatedRoom] = {}
        self._shortages = Shortages()

    def take(self, arrival: Arrival, now: float) -> None:
        """Start a call."""
        _CallDriver(self, arrival, self.pool.groups[arrival.group], now).go_on(now)

    def room_of(self, group: Group) -> SimulatedRoom:
        """Return the group's waiting room."""
        room = self._rooms.get(group.name)
        if room is None:
            room = self._rooms[group.name] = SimulatedRoom(group, self.clock, self._shortages)
        return room

    def capacity_freed(self, now: float) -> None:
        """Serve the waiting calls of every group after a grant of capacity."""
        for room in self._rooms.values():
            room.serve(now)

    def report(self, change: StateChange | None, now: float) -> None:
        """Pass on a change of an endpoint's state."""
        if self.on_change is not None and change is not None:
            self.on_change(change, now)


class _CallDriver:
    """Carries out the decisions of one call's Attempts, from its arrival to its answer.

    Attempts end at planned moments. The end of one that was outrun meanwhile changes nothing.
    """

    __slots__ = ("_arrival", "_attempts", "_fallbacks", "_group", "_proxy", "_request", "_waited_s")

    def __init__(self, proxy: Proxy, arrival: Arrival, group: Group, now: float) -> None:
        self._proxy = proxy
        self._arrival = arrival
        settings = proxy.settings
        caller = "simulated" if full(settings).callers else None
        self._request = SimulatedRequest(now + settings.timeouts.total_s, caller)
        self._fallbacks = Fallbacks(proxy.followers.get(group.name, NONE))
        self._waited_s = 0.0
        self._enter(group, now)

    def _enter(self, group: Group, now: float) -> None:
        tokens = self._arrival.bound_tokens if group.estimates.needed else 0
        demand = CallDemand(tokens, spill_at=now + group.spill_wait_s)
        arrival, affinity = self._arrival, group.affinity
        if isinstance(affinity, GroupAffinity):
            key = arrival.conversation.encode()
            prompt_tokens = arrival.input_tokens if key else 0
            demand.conversation = affinity.turn_of(key, prompt_tokens, goes_on=arrival.turn > 0)
        self._group = group
        self._attempts = Attempts(group, self._request, demand, self._proxy.policy)

    def go_on(self, now: float) -> None:
        """Carry out the next decision."""
        proxy = self._proxy
        action = self._attempts.next(now, proxy.draw())
        match action:
            case Try():
                ends_at = self._send(action, now)
                self._plan_hedge(action, now, unless_over_at=ends_at)
            case WaitInLine(at_most_s):
                served = partial(self._left_queue, now)
                room, demand = proxy.room_of(self._group), self._attempts.demand
                room.wait(demand, served, now, at_most_s=at_most_s)
            case Pause(seconds):
                self._waited_s += seconds
                proxy.clock.at(now + seconds, self.go_on)
            case GiveUp(error):
                self._give_up(error, now)
            case _:
                assert_never(action)

    def _send(self, attempt: Try, now: float) -> float:
        """Plan the end of an attempt; returns when that is."""
        vendor = self._proxy.vendors[attempt.checkout.state]
        outcome = vendor.answer(self._arrival, now)
        deadline_at = self._request.deadline_at
        if outcome.ends_at > deadline_at:
            name = attempt.checkout.state.endpoint.name
            outcome.ends_at = deadline_at
            outcome.failure = TimedOut("the call's time is over", phase="total", endpoint=name)
        self._proxy.clock.at(outcome.ends_at, partial(self._end_attempt, attempt, outcome))
        return outcome.ends_at

    def _plan_hedge(self, silent: Try, now: float, *, unless_over_at: float) -> None:
        hedge_in_s = self._attempts.hedge_in_s()
        if hedge_in_s is not None and now + hedge_in_s < unless_over_at:
            self._proxy.clock.at(now + hedge_in_s, partial(self._begin_hedge, silent))

    def _begin_hedge(self, silent: Try, now: float) -> None:
        if self._attempts.under_way != [silent]:
            return  # it has ended meanwhile
        hedge = self._attempts.hedge(now)
        if hedge is None:
            self._proxy.clock.at(now + LOOK_AGAIN_S, partial(self._begin_hedge, silent))
            return
        self._proxy.results.hedges.begun += 1
        self._send(hedge, now)

    def _left_queue(self, since: float, checkout: Checkout | None, now: float) -> None:
        self._waited_s += now - since
        self._attempts.left_queue(checkout, now - since)
        self.go_on(now)

    def _end_attempt(self, attempt: Try, outcome: Outcome, now: float) -> None:
        if attempt not in self._attempts.under_way:
            return
        if outcome.failure is None:
            self._accepted(attempt, outcome, now)
        else:
            self._failed(attempt, outcome.failure, now)

    def _accepted(self, attempt: Try, outcome: Outcome, now: float) -> None:
        proxy, attempts, arrival = self._proxy, self._attempts, self._arrival
        self._note_limits(attempt, outcome.headers())
        proxy.report(attempts.accepted(attempt, now), now)
        if (conversation := attempts.demand.conversation) is not None:
            conversation.served(attempt.checkout.state, now)
        for other in [other for other in attempts.under_way if other is not attempt]:
            for change in attempts.outrun(other, now, proxy.draw()):
                proxy.report(change, now)
        used_tokens = arrival.input_tokens + arrival.output_tokens
        attempts.finished(attempt, now, used_tokens=used_tokens)
        self._serve_waiting(now)
        count = proxy.counts[attempt.checkout.state]
        proxy.results.hedges.won += attempt.is_hedge
        proxy.results.took_s.append(now - arrival.at_s)
        count.tokens.cached += outcome.cached_tokens
        proxy.results.answered(count, arrival, self._waited_s, attempt.checkout.began_at)

    def _failed(self, attempt: Try, failure: UpstreamError, now: float) -> None:
        proxy = self._proxy
        count = proxy.counts[attempt.checkout.state]
        if isinstance(failure, Throttled):
            count.refused += 1
        else:
            count.failed += 1
        if failure.answer is not None:
            self._note_limits(attempt, failure.answer.headers)
        for change in self._attempts.failed(attempt, failure, now, proxy.draw()).changes:
            proxy.report(change, now)
        self._serve_waiting(now)
        if self._attempts.under_way:
            (other,) = self._attempts.under_way
            self._plan_hedge(other, now, unless_over_at=self._request.deadline_at)
        else:
            self.go_on(now)

    def _note_limits(self, attempt: Try, headers: Headers) -> None:
        if not attempt.checkout.wants_report:
            return
        provider = attempt.checkout.state.endpoint.provider
        if limits := provider.rate_limits(headers, wall_now=0.0):
            self._attempts.learn(attempt, limits)

    def _serve_waiting(self, now: float) -> None:
        if self._group.queue.waiters:
            self._proxy.room_of(self._group).serve(now)

    def _give_up(self, error: GatewayError, now: float) -> None:
        self._attempts.close(now)
        fallbacks = self._fallbacks
        group = fallbacks.after(error, may_go_elsewhere=self._attempts.may_go_elsewhere)
        if group is not None:
            self._enter(group, now)
            self.go_on(now)
            return
        status = (fallbacks.error or error).status
        self._proxy.results.failed(status, self._arrival, self._waited_s, now)
