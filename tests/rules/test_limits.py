"""Limit and retry headers are read in every vendor's format; invalid values count as absent."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.rules.limits import (
    parse_reset,
    rate_limits,
    retry_after_in_text,
    retry_after_s,
)

NOW = 1_795_000_000.0  # Unix time of a moment in November 2026


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"20ms", 0.02),
        (b"1s", 1.0),
        (b"8.64s", 8.64),
        (b"6m0s", 360.0),
        (b"1h2m3.5s", 3723.5),
        ("15µs".encode(), 15e-6),
        (b"10", 10.0),
        (b"300", 300.0),
        (b" 0.5 ", 0.5),
        (b"0", 0.0),
        (at(30).isoformat().encode(), 30.0),
        (at(30).strftime("%Y-%m-%dT%H:%M:%SZ").encode(), 30.0),
        (format_datetime(at(90), usegmt=True).encode(), 90.0),
        (str(int(NOW) + 45).encode(), 45.0),
        (str(int(NOW + 45) * 1000).encode(), 45.0),
        (at(-30).isoformat().encode(), 0.0),
    ],
)
def test_a_reset_is_read_in_every_format(value, seconds):
    assert parse_reset(value, wall_now=NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-1",
        b"soon",
        b"1 s",
        b"5x",
        b"nan",
        b"inf",
        b"1e400",
        b"-3s",
        b"s",
        b"\xff\xfe",
        b"2026-13-45T00:00:00Z",
        b"Mon, 99 Foo 2026",
        b"9" * 65,
        b"1h" * 200,
    ],
)
def test_an_invalid_duration_is_none(value):
    assert parse_reset(value, wall_now=NOW) is None


@given(st.binary(max_size=80))
def test_no_bytes_raise_and_no_answer_is_negative(value):
    seconds = parse_reset(value, wall_now=NOW)
    assert seconds is None or seconds >= 0.0


names = st.sampled_from(
    [
        b"retry-after",
        b"retry-after-ms",
        b"x-ratelimit-remaining-tokens",
        b"ratelimit-reset",
        b"x-ratelimit-limit-tokens",
        b"x-ratelimit-reset-tokens",
        b"x-ratelimit",
        b"ratelimit-",
    ]
)
values = st.one_of(st.binary(max_size=20), st.integers(-5, 10**40).map(lambda n: str(n).encode()))


@given(st.lists(st.tuples(names, values)))
def test_no_headers_raise_and_a_wait_is_above_zero(headers):
    seconds = retry_after_s(headers, wall_now=NOW)
    assert seconds is None or seconds > 0.0


def test_milliseconds_come_before_seconds_before_resets():
    reset = [
        (b"x-ratelimit-limit-requests", b"100"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"6m0s"),
    ]
    plain = [(b"retry-after", b"7"), *reset]
    assert retry_after_s([*plain, (b"retry-after-ms", b"1500")], wall_now=NOW) == 1.5
    assert retry_after_s(plain, wall_now=NOW) == 7.0
    assert retry_after_s(reset, wall_now=NOW) == 360.0


@pytest.mark.parametrize("junk", [b"0", b"-1", b"", b"never"])
def test_a_zero_or_invalid_wait_is_skipped_for_the_next_header(junk):
    assert retry_after_s([(b"retry-after-ms", junk), (b"retry-after", b"3")], wall_now=NOW) == 3.0
    assert retry_after_s([(b"retry-after", junk)], wall_now=NOW) is None


def test_retry_after_may_be_a_date():
    date = format_datetime(at(12), usegmt=True).encode()
    assert retry_after_s([(b"retry-after", date)], wall_now=NOW) == pytest.approx(12.0)


def test_only_the_reset_of_an_exhausted_limit_counts():
    headers = [
        (b"x-ratelimit-limit-requests", b"100"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"2s"),
        (b"x-ratelimit-limit-tokens", b"1000"),
        (b"x-ratelimit-remaining-tokens", b"900"),
        (b"x-ratelimit-reset-tokens", b"6m0s"),
    ]
    assert retry_after_s(headers, wall_now=NOW) == 2.0


def test_of_two_exhausted_limits_the_later_reset_counts():
    headers = [
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"2s"),
        (b"x-ratelimit-remaining-tokens", b"0"),
        (b"x-ratelimit-reset-tokens", b"9"),
    ]
    assert retry_after_s(headers, wall_now=NOW) == 9.0


@pytest.mark.parametrize(("limit", "remaining"), [(b"-1", b"-1"), (b"-1", b"0"), (b"9", b"-1")])
def test_below_zero_is_unknown_and_not_exhausted(limit, remaining):
    headers = [
        (b"x-ratelimit-limit-tokens", limit),
        (b"x-ratelimit-remaining-tokens", remaining),
        (b"x-ratelimit-reset-tokens", b"30"),
    ]
    assert retry_after_s(headers, wall_now=NOW) is None


def test_anthropics_names_and_instants_are_read():
    headers = [
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"anthropic-ratelimit-requests-remaining", b"49"),
        (b"anthropic-ratelimit-requests-reset", at(50).isoformat().encode()),
        (b"anthropic-ratelimit-input-tokens-limit", b"50000"),
        (b"anthropic-ratelimit-input-tokens-remaining", b"0"),
        (b"anthropic-ratelimit-input-tokens-reset", at(20).isoformat().encode()),
    ]
    assert retry_after_s(headers, wall_now=NOW) == pytest.approx(20.0)


def test_openrouters_names_and_unix_milliseconds_are_read():
    headers = [
        (b"x-ratelimit-limit", b"20"),
        (b"x-ratelimit-remaining", b"0"),
        (b"x-ratelimit-reset", b"%d" % ((NOW + 40) * 1000)),
    ]
    assert retry_after_s(headers, wall_now=NOW) == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please retry after 86400 seconds.", 86400.0),
        ("Rate limit is exceeded. Try again in 12 seconds.", 12.0),
        ("Rate limit reached. Please try again in 1m2.5s. Visit", 62.5),
        ("Please try again in 20ms.", 0.02),
        ("retry after 500 milliseconds", 0.5),
        ("try again in 2 minutes", 120.0),
        ("try again later", None),
        ("retry after 0 seconds", None),
        ("try again in .s", None),
        ("try again in 1.2.3 seconds", None),
    ],
)
def test_the_words_of_an_error_are_read(message, seconds):
    assert retry_after_in_text(message) == (seconds and pytest.approx(seconds))


@given(st.text())
def test_no_words_raise(message):
    retry_after_in_text(message)
    retry_after_in_text("try again in " + message)


# ---- limits and what remains of them


def limit_headers(requests=(), tokens=()):
    """OpenAI's headers: limit, remaining and reset of each dimension."""
    fields = ("limit", "remaining", "reset")
    return [
        (f"x-ratelimit-{field}-{dimension}".encode(), value)
        for dimension, values in (("requests", requests), ("tokens", tokens))
        for field, value in zip(fields, values, strict=False)
    ]


def test_both_dimensions_are_read_with_go_durations():
    headers = limit_headers((b"600", b"12", b"8.64s"), (b"100000", b"40000", b"1m2.5s"))
    assert rate_limits(headers, wall_now=NOW) == RateLimits(
        RateLimit(600, 12, 8.64), RateLimit(100_000, 40_000, 62.5)
    )


def test_azures_plain_seconds_are_read_whatever_is_left():
    headers = limit_headers((b"600", b"599", b"59"))
    assert rate_limits(headers, wall_now=NOW) == RateLimits(RateLimit(600, 599, 59.0))


def test_the_refill_is_not_derived_far_from_the_limit():
    assert (
        rate_limits(limit_headers((b"600", b"500", b"10s")), wall_now=NOW).requests.reset_s is None
    )
    assert rate_limits(limit_headers((b"600", b"300", b"30s")), wall_now=NOW).requests.reset_s == 30


def test_anthropics_limits_are_read():
    headers = [
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"anthropic-ratelimit-requests-remaining", b"10"),
        (b"anthropic-ratelimit-requests-reset", at(48).isoformat().encode()),
        (b"anthropic-ratelimit-tokens-limit", b"80000"),
        (b"anthropic-ratelimit-tokens-remaining", b"20000"),
        (b"anthropic-ratelimit-tokens-reset", at(45).strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
    ]
    read = rate_limits(headers, wall_now=NOW)
    assert (read.requests.limit, read.requests.remaining) == (50, 10)
    assert read.requests.reset_s == pytest.approx(48)
    assert read.tokens.reset_s == pytest.approx(45)


def test_more_may_remain_than_the_limit():
    assert rate_limits(limit_headers((b"10", b"60")), wall_now=NOW).requests == RateLimit(
        10, 60, None
    )


@pytest.mark.parametrize("junk", [b"-1", b"0", b"", b"many", b"nan", b"inf", b"1e300", b"0x10"])
def test_an_invalid_limit_is_unknown(junk):
    headers = limit_headers((junk, b"10", b"1s"), (b"1000", b"10", b"1s"))
    read = rate_limits(headers, wall_now=NOW)
    assert read.requests is None
    assert read.tokens == RateLimit(1_000, 10, 1.0)


@pytest.mark.parametrize("junk", [b"-1", b"", b"some", b"nan", b"-0.5"])
def test_an_invalid_remaining_value_is_unknown(junk):
    assert rate_limits(limit_headers((b"600", junk, b"1s")), wall_now=NOW) == RateLimits()


@pytest.mark.parametrize("junk", [b"-1", b"", b"soon", b"9" * 65])
def test_an_invalid_reset_leaves_the_other_values_known(junk):
    read = rate_limits(limit_headers((b"600", b"0", junk)), wall_now=NOW)
    assert read.requests == RateLimit(600, 0, None)


def test_an_answer_without_limit_headers_has_no_limits():
    assert rate_limits([(b"content-type", b"text/plain")], wall_now=NOW) is None
    assert rate_limits([(b"x-ratelimit-limit-requests", b"600")], wall_now=NOW) is None


limit_names = st.sampled_from([name for name, _ in limit_headers((b"", b"", b""), (b"", b"", b""))])


@given(st.lists(st.tuples(limit_names, values)))
def test_no_headers_raise_and_known_limits_are_usable(headers):
    read = rate_limits(headers, wall_now=NOW)
    for limit in (read.requests, read.tokens) if read else ():
        if limit is not None:
            assert limit.limit > 0
            assert limit.remaining >= 0
            assert limit.reset_s is None or limit.reset_s >= 0


@pytest.mark.parametrize("name", [b"retry-after-ms", b"x-ms-retry-after-ms"])
def test_a_wait_in_milliseconds_has_two_names(name):
    headers = [(b"retry-after", b"60"), (name, b"1500")]

    assert retry_after_s(headers, wall_now=0.0) == 1.5
