"""The ledger: counts what is told of calls and attempts, and keeps the latest calls.

A call only leaves its event here; the events are entered many at a time, because code and data
that are still in the processor's caches make that several times cheaper.
"""

from __future__ import annotations

from collections import deque
from typing import assert_never

from llmproxy.events import AttemptEnded, CallFinished, EndpointStateChanged, Listener
from llmproxy.operations import Usage
from llmproxy.rules.prices import Prices, cost_usd
from llmproxy.steps import AttemptOutcome, Verdict
from llmproxy.telemetry.tally import (
    OVERHEAD_SECONDS,
    SECONDS,
    CallerTally,
    EndpointTally,
    GroupTally,
    Tally,
    status_class,
)

# So many events are entered at once: a pause of some 0.2 ms.
BATCH = 64
# Of all calls, and of those that did not go straight, so many are kept.
KEPT_CALLS = 200


class Ledger(Listener):
    """A Listener. Owns the tally of this process and the events not yet entered.

    `prices` by group and endpoint; whoever changes the config changes them. `tally` may be given to
    go on from.
    """

    def __init__(self, tally: Tally | None = None) -> None:
        self.prices: Prices = {}
        self.latest: deque[CallFinished] = deque(maxlen=KEPT_CALLS)
        self.notable: deque[CallFinished] = deque(maxlen=KEPT_CALLS)
        self._tally = tally or Tally()
        self._calls: list[CallFinished] = []
        self._attempts: list[AttemptEnded] = []

    def call_finished(self, event: CallFinished) -> None:
        """A call is over."""
        self._calls.append(event)
        if len(self._calls) >= BATCH:
            self.enter()

    def attempt_ended(self, event: AttemptEnded) -> None:
        """An attempt is over."""
        self._attempts.append(event)

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """An endpoint left the healthy state or came back."""
        changes = self._endpoint(event.group, event.endpoint).changes
        changes[event.state] = changes.get(event.state, 0) + 1

    def tally(self) -> Tally:
        """All that was told until now."""
        self.enter()
        return self._tally

    def enter(self) -> None:
        """Enter what was told and is not entered yet."""
        calls, self._calls = self._calls, []
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            self._enter_attempt(attempt)
        for call in calls:
            self._enter_call(call)
        self.latest.extend(calls)

    def _enter_attempt(self, event: AttemptEnded) -> None:
        attempt = event.attempt
        entry = self._endpoint(event.group, attempt.endpoint)
        match attempt.outcome:
            case AttemptOutcome.ANSWERED:
                entry.answered += 1
                entry.first_byte.add(attempt.took_s, SECONDS)
            case AttemptOutcome.FAILED:
                _enter_failure(entry, attempt.reason or "failed", attempt.verdict)
            case AttemptOutcome.ABANDONED:
                entry.abandoned += 1
            case _:
                assert_never(attempt.outcome)
        if event.broken:
            entry.interrupted += 1
        usage = event.usage
        if usage is None:
            return
        entry.input_tokens += usage.input_tokens
        entry.output_tokens += usage.output_tokens
        entry.cached_tokens += usage.cached_tokens
        price = self.prices.get((event.group, attempt.endpoint))
        if price is not None:
            entry.cost_usd += cost_usd(price, usage)

    def _enter_call(self, event: CallFinished) -> None:
        record = event.record
        group, status = self._group(record.group or ""), record.answer.status
        by_status = group.calls.setdefault(record.endpoint or "", {})
        kind = status_class(status)
        by_status[kind] = by_status.get(kind, 0) + 1
        broken = status < 400 and record.answer.error is not None
        failed = status >= 500 or status == 429 or broken
        if failed:
            group.errors += 1
        if record.fallback is not None:
            group.fallbacks += 1
        if event.first_byte_s is not None:
            group.first_byte.add(event.first_byte_s, SECONDS)
        group.total.add(event.total_s, SECONDS)
        group.overhead.add(event.overhead_s, OVERHEAD_SECONDS)
        caller = record.request.caller
        if caller is not None:
            self._enter_caller(caller, kind, record.answer.usage)
        if failed or record.attempts > 1 or record.fallback is not None:
            self.notable.append(event)

    def _enter_caller(self, name: str, kind: str, usage: Usage | None) -> None:
        caller = self._tally.callers.get(name)
        if caller is None:
            caller = self._tally.callers[name] = CallerTally()
        caller.calls[kind] = caller.calls.get(kind, 0) + 1
        if usage is not None:
            caller.input_tokens += usage.input_tokens
            caller.output_tokens += usage.output_tokens

    def _group(self, name: str) -> GroupTally:
        group = self._tally.groups.get(name)
        if group is None:
            group = self._tally.groups[name] = GroupTally()
        return group

    def _endpoint(self, group_name: str, name: str) -> EndpointTally:
        endpoints = self._group(group_name).endpoints
        entry = endpoints.get(name)
        if entry is None:
            entry = endpoints[name] = EndpointTally()
        return entry


def _enter_failure(entry: EndpointTally, reason: str, verdict: Verdict | None) -> None:
    counted = [entry.failed]
    if verdict is Verdict.NEXT_ENDPOINT:
        counted.append(entry.moved)
    elif verdict is Verdict.SAME_ENDPOINT:
        counted.append(entry.retried)
    for counts in counted:
        counts[reason] = counts.get(reason, 0) + 1
