"""Keeps the ledgers of this process in step with the server that instances share.

One task sends the requests of all ledgers in one round trip: every 0.1 s those that hold, reserve
or have spent something, and after 5 ms if a call waits. No call awaits it. If the server is away,
each instance keeps to its part of each budget; it is tried again once a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from math import inf
from secrets import token_hex
from time import monotonic, time

from redis.exceptions import RedisError

from llmproxy.batteries.background import background
from llmproxy.batteries.budgets.accounts import BudgetAccount
from llmproxy.batteries.budgets.ledger import IDLE_S, Ledger, LedgerReply, LedgerRequest
from llmproxy.batteries.budgets.service import Budgets
from llmproxy.batteries.settings import FullSettings
from llmproxy.batteries.shared_state.address import (
    Client,
    Script,
    client_of,
    give_up_idle,
    in_words,
    patience,
    secrets_of,
)

logger = logging.getLogger("llmproxy")

TICK_S, SOONEST_S, RETRY_S = 0.1, 0.005, 1.0
REFRESH_S = 5.0  # ledgers without calls are asked about so often, for what others have spent
MAX_REQUESTS = 100  # in one round trip
WITHIN_S = 1.0
KEPT_S = 86_400.0  # the server keeps a period so long after its end, and a total
TOTAL_KEPT_S = 400 * 86_400.0
FIELDS = 4  # of a reply

Asked = tuple[BudgetAccount, Ledger, LedgerRequest]


class BudgetSync:
    """The background work of one process. `instances`: how many share the budgets."""

    def __init__(self, budgets: Budgets, client: Client, settings: FullSettings) -> None:
        self._budgets = budgets
        self._client = client
        self._secrets = secrets_of(settings)
        self._script = Script("budgets.lua", "llmproxy.batteries.budgets")
        self._prefix = f"{{{settings.redis_namespace}}}:budget:"
        self._name = token_hex(6)
        self._asked_at: dict[str, float] = {}
        self.instances = 1

    async def run(self) -> None:
        """Exchange until cancelled."""
        budgets = self._budgets
        while True:
            budgets.asked.clear()
            try:
                await self.exchange()
                budgets.may_be_granted = True
            except (RedisError, OSError, TimeoutError) as error:
                await self._lost(error)
                await asyncio.sleep(RETRY_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await budgets.asked.wait()
            await asyncio.sleep(SOONEST_S)

    async def exchange(self) -> None:
        """Exchange requests and replies once, for all ledgers that have something to say."""
        if not self._budgets.may_be_granted:  # a request gives up what is held beyond need
            async with patience(connected=False, operation_s=WITHIN_S):
                await self._client.ping()
        due = self._due(monotonic(), time())
        for start in range(0, len(due), MAX_REQUESTS):
            await self._send(due[start : start + MAX_REQUESTS])

    def _due(self, now: float, unix: float) -> list[tuple[BudgetAccount, Ledger]]:
        found, asked_at = [], self._asked_at
        for account in self._budgets.accounts:
            ledger = account.current(unix)
            busy = ledger.held or ledger.reserved or now - ledger.last_used < IDLE_S
            if busy or now - asked_at.get(account.budget.id, -inf) > REFRESH_S:
                found.append((account, ledger))
                asked_at[account.budget.id] = now
        return found

    async def _send(self, due: Sequence[tuple[BudgetAccount, Ledger]]) -> None:
        keys, args = [f"{self._prefix}instances"], [self._name, str(self.instances)]
        asked: list[Asked] = []
        for account, ledger in due:
            request = ledger.request(self.instances, monotonic())
            asked.append((account, ledger, request))
            keys.append(f"{self._prefix}{account.budget.id}:{ledger.period.start:.0f}")
            keep_s = TOTAL_KEPT_S
            if ledger.period.end < inf:
                keep_s = max(0.0, ledger.period.end - time()) + KEPT_S
            args.append(f"{keep_s * 1000:.0f}")
            args += [
                str(value)
                for value in (
                    *(request.amount, request.known, request.own, request.own_before),
                    *(request.keeps, request.wants, request.short),
                )
            ]
        connected = self._budgets.may_be_granted
        async with patience(connected=connected, operation_s=WITHIN_S):
            reply = await self._script.run(self._client, keys, args)
        self.instances = reply[0]
        now, unix = monotonic(), time()
        for place, (account, ledger, request) in enumerate(asked):
            at = 1 + place * FIELDS
            ledger.receive(request, LedgerReply(*reply[at : at + FIELDS]), now)
            self._budgets.notice(account, unix)

    async def _lost(self, error: Exception) -> None:
        if self._budgets.may_be_granted or not self._asked_at:
            why = in_words(error, self._secrets).rstrip(".") or f"no answer within {WITHIN_S:g} s"
            logger.warning(
                "Budgets are not shared: %s. Until the server is back, each of %d instances keeps "
                "to its part of each budget.",
                *(why, self.instances),
            )
        self._asked_at[""] = 0.0
        self._budgets.may_be_granted = False
        for account in self._budgets.accounts:
            account.ledger.keep_part(self.instances)
        with suppress(RedisError, OSError, TimeoutError):
            await give_up_idle(self._client)

    async def leave(self) -> None:
        """Report the last calls, and give everything back, if the server answers at once."""
        if not self._budgets.may_be_granted:
            return
        for account in self._budgets.accounts:
            account.ledger.last_used = -inf
        with suppress(RedisError, OSError, TimeoutError):
            await self.exchange()


@asynccontextmanager
async def shared_budgets(budgets: Budgets, settings: FullSettings) -> AsyncIterator[None]:
    """Share the ledgers through the server that the settings name, until the block ends."""
    client = client_of(settings)
    sync = BudgetSync(budgets, client, settings)
    try:
        async with background(sync.run):
            yield
        await sync.leave()
    finally:
        with suppress(RedisError, OSError):
            await client.aclose()
