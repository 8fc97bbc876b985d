"""What a batch of calls adds up to, by hour and by day: the rows to add to the tables of sums.

They are added up here and not by the database, which would have to read the batch again for each
of six sums: SQLite takes three times as long for that.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec

from llmproxy.batteries.store.rows import COLUMNS, Row
from llmproxy.record import Basis

PERIODS = {"hour": 3600, "day": 86400}
SPEND_KEY = ("period", "start", "caller", "team", "key_id", "model", "group_name", "endpoint")
LABEL_KEY = ("period", "start", "kind", "label", "team")
FIGURES = (
    *("calls", "errors", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens"),
    *("reasoning_tokens", "nano_usd", "estimated_nano_usd", "unknown_calls", "saved_nano_usd"),
    *("attempts", "total_ms"),
)
PIECE = 100  # rows that are added up at once: a pause of some 0.2 ms
EXACT, UNKNOWN = Basis.EXACT.value, Basis.UNKNOWN.value


def _columns(*names: str) -> Callable[[Row], tuple[Any, ...]]:
    """Return what picks these columns out of a row."""
    return itemgetter(*map(COLUMNS.index, names))


_names_of = _columns(
    *("ended_at", "caller", "team", "key_id", "model", "group_name", "fallback", "endpoint"),
    *("end_user", "tags"),
)
_counts_of = _columns(
    *("status", "error", "nano_usd", "basis", "saved_nano_usd", "attempts", "total_ms"),
    *(name for name in COLUMNS if name.endswith("_tokens")),
)
_tags_of = lru_cache(maxsize=1000)(msgspec.json.Decoder(tuple[str, ...]).decode)
Key = tuple[Any, ...]
Figures = tuple[Any, ...]
Groups = defaultdict[Key, list[Figures]]


class BatchSums:
    """The sums of one batch. The first part of each key is the hour's beginning, in Unix time."""

    def __init__(self) -> None:
        self._by_caller: Groups = defaultdict(list)
        self._by_label: Groups = defaultdict(list)

    def add(self, rows: Iterable[Row]) -> None:
        """Add some calls."""
        hour_s = PERIODS["hour"]
        for row in rows:
            at, caller, team, key, model, group, fallback, endpoint, user, tags = _names_of(row)
            start, team, figures = int(at) // hour_s * hour_s, team or "", _figures_of(row)
            who = start, caller or "", team, key or ""
            what = model or "", fallback or group or "", endpoint or ""
            self._by_caller[who + what].append(figures)
            if user is not None:
                self._by_label[start, "end_user", user, team].append(figures)
            if tags is not None:
                for tag in _tags_of(tags):
                    self._by_label[start, "tag", tag, team].append(figures)

    def spend(self) -> list[Row]:
        """Return the rows to add to `spend`."""
        return list(_by_period(self._by_caller))

    def spend_by_label(self) -> list[Row]:
        """Return the rows to add to `spend_by_label`."""
        return list(_by_period(self._by_label))


async def sums_of(rows: list[Row]) -> BatchSums:
    """Return the sums of a batch, without a pause that calls would feel."""
    sums = BatchSums()
    for at in range(0, len(rows), PIECE):
        sums.add(rows[at : at + PIECE])
        await asyncio.sleep(0)
    return sums


def _figures_of(row: Row) -> Figures:
    """Return what a call adds to each of its sums."""
    status, error, nano, basis, saved, attempts, total_ms, *tokens = _counts_of(row)
    return (
        1,
        1 if status >= 400 or error is not None else 0,
        *tokens,
        nano,
        0 if basis == EXACT else nano,
        1 if basis is None or basis == UNKNOWN else 0,
        saved,
        attempts,
        total_ms,
    )


def _by_period(groups: Groups) -> Iterator[Row]:
    """Yield the sums of each group, for its hour and for its day: key and figures."""
    hours = {key: _added_up(figures) for key, figures in groups.items()}
    for period, length in PERIODS.items():
        sums: dict[Key, Figures] = {}
        for (start, *names), figures in hours.items():
            key = (period, start // length * length, *names)
            sums[key] = _added_up([sums[key], figures]) if key in sums else figures
        for key, (*counts, total_ms) in sums.items():
            yield (*key, *counts, int(total_ms))


def _added_up(figures: list[Figures]) -> Figures:
    return figures[0] if len(figures) == 1 else tuple(map(sum, zip(*figures, strict=True)))
