"""Rows of budgets that were made at run time."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

from llmproxy.batteries.budgets.budget import NOTIFY_AT, Budget, Kind, Unit
from llmproxy.batteries.budgets.periods import Per

ALL_BUDGETS = (
    "SELECT id, subject_kind, subject, unit, amount, per, time_zone, hard, notify_at FROM budgets"
)


def budget_of(row: Any) -> Budget:
    """Return the budget of a row. Raises ValueError, KeyError or OSError if it cannot be kept."""
    notify_at = json.loads(row.notify_at) if row.notify_at else NOTIFY_AT
    return Budget(
        id=row.id,
        kind=Kind(row.subject_kind),
        subject=row.subject,
        unit=Unit(row.unit),
        amount=row.amount,
        per=Per(row.per),
        time_zone=ZoneInfo(row.time_zone or "UTC").key,
        hard=bool(row.hard),
        notify_at=tuple(sorted(notify_at)),
    )
