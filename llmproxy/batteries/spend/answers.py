"""An answer about spend: rows of sums, as JSON and as CSV.

Money is whole nano-dollars inside, and decimal text of dollars outside. What is not known is null,
never 0, and each sum says which share of its calls has a known cost.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from llmproxy.batteries.money import dollars
from llmproxy.batteries.spend.questions import TIMES, SpendQuery

FIGURES = (
    *("calls", "errors", "input_tokens", "output_tokens", "cached_tokens", "cost_usd"),
    *("exact_usd", "estimated_usd", "unknown_calls", "coverage", "saved_usd"),
)
# Spreadsheets take a cell that begins so for a formula, also after a quote.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
View = dict[str, Any]


@dataclass(frozen=True)
class Sums:
    """What is summed up, under the names of the store's columns."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    nano_usd: int = 0
    estimated_nano_usd: int = 0
    unknown_calls: int = 0
    saved_nano_usd: int = 0

    def __add__(self, other: Sums) -> Sums:
        """Return both together."""
        names = (one.name for one in fields(Sums))
        return Sums(*(getattr(self, name) + getattr(other, name) for name in names))

    def view(self) -> View:
        """Return it as the API shows it."""
        nothing_known = bool(self.calls) and self.unknown_calls >= self.calls and not self.nano_usd
        exact = self.nano_usd - self.estimated_nano_usd
        return {
            **{"calls": self.calls, "errors": self.errors},
            **{"input_tokens": self.input_tokens, "output_tokens": self.output_tokens},
            "cached_tokens": self.cached_tokens,
            "cost_usd": None if nothing_known else dollars(self.nano_usd, places=2),
            "exact_usd": None if nothing_known else dollars(exact, places=2),
            "estimated_usd": None if nothing_known else dollars(self.estimated_nano_usd, places=2),
            "unknown_calls": self.unknown_calls,
            "coverage": _coverage(self.calls, self.unknown_calls),
            "saved_usd": dollars(self.saved_nano_usd, places=2),
        }


@dataclass(frozen=True)
class SpendReport:
    """The answer to a question. `rows`: values of the dimensions, and sums; `series`: Unix time of
    a step's beginning, and its sums. `more`: there are further rows. `key_names`: of keys that were
    made at run time, by their ids."""

    query: SpendQuery
    rows: Sequence[tuple[tuple[Any, ...], Sums]]
    series: Sequence[tuple[int, Sums]]
    before: Sums
    more: bool = False
    key_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def total(self) -> Sums:
        """All calls of the range, each once."""
        return sum((sums for _, sums in self.series), Sums())

    def view(self) -> View:
        """Return it as the API shows it."""
        query, previous = self.query, self.query.before
        return {
            **{"from": query.start, "to": query.end, "by": list(query.by)},
            "key_names": dict(self.key_names),
            "rows": [
                {"keys": dict(zip(query.by, _shown(query.by, values), strict=True)), **sums.view()}
                for values, sums in self.rows
            ],
            "total": self.total.view(),
            "before": {"from": previous.start, "to": previous.end, **self.before.view()},
            "series": [
                {
                    "at": at,
                    **{name: sums.view()[name] for name in ("cost_usd", "calls", "coverage")},
                }
                for at, sums in self.series
            ],
        }


def csv_text(report: SpendReport) -> str:
    """Return the rows as CSV, with a head. Names cannot become formulas of a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    by = report.query.by
    more = ["key_name"] if "key" in by else []
    writer.writerow([*by, *more, *FIGURES])
    for values, sums in report.rows:
        view = sums.view()
        names = [cell(value) for value in _shown(by, values)]
        if more:
            names.append(cell(report.key_names.get(values[by.index("key")])))
        writer.writerow([*names, *(_number(view[name]) for name in FIGURES)])
    return out.getvalue()


def _coverage(calls: int, unknown: int) -> float | None:
    """Return the share of calls whose cost is known; None = there are no calls.

    It is rounded down, so that 1 means all.
    """
    return None if calls == 0 else int((calls - unknown) * 10_000 / calls) / 10_000


def _shown(names: Iterable[str], values: Iterable[Any]) -> Iterable[str | None]:
    for name, value in zip(names, values, strict=True):
        yield _time(name, int(value)) if name in TIMES else (value or None)


def _time(name: str, at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d" if name == "day" else "%Y-%m-%dT%HZ")


def cell(value: str | None) -> str:
    """Return a text for a cell of a CSV file: a spreadsheet takes it for no formula."""
    text = value or ""
    return f"'{text}" if text.lstrip(" \"'").startswith(FORMULAS) else text


def _number(value: Any) -> Any:
    return "" if value is None else value


def sums_of(row: Mapping[str, Any]) -> Sums:
    """Return the sums of a row of the database, where PostgreSQL adds up to decimals."""
    return Sums(**{one.name: int(row[one.name] or 0) for one in fields(Sums)})
