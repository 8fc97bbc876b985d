"""Compares what the proxy has counted with the bills of its vendors."""

import asyncio
import contextlib
import csv
import io
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from llmproxy.batteries.store import Database, address_of
from llmproxy.batteries.store.tables import calls as calls_table
from tests.support.client import ask
from tests.support.process import command
from tests.system.billed_calls import CLIENTS, TARIFFS, Asked, Client

NANO = 10**9
# Dimension of a sum -> the values that a row of the table `calls` has of it.
OF_A_ROW = {
    "caller": lambda row: [row.caller or ""],
    "team": lambda row: [row.team or ""],
    "key": lambda row: [row.key_id or ""],
    "model": lambda row: [row.model or ""],
    "group": lambda row: [row.fallback or row.group_name or ""],
    "endpoint": lambda row: [row.endpoint or ""],
    "day": lambda row: [datetime.fromtimestamp(row.ended_at, UTC).strftime("%Y-%m-%d")],
    "tag": lambda row: _json_list(row.tags),
    "end_user": lambda row: [row.end_user] if row.end_user else [],
}
# The same of a call as its client and its vendor know it.
OF_A_CALL = {
    "caller": lambda asked, _: [asked.caller],
    "team": lambda asked, _: [asked.team],
    "key": lambda asked, _: [asked.key],
    "model": lambda asked, _: [asked.model],
    "group": lambda asked, _: ["other" if asked.model == "broken" else asked.model],
    "endpoint": lambda _, line: [line.vendor],
    "tag": lambda asked, _: asked.tags,
    "end_user": lambda asked, _: [asked.end_user],
}


def _json_list(text):
    return [] if text is None else json.loads(text)


@dataclass
class Counted:
    """What was asked and charged, and what the proxy has counted of it.

    `tables`: the rows of `/admin/spend.csv`, by dimension; `printed`: of `llmproxy spend --csv`.
    `metrics`: dollars of `llmproxy_spend_usd_total` by team, caller and group, of each instance.
    """

    asked: list[Asked]
    lines: list
    rows: list
    statuses: Counter
    tables: dict
    printed: dict
    metrics: list[Counter]


async def counted(fleet, count, dimensions):
    """Make so many calls; return what was counted when all of them are in the store."""
    clients = [Client(fleet, number) for number in range(CLIENTS)]
    shares = [count // CLIENTS + (number < count % CLIENTS) for number in range(CLIENTS)]
    await asyncio.gather(
        *(client.run(share) for client, share in zip(clients, shares, strict=True))
    )
    asked = [one for client in clients for one in client.asked]
    rows = await _rows(fleet.database_url, {one.id for one in asked})
    spent = sum(row.nano_usd or 0 for row in rows)
    tables, printed = {}, {}
    for name in dimensions:
        query = ("--by", name, "--since", "48h", "--csv")
        text = await _get(fleet.port, f"/admin/spend.csv?by={name}&since=48h")
        finished = await command("spend", *query, "--url", fleet.instances[0].base)
        assert finished.status == 0, finished.stderr
        tables[name], printed[name] = _table(text), _table(finished.stdout)
    return Counted(
        asked=asked,
        lines=fleet.lines,
        rows=rows,
        statuses=sum((client.statuses for client in clients), Counter()),
        tables=tables,
        printed=printed,
        metrics=await _metrics(fleet, spent),
    )


async def _rows(database_url, wanted):
    """Return the table `calls` as soon as it has all of these."""
    database = Database(address_of(database_url, {}))
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(120):
                while True:
                    rows = list(await database.fetch(select(calls_table)))
                    missing = wanted - {row.id for row in rows}
                    if not missing:
                        return rows
                    await asyncio.sleep(0.2)
    finally:
        await database.close()
    raise AssertionError(f"{len(missing)} calls are not in the store, such as {min(missing)}")


async def _metrics(fleet, spent):
    """Return what all instances have counted; workers publish it twice a second."""
    while True:
        found = [_spend_in(await _get(one.port, "/metrics")) for one in fleet.instances]
        if sum(sum(one.values()) for one in found) >= spent:
            return found
        await asyncio.sleep(0.1)


def _spend_in(text):
    found = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "llmproxy_spend_usd_total":
                labels = sample.labels
                names = (labels["team"], labels["caller"], labels["group"])
                found[names] += round(sample.value * NANO)
    return found


async def _get(port, path):
    reply = await ask(port, path, method="GET", host="localhost")
    assert reply.status == 200, reply.body
    return reply.body.decode()


def _table(text):
    """Return a CSV: the value of its dimension -> its figures, money in nano-dollars."""
    head, *rows = csv.reader(io.StringIO(text))
    return {
        row[0]: {
            name: _number(name, cell)
            for name, cell in zip(head[1:], row[1:], strict=True)
            if name != "key_name"
        }
        for row in rows
    }


def _number(name, cell):
    if name.endswith("_usd"):
        return int(Decimal(cell or 0) * NANO)
    return Decimal(cell or 0)


def differences(done):
    """Yield a line for each figure that is not what it should be."""
    yield from _rows_against_bills(done)
    for name, table in done.tables.items():
        if done.printed[name] != table:
            yield f"`llmproxy spend --by {name}` is not what /admin/spend.csv is"
        yield from _sums_against_rows(done, name, table)
        if name in OF_A_CALL:
            yield from _sums_against_bills(done, name, table)
    yield from _metrics_against_rows(done)


def _rows_against_bills(done):
    """Each call whose cost is exact is one line of a bill, with the same tokens and cost."""
    by_id, lines_of = {row.id: row for row in done.rows}, _lines_of(done)
    for mark, calls in _by_mark(done).items():
        lines = lines_of[mark]
        rows = [by_id[asked.id] for asked in calls]
        if any(row.basis not in ("exact", "free") for row in rows):
            continue
        charged = sum(line.nano_usd(TARIFFS[line.vendor]) for line in lines)
        spent = sum(row.nano_usd for row in rows)
        if spent != charged:
            yield f"{mark}: {charged} charged, {spent} counted"
        counts = [(row.input_tokens, row.cached_tokens, row.output_tokens) for row in rows]
        exact = [count for row, count in zip(rows, counts, strict=True) if row.basis == "exact"]
        if sorted(exact) != sorted((line.prompt, line.cached, line.output) for line in lines):
            yield f"{mark}: tokens {exact}, on the bill {lines}"
        saved = {row.saved_nano_usd for row in rows if row.cache in ("hit", "coalesced", "stale")}
        if len(lines) == 1 and saved - {charged}:
            yield f"{mark}: {saved} saved, {charged} charged for the answer"


def _sums_against_rows(done, name, table):
    """Sums are those of the rows, to the nano-dollar."""
    sums = defaultdict(Counter)
    for row in done.rows:
        for value in OF_A_ROW[name](row):
            own = sums[value]
            own["calls"] += 1
            own["cost_usd"] += row.nano_usd or 0
            own["exact_usd"] += row.nano_usd if row.basis == "exact" else 0
            own["saved_usd"] += row.saved_nano_usd
            own["unknown_calls"] += row.basis in ("unknown", None)
            own["input_tokens"] += row.input_tokens
            own["output_tokens"] += row.output_tokens
    for value in {*sums, *table}:
        shown = table.get(value, {})
        for figure in sums[value] or ("calls",):
            if shown.get(figure) != sums[value][figure]:
                yield (
                    f"by {name}, {value or '(none)'}: {figure} is {shown.get(figure)}, "
                    f"and {sums[value][figure]} by the rows"
                )


def _sums_against_bills(done, name, table):
    """The exact part of each sum is what vendors charge for these calls."""
    by_id, lines_of = {row.id: row for row in done.rows}, _lines_of(done)
    wanted = Counter()
    for mark, calls in _by_mark(done).items():
        rows = [by_id[asked.id] for asked in calls]
        if all(row.basis in ("exact", "free") for row in rows):
            for line in lines_of[mark]:
                for value in OF_A_CALL[name](calls[0], line):
                    wanted[value] += line.nano_usd(TARIFFS[line.vendor])
        else:  # a line may be that of a call whose cost is an estimate
            for row in rows:
                for value in OF_A_ROW[name](row) if row.basis == "exact" else ():
                    wanted[value] += row.nano_usd
    for value in {*wanted, *table}:
        shown = table.get(value, {}).get("exact_usd", 0)
        if shown != wanted[value]:
            yield f"by {name}, {value or '(none)'}: exact is {shown}, {wanted[value]} by the bills"


def _metrics_against_rows(done):
    wanted = Counter()
    for row in done.rows:
        names = (row.team or "", row.caller or "", row.fallback or row.group_name or "")
        wanted[names] += row.nano_usd or 0
    found = sum(done.metrics, Counter())
    for names in {*wanted, *found}:
        if found[names] != wanted[names]:
            yield f"/metrics, {names}: {found[names]}, and {wanted[names]} by the rows"


def _by_mark(done):
    found = defaultdict(list)
    for asked in done.asked:
        found[asked.mark].append(asked)
    return found


def _lines_of(done):
    found = defaultdict(list)
    for line in done.lines:
        found[line.mark].append(line)
    return found


def figures(done):
    """Yield lines that say how much of the cost is known, and how near estimates are."""
    charged = Counter()
    for line in done.lines:
        charged[line.mark] += line.nano_usd(TARIFFS[line.vendor])
    by_id, marks = {row.id: row for row in done.rows}, _by_mark(done)
    callers = {asked.caller for asked in done.asked}
    results = ", ".join(f"{number:,} {status}" for status, number in done.statuses.most_common())
    yield f"{len(done.asked):,} calls of {len(callers)} callers: {results}"
    yield f"vendors charge {sum(charged.values()) / NANO:.6f} USD for {len(done.lines):,} answers"
    for basis in ("exact", "estimated", "unknown", "free"):
        calls = [asked for asked in done.asked if by_id[asked.id].basis == basis]
        alone = [asked for asked in calls if len(marks[asked.mark]) == 1]
        spent = sum(by_id[asked.id].nano_usd for asked in alone)
        due = sum(charged[asked.mark] for asked in alone)
        off = f"{100 * (spent - due) / due:+.2f} %" if due else "-"
        kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(a.kind for a in calls).most_common())
        yield (
            f"{basis}: {100 * len(calls) / len(done.asked):.1f} % of the calls, "
            f"{spent / NANO:.6f} USD counted, {due / NANO:.6f} charged ({off}): {kinds}"
        )
