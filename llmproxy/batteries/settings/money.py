"""The sections about money: budgets, and the webhooks that are told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic.functional_validators import AfterValidator

from llmproxy.config import checks
from llmproxy.config.base import NUMBER, Section, Text


def _whose(value: object) -> object:
    """Check whose calls a budget is for."""
    if value == "all":
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, name),) = value.items()
        if kind in ("team", "key", "tag", "group") and isinstance(name, str | int) and name != "":
            return {kind: str(name)}
    return checks.refuse(
        "found {value}, which does not say whose calls are meant.",
        "Write all, or one of {team: NAME}, {key: NAME}, {tag: NAME} and {group: NAME}.",
    )


def _share(value: float) -> float:
    if not 0 < value <= 10:
        checks.refuse("found {value}, which is no share of an amount.", "Write 0.8 for 80 %.")
    return value


def _webhook(value: SecretStr) -> SecretStr:
    """Check the address of a webhook, which may hold a secret."""
    if not value.get_secret_value().startswith(("https://", "http://")):
        checks.refuse(
            "found no address of a webhook.",
            "Write https://...; if it comes from a variable, is the variable set?",
        )
    return value


def _not_empty(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        checks.refuse("found an empty secret.", "Is the variable behind it set?")
    return value


class BudgetEntry(Section):
    """How much the calls of somebody may use in a period: either `usd` or `tokens`."""

    for_: Annotated[Literal["all"] | Mapping[str, Text], BeforeValidator(_whose)] = Field(
        default="all",
        alias="for",
        description="Whose calls: `all`, or one of `{team: search}`, `{key: alice}`, `{tag: batch}`"
        " and `{group: gpt-4.1}`. A key is a caller of the config, or a key made at run time.",
    )
    usd: Annotated[float, Field(gt=0, le=9_000_000, allow_inf_nan=False), NUMBER] | None = Field(
        default=None, description="The amount, in US dollars."
    )
    tokens: Annotated[int, Field(ge=1, le=2**53), NUMBER] | None = Field(
        default=None, description="The amount, in tokens, instead of `usd`."
    )
    per: Literal["hour", "day", "week", "month", "total"] = Field(
        default="total",
        description="The period, by the calendar. A week begins on Monday; `total`: for ever.",
    )
    time_zone: Text = Field(
        default="UTC", description="By whose clocks a period begins, such as `Europe/Berlin`."
    )
    hard: bool = Field(
        default=True,
        description="Refuse calls when it is used up. If false: say so, and let them pass.",
    )
    notify_at: tuple[Annotated[float, NUMBER, AfterValidator(_share)], ...] = Field(
        default=(0.8, 1.0), description="Shares at which operators are told, once in each period."
    )


class AlertTarget(Section):
    """A webhook that alerts are sent to."""

    url: Annotated[SecretStr, AfterValidator(_webhook)] = Field(
        description="The webhook's address, best as `os.environ/NAME`. It is never shown."
    )
    secret: Annotated[SecretStr, AfterValidator(_not_empty)] | None = Field(
        default=None,
        description="What signs each alert, in `x-llmproxy-signature`. Default: unsigned.",
    )
    format: Literal["json", "slack"] = Field(
        default="json",
        description="`json`: all fields. `slack`: the text, as Slack and those like it take it.",
    )
