"""What a batch adds to the sums is what its rows add up to, whoever they are from."""

import random

from sqlalchemy import text

from llmproxy.batteries.store.rows import row_of
from llmproxy.batteries.store.statements import write_batch
from llmproxy.batteries.store.sums import FIGURES, LABEL_KEY, SPEND_KEY, BatchSums
from llmproxy.operations import Usage
from llmproxy.record import Basis, Cost
from tests.support.finished import finished_call
from tests.support.run import bounded
from tests.support.store import open_database

HOUR = 1_795_413_600  # on 2026-11-23
# The same, as the database adds it up.
FIGURES_OF_ROWS = """
count(*), sum(status >= 400 OR error IS NOT NULL), sum(input_tokens), sum(output_tokens),
  sum(cached_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(nano_usd),
  sum(CASE WHEN basis = 'exact' THEN 0 ELSE nano_usd END),
  sum(coalesce(basis, 'unknown') = 'unknown'), sum(saved_nano_usd), sum(attempts),
  CAST(sum(total_ms) AS INTEGER)
"""
SPEND = """
coalesce(caller, ''), coalesce(team, ''), coalesce(key_id, ''), coalesce(model, ''),
coalesce(fallback, group_name, ''), coalesce(endpoint, '')
"""


def calls_of_a_day(count):
    draw, bases = random.Random(7), (None, *Basis)
    for number in range(count):
        basis = draw.choice(bases)
        yield finished_call(
            id=f"req_{number}",
            ended_at=HOUR + draw.random() * 30 * 3600,
            caller=draw.choice([None, "app", "job"]),
            team=draw.choice([None, "search"]),
            key=draw.choice([None, "key_1"]),
            end_user=draw.choice([None, "ann", "bob"]),
            tags=draw.choice([(), ("a",), ("a", 'b"'), ("(other)",)]),
            model=draw.choice(["gpt-4.1", "o3", None]),
            group=draw.choice(["gpt-4.1", None]),
            fallback=draw.choice([None, "o3"]),
            endpoint=draw.choice(["east", "west", None]),
            status=draw.choice([200, 200, 429, 502]),
            error=draw.choice([None, None, "timeout"]),
            attempts=draw.randrange(4),
            usage=draw.choice([None, Usage(*(draw.randrange(1000) for _ in range(5)))]),
            cost=None if basis is None else Cost(draw.randrange(10**9), basis, draw.randrange(9)),
            total_s=float(draw.randrange(100)),
        )


@bounded()
async def test_sums_equal_the_rows_in_every_hour_and_day_and_for_every_label(tmp_path):
    rows = [row_of(call, "here") for call in calls_of_a_day(700)]
    wanted = {
        ("spend", SPEND_KEY): [(SPEND, "calls")],
        ("spend_by_label", LABEL_KEY): [
            ("'end_user', end_user, coalesce(team, '')", "calls WHERE end_user IS NOT NULL"),
            ("'tag', value, coalesce(team, '')", "calls, json_each(calls.tags)"),
        ],
    }
    async with open_database("sqlite", tmp_path) as database:
        for number in range(2):  # the second one is added to the first
            await write_batch(database, "w", number + 1, rows[number::2], 1.0)
        for (table, key), sources in wanted.items():
            kept = await database.fetch(text(f"SELECT {', '.join((*key, *FIGURES))} FROM {table}"))
            found = []
            for period, length in (("hour", 3600), ("day", 86400)):
                start = f"CAST(ended_at AS INTEGER) / {length} * {length}"
                for names, source in sources:
                    by = f"'{period}', {start}, {names}"
                    numbers = ", ".join(str(place + 1) for place in range(len(key)))
                    query = f"SELECT {by}, {FIGURES_OF_ROWS} FROM {source} GROUP BY {numbers}"
                    found += await database.fetch(text(query))
            assert sorted(map(tuple, kept)) == sorted(map(tuple, found))


def test_a_batch_without_labels_has_no_sums_by_label():
    sums = BatchSums()
    sums.add([row_of(finished_call(), "here")])
    assert sums.spend_by_label() == []
    assert [row[:2] for row in sums.spend()] == [
        ("hour", 1_795_413_600),
        ("day", 1_795_392_000),
    ]
