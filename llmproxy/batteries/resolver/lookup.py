"""Looking up host names off the event loop, with a cache that serves stale addresses in need.

The system's resolver blocks and may hang for a minute. So it runs in threads of its own, because
the loop's default executor is shared, and for three seconds at most. A result is used for 30 s;
while the resolver fails, the last result is used for up to ten minutes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import msgspec

TIMEOUT_S = 3.0
FRESH_S = 30.0
STALE_S = 600.0

Lookup = Callable[[str, int], list[str]]


def system_lookup(host: str, port: int) -> list[str]:
    """Return the addresses of a host from the system's resolver, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for _, _, _, _, sockaddr in found))


def _is_address(host: str) -> bool:
    """Return whether a host is an address already. A name has no colon."""
    try:
        return ":" in host or bool(socket.inet_pton(socket.AF_INET, host))
    except (OSError, ValueError):  # ValueError: it cannot be written for the system
        return False


class _CachedLookup(msgspec.Struct, frozen=True):
    addresses: list[str]
    looked_up_at: float


class CachingResolver:
    """Implements `Resolver`. Owns the cache and the threads; `close()` ends them."""

    def __init__(
        self, lookup: Lookup = system_lookup, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._cache: dict[str, _CachedLookup] = {}
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="llmproxy-dns")

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return addresses to try in turn. Raises OSError if the name cannot be resolved."""
        if _is_address(host):
            return [host]
        cached = self._cache.get(host)
        if cached is not None and self._clock() - cached.looked_up_at < FRESH_S:
            return cached.addresses
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        except (OSError, TimeoutError) as error:
            if cached is not None and self._clock() - cached.looked_up_at < STALE_S:
                return cached.addresses
            why = f"no answer within {TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else error
            raise OSError(f"cannot resolve '{host}': {why}") from error
        self._cache[host] = _CachedLookup(found, self._clock())
        return found

    def close(self) -> None:
        """End the threads without waiting for a lookup that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
