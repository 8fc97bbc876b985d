"""Requests of the Responses API: what other dialects can say survives, the rest is named."""

import json
import re

import pytest
from hypothesis import given

from llmproxy.batteries.translation.chat import read_question as chat_reader
from llmproxy.batteries.translation.chat import write_question as chat_writer
from llmproxy.batteries.translation.hub import (
    Destination,
    PlainText,
    Role,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
)
from llmproxy.batteries.translation.messages import read_question as messages_reader
from llmproxy.batteries.translation.messages import write_question as messages_writer
from llmproxy.batteries.translation.responses.language import RESPONSES_LANGUAGE
from llmproxy.errors import ClientError
from tests.translation.questions import ANTHROPIC, OPENAI, questions, same

RESPONSES = RESPONSES_LANGUAGE

read_chat, read_messages = chat_reader.read_question, messages_reader.read_question
write_chat, write_messages = chat_writer.write_question, messages_writer.write_question


def read(**members):
    return RESPONSES.read_question(json.dumps({"model": "m", "input": "Hi", **members}).encode())


def without_stop(question):
    """The Responses API has no texts that end an answer, and always a role for each turn."""
    from msgspec.structs import replace

    bound = max(question.max_output_tokens, 16)  # the API takes no lower one
    return same(replace(question, stop=(), max_output_tokens=bound))


# ---- pairs


@given(questions())
def test_responses_reads_what_it_wrote(question):
    written = RESPONSES.write_question(question, OPENAI)
    assert written.lost == (("stop",) if question.stop else ())
    assert without_stop(RESPONSES.read_question(written.body)) == without_stop(question)


@given(questions())
def test_chat_over_responses_and_back(question):
    there = RESPONSES.write_question(read_chat(write_chat(question, OPENAI).body), OPENAI)
    back = write_chat(RESPONSES.read_question(there.body), OPENAI)
    assert without_stop(read_chat(back.body)) == without_stop(question)


@given(questions())
def test_messages_over_responses_and_back(question):
    there = RESPONSES.write_question(
        read_messages(write_messages(question, ANTHROPIC).body), OPENAI
    )
    back = write_messages(RESPONSES.read_question(there.body), ANTHROPIC)
    assert without_stop(read_messages(back.body)) == without_stop(question)


# ---- nothing is lost silently

BASE = {
    "model": "m",
    "input": "Hi",
    "max_output_tokens": 5000,
    "tools": [{"type": "function", "name": "f"}],
}
# The members of openai-python's ResponseCreateParams, each with a value that says something.
MEMBERS = {
    "access_programs": {"cyber": "standard"},
    "background": True,
    "background_options": {"completion_window": "2h"},
    "context_management": [{"type": "compaction"}],
    "conversation": "conv_1",
    "image": {"context_compression": "auto"},
    "include": ["message.output_text.logprobs"],
    "instructions": "Be brief.",
    "max_tool_calls": 2,
    "metadata": {"a": "b"},
    "moderation": {"model": "omni-moderation-latest"},
    "parallel_tool_calls": False,
    "previous_response_id": "resp_1",
    "prompt": {"id": "pmpt_1"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": True,
    "temperature": 0.5,
    "text": {"verbosity": "low"},
    "tool_choice": "required",
    "top_logprobs": 2,
    "top_p": 0.5,
    "truncation": "auto",
    "user": "u",
}
SAID_OTHERWISE = {"input", "max_output_tokens", "model", "stream_options", "tools"}


def test_the_members_of_responses_are_all_tried():
    from openai.types.responses import response_create_params as params

    known = set(params.ResponseCreateParamsBase.__annotations__)
    assert known == set(MEMBERS) | SAID_OTHERWISE


@pytest.mark.parametrize(("name", "value"), MEMBERS.items())
@pytest.mark.parametrize("pair", ["chat gpt-4.1", "chat gpt-5.2", "messages claude-sonnet-4-5"])
def test_each_member_is_carried_or_named(name, value, pair):
    dialect, model = pair.split()
    write = write_chat if dialect == "chat" else write_messages
    provider = "openai" if dialect == "chat" else "anthropic"
    destination = Destination(provider=provider, model=model, max_output_tokens=4096)
    question = read(**{**BASE, name: value})
    written = write(question, destination)
    without = write(read(**BASE), destination)
    named = {*question.unknown, *written.lost, *written.hints}
    owners = {re.split(r"[.\[]", path)[0] for path in named}
    assert json.loads(written.body) != json.loads(without.body) or name in owners


@pytest.mark.parametrize(
    "members",
    [
        {"store": False},
        {"background": False, "truncation": "disabled", "top_logprobs": 0},
        {"previous_response_id": None, "conversation": None, "metadata": None},
        {"include": ["reasoning.encrypted_content", "web_search_call.action.sources"]},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"text": {"format": {"type": "text"}}},
        {"client_metadata": {"session_id": "s"}},
        {"reasoning": {"summary": "auto", "context": "auto"}},
    ],
)
def test_what_says_no_more_than_its_absence_is_not_named(members):
    assert read(**members).unknown == ()


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search"},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation"},
        {"type": "mcp", "server_label": "s", "server_url": "https://example.test"},
        {"type": "computer_use_preview"},
        {"type": "local_shell"},
        {"type": "tool_search"},
    ],
)
def test_a_tool_that_openai_runs_itself_is_named(tool):
    question = read(tools=[{"type": "function", "name": "f", "parameters": {}}, tool])
    assert question.unknown == ("tools[1]",)
    assert [tool.name for tool in question.tools] == ["f"]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "compaction", "encrypted_content": "x"},
    ],
)
def test_an_item_that_only_openai_can_read_is_named(item):
    assert read(input=[{"role": "user", "content": "Hi"}, item]).unknown == ("input[1]",)


def test_what_is_unknown_within_an_item_is_named_by_its_path():
    annotated = {"type": "output_text", "text": "x", "annotations": [{"type": "url_citation"}]}
    items = [
        {"role": "assistant", "content": [annotated], "phase": "commentary"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "async": True},
        {"role": "user", "content": [{"type": "input_audio", "data": "x"}]},
    ]
    assert read(input=items).unknown == (
        "input[0].content[0].annotations",
        "input[1].async",
        "input[2].content[0]",
    )


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"input": 5}, "input"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning.effort"),
    ],
)
def test_a_wrong_request_is_refused_with_the_members_path(members, path):
    with pytest.raises(ClientError) as caught:
        read(**members)
    assert caught.value.param == path


def test_what_other_vendors_have_no_use_for_is_a_hint():
    items = [{"role": "assistant", "content": "Hi", "phase": "commentary"}]
    question = read(input=items, reasoning={"context": "all_turns"})
    assert question.unknown == ()
    assert question.hints == ("input[0].phase", "reasoning.context")


# ---- what is said in another way elsewhere


def test_instructions_and_developers_are_the_system():
    items = [{"role": "developer", "content": "b"}, {"role": "user", "content": "c"}]
    turns = read(instructions="a", input=items).turns
    assert [turn.role for turn in turns] == [Role.SYSTEM, Role.USER]
    assert [part.text for part in turns[0].parts] == ["a", "b"]


def test_the_items_of_a_tool_loop_are_turns():
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "of OpenAI"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "2"}],
        },
    ]
    question = read(input=items)
    assert question.unknown == ()
    _, assistant, results = question.turns
    assert [type(part) for part in assistant.parts] == [Thinking, PlainText, ToolCall, ToolCall]
    assert assistant.parts[0].encrypted == "of OpenAI"
    assert [call.freeform for call in assistant.parts[2:]] == [False, True]
    assert [type(part) for part in results.parts] == [ToolResult, ToolResult]
    assert [part.call_id for part in results.parts] == ["c1", "c2"]


def test_a_freeform_tool_is_a_function_with_one_text_elsewhere():
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
    patch = {"type": "custom", "name": "apply_patch", "description": "Edit.", "format": grammar}
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "aaa"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "Done."},
        {"role": "user", "content": "Go on."},
    ]
    question = read(tools=[patch], input=items)
    written = write_messages(question, ANTHROPIC)
    assert (question.unknown, written.lost) == ((), ())
    body = json.loads(written.body)
    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert "start: /a+/" in body["tools"][0]["description"]
    assert body["messages"][1]["content"][0]["input"] == {"input": "aaa"}


NAMESPACE = {
    "type": "namespace",
    "name": "files",
    "description": "Files of the user.",
    "tools": [
        {"type": "function", "name": "read", "description": "Read one.", "parameters": {}},
        {"type": "custom", "name": "patch"},
    ],
}


def test_the_tools_of_a_namespace_have_its_name_before_their_own():
    items = [
        {"role": "user", "content": "Hi"},
        {
            "type": "function_call",
            "call_id": "c",
            "name": "read",
            "namespace": "files",
            "arguments": "{}",
        },
    ]
    question = read(tools=[NAMESPACE], input=items)
    assert question.unknown == ()
    assert [tool.name for tool in question.tools] == ["files__read", "files__patch"]
    assert question.tools[0].namespaced == ("files", "read")
    assert "Files of the user." in question.tools[0].description
    assert question.tools[0].description.endswith("Read one.")
    assert question.turns[1].parts[0].name == "files__read"


def test_a_long_name_in_a_namespace_stays_within_what_vendors_take():
    long = {**NAMESPACE, "name": "n" * 60, "tools": [{"type": "function", "name": "f" * 20}]}
    other = {**NAMESPACE, "name": "n" * 60, "tools": [{"type": "function", "name": "f" * 21}]}
    first, second = read(tools=[long, other]).tools
    assert len(first.name) == len(second.name) == 64
    assert first.name != second.name


def test_tools_that_are_added_within_the_conversation_count():
    added = {"type": "additional_tools", "role": "developer", "tools": [NAMESPACE]}
    question = read(input=[added, {"role": "user", "content": "Hi"}])
    assert question.unknown == ()
    assert [tool.name for tool in question.tools] == ["files__read", "files__patch"]


SEARCH = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}


def test_a_search_for_tools_by_the_client_is_a_call_and_offers_what_it_found():
    call = {"type": "tool_search_call", "call_id": "c", "arguments": {"query": "files"}}
    found = {"type": "tool_search_output", "call_id": "c", "tools": [NAMESPACE]}
    execution = {"execution": "client", "status": "completed"}
    items = [{"role": "user", "content": "Hi"}, {**call, **execution}, {**found, **execution}]
    question = read(tools=[SEARCH], input=[*items, *items[1:]])  # found twice
    assert question.unknown == ()
    assert [tool.name for tool in question.tools] == ["tool_search", "files__read", "files__patch"]
    search, result = question.turns[1].parts[0], question.turns[2].parts[0]
    assert (search.name, json.loads(search.arguments)) == ("tool_search", {"query": "files"})
    assert "files__read" in result.content[0].text


@pytest.mark.parametrize(
    ("given_choice", "expected"),
    [
        ("auto", ToolChoice(ToolChoiceKind.AUTO)),
        ("required", ToolChoice(ToolChoiceKind.ANY)),
        ("none", ToolChoice(ToolChoiceKind.NONE)),
        ({"type": "function", "name": "f"}, ToolChoice(ToolChoiceKind.NAMED, "f")),
    ],
)
def test_the_choice_of_tools_is_read(given_choice, expected):
    assert read(tool_choice=given_choice).tool_choice == expected


@pytest.mark.parametrize("choice", [{"type": "allowed_tools", "tools": []}, {"type": "mcp"}, "x"])
def test_a_choice_that_others_do_not_have_is_named(choice):
    assert read(tool_choice=choice).unknown == ("tool_choice",)
