"""Which endpoints are slow, each measured against its own normal.

An endpoint is slow while the median time to its first byte, over the last minute, is above
BEGINS times its median of the last 24 hours (or since the start); it stops being slow below ENDS
times. A lone slow answer, or a few milliseconds more, prove nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec
from pydantic import BaseModel

from llmproxy.batteries.admin.stats import ms
from llmproxy.batteries.admin.stats.collector import Counters
from llmproxy.batteries.telemetry.counters import SECONDS, quantile

BEGINS = 3.0
ENDS = 2.0
AT_LEAST_S = 0.2  # this much more than usual
RECENT_ANSWERS = 5  # in the last minute
USUAL_ANSWERS = 30  # before it
KEPT = 288  # of five minutes: 24 hours

NONE = [0] * (len(SECONDS) + 1)

# Answers by their time to the first byte, in the buckets of SECONDS; by group and endpoint.
Answers = dict[str, dict[str, list[int]]]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answers).decode


class SlowView(BaseModel):
    """An endpoint that is slow since `since` (Unix seconds): its median time to the first byte in
    the last minute, and its usual one."""

    first_byte_ms: float
    usual_ms: float
    since: float


class Slowness:
    """Owns what is known of the usual times, and which endpoints are slow."""

    def __init__(self, counters: Counters) -> None:
        self._before = _answers(counters)  # those that are too old to count
        self._kept: deque[bytes] = deque()
        self._slow: dict[tuple[str, str], SlowView] = {}

    def of(self, group: str, endpoint: str) -> SlowView | None:
        """Return how slow an endpoint is; None if it is not, or not known to be."""
        return self._slow.get((group, endpoint))

    def remember(self, counters: Counters) -> None:
        """Take note of the answers so far; called every five minutes."""
        self._kept.append(_encode(_answers(counters)))
        if len(self._kept) > KEPT:
            self._before = _decode(self._kept.popleft())

    def update(self, minute_ago: Counters, counters: Counters, now: float) -> None:
        """Compare the last minute with what was before it."""
        until_then, slow = _answers(minute_ago), {}
        for group, endpoints in _answers(counters).items():
            earlier, old = until_then.get(group, {}), self._before.get(group, {})
            for endpoint, counts in endpoints.items():
                before = earlier.get(endpoint, NONE)
                if counts == before:  # without an answer in the last minute, none is slow
                    continue
                known = self._slow.get((group, endpoint))
                recent = _less(counts, before)
                usual = _less(before, old.get(endpoint, NONE))
                medians = slow_medians(recent, usual, already=known is not None)
                if medians is not None:
                    slow[group, endpoint] = SlowView(
                        first_byte_ms=ms(medians[0]),
                        usual_ms=ms(medians[1]),
                        since=known.since if known else now,
                    )
        self._slow = slow


def slow_medians(
    recent: Sequence[int], usual: Sequence[int], *, already: bool
) -> tuple[float, float] | None:
    """Return the recent and the usual median in seconds if the recent one is slow, otherwise None.

    `already`: the endpoint is known to be slow.
    """
    if sum(recent) < (1 if already else RECENT_ANSWERS) or sum(usual) < USUAL_ANSWERS:
        return None
    now, normal = quantile(recent, 0.5), quantile(usual, 0.5)
    if now is None or normal is None:
        return None
    factor = ENDS if already else BEGINS
    return (now, normal) if now > max(factor * normal, normal + AT_LEAST_S) else None


def _answers(counters: Counters) -> Answers:
    return {
        name: {endpoint: list(of.first_byte.counts) for endpoint, of in group.endpoints.items()}
        for name, group in counters.calls.groups.items()
    }


def _less(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [mine - earlier for mine, earlier in zip(one, other, strict=True)]
