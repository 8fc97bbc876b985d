"""Decides what follows from an endpoint's silence: a hedge, and perhaps a failure.

Silence alone is no failure: an endpoint that has accepted a call may need long. It is a failure if
other endpoints answer meanwhile, several times in a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Coroutine
from typing import Any

from llmproxy.batteries.hedging.promptness import HedgeBudget, Promptness, kind_of, model_thinks
from llmproxy.batteries.hedging.race import Alarms, Race
from llmproxy.calls import Accepted
from llmproxy.config import GeneralSettings
from llmproxy.errors import TimedOut
from llmproxy.routing.actions import RoutedCall, Try
from llmproxy.routing.endpoint import EndpointState, StateChange, fail_breaker
from llmproxy.routing.group import Entrant, Group
from llmproxy.routing.tier import CallDemand
from llmproxy.rules.breaker import BreakerState


class GroupHedging:
    """The hedges of one group. Implements `Hedging`.

    `budget`: how many may begin. `_after_s`: the configured silence after which a hedge begins;
    None = learned for each endpoint.
    """

    __slots__ = ("_after_s", "_alarms", "_promptness", "budget")

    def __init__(self, alarms: Alarms) -> None:
        self.budget = HedgeBudget()
        self._after_s: float | None = None
        self._alarms = alarms
        # A default, because an endpoint that has left the config may still have calls under way.
        self._promptness: defaultdict[EndpointState, Promptness] = defaultdict(Promptness)

    def adopt(self, settings: GeneralSettings, states: Collection[EndpointState]) -> None:
        """Apply a config's settings and endpoints. What was learned of an endpoint is kept."""
        self.budget.share = settings.hedge_budget if settings.hedge == "auto" else 0.0
        self._after_s = settings.hedge_after_s
        known = {_key(state): promptness for state, promptness in self._promptness.items()}
        self._promptness.clear()
        for state in states:
            promptness = self._promptness[state] = known.get(_key(state)) or Promptness()
            model = state.endpoint.model
            promptness.thinks = model is not None and model_thinks(model)

    def after_s(self, call: RoutedCall, attempt: Try, *, is_first: bool) -> float | None:
        """Return after how many seconds of silence an attempt may be hedged; None: not at all."""
        if not self.budget.share or not call.hedgeable:
            return None
        if is_first:
            self.budget.note_call()
        return self._suspicious_after_s(call, self._promptness[attempt.checkout.state])

    def answered(self, call: RoutedCall, attempt: Try, now: float) -> None:
        """Learn how soon an endpoint's answer began."""
        if self.budget.share:
            promptness = self._promptness[attempt.checkout.state]
            promptness.answered(_kind_at(call, promptness), now - attempt.checkout.began_at)

    def begin(
        self,
        group: Group,
        demand: CallDemand,
        silent: Try,
        useless: Collection[EndpointState],
        now: float,
    ) -> Try | None:
        """Begin an attempt at another endpoint; None if none has capacity or no budget is left.

        If the silent endpoint is no longer available, the attempt uses the retry budget instead.
        """
        if group.queue.waiters:  # calls that wait for capacity come first
            return None
        is_retry = not silent.checkout.state.available(now)
        if not (group.budget.allows(group.in_flight) if is_retry else self.budget.may_take):
            return None
        tried, demand.excluded = demand.excluded, [*useless, silent.checkout.state]
        checkout = group.take_as_newcomer(demand, now)
        demand.excluded = tried
        if checkout is None:
            return None
        if is_retry:
            group.budget.begin()
        else:
            self.budget.take()
        tried.append(checkout.state)
        return Try(checkout, is_retry, is_hedge=True)

    def outrun(self, call: RoutedCall, attempt: Try, now: float, draw: float) -> list[StateChange]:
        """Judge an endpoint whose attempt was given up because another one was accepted first.

        A silence of unusual length is a failure if the attempt was a breaker's probe, or if it is
        the third in a row. Otherwise it says nothing about the endpoint.
        """
        checkout, silent_s = attempt.checkout, now - attempt.checkout.began_at
        promptness = self._promptness[attempt.checkout.state]
        is_suspicious = silent_s >= self._suspicious_after_s(call, promptness)
        promptness.given_up(_kind_at(call, promptness), silent_s, suspicious=is_suspicious)
        is_closed = checkout.state.breaker.state(now) is BreakerState.CLOSED
        if not is_suspicious or (is_closed and not promptness.is_silent):
            checkout.says_nothing(now)
            return []
        text = f"silent for {silent_s:.1f} s, until another endpoint answered the call"
        return fail_breaker(checkout, TimedOut(text, phase="first byte"), now, draw)

    def race(
        self, entrant: Entrant, first: Try, hedge_at: float
    ) -> Coroutine[Any, Any, Accepted | None]:
        """Make an attempt, and hedges from `hedge_at` on; return None if all have failed."""
        return Race(entrant, self._alarms, hedge_at).run(first)

    def _suspicious_after_s(self, call: RoutedCall, promptness: Promptness) -> float:
        """Return the seconds of silence that are unusual for a call at an endpoint."""
        if self._after_s is not None:
            return self._after_s
        return promptness.suspicious_after_s(_kind_at(call, promptness))


def _key(state: EndpointState) -> tuple[str, str]:
    """Return what identifies an endpoint across configs."""
    return state.endpoint.name, state.endpoint.account


def _kind_at(call: RoutedCall, promptness: Promptness) -> int:
    thinks = call.thinks
    if thinks is None:
        thinks = promptness.thinks or (call.model is not None and model_thinks(call.model))
    return kind_of(stream=call.stream, thinks=thinks)
