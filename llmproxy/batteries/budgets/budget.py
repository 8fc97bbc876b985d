"""What a budget is: how much, of what, for whom, and for how long. And how people write one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from llmproxy.batteries.budgets.periods import Per
from llmproxy.batteries.money import NANO, dollars

NOTIFY_AT = (0.8, 1.0)
MAX_AMOUNT = 2**53  # what Lua counts exactly: nine million dollars, or as many billion tokens
MAX_NAME, MAX_SHARES = 256, 10
SHORT = re.compile(
    r"(\$?)\s*(\d+(?:\.\d+)?)\s*(\$|usd|tokens)?\s*(?:/\s*(hour|day|week|month|total))?"
)
SHORT_FORM = "`200/month`, `$5/day`, `5000000 tokens/week` or `50` (in total)"


class Unit(StrEnum):
    """What is counted."""

    USD = "usd"  # in nano-dollars
    TOKENS = "tokens"


class Kind(StrEnum):
    """What kind of thing a budget is for."""

    KEY = "key"  # a caller of the config by its name, a key made at run time by its id or name
    TEAM = "team"
    TAG = "tag"
    GROUP = "group"
    ALL = "all"


class BudgetError(Exception):
    """A budget that nobody can keep to. The message says what was expected and what was found."""


class NoSuchBudgetError(Exception):
    """There is no budget with this id that was made at run time."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """An amount that the calls of somebody may use in a period.

    `amount`: nano-dollars or tokens. `id` names it in logs and on every instance; `hard`: calls are
    refused when it is used up. `notify_at`: shares of it at which operators are told.
    """

    id: str
    kind: Kind
    subject: str = ""
    unit: Unit = Unit.USD
    amount: int
    per: Per = Per.TOTAL
    time_zone: str = "UTC"
    hard: bool = True
    notify_at: tuple[float, ...] = NOTIFY_AT
    in_config: bool = False

    @property
    def whose(self) -> str:
        """Whose it is, for people: `team 'search'`."""
        return "all calls" if self.kind is Kind.ALL else f"{self.kind} '{self.subject}'"

    @property
    def each(self) -> str:
        """The period for people: `a month`, `in total`."""
        if self.per is Per.TOTAL:
            return "in total"
        return "an hour" if self.per is Per.HOUR else f"a {self.per}"

    def shown(self, amount: int) -> str:
        """Return an amount as people write it: `$12.50`, `1,000 tokens`."""
        if self.unit is Unit.TOKENS:
            return f"{amount:,} tokens"
        return f"${dollars(amount, places=2)}"


def budget_id(kind: str, subject: str, unit: str, per: str) -> str:
    """Return the id of a budget of the config: the same on every instance and after a restart."""
    return ":".join(part for part in ("config", kind, subject, unit, per) if part)


def from_short(text: object, kind: Kind, subject: str) -> Budget:
    """Return the budget that a short form such as `200/month` says. Raises BudgetError."""
    match = SHORT.fullmatch(_plain(text).strip().lower())
    if match is None or (match[1] and match[3]):
        raise BudgetError(f"expected {SHORT_FORM}, found {str(text)[:60]!r}.")
    unit = Unit.TOKENS if match[3] == "tokens" else Unit.USD
    per = Per(match[4] or "total")
    return Budget(
        id=budget_id(kind, subject, unit, per),
        kind=kind,
        subject=subject,
        unit=unit,
        amount=amount_of(match[2], unit),
        per=per,
        in_config=True,
    )


def _plain(value: object) -> str:
    """Return an amount as text: YAML and JSON read `50` as a number, and `0.00001` as a float."""
    return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def amount_of(value: object, unit: Unit) -> int:
    """Return an amount of dollars in nano-dollars, or of tokens. Raises BudgetError."""
    text = _plain(value)
    if not isinstance(value, bool) and re.fullmatch(r"\d{1,19}(\.\d+)?", text):
        amount = Decimal(text) * (NANO if unit is Unit.USD else 1)
        if 0 < amount <= MAX_AMOUNT and amount == int(amount):
            return int(amount)
    what = "dollars, to 9,000,000" if unit is Unit.USD else "tokens, a whole number"
    raise BudgetError(f"expected an amount of {what}, found {text[:60]!r}.")


def from_mapping(order: Mapping[str, Any]) -> Budget:
    """Return the budget that an entry of the config, or an operator's order, says.

    Example: `{for: {team: search}, usd: 200, per: month, hard: true}`. Raises BudgetError.
    """
    for field in order:
        if field not in FIELDS:
            raise BudgetError(f"A budget has no {field!r}. It has: {', '.join(FIELDS)}.")
    kind, subject = _for(order.get("for", "all"))
    units = [unit for unit in Unit if order.get(unit) is not None]
    if len(units) != 1:
        raise BudgetError("expected either `usd` or `tokens`, with an amount.")
    per, zone = _per(order.get("per", "total")), _time_zone(order.get("time_zone", "UTC"))
    hard = order.get("hard", True)
    if not isinstance(hard, bool):
        raise BudgetError(f"hard: expected true or false, found {hard!r}.")
    return Budget(
        id=budget_id(kind, subject, units[0], per),
        kind=kind,
        subject=subject,
        unit=units[0],
        amount=amount_of(order[units[0]], units[0]),
        per=per,
        time_zone=zone,
        hard=hard,
        notify_at=_shares(order.get("notify_at", NOTIFY_AT)),
        in_config=True,
    )


def order_of(budget: Budget) -> dict[str, Any]:
    """Return the order that would make a budget."""
    subject = "all" if budget.kind is Kind.ALL else {str(budget.kind): budget.subject}
    return {
        **{"for": subject, str(budget.unit): amount_in_words(budget.unit, budget.amount)},
        **{"per": budget.per, "time_zone": budget.time_zone, "hard": budget.hard},
        "notify_at": budget.notify_at,
    }


def amount_in_words(unit: Unit, amount: int) -> str:
    """Return an amount as APIs show it: dollars as a decimal string, or the number of tokens."""
    return dollars(amount) if unit is Unit.USD else str(amount)


FIELDS = ("for", "usd", "tokens", "per", "time_zone", "hard", "notify_at")


def _for(value: object) -> tuple[Kind, str]:
    if value == "all":
        return Kind.ALL, ""
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, subject),) = value.items()
        name = str(subject) if isinstance(subject, str | int) else ""
        is_name = name.isprintable() and 0 < len(name) <= MAX_NAME
        if kind in (Kind.KEY, Kind.TEAM, Kind.TAG, Kind.GROUP) and is_name:
            return Kind(kind), name
    raise BudgetError(
        f"for: expected `all`, or one of key, team, tag and group with a name of up to {MAX_NAME} "
        f"characters, found {str(value)[:60]!r}."
    )


def _per(value: object) -> Per:
    try:
        return Per(str(value))
    except ValueError as error:
        raise BudgetError(f"per: expected {', '.join(Per)}, found {value!r}.") from error


def _time_zone(value: object) -> str:
    try:
        if value != "localtime":  # another one on each machine
            return ZoneInfo(str(value)).key
        raise ValueError
    except (ValueError, OSError, KeyError) as error:
        expected = "the name of a time zone, such as Europe/Berlin"
        raise BudgetError(f"time_zone: expected {expected}, found {value!r}.") from error


def _shares(value: object) -> tuple[float, ...]:
    shares: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
    if len(shares) > MAX_SHARES:
        raise BudgetError(f"notify_at: expected at most {MAX_SHARES} shares, found {len(shares)}.")
    for share in shares:
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 10:
            raise BudgetError(f"notify_at: expected shares such as [0.8, 1.0], found {value!r}.")
    return tuple(sorted(float(share) for share in shares))


Place = tuple[str | int, ...]  # of a value in a config


def budgets_of(settings: Any) -> Iterator[Budget]:
    """Yield the budgets of a config: its own, and the short forms of its callers and teams.

    Raises BudgetError.
    """
    for _, made in _makers(settings):
        yield made()


def wrong_budgets(settings: Any) -> Iterator[tuple[Place, str]]:
    """Yield each budget of a config that nobody can keep to: its place, and what is wrong."""
    first: dict[str, Place] = {}
    for place, made in _makers(settings):
        try:
            budget = made()
        except BudgetError as error:
            yield place, str(error)
            continue
        if budget.id in first:
            yield (
                place,
                f"found a second budget of {budget.whose} in {budget.unit} per {budget.per}. "
                "Keep one of the two.",
            )
        first[budget.id] = place


def _makers(settings: Any) -> Iterator[tuple[Place, Callable[[], Budget]]]:
    for index, entry in enumerate(settings.budgets):
        order = entry.model_dump(by_alias=True)
        yield ("general_settings", "budgets", index), partial(from_mapping, order)
    for kind, name in ((Kind.TEAM, "teams"), (Kind.KEY, "callers")):
        for index, owner in enumerate(getattr(settings, name)):
            for text in shorts(owner.budget):
                place: Place = ("general_settings", name, index, "budget")
                yield place, partial(from_short, text, kind, owner.name)


def shorts(value: object) -> list[object]:
    """Return the short forms that a caller or a team has: none, one, or a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
