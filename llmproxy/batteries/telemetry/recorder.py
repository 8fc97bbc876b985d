"""The metrics recorder: counts calls and attempts, and keeps the latest calls.

A hook only appends its event to a list. Pending events are recorded many at a time: code and data
are then still in the processor's caches, which makes it several times cheaper.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import assert_never

from llmproxy.batteries.spend.charging import nano_usd
from llmproxy.batteries.telemetry.counters import (
    OVERHEAD_SECONDS,
    SECONDS,
    CallCounters,
    EndpointCounters,
    GroupCounters,
    HedgeCounters,
    status_class,
)
from llmproxy.events import (
    AttemptEnded,
    CallFinished,
    EndpointStateChanged,
    HealthChecked,
    Listener,
)
from llmproxy.operations import Usage
from llmproxy.protocols import Prices
from llmproxy.record import CLIENT_CLOSED_REQUEST, AnswerSummary, Basis, CallRecord, Cost
from llmproxy.steps import ANSWERED, FAILED, OUTRUN, Attempt, AttemptOutcome, FellBack, Verdict

# Events that are recorded at once: a pause of some 0.2 ms.
BATCH = 64
# Kept of all calls, and as many of those that failed, were retried or fell back.
KEPT_CALLS = 200


UNKNOWN = Basis.UNKNOWN  # Python finds a global sooner than an Enum's member
# Errors that an operator can do something about.
OURS = ("upstream", "proxy")


class MetricsRecorder(Listener):
    """Owns the counters of this process and the events that are not recorded yet.

    Attributes:
        prices: By group and endpoint; replaced when the config changes.
        latest: The last calls, oldest first.
        notable: The last calls that failed, were retried or fell back, oldest first.
        losses: Count the calls that a log has lost, by the log's name.
    """

    def __init__(self) -> None:
        self.prices: Prices = {}
        self.latest: deque[CallFinished] = deque(maxlen=KEPT_CALLS)
        self.notable: deque[CallFinished] = deque(maxlen=KEPT_CALLS)
        self.losses: dict[str, Callable[[], int]] = {}
        self._counters = CallCounters()
        self._calls: list[CallFinished] = []
        self._attempts: list[AttemptEnded] = []

    def call_finished(self, event: CallFinished) -> None:
        """Take note of the end of a call."""
        self._calls.append(event)
        if len(self._calls) >= BATCH:
            self.record_pending()

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Take note of the end of an attempt."""
        self._attempts.append(event)

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """Count a change of an endpoint's state."""
        changes = self._endpoint(event.group, event.endpoint).changes
        changes[event.state] = changes.get(event.state, 0) + 1

    def health_checked(self, event: HealthChecked) -> None:
        """Count a health check."""
        checks = self._group(event.group).health_checks.setdefault(event.endpoint, {})
        checks[event.result] = checks.get(event.result, 0) + 1

    def counters(self) -> CallCounters:
        """Return what was counted so far, this moment included."""
        self.record_pending()
        self._counters.lost = {log: lost() for log, lost in self.losses.items()}
        return self._counters

    def record_pending(self) -> None:
        """Count the events that are not counted yet."""
        calls, self._calls = self._calls, []
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            self._record_attempt(attempt)
        for call in calls:
            self._record_call(call)
        self.latest.extend(calls)

    def _record_attempt(self, event: AttemptEnded) -> None:
        attempt = event.attempt
        entry = self._endpoint(event.group, attempt.endpoint)
        if attempt.outcome is ANSWERED:
            entry.answered += 1
            entry.first_byte.add(attempt.took_s, SECONDS)
        elif attempt.outcome is FAILED:
            _record_failure(entry, attempt.reason or "failed", attempt.verdict)
        else:
            entry.abandoned += 1
        if event.broken:
            entry.interrupted += 1
        usage = event.usage
        if usage is None:
            return
        entry.input_tokens += usage.input_tokens
        entry.output_tokens += usage.output_tokens
        entry.prompt_cache.tokens += usage.cached_tokens
        price = self.prices.get((event.group, attempt.endpoint))
        if price is not None:
            cost = nano_usd(price, usage)
            entry.nano_usd += cost
            if usage.cached_tokens:
                fresh = Usage(usage.input_tokens, usage.output_tokens)
                entry.prompt_cache.saved_nano_usd += nano_usd(price, fresh) - cost

    def _record_call(self, event: CallFinished) -> None:
        record = event.record
        answer, caller = record.answer, record.request.caller
        group, status = self._group(record.group or ""), answer.status
        by_status = group.calls.setdefault(record.endpoint or "", {})
        kind = status_class(status)
        by_status[kind] = by_status.get(kind, 0) + 1
        broken = status < 400 and answer.error is not None
        failed = status >= 500 or status == 429 or broken
        if source := _source_of(answer, failed=failed):
            group.errors_by_source[source] += 1
            group.errors += source in OURS
        if record.fallback is not None:
            group.fallbacks += 1
        if event.first_byte_s is not None:
            group.first_byte.add(event.first_byte_s, SECONDS)
        group.total.add(event.total_s, SECONDS)
        group.overhead.add(event.overhead_s, OVERHEAD_SECONDS)
        if caller is not None:
            self._record_caller(caller, kind, answer.usage)
        if record.cost is not None:
            self._record_cost(record, record.cost)
        if failed or record.attempts > 1 or record.fallback is not None:
            self.notable.append(event)
            self._record_hedges(record)

    def _record_cost(self, record: CallRecord, cost: Cost) -> None:
        request, name = record.request, record.fallback or record.group or ""
        spend = self._counters.spend_of(request.team or "", request.caller or "", name)
        spend.add(cost, record.answer.usage)
        if cost.basis is UNKNOWN:
            unknown, endpoint = self._group(name).unknown_costs, record.endpoint or ""
            unknown[endpoint] = unknown.get(endpoint, 0) + 1

    def _record_hedges(self, record: CallRecord) -> None:
        name, usage = record.group or "", record.answer.usage
        for step in record.steps:
            if isinstance(step, FellBack):
                name = step.group
            if not isinstance(step, Attempt):
                continue
            hedges, outrun = self._group(name).hedges, step.reason == OUTRUN
            if step.hedge:
                _count_hedge(hedges, step.outcome, outrun=outrun)
            if outrun and usage is not None:
                hedges.input_tokens += usage.input_tokens
                price = self.prices.get((name, step.endpoint))
                if price is not None:
                    hedges.nano_usd += nano_usd(price, Usage(usage.input_tokens, 0, 0))

    def _record_caller(self, name: str, kind: str, usage: Usage | None) -> None:
        caller = self._counters.caller(name)
        caller.calls[kind] = caller.calls.get(kind, 0) + 1
        if usage is not None:
            caller.input_tokens += usage.input_tokens
            caller.output_tokens += usage.output_tokens

    def _group(self, name: str) -> GroupCounters:
        group = self._counters.groups.get(name)
        if group is None:
            group = self._counters.groups[name] = GroupCounters()
        return group

    def _endpoint(self, group_name: str, name: str) -> EndpointCounters:
        endpoints = self._group(group_name).endpoints
        entry = endpoints.get(name)
        if entry is None:
            entry = endpoints[name] = EndpointCounters()
        return entry


def _count_hedge(hedges: HedgeCounters, outcome: AttemptOutcome, *, outrun: bool) -> None:
    match outcome:
        case AttemptOutcome.ANSWERED:
            hedges.won += 1
        case AttemptOutcome.FAILED:
            hedges.failed += 1
        case AttemptOutcome.ABANDONED if outrun:
            hedges.lost += 1
        case AttemptOutcome.ABANDONED:
            hedges.abandoned += 1
        case _:
            assert_never(outcome)


def _record_failure(entry: EndpointCounters, reason: str, verdict: Verdict | None) -> None:
    counted = [entry.failed]
    if verdict is Verdict.NEXT_ENDPOINT:
        counted.append(entry.moved)
    elif verdict is Verdict.SAME_ENDPOINT:
        counted.append(entry.retried)
    for counts in counted:
        counts[reason] = counts.get(reason, 0) + 1


def _source_of(answer: AnswerSummary, *, failed: bool) -> str | None:
    """Return whose trouble a call's error was; None if it had none, or the client left."""
    if (answer.status < 400 and not failed) or answer.status == CLIENT_CLOSED_REQUEST:
        return None
    return answer.error_source or ("upstream" if failed else "client")
