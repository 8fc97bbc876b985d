"""What was spent before this start, from the store."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any

from sqlalchemy import Row, Select, func, select, union_all

from llmproxy.batteries.budgets.accounts import BudgetAccount
from llmproxy.batteries.budgets.budget import Kind, Unit
from llmproxy.batteries.store.tables import calls, spend, spend_by_label

HOUR_S, DAY_S = 3600, 86_400


def spent_since(kind: Kind, start: float, unit: Unit) -> Select[Any]:
    """Select what was spent since a moment: `subject` and `spent`.

    From the sums of days and hours; what came before the first whole hour, from the calls.
    """
    hour = ceil(start / HOUR_S) * HOUR_S
    day = ceil(start / DAY_S) * DAY_S
    table = spend_by_label if kind is Kind.TAG else spend
    amount = _amount(table, unit)
    subjects = _subjects(kind)
    parts = []
    for subject in subjects:
        for period, since, until in (("hour", hour, day), ("day", day, None)):
            part = select(subject.label("subject"), amount.label("spent"))
            part = part.where(table.c.period == period, table.c.start >= since, subject != "")
            if until is not None:
                part = part.where(table.c.start < until)
            if kind is Kind.TAG:
                part = part.where(table.c.kind == "tag")
            parts.append(part)
        if hour > start and kind is not Kind.TAG:  # of tags, the whole first hour is lost
            column = None if subject is spend.c.period else calls.c[subject.name]
            first = select(
                (subject if column is None else column).label("subject"),
                _amount(calls, unit).label("spent"),
            )
            first = first.where(calls.c.ended_at >= start, calls.c.ended_at < hour)
            if column is not None:
                parts.append(first.where(column != ""))
    every = union_all(*parts).subquery()
    return select(every.c.subject, func.sum(every.c.spent).label("spent")).group_by(every.c.subject)


def _subjects(kind: Kind) -> tuple[Any, ...]:
    match kind:
        case Kind.KEY:
            return spend.c.caller, spend.c.key_id
        case Kind.TEAM:
            return (spend.c.team,)
        case Kind.GROUP:
            return (spend.c.group_name,)
        case Kind.TAG:
            return (spend_by_label.c.label,)
        case Kind.ALL:
            return (spend.c.period,)


def _amount(table: Any, unit: Unit) -> Any:
    if unit is Unit.USD:
        return table.c.nano_usd
    return table.c.input_tokens + table.c.output_tokens


def apply(accounts: Iterable[BudgetAccount], rows: Iterable[Row[Any]]) -> None:
    """Take over the sums of the store."""
    sums: dict[str, int] = {}
    total = 0
    for row in rows:
        sums[row.subject] = int(row.spent or 0)
        total += int(row.spent or 0)
    for account in accounts:
        of_all = account.budget.kind is Kind.ALL
        spent = total if of_all else sums.get(account.budget.subject, 0)
        account.learn(spent)
