"""Requests that are written for an endpoint of the Responses API: what it takes, and no more."""

import json

import pytest

from llmproxy.batteries.translation.hub import (
    Destination,
    PlainText,
    Question,
    Reasoning,
    Role,
    Said,
)
from llmproxy.batteries.translation.messages.read_question import read_question as read_messages
from llmproxy.batteries.translation.responses.language import RESPONSES_LANGUAGE
from tests.translation.questions import OPENAI

RESPONSES = RESPONSES_LANGUAGE


def written_for(model, **changes):
    question = Question(model="m", turns=(Said(Role.USER, (PlainText(text="Hi"),)),), **changes)
    destination = Destination(provider="openai", model=model, max_output_tokens=4096)
    return RESPONSES.write_question(question, destination)


def test_a_written_request_is_not_stored():
    assert json.loads(written_for("gpt-4.1").body)["store"] is False


def test_reasoning_is_asked_for_where_the_model_reasons():
    thinking = Reasoning(budget_tokens=9000, shown=True)
    reasons = json.loads(written_for("gpt-5.2", reasoning=thinking).body)
    assert reasons["reasoning"] == {"effort": "medium", "summary": "auto"}
    assert reasons["include"] == ["reasoning.encrypted_content"]
    other = written_for("gpt-4.1", reasoning=thinking)
    assert {"reasoning", "include"}.isdisjoint(json.loads(other.body))
    assert other.hints == ("reasoning",)


@pytest.mark.parametrize(
    ("model", "effort", "asked"),
    [("gpt-5.2", "max", "max"), ("gpt-5", "max", "high"), ("o3", "low", "low")],
)
def test_the_effort_is_one_that_the_model_takes(model, effort, asked):
    body = json.loads(written_for(model, reasoning=Reasoning(effort=effort)).body)
    assert body["reasoning"] == {"effort": asked}


@pytest.mark.parametrize(
    ("model", "asked"),
    [("gpt-5.2", {"effort": "none"}), ("gpt-5", {"effort": "minimal"}), ("o3", None)],
)
def test_no_thinking_is_as_little_as_the_model_can(model, asked):
    written = written_for(model, reasoning=Reasoning(enabled=False))
    assert json.loads(written.body).get("reasoning") == asked
    assert written.hints == ()


def test_a_bound_below_what_the_api_takes_is_raised_and_named():
    written = written_for("gpt-4.1", max_output_tokens=1)
    assert json.loads(written.body)["max_output_tokens"] == 16
    assert written.hints == ("max_output_tokens",)


def test_a_long_id_of_a_call_stays_the_same_for_call_and_result():
    call = {"type": "tool_use", "id": "t" * 80, "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t" * 80, "content": "x"}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    body = {"model": "m", "max_tokens": 50, "messages": messages}
    written = RESPONSES.write_question(read_messages(json.dumps(body).encode()), OPENAI)
    _, called, given_back = json.loads(written.body)["input"]
    assert called["call_id"] == given_back["call_id"]
    assert len(called["call_id"]) == 64


def test_a_failed_tool_says_so_in_words():
    failed = {"type": "tool_result", "tool_use_id": "c", "content": "no disk", "is_error": True}
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [failed]}]}
    written = RESPONSES.write_question(read_messages(json.dumps(body).encode()), OPENAI)
    assert json.loads(written.body)["input"][0]["output"] == "Error: no disk"
    assert written.lost == ()


def test_the_beginning_of_an_answer_is_named():
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "I"}]
    body = {"model": "m", "max_tokens": 5, "messages": messages}
    written = RESPONSES.write_question(read_messages(json.dumps(body).encode()), OPENAI)
    assert written.lost == ("messages[1].content",)
