"""The budgets of a process: calls are admitted by them, charged to them, and people are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from time import time
from typing import Any

from llmproxy.batteries.budgets.accounts import BudgetAccount, BudgetAccounts, BudgetStatus
from llmproxy.batteries.budgets.budget import Budget, Kind, budgets_of, wrong_budgets
from llmproxy.batteries.budgets.estimates import CallEstimates
from llmproxy.batteries.budgets.permit import BudgetExceeded, BudgetPermit, Reserved
from llmproxy.batteries.store import StoreUnavailable
from llmproxy.calls import Call
from llmproxy.config import Config
from llmproxy.errors import ConfigError, Problem
from llmproxy.events import CallFinished, Listener
from llmproxy.protocols import Admit
from llmproxy.record import Basis, CallRecord
from llmproxy.routing import Group

logger = logging.getLogger("llmproxy")
FREE, UNKNOWN = Basis.FREE, Basis.UNKNOWN  # Python finds a global sooner than an Enum's member

# Called with a budget and the share of its amount that has been reached.
OnReached = Callable[[BudgetStatus, float], None]
# Called with a budget that refuses calls, and with what the first of them may use.
OnRefused = Callable[[BudgetStatus, int], None]


class Budgets(Listener):
    """One for each process; composition makes it, `open_budgets` opens it.

    `may_be_granted`: the server that instances share answers. `on_reached` and `on_refused`: for
    alerts.
    """

    def __init__(self) -> None:
        self.accounts = BudgetAccounts()
        self.estimates = CallEstimates()
        self.may_be_granted = False
        self.asked = asyncio.Event()
        self.on_reached: list[OnReached] = []
        self.on_refused: list[OnRefused] = []
        self.administration: Callable[[], Awaitable[Any]] = _no_store  # makes and changes budgets
        self._in_config: list[Budget] = []
        self._made: list[Budget] = []  # at run time
        self._open: dict[int, tuple[CallRecord, list[Reserved]]] = {}
        self._runtime: Any = None
        self._admit: Admit | None = None

    # ---- the configs that are served

    def check(self, config: Config, *, file: str) -> None:
        """Raise ConfigError, naming the file, for a budget that nobody can keep to."""
        problems = [
            Problem(file, 0, f"{_dotted(path)}: {error}", "See docs/guides/budgets.md.", path)
            for path, error in wrong_budgets(config.general_settings)
        ]
        if problems:
            raise ConfigError(problems)

    def serve(self, runtime: Any) -> None:
        """Admit the calls of a config, which becomes the current one, by budgets."""
        self._runtime, self._admit = runtime, runtime.admit
        self.adopt_config(runtime.config.general_settings)

    def adopt_config(self, settings: Any) -> list[BudgetAccount]:
        """Keep to the budgets of a config. Return the accounts that are new."""
        self._in_config = list(budgets_of(settings))
        return self._install()

    def adopt_made(self, budgets: Iterable[Budget]) -> list[BudgetAccount]:
        """Keep to these budgets that were made at run time. Return the accounts that are new."""
        self._made = list(budgets)
        return self._install()

    def _install(self) -> list[BudgetAccount]:
        new = self.accounts.replace([*self._in_config, *self._made], time())
        if self._runtime is not None and self._admit is not None:
            self._runtime.admit = self._admit
            if len(self.accounts):  # without any, calls take no further step
                self.estimates.serve(self._runtime.pool.groups)
                self._runtime.admit = self._limited(self._admit)
        return new

    # ---- calls

    def _limited(self, admit: Admit) -> Admit:
        def limited(
            call: Call, group: Group, record: CallRecord
        ) -> AbstractAsyncContextManager[None]:
            admitted = admit(call, group, record)
            accounts = self.accounts.of(record, group.name)
            if not accounts:
                return admitted
            amounts = self.estimates.of(call, group)
            return BudgetPermit(self, accounts, amounts, record, admitted)

        return limited

    def note(self, record: CallRecord, reserved: list[Reserved]) -> None:
        """Remember what a call has reserved, until it is over."""
        known = self._open.get(id(record))
        if known is not None:  # it was sent once before, and is sent again
            known[1].extend(reserved)
        else:
            self._open[id(record)] = record, reserved

    def call_finished(self, event: CallFinished) -> None:
        """Settle what a call has reserved."""
        record = event.record
        found = self._open.pop(id(record), None)
        if found is None:
            if record.answer.error == BudgetExceeded.code and record.group is not None:
                self.estimates.learn_of_refusal(record.group)
            return
        usage, cost = record.answer.usage, record.cost
        if usage is not None and not usage.estimated and record.group is not None:
            self.estimates.learn(record.group, usage)
        tokens = None if usage is None else usage.input_tokens + usage.output_tokens
        if not tokens and usage is not None and usage.estimated:
            tokens = None
        nano_usd = None if cost is None or cost.basis is UNKNOWN else cost.nano_usd
        if record.attempts == 0 or (cost is not None and cost.basis is FREE):
            nano_usd = tokens = 0
        now, charged = event.ended_at, set()
        for account, ledger, amount in found[1]:
            ledger.release(amount)
            if account.budget.id in charged:
                continue
            charged.add(account.budget.id)
            used = nano_usd if account.in_usd else tokens
            used = amount if used is None else used  # not known: what was reserved counts
            if record.fallback is not None and account.budget.kind is Kind.GROUP:
                continue  # another group has answered
            self._charge(account, used, now)
        if record.fallback is not None:
            for account in self.accounts.of_group(record.fallback):
                self._charge(account, (nano_usd if account.in_usd else tokens) or 0, now)

    def _charge(self, account: BudgetAccount, used: int, now: float) -> None:
        ledger = account.current(now)
        ledger.spend(used)
        if ledger.spent >= account.notice_from:
            self.notice(account, now)

    def notice(self, account: BudgetAccount, now: float) -> None:
        """Tell once in a period that a share of a budget has been used."""
        share = account.reached(now)
        if share is None:
            return
        status = account.status(now)
        budget = status.budget
        logger.warning(
            "Budget: %s: %s of %s %s are used (%.0f %%).",
            *(budget.whose, budget.shown(status.used), budget.shown(budget.amount), budget.each),
            100 * status.used / budget.amount,
        )
        for callback in self.on_reached:
            callback(status, share)

    def notice_refusal(self, account: BudgetAccount, amount: int, now: float) -> None:
        """Tell once in a period that calls are refused, although less than all has been used.

        `amount`: what the call may use.
        """
        if not account.refuses_first(now):
            return
        status = account.status(now)
        budget = status.budget
        logger.warning(
            "Budget: %s: a call was refused, which may use %s: %s of %s %s are used. Raise the "
            "budget, or wait until it resets.",
            *(budget.whose, budget.shown(amount), budget.shown(status.used)),
            *(budget.shown(budget.amount), budget.each),
        )
        for callback in self.on_refused:
            callback(status, amount)

    def ask_soon(self) -> None:
        """Let the background task ask for more at once."""
        self.asked.set()

    def statuses(self) -> list[BudgetStatus]:
        """Return how all budgets are now."""
        now = time()
        return [account.status(now) for account in self.accounts]


def _dotted(path: tuple[str | int, ...]) -> str:
    """Return a place in a config as people write it: `general_settings.budgets[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


async def _no_store() -> Any:
    raise StoreUnavailable(
        "Budgets are kept in a database, and this proxy has none (database_url: off). Name one, or "
        "add general_settings.budgets."
    )
