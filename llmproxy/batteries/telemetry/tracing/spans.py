"""Builds the spans of a finished call: one for the call and, below it, one for each attempt.

The answered attempt ends with the answer, so with the call. Only its span has token counts: a
program that adds up tokens over all spans must find them once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from llmproxy.batteries.telemetry.tracing.names import (
    UNKNOWN_ENDPOINT,
    EndpointLabels,
    operation_name,
)
from llmproxy.calls import TraceContext
from llmproxy.events import CallFinished
from llmproxy.record import CLIENT_CLOSED_REQUEST
from llmproxy.steps import Attempt, AttemptOutcome, Changed, FellBack, PassedOver

Value = str | int | float | bool
UNSET, FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
# A client's values may be as long as a head.
MAX_CHARS = 256


class SpanBuilder:
    """Builds spans. `labels`: of endpoints, by group and name; `resource`: this service."""

    def __init__(
        self,
        labels: Mapping[tuple[str, str], EndpointLabels],
        resource: Resource,
        scope: InstrumentationScope,
    ) -> None:
        self._labels = labels
        self._resource = resource
        self._scope = scope

    def of(self, call: CallFinished, trace: TraceContext) -> list[ReadableSpan]:
        """Return the spans of a traced call, its own first."""
        return _CallSpans(self, call, trace).spans()

    def labels_of(self, group: str, endpoint: str) -> EndpointLabels:
        """Return an endpoint's labels; placeholders if the config no longer has it."""
        return self._labels.get((group, endpoint), UNKNOWN_ENDPOINT)

    def span(
        self,
        name: str,
        kind: SpanKind,
        *,
        context: SpanContext,
        parent: SpanContext | None,
        times: tuple[int, int],
        attributes: Mapping[str, Value | None],
        failed: bool,
        events: tuple[Event, ...] = (),
    ) -> ReadableSpan:
        """Build one span. `times`: its start and end, Unix time in nanoseconds."""
        return ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            {key: value for key, value in attributes.items() if value is not None},
            events,
            kind=kind,
            status=FAILED if failed else UNSET,
            start_time=times[0],
            end_time=times[1],
            instrumentation_scope=self._scope,
        )


class _CallSpans:
    """Builds the spans of one call."""

    def __init__(self, maker: SpanBuilder, call: CallFinished, trace: TraceContext) -> None:
        self._maker = maker
        self._event = call
        self._record = record = call.record
        self._trace = trace
        self._state = TraceState.from_header([trace.state]) if trace.state else TraceState()
        operation, model = record.request.operation, record.request.model
        self._operation = None if operation is None else operation_name(operation)
        self._model = None if model is None else model[:MAX_CHARS]
        # Converts the clock of the steps to Unix time.
        self._ended_at = record.request.received_at + call.total_s
        self._wall_minus_clock_s = call.ended_at - self._ended_at
        self._attempts: list[Attempt] = []

    def spans(self) -> list[ReadableSpan]:
        """Return the call's own span, then those of its attempts in order."""
        record, trace = self._record, self._trace
        attempts, events = [], []
        group = record.group or ""
        # Attempts are numbered as they begin; the steps are in the order of their ends.
        self._attempts = [step for step in record.steps if isinstance(step, Attempt)]
        self._attempts.sort(key=lambda attempt: attempt.began_at)
        for step in record.steps:
            match step:
                case Attempt():
                    attempts.append(self._attempt(step, self._attempts.index(step) + 1, group))
                case PassedOver():
                    attributes = {"llmproxy.endpoint": step.endpoint, "llmproxy.why": step.why}
                    events.append(Event("llmproxy.skipped", attributes, self._nanoseconds(step.at)))
                case Changed():
                    attributes = {"llmproxy.endpoint": step.endpoint, "llmproxy.why": step.changes}
                    events.append(Event("llmproxy.changed", attributes, self._nanoseconds(step.at)))
                case FellBack():
                    group = step.group
                    attributes = {"llmproxy.group": group}
                    events.append(
                        Event("llmproxy.fallback", attributes, self._nanoseconds(step.at))
                    )
                case _:
                    assert_never(step)
        times = (self._nanoseconds(record.request.received_at), self._nanoseconds(self._ended_at))
        parent = None
        if trace.parent_id is not None:
            parent = self._context(trace.parent_id, remote=True)
        own = self._maker.span(
            self._name(self._model),
            SpanKind.SERVER,
            context=self._context(trace.span_id),
            parent=parent,
            times=times,
            attributes=self._call_attributes(),
            failed=record.answer.status >= 500 or self._broken,
            events=tuple(events),
        )
        return [own, *attempts]

    @property
    def _broken(self) -> bool:
        """Whether the answer began well and broke off."""
        answer = self._record.answer
        return answer.error is not None and 200 <= answer.status < 400

    def _call_attributes(self) -> dict[str, Value | None]:
        event, record = self._event, self._record
        request, answer = record.request, record.answer
        method, _, path = request.line.partition(" ")
        left = answer.status == CLIENT_CLOSED_REQUEST  # this status was never sent
        return {
            "gen_ai.operation.name": self._operation,
            "gen_ai.request.model": self._model,
            "gen_ai.request.stream": request.stream or None,
            "http.request.method": method,
            "url.path": path[:MAX_CHARS],
            "http.response.status_code": None if left else answer.status or None,
            "error.type": answer.error,
            "llmproxy.call_id": request.id or None,
            "llmproxy.caller": request.caller,
            "llmproxy.team": request.team,
            "llmproxy.key": request.key,
            "llmproxy.tags": ",".join(request.tags) or None,
            "user.id": request.end_user,
            "llmproxy.group": record.group,
            "llmproxy.fallback": record.fallback,
            "llmproxy.endpoint": record.endpoint,
            "llmproxy.attempts": record.attempts,
            "llmproxy.cache": record.cache,
            "llmproxy.first_byte_ms": _ms(event.first_byte_s),
            "llmproxy.overhead_ms": _ms(event.overhead_s),
            "llmproxy.waited_ms": _ms(self._waited_s()),
        }

    def _attempt(self, step: Attempt, number: int, group: str) -> ReadableSpan:
        request, answer = self._record.request, self._record.answer
        labels = self._maker.labels_of(group, step.endpoint)
        answered = step.outcome is AttemptOutcome.ANSWERED
        reason = answer.error if answered and self._broken else step.reason
        model = labels.model or self._model
        usage = answer.usage if answered else None
        ended_at = self._ended_at if answered else step.began_at + step.took_s
        return self._maker.span(
            self._name(model),
            SpanKind.CLIENT,
            context=self._context(self._trace.attempt_id(number)),
            parent=self._context(self._trace.span_id),
            times=(self._nanoseconds(step.began_at), self._nanoseconds(ended_at)),
            attributes={
                "gen_ai.operation.name": self._operation,
                "gen_ai.provider.name": labels.provider,
                "gen_ai.request.model": model,
                "gen_ai.request.stream": request.stream or None,
                "gen_ai.response.time_to_first_chunk": (
                    step.took_s if answered and request.stream else None
                ),
                "gen_ai.usage.input_tokens": usage.input_tokens if usage else None,
                "gen_ai.usage.output_tokens": usage.output_tokens if usage else None,
                "gen_ai.usage.cache_read.input_tokens": (usage.cached_tokens or None)
                if usage
                else None,
                "server.address": labels.address or None,
                "server.port": labels.port or None,
                "http.response.status_code": step.status,
                "error.type": reason,
                "llmproxy.group": group,
                "llmproxy.endpoint": step.endpoint,
                "llmproxy.attempt": number,
                "llmproxy.hedge": step.hedge or None,
                "llmproxy.outcome": step.outcome,
                "llmproxy.verdict": step.verdict,
                "llmproxy.upstream_request_id": (
                    answer.request_id.decode("latin-1") if answered and answer.request_id else None
                ),
            },
            failed=step.outcome is AttemptOutcome.FAILED or (answered and self._broken),
        )

    def _waited_s(self) -> float:
        """Return the time before the first byte that was spent on waiting: for capacity, between
        attempts, or for another call's answer."""
        event = self._event
        until_s = event.total_s if event.first_byte_s is None else event.first_byte_s
        return max(
            0.0, until_s - event.overhead_s - sum(attempt.took_s for attempt in self._attempts)
        )

    def _name(self, model: str | None) -> str:
        """Return the span's name; the method if the request was refused unparsed."""
        if self._operation is None:
            return self._record.request.line.partition(" ")[0]
        return self._operation if model is None else f"{self._operation} {model}"

    def _context(self, span_id: int, *, remote: bool = False) -> SpanContext:
        trace_id, flags = int(self._trace.trace_id, 16), TraceFlags(self._trace.flags)
        return SpanContext(trace_id, span_id, remote, flags, self._state)

    def _nanoseconds(self, moment: float) -> int:
        return int((moment + self._wall_minus_clock_s) * 1e9)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
