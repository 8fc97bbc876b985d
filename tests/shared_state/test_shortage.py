"""What waiting calls need is reported to the other instances."""

from llmproxy.batteries.shared_state.quota.shared_minute import SharedMinute
from llmproxy.batteries.shared_state.shortage import Shortages
from llmproxy.routing import CallDemand
from tests.routing.pools import group


class Quota:
    """A shared quota that notes what it is asked for."""

    share, instances = None, 2

    def __init__(self):
        self.noted = []

    def gate(self, window, rpm, tpm):
        return SharedMinute(self, window, rpm, tpm)

    def wait_s(self, requests, tokens, now):
        return 1.0

    def note_waiting(self, tokens):
        self.noted.append(tokens)


def test_what_waiting_calls_need_is_reported_for_the_next_endpoint_at_each_look():
    four = group(*((name, 1, 0, {"rpm": 1}) for name in "abcd"))
    quotas = [Quota(), Quota(), Quota()]
    for state, quota in zip(four.states, quotas, strict=False):  # `d` shares no limit
        state.capacity.share(quota)
    four.states[2].cool(60, "throttled")
    for tokens in (10, 20):
        four.queue.join(CallDemand(tokens))
    looks = []
    shortages = Shortages()
    for _ in range(3):
        shortages.report(four, 1)
        looks.append([quota.noted for quota in quotas])
        for quota in quotas:
            quota.noted = []
    assert looks == [[[20], [10], []], [[10], [20], []], [[20], [10], []]]


def test_the_needs_of_a_hundred_waiting_calls_are_reported_at_most():
    one = group(("a", 1, 0, {"rpm": 1}))
    quota = Quota()
    one.states[0].capacity.share(quota)
    for number in range(150):
        one.queue.join(CallDemand(number))
    Shortages().report(one, 1)
    assert quota.noted == list(range(100))
