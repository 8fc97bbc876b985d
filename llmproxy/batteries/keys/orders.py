"""What an operator may say of a key or a team, checked: names, limits, patterns, times, budgets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from llmproxy.batteries.budgets import BudgetError, Kind, from_short

MAX_NAME, MAX_NOTE, MAX_TAG, MAX_TAGS, MAX_MODELS = 100, 1000, 64, 20, 100
MAX_COUNT = 1_000_000_000_000
# Ids of keys, callers of the config and of tokens, and "(none)": each would be taken for another.
RESERVED = ("key_", "config:", "jwt:", "(")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
LIMITS = ("rpm", "tpm", "concurrent")


class OrderError(Exception):
    """An operator's order cannot be carried out. `status`: of HTTP."""

    def __init__(self, message: str, *, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


class BudgetOrder(msgspec.Struct, frozen=True):
    """An amount in nano-dollars or tokens, and the period that it is for."""

    unit: str
    amount: int
    per: str


def key_fields(order: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the checked columns of a key that an order names. Raises OrderError."""
    _only(order, (*_KEY_FIELDS, "budget", "expires"), "key")
    fields = _checked(order, _KEY_FIELDS)
    if "expires" in order:
        fields["expires_at"] = moment(order["expires"], now)
    return fields


def team_fields(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked columns of a team that an order names. Raises OrderError."""
    _only(order, (*_TEAM_FIELDS, "budget", "members"), "team")
    return _checked(order, _TEAM_FIELDS)


def only_rotation(order: Mapping[str, Any]) -> None:
    """Check what a rotation names. Raises OrderError."""
    _only(order, ("overlap",), "rotation")


def member_fields(order: Mapping[str, Any]) -> list[dict[str, str]] | None:
    """Return the members of a team that an order names; None if it names none."""
    members = order.get("members")
    if members is None:
        return None
    if not isinstance(members, list):
        raise _wrong("members", 'a list such as ["ada@example.com"]', members)
    found = {}
    for member in members:
        given = {"person": member} if isinstance(member, str) else member
        if not isinstance(given, dict) or not given.get("person"):
            raise _wrong("members", "an e-mail address or a subject each", member)
        person = text("members", given["person"])
        found[person] = {"person": person, "role": text("role", given.get("role", "team"))}
    return list(found.values())


def budget_order(value: object) -> BudgetOrder | None:
    """Return a budget such as `200/month`, `5000000 tokens/day` or `50` (in total)."""
    if value is None or value == "":
        return None
    try:
        budget = from_short(value, Kind.KEY, "")
    except BudgetError as error:
        expected = "dollars or tokens and a period: 200/month, 5000000 tokens/day, 50/total"
        raise _wrong("budget", expected, value) from error
    return BudgetOrder(budget.unit.value, budget.amount, budget.per.value)


def moment(value: object, now: float) -> float | None:
    """Return the Unix time of `90d`, a date, a date with a time, or a Unix time; None: never."""
    if value in (None, "", "never"):
        return None
    expected = "a time from now (90d, 12h), or a date in the future (2027-01-31)"
    at: float
    if isinstance(value, int | float) and not isinstance(value, bool):
        at = float(value)
    elif re.fullmatch(r"\d{1,9}[smhdw]", str(value)):
        at = now + int(str(value)[:-1]) * UNITS_S[str(value)[-1]]
    else:
        try:
            parsed = datetime.fromisoformat(str(value))
        except ValueError as error:
            raise _wrong("expires", expected, value) from error
        at = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    if not now < at < 4e9:
        raise _wrong("expires", expected, value)
    return at


def seconds(field: str, value: object) -> float:
    """Return the seconds of `24h`. Raises OrderError."""
    if not re.fullmatch(r"\d{1,6}[smhdw]?", str(value)):
        raise _wrong(field, "a time such as 24h, 30m or 0", value)
    unit = str(value)[-1]
    return float(str(value).rstrip("smhdw")) * UNITS_S.get(unit, 1)


def text(field: str, value: object, longest: int = MAX_NAME) -> str:
    """Return a text that logs and headers can carry. Raises OrderError."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _wrong(field, "text without control characters", value)
    if len(value) > longest:
        raise OrderError(f"{field}: expected at most {longest} characters, found {len(value)}.")
    return value.strip()


def _name(field: str, value: object) -> str:
    name = text(field, value)
    if "/" in name:  # stands in paths
        raise _wrong(field, "a name without a slash", value)
    if name.startswith(RESERVED):
        raise _wrong(field, f"a name that begins with none of {', '.join(RESERVED)}", value)
    return name


def _optional(field: str, value: object) -> str | None:
    return None if value in (None, "") else text(field, value)


def _note(field: str, value: object) -> str | None:
    return None if value in (None, "") else text(field, value, MAX_NOTE)


def _count(field: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_COUNT:
        raise _wrong(field, "a whole number from 1", value)
    return value


def _tags(field: str, value: object) -> list[str]:
    found = _texts(field, value or [], MAX_TAGS, MAX_TAG)
    if any("," in tag for tag in found):
        raise _wrong(field, "labels without a comma", value)
    return found


def _models(field: str, value: object) -> list[str] | None:
    return None if value is None else _texts(field, value, MAX_MODELS, MAX_NAME)


def _texts(field: str, value: object, most: int, longest: int) -> list[str]:
    if not isinstance(value, list):
        raise _wrong(field, "a list", value)
    if len(value) > most:
        raise OrderError(f"{field}: expected at most {most}, found {len(value)}.")
    return list(dict.fromkeys(text(field, item, longest) for item in value))


_TEAM_FIELDS = {
    "name": _name,
    "owner": _optional,
    "note": _note,
    "models": _models,
    **dict.fromkeys(LIMITS, _count),
}
_KEY_FIELDS = {**_TEAM_FIELDS, "team": _optional, "tags": _tags}


def _checked(order: Mapping[str, Any], checks: Mapping[str, Any]) -> dict[str, Any]:
    return {field: check(field, order[field]) for field, check in checks.items() if field in order}


def _only(order: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for field in order:
        if field not in known:
            raise OrderError(f"A {what} has no {field!r}. It has: {', '.join(known)}.")


def _wrong(field: str, expected: str, value: object) -> OrderError:
    return OrderError(f"{field}: expected {expected}, found {str(value)[:100]!r}.")
