"""Opens the budgets of a process: what was spent before, what other instances spend, what changes.

SQLAlchemy takes half a second to import, so a thread does it, when there are sums to read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from time import time
from typing import TYPE_CHECKING, Any

from llmproxy.batteries.background import background
from llmproxy.batteries.budgets.accounts import BudgetAccount
from llmproxy.batteries.budgets.budget import Budget, budgets_of
from llmproxy.batteries.budgets.rows import ALL_BUDGETS, budget_of
from llmproxy.batteries.budgets.service import Budgets
from llmproxy.batteries.settings import full, shares_state
from llmproxy.batteries.store import Database, StoreEmptied, StoreUnavailable
from llmproxy.config import GeneralSettings

if TYPE_CHECKING:
    from llmproxy.batteries.budgets.administration import BudgetAdministration

logger = logging.getLogger("llmproxy")

POLL_S = 0.5
SUMS_EVERY_S = 2.0
FIRST_READ_S = 2.0  # the start waits so long for the store


class StoredBudgets:
    """Reads the store for the budgets of one process."""

    def __init__(self, budgets: Budgets, database: Database) -> None:
        self._budgets = budgets
        self._database = database
        self._stored: Any = None  # the module that imports SQLAlchemy
        self._seen: Mapping[str, int] | None = None
        self._warned = False
        self.first_read = asyncio.Event()

    async def keep_reading(self) -> None:
        """Read what changes, until cancelled."""
        elapsed = SUMS_EVERY_S
        while True:
            try:
                new = await self.read_changes()
                if new:
                    await self.read_sums(new)
                elif elapsed >= SUMS_EVERY_S and (due := self._to_read_again()):
                    elapsed = 0.0
                    await self.read_sums(due)
                self._warned = False
                self.first_read.set()
            except StoreUnavailable as error:
                if not self._warned:
                    logger.warning(
                        "Budgets cannot be read: %s Calls go on with those that are known, and "
                        "what was spent before this start is not counted.",
                        error,
                    )
                self._warned = True
            await asyncio.sleep(POLL_S)
            elapsed += POLL_S

    async def read_changes(self) -> list[BudgetAccount]:
        """Read the budgets if some have changed. Return the accounts that are new to the store.

        Raises StoreUnavailable.
        """
        if not self._database.exists:
            for account in self._budgets.accounts:
                account.before = account.before or 0
            return []
        seen = await self._database.counters()
        if not seen and self._seen:
            raise StoreEmptied("budgets")
        if seen != self._seen:
            made: list[Budget] = []
            for row in await self._database.read_plain(ALL_BUDGETS):
                try:
                    made.append(budget_of(row))
                except (ValueError, KeyError, OSError) as error:  # a time zone that is not here
                    logger.warning("The budget %s cannot be kept: %s", row.id, error)
            self._budgets.adopt_made(made)
            self._seen = seen
        return [account for account in self._budgets.accounts if account.before is None]

    async def read_sums(self, accounts: Iterable[BudgetAccount]) -> None:
        """Read what was spent in the current periods. Raises StoreUnavailable."""
        if not self._database.exists:
            return
        stored, now = await self._module(), time()
        alike: dict[tuple[Any, ...], list[BudgetAccount]] = defaultdict(list)
        for account in accounts:
            budget, start = account.budget, account.current(now).period.start
            alike[budget.kind, start, budget.unit].append(account)
        for (kind, start, unit), some in alike.items():
            rows = await self._database.fetch(stored.spent_since(kind, start, unit), polls=True)
            stored.apply(some, rows)
            for account in some:
                self._budgets.notice(account, time())

    async def administration(self) -> BudgetAdministration:
        """Return what makes and changes budgets."""
        await self._module()
        from llmproxy.batteries.budgets.administration import BudgetAdministration  # noqa: PLC0415

        return BudgetAdministration(self._database, self.read_changes)

    def _to_read_again(self) -> list[BudgetAccount]:
        """Return all if other instances write to the database, and nothing else says what they
        spend; else those that are not settled."""
        others_may_spend = self._database.address.file is None and not self._budgets.may_be_granted
        return [a for a in self._budgets.accounts if others_may_spend or not a.settled]

    async def _module(self) -> Any:
        if self._stored is None:
            name = "llmproxy.batteries.budgets.stored"
            self._stored = await asyncio.to_thread(import_module, name)
        return self._stored


@asynccontextmanager
async def open_budgets(
    budgets: Budgets, settings: GeneralSettings, database: Database | None
) -> AsyncIterator[None]:
    """Keep the budgets of a process until the block ends. `database`: None = no store."""
    settings = full(settings)
    budgets.accounts.shared = shares_state(settings)
    budgets.adopt_config(settings)
    async with AsyncExitStack() as stack:
        if database is not None:
            stored = StoredBudgets(budgets, database)
            budgets.administration = stored.administration
            await stack.enter_async_context(background(stored.keep_reading))
            if any(True for _ in budgets_of(settings)):
                await _within(FIRST_READ_S, stored.first_read)
        if budgets.accounts.shared:
            from llmproxy.batteries.budgets.sync import shared_budgets  # noqa: PLC0415 - redis-py

            await stack.enter_async_context(shared_budgets(budgets, settings))
        yield


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
