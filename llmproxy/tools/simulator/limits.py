"""Rate limits as the two vendors count them, and their headers. `now` is passed in.

OpenAI: leaky buckets that fill continuously; `reset` is the time until full, as Go durations.
Azure: requests are judged over windows of 1 to 10 s (600 a minute = 10 in one second), tokens over
a minute; both are charged on arrival with prompt + max_tokens, and rejected requests count as
requests (that they do not count as tokens is a guess); resets are plain seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from llmproxy.tools.simulator.exchange import Header

GENEROUS_RPM = 1_000_000
GENEROUS_TPM = 1_000_000_000


class Standing(msgspec.Struct):
    """The limits after a request: what is left, and the seconds until it is full again.

    `wait_s`: seconds until this request would fit, None = it was admitted, infinite = never.
    `exceeded`: which limit it exceeded.
    """

    remaining_requests: int
    remaining_tokens: int
    reset_requests_s: float
    reset_tokens_s: float
    wait_s: float | None = None
    exceeded: str = ""


class OpenAIWindow:
    """OpenAI's limits for one model. Owns its two buckets; rejected requests are free."""

    def __init__(self, rpm: int, tpm: int, now: float) -> None:
        self.rpm = rpm
        self.tpm = tpm
        self._requests = float(rpm)
        self._tokens = float(tpm)
        self._at = now

    def admit(self, tokens: int, now: float) -> Standing:
        """Charge one request, or refuse it."""
        passed, self._at = max(0.0, now - self._at), now
        self._requests = min(self.rpm, self._requests + passed * self.rpm / 60)
        self._tokens = min(self.tpm, self._tokens + passed * self.tpm / 60)
        if tokens > self.tpm:
            return self._standing(math.inf, "tokens")
        if self._requests < 1:
            return self._standing((1 - self._requests) * 60 / self.rpm, "requests")
        if self._tokens < tokens:
            return self._standing((tokens - self._tokens) * 60 / self.tpm, "tokens")
        self._requests -= 1
        self._tokens -= tokens
        return self._standing()

    def _standing(self, wait_s: float | None = None, exceeded: str = "") -> Standing:
        return Standing(
            int(self._requests),
            int(self._tokens),
            (self.rpm - self._requests) * 60 / self.rpm,
            (self.tpm - self._tokens) * 60 / self.tpm,
            wait_s,
            exceeded,
        )

    def headers(self, standing: Standing) -> list[Header]:
        """Return OpenAI's headers."""
        headers = _headers(self, standing, go_duration)
        if standing.wait_s is not None and math.isfinite(standing.wait_s):
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(standing.wait_s))))
        return headers


class AzureWindow:
    """Azure's limits for one deployment. Owns its counters."""

    def __init__(self, rpm: int, tpm: int, now: float) -> None:
        self.rpm = rpm
        self.tpm = tpm
        self.window_s = min(10.0, max(1.0, 60 / rpm)) if rpm else 10.0
        self._allowed = max(1, int(rpm * self.window_s / 60))
        self._window_at = now
        self._in_window = 0
        self._minute_at = now
        self._requests = 0
        self._tokens = 0

    def admit(self, tokens: int, now: float) -> Standing:
        """Charge one request, or refuse it; a refused one counts as a request."""
        if now - self._minute_at >= 60:
            self._minute_at += (now - self._minute_at) // 60 * 60
            self._requests = self._tokens = 0
        if now - self._window_at >= self.window_s:
            self._window_at += (now - self._window_at) // self.window_s * self.window_s
            self._in_window = 0
        self._in_window += 1
        self._requests += 1
        minute_left_s = self._minute_at + 60 - now
        remaining = max(0, self.rpm - self._requests)
        reset_s, wait_s, exceeded = minute_left_s, None, ""
        if self._in_window > self._allowed or self._requests > self.rpm:
            if self._requests <= self.rpm:
                reset_s = self._window_at + self.window_s - now
            remaining, wait_s, exceeded = 0, reset_s, "requests"
        elif self._tokens + tokens > self.tpm:
            wait_s, exceeded = minute_left_s, "tokens"
        else:
            self._tokens += tokens
        left = max(0, self.tpm - self._tokens)
        return Standing(remaining, left, reset_s, minute_left_s, wait_s, exceeded)

    def headers(self, standing: Standing) -> list[Header]:
        """Return Azure's headers."""
        headers = _headers(self, standing, lambda seconds: b"%d" % math.ceil(seconds))
        if standing.wait_s is not None:
            headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(standing.wait_s * 1000))))
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(standing.wait_s))))
        return headers


Window = OpenAIWindow | AzureWindow


def _headers(
    window: Window, standing: Standing, duration: Callable[[float], bytes]
) -> list[Header]:
    return [
        (b"x-ratelimit-limit-requests", b"%d" % window.rpm),
        (b"x-ratelimit-limit-tokens", b"%d" % window.tpm),
        (b"x-ratelimit-remaining-requests", b"%d" % standing.remaining_requests),
        (b"x-ratelimit-remaining-tokens", b"%d" % standing.remaining_tokens),
        (b"x-ratelimit-reset-requests", duration(standing.reset_requests_s)),
        (b"x-ratelimit-reset-tokens", duration(standing.reset_tokens_s)),
    ]


def go_duration(seconds: float) -> bytes:
    """Format seconds as OpenAI does: `20ms`, `8.64s`, `6m0s`, `1h2m3.5s`."""
    milliseconds = math.ceil(round(seconds * 1000, 3))
    if milliseconds <= 0:
        return b"0s"
    if milliseconds < 1000:
        return b"%dms" % milliseconds
    minutes, rest = divmod(milliseconds, 60_000)
    tail = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if not minutes:
        return tail.encode()
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h{minutes}m{tail}" if hours else f"{minutes}m{tail}").encode()
