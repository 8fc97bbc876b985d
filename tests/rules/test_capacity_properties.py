"""Capacity against vendors that really refuse, and against plain lists of what was sent."""

from heapq import heappop, heappush
from itertools import count
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from llmproxy.rules.capacity import Capacity
from llmproxy.rules.limits import rate_limits
from llmproxy.tools.simulator.limits import AzureWindow, OpenAIWindow
from tests.support.examples import examples

VENDORS = {"openai": OpenAIWindow, "azure": AzureWindow}
ON_THE_WAY_S = 0.001  # a steady way to the vendor
EXACT = 1e-6
RATE, LOAD_S = 40.0, 400.0  # calls a second, seconds


class SentCall:
    """One call that was reserved for and sent."""

    def __init__(self, reservation, headers, refused):
        self.reservation = reservation
        self.headers = headers
        self.refused = refused


class KeepingLimits(RuleBasedStateMachine):
    """Calls are sent when the capacity says that there is room, and never otherwise.

    Beside it stand a vendor's own limits, and lists of the moments at which calls were sent.
    """

    in_flight = Bundle("in_flight")

    @initialize(
        dialect=st.sampled_from(sorted(VENDORS)),
        rpm=st.sampled_from([5, 60, 6_000]),
        tpm=st.sampled_from([500, 100_000]),
        own_rpm=st.sampled_from([None, 4]),
        own_tpm=st.sampled_from([None, 400]),
        concurrent=st.sampled_from([None, 3]),
        began_at=st.floats(0, 5),
    )
    def set_up(self, dialect, rpm, tpm, own_rpm, own_tpm, concurrent, began_at):
        self.now = 100.0 + began_at
        self.vendor = VENDORS[dialect](rpm, tpm, self.now)
        self.capacity = Capacity(
            rpm=own_rpm, tpm=own_tpm, concurrent=concurrent, fixed_windows=dialect == "azure"
        )
        self.open = set()
        self.sent_at = []
        self.charged = {}  # reservation's number -> (moment, tokens)
        self.learned = False

    @rule(seconds=st.one_of(st.floats(0, 2), st.floats(0, 90)))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(target=in_flight, tokens=st.sampled_from([1, 100, 300]), waits=st.booleans())
    def send(self, tokens, waits):
        wait_s = self.capacity.wait_s(tokens, self.now)
        if wait_s > 0 and waits:
            self.now += wait_s + EXACT
        if not self.capacity.has_room(tokens, self.now) or (self.open and not self.learned):
            return None  # the first answer is awaited: before it nothing is known
        reservation = self.capacity.reserve(tokens, self.now)
        standing = self.vendor.admit(tokens, self.now + ON_THE_WAY_S)
        refused = standing.wait_s is not None
        assert not (refused and self.learned), "it was sent, and there was no room"
        self.open.add(id(reservation))
        self.sent_at.append(self.now)
        self.charged[id(reservation)] = (self.now, tokens)
        return SentCall(reservation, self.vendor.headers(standing), refused)

    @rule(call=consumes(in_flight), used=st.none() | st.floats(0.1, 1.0), again=st.booleans())
    def answer(self, call, used, again):
        if call is None:
            return
        self.learn(call)
        tokens = call.reservation.tokens
        used_tokens = None if used is None else max(1, int(tokens * used))
        for _ in range(1 + again):
            self.capacity.settle(call.reservation, used_tokens, self.now)
        if used_tokens is not None:
            at, _ = self.charged[id(call.reservation)]
            self.charged[id(call.reservation)] = (at, used_tokens)
        self.open.discard(id(call.reservation))
        KEPT.append(call)  # so that its id is not used again

    @rule(call=consumes(in_flight))
    def answer_later_than_others(self, call):
        """Headers are read, but the stream goes on: the reservation stays."""
        if call is not None:
            self.learn(call)
            KEPT.append(call)

    @rule(tokens=st.sampled_from([1, 300]))
    def begin_and_never_send(self, tokens):
        if self.capacity.has_room(tokens, self.now):
            reservation = self.capacity.reserve(tokens, self.now)
            self.capacity.give_back(reservation, self.now)
            self.capacity.give_back(reservation, self.now)

    def learn(self, call):
        said = rate_limits(call.headers, wall_now=0.0)
        if self.capacity.needs_headers(call.reservation):
            self.capacity.learn(call.reservation, said)
        self.learned = True

    @invariant()
    def what_is_left_is_never_below_nothing(self):
        if hasattr(self, "capacity"):
            for left in self.capacity.left(self.now):
                assert left is None or left >= 0

    @invariant()
    def exactly_the_open_ones_are_in_flight(self):
        if hasattr(self, "capacity"):
            assert self.capacity.in_flight == len(self.open)

    @invariant()
    def no_minute_holds_more_than_the_operator_allows(self):
        if not hasattr(self, "capacity"):
            return
        capacity = self.capacity
        if capacity.rpm is not None:
            in_minute = [at for at in self.sent_at if at > self.now - 60]
            assert len(in_minute) <= capacity.rpm
        if capacity.tpm is not None:
            tokens = [spent for at, spent in self.charged.values() if at > self.now - 60]
            assert sum(tokens) <= capacity.tpm or len(tokens) == 1

    @invariant()
    def no_more_at_a_time_than_the_operator_allows(self):
        if hasattr(self, "capacity") and self.capacity.concurrent is not None:
            assert len(self.open) <= self.capacity.concurrent


KEPT = []
KeepingLimits.TestCase.settings = examples(200, stateful_step_count=60)
TestKeepingLimits = KeepingLimits.TestCase


def under_load(capacity, vendor, *, seed, slowest_s, slowest_way_s=0.01):
    """Send calls at random times, more than fit; a call without room is dropped. Answers take
    random times and overtake each other. Returns (moment, tokens, refused) of each sent call."""
    random, numbers = Random(seed), count()
    now, ends_at = 1_000.0, 1_000.0 + LOAD_S
    events, sent, arrives_at = [(now, next(numbers), None)], [], now
    while events:
        now, _, answered = heappop(events)
        if answered is not None:
            reservation, headers = answered
            if capacity.needs_headers(reservation):
                capacity.learn(reservation, rate_limits(headers, wall_now=0.0))
            capacity.settle(reservation, None, now)
            continue
        pause_s = random.expovariate(RATE) if sent else slowest_s + 1  # the first one teaches
        if now + pause_s < ends_at:
            heappush(events, (now + pause_s, next(numbers), None))
        tokens = random.randint(50, 250)
        if not capacity.has_room(tokens, now):
            continue
        reservation = capacity.reserve(tokens, now)
        if random.random() < 0.05:  # no connection: nothing is sent
            capacity.give_back(reservation, now)
            continue
        arrives_at = max(arrives_at, now + slowest_way_s * random.random() ** 4)
        standing = vendor.admit(tokens, arrives_at)
        sent.append((now, tokens, standing.wait_s is not None))
        back_at = now + slowest_s * random.random() ** 3
        heappush(events, (back_at, next(numbers), (reservation, vendor.headers(standing))))
    return sent


@pytest.mark.parametrize("slowest_s", [0.5, 20.0])
@pytest.mark.parametrize("dialect", sorted(VENDORS))
@pytest.mark.parametrize("seed", range(4))
def test_nearly_all_of_a_vendors_limit_is_used_and_never_more(dialect, slowest_s, seed):
    # Azure judges seconds, which leaves less room for ways of different lengths.
    slowest_way_s = 0.08 if dialect == "openai" else 0.01
    vendor = VENDORS[dialect](600, 90_000, 1_000.0)
    capacity = Capacity(fixed_windows=dialect == "azure")
    sent = under_load(capacity, vendor, seed=seed, slowest_s=slowest_s, slowest_way_s=slowest_way_s)
    assert not any(refused for _, _, refused in sent)
    assert capacity.in_flight == 0
    taught_s = LOAD_S - slowest_s - 1
    assert sum(tokens for _, tokens, _ in sent) >= 0.88 * 90_000 * taught_s / 60


@pytest.mark.parametrize("limits", [{"rpm": 100}, {"tpm": 20_000}, {"rpm": 150, "tpm": 21_000}])
def test_no_60_seconds_hold_more_than_the_operators_limits_and_nearly_all_of_them(limits):
    vendor = OpenAIWindow(6_000, 10**7, 1_000.0)
    sent = under_load(Capacity(**limits), vendor, seed=1, slowest_s=5.0)
    fullest = {"rpm": 0, "tpm": 0}
    for at, _, _ in sent:
        minute = [tokens for moment, tokens, _ in sent if at <= moment < at + 60]
        fullest["rpm"] = max(fullest["rpm"], len(minute))
        fullest["tpm"] = max(fullest["tpm"], sum(minute))
    for name, limit in limits.items():
        assert fullest[name] <= limit
    assert any(fullest[name] >= 0.97 * limit for name, limit in limits.items())
