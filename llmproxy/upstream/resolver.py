"""Names to addresses, off the event loop, remembered, and stale rather than not at all.

The system's resolver blocks and may hang for a minute, so it gets threads of its own (the loop's
default executor is shared with everybody) and three seconds. An answer is good for 30 s; when the
resolver fails, the last answer is used for up to ten minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
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
    """The addresses of a host as the system knows them, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for _, _, _, _, sockaddr in found))


class _CachedLookup(msgspec.Struct, frozen=True):
    addresses: list[str]
    at: float


class Resolver:
    """Owns the cache and the threads; `close()` ends them."""

    def __init__(
        self, lookup: Lookup = system_lookup, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._known: dict[str, _CachedLookup] = {}
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="llmproxy-dns")

    async def addresses(self, host: str, port: int) -> list[str]:
        """Addresses to try in turn. Raises OSError when none is known."""
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        known = self._known.get(host)
        if known is not None and self._clock() - known.at < FRESH_S:
            return known.addresses
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        except (OSError, TimeoutError) as error:
            if known is not None and self._clock() - known.at < STALE_S:
                return known.addresses
            what = f"no answer within {TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else error
            raise OSError(f"cannot resolve '{host}': {what}") from error
        self._known[host] = _CachedLookup(found, self._clock())
        return found

    def close(self) -> None:
        """End the threads without waiting for a hanging look-up."""
        self._threads.shutdown(wait=False, cancel_futures=True)
