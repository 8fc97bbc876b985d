"""The operator's commands, under `/admin`: what the cache holds, and forgetting it.

They answer to whoever has `admin_key`; without one, to this machine only.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from time import time
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from msgspec.structs import asdict
from pydantic import BaseModel

from llmproxy.adapters.answers.second_level import SecondLevel
from llmproxy.adapters.answers.store import StoreError
from llmproxy.runtime import Runtime

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Kept(BaseModel):
    """What a store holds, in bytes of the answers."""

    entries: int
    bytes: int


class SecondLevelStats(BaseModel):
    """The store behind the memory: a server or a file. Null: it cannot say at the moment."""

    connected: bool
    why: str | None
    kept: Kept | None
    reads: int
    hits: int
    damaged: int
    failures: int
    dropped: int


class CacheStats(BaseModel):
    """What the cache of this process has done since it started, and what it holds.

    `saved_*`: what the answers that were given again had cost when they were new.
    """

    hits: int
    misses: int
    coalesced: int
    stale: int
    kept: int
    saved_input_tokens: int
    saved_output_tokens: int
    saved_usd: float
    memory: Kept
    second_level: SecondLevelStats | None


class Purged(BaseModel):
    """How many answers were forgotten: here, and in the store behind."""

    memory: int
    second_level: int


def admin_routes(runtime: Runtime) -> APIRouter:
    """The paths under `/admin`."""
    key = runtime.config.general_settings.admin_key
    digest = None if key is None else _digest(key.get_secret_value())

    def only_the_operator(request: Request) -> None:
        """401 without the key; 403 for another machine where there is no key."""
        if digest is None:
            _require_this_machine(request)
            return
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(_digest(shown.strip()), digest):
            raise HTTPException(
                401,
                "Send the proxy's admin_key as 'Authorization: Bearer KEY'.",
                {"www-authenticate": "Bearer"},
            )

    admin = APIRouter(prefix="/admin", dependencies=[Depends(only_the_operator)])

    @admin.get("/cache")
    async def cache_stats() -> CacheStats:
        """What the cache has done, and what it holds."""
        return await _stats(runtime)

    @admin.delete("/cache")
    async def purge_cache(
        group: Annotated[str | None, Query(description="only this model group's")] = None,
        older_than_s: Annotated[float | None, Query(ge=0, description="seconds")] = None,
    ) -> Purged:
        """Forget answers: all, those of one group, those older than so many seconds. Instances that
        share a view forget them, too."""
        now = time()
        before = None if older_than_s is None else now - older_than_s
        if runtime.shared is not None:
            runtime.shared.tell_purge(group, now if before is None else before)
        try:
            memory, second_level = await runtime.cache.purge(group, before)
        except StoreError as error:
            raise HTTPException(503, str(error)) from error
        return Purged(memory=memory, second_level=second_level)

    return admin


async def _stats(runtime: Runtime) -> CacheStats:
    cache = runtime.cache
    memory = Kept(entries=len(cache.memory), bytes=cache.memory.bytes)
    behind = None if cache.second is None else await _behind(cache.second)
    return CacheStats(**asdict(cache.counts), memory=memory, second_level=behind)


async def _behind(second: SecondLevel) -> SecondLevelStats:
    kept = None
    with suppress(StoreError):  # `why` says it
        kept = Kept(**asdict(await second.totals()))
    return SecondLevelStats(
        connected=second.connected, why=second.why, kept=kept, **asdict(second.counts)
    )


def _digest(key: str) -> bytes:
    """Compared in place of the key itself, so that the time it takes tells nothing of it."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _require_this_machine(request: Request) -> None:
    """Without a key: a program on this machine, not one that another asks through a proxy, and not
    a page in a browser that has made its name lead here (DNS rebinding)."""
    peer = request.client.host if request.client else ""
    name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    through = any(header in request.headers for header in FORWARDED)
    if not _is_loopback(peer) or not (name == "localhost" or _is_loopback(name)) or through:
        raise HTTPException(
            403,
            "/admin answers only to this machine. Set general_settings.admin_key, and send it as "
            "'Authorization: Bearer KEY'.",
        )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
