"""What `/admin/calls` and `/admin/events` tell of a call: why it went where it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from llmproxy.admin.stats import in_ms, ms
from llmproxy.admin.stats.collector import StatsCollector
from llmproxy.events import CallFinished
from llmproxy.steps import Attempt, FellBack, PassedOver, Step

if TYPE_CHECKING:
    pass


class TraceStep(BaseModel):
    """One step; `at_ms` is counted from the call's arrival.

    skipped: an endpoint took no call, and why. attempt: how it ended, after `ms`. fallback: the
    call went on in another group.
    """

    what: Literal["skipped", "attempt", "fallback"]
    endpoint: str | None
    at_ms: float
    why: str | None = None
    ms: float | None = None
    outcome: str | None = None
    reason: str | None = None
    status: int | None = None
    verdict: str | None = None


class CallTrace(BaseModel):
    """One call. `at`: Unix seconds of its end; `waited_ms`: until the first byte, for others."""

    id: str | None
    at: float
    request: str
    stream: bool
    group: str | None
    fallback: str | None
    caller: str | None
    client: str | None
    endpoint: str | None
    status: int
    error: str | None
    cache: str | None
    first_byte_ms: float | None
    total_ms: float
    overhead_ms: float
    waited_ms: float
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cost_usd: float | None
    steps: list[TraceStep]


class CallTraces(BaseModel):
    """Newest first."""

    calls: list[CallTrace]


def trace_of(call: CallFinished, overview: StatsCollector) -> CallTrace:
    """As it is told."""
    until_first_byte_s = call.total_s if call.first_byte_s is None else call.first_byte_s
    record, request, answer = call.record, call.record.request, call.record.answer
    usage = answer.usage
    return CallTrace(
        id=request.id or None,
        at=call.ended_at,
        request=request.line,
        stream=request.stream,
        group=record.group,
        fallback=record.fallback,
        caller=request.caller,
        client=request.client,
        endpoint=record.endpoint,
        status=answer.status,
        error=answer.error,
        cache=record.cache,
        first_byte_ms=in_ms(call.first_byte_s),
        total_ms=ms(call.total_s),
        overhead_ms=ms(call.overhead_s),
        waited_ms=ms(until_first_byte_s - call.overhead_s),
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        cost_usd=overview.cost_of(call),
        steps=[_told(step, request.received_at) for step in record.steps],
    )


def _told(step: Step, received_at: float) -> TraceStep:
    match step:
        case Attempt():
            return TraceStep(
                what="attempt",
                endpoint=step.endpoint,
                at_ms=ms(step.began_at - received_at),
                ms=ms(step.took_s),
                outcome=step.outcome,
                reason=step.reason,
                status=step.status,
                verdict=step.verdict,
            )
        case PassedOver():
            at_ms = ms(step.at - received_at)
            return TraceStep(what="skipped", endpoint=step.endpoint, at_ms=at_ms, why=step.why)
        case FellBack():
            at_ms = ms(step.at - received_at)
            why = f"to group {step.group}"
            return TraceStep(what="fallback", endpoint=None, at_ms=at_ms, why=why)
