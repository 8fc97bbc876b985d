"""Which trace a call belongs to, and which trace headers its attempts send."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.telemetry.tracing.trace_context import trace_of
from llmproxy.calls import TraceContext
from llmproxy.rules.headers import onward

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"


def found(*headers, ratio=1.0):
    as_sent = [(name.encode(), value.encode()) for name, value in headers]
    return trace_of(as_sent, ratio=ratio, draw_bits=random.Random(7).getrandbits)


def parent(value, **more):
    return found(("accept", "*/*"), ("traceparent", value), **more)


def test_a_call_joins_the_trace_of_its_client():
    trace = parent(SAMPLED)
    assert (trace.trace_id, trace.parent_id) == (TRACE, int(PARENT, 16))
    assert trace.flags & 1
    assert trace.span_id not in (0, trace.parent_id)


def test_the_client_decides_whether_spans_are_recorded():
    assert parent(f"00-{TRACE}-{PARENT}-00") is None
    assert parent(SAMPLED, ratio=0.0).flags & 1


def test_without_a_client_s_trace_a_new_one_begins():
    trace = found()
    assert trace.parent_id is None
    assert trace.flags & 1
    assert not found(ratio=0.0).flags & 1


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "00",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-more",
        f"01-{TRACE}-{PARENT}-01more",
        f" {SAMPLED}",
        f"{SAMPLED}\n",
    ],
)
def test_an_invalid_header_counts_as_absent(wrong):
    trace = parent(wrong)
    assert trace.parent_id is None
    assert trace.trace_id != TRACE
    assert trace.state == ""


def test_two_traceparent_headers_count_as_absent():
    assert found(("traceparent", SAMPLED), ("traceparent", SAMPLED)).parent_id is None


@pytest.mark.parametrize("value", [f"01-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what-else"])
def test_a_later_version_is_read_as_far_as_it_is_known(value):
    assert parent(value).trace_id == TRACE


def test_only_known_flags_are_passed_on():
    trace = parent(f"00-{TRACE}-{PARENT}-ff")
    assert dict(onward([], trace, 1))[b"traceparent"].endswith(b"-03")


def test_an_attempt_is_the_parent_of_what_its_endpoint_does():
    trace = TraceContext(TRACE, 0x0A, int(PARENT, 16), 1, "a=1")
    sent = [(b"traceparent", SAMPLED.encode()), (b"tracestate", b"a=1"), (b"accept", b"*/*")]
    assert onward(sent, trace, 2) == [
        (b"tracestate", b"a=1"),
        (b"accept", b"*/*"),
        (b"traceparent", f"00-{TRACE}-000000000000000c-01".encode()),
    ]


def test_a_trace_that_begins_here_has_no_tracestate():
    sent = [(b"traceparent", b"nonsense"), (b"tracestate", b"a=1")]
    trace = trace_of(sent, ratio=1.0, draw_bits=random.Random(7).getrandbits)
    assert [name for name, _ in onward(sent, trace, 1)] == [b"traceparent"]


def test_the_endpoint_learns_that_a_trace_is_not_recorded():
    assert onward([], found(ratio=0.0), 1)[0][1].endswith(b"-02")


def test_several_lines_of_state_are_one_list_in_their_order():
    trace = found(("tracestate", "a=1"), ("traceparent", SAMPLED), ("tracestate", "b=2"))
    assert trace.state == "a=1,b=2"


def test_the_share_of_recorded_calls_is_the_ratio():
    draw = random.Random(11).getrandbits
    recorded = sum(trace_of([], ratio=0.2, draw_bits=draw).flags & 1 for _ in range(5_000))
    assert recorded == pytest.approx(1_000, abs=120)


@pytest.mark.parametrize(
    ("trace_id", "recorded"),
    [
        (1, True),
        (2**54, True),
        (2**55, False),
        (2**56 - 1, False),
        (2**56 + 1, True),  # bits above the last 56 do not count
        (2**128 - 2**56, True),
        (2**128 - 1, False),
    ],
)
def test_the_last_56_bits_of_a_trace_id_decide_whether_half_of_the_calls_are_recorded(
    trace_id, recorded
):
    trace = trace_of([], ratio=0.5, draw_bits=lambda bits: trace_id if bits == 128 else 1)
    assert bool(trace.flags & 1) is recorded


@given(st.integers(0, 2**63 - 1), st.integers(1, 1_000))
def test_ids_are_never_zero_and_never_overflow(drawn, attempt):
    trace = trace_of([], ratio=1.0, draw_bits=lambda bits: drawn if bits == 63 else 0)
    value = onward([], trace, attempt)[0][1]
    _, trace_id, span_id, _ = value.split(b"-")
    assert (len(trace_id), len(span_id)) == (32, 16)
    assert int(trace_id, 16) and int(span_id, 16)
    # Our own headers are read back.
    again = trace_of([(b"traceparent", value)], ratio=1.0, draw_bits=random.getrandbits)
    assert again.parent_id == trace.attempt_id(attempt)
