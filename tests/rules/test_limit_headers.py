"""What a caller is told of its limits, in OpenAI's headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.rules.limit_headers import Dimension, go_duration
from llmproxy.rules.limits import parse_reset, rate_limits


@pytest.mark.parametrize(
    ("seconds", "told"),
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
def test_a_duration_is_written_as_go_writes_it(seconds, told):
    assert go_duration(seconds) == told


@given(st.floats(0, 3599))
def test_our_own_reader_understands_what_is_written(seconds):
    read = parse_reset(go_duration(seconds), wall_now=0.0)
    assert seconds - 1e-9 <= read <= seconds + 0.001 + 1e-9


def test_limit_what_is_left_and_reset_are_read_as_a_vendors():
    told = Dimension("requests", 60).headers(59, 0.0) + Dimension("tokens", 1000).headers(250, 45.0)
    limits = rate_limits(told, wall_now=0.0)
    assert (limits.requests.limit, limits.requests.remaining) == (60, 59)
    assert (limits.tokens.limit, limits.tokens.remaining) == (1000, 250)
    assert dict(told)[b"x-ratelimit-reset-requests"] == b"1m0s"
    assert dict(told)[b"x-ratelimit-reset-tokens"] == b"15s"


def test_a_limit_that_was_not_used_for_a_minute_is_full():
    assert dict(Dimension("tokens", 10).headers(10, 75.0))[b"x-ratelimit-reset-tokens"] == b"0s"
