"""The calendar of budgets: when the current hour, day, week or month began, and when it ends."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from math import inf
from zoneinfo import ZoneInfo

import msgspec

HOUR_S = 3600


class Per(StrEnum):
    """How long an amount has to last."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"  # begins on Monday
    MONTH = "month"
    TOTAL = "total"  # for ever


class Period(msgspec.Struct, frozen=True, gc=False):
    """From `start` until before `end`, in Unix seconds."""

    start: float
    end: float


EVER = Period(0.0, inf)


def period_at(now: float, per: Per, time_zone: str) -> Period:
    """Return the period that a moment is in, by the clocks of a time zone.

    A day on which clocks are changed has 23 or 25 hours. Where they skip midnight, it begins after.
    """
    if per is Per.TOTAL:
        return EVER
    zone = _zone(time_zone)
    local = datetime.fromtimestamp(now, zone)
    if per is Per.HOUR:
        start = now - (local.minute * 60 + local.second + local.microsecond / 1e6)
        return Period(float(round(start)), float(round(start)) + HOUR_S)
    first, last = _days(local.date(), per)
    return Period(_midnight(first, zone), _midnight(last, zone))


def _days(today: date, per: Per) -> tuple[date, date]:
    """Return the first day of a period, and the day after it."""
    if per is Per.DAY:
        return today, today + timedelta(days=1)
    if per is Per.WEEK:
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(days=7)
    first = today.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
