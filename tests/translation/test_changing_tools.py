"""A messages request whose tools are deferred, or come and go; messages that ask for an effort."""

import json

import pytest

from llmproxy.batteries.translation.chat import write_question as chat_writer
from llmproxy.batteries.translation.messages import read_question as messages_reader
from tests.translation.questions import OPENAI

USER = {"role": "user", "content": "Hi"}


def tool(name, **members):
    return {"name": name, "input_schema": {"type": "object"}, **members}


def found(*names):
    blocks = [{"type": "tool_reference", "tool_name": name} for name in names]
    return {"role": "user", "content": [result(blocks)]}


def result(content):
    return {"type": "tool_result", "tool_use_id": "t1", "content": content}


def system(*content, **members):
    return {"role": "system", "content": list(content), **members}


def change(kind, name):
    return {"type": kind, "tool": {"type": "tool_reference", "name": name}}


SEARCHED = {"type": "tool_use", "id": "t1", "name": "search", "input": {}}
LATER = tool("later", defer_loading=True)
OTHER = tool("other", defer_loading=True)
NOW = tool("now")


def read(*messages, tools=(NOW, LATER, OTHER), **members):
    body = {"model": "m", "max_tokens": 9, "tools": tools, "messages": messages, **members}
    return messages_reader.read_question(json.dumps(body).encode())


def offered(question):
    return [one.name for one in question.tools]


def said(question):
    written = json.loads(chat_writer.write_question(question, OPENAI).body)
    return [(message["role"], message["content"]) for message in written["messages"]]


def test_a_deferred_tool_is_not_offered_before_it_is_found():
    question = read(USER)
    assert offered(question) == ["now"]
    assert question.unknown == ()


def test_a_tool_that_the_clients_search_found_is_offered_and_named_in_the_result():
    asked = {"role": "assistant", "content": [SEARCHED]}
    question = read(USER, asked, found("later", "unheard"))
    assert offered(question) == ["now", "later"]
    assert question.unknown == ()
    assert said(question)[-1] == (
        "tool",
        "The tool later can be called now.\n\nThe tool unheard can be called now.",
    )


def test_where_anthropic_itself_would_search_every_tool_is_offered():
    search = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
    question = read(USER, tools=[search, NOW, LATER])
    assert offered(question) == ["now", "later"]
    assert question.unknown == ("tools[0]",)


def test_tools_come_and_go_with_messages_of_the_system():
    question = read(
        USER,
        system(change("tool_addition", "later"), change("tool_removal", "now")),
        USER,
        system(change("tool_addition", "other")),
        system(change("tool_removal", "other")),
    )
    assert offered(question) == ["later"]
    assert question.unknown == ()
    assert said(question)[1] == (
        "system",
        "The tool later can be called now.\n\nThe tool now can no longer be called.",
    )


def test_a_tool_may_be_defined_in_a_message():
    definition = {"type": "tool_definition", "definition": tool("new", description="Does it.")}
    question = read(USER, system({"type": "tool_addition", "tool": definition}))
    assert offered(question) == ["now", "new"]
    assert question.tools[1].description == "Does it."
    assert question.unknown == ()


def test_a_servers_tools_that_come_are_named_as_not_carried():
    servers = {"type": "mcp_toolset_reference", "mcp_server_name": "s"}
    question = read(USER, system({"type": "tool_addition", "tool": servers}))
    assert "messages[1].content[0]" in question.unknown


@pytest.mark.parametrize(
    ("efforts", "top", "expected"),
    [
        (["low"], "high", "low"),
        (["low", "max"], None, "max"),
        ([], "high", "high"),
        ([None], "high", "high"),
    ],
)
def test_the_last_message_about_effort_decides(efforts, top, expected):
    outputs = [{} if effort is None else {"effort": effort} for effort in efforts]
    messages = [system(output_config=output) for output in outputs]
    members = {} if top is None else {"output_config": {"effort": top}}
    question = read(USER, *messages, USER, **members)
    assert question.reasoning.effort == expected
    assert question.unknown == ()
    assert said(question) == [("user", "Hi\n\nHi")]


def test_an_effort_that_nobody_knows_is_named_by_its_path():
    question = read(USER, system(output_config={"effort": "huge", "format": {}}))
    assert question.unknown == (
        "messages[1].output_config.effort",
        "messages[1].output_config.format",
    )


def test_a_message_for_one_turn_is_gone_after_the_users_next_one():
    note = system({"type": "text", "text": "Only now."}, clear_at="next_user_message")
    stays = system({"type": "text", "text": "Always."}, clear_at="never")
    assert said(read(USER, note)) == [("user", "Hi"), ("system", "Only now.")]
    question = read(USER, note, stays, {"role": "assistant", "content": "Yes"}, USER)
    assert [text for role, text in said(question) if role == "system"] == ["Always."]
    assert question.unknown == ()
