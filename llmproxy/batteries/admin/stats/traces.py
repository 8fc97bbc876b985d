"""The trace of a call, as `/admin/calls` and `/admin/events` return it: its steps and its costs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from llmproxy.batteries.admin.stats import ms, optional_ms
from llmproxy.batteries.money import charged_usd
from llmproxy.events import CallFinished
from llmproxy.record import Basis
from llmproxy.steps import Attempt, Changed, FellBack, PassedOver, Step


class TraceStep(BaseModel):
    """One step. `at_ms` is the time since the call's arrival.

    skipped: an endpoint could not take the call; `why` is the reason. attempt: one try at an
    endpoint, which took `ms`; `hedge`: it began beside a silent one. fallback: the call moved to
    another group. changed: the next attempt was sent with the changes of parameters in `why`.
    """

    what: Literal["skipped", "attempt", "fallback", "changed"]
    endpoint: str | None
    at_ms: float
    why: str | None = None
    ms: float | None = None
    outcome: str | None = None
    reason: str | None = None
    status: int | None = None
    verdict: str | None = None
    hedge: bool | None = None


class CallTrace(BaseModel):
    """One call. `at`: Unix seconds of its end.

    `waited_ms`: the time to the first byte that was spent waiting for others, such as endpoints.
    """

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
    cost_basis: Basis | None
    steps: list[TraceStep]


class CallTraces(BaseModel):
    """Calls, newest first."""

    calls: list[CallTrace]


def trace_of(call: CallFinished) -> CallTrace:
    """Return the trace of a finished call."""
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
        first_byte_ms=optional_ms(call.first_byte_s),
        total_ms=ms(call.total_s),
        overhead_ms=ms(call.overhead_s),
        waited_ms=ms(until_first_byte_s - call.overhead_s),
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        cost_usd=charged_usd(record.cost),
        cost_basis=None if record.cost is None else record.cost.basis,
        steps=[_trace_step(step, request.received_at) for step in record.steps],
    )


def _trace_step(step: Step, received_at: float) -> TraceStep:
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
                hedge=step.hedge or None,
                why=step.why,
            )
        case PassedOver():
            at_ms = ms(step.at - received_at)
            return TraceStep(what="skipped", endpoint=step.endpoint, at_ms=at_ms, why=step.why)
        case Changed():
            at_ms = ms(step.at - received_at)
            return TraceStep(what="changed", endpoint=step.endpoint, at_ms=at_ms, why=step.changes)
        case FellBack():
            at_ms = ms(step.at - received_at)
            why = f"to group {step.group}"
            return TraceStep(what="fallback", endpoint=None, at_ms=at_ms, why=why)
