"""An endpoint is slow when it answers far more slowly than it usually does."""

import msgspec
import pytest

from llmproxy.batteries.admin.stats.collector import Counters
from llmproxy.batteries.admin.stats.slowness import Slowness, slow_medians
from llmproxy.batteries.telemetry.counters import (
    SECONDS,
    EndpointCounters,
    GroupCounters,
    histogram,
)


def answers(**seconds):
    """Return a histogram's counts: answers(_0_3=40) had 40 of 0.3 s."""
    found = histogram()
    for name, number in seconds.items():
        for _ in range(number):
            found.add(float(name[1:].replace("_", ".")), SECONDS)
    return found.counts


@pytest.mark.parametrize(
    ("recent", "usual", "is_slow"),
    [
        ({"_4": 20}, {"_0_35": 500}, True),
        ({"_0_9": 20}, {"_0_35": 500}, False),  # not three times as long
        ({"_4": 4, "_0_3": 5}, {"_0_35": 500}, False),  # most answers are as usual
        ({"_4": 4}, {"_0_35": 500}, False),  # too few to tell
        ({"_4": 20}, {"_0_35": 29}, False),  # what is usual is not known yet
        ({"_0_08": 50}, {"_0_008": 500}, False),  # ten times, and nobody feels it
        ({"_60": 20}, {"_30": 500}, False),  # it is always slow: that is its normal
        ({}, {"_0_35": 500}, False),
    ],
)
def test_the_last_minute_is_compared_with_what_is_usual(recent, usual, is_slow):
    found = slow_medians(answers(**recent), answers(**usual), already=False)
    assert (found is not None) == is_slow


def test_it_stays_slow_until_it_takes_less_than_twice_as_long():
    usual = answers(_0_4=100)
    assert slow_medians(answers(_0_95=20), usual, already=False) is None
    assert slow_medians(answers(_0_95=20), usual, already=True) is not None
    assert slow_medians(answers(_0_95=1), usual, already=True) is not None
    assert slow_medians(answers(_0_5=20), usual, already=True) is None


class Story:
    """An endpoint that answers, minute after minute."""

    def __init__(self):
        self.endpoint = EndpointCounters()
        self.now = 1_000.0
        self._slowness = Slowness(self._counters())
        self._before = self._counters()

    def minute(self, calls, seconds):
        self._before = self._counters()
        for _ in range(calls):
            self.endpoint.first_byte.add(seconds, SECONDS)
        self.now += 60
        self._slowness.update(self._before, self._counters(), self.now)
        if self.now % 300 == 0:
            self._slowness.remember(self._counters())
        return self._slowness.of("gpt-4.1", "azure")

    def _counters(self):
        counters = Counters()
        counters.calls.groups = {"gpt-4.1": GroupCounters(endpoints={"azure": self.endpoint})}
        return msgspec.msgpack.decode(msgspec.msgpack.encode(counters), type=Counters)


def test_slow_since_when_and_compared_with_what():
    story = Story()
    for _ in range(5):
        assert story.minute(60, 0.35) is None
    first = story.minute(60, 4.0)
    assert (first.since, 300 <= first.usual_ms <= 400) == (story.now, True)
    assert 3_000 <= first.first_byte_ms <= 4_000
    assert story.minute(60, 4.0).since == first.since
    assert story.minute(60, 0.35) is None
    assert story.minute(0, 0.0) is None


def test_after_a_day_the_new_pace_is_the_usual_one():
    story = Story()
    for _ in range(30):
        story.minute(2, 0.35)
    assert story.minute(6, 4.0) is not None
    for _ in range(24 * 60 + 60):
        found = story.minute(2, 4.0)
    assert found is None
