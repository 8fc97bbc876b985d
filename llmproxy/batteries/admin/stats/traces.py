"""The trace of a call, as `/admin/calls` and `/admin/events` return it: its steps and its costs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from llmproxy.batteries.admin.stats import ms, optional_ms
from llmproxy.batteries.money import charged_usd, dollars
from llmproxy.batteries.spend import cell
from llmproxy.events import CallFinished
from llmproxy.record import Basis
from llmproxy.steps import Attempt, Changed, FellBack, PassedOver, Step


class TraceStep(BaseModel):
    """One step. `at_ms` is the time since the call's arrival.

    skipped: an endpoint could not take the call; `why` is the reason. attempt: one try at an
    endpoint, which took `ms`; `hedge`: it began beside a silent one; `message`: what went wrong,
    often in the endpoint's words, while the call is in memory. fallback: the call moved to
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
    message: str | None = None
    upstream_id: str | None = None
    hedge: bool | None = None


class CallTrace(BaseModel):
    """One call. `at`: Unix seconds of its end.

    `waited_ms`: the time to the first byte that was spent waiting for others, such as endpoints.
    `model`: that the client asked for; `upstream_id`: the endpoint's id of the call.
    """

    id: str | None
    at: float
    request: str
    stream: bool
    group: str | None
    fallback: str | None
    model: str | None
    caller: str | None
    team: str | None
    key: str | None
    end_user: str | None
    tags: list[str]
    client: str | None
    endpoint: str | None
    status: int
    error: str | None
    error_source: str | None
    upstream_id: str | None
    attempts: int
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


class CallPage(CallTraces):
    """`next`: cursor of the next page; None = there is none. `missing`: why earlier calls are."""

    next: str | None
    missing: str | None


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
        model=request.model,
        caller=request.caller,
        team=request.team,
        key=request.key,
        end_user=request.end_user,
        tags=list(request.tags),
        client=request.client,
        endpoint=record.endpoint,
        status=answer.status,
        error=answer.error,
        error_source=answer.error_source,
        upstream_id=_text(answer.request_id),
        attempts=record.attempts,
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


def _text(id: bytes | None) -> str | None:
    return None if id is None else id.decode("latin-1")


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
                message=step.message,
                upstream_id=_text(step.request_id),
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


# Columns of the CSV, in their order. Texts of clients and vendors become no formulas.
CSV = (
    *("at", "id", "upstream_id", "caller", "team", "key", "end_user", "tags", "request", "stream"),
    *("model", "group", "fallback", "endpoint", "status", "error", "error_source", "attempts"),
    *("cache", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens"),
    *("reasoning_tokens", "estimated", "cost_usd", "cost_basis", "saved_usd"),
    *("first_byte_ms", "total_ms", "overhead_ms", "waited_ms"),
)


def csv_lines(calls: Iterable[CallFinished], *, head: bool = False) -> str:
    """Return a line of CSV for each call. Costs are exact, so that they add up to the sums."""
    out = io.StringIO()
    writer = csv.writer(out)
    if head:
        writer.writerow(CSV)
    for call in calls:
        values = trace_of(call).model_dump(exclude={"steps"})
        cost, usage = call.record.cost, call.record.answer.usage
        values |= {
            "at": datetime.fromtimestamp(call.ended_at, UTC).isoformat(),
            "tags": ",".join(call.record.request.tags),
            "cost_usd": dollars(cost.nano_usd) if cost else None,
            "saved_usd": dollars(cost.saved_nano_usd) if cost else None,
            "cache_write_tokens": usage.cache_write_tokens if usage else None,
            "reasoning_tokens": usage.reasoning_tokens if usage else None,
            "estimated": usage.estimated if usage else None,
        }
        writer.writerow([_cell(values[name]) for name in CSV])
    return out.getvalue()


def _cell(value: object) -> object:
    return cell(value) if isinstance(value, str) else value
