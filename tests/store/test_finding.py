"""Calls are found by their ids without a search of the whole table, however many there are."""

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.dialects import sqlite

from llmproxy.batteries.store.calls import CallFilter
from llmproxy.batteries.store.reading import call_from, statement
from llmproxy.batteries.store.rows import COLUMNS, row_of, trace_of
from llmproxy.batteries.store.statements import write_batch
from llmproxy.batteries.store.tables import PART, calls
from llmproxy.calls import TraceContext
from llmproxy.operations import Usage
from llmproxy.record import Basis, Cost
from llmproxy.steps import ANSWERED, FAILED, Attempt, Changed, FellBack, PassedOver, Verdict
from tests.support.finished import finished_call
from tests.support.run import bounded
from tests.support.store import DATABASES, open_database

both = pytest.mark.parametrize("kind", DATABASES)


def with_id(id):
    return statement(CallFilter(id=id), limit=10, before=None)


@both
@bounded()
async def test_a_call_is_found_by_our_id_and_the_vendors_in_every_part_of_the_table(kind, tmp_path):
    places = (1, PART - 1, PART, 5 * PART + 7)
    async with open_database(kind, tmp_path) as database:
        assert not await database.fetch(with_id("req_1"))
        for at in places:
            call = {"id": f"req_{at}", "request_id": f"vendor_{at}", "ended_at": float(at)}
            rest = {"seq": at, "status": 200, "stream": False, "estimated": False, "total_ms": 1.0}
            await database.execute(insert(calls).values(call | rest))
        for at in places:
            for id in (f"req_{at}", f"vendor_{at}"):
                assert [row.ended_at for row in await database.fetch(with_id(id))] == [at]
        await database.execute(update(calls).values(id="same").where(calls.c.seq >= PART))
        assert [row.ended_at for row in await database.fetch(with_id("same"))] == [
            5 * PART + 7,
            PART,
        ]


@bounded()
async def test_sqlite_finds_an_id_by_the_indexes(tmp_path):
    compiled = with_id("req_1").compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
    )
    async with open_database("sqlite", tmp_path) as database:

        async def plan(connection):
            found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
            return "\n".join(row[-1] for row in found)

        said = await database.change(plan)
        assert "calls_by_id (<expr>=? AND id=?)" in said
        assert "calls_by_request_id (<expr>=? AND request_id=?)" in said
        assert "SCAN calls" not in said


@both
@bounded()
async def test_rows_are_as_they_were_made_whichever_of_their_columns_are_empty(kind, tmp_path):
    full = finished_call(
        id="req_1",
        request_id=b"vendor",
        caller="app",
        tags=("a",),
        end_user="u",
        stream=True,
        usage=Usage(10, 5, 4, 3, 2, estimated=True),
        cost=Cost(7, Basis.ESTIMATED, 3),
    )
    plain, made = finished_call(), []
    async with open_database(kind, tmp_path) as database:
        for batch in ([plain], [full], [plain] * 11, [plain, full] * 60, [full, plain]):
            rows, number = [row_of(call, "here") for call in batch], len(made) + 1
            made += rows
            await write_batch(database, "w", number, rows, 1.0)
        query = select(*(calls.c[name] for name in COLUMNS)).order_by(calls.c.seq)
        assert list(map(tuple, await database.fetch(query))) == made


STEPS = [
    PassedOver("west", 1.0, "it cools down"),
    Attempt("east", 1.5, 0.25, FAILED, 503, "overloaded", Verdict.NEXT_ENDPOINT, why="affinity"),
    FellBack("o3", 2.0),
    Changed("north", 2.5, "max_tokens left out"),
    Attempt("north", 2.5, 0.5, ANSWERED, 200, hedge=True),
]
CALLS = {
    "plain": {},
    "refused early": {"id": "", "group": None, "endpoint": None, "usage": None, "status": 404},
    "with everything that a column has": {
        **{"caller": "app", "team": "search", "key": "key_1", "tags": ("a", "b"), "end_user": "u"},
        **{"operation": "chat/completions", "model": "m", "fallback": "o3", "stream": True},
        **{"error": "timeout", "error_source": "upstream", "cache": "miss"},
        **{"request_id": b"vendor\xe9", "cost": Cost(7, Basis.ESTIMATED, 3)},
        "usage": Usage(10, 5, 4, 3, 2, estimated=True),
    },
    "with everything that no column has": {
        **{"line": "GET /v1/responses", "client": "::1", "received_at": 0.5},
        **{"steps": STEPS, "waited_s": 0.125, "key_origin": "https://host"},
        **{"close_code": 1000, "trace": TraceContext("f" * 32, 1, 2, 1, "a=b")},
    },
    "with longer names than columns have": {"model": "m" * 999, "request_id": b"v" * 999},
    "that was charged beyond tokens": {
        "usage": Usage(10, 5, audio_input_tokens=1, searches=2, service_tier="flex")
    },
    "with a usage of nothing": {"usage": Usage(0, 0)},
}


@both
@bounded()
async def test_a_call_of_the_store_is_the_call_that_was_recorded(kind, tmp_path):
    made = [finished_call(first_byte_s=0.125, **changes) for changes in CALLS.values()]
    for call in made:
        call.record.answer.first_byte_at = call.record.request.received_at + 0.125
    made.append(finished_call(status=499, first_byte_s=None))
    async with open_database(kind, tmp_path) as database:
        await write_batch(database, "w", 1, [row_of(call, "here") for call in made], 1.0)
        rows = await database.fetch(select(calls).order_by(calls.c.seq))
        for row, call in zip(rows, made, strict=True):
            assert call_from(row) == call


def test_a_trace_that_another_version_wrote_has_no_steps():
    assert trace_of('{"steps": 1}').steps == trace_of("?").steps == []
