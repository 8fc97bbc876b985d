"""The headers in which a client reads its own limits, in the form of its dialect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.callers.limit_headers import go_duration, limit_headers, rfc3339
from llmproxy.operations import CHAT, MESSAGES, OPAQUE, RESPONSES
from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.rules.limits import parse_reset, rate_limits

NOW = 1_790_000_000.25  # 2026-09-21, 14:13:20.25 UTC


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (-1.0, b"0s"),
        (0.0, b"0s"),
        (0.0001, b"1ms"),
        (0.12, b"120ms"),
        (0.9999, b"1s"),
        (8.64, b"8.64s"),
        (59.9999, b"1m0s"),
        (60.0, b"1m0s"),
        (61.25, b"1m1.25s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it(seconds, written):
    assert go_duration(seconds) == written


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (0.0, b"1970-01-01T00:00:00Z"),
        (1_790_000_000.0, b"2026-09-21T14:13:20Z"),
        (1_790_000_000.001, b"2026-09-21T14:13:21Z"),
        (1_798_761_599.5, b"2027-01-01T00:00:00Z"),
    ],
)
def test_a_moment_is_written_in_whole_seconds_and_never_too_early(moment, written):
    assert rfc3339(moment) == written


@given(st.floats(0, 3599))
def test_our_own_reader_understands_what_is_written(seconds):
    read = parse_reset(go_duration(seconds), wall_now=0.0)
    assert seconds - 1e-9 <= read <= seconds + 0.001 + 1e-9


@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, OPAQUE])
def test_most_dialects_report_limits_as_openai_does(dialect):
    limits = RateLimits(RateLimit(60, 59.9, 60.0), RateLimit(1000, 250, 15.0))
    assert limit_headers(dialect, limits, NOW) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", b"1m0s"),
        (b"x-ratelimit-limit-tokens", b"1000"),
        (b"x-ratelimit-remaining-tokens", b"250"),
        (b"x-ratelimit-reset-tokens", b"15s"),
    ]


def test_messages_report_limits_as_anthropic_does():
    limits = RateLimits(RateLimit(60, 59.9, 60.0), RateLimit(1000, 250, 15.0))
    assert limit_headers(MESSAGES, limits, NOW) == [
        (b"anthropic-ratelimit-requests-limit", b"60"),
        (b"anthropic-ratelimit-requests-remaining", b"59"),
        (b"anthropic-ratelimit-requests-reset", b"2026-09-21T14:14:21Z"),
        (b"anthropic-ratelimit-tokens-limit", b"1000"),
        (b"anthropic-ratelimit-tokens-remaining", b"250"),
        (b"anthropic-ratelimit-tokens-reset", b"2026-09-21T14:13:36Z"),
    ]


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES])
def test_only_limits_that_exist_are_reported(dialect):
    names = [name for name, _ in limit_headers(dialect, RateLimits(tokens=RateLimit(1, 1, 0)), NOW)]
    assert len(names) == 3
    assert all(b"tokens" in name for name in names)
    assert limit_headers(dialect, RateLimits(), NOW) == []


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES])
def test_what_is_reported_is_read_as_a_vendors(dialect):
    limits = RateLimits(RateLimit(60, 59, 60.0), RateLimit(1000, 250, 45.0))
    read = rate_limits(limit_headers(dialect, limits, NOW), wall_now=NOW)
    assert (read.requests.limit, read.requests.remaining) == (60, 59)
    assert (read.tokens.limit, read.tokens.remaining) == (1000, 250)


def test_a_limit_that_was_not_used_for_a_minute_is_full():
    limits = RateLimits(tokens=RateLimit(10, 10, -15.0))
    assert dict(limit_headers(CHAT, limits, NOW))[b"x-ratelimit-reset-tokens"] == b"0s"
