"""The alerts of a process: what is worth one, and that one instance sends it, once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from time import time
from typing import TYPE_CHECKING, Any

from llmproxy.batteries.alerts.alert import Alert, AlertKind, Webhook, has_jumped
from llmproxy.batteries.alerts.sending import PAUSES_S, Sender
from llmproxy.batteries.background import background
from llmproxy.batteries.settings import full
from llmproxy.batteries.store import Store, StoreUnavailable
from llmproxy.config import GeneralSettings
from llmproxy.events import EndpointChange, EndpointStateChanged, Listener

if TYPE_CHECKING:
    from llmproxy.batteries.budgets import Budgets, BudgetStatus

logger = logging.getLogger("llmproxy")

LOOK_EVERY_S = 300.0
ENDPOINT_QUIET_S = 600.0  # of an endpoint that goes out again and again, one alert in this time
HOUR_S, DAY_S = 3600, 86_400
DAYS_BEFORE = 7  # to compare an hour with
EXPIRY_DAYS = (1, 7)
MAX_CLAIMED = 10_000
OUT = (EndpointChange.OPEN, EndpointChange.MISCONFIGURED)
BACK = (EndpointChange.CLOSED, EndpointChange.CLEARED, EndpointChange.ENABLED)


class Alerts(Listener):
    """One for each process; composition makes it. `pauses_s`: before alerts are sent again."""

    def __init__(
        self, store: Store, budgets: Budgets | None, *, pauses_s: tuple[float, ...] = PAUSES_S
    ) -> None:
        self._store = store
        self._budgets = budgets
        self._pauses_s = pauses_s
        self._sender: Sender | None = None
        self._out: set[tuple[str, str]] = set()
        self._queue: asyncio.Queue[Alert] = asyncio.Queue(1_000)
        self._claimed: dict[str, float] = {}  # here, by id, with the time
        self._stored: Any = None  # the module that imports SQLAlchemy

    @asynccontextmanager
    async def open(self, settings: GeneralSettings) -> AsyncIterator[None]:
        """Send alerts until the block ends, to the webhooks of a config."""
        targets = tuple(
            Webhook(
                target.url.get_secret_value(),
                target.format == "slack",
                None if target.secret is None else target.secret.get_secret_value(),
            )
            for target in full(settings).alerts
        )
        sender = self._sender = Sender(targets, self._pauses_s)
        if self._budgets is not None:
            self._budgets.on_reached.append(self.budget_reached)
            self._budgets.on_refused.append(self.budget_refuses)
        try:
            async with background(self._keep_sending, self._keep_looking):
                yield
            await sender.close()
        finally:
            if self._budgets is not None:
                self._budgets.on_reached.remove(self.budget_reached)
                self._budgets.on_refused.remove(self.budget_refuses)

    # ---- what is worth an alert

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """Tell of an endpoint that is out, and of its return."""
        endpoint = event.group, event.endpoint
        if event.state in OUT and endpoint not in self._out:
            self._out.add(endpoint)
            self._tell_of_endpoint(event, AlertKind.ENDPOINT_OUT, f"is out: {event.why}")
        elif event.state in BACK and endpoint in self._out:
            self._out.discard(endpoint)
            self._tell_of_endpoint(event, AlertKind.ENDPOINT_BACK, "answers again.")

    def _tell_of_endpoint(self, event: EndpointStateChanged, kind: AlertKind, what: str) -> None:
        self.tell(
            Alert(
                f"{kind}:{event.group}/{event.endpoint}",
                kind,
                f"Endpoint {event.endpoint} of {event.group} {what}",
                time(),
                {"group": event.group, "endpoint": event.endpoint, "why": event.why},
                again_after_s=ENDPOINT_QUIET_S,
            )
        )

    def budget_reached(self, status: BudgetStatus, share: float) -> None:
        """Tell that a share of a budget has been used."""
        budget, used = status.budget, status.budget.shown(status.used)
        amount = budget.shown(budget.amount)
        text = f"{100 * share:.0f} % of {amount} {budget.each} are used ({used})."
        self._tell_of_budget(status, f"{share:g}", text, {"share": share})

    def budget_refuses(self, status: BudgetStatus, asked: int) -> None:
        """Tell that a budget has too little left for a call."""
        budget, used = status.budget, status.budget.shown(status.used)
        amount = budget.shown(budget.amount)
        text = (
            f"a call was refused, which may use {budget.shown(asked)}; {used} of {amount} "
            f"{budget.each} are used."
        )
        self._tell_of_budget(status, "refused", text, {"refused": True})

    def _tell_of_budget(
        self, status: BudgetStatus, what: str, text: str, said: dict[str, object]
    ) -> None:
        """Tell of a budget. `what`: told once in each period."""
        budget = status.budget
        used, amount = budget.shown(status.used), budget.shown(budget.amount)
        self.tell(
            Alert(
                f"budget:{budget.id}:{status.starts_at:.0f}:{what}:{budget.amount}",
                AlertKind.BUDGET,
                f"Budget of {budget.whose}: {text}",
                time(),
                {"budget": budget.id, **said, "used": used, "amount": amount},
            )
        )

    def tell(self, alert: Alert) -> None:
        """Send an alert, unless it was sent. Nothing waits for it."""
        if not self._queue.full():
            self._queue.put_nowait(alert)

    async def look(self, now: float) -> None:
        """Tell of keys that end soon and of an hour that costs far more than it used to.

        Raises StoreUnavailable.
        """
        database = self._store.database
        if database is None or not database.exists:
            return
        stored = await self._module()
        for row in await database.fetch(stored.keys_that_expire(now, max(EXPIRY_DAYS) * DAY_S)):
            days = next(days for days in EXPIRY_DAYS if row.expires_at <= now + days * DAY_S)
            text = f"Key '{row.name}' ends within {days} day{'s' if days > 1 else ''}."
            details = {"key": row.id, "name": row.name, "team": row.team, "owner": row.owner}
            id = f"key:{row.id}:{row.expires_at:.0f}:{days}"
            details["expires_at"] = row.expires_at
            self.tell(Alert(id, AlertKind.KEY_EXPIRES, text, now, details))
        hour = int(now // HOUR_S) * HOUR_S
        rows = await database.fetch(stored.cost_of_same_hours(hour, DAYS_BEFORE))
        costs = {row.start: int(row.nano_usd) for row in rows}
        cost = costs.pop(hour, 0)
        before = list(costs.values())
        if has_jumped(cost, before):
            usual = sum(before) / len(before)
            text = (
                f"Calls have cost ${cost / 1e9:.2f} in this hour; in the same hour of the days "
                f"before it was ${usual / 1e9:.2f}."
            )
            details = {"hour": hour, "cost_usd": f"{cost / 1e9:.9f}", "usual_usd": usual / 1e9}
            self.tell(Alert(f"spend:{hour}", AlertKind.SPEND_JUMP, text, now, details))

    # ---- in the background

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self.look(time())
            except StoreUnavailable as error:
                logger.warning("Alerts of keys and spend have to wait: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _keep_sending(self) -> None:
        while True:
            alert = await self._queue.get()
            if self._sender is not None and await self._is_ours(alert):
                self._sender.send(alert)

    async def _is_ours(self, alert: Alert) -> bool:
        """Whether this instance sends an alert: the first one that says so."""
        sent_at = self._claimed.get(alert.id)
        if sent_at is not None and (
            alert.again_after_s is None or alert.at < sent_at + alert.again_after_s
        ):
            return False
        if len(self._claimed) >= MAX_CLAIMED:
            self._claimed.clear()
        self._claimed[alert.id] = alert.at
        database = self._store.database
        if database is None:
            return True
        try:
            claimed: bool = await (await self._module()).claim(database, alert)
        except StoreUnavailable:  # better twice than not at all
            return True
        return claimed

    async def _module(self) -> Any:
        if self._stored is None:
            name = "llmproxy.batteries.alerts.stored"
            self._stored = await asyncio.to_thread(import_module, name)
        return self._stored
