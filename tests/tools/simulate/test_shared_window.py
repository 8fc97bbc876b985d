"""The shared window of a simulation against the plain implementation in tests/support."""

from hypothesis import given
from hypothesis import strategies as some

from llmproxy.batteries.shared_state.quota import BurstLimit, QuotaRequest, UsageReport
from llmproxy.tools.simulate.shared import Window
from tests.support.examples import examples
from tests.support.shared_window import SharedWindow

COUNT = some.integers(0, 30)
CHARGE = some.builds(
    UsageReport, some.integers(0, 260), some.integers(-3, 9), some.integers(-30, 90)
)
MOMENT = some.tuples(some.integers(0, 20_000), some.sampled_from("abc"))


@some.composite
def asks(draw):
    want = draw(COUNT), draw(some.integers(0, 300))
    return QuotaRequest(
        rpm=draw(some.sampled_from([None, 20, 60])),
        tpm=draw(some.sampled_from([None, 400])),
        burst=draw(some.sampled_from([None, BurstLimit(5, 5)])),
        instances=draw(some.integers(1, 4)),
        epoch="",
        reports=tuple(draw(some.lists(CHARGE, max_size=2))),
        waiting=draw(some.booleans()),
        need_requests=min(want[0], 1),
        need_tokens=min(want[1], draw(some.integers(0, 300))),
        want_requests=want[0],
        want_tokens=want[1],
    )


@examples(150)
@given(some.lists(some.tuples(MOMENT, asks()), min_size=1, max_size=25))
def test_it_grants_the_same_as_the_plain_implementation(requests):
    fast, slow = Window(), SharedWindow()
    now_ms = 0
    for (passed_ms, who), ask in requests:
        now_ms += passed_ms
        granted, expected = fast.answer(who, ask, now_ms / 1000), slow.answer(who, ask, now_ms)

        assert (granted.requests, granted.tokens) == (expected.requests, expected.tokens)
        assert granted.has_room == expected.has_room
        assert abs(granted.wait_s - expected.wait_s) < 1e-6
