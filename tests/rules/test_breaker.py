"""The breaker shuts a failing endpoint, asks it one call at a time, and is never stuck."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmproxy.rules.breaker import Breaker, BreakerState

EXACT = 0.5  # the draw that jitters by nothing


def opened(at: float = 0.0, open_s: float = 60.0) -> Breaker:
    breaker = Breaker(allowed_fails=1, open_s=open_s)
    breaker.fail(at, breaker.begin(at), EXACT)
    return breaker


def test_a_new_one_is_closed_with_its_whole_share():
    breaker = Breaker(allowed_fails=1, open_s=60.0)
    assert breaker.state(0.0) is BreakerState.CLOSED
    assert breaker.admits(0.0)
    assert breaker.share(0.0) == 1.0
    assert breaker.opens_until(7.0) == 7.0


def test_it_opens_at_the_allowed_number_of_consecutive_failures():
    breaker = Breaker(allowed_fails=3, open_s=60.0)
    for now in (1.0, 2.0):
        breaker.fail(now, breaker.begin(now), EXACT)
        assert breaker.admits(now)
    breaker.fail(3.0, breaker.begin(3.0), EXACT)
    assert breaker.state(3.0) is BreakerState.OPEN
    assert breaker.opens_until(3.0) == 63.0


def test_a_success_between_failures_starts_the_count_again():
    breaker = Breaker(allowed_fails=2, open_s=60.0)
    for now in range(8):
        breaker.fail(now, breaker.begin(now), EXACT)
        breaker.succeed(now, breaker.begin(now))
    assert breaker.admits(8.0)


def failing_more_than_half(breaker: Breaker, *, calls: int, step_s: float) -> None:
    for i in range(calls):
        now = i * step_s
        ticket = breaker.begin(now)
        if i % 3 == 0:
            breaker.succeed(now, ticket)
        else:
            breaker.fail(now, ticket, EXACT)


def test_it_opens_when_most_calls_of_the_window_fail():
    breaker = Breaker(allowed_fails=100, open_s=60.0)
    failing_more_than_half(breaker, calls=9, step_s=1.0)
    assert breaker.admits(9.0)  # too few to say anything
    breaker.fail(9.0, breaker.begin(9.0), EXACT)
    assert not breaker.admits(9.0)


@pytest.mark.parametrize(
    ("good", "bad", "opens"), [(5, 5, False), (4, 6, True), (50, 50, False), (49, 51, True)]
)
def test_it_opens_only_when_less_than_half_of_the_calls_succeed(good, bad, opens):
    breaker = Breaker(allowed_fails=1_000, open_s=60.0)
    for _ in range(good):
        breaker.succeed(1.0, breaker.begin(1.0))
    for _ in range(bad):
        breaker.fail(1.0, breaker.begin(1.0), EXACT)
    assert breaker.admits(1.0) is not opens


def test_failures_older_than_the_window_are_forgotten():
    breaker = Breaker(allowed_fails=100, open_s=60.0)
    failing_more_than_half(breaker, calls=40, step_s=9.0)
    assert breaker.admits(360.0)


def test_many_successes_carry_a_few_failures():
    breaker = Breaker(allowed_fails=100, open_s=60.0)
    for i in range(50):
        breaker.succeed(i * 0.1, breaker.begin(i * 0.1))
    for _ in range(40):
        breaker.fail(6.0, breaker.begin(6.0), EXACT)
    assert breaker.admits(6.0)


def test_after_its_time_one_probe_is_admitted_and_no_second():
    breaker = opened()
    assert not breaker.admits(59.9)
    assert breaker.state(60.0) is BreakerState.HALF_OPEN
    assert breaker.admits(60.0)
    breaker.begin(60.0)
    assert not breaker.admits(60.0)
    assert not breaker.admits(300.0)


def test_a_probe_that_succeeds_closes_it():
    breaker = opened()
    breaker.succeed(61.0, breaker.begin(60.0))
    assert breaker.state(61.0) is BreakerState.CLOSED
    assert breaker.admits(61.0)


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_cap():
    breaker, now, waits = opened(), 0.0, []
    for _ in range(5):
        now = breaker.opens_until(now)
        breaker.fail(now, breaker.begin(now), EXACT)
        waits.append(breaker.opens_until(now) - now)
    assert waits == [120.0, 240.0, 300.0, 300.0, 300.0]


def test_a_configured_time_above_the_cap_is_kept():
    assert opened(open_s=900.0).opens_until(0.0) == 900.0


def test_an_endpoint_that_fails_again_soon_after_closing_stays_out_for_longer():
    breaker = opened()
    breaker.succeed(60.0, breaker.begin(60.0))
    breaker.fail(70.0, breaker.begin(70.0), EXACT)
    assert breaker.opens_until(70.0) == 70.0 + 120.0


def test_one_that_was_well_for_long_starts_afresh():
    breaker = opened()
    breaker.succeed(60.0, breaker.begin(60.0))
    breaker.fail(500.0, breaker.begin(500.0), EXACT)
    assert breaker.opens_until(500.0) == 560.0


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.9), (0.999999, 1.1)])
def test_the_time_is_jittered(draw, factor):
    breaker = Breaker(allowed_fails=1, open_s=60.0)
    breaker.fail(0.0, breaker.begin(0.0), draw)
    assert breaker.opens_until(0.0) == pytest.approx(60.0 * factor, abs=0.01)


def test_a_probe_that_tells_nothing_gives_its_place_back():
    breaker = opened()
    breaker.forget(60.0, breaker.begin(60.0))
    assert breaker.admits(60.0)


def test_a_probe_that_never_reports_does_not_block_for_ever():
    breaker = opened()
    lost = breaker.begin(60.0)
    later = 60.0 + 600.0
    assert not breaker.admits(later - 0.1)
    assert breaker.admits(later)
    second = breaker.begin(later)
    breaker.fail(later, lost, EXACT)  # not lost after all, but no longer awaited
    assert breaker.state(later) is BreakerState.HALF_OPEN
    breaker.succeed(later, second)
    assert breaker.state(later) is BreakerState.CLOSED


def test_calls_that_began_before_it_opened_neither_lengthen_nor_end_that():
    breaker = Breaker(allowed_fails=1, open_s=60.0)
    tickets = [breaker.begin(0.0) for _ in range(50)]
    breaker.fail(1.0, tickets.pop(), EXACT)
    for ticket in tickets[::2]:
        breaker.fail(30.0, ticket, EXACT)
    for ticket in tickets[1::2]:
        breaker.succeed(30.0, ticket)
    assert breaker.state(30.0) is BreakerState.OPEN
    assert breaker.opens_until(30.0) == 61.0


def test_calls_that_began_before_it_opened_do_not_speak_for_the_probe():
    breaker = Breaker(allowed_fails=1, open_s=60.0)
    old, older = breaker.begin(0.0), breaker.begin(0.0)
    breaker.fail(0.0, breaker.begin(0.0), EXACT)
    breaker.begin(60.0)
    breaker.succeed(61.0, old)
    breaker.forget(61.0, older)
    assert breaker.state(61.0) is BreakerState.HALF_OPEN
    assert not breaker.admits(61.0)


def test_old_failures_do_not_reopen_it_after_a_good_probe():
    breaker = Breaker(allowed_fails=1, open_s=60.0)
    old = breaker.begin(0.0)
    breaker.fail(0.0, breaker.begin(0.0), EXACT)
    breaker.succeed(60.0, breaker.begin(60.0))
    breaker.fail(61.0, old, EXACT)
    assert breaker.state(61.0) is BreakerState.CLOSED


def test_when_everybody_is_out_it_can_be_probed_early_by_one():
    breaker = opened()
    early, beside = breaker.begin(10.0), breaker.begin(10.0)
    breaker.succeed(11.0, beside)
    assert breaker.state(11.0) is BreakerState.OPEN
    breaker.succeed(11.0, early)
    assert breaker.state(11.0) is BreakerState.CLOSED


def test_after_closing_the_share_grows_from_a_tenth_to_all():
    breaker = opened()
    breaker.succeed(100.0, breaker.begin(100.0))
    shares = [breaker.share(100.0 + 10.0 * part) for part in (0.0, 0.5, 1.0)]
    assert shares == [pytest.approx(0.1), pytest.approx(0.55), 1.0]


def test_a_vendor_that_asks_to_slow_down_gets_a_growing_share_after_the_cooldown():
    breaker = Breaker(allowed_fails=1, open_s=60.0)
    breaker.slow_down(105.0)
    assert breaker.share(100.0) == pytest.approx(0.1)
    assert breaker.share(105.0 + 5.0) == pytest.approx(0.55)
    assert breaker.admits(100.0)


class AnyUse(RuleBasedStateMachine):
    """Any order of attempts, reports and waits, by callers that ask `admits` first."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker(allowed_fails=2, open_s=30.0)
        self.under_way: list[int] = []
        self.probes: set[int] = set()

    @rule(seconds=st.floats(0.0, 50.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        if not self.breaker.admits(self.now):
            return
        half_open = self.breaker.state(self.now) is BreakerState.HALF_OPEN
        ticket = self.breaker.begin(self.now)
        self.under_way.append(ticket)
        if half_open:
            assert not self.probes, "a second probe beside the first"
            self.probes.add(ticket)

    def _report(self, index: int) -> int:
        ticket = self.under_way.pop(index % len(self.under_way))
        self.probes.discard(ticket)
        return ticket

    @precondition(lambda self: self.under_way)
    @rule(index=st.integers(0, 99))
    def succeed(self, index: int) -> None:
        self.breaker.succeed(self.now, self._report(index))

    @precondition(lambda self: self.under_way)
    @rule(index=st.integers(0, 99), draw=st.floats(0.0, 0.999))
    def fail(self, index: int, draw: float) -> None:
        before = self.breaker.state(self.now)
        until = self.breaker.opens_until(self.now)
        self.breaker.fail(self.now, self._report(index), draw)
        if before is BreakerState.OPEN:
            assert self.breaker.opens_until(self.now) == until

    @precondition(lambda self: self.under_way)
    @rule(index=st.integers(0, 99))
    def forget(self, index: int) -> None:
        before = self.breaker.state(self.now)
        self.breaker.forget(self.now, self._report(index))
        assert self.breaker.state(self.now) is before

    @invariant()
    def open_admits_no_call_and_closed_admits_all(self) -> None:
        state = self.breaker.state(self.now)
        if state is BreakerState.OPEN:
            assert not self.breaker.admits(self.now)
            assert self.breaker.opens_until(self.now) > self.now
        if state is BreakerState.CLOSED:
            assert self.breaker.admits(self.now)

    @invariant()
    def half_open_admits_exactly_while_no_probe_is_out(self) -> None:
        if self.breaker.state(self.now) is BreakerState.HALF_OPEN and not self._a_lease_ran_out():
            assert self.breaker.admits(self.now) == (not self.probes)

    @invariant()
    def it_is_never_stuck(self) -> None:
        assert self.breaker.admits(self.now + 2 * 300.0 + 600.0)

    @invariant()
    def the_share_is_a_share(self) -> None:
        assert 0.0 < self.breaker.share(self.now) <= 1.0

    def _a_lease_ran_out(self) -> bool:
        return bool(self.probes) and self.breaker.admits(self.now)

    def teardown(self) -> None:
        for ticket in self.under_way:
            self.breaker.forget(self.now, ticket)


class TestAnyUse(AnyUse.TestCase):  # type: ignore[misc, name-defined]
    """Run by pytest."""


def test_a_breaker_that_another_instance_opens_forgets_its_probe():
    breaker = Breaker(allowed_fails=1, open_s=10.0)
    breaker.fail(0.0, breaker.begin(0.0), 0.5)
    probe = breaker.begin(12.0)
    breaker.open_elsewhere(12.5, 15.0)
    assert not breaker.admits(27.0)
    assert breaker.admits(28.0), "the time is over; the lost probe does not hold it for 600 s"
    assert not breaker.succeed(28.0, probe), "and its late report changes nothing"
    assert breaker.admits(28.0)


def test_the_window_of_the_success_rate_is_thirty_seconds():
    def opens(*, seconds_later):
        breaker = Breaker(allowed_fails=1_000, open_s=10.0)
        for _ in range(6):
            breaker.fail(0.0, breaker.begin(0.0), 0.5)
        for _ in range(4):  # the tenth call of the window decides
            breaker.fail(seconds_later, breaker.begin(seconds_later), 0.5)
        return not breaker.admits(seconds_later)

    assert opens(seconds_later=29.0)
    assert not opens(seconds_later=31.0)
