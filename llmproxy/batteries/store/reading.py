"""The statement that finds calls, and calls made of its rows."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import CompoundSelect, Row, Select, and_, func, or_, select, union_all

from llmproxy.batteries.store.calls import CallFilter, Position
from llmproxy.batteries.store.rows import trace_of
from llmproxy.batteries.store.tables import PART, PART_OF_CALLS, calls
from llmproxy.events import CallFinished
from llmproxy.operations import Usage
from llmproxy.record import (
    AnswerSummary,
    Basis,
    CacheResult,
    CallRecord,
    Cost,
    RequestSummary,
)

ID = func.coalesce(calls.c.id, "")


def statement(wanted: CallFilter, *, limit: int, before: Position | None) -> Select[Any]:
    """Return the statement that finds calls, newest first."""
    columns = [column for column in calls.c if column.name != "seq"]
    query = select(*columns).order_by(calls.c.ended_at.desc(), ID.desc()).limit(limit)
    for column, name in wanted.names.items():
        query = query.where(func.coalesce(calls.c[column], "") == name)
    if wanted.id is not None:
        query = query.where(calls.c.seq.in_(_with_id(wanted.id)))
    if wanted.status is not None:
        query = query.where(calls.c.status.between(*wanted.status))
    if wanted.since is not None:
        query = query.where(calls.c.ended_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(calls.c.ended_at < wanted.until)
    if wanted.notable:
        failed = or_(calls.c.status >= 400, calls.c.error.is_not(None))
        query = query.where(or_(failed, calls.c.attempts > 1, calls.c.fallback.is_not(None)))
    if before is not None:
        at, id = before
        earlier = or_(calls.c.ended_at < at, ID.op("<")(id))
        query = query.where(and_(calls.c.ended_at <= at, earlier))
    return query


def _with_id(id: str) -> CompoundSelect[Any]:
    """Return the statement that finds calls by an id, ours or the vendor's, in each part."""
    last = (func.max(calls.c.seq) // PART).label("number")
    parts = select(last).cte("parts", recursive=True)
    parts = parts.union_all(select(parts.c.number - 1).where(parts.c.number > 0))
    here = select(calls.c.seq).join(parts, parts.c.number == PART_OF_CALLS).correlate(None)
    return union_all(here.where(calls.c.id == id), here.where(calls.c.request_id == id))


def call_from(row: Row[Any]) -> CallFinished:
    """Return the call of a row: without steps if another version wrote its trace."""
    trace = trace_of(row.trace)
    first_byte_s = None if row.first_byte_ms is None else row.first_byte_ms / 1000
    vendor_id = None if row.request_id is None else row.request_id.encode("latin-1", "replace")
    request = RequestSummary(
        line=trace.line,
        client=trace.client,
        received_at=trace.received_at,
        id=row.id or "",
        caller=row.caller,
        team=row.team,
        key=row.key_id,
        tags=tuple(msgspec.json.decode(row.tags)) if row.tags else (),
        end_user=row.end_user,
        operation=row.operation,
        model=row.model if trace.model is None else trace.model,
        stream=row.stream,
        trace=trace.context,
    )
    answer = AnswerSummary(
        status=row.status,
        error=row.error,
        usage=_usage(row) if trace.usage is None else trace.usage,
        request_id=vendor_id if trace.request_id is None else trace.request_id,
        first_byte_at=None if first_byte_s is None else trace.received_at + first_byte_s,
        error_source=row.error_source,
        close_code=trace.close_code,
    )
    record = CallRecord(
        request=request,
        answer=answer,
        group=row.group_name,
        fallback=row.fallback,
        endpoint=row.endpoint,
        attempts=row.attempts,
        steps=trace.steps,
        waited_s=trace.waited_s,
        cache=None if row.cache is None else CacheResult(row.cache),
        key_origin=trace.key_origin,
        cost=_cost(row),
    )
    return CallFinished(
        record=record,
        ended_at=row.ended_at,
        total_s=row.total_ms / 1000,
        first_byte_s=first_byte_s,
        overhead_s=trace.overhead_s,
    )


def _cost(row: Row[Any]) -> Cost | None:
    if row.basis is None:
        return None
    return Cost(row.nano_usd, Basis(row.basis), row.saved_nano_usd)


def _usage(row: Row[Any]) -> Usage | None:
    if not (row.input_tokens or row.output_tokens):
        return None
    return Usage(
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_tokens=row.cached_tokens,
        cache_write_tokens=row.cache_write_tokens,
        reasoning_tokens=row.reasoning_tokens,
        estimated=row.estimated,
    )
