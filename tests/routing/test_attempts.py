"""What a call does next: the state machine, played without a clock and without any I/O."""

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmproxy.batteries.config_file import parse_config
from llmproxy.errors import StreamBroken
from llmproxy.operations import Replay
from llmproxy.routing.actions import AttemptPolicy, GiveUp, Pause, Try, WaitInLine
from llmproxy.runtime import pool_of
from tests.routing.plays import DRAW, attempts_in, group_of, play
from tests.support.examples import examples
from tests.support.faults import FAULTS, failure_at

ENDS = {
    # what each endpoint answers; settings; who is asked; the status of the error
    "all are healthy": ({"a": ["ok"], "b": ["ok"]}, {}, "a", None),
    "the next endpoint answers": ({"a": ["failed"], "b": ["ok"]}, {}, "ab", None),
    "both fail, in turn": ({"a": ["failed"], "b": ["lost"]}, {"allowed_fails": 1}, "abab", 503),
    "one retry": ({"a": ["lost"], "b": ["lost"]}, {"num_retries": 1}, "ab", 503),
    "no retries": ({"a": ["failed"], "b": ["ok"]}, {"num_retries": 0}, "a", 503),
    "the client's own mistake": ({"a": ["rejected"], "b": ["ok"]}, {}, "a", 400),
    "one wrong key": ({"a": ["refused"], "b": ["ok"]}, {}, "ab", None),
    "only wrong keys": ({"a": ["refused"], "b": ["refused"]}, {}, "ab", 401),
    "silence everywhere": ({"a": ["silent"], "b": ["silent"]}, {"num_retries": 1}, "ab", 504),
    "throttled for longer than calls wait": (
        {"a": ["throttled"], "b": ["throttled"]},
        {},
        "ab",
        429,
    ),
    "throttled for a moment": (
        {"a": ["throttled for a moment", "ok"], "b": ["throttled"]},
        {},
        "aba",
        None,
    ),
    "one comes back": (
        {"a": ["unreachable", "ok"], "b": ["unreachable"]},
        {"allowed_fails": 1},
        "aba",
        None,
    ),
}


@pytest.mark.parametrize("case", ENDS)
def test_where_a_call_goes_and_how_it_ends(case):
    script, general, endpoints, status = ENDS[case]
    group, policy = group_of(**general)

    asked, error, _ = play(group, policy, script)

    assert "".join(asked) == endpoints
    assert (error and error.status) == status
    assert group.in_flight == 0


def test_with_a_single_endpoint_its_own_answer_is_the_error():
    group, policy = group_of("a", num_retries=0)
    asked, error, _ = play(group, policy, {"a": ["failed"]})
    assert (asked, error.answer.status) == (["a"], 500)


def test_a_clients_own_key_that_is_refused_ends_the_call_with_that_answer():
    text = (
        "model_groups: [{model_group: g, models: [{name: a, model: m}, {name: b, model: m}]}]\n"
        "general_settings: {num_retries: 3}"
    )
    config = parse_config(text, {}, file="test.yaml")
    policy = AttemptPolicy(4, config.general_settings.queue)

    asked, error, _ = play(pool_of(config).groups["g"], policy, {"a": ["refused"], "b": ["ok"]})
    assert (asked, error.status) == (["a"], 401)

    # With `callers`, the client's key is ours and is not sent on: the endpoint lacks a key.
    asked, error, _ = play(
        pool_of(config).groups["g"], policy, {"a": ["refused"], "b": ["ok"]}, caller="team"
    )
    assert (asked, error) == (["a", "b"], None)


def test_a_silence_until_the_deadline_is_the_deadlines():
    group, policy = group_of(num_retries=3)
    attempts = attempts_in(group, policy, total_s=5.0)
    attempt = attempts.next(0.0, DRAW)
    attempts.failed(attempt, failure_at("a", "silent"), 5.0, DRAW)
    end = attempts.next(5.0, DRAW)
    assert (end.error.status, end.error.code) == (504, "deadline_exceeded")


def test_all_pauses_together_last_ten_seconds_at_most():
    group, policy = group_of(num_retries=100)
    _, error, took_s = play(group, policy, {"a": ["unreachable"], "b": ["unreachable"]}, draw=0.99)
    assert error.status == 503
    assert 2.0 < took_s <= 10.0


def test_a_call_that_may_have_taken_effect_is_not_sent_again_nor_to_a_fallback():
    group, policy = group_of()
    attempts = attempts_in(group, policy, replay=Replay.UNSAFE)
    attempts.failed(attempts.next(0.0, DRAW), failure_at("a", "lost"), 0.0, DRAW)
    assert isinstance(attempts.next(0.0, DRAW), GiveUp)
    assert not attempts.may_go_elsewhere


def test_a_stream_that_breaks_counts_against_its_endpoint_and_reports_the_change():
    group, policy = group_of("ab", allowed_fails=1)
    attempts = attempts_in(group, policy)
    attempt = attempts.next(0.0, DRAW)
    attempts.accepted(attempt, 1.0)
    change = attempts.finished(
        attempt, 2.0, used_tokens=7, broken=StreamBroken("it broke"), draw=DRAW
    )
    assert (change.what, change.why) == ("open", "it broke")
    assert (group.in_flight, attempt.checkout.state.in_flight) == (0, 0)


def test_an_attempt_is_ended_once():
    group, policy = group_of()
    attempts = attempts_in(group, policy)
    attempt = attempts.next(0.0, DRAW)
    attempts.abandoned(attempt, 0.0)
    with pytest.raises(ValueError, match="not in list"):
        attempts.failed(attempt, failure_at("a", "lost"), 0.0, DRAW)


def test_a_retry_that_is_accepted_and_then_closed_returns_its_slot_once():
    group, policy = group_of("ab")
    attempts = attempts_in(group, policy)
    attempts.failed(attempts.next(0.0, DRAW), failure_at("a", "failed"), 0.0, DRAW)
    retry = attempts.next(0.0, DRAW)
    assert (group.budget.retrying, retry.holds_retry) == (1, True)
    attempts.accepted(retry, 0.1)
    assert (group.budget.retrying, retry.holds_retry) == (0, False)
    attempts.close(0.2)
    assert group.budget.retrying == 0


def test_a_call_that_waited_for_the_retry_budget_is_served_in_the_end():
    group, policy = group_of("ab")
    while group.budget.allows(in_flight=1):
        group.budget.begin()  # retries that last
    attempts = attempts_in(group, policy)
    attempts.failed(attempts.next(0.0, DRAW), failure_at("a", "failed"), 0.0, DRAW)

    now = 0.0
    while isinstance(action := attempts.next(now, DRAW), Pause):
        now += action.seconds

    assert isinstance(action, Try)
    assert action.checkout.state.endpoint.name == "b"
    assert 9.0 < now <= 10.0


def test_a_call_that_is_under_way_does_nothing_next():
    group, policy = group_of()
    attempts = attempts_in(group, policy)
    attempts.next(0.0, DRAW)
    with pytest.raises(RuntimeError, match="under way"):
        attempts.next(0.0, DRAW)


MAX_ATTEMPTS = 3
DRAWS = st.floats(0.0, 0.999)


class AnyUse(RuleBasedStateMachine):
    """Many calls of one group at once, each at any point of its way; time passes in between."""

    def __init__(self):
        super().__init__()
        self.group, self.policy = group_of(
            "abc",
            limits=", limits: {rpm: 20, concurrent: 3}",
            num_retries=MAX_ATTEMPTS - 1,
            cooldown_time=5,
            queue="{max_waiting: 4, max_wait_s: 3}",
            hedge_budget=0.5,
        )
        self.now = 0.0
        self.ready = []  # calls whose driver asks `next`
        self.waiting = []  # in the queue
        self.tried = []  # (call, attempt) under way
        self.answered = []  # (call, attempt) accepted, not finished
        self.begun = {}  # attempts so far, by call

    @rule()
    def arrive(self):
        call = attempts_in(self.group, self.policy, now=self.now, total_s=20.0)
        self.ready.append(call)
        self.begun[id(call)] = 0

    @precondition(lambda self: self.ready)
    @rule(data=st.data(), draw=DRAWS)
    def go_on(self, data, draw):
        call = data.draw(st.sampled_from(self.ready))
        match call.next(self.now, draw):
            case Try() as attempt:
                self.ready.remove(call)
                self.tried.append((call, attempt))
                self.begun[id(call)] += 1
            case WaitInLine():
                self.ready.remove(call)
                self.waiting.append(call)
                self.group.queue.join(call.demand)
            case GiveUp():
                self.ready.remove(call)
                call.close(self.now)
            case Pause(seconds):
                assert seconds <= 10.0

    @precondition(lambda self: self.tried)
    @rule(data=st.data())
    def hedge(self, data):
        call, _ = data.draw(st.sampled_from(self.tried))
        if call.hedge_in_s() is not None and (attempt := call.hedge(self.now)) is not None:
            assert attempt.checkout.state is not call.under_way[0].checkout.state
            self.tried.append((call, attempt))
            self.begun[id(call)] += 1

    @rule()
    def serve(self):
        for demand, checkout in self.group.serve_queue(self.now):
            call = next(call for call in self.waiting if call.demand is demand)
            self.waiting.remove(call)
            call.left_queue(checkout, 0.1)
            self.ready.append(call)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def time_out(self, data):
        call = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(call)
        self.group.queue.leave(call.demand)
        call.left_queue(None, 3.0)
        self.ready.append(call)

    @precondition(lambda self: self.tried)
    @rule(data=st.data(), fault=st.sampled_from(sorted(FAULTS)), draw=DRAWS)
    def end_attempt(self, data, fault, draw):
        call, attempt = data.draw(st.sampled_from(self.tried))
        self.tried.remove((call, attempt))
        failure = failure_at(attempt.checkout.state.endpoint.name, fault)
        if failure is None:
            call.accepted(attempt, self.now)
            self.answered.append((call, attempt))
            for other in [other for other in call.under_way if other is not attempt]:
                call.outrun(other, self.now, draw)
                self.tried.remove((call, other))
        else:
            call.failed(attempt, failure, self.now, draw)
            if not call.under_way:
                self.ready.append(call)

    @precondition(lambda self: self.answered)
    @rule(data=st.data(), breaks=st.booleans())
    def finish(self, data, breaks):
        call, attempt = data.draw(st.sampled_from(self.answered))
        self.answered.remove((call, attempt))
        broken = StreamBroken("it broke") if breaks else None
        call.finished(attempt, self.now, used_tokens=3, broken=broken)

    @rule(data=st.data())
    def client_leaves(self, data):
        calls = self.ready + [call for call, _ in self.tried + self.answered]
        if calls:
            call = data.draw(st.sampled_from(calls))
            call.close(self.now)
            self.ready = [other for other in self.ready if other is not call]
            self.tried = [pair for pair in self.tried if pair[0] is not call]
            self.answered = [pair for pair in self.answered if pair[0] is not call]

    @rule(seconds=st.sampled_from([0.01, 0.5, 6.0, 70.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @invariant()
    def each_retry_under_way_holds_one_slot_of_the_budget(self):
        retries = sum(attempt.holds_retry for _, attempt in self.tried)
        others = self.group.budget.retrying - retries
        assert 0 <= others <= len(self.ready) + len(self.waiting), "held for the next attempt"

    @invariant()
    def a_call_makes_no_more_attempts_than_it_may(self):
        assert all(count <= MAX_ATTEMPTS for count in self.begun.values())

    @invariant()
    def each_attempt_under_way_has_one_checkout(self):
        calls_tried = len({id(call) for call, _ in self.tried})
        here = len(self.ready) + len(self.waiting) + calls_tried + len(self.answered)
        assert self.group.in_flight == here
        under_way = len(self.tried) + len(self.answered)
        checkouts = sum(state.in_flight for state in self.group.states)
        assert under_way <= checkouts <= under_way + len(self.ready), "given in the queue"

    def teardown(self):
        for call in self.waiting:
            self.group.queue.leave(call.demand)
        tried = {id(call): call for call, _ in self.tried + self.answered}
        for call in (*self.ready, *self.waiting, *tried.values()):
            call.close(self.now)
        assert self.group.in_flight == 0
        assert self.group.budget.retrying == 0
        assert [state.in_flight for state in self.group.states] == [0, 0, 0]
        assert [state.capacity.in_flight for state in self.group.states] == [0, 0, 0]


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = examples(
    400, stateful_step_count=60, suppress_health_check=[HealthCheck.too_slow]
)
