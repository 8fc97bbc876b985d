"""The accounts: each budget with its ledger of the current period, found by whom a call is from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf

import msgspec

from llmproxy.batteries.budgets.budget import Budget, Kind, Unit
from llmproxy.batteries.budgets.ledger import Ledger
from llmproxy.batteries.budgets.periods import period_at
from llmproxy.record import CallRecord

# A clock that was wrong by years must not open the budget of a year that is far away. A call that
# ends at the end of a period may be counted a moment later.
SET_BACK_S = 3600.0


class BudgetStatus(msgspec.Struct, frozen=True):
    """How a budget is now, for the operator. Amounts are nano-dollars or tokens."""

    budget: Budget
    used: int
    reserved: int  # by calls of this instance that are under way
    left: int
    resets_at: float  # Unix time; infinite: never
    starts_at: float


class BudgetAccount:
    """A budget and its ledger. Owned by BudgetAccounts. `shared`: instances share ledgers."""

    def __init__(self, budget: Budget, now: float, *, shared: bool) -> None:
        self.budget = budget
        self.in_usd = budget.unit is Unit.USD
        # Shares that were told of in this period; infinity: that a call was refused.
        self.noticed: set[float] = set()
        self.notice_from = 0.0  # `reached` finds nothing while less is spent; 0: look
        self.shared = shared
        self.ledger = self._opened(now)
        self.before: int | None = None  # spent in this period before this start; None = not read
        self.settled = True  # False: the store must be read again
        self._own_at_reading = 0  # what was spent here when the store was read last

    def change(self, budget: Budget) -> None:
        """Take over a new amount, and whether it is hard. What is spent stays spent."""
        self.budget = budget
        ledger = self.ledger
        ledger.amount = budget.amount
        self.noticed = {s for s in self.noticed if ledger.spent >= s * ledger.amount}
        self.notice_from = 0.0

    def current(self, now: float) -> Ledger:
        """Return the ledger of the current period. `now`: Unix time."""
        period = self.ledger.period
        is_over, was_set_back = now >= period.end, now < period.start - SET_BACK_S
        if is_over or was_set_back:
            self.ledger = self._opened(now)
            self.noticed.clear()
            self.notice_from = 0.0
            self.before, self._own_at_reading = None if was_set_back else 0, 0
        return self.ledger

    def learn(self, spent: int) -> None:
        """Take over the sum of the store.

        It is written behind: it may lack what was spent here since it was read last. And it never
        counts for less than what was spent before this start and since.
        """
        ledger = self.ledger
        is_late = self.before is None and ledger.own > 0
        if self.before is None:
            # If it was away, calls have ended here. The sum has some of them, or all; the next
            # reading knows.
            self.before = max(0, spent - ledger.own)
            self.settled = not is_late
        own, self._own_at_reading = self._own_at_reading, ledger.own
        if ledger.held is not None:  # what the server says is newer
            if spent > ledger.spent:
                ledger.learn(spent, ledger.own)
        elif spent - own > self.before:
            ledger.learn(spent, own)
            self.settled = not is_late
        else:
            ledger.learn(self.before, 0)

    def reached(self, now: float) -> float | None:
        """Return the highest share of `notify_at` that was reached and not yet told of."""
        ledger, found = self.current(now), None
        for share in self.budget.notify_at:
            if share not in self.noticed and ledger.spent >= share * ledger.amount:
                self.noticed.add(share)
                found = share
        left = [share for share in self.budget.notify_at if share not in self.noticed]
        self.notice_from = min(left, default=inf) * ledger.amount
        return found

    def refuses_first(self, now: float) -> bool:
        """Whether a refusal is the first of a period that people were not told the end of."""
        self.current(now)
        if not self.budget.notify_at or any(share >= 1 for share in self.noticed):
            return False
        self.noticed.add(inf)
        return True

    def status(self, now: float) -> BudgetStatus:
        """Return how the budget is now."""
        ledger = self.current(now)
        left = max(0, ledger.amount - ledger.spent)
        period = ledger.period
        return BudgetStatus(
            self.budget, ledger.spent, ledger.reserved, left, period.end, period.start
        )

    def _opened(self, now: float) -> Ledger:
        budget = self.budget
        period = period_at(now, budget.per, budget.time_zone)
        return Ledger(period, budget.amount, shared=self.shared)


class BudgetAccounts:
    """All accounts. `shared`: whether instances share a server."""

    def __init__(self) -> None:
        self.shared = False
        self.by_id: dict[str, BudgetAccount] = {}
        self._by_subject: dict[tuple[str, str], tuple[BudgetAccount, ...]] = {}
        self._of_all: tuple[BudgetAccount, ...] = ()

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[BudgetAccount]:
        return iter(self.by_id.values())

    def replace(self, budgets: Iterable[Budget], now: float) -> list[BudgetAccount]:
        """Keep these budgets only. Return the accounts that are new."""
        earlier, self.by_id, new = self.by_id, {}, []
        for budget in budgets:
            account = earlier.get(budget.id)
            if account is None or not _same_ledger(account.budget, budget):
                account = BudgetAccount(budget, now, shared=self.shared)
                new.append(account)
            elif account.budget != budget:
                account.change(budget)
            self.by_id[budget.id] = account
        grouped: dict[tuple[str, str], list[BudgetAccount]] = {}
        for account in self.by_id.values():
            key = account.budget.kind, account.budget.subject
            grouped.setdefault(key, []).append(account)
        self._by_subject = {key: tuple(accounts) for key, accounts in grouped.items()}
        self._of_all = self._by_subject.pop((Kind.ALL, ""), ())
        return new

    def of(self, record: CallRecord, group: str) -> list[BudgetAccount]:
        """Return the accounts that a call is charged to."""
        request, get = record.request, self._by_subject.get
        found = list(self._of_all)
        found += get(("group", group), ())
        if request.caller is not None:
            found += get(("key", request.caller), ())
            if request.key is not None:
                found += get(("key", request.key), ())
            if request.team is not None:
                found += get(("team", request.team), ())
        for tag in request.tags:
            found += get(("tag", tag), ())
        return found

    def of_group(self, group: str) -> tuple[BudgetAccount, ...]:
        """Return the accounts of a model group."""
        return self._by_subject.get(("group", group), ())


def _same_ledger(one: Budget, other: Budget) -> bool:
    """Whether what was spent of one budget is spent of the other."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("kind", "subject", "unit", "per", "time_zone")
    )
