"""Read the limits that vendors report: what is left, and when a refused call may be sent again.

Vendors use many formats (docs/project/upstreams.md): whole or fractional seconds, milliseconds, Go
durations, RFC 3339 instants, HTTP dates, Unix times, or only the text of the error. What cannot be
read is None; nothing here raises. All results are seconds from now.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from llmproxy.calls import Header
from llmproxy.operations.rate_limits import FAR_FROM_LIMIT, RateLimit, RateLimits

MAX_VALUE_BYTES = 64  # longer than every known format
UNIX_S = 1e9  # a larger bare number is an instant (since 2001), not a duration of 30 years
UNIX_MS = 1e12
UNIX_DIGITS = 10
MAX_LIMIT = 1e12  # of tokens or requests; a larger one is a mistake
# The names of limit, remaining and reset of requests, then of tokens: OpenAI's and Anthropic's.
_HEADER_NAMES = tuple(
    [
        form.format(kind=kind, part=part).encode("ascii")
        for kind in ("requests", "tokens")
        for part in ("limit", "remaining", "reset")
    ]
    for form in ("x-ratelimit-{part}-{kind}", "anthropic-ratelimit-{kind}-{part}")
)
_REMAINING = frozenset(names[at] for names in _HEADER_NAMES for at in (1, 4))

_GO_UNITS = {b"h": 3600.0, b"m": 60.0, b"s": 1.0, b"ms": 1e-3, b"us": 1e-6, b"ns": 1e-9}
_GO_UNITS["µs".encode()] = _GO_UNITS["μs".encode()] = 1e-6  # both micro signs, as Go prints them
_GO_PART = rb"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|us|\xc2\xb5s|\xce\xbcs|ns|s)"
_GO_DURATION = re.compile(rb"(?:" + _GO_PART + rb")+")
_GO_PARTS = re.compile(_GO_PART)
_NUMBER = re.compile(rb"\d{1,30}(?:\.\d{0,30})?")
# Azure: "Please retry after 86400 seconds". OpenAI and Groq: "try again in 1m2.5s". GitHub: "Please
# wait 46 seconds before retrying".
_IN_WORDS = re.compile(
    r"(?:(?:retry|again) (?:after|in)|wait) ([0-9.]+) ?(milliseconds?|seconds?|minutes?|hours?)\b",
    re.I,
)
_IN_GO = re.compile(r"(?:retry|again) (?:after|in) ((?:[0-9.]+(?:h|ms|m|s))+)\b", re.I)
_WORD_S = {"millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0}


def retry_after_s(headers: Sequence[Header], *, wall_now: float) -> float | None:
    """Return the seconds until the next call, above 0; None if the headers do not say.

    `retry-after-ms` comes before `retry-after`, and that before the reset of an exhausted limit:
    what the vendor states before what can be concluded. `wall_now` is Unix time, for instants.
    Values of 0 and below are ignored: an endpoint that refuses a call cannot take it at once.
    """
    milliseconds = wait_s = None
    for name, value in headers:
        if name in (b"retry-after-ms", b"x-ms-retry-after-ms"):
            milliseconds = _number(value)
        elif name == b"retry-after":
            wait_s = parse_reset(value, wall_now=wall_now)
    if milliseconds:
        return milliseconds / 1000.0
    return wait_s or _reset_of_exhausted(headers, wall_now)


def parse_reset(value: bytes, *, wall_now: float) -> float | None:
    """Read a reset in any vendor's format, as seconds from now (0.0 if it has passed).

    None for -1, an empty and an unknown value. A bare number is in seconds (Azure); from 1e9 on it
    is Unix time in seconds or milliseconds (OpenRouter).
    """
    value = value.strip()
    if not value or len(value) > MAX_VALUE_BYTES:
        return None
    number = _number(value)
    if number is not None:
        return number if number < UNIX_S else max(0.0, _unix_s(number) - wall_now)
    if _GO_DURATION.fullmatch(value):
        return _go_s(value)
    instant = _instant(value)
    return None if instant is None else max(0.0, instant - wall_now)


def retry_after_in_text(message: str) -> float | None:
    """Return the seconds that an error's words ask for, above 0; None if they do not."""
    words = _IN_WORDS.search(message)
    if words is not None:
        number = _number(words[1].encode("ascii"))
        return None if not number else number * _WORD_S[words[2].lower().rstrip("s")]
    go = _IN_GO.search(message)
    if go is None:
        return None
    return parse_reset(go[1].lower().encode("ascii"), wall_now=0.0) or None


def rate_limits(headers: Sequence[Header], *, wall_now: float) -> RateLimits | None:
    """Read the limits that an answer's headers report; None if they report nothing usable.

    Reads OpenAI's names, which Azure and most compatible vendors share, and Anthropic's. A limit is
    unknown unless it is above 0 and its rest 0 or above: Azure has sent -1. `remaining` may exceed
    `limit`. A reset is read only near the limit; far from it, the next answer is soon enough.
    """
    values_of = dict(headers)
    if _REMAINING.isdisjoint(values_of):
        return None
    for names in _HEADER_NAMES:
        if names[1] in values_of or names[4] in values_of:
            values = [values_of.get(name) for name in names]
            return RateLimits(
                _rate_limit(values[0], values[1], values[2], wall_now),
                _rate_limit(values[3], values[4], values[5], wall_now),
            )
    return None


def _rate_limit(
    limit: bytes | None, remaining: bytes | None, reset: bytes | None, wall_now: float
) -> RateLimit | None:
    if limit is None or remaining is None:
        return None
    try:
        most, left = float(limit), float(remaining)
    except ValueError:
        return None
    if not (0 < most < MAX_LIMIT and 0 <= left < MAX_LIMIT):  # false for nan, too
        return None
    if reset is None:
        return RateLimit(most, left, None)
    if reset.isdigit() and len(reset) < UNIX_DIGITS:
        return RateLimit(most, left, float(reset))
    far = left > FAR_FROM_LIMIT * most
    return RateLimit(most, left, None if far else parse_reset(reset, wall_now=wall_now))


def _reset_of_exhausted(headers: Sequence[Header], wall_now: float) -> float | None:
    """Return the latest reset among the limits of which nothing remains.

    Names are `x-ratelimit-remaining-tokens`, `anthropic-ratelimit-tokens-remaining` and the like. A
    rest below 0 means unknown (Azure's -1), as does a limit of 0.
    """
    values_of = dict(headers)
    resets = []
    for name, value in values_of.items():
        if b"ratelimit" in name and b"remaining" in name.split(b"-") and _number(value) == 0:
            limit = values_of.get(name.replace(b"remaining", b"limit"))
            reset = values_of.get(name.replace(b"remaining", b"reset"), b"")
            if limit is None or _number(limit):
                resets.append(parse_reset(reset, wall_now=wall_now) or 0.0)
    return max(resets, default=0.0) or None


def _number(value: bytes) -> float | None:
    """Return a number of 0 or above; None for everything else."""
    value = value.strip()
    return float(value) if _NUMBER.fullmatch(value) else None


def _unix_s(number: float) -> float:
    return number if number < UNIX_MS else number / 1000.0


def _go_s(value: bytes) -> float | None:
    seconds = sum(float(number) * _GO_UNITS[unit] for number, unit in _GO_PARTS.findall(value))
    return seconds if isfinite(seconds) else None


def _instant(value: bytes) -> float | None:
    """Return the Unix seconds of an RFC 3339 instant or an HTTP date."""
    try:
        text = value.decode("ascii")
        rfc_3339 = text[:4].isdigit()
        when = datetime.fromisoformat(text) if rfc_3339 else parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return when.timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
