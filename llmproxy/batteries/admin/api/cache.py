"""`/admin/cache`: statistics of the answer cache, and purging it."""

from __future__ import annotations

from contextlib import suppress
from time import time
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from msgspec.structs import asdict
from pydantic import BaseModel

from llmproxy.batteries.admin.audit import audit
from llmproxy.batteries.admin.stats.collector import cache_of
from llmproxy.batteries.cache import L2Store, StoreError
from llmproxy.batteries.money import NANO
from llmproxy.batteries.settings import full
from llmproxy.runtime import LiveConfig, Runtime


class StoreSize(BaseModel):
    """What a store holds: `bytes` counts the answers, not the overhead."""

    entries: int
    bytes: int


class SecondLevelStats(BaseModel):
    """The store behind the memory: a server or a file. `kept` is null if it cannot be read now."""

    connected: bool
    why: str | None
    kept: StoreSize | None
    reads: int
    hits: int
    damaged: int
    failures: int
    dropped: int


class CacheStats(BaseModel):
    """What the cache of this process has done since the start, and what it holds.

    `enabled`: `general_settings.cache`; while it is false, nothing is looked up or stored.
    `saved_*`: the tokens and dollars of cached answers, as counted when they were new.
    """

    enabled: bool
    hits: int
    misses: int
    coalesced: int
    stale: int
    kept: int
    saved_input_tokens: int
    saved_output_tokens: int
    saved_usd: float
    memory: StoreSize
    second_level: SecondLevelStats | None


class Purged(BaseModel):
    """The number of answers that were deleted in memory and in the store behind it."""

    memory: int
    second_level: int


def cache_routes(live: LiveConfig) -> APIRouter:
    """Return the routes of `/admin/cache`."""
    router = APIRouter()

    @router.get("/cache")
    async def cache_stats() -> CacheStats:
        """Return what the cache has done, and what it holds."""
        return await _stats(live.runtime)

    @router.delete("/cache")
    async def purge_cache(
        request: Request,
        group: Annotated[str | None, Query(description="only this model group's")] = None,
        older_than_s: Annotated[float | None, Query(ge=0, description="seconds")] = None,
    ) -> Purged:
        """Delete answers: all, or only those of a group or above an age.

        Instances that share their state delete theirs, too.
        """
        runtime = live.runtime
        now = time()
        before = None if older_than_s is None else now - older_than_s
        if runtime.peers is not None:
            runtime.peers.publish_purge(group, now if before is None else before)
        try:
            memory, second_level = await cache_of(runtime).purge(group, before)
        except StoreError as error:
            raise HTTPException(503, str(error)) from error
        purged = Purged(memory=memory, second_level=second_level)
        after = {"older_than_s": older_than_s, "deleted": purged.model_dump()}
        audit(request, "cache.purge", group, after=after)
        return purged

    return router


async def _stats(runtime: Runtime) -> CacheStats:
    cache = cache_of(runtime)
    counted = asdict(cache.counters)
    saved_usd = counted.pop("saved_nano_usd") / NANO
    memory = StoreSize(entries=len(cache.memory), bytes=cache.memory.bytes)
    behind = None if cache.l2 is None else await _behind(cache.l2)
    return CacheStats(
        enabled=full(runtime.config.general_settings).cache,
        **counted,
        saved_usd=saved_usd,
        memory=memory,
        second_level=behind,
    )


async def _behind(second: L2Store) -> SecondLevelStats:
    kept = None
    with suppress(StoreError):  # `why` says so
        kept = StoreSize(**asdict(await second.totals()))
    return SecondLevelStats(
        connected=second.connected, why=second.why, kept=kept, **asdict(second.counters)
    )
