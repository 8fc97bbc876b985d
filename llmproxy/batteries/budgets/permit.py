"""What a call reserves of its budgets before it is sent, and the refusal if there is not enough."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from math import ceil, inf
from time import monotonic, time
from types import TracebackType
from typing import Protocol
from zoneinfo import ZoneInfo

from llmproxy.batteries.budgets.accounts import BudgetAccount
from llmproxy.batteries.budgets.ledger import Ledger
from llmproxy.calls import Headers
from llmproxy.errors import GatewayError
from llmproxy.record import CallRecord

# A call whose instance has nothing left waits so long, while others hold something.
GRANT_S = 0.25
GRANT_POLL_S = 0.005

Reserved = tuple[BudgetAccount, Ledger, int]


class Charging(Protocol):
    """Charges calls when they are over. `may_be_granted`: the shared server answers."""

    may_be_granted: bool

    def note(self, record: CallRecord, reserved: list[Reserved]) -> None:
        """Remember what a call has reserved, until it is over."""

    def ask_soon(self) -> None:
        """Ask the server at once for what calls wait for."""

    def notice_refusal(self, account: BudgetAccount, amount: int, now: float) -> None:
        """Tell people of a call that may use more than is left."""


class BudgetExceeded(GatewayError):
    """A hard budget is used up: 429 budget_exceeded. Another try before it resets is in vain."""

    blame = "caller_limit"
    status = 429
    code = "budget_exceeded"
    kind = "insufficient_quota"


class BudgetPermit:
    """Reserves what a call may use on entry. `Budgets` settles it when the call is over.

    Entering raises BudgetExceeded if a hard budget has not enough left. `admitted`: entered then.
    """

    __slots__ = ("_accounts", "_admitted", "_amounts", "_budgets", "_record")

    def __init__(
        self,
        budgets: Charging,
        accounts: list[BudgetAccount],
        amounts: tuple[int, int],
        record: CallRecord,
        admitted: AbstractAsyncContextManager[None],
    ) -> None:
        self._budgets = budgets
        self._accounts = accounts
        self._amounts = amounts
        self._record = record
        self._admitted = admitted

    async def __aenter__(self) -> None:
        reserved: list[Reserved] = []
        wall, now = time(), monotonic()
        try:
            for account in self._accounts:
                ledger, amount = account.current(wall), self._amount_of(account)
                has_enough = self._reserve(account, ledger, amount, now)
                if not has_enough and not await self._wait(ledger, amount):
                    raise self._refusal(account, ledger, amount, wall)
                reserved.append((account, ledger, amount))
            await self._admitted.__aenter__()
        except BaseException:
            for _, ledger, amount in reserved:
                ledger.release(amount)
            raise
        self._budgets.note(self._record, reserved)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._admitted.__aexit__(kind, error, trace)

    def _amount_of(self, account: BudgetAccount) -> int:
        """Return what to reserve; 0: the call is not charged for."""
        nano_usd, tokens = self._amounts
        # At least one: nothing may be sent when nothing is left.
        return max(1, nano_usd if account.in_usd else tokens) if tokens else 0

    def _reserve(self, account: BudgetAccount, ledger: Ledger, amount: int, now: float) -> bool:
        """Reserve an amount; False if a hard budget has not so much left."""
        if amount == 0:
            return True
        if account.budget.hard:
            return ledger.reserve(amount, now)
        ledger.reserved += amount
        ledger.last_used = now
        if ledger.spent >= ledger.amount:
            self._add_header(account, ledger)
        return True

    def _refusal(
        self, account: BudgetAccount, ledger: Ledger, amount: int, now: float
    ) -> BudgetExceeded:
        self._record.limit_headers = refusal_headers(account, ledger, now)
        if ledger.spent + amount > ledger.amount:  # not only for calls that are under way
            self._budgets.notice_refusal(account, amount, now)
        return BudgetExceeded(in_words(account, ledger, amount))

    async def _wait(self, ledger: Ledger, amount: int) -> bool:
        """Wait a moment for what other instances hold; whether there was enough."""
        if not ledger.may_get(amount):
            return False
        began = now = monotonic()
        ledger.waiting += amount
        try:
            while now < began + GRANT_S and ledger.may_get(amount) and self._budgets.may_be_granted:
                self._budgets.ask_soon()
                await asyncio.sleep(GRANT_POLL_S)
                now = monotonic()
                if ledger.reserve(amount, now):
                    return True
        finally:
            ledger.waiting -= amount
            self._record.waited_s += now - began
        return ledger.reserve(amount, now)

    def _add_header(self, account: BudgetAccount, ledger: Ledger) -> None:
        self._record.limit_headers = [
            *(self._record.limit_headers or ()),
            (b"x-llmproxy-budget", header_value(account, ledger)),
        ]


def refusal_headers(account: BudgetAccount, ledger: Ledger, now: float) -> Headers:
    """Return what tells a client's SDK not to try again before the budget resets."""
    headers: Headers = [
        (b"x-should-retry", b"false"),
        (b"x-llmproxy-budget", header_value(account, ledger)),
    ]
    if ledger.period.end < inf:
        headers.append((b"retry-after", b"%d" % max(1, ceil(ledger.period.end - now))))
    return headers


def header_value(account: BudgetAccount, ledger: Ledger) -> bytes:
    """Return a budget as the header `x-llmproxy-budget` says it."""
    budget = account.budget
    used, amount = budget.shown(ledger.spent), budget.shown(ledger.amount)
    text = f"{budget.whose}; used {used} of {amount} {budget.each}"
    if ledger.period.end < inf:
        resets = datetime.fromtimestamp(ledger.period.end, UTC)
        text += f"; resets {resets:%Y-%m-%dT%H:%M:%SZ}"
    return text.encode("ascii", "replace")


def in_words(account: BudgetAccount, ledger: Ledger, amount: int) -> str:
    """Return the refusal for a person: which budget, how much, and when it resets."""
    budget = account.budget
    used, whole = budget.shown(ledger.spent), budget.shown(ledger.amount)
    each = budget.each
    text = f"The budget of {budget.whose} is used up: {used} of {whole} {each}."
    if ledger.spent + amount <= ledger.amount:
        text = (
            f"The budget of {budget.whose} has too little left for this call, which may use "
            f"{budget.shown(amount)}: {used} of {whole} {each} are used, the rest is reserved for "
            "calls that are under way."
        )
    elif ledger.spent < ledger.amount:
        text = (
            f"The budget of {budget.whose} has too little left for this call, which may use "
            f"{budget.shown(amount)}: {used} of {whole} {each} are used."
        )
    if ledger.period.end < inf:
        zone = ZoneInfo(budget.time_zone)
        resets = datetime.fromtimestamp(ledger.period.end, zone)
        named = "UTC" if budget.time_zone == "UTC" else f"{budget.time_zone}"
        text += f" It resets at {resets:%Y-%m-%d %H:%M} {named}."
    return f"{text} The operator of this proxy can raise it."
