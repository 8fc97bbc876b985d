"""What alerts read of the store, and how one instance claims an alert. Imports SQLAlchemy."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from llmproxy.batteries.alerts.alert import Alert
from llmproxy.batteries.store import Database
from llmproxy.batteries.store.tables import alerts_sent, keys, spend

HOUR_S, DAY_S = 3600, 86_400


async def claim(database: Database, alert: Alert) -> bool:
    """Whether this instance is to send an alert. Raises StoreUnavailable."""

    async def work(on: AsyncConnection) -> bool:
        if alert.again_after_s is not None:
            old = alerts_sent.c.at <= alert.at - alert.again_after_s
            mine = update(alerts_sent).where(alerts_sent.c.id == alert.id, old)
            if (await on.execute(mine.values(at=alert.at))).rowcount:
                return True
        await on.execute(insert(alerts_sent).values(id=alert.id, at=alert.at))
        return True

    try:
        return await database.change(work)
    except IntegrityError:  # another instance sends it
        return False


def cost_of_same_hours(hour: int, days: int) -> Select[Any]:
    """Select what an hour has cost, and the same hour of the days before: `start`, `nano_usd`."""
    starts = [hour - day * DAY_S for day in range(days + 1)]
    statement = select(spend.c.start, func.sum(spend.c.nano_usd).label("nano_usd"))
    wanted = spend.c.period == "hour", spend.c.start.in_(starts)
    return statement.where(*wanted).group_by(spend.c.start)


def keys_that_expire(now: float, within_s: float) -> Select[Any]:
    """Select the keys in use that end soon."""
    columns = keys.c
    statement = select(columns.id, columns.name, columns.team, columns.owner, columns.expires_at)
    return statement.where(
        *(columns.expires_at > now, columns.expires_at <= now + within_s),
        *(columns.deleted_at.is_(None), columns.blocked.is_(False)),
    )
