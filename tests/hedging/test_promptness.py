"""Hedging: when silence becomes suspicious, and how many second attempts a group may begin."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.hedging.promptness import HedgeBudget, Promptness, kind_of, model_thinks

UNARY = kind_of(stream=False, thinks=False)
STREAM = kind_of(stream=True, thinks=False)
THINKING = kind_of(stream=False, thinks=True)


def after(answers, kind=STREAM):
    """Return the silence that is suspicious after answers that began after so many seconds."""
    promptness = Promptness()
    for seconds in answers:
        promptness.answered(kind, seconds)
    return promptness.suspicious_after_s(kind)


def test_of_an_unknown_endpoint_a_minute_of_silence_is_suspicious_20_s_in_a_stream():
    assert after([], UNARY) == 60
    assert after([], STREAM) == 20


def test_of_a_prompt_endpoint_two_seconds_are_but_never_less():
    assert after([0.1] * 1000, UNARY) == 2
    assert after([0.1] * 1000, STREAM) == 2


def test_for_calls_that_reason_it_is_minutes_however_prompt_the_endpoint():
    assert after([], THINKING) == 180
    assert after([1.0] * 1000, THINKING) == 120


def test_each_kind_of_call_is_learned_by_itself():
    promptness = Promptness()
    for _ in range(1000):
        promptness.answered(STREAM, 0.1)
    assert promptness.suspicious_after_s(STREAM) == 2
    assert promptness.suspicious_after_s(UNARY) == 60


@pytest.mark.parametrize(("median_s", "sigma"), [(5.0, 0.3), (5.0, 0.67), (0.8, 1.0), (40.0, 0.5)])
def test_about_one_call_in_fifty_takes_longer_than_what_is_suspicious(median_s, sigma):
    random, promptness, longer = Random(7), Promptness(), 0
    for number in range(6000):
        took_s = median_s * random.lognormvariate(0.0, sigma)
        if number >= 1000 and took_s > promptness.suspicious_after_s(STREAM):
            longer += 1
        promptness.answered(STREAM, took_s)
    assert 0.01 < longer / 5000 < 0.03


def test_an_endpoint_that_becomes_slow_is_expected_to_be_slow_after_some_calls():
    promptness = Promptness()
    for _ in range(1000):
        promptness.answered(STREAM, 0.5)
    for _ in range(15):
        promptness.answered(STREAM, 30.0)
    assert 30.0 < promptness.suspicious_after_s(STREAM) < 60.0


def test_an_attempt_that_was_given_up_later_than_usual_counts_as_a_slow_one():
    promptness = Promptness()
    promptness.given_up(STREAM, 5.0, suspicious=False)
    assert promptness.suspicious_after_s(STREAM) == 20, "5 s of silence say nothing"
    promptness.given_up(STREAM, 20.0, suspicious=True)
    assert promptness.suspicious_after_s(STREAM) == 20, "it may be dead, not slow"
    promptness.answered(UNARY, 1.0)
    assert promptness.suspicious_after_s(STREAM) > 30


def test_three_calls_in_a_row_left_to_others_are_silence_an_answer_in_between_ends_it():
    promptness = Promptness()
    promptness.given_up(STREAM, 20.0, suspicious=True)
    promptness.given_up(STREAM, 20.0, suspicious=True)
    assert not promptness.is_silent
    promptness.answered(UNARY, 1.0)
    promptness.given_up(STREAM, 20.0, suspicious=True)
    promptness.given_up(STREAM, 20.0, suspicious=True)
    assert not promptness.is_silent
    promptness.given_up(STREAM, 20.0, suspicious=True)
    assert promptness.is_silent


def used(hedges):
    """Take a hedge if the budget allows it; returns whether it did."""
    if allowed := hedges.may_take:
        hedges.take()
    return allowed


@given(share=st.floats(0.0, 1.0), uses=st.lists(st.booleans(), max_size=400))
def test_hedges_are_a_share_of_the_calls_and_a_burst_of_five(share, uses):
    hedges, calls, taken = HedgeBudget(share), 0, 0
    for is_call in uses:
        if is_call:
            hedges.note_call()
            calls += 1
        else:
            taken += used(hedges)
        assert taken <= share * calls + 5 + 1e-6


def test_one_call_in_twenty_can_be_hedged_for_ever():
    hedges = HedgeBudget(0.05)
    while used(hedges):
        pass
    taken = 0
    for _ in range(2000):
        hedges.note_call()
        taken += used(hedges)
    assert 99 <= taken <= 100


@pytest.mark.parametrize(
    "model",
    [
        *("o1", "o3-mini", "o4-mini-2025-04-16", "openai/o3", "azure-o3", "gpt-5", "gpt-5.1-codex"),
        *("deepseek-reasoner", "deepseek-r1", "DeepSeek-R1-Distill-Qwen-32B", "qwq-32b"),
        *("kimi-k2-thinking", "magistral-medium", "gemini-2.5-pro", "o3-deep-research"),
        *("grok-4", "gpt-oss-120b", "Qwen3-235B-A22B-Thinking-2507"),
    ],
)
def test_models_that_are_known_to_reason(model):
    assert model_thinks(model)


@pytest.mark.parametrize(
    "model",
    [
        *(
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-4.1",
            "gpt-5-chat-latest",
            "claude-sonnet-4-5",
            "llama-3.3",
        ),
        *(
            "grok-4-fast-non-reasoning",
            "gemini-2.5-flash-lite",
            "mistral-large",
            "text-embedding-3",
        ),
        *("", "moonshot-v1", "solo-1", "command-r-plus"),
    ],
)
def test_models_that_are_not(model):
    assert not model_thinks(model)
