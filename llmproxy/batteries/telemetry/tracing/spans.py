"""Builds the spans of a finished call: one for the call and, below it, one for each attempt.

The answered attempt ends with the answer, so with the call. Only its span has token counts: a
program that adds up tokens over all spans must find them once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from llmproxy.batteries.telemetry.tracing import otlp
from llmproxy.batteries.telemetry.tracing.names import (
    UNKNOWN_ENDPOINT,
    EndpointLabels,
    operation_name,
)
from llmproxy.batteries.telemetry.tracing.otlp import SpanIds, Value
from llmproxy.batteries.telemetry.tracing.trace_context import valid_state
from llmproxy.calls import TraceContext
from llmproxy.events import CallFinished
from llmproxy.record import CLIENT_CLOSED_REQUEST
from llmproxy.steps import Attempt, AttemptOutcome, Changed, FellBack, PassedOver

Labels = Mapping[tuple[str, str], EndpointLabels]
# A client's values may be as long as a head.
MAX_CHARS = 256


def spans_of(call: CallFinished, trace: TraceContext, labels: Labels) -> list[bytes]:
    """Return the spans of a traced call, its own first. `labels`: by group and endpoint."""
    return _CallSpans(call, trace, labels).spans()


class _CallSpans:
    """Builds the spans of one call."""

    def __init__(self, call: CallFinished, trace: TraceContext, labels: Labels) -> None:
        self._labels = labels
        self._event = call
        self._record = record = call.record
        self._trace = trace
        self._trace_id = bytes.fromhex(trace.trace_id)
        self._state = valid_state(trace.state)
        operation, model = record.request.operation, record.request.model
        self._operation = None if operation is None else operation_name(operation)
        self._model = None if model is None else model[:MAX_CHARS]
        # Converts the clock of the steps to Unix time.
        self._ended_at = record.request.received_at + call.total_s
        self._wall_minus_clock_s = call.ended_at - self._ended_at
        self._attempts: list[Attempt] = []

    def spans(self) -> list[bytes]:
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
                    events.append(self._step("llmproxy.skipped", step.at, attributes))
                case Changed():
                    attributes = {"llmproxy.endpoint": step.endpoint, "llmproxy.why": step.changes}
                    events.append(self._step("llmproxy.changed", step.at, attributes))
                case FellBack():
                    group = step.group
                    events.append(
                        self._step("llmproxy.fallback", step.at, {"llmproxy.group": group})
                    )
                case _:
                    assert_never(step)
        own = otlp.span(
            self._ids(trace.span_id, trace.parent_id, remote=trace.parent_id is not None),
            self._name(self._model),
            "server",
            times=(
                self._nanoseconds(record.request.received_at),
                self._nanoseconds(self._ended_at),
            ),
            attributes=self._call_attributes(),
            events=events,
            failed=record.answer.status >= 500 or self._broken,
        )
        return [own, *attempts]

    @property
    def _broken(self) -> bool:
        """Whether the answer began well and broke off."""
        answer = self._record.answer
        return answer.error is not None and 200 <= answer.status < 400

    def _call_attributes(self) -> list[bytes]:
        event, record = self._event, self._record
        request, answer = record.request, record.answer
        method, _, path = request.line.partition(" ")
        left = answer.status == CLIENT_CLOSED_REQUEST  # this status was never sent
        return _attributes(
            recurring={
                "gen_ai.operation.name": self._operation,
                "gen_ai.request.model": self._model,
                "gen_ai.request.stream": request.stream or None,
                "http.request.method": method,
                "url.path": path[:MAX_CHARS],
                "http.response.status_code": None if left else answer.status or None,
                "error.type": answer.error,
                "llmproxy.caller": request.caller,
                "llmproxy.team": request.team,
                "llmproxy.key": request.key,
                "llmproxy.tags": ",".join(request.tags) or None,
                "llmproxy.group": record.group,
                "llmproxy.fallback": record.fallback,
                "llmproxy.endpoint": record.endpoint,
                "llmproxy.attempts": record.attempts,
                "llmproxy.cache": record.cache,
            },
            its_own={
                "llmproxy.call_id": request.id or None,
                "user.id": request.end_user,
                "llmproxy.first_byte_ms": _ms(event.first_byte_s),
                "llmproxy.overhead_ms": _ms(event.overhead_s),
                "llmproxy.waited_ms": _ms(self._waited_s()),
            },
        )

    def _attempt(self, step: Attempt, number: int, group: str) -> bytes:
        labels = self._labels.get((group, step.endpoint), UNKNOWN_ENDPOINT)
        answered = step.outcome is AttemptOutcome.ANSWERED
        model = labels.model or self._model
        ended_at = self._ended_at if answered else step.began_at + step.took_s
        reason = self._record.answer.error if answered and self._broken else step.reason
        recurring = {
            "gen_ai.operation.name": self._operation,
            "gen_ai.provider.name": labels.provider,
            "gen_ai.request.model": model,
            "gen_ai.request.stream": self._record.request.stream or None,
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
        }
        return otlp.span(
            self._ids(self._trace.attempt_id(number), self._trace.span_id),
            self._name(model),
            "client",
            times=(self._nanoseconds(step.began_at), self._nanoseconds(ended_at)),
            attributes=_attributes(recurring, self._of_the_answer(step) if answered else {}),
            failed=step.outcome is AttemptOutcome.FAILED or (answered and self._broken),
        )

    def _of_the_answer(self, step: Attempt) -> dict[str, Value | None]:
        """Return what only the attempt that was answered has."""
        request, answer = self._record.request, self._record.answer
        usage, id = answer.usage, answer.request_id
        return {
            "gen_ai.response.time_to_first_chunk": step.took_s if request.stream else None,
            "gen_ai.usage.input_tokens": usage.input_tokens if usage else None,
            "gen_ai.usage.output_tokens": usage.output_tokens if usage else None,
            "gen_ai.usage.cache_read.input_tokens": (usage.cached_tokens or None)
            if usage
            else None,
            "llmproxy.upstream_request_id": id.decode("latin-1") if id else None,
        }

    def _step(self, name: str, at: float, attributes: Mapping[str, Value | None]) -> bytes:
        return otlp.event(name, self._nanoseconds(at), _attributes(attributes, {}))

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

    def _ids(self, span_id: int, parent_id: int | None, *, remote: bool = False) -> SpanIds:
        return SpanIds(self._trace_id, span_id, parent_id, remote, self._state)

    def _nanoseconds(self, moment: float) -> int:
        return int((moment + self._wall_minus_clock_s) * 1e9)


def _attributes(
    recurring: Mapping[str, Value | None], its_own: Mapping[str, Value | None]
) -> list[bytes]:
    """Return the attributes that have a value: those that many spans have, and the span's own."""
    attributes = [
        otlp.recurring_attribute(name, value)
        for name, value in recurring.items()
        if value is not None
    ]
    for name, value in its_own.items():
        if value is not None:
            attributes.append(otlp.attribute(name, value))
    return attributes


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
