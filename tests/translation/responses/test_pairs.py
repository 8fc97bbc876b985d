"""Answers between the Responses API and the other dialects: what both can say survives."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.translation.chat.language import CHAT_LANGUAGE
from llmproxy.batteries.translation.hub import PlainText, Thinking, ToolCall
from llmproxy.batteries.translation.messages.language import MESSAGES_LANGUAGE
from llmproxy.batteries.translation.responses.language import RESPONSES_LANGUAGE
from llmproxy.batteries.translation.responses.sealed import unseal
from tests.translation.streams import ASKED, answer_of, answers, events_of, plain, read_in_pieces

RESPONSES = RESPONSES_LANGUAGE
other_dialects = pytest.mark.parametrize(
    "other", [CHAT_LANGUAGE, MESSAGES_LANGUAGE], ids=["chat", "messages"]
)


def same(answer):
    """An answer without ids of our own: the Responses API has its own form of them."""
    parts = tuple(
        msgspec.structs.replace(part, id=None) if isinstance(part, Thinking) else part
        for part in answer.parts
    )
    tokens = answer.tokens and msgspec.structs.replace(answer.tokens, reasoning=None)
    bare = msgspec.structs.replace(plain(answer), parts=parts, tokens=tokens)
    return msgspec.structs.replace(bare, id=answer.id.removeprefix("resp_"))


@other_dialects
@given(answer=answers())
def test_a_whole_answer_survives_responses(other, answer):
    there = RESPONSES.read_answer(
        RESPONSES.write_answer(other.read_answer(other.write_answer(answer, ASKED)), ASKED)
    )
    back = other.read_answer(other.write_answer(there, ASKED))
    assert same(back) == same(answer)


@other_dialects
@given(answer=answers(), pieces=st.integers(1, 5), size=st.integers(1, 300))
def test_a_stream_survives_responses(other, answer, pieces, size):
    stream = other.event_writer(ASKED).write(events_of(answer, pieces))
    events = read_in_pieces(other.event_reader(), stream, size)
    between = RESPONSES.event_writer(ASKED).write(events)
    again = read_in_pieces(RESPONSES.event_reader(), between, size)
    back = other.event_writer(ASKED).write(again)
    assert same(answer_of(read_in_pieces(other.event_reader(), back, size))) == same(answer)


seals = st.builds(lambda text: Thinking(text=text, signature="c2ln"), st.text(max_size=20))
redacted = st.just(Thinking(redacted="cmVk"))


@given(answer=answers(thinking=seals | redacted), pieces=st.integers(1, 5))
def test_anthropics_thinking_comes_back_over_a_client_of_responses(answer, pieces):
    messages = MESSAGES_LANGUAGE
    stream = messages.event_writer(ASKED).write(events_of(answer, pieces))
    events = read_in_pieces(messages.event_reader(), stream, 100)
    between = RESPONSES.event_writer(ASKED).write(events)
    item = next(
        part
        for part in answer_of(RESPONSES.event_reader().read(between)).parts
        if isinstance(part, Thinking)
    )
    assert unseal(item.encrypted) == answer.parts[0]


def test_openais_reasoning_comes_back_over_a_client_of_messages():
    import json

    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA.x=="}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    response = {"id": "resp_1", "status": "completed", "output": [reasoning, call]}
    messages = MESSAGES_LANGUAGE
    answer = RESPONSES.read_answer(json.dumps(response).encode())
    content = json.loads(messages.write_answer(answer, ASKED))["content"]
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": content}]
    body = {"model": "gpt-5", "max_tokens": 5, "messages": turns}
    question = messages.read_question(json.dumps(body).encode())
    from tests.translation.questions import OPENAI

    written = json.loads(RESPONSES.write_question(question, OPENAI).body)
    assert written["input"][1] == reasoning
    assert written["input"][2]["call_id"] == "c"


def test_a_text_between_calls_keeps_its_place():
    call = ToolCall(id="c", name="f", arguments="{}")
    parts = (call, PlainText(text="a"), msgspec.structs.replace(call, id="d"))
    from llmproxy.batteries.translation.hub import FinishReason, ModelAnswer

    answer = ModelAnswer(id="x", model="m", parts=parts, finish=FinishReason.TOOL_CALLS)
    read = RESPONSES.read_answer(RESPONSES.write_answer(answer, ASKED))
    assert read.parts == parts
