"""Counts connections that end before their first request, and logs why, now and then."""

from __future__ import annotations

import logging
from collections import Counter
from time import monotonic

from llmproxy.batteries.tls import Failure

logger = logging.getLogger("llmproxy")

LOG_EVERY_S = 60.0  # a line for each reason


class Failures:
    """The failed connections of one process. `counts`: by reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._logged: dict[str, tuple[float, int]] = {}

    def note(self, what: str, peer: str, failure: Failure) -> None:
        """Count a failure. `what` has failed: the handshake or the header."""
        reason = failure.reason
        self.counts[reason] += 1
        now, count = monotonic(), self.counts[reason]
        logged_at, logged = self._logged.get(reason, (-LOG_EVERY_S, 0))
        if not failure.remedy or now - logged_at < LOG_EVERY_S:
            return
        self._logged[reason] = now, count
        others = count - logged - 1
        more = f" {others} more failed like this since the last such line." if others else ""
        logger.warning(
            "%s of a connection from %s failed: %s %s%s",
            what, peer, failure.found, failure.remedy, more,
        )  # fmt: skip
