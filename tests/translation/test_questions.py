"""Requests: what both dialects can say survives the way there and back."""

import json
import re

import msgspec
import pytest
from hypothesis import given

from llmproxy.batteries.translation.chat import read_question as chat_reader
from llmproxy.batteries.translation.chat import write_question as chat_writer
from llmproxy.batteries.translation.hub import Destination
from llmproxy.batteries.translation.messages import read_question as messages_reader
from llmproxy.batteries.translation.messages import write_question as messages_writer
from llmproxy.batteries.translation.responses.language import RESPONSES_LANGUAGE
from llmproxy.errors import ClientError
from tests.translation.questions import ANTHROPIC, OPENAI, questions, same

read_chat, read_messages = chat_reader.read_question, messages_reader.read_question
write_chat, write_messages = chat_writer.write_question, messages_writer.write_question


@given(questions())
def test_chat_reads_what_it_wrote(question):
    written = write_chat(question, OPENAI)
    assert (written.lost, written.hints) == ((), ())
    assert same(read_chat(written.body)) == same(question)


@given(questions())
def test_messages_reads_what_it_wrote(question):
    written = write_messages(question, ANTHROPIC)
    assert (written.lost, written.hints) == ((), ())
    assert same(read_messages(written.body)) == same(question)


@given(questions())
def test_chat_over_messages_and_back(question):
    there = write_messages(read_chat(write_chat(question, OPENAI).body), ANTHROPIC)
    back = write_chat(read_messages(there.body), OPENAI)
    assert same(read_chat(back.body)) == same(question)


# ---- nothing is lost silently

CHAT = {"model": "m", "max_tokens": 5000, "messages": [{"role": "user", "content": "Hi"}]}
CHAT["tools"] = [{"type": "function", "function": {"name": "f"}}]
# The members of openai-python's CompletionCreateParams, each with a value that says something.
CHAT_MEMBERS = {
    "audio": {"voice": "ash", "format": "mp3"},
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "old"}],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "max_completion_tokens": 7,
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni-moderation-latest"},
    "n": 2,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "x"},
    "presence_penalty": 0.5,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "safety_identifier": "s",
    "seed": 1,
    "service_tier": "flex",
    "stop": ["x"],
    "store": True,
    "temperature": 1.5,
    "tool_choice": "required",
    "top_logprobs": 2,
    "top_p": 0.5,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {},
}
SAID_OTHERWISE = {"messages", "model", "stream_options", "max_tokens", "tools"}

MESSAGES = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
MESSAGES["tools"] = [{"name": "f", "input_schema": {"type": "object"}}]
# Of anthropic-sdk-python's message_create_params, those of beta, and what it took before.
MESSAGES_MEMBERS = {
    "billing_policy": "x",
    "compaction": {"enabled": True},
    "container": "c",
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    "diagnostics": {"previous_message_id": "x"},
    "fallback_credit_token": "t",
    "fallbacks": ["m2"],
    "inference_geo": "us",
    "mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}],
    "metadata": {"user_id": "u"},
    "output_config": {"effort": "low"},
    "service_tier": "standard_only",
    "speed": "fast",
    "stop_sequences": ["x"],
    "system": "s",
    "temperature": 0.5,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "thread": "t",
    "tool_choice": {"type": "any"},
    "top_k": 5,
    "top_p": 0.5,
    "user_profile_id": "u",
    "workspace_id": "w",
}
# `betas` is a header; a cache mark of the whole prompt is a hint about costs.
ALSO_OF_MESSAGES = {"betas", "cache_control", "max_tokens", "messages", "model", "tools"}


def names_of(module, name):
    return set(getattr(module, name).__annotations__)


def test_the_members_of_chat_are_all_tried():
    from openai.types.chat import completion_create_params as params

    tried = set(CHAT_MEMBERS) | SAID_OTHERWISE
    assert names_of(params, "CompletionCreateParamsBase") == tried - {"stream"}


def test_the_members_of_messages_are_all_tried():
    from anthropic.types.beta import message_create_params as params

    known = set(MESSAGES_MEMBERS) | ALSO_OF_MESSAGES | {"temperature", "top_k", "top_p"}
    assert names_of(params, "MessageCreateParamsBase") - known == set()


def changes(read, write, base, name, value, destination):
    """What a member does: to the body that is written, and to what is named."""
    without = write(read(json.dumps(base).encode()), destination)
    question = read(json.dumps({**base, name: value}).encode())
    written = write(question, destination)
    named = {*question.unknown, *written.lost, *written.hints}
    return json.loads(written.body) != json.loads(without.body), named


@pytest.mark.parametrize(("name", "value"), CHAT_MEMBERS.items())
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-8", "qwen3"])
def test_each_member_of_chat_is_carried_or_named(name, value, model):
    destination = Destination(provider="anthropic", model=model, max_output_tokens=4096)
    changed, named = changes(read_chat, write_messages, CHAT, name, value, destination)
    assert changed or any(re.split(r"[.\[]", path)[0] == name for path in named)


@pytest.mark.parametrize(("name", "value"), MESSAGES_MEMBERS.items())
@pytest.mark.parametrize("provider", ["openai", "deepseek", "openrouter", "generic"])
@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5.2", "o3"])
def test_each_member_of_messages_is_carried_or_named(name, value, provider, model):
    destination = Destination(provider=provider, model=model, max_output_tokens=4096)
    changed, named = changes(read_messages, write_chat, MESSAGES, name, value, destination)
    owners = {re.split(r"[.\[]", path)[0] for path in named}
    if name == "output_config":  # both say how much the model thinks
        owners |= {"output_config"} if "thinking" in owners else set()
    assert changed or name in owners


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5.2"])
@pytest.mark.parametrize(
    ("read", "base", "name", "value"),
    [(read_chat, CHAT, *member) for member in CHAT_MEMBERS.items()]
    + [(read_messages, MESSAGES, *member) for member in MESSAGES_MEMBERS.items()],
)
def test_each_member_is_carried_to_responses_or_named(read, base, name, value, model):
    destination = Destination(provider="openai", model=model, max_output_tokens=4096)
    write = RESPONSES_LANGUAGE.write_question
    changed, named = changes(read, write, base, name, value, destination)
    owners = {re.split(r"[.\[]", path)[0] for path in named}
    if name == "output_config":  # both say how much the model thinks
        owners |= {"output_config"} if "thinking" in owners else set()
    assert changed or name in owners


def test_a_member_that_nobody_knows_is_named_by_its_path():
    body = {**CHAT, "shape": "round"}
    body["messages"] = [
        {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "Hi"}]}
    ]
    body["tools"] = [{"type": "function", "function": {"name": "f", "colour": "red"}}]
    question = read_chat(json.dumps(body).encode())
    assert question.unknown == ("messages[0].name", "tools[0].function.colour", "shape")


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"type": "search_result", "title": "x"}, "messages[0].content[0]"),
        (
            {"type": "text", "text": "x", "citations": [{"a": 1}]},
            "messages[0].content[0].citations",
        ),
        (
            {"type": "document", "context": "c", "source": {"type": "url", "url": "https://x"}},
            "messages[0].content[0].context",
        ),
        ({"type": "image", "source": {"type": "moon"}}, "messages[0].content[0]"),
    ],
)
def test_a_block_that_has_no_place_is_named_by_its_path(block, path):
    body = {**MESSAGES, "messages": [{"role": "user", "content": [block]}]}
    assert read_messages(json.dumps(body).encode()).unknown == (path,)


@pytest.mark.parametrize(
    ("block", "lost"),
    [
        ({"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}}, True),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, True),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, True),
        ({"type": "image", "source": {"type": "url", "url": "https://x/a.png"}}, False),
        (
            {"type": "document", "source": {"type": "text", "media_type": "x", "data": "y"}},
            False,
        ),
    ],
)
def test_what_chat_cannot_say_is_lost_by_its_path(block, lost):
    body = {**MESSAGES, "messages": [{"role": "user", "content": [block]}]}
    written = write_chat(read_messages(json.dumps(body).encode()), OPENAI)
    assert written.lost == (("messages[0].content[0]",) if lost else ())


def test_the_beginning_of_an_answer_is_lost_in_chat():
    body = {**MESSAGES, "messages": [*MESSAGES["messages"], {"role": "assistant", "content": "("}]}
    written = write_chat(read_messages(json.dumps(body).encode()), OPENAI)
    assert written.lost == ("messages[1].content",)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "m", "messages": "Hi"}, "messages"),
        ({"model": "m", "messages": [{"content": "Hi"}]}, "messages[0].role"),
        ({"model": "m", "temperature": "hot", "messages": []}, "temperature"),
    ],
)
@pytest.mark.parametrize("read", [read_chat, read_messages])
def test_a_request_that_is_wrong_is_refused_by_its_member(read, body, param):
    with pytest.raises(ClientError) as caught:
        read(json.dumps(body).encode())
    assert caught.value.param == param


def test_arguments_that_are_no_json_are_refused_by_their_call():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    body = {**CHAT, "messages": [{"role": "assistant", "tool_calls": [call]}]}
    with pytest.raises(ClientError) as caught:
        write_messages(read_chat(json.dumps(body).encode()), ANTHROPIC)
    assert caught.value.param == "messages[0].tool_calls[0]"


# ---- what is said in another way


def messages_for(model, **members):
    question = read_chat(json.dumps({**CHAT, "tools": [], **members}).encode())
    written = write_messages(question, msgspec.structs.replace(ANTHROPIC, model=model))
    return json.loads(written.body), written


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("claude-opus-4-8", "high", {"thinking": {"type": "adaptive"}, "effort": "high"}),
        ("claude-sonnet-4-6", "minimal", {"thinking": {"type": "adaptive"}, "effort": "low"}),
        ("claude-opus-5", "none", {"thinking": {"type": "disabled"}, "effort": None}),
        ("claude-mythos-5", "none", {"thinking": None, "effort": None}),
        (
            "claude-haiku-4-5-20251001",
            "low",
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "effort": None},
        ),
        (
            "claude-sonnet-4-20250514",
            "high",
            {"thinking": {"type": "enabled", "budget_tokens": 2500}, "effort": None},
        ),
        ("claude-3-5-haiku-20241022", "none", {"thinking": None, "effort": None}),
    ],
)
def test_each_model_of_anthropic_thinks_as_it_can(model, effort, expected):
    body, _ = messages_for(model, reasoning_effort=effort)
    found = {
        "thinking": body.get("thinking"),
        "effort": body.get("output_config", {}).get("effort"),
    }
    assert found == expected


@pytest.mark.parametrize(
    ("model", "lost"), [("claude-opus-4-8", ("temperature",)), ("claude-opus-4-6", ())]
)
def test_a_temperature_is_lost_where_the_model_takes_none(model, lost):
    assert messages_for(model, temperature=0.2)[1].lost == lost
    assert messages_for(model, temperature=1)[1].lost == ()


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-6"])
def test_a_temperature_is_lost_where_the_model_is_told_to_think(model):
    assert messages_for(model, temperature=0.2, reasoning_effort="high")[1].lost == ("temperature",)
    body, written = messages_for(model, temperature=1, reasoning_effort="high")
    assert written.lost == ()
    assert "temperature" not in body
    assert messages_for(model, temperature=0.2, reasoning_effort="none")[1].lost == ()


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-8"])
def test_a_model_that_must_call_a_tool_is_not_told_to_think(model):
    tools = [{"type": "function", "function": {"name": "f"}}]
    forced = {"tools": tools, "tool_choice": "required"}
    body, written = messages_for(model, reasoning_effort="high", **forced)
    assert "thinking" not in body
    assert (written.lost, written.hints) == ((), ("reasoning_effort",))


def test_a_bound_is_added_where_the_client_gives_none():
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    written = write_messages(read_chat(body), ANTHROPIC)
    assert json.loads(written.body)["max_tokens"] == 4096


def test_ids_are_written_as_the_vendor_takes_them_in_calls_and_results_alike():
    function = {"name": "f", "arguments": "{}"}
    calls = [{"id": "functions.f:0", "type": "function", "function": function}]
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "functions.f:0", "content": "x"},
    ]
    body, _ = messages_for("claude-opus-4-8", messages=turns)
    assert body["messages"][1]["content"][0]["id"] == "functions_f_0"
    assert body["messages"][2]["content"][0]["tool_use_id"] == "functions_f_0"


def test_a_picture_that_a_tool_gave_follows_in_the_next_message():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aa"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image], "is_error": True}
    body = {**MESSAGES, "messages": [{"role": "user", "content": [result]}]}
    written = json.loads(write_chat(read_messages(json.dumps(body).encode()), OPENAI).body)
    assert [message["role"] for message in written["messages"]] == ["tool", "user"]
    assert written["messages"][0]["content"].startswith("Error: ")
    assert written["messages"][1]["content"][1]["image_url"]["url"] == "data:image/png;base64,aa"


def test_half_a_character_becomes_a_question_mark():
    body = b'{"model":"m","messages":[{"role":"user","content":"cut \\ud83d"}]}'
    (turn,) = read_chat(body).turns
    assert turn.parts[0].text == "cut ?"


def test_thinking_goes_back_to_its_vendor_over_chat():
    block = {"type": "reasoning.text", "text": "hm", "signature": "sig"}
    details = [{**block, "format": "anthropic-claude-v1", "index": 0}]
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Well", "reasoning_details": details},
        {"role": "user", "content": "And?"},
    ]
    body, written = messages_for("claude-opus-4-8", messages=turns)
    thinking = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert body["messages"][1]["content"][0] == thinking
    assert written.lost == ()
