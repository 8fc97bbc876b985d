"""The issuers that a process trusts: what they publish is read in the background, and kept.

No call waits for it. What was read last stays in use while an issuer does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from llmproxy.batteries.oidc.key_set import PublicKey
from llmproxy.batteries.oidc.reading import Published, Unreadable, in_thread, read_published

logger = logging.getLogger("llmproxy")

REFRESH_S = 300.0
MIN_PAUSE_S = 30.0  # between two reads, however many tokens name unknown keys
RETRY_S = 2.0  # after a read that failed; twice as long each time, up to MIN_PAUSE_S
CLOCKS_APART_S = 10.0
Read = Callable[[str, str | None], Published]


class Issuer:
    """One issuer, as it was read last.

    `keys`: None = never read. `addresses`: of discovery. `version` counts the reads that succeeded,
    `problem` says why the last read failed.
    """

    def __init__(
        self,
        url: str,
        jwks_url: str | None,
        wake: Callable[[], None],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.url = url
        self.jwks_url = jwks_url
        self.keys: tuple[PublicKey, ...] | None = None
        self.addresses: Mapping[str, Any] = {}
        self.version = 0
        self.problem: str | None = None
        self.due_at = clock()
        self._wake = wake
        self._clock = clock
        self._read_at: float | None = None  # when the last read began
        self._failures = 0
        self._clock_told = False

    def ask_for_read(self) -> bool:
        """Ask for a read, because a token names a key that is not known.

        Returns whether one is under way or about to begin; else one has just been done.
        """
        now = self._clock()
        if self.due_at > now:
            if self._read_at is not None and now - self._read_at < MIN_PAUSE_S:
                return False
            self.due_at = now
            self._wake()
        return True

    async def read(self, read: Read) -> None:
        """Read what the issuer publishes. Raises nothing; `problem` says why it failed."""
        self._read_at = self._clock()
        try:
            found = await in_thread(lambda: read(self.url, self.jwks_url))
        except Unreadable as error:
            self._note_failure(str(error))
            return
        except Exception as error:
            logger.exception("Reading the keys of %s failed.", self.url)
            self._note_failure(type(error).__name__)
            return
        if self.problem is not None:
            logger.info("The keys of %s can be read again.", self.url)
        self.problem, self._failures = None, 0
        self.addresses = found.addresses
        self.keys = found.keys
        self.version += 1
        self._tell_of_clock(found.ahead_s)
        self.due_at = self._clock() + REFRESH_S

    def _note_failure(self, why: str) -> None:
        if self.problem != why:
            kept = "no token of it is accepted yet" if self.keys is None else "the last ones hold"
            logger.warning(
                "The keys of %s cannot be read (%s); %s. Check that this machine reaches it; it is "
                "tried again.",
                self.url,
                why,
                kept,
            )
        self.problem = why
        pause_s = min(RETRY_S * 2**self._failures, MIN_PAUSE_S)
        self._failures = min(self._failures + 1, 10)
        self.due_at = self._clock() + pause_s

    def _tell_of_clock(self, ahead_s: float | None) -> None:
        is_apart = ahead_s is not None and abs(ahead_s) > CLOCKS_APART_S
        if is_apart and ahead_s is not None and not self._clock_told:
            side = "ahead of" if ahead_s > 0 else "behind"
            logger.warning(
                "The clock of %s is %.0f s %s this machine's, so valid tokens may be refused. Set "
                "this machine's clock by NTP.",
                self.url,
                abs(ahead_s),
                side,
            )
        self._clock_told = is_apart


class Issuers:
    """All issuers of a process. `read`: what reads one; it blocks."""

    def __init__(
        self, read: Read = read_published, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._known: dict[tuple[str, str | None], Issuer] = {}
        self._wanted = asyncio.Event()

    def of(self, url: str, jwks_url: str | None) -> Issuer:
        """Return an issuer. A new one is read at once."""
        key = url, jwks_url
        if key not in self._known:
            self._known[key] = Issuer(url, jwks_url, self._wanted.set, clock=self._clock)
            self._wanted.set()
        return self._known[key]

    async def keep_reading(self) -> None:
        """Read each issuer when it is due, until cancelled."""
        while True:
            self._wanted.clear()
            await self.read_due()
            next_at = min((issuer.due_at for issuer in self._known.values()), default=None)
            timeout_s = None if next_at is None else max(0.0, next_at - self._clock())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), timeout_s)

    async def read_due(self) -> None:
        """Read the issuers that are due now, all at a time."""
        now = self._clock()
        due = [issuer for issuer in self._known.values() if issuer.due_at <= now]
        await asyncio.gather(*(issuer.read(self._read) for issuer in due))
