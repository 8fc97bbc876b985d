"""A question about spend: by what, from when to when, and of which part.

The store has sums of hours and of days. A range is read from days where it covers whole ones, and
from hours at its ends: each call is counted once. Times are Unix seconds, days are those of UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

HOUR_S, DAY_S = 3600, 86400
UNITS_S = {"h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}
TIMES = ("day", "hour")
LABELS = ("tag", "end_user")  # summed apart from the others, by team only
OTHERS = ("team", "key", "caller", "model", "group", "endpoint")
DIMENSIONS = (*OTHERS, *LABELS, *TIMES)
WITH_LABELS = ("team", *TIMES)
OTHER = "(other)"
NONE = "(none)"  # in a filter: calls without a team, a key, ...
MAX_RANGE_S = 3660 * DAY_S
FINE_RANGE_S = 2 * DAY_S  # up to here, a series has a point for each hour


class SpendQueryError(ValueError):
    """A question that cannot be answered; the text says what can be asked."""


@dataclass(frozen=True)
class Slice:
    """A part of a range whose sums are all of one kind. `period`: hour or day."""

    period: str
    start: int
    end: int  # the first second after it


@dataclass(frozen=True)
class SpendQuery:
    """A valid question. `where`: dimension -> value, "" = calls that have none.

    `start` and `end` are whole hours; `end` is the first second after the range. `top`: how many
    of the dearest values of the first dimension have rows of their own; the rest is OTHER.
    """

    by: tuple[str, ...]
    start: int
    end: int
    step: str
    where: Mapping[str, str] = field(default_factory=dict)
    top: int | None = None

    @property
    def label(self) -> str | None:
        """The kind of label that it is about; None = none."""
        return next((kind for kind in LABELS if kind in (*self.by, *self.where)), None)

    @property
    def before(self) -> SpendQuery:
        """The same question about the period before, which is as long."""
        return SpendQuery(self.by, 2 * self.start - self.end, self.start, self.step, self.where)

    @property
    def whole(self) -> SpendQuery:
        """The question that counts each call once. A call may have several tags, or none."""
        return SpendQuery((), self.start, self.end, self.step, self.where)

    def slices(self) -> Iterator[Slice]:
        """Yield the parts of the range, which touch and do not overlap."""
        first_day = -(-self.start // DAY_S) * DAY_S
        last_day = self.end // DAY_S * DAY_S
        by_hour = "hour" in self.by or (not self.by and self.step == "hour")
        if by_hour or first_day >= last_day:
            yield Slice("hour", self.start, self.end)
            return
        if self.start < first_day:
            yield Slice("hour", self.start, first_day)
        yield Slice("day", first_day, last_day)
        if last_day < self.end:
            yield Slice("hour", last_day, self.end)


def spend_query(
    by: str,
    *,
    now: float,
    since: str | None = None,
    until: str | None = None,
    step: str | None = None,
    where: Mapping[str, str | None] | None = None,
    top: int | None = None,
) -> SpendQuery:
    """Return the question that texts ask. `by`: names with commas; `where`: an empty or missing
    value does not restrict, `(none)` means calls without one. Raises SpendQueryError."""
    names = tuple(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
    restricting = {
        name: "" if value == NONE else value for name, value in (where or {}).items() if value
    }
    _check_dimensions(names, tuple(restricting))
    for kind in LABELS:
        if restricting.get(kind) == "":
            raise SpendQueryError(f"The calls without a {kind} are not summed apart.")
    start = moment(since or "30d", now) // HOUR_S * HOUR_S
    end = -(-moment(until, now) // HOUR_S) * HOUR_S if until else (int(now) // HOUR_S + 1) * HOUR_S
    if start >= end:
        raise SpendQueryError("`since` must be before `until`, which is the end of the range.")
    if end - start > MAX_RANGE_S:
        raise SpendQueryError("Ask for at most ten years at once.")
    step = step or ("hour" if end - start <= FINE_RANGE_S else "day")
    if step not in TIMES:
        raise SpendQueryError(f"`step` is day or hour, found {step!r}.")
    return SpendQuery(names, start, end, step, restricting, top)


def moment(text: str, now: float) -> int:
    """Return a moment: an age (12h, 30d, 4w), a month, a day or a time in UTC, or Unix seconds.

    Raises SpendQueryError.
    """
    text = text.strip()
    if age := re.fullmatch(r"([0-9]{1,6})([hdw])", text):
        return max(0, int(now) - int(age[1]) * UNITS_S[age[2]])
    if re.fullmatch(r"[0-9]{9,11}(\.[0-9]*)?", text):
        return int(float(text))
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
        text += "-01"
    try:
        found = datetime.fromisoformat(text)
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise SpendQueryError(
            f"Expected a time such as 30d, 12h, 4w, 2026-10, 2026-10-31 or 2026-10-31T12:00, "
            f"found {text!r}."
        ) from None
    return max(0, int(seconds))


def _check_dimensions(by: tuple[str, ...], where: tuple[str, ...]) -> None:
    for name in by:
        if name not in DIMENSIONS:
            known = ", ".join(DIMENSIONS)
            raise SpendQueryError(f"Spend is not summed by {name!r}. It is by: {known}.")
    for name in where:
        if name not in (*OTHERS, *LABELS):
            known = ", ".join((*OTHERS, *LABELS))
            raise SpendQueryError(f"Spend cannot be restricted by {name!r}. It can by: {known}.")
    if all(name in by for name in TIMES):
        raise SpendQueryError("Ask by day or by hour, not by both.")
    used = {*by, *where}
    labels = [kind for kind in LABELS if kind in used]
    others = sorted(used - {*WITH_LABELS, *LABELS})
    if len(labels) > 1 or (labels and others):
        raise SpendQueryError(
            f"Sums by {labels[0]} are kept by {', '.join(WITH_LABELS)} only, "
            f"not together with {', '.join([*labels[1:], *others])}."
        )
