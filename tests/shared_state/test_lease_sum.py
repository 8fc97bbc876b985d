"""All instances together stay within the limit and the overdraft in every window, whatever happens
to their messages. Simulated; the clock of each instance is off by another amount.
"""

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.shared_state.quota import Lease
from tests.support.examples import examples
from tests.support.shared_window import SharedWindow

LIFE_SLOTS = 2
SLOT_S = 0.25
WINDOW_SLOTS = 243

TICK_MS = 20
STEP_MS = 5
FAILS_AFTER_MS = 100
# The window is longer than the time it bounds: by the life of a grant and one slot.
LONGER_SLOTS = LIFE_SLOTS + 1
SHORT_SLOTS = 8 * 4 + LONGER_SLOTS  # 8 s: as long as needed for everything to leave it once


@dataclass
class Instance:
    """One proxy: calls arrive and are dispatched if the lease covers them. Otherwise they wait."""

    name: str
    lease: Lease
    clock_ahead_s: float
    ticks_at_ms: int
    calls_per_s: float
    gone: bool = False
    waiting: list[int] = field(default_factory=list)

    def now(self, now_ms):
        return now_ms / 1000 + self.clock_ahead_s


class Fleet:
    """Instances, the window that they share, and the messages between them."""

    def __init__(self, random, *, rpm, tpm, instances, window_slots, load, trouble, corrected):
        self.random = random
        self.trouble = trouble
        self.corrected = corrected
        self.window = SharedWindow(window_slots)
        self.dispatched = []  # (ms, requests, tokens), as it really was
        self._under_way = []
        self._numbers = count()
        seconds = (window_slots - LONGER_SLOTS) * SLOT_S
        self.call_tokens = max(1, tpm // rpm)
        shares = [random.random() for _ in range(instances)]
        self.instances = [
            Instance(
                name=f"i{number}",
                lease=_lease(rpm, tpm, instances, window_slots),
                clock_ahead_s=random.uniform(1000, 2000),
                ticks_at_ms=random.randrange(TICK_MS),
                calls_per_s=load * rpm / seconds * share / sum(shares),
            )
            for number, share in enumerate(shares)
        ]

    def run(self, for_ms):
        for now_ms in range(0, for_ms, STEP_MS):
            self._deliver(now_ms)
            for instance in self.instances:
                if not instance.gone:
                    self._step(instance, now_ms)

    def _step(self, instance, now_ms):
        now = instance.now(now_ms)
        for _ in range(self._arrivals(instance.calls_per_s * STEP_MS / 1000)):
            instance.waiting.append(self.random.randint(1, 2 * self.call_tokens))
        while instance.waiting and instance.lease.covers(instance.waiting[0], now):
            self._dispatch(instance, instance.waiting.pop(0), now_ms)
        for tokens in instance.waiting:
            instance.lease.note_waiting(tokens)
        if len(instance.waiting) > 40:
            instance.waiting.clear()  # they went to another tier
        if now_ms % TICK_MS == instance.ticks_at_ms // STEP_MS * STEP_MS:
            self._tick(instance, now_ms)

    def _arrivals(self, mean):
        """As many on average, in bursts."""
        size = 4
        calls = mean / size
        return size * (int(calls) + (self.random.random() < calls - int(calls)))

    def _dispatch(self, instance, tokens, now_ms):
        now = instance.now(now_ms)
        instance.lease.reserve(tokens, now)
        draw = self.random.random()
        later_ms = now_ms + self.random.randint(1, 3000)
        if draw < self.corrected / 5:  # it was never sent
            self._later(later_ms, lambda: instance.lease.give_back(tokens, now, now))
            return
        used = self.random.randint(0, tokens) if draw < self.corrected else tokens
        if used != tokens:
            self._later(later_ms, lambda: instance.lease.correct(used - tokens, now, now))
        self.dispatched.append((now_ms, 1, used))

    def _tick(self, instance, now_ms):
        ask = instance.lease.next_request(instance.now(now_ms))
        if ask is None:
            return
        draw = self.random.random()
        there_ms = now_ms + self.random.randint(1, 80 if draw < self.trouble else 3)
        back_ms = there_ms + self.random.randint(1, 15)
        if draw < self.trouble / 3:  # never received
            self._later(now_ms + FAILS_AFTER_MS, instance.lease.request_failed)
        elif draw < self.trouble * 2 / 3:  # received, but the reply is lost
            self._later(there_ms, lambda: self.window.answer(instance.name, ask, there_ms))
            self._later(now_ms + FAILS_AFTER_MS, instance.lease.request_failed)
        else:
            self._later(there_ms, lambda: self._answer(instance, ask, there_ms, back_ms))

    def _answer(self, instance, ask, there_ms, back_ms):
        grant = self.window.answer(instance.name, ask, there_ms)
        self._later(
            back_ms,
            lambda: instance.gone or instance.lease.receive(grant, instance.now(back_ms)),
        )

    def _later(self, at_ms, action):
        heappush(self._under_way, (at_ms, next(self._numbers), action))

    def _deliver(self, now_ms):
        while self._under_way and self._under_way[0][0] <= now_ms:
            heappop(self._under_way)[2]()

    def most_in(self, seconds):
        """The most requests and the most tokens that were dispatched within so many seconds."""
        most_requests = most_tokens = requests = tokens = begin = 0
        for now_ms, more_requests, more_tokens in self.dispatched:
            requests, tokens = requests + more_requests, tokens + more_tokens
            while self.dispatched[begin][0] <= now_ms - seconds * 1000:
                requests -= self.dispatched[begin][1]
                tokens -= self.dispatched[begin][2]
                begin += 1
            most_requests, most_tokens = max(most_requests, requests), max(most_tokens, tokens)
        return most_requests, most_tokens


def _lease(rpm, tpm, instances, window_slots):
    lease = Lease(window_slots=window_slots)
    lease.set_instances(instances)
    lease.set_limits(rpm, tpm)
    lease.go_shared()
    return lease


@examples(25)
@given(
    seed=st.integers(0, 2**32),
    rpm=st.integers(20, 2000),
    call_tokens=st.integers(1, 500),
    instances=st.integers(1, 6),
    load=st.floats(0.5, 3.0),
    trouble=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_all_instances_together_stay_within_the_limit_and_the_overdraft(
    seed, rpm, call_tokens, instances, load, trouble
):
    tpm = rpm * call_tokens
    fleet = Fleet(
        Random(seed),
        rpm=rpm,
        tpm=tpm,
        instances=instances,
        window_slots=SHORT_SLOTS,
        load=load,
        trouble=trouble,
        corrected=0.3,
    )
    fleet.run(25_000)
    requests, tokens = fleet.most_in(8)
    assert requests <= rpm * 1.02
    assert tokens <= tpm * 1.02


@pytest.mark.parametrize("instances", [1, 4])
def test_under_more_load_than_fits_nearly_all_of_a_minute_is_used(instances):
    fleet = Fleet(
        Random(7),
        rpm=600,
        tpm=60_000_000,
        instances=instances,
        window_slots=WINDOW_SLOTS,
        load=1.5,
        trouble=0.0,
        corrected=0.0,
    )
    fleet.run(130_000)
    requests, _ = fleet.most_in(60)
    assert requests <= 600 * 1.02
    last_minute = sum(requests for at_ms, requests, _ in fleet.dispatched if at_ms >= 70_000)
    assert last_minute >= 600 * 0.97


def test_what_a_dead_instance_held_is_free_after_a_window():
    fleet = Fleet(
        Random(3),
        rpm=400,
        tpm=400_000,
        instances=3,
        window_slots=SHORT_SLOTS,
        load=2.0,
        trouble=0.0,
        corrected=0.0,
    )
    fleet.run(5_000)
    for instance in fleet.instances[1:]:
        instance.gone = True
    fleet.instances[0].calls_per_s *= 20
    fleet.run(30_000)
    before = sum(requests for _, requests, _ in fleet.dispatched)
    assert before > 0
    used, _ = fleet.window.used()
    lately = sum(requests for at_ms, requests, _ in fleet.dispatched[-450:] if at_ms >= 22_000)
    assert lately >= 400 * 0.95
    assert used <= 400 * 1.02
