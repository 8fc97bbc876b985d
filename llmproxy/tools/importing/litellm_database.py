"""Turns the rows of LiteLLM's tables of keys and teams into what our store keeps.

LiteLLM keeps the SHA-256 of each key in hex, as we do: a key goes on working, and nobody has to
know it. Source: schema.prisma of LiteLLM 1.110 (November 2026).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from llmproxy.tools.importing.dump import Row, array, json_value, moment
from llmproxy.tools.importing.litellm_settings import period

KEYS, TEAMS, BUDGETS = "LiteLLM_VerificationToken", "LiteLLM_TeamTable", "LiteLLM_BudgetTable"
TABLES = (KEYS, TEAMS, BUDGETS)
# What LiteLLM writes for "whatever the team, or the proxy, may use".
_ALL = {"all-team-models", "all-proxy-models", "*"}
_NONE = "no-default-models"
_OF_UI = "litellm-dashboard"  # the team of the keys that its user interface makes for sign-ins
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")  # what a column of floats may hold
_MOST_BUDGET, _MOST_LIMIT = 9_000_000, 10**12
MAX_NAME = 80  # ours have at most 100 characters; numbers may be added


@dataclass(frozen=True, slots=True)
class KeyToAdopt:
    """A key as our store keeps it. `digest`: its SHA-256, in hex. `fields`: as of an order."""

    digest: str
    prefix: str
    fields: Mapping[str, Any]
    blocked: bool
    expires_at: float | None
    created_at: float | None


@dataclass(frozen=True, slots=True)
class TeamToAdopt:
    """A team as our store keeps it."""

    fields: Mapping[str, Any]
    blocked: bool


@dataclass(slots=True)
class DescribedDatabase:
    """What is to be adopted, and how often something could not be carried over."""

    keys: list[KeyToAdopt] = field(default_factory=list)
    teams: list[TeamToAdopt] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


def described(rows: Iterable[tuple[str, Row]], now: float) -> DescribedDatabase:
    """Return what the rows of a dump say. Keys that have expired are left out."""
    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    for table, row in rows:
        tables[table].append(row)
    database = DescribedDatabase()
    budgets = {row.get("budget_id"): row for row in tables[BUDGETS]}
    names: set[str] = set()
    teams: dict[str | None, str] = {}
    for row in tables[TEAMS]:
        name = _unique(row.get("team_alias") or row.get("team_id") or "team", names)
        teams[row.get("team_id")] = name
        fields = {"name": name, **_rules(row, database.notes)}
        database.teams.append(TeamToAdopt(fields, row.get("blocked") == "t"))
    reader = _KeyReader(budgets, teams, database.notes)
    for row in tables[KEYS]:
        if (key := reader.key_of(row, now)) is not None:
            database.keys.append(key)
    return database


@dataclass(slots=True)
class _KeyReader:
    """Reads keys. `budgets`, `teams`: what they refer to by id. `names`: those given so far."""

    budgets: Mapping[str | None, Row]
    teams: Mapping[str | None, str]
    notes: Counter[str]
    names: set[str] = field(default_factory=set)

    def key_of(self, row: Row, now: float) -> KeyToAdopt | None:
        """Return a key; None if it is left out."""
        digest, expires_at = row.get("token") or "", moment(row.get("expires"))
        if not _DIGEST.fullmatch(digest):
            self.notes["keys that are not kept as SHA-256: make new ones"] += 1
            return None
        if row.get("team_id") == _OF_UI:
            self.notes["sign-ins of LiteLLM's user interface: they are no keys of programs"] += 1
            return None
        if expires_at is not None and expires_at <= now:
            self.notes["keys that had expired: left out"] += 1
            return None
        self._note_losses(row)
        shown = _text(row.get("key_name")) or f"sk-...{digest[:4]}"
        blocked, made_at = row.get("blocked") == "t", moment(row.get("created_at"))
        return KeyToAdopt(digest, shown, self._fields(row, digest), blocked, expires_at, made_at)

    def _fields(self, row: Row, digest: str) -> dict[str, Any]:
        name = _unique(row.get("key_alias") or f"litellm-{digest[:8]}", self.names)
        budget = self.budgets.get(row.get("budget_id")) or {}
        given = {column: value for column, value in budget.items() if value is not None}
        fields = {"name": name, **_rules({**row, **given}, self.notes)}
        if (team := self.teams.get(row.get("team_id"))) is not None:
            fields["team"] = team
        if owner := _text(row.get("user_id")):
            fields["owner"] = owner
        tags = json_value(row.get("metadata")).get("tags")
        if isinstance(tags, list):
            texts = [_text(tag, 64).replace(",", " ") for tag in tags[:20]]
            fields["tags"] = [text for text in texts if text]
        return fields

    def _note_losses(self, row: Row) -> None:
        for name in ("model_max_budget", "budget_limits", "aliases"):
            if json_value(row.get(name)):
                self.notes[f"keys with {name}, which has no counterpart"] += 1
        metadata = json_value(row.get("metadata"))
        for name in ("model_rpm_limit", "model_tpm_limit", "guardrails"):
            if metadata.get(name):
                text = f"keys with {name} in their metadata, which has no counterpart"
                self.notes[text] += 1


def _rules(row: Mapping[str, str | None], notes: Counter[str]) -> dict[str, Any]:
    """Return limits, models and budget of a key or team."""
    fields: dict[str, Any] = {}
    columns = {"rpm": "rpm_limit", "tpm": "tpm_limit", "concurrent": "max_parallel_requests"}
    for ours, column in columns.items():
        value = row.get(column) or ""
        if value.isdecimal() and 0 < int(value) <= _MOST_LIMIT:  # a larger one bounds nothing
            fields[ours] = int(value)
    models = array(row.get("models"))
    if models and not _ALL & set(models):
        fields["models"] = [model for model in models if model != _NONE]
    most = row.get("max_budget")
    if most in _NO_NUMBERS or (most is not None and Decimal(most) > _MOST_BUDGET):
        notes["budgets that are too large to bound anything: left out"] += 1
    elif most is not None:
        fields["budget"] = _budget(Decimal(most), row, notes)
    if row.get("soft_budget") is not None:
        notes["soft budgets: write them as budgets with hard: false"] += 1
    return fields


def _budget(most: Decimal, row: Mapping[str, str | None], notes: Counter[str]) -> str:
    """Return a budget as `keys create --budget` takes it."""
    spend, duration = row.get("spend") or "0", row.get("budget_duration")
    spent = Decimal("0" if spend in _NO_NUMBERS else spend)
    if duration is None:
        if spent > 0:
            notes["budgets without a period: what is left of them was taken over"] += 1
        left = max(most - spent, Decimal("0.01"))
        return f"{left.quantize(Decimal('0.01'))}/total"
    per = period(duration)
    if per is None:
        notes[f"budgets for {duration}: they are for a calendar month now"] += 1
    if spent > 0:
        notes["budgets with a period: what was spent in the current one was not taken over"] += 1
    return f"{max(most, Decimal('0.01')).normalize():f}/{per or 'month'}"


def _unique(text: str, taken: set[str]) -> str:
    """Return a name that our store accepts and that nobody has, and note it as taken."""
    name = _text(text, MAX_NAME).replace("/", "-") or "unnamed"
    if name.startswith(("key_", "config:", "jwt:", "(")):
        name = f"litellm-{name}"
    number = 1
    while (found := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    taken.add(found)
    return found


def _text(value: object, longest: int = 100) -> str:
    """Return a text that logs and headers can carry; empty if there is none."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else " " for char in text).strip()[:longest].strip()
