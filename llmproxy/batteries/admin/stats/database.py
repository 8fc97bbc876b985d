"""What is told of the store: whether its database takes calls, and how many wait."""

from __future__ import annotations

from pydantic import BaseModel

from llmproxy.batteries.admin.stats.collector import Stats, StatsCollector


class DatabaseView(BaseModel):
    """The database that keeps calls, for all workers. `connected`: null = nothing was written yet.

    While it is away, calls wait: `queued` in memory, `spooled` on disk. `lost` ones found no room.
    """

    address: str
    connected: bool | None
    why: str | None
    since: float
    queued: int
    spooled: int
    lost: int


def database_view(collector: StatsCollector, stats: Stats) -> DatabaseView | None:
    """Return None if there is no store."""
    if collector.store is None or (own := collector.store.status()) is None:
        return None
    gauges = stats.gauges.database
    away, why = gauges.away, own.why
    if away and why is None:
        why = "Another worker cannot write to it: see the log."
    return DatabaseView(
        address=own.address,
        connected=False if away else own.connected,
        why=why,
        since=own.since,
        queued=gauges.queued,
        spooled=gauges.spooled,
        lost=stats.counters.calls.lost.get("store", 0),
    )
