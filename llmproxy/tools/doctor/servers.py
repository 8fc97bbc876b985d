"""The servers of the proxy itself: Redis and the database. Asking them costs nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import monotonic

from redis.exceptions import RedisError

from llmproxy.batteries.settings import FullSettings, shares_state
from llmproxy.batteries.shared_state.address import Client, client_of, in_words, secrets_of, shown
from llmproxy.batteries.store import Database, StoreUnavailable, address_of, doubt
from llmproxy.tools.doctor.findings import DoctorFinding, found

PINGS = 5
FAR_MS = 10.0
WITHIN_S = 5.0
SAFE_POLICY = "noeviction"
SQLITE_BEGINS = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html


async def redis_findings(settings: FullSettings) -> list[DoctorFinding]:
    """Return what is wrong with the server that instances share."""
    if not shares_state(settings):
        return []
    where = f"redis {shown(settings)}"
    client = client_of(settings)
    try:
        async with asyncio.timeout(WITHIN_S):
            return await _asked(client, where)
    except TimeoutError:
        return [found("redis_unreachable", where, why=f"no answer in {WITHIN_S:g} s")]
    except (RedisError, OSError) as error:
        why = in_words(error, secrets_of(settings)).rstrip(".") or type(error).__name__
        return [found("redis_unreachable", where, why=why)]
    finally:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(1):
                await client.aclose()


async def _asked(client: Client, where: str) -> list[DoctorFinding]:
    findings, times = [], []
    await client.ping()  # the first one connects
    for _ in range(PINGS):
        began = monotonic()
        await client.ping()
        times.append((monotonic() - began) * 1000)
    if (ms := median(times)) > FAR_MS:
        findings.append(found("redis_slow", where, ms=ms, count=PINGS))
    with contextlib.suppress(RedisError):  # a hosted server may refuse INFO
        if (await client.info("replication")).get("role") == "slave":
            findings.append(found("redis_read_only", where))
        memory = await client.info("memory")
        policy = str(memory.get("maxmemory_policy", SAFE_POLICY))
        if policy != SAFE_POLICY:
            findings.append(found("redis_evicts", where, policy=policy))
    return findings


def not_sqlite(file: Path | None) -> str | None:
    """Return what to say of a file that SQLite did not write; None = it may be its own."""
    if file is None or not file.is_file():
        return None
    with file.open("rb") as opened:
        began = opened.read(len(SQLITE_BEGINS))
    if began in (b"", SQLITE_BEGINS):
        return None
    return f"{file} is no SQLite database. Name another file as database_url, or move it away."


async def database_findings(
    settings: FullSettings, environ: Mapping[str, str]
) -> list[DoctorFinding]:
    """Return what is wrong with the database. Nothing is made or changed there."""
    url = settings.database_url
    address = address_of(None if url is None else url.get_secret_value(), environ)
    if address is None:
        return []
    why = await asyncio.to_thread(doubt, address) or not_sqlite(address.file)
    if address.file is not None or why is not None:
        return [] if why is None else [found("database_unusable", str(address), why=why)]
    database = Database(address, within_s=WITHIN_S)
    try:
        async with asyncio.timeout(2 * WITHIN_S):
            await database.look()
    except (StoreUnavailable, TimeoutError) as error:
        why = str(error) or f"no answer in {2 * WITHIN_S:g} s."
        return [found("database_unusable", str(address), why=why)]
    finally:
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            await database.close()
    return []
