"""Answers, whole and streamed: what both dialects can say survives the way there and back."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.translation.chat.language import CHAT_LANGUAGE
from llmproxy.batteries.translation.hub import (
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    FinishReason,
    ModelAnswer,
    ModelFailure,
    PartGrew,
    PlainText,
    Question,
    SignOfLife,
    Thinking,
    Tool,
    ToolCall,
    UnreadableAnswer,
)
from llmproxy.batteries.translation.hub.sequence import events_of as as_stream
from llmproxy.batteries.translation.messages.language import MESSAGES_LANGUAGE
from llmproxy.operations import CHAT, MESSAGES
from llmproxy.operations.sse import event_of, split_events
from tests.translation.streams import (
    ASKED,
    answer_of,
    answers,
    events_of,
    plain,
    read_in_pieces,
)

LANGUAGES = [CHAT_LANGUAGE, MESSAGES_LANGUAGE]
DIALECTS = {"chat/completions": CHAT, "messages": MESSAGES}
every_language = pytest.mark.parametrize("language", LANGUAGES, ids=lambda found: found.path)
both_ways = pytest.mark.parametrize(
    ("one", "other"), [LANGUAGES, LANGUAGES[::-1]], ids=["chat-messages", "messages-chat"]
)


@every_language
@given(answer=answers())
def test_a_whole_answer_is_read_as_it_was_written(language, answer):
    assert plain(language.read_answer(language.write_answer(answer, ASKED))) == plain(answer)


@both_ways
@given(answer=answers())
def test_a_whole_answer_survives_the_other_dialect(one, other, answer):
    there = one.read_answer(one.write_answer(answer, ASKED))
    back = other.read_answer(other.write_answer(there, ASKED))
    assert plain(back) == plain(answer)


@every_language
@given(answer=answers(), pieces=st.integers(1, 5), size=st.integers(1, 300), usage=st.booleans())
def test_a_stream_is_read_as_it_was_written_however_it_arrives(
    language, answer, pieces, size, usage
):
    writer = language.event_writer(msgspec.structs.replace(ASKED, wants_usage=usage))
    stream = b"".join(writer.write([event]) for event in events_of(answer, pieces))
    assert split_events(stream)[1] == b""
    assert DIALECTS[language.path].is_complete(stream)
    read = answer_of(read_in_pieces(language.event_reader(), stream, size))
    assert plain(read) == plain(answer)


@every_language
@given(answer=answers())
def test_a_whole_answer_is_streamed_to_a_client_that_wants_a_stream(language, answer):
    stream = language.event_writer(ASKED).write(as_stream(answer))
    assert DIALECTS[language.path].is_complete(stream)
    assert plain(answer_of(read_in_pieces(language.event_reader(), stream, 50))) == plain(answer)


@both_ways
@given(answer=answers(), pieces=st.integers(1, 5), size=st.integers(1, 300))
def test_a_stream_survives_the_other_dialect(one, other, answer, pieces, size):
    stream = one.event_writer(ASKED).write(events_of(answer, pieces))
    events = read_in_pieces(one.event_reader(), stream, size)
    again = other.event_writer(ASKED).write(events)
    assert plain(answer_of(read_in_pieces(other.event_reader(), again, size))) == plain(answer)


@given(
    answer=answers(
        thinking=st.builds(lambda text: Thinking(text=text, signature="c2ln"), st.just("hm"))
    ),
    size=st.integers(1, 300),
)
def test_a_seal_comes_back_over_chat(answer, size):
    chat, messages = LANGUAGES
    stream = messages.event_writer(ASKED).write(events_of(answer, 2))
    events = read_in_pieces(messages.event_reader(), stream, size)
    written = chat.event_writer(ASKED).write(events)
    details = [
        detail
        for event in split_events(written)[0]
        if b"reasoning_details" in event
        for detail in json.loads(event[6:])["choices"][0]["delta"]["reasoning_details"]
    ]
    assert details == [
        {
            "type": "reasoning.text",
            "text": "hm",
            "signature": "c2ln",
            "format": "anthropic-claude-v1",
            "index": 0,
        }
    ]


@pytest.mark.parametrize(
    "thinking",
    [
        Thinking(text="hm", signature="c2ln"),
        Thinking(redacted="xyz"),
        Thinking(text="sum", encrypted="gAAA.b=", id="rs_1"),
        Thinking(encrypted="gAAA", id="rs_1"),
    ],
)
@every_language
def test_thinking_of_every_vendor_comes_back_unchanged(language, thinking):
    answer = plain(
        language.read_answer(
            language.write_answer(
                answer_with(thinking, PlainText(text="x")),
                ASKED,
            )
        )
    )
    assert answer.parts == (thinking, PlainText(text="x"))


def answer_with(*parts):
    return ModelAnswer(id="a", model="m", parts=parts, finish=FinishReason.DONE)


def test_foreign_thinking_is_not_shown_where_it_would_be_refused_later():
    question = Question(foreign_thinking=False)
    answer = answer_with(Thinking(text="hm"), PlainText(text="x"))
    messages = MESSAGES_LANGUAGE
    assert messages.read_answer(messages.write_answer(answer, question)).parts == (
        PlainText(text="x"),
    )
    stream = messages.event_writer(question).write(events_of(answer, 1))
    assert answer_of(messages.event_reader().read(stream)).parts == (PlainText(text="x"),)


# ---- what vendors do


def chunk(delta=None, finish=None, **more):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    payload = {"id": "c", "model": "m", "created": 1, "choices": choices, **more}
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def calling(index, text, call_id=None, name=None):
    call = {"index": index, "function": {"arguments": text}}
    if call_id:
        call |= {"id": call_id, "type": "function"}
        call["function"]["name"] = name
    return chunk({"tool_calls": [call]})


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def read_chat(*events):
    reader = LANGUAGES[0].event_reader()
    return [event for one in (*events, b"") for event in reader.read(one)]


def test_the_arguments_of_mixed_calls_are_put_in_order():
    events = read_chat(
        calling(0, "", "c0", "f"),
        calling(1, '{"b"', "c1", "g"),
        calling(0, '{"a": 1'),
        calling(1, ": 2}"),
        chunk({"content": "then"}),
        calling(0, "}"),
        chunk({}, "tool_calls"),
        DONE,
    )
    parts = answer_of(events).parts
    assert parts == (
        ToolCall(id="c0", name="f", arguments='{"a": 1}'),
        ToolCall(id="c1", name="g", arguments='{"b": 2}'),
        PlainText(text="then"),
    )


def test_calls_that_follow_each_other_are_passed_on_as_they_come():
    reader = LANGUAGES[0].event_reader()
    reader.read(calling(0, '{"a": 1}', "c0", "f"))
    assert PartGrew(1, '{"b"') in reader.read(calling(1, '{"b"', "c1", "g"))


@pytest.mark.parametrize(
    "end",
    [
        (chunk({}, "stop"), chunk(usage=USAGE), DONE),
        (chunk({}, "stop", usage=USAGE), DONE),
        (chunk({}, "stop", usage=USAGE),),
        (chunk(usage=USAGE), chunk({}, "stop")),
        (chunk({"content": ""}, "stop", usage=None), chunk(usage=USAGE)),
    ],
)
def test_the_usage_may_come_before_with_or_after_the_end(end):
    answer = answer_of(read_chat(chunk({"role": "assistant"}), chunk({"content": "Hi"}), *end))
    assert (answer.tokens.input, answer.tokens.output) == (3, 2)


def test_an_end_that_is_not_told_is_no_end():
    events = read_chat(chunk({"content": "Hi"}))
    assert not any(isinstance(event, AnswerFinished) for event in events)


def test_a_stop_after_calls_means_that_they_are_to_be_made():
    events = read_chat(calling(0, "{}", "c", "f"), chunk({}, "stop"), DONE)
    assert events[-1].finish is FinishReason.TOOL_CALLS


def test_azures_first_chunk_begins_nothing():
    assert read_chat(chunk(prompt_filter_results=[]))[:1] == []


@pytest.mark.parametrize(
    "error",
    [
        b'data: {"error": {"message": "slow", "type": "server_error", "code": "overloaded"}}\n\n',
        b'event: error\ndata: {"error": {"message": "slow", "code": "overloaded"}}\n\n',
    ],
)
def test_an_error_in_a_chat_stream_is_told_in_messages(error):
    (failed,) = read_chat(error)
    assert isinstance(failed, AnswerFailed)
    written = MESSAGES_LANGUAGE.event_writer(ASKED).write([failed])
    assert written.startswith(b"event: error\ndata: ")
    assert json.loads(written.split(b"data: ")[1]) == {
        "type": "error",
        "error": {"type": "api_error", "message": "slow"},
    }


def test_an_error_in_a_messages_stream_is_told_in_chat():
    error = {"type": "overloaded_error", "message": "Overloaded"}
    event = event_of("error", {"type": "error", "error": error})
    (failed,) = MESSAGES_LANGUAGE.event_reader().read(event)
    assert failed.failure.status == 529
    written = LANGUAGES[0].event_writer(ASKED).write([failed])
    assert json.loads(written[6:])["error"]["message"] == "Overloaded"
    assert json.loads(written[6:])["error"]["code"] == "overloaded_error"


def test_signs_of_life_pass():
    assert LANGUAGES[0].event_reader().read(b": OPENROUTER PROCESSING\n\n") == [SignOfLife()]
    writer = MESSAGES_LANGUAGE.event_writer(ASKED)
    assert writer.write([SignOfLife()]) == b": ka\n\n"
    writer.write([AnswerStarted("a", "m")])
    assert writer.write([SignOfLife()]) == b'event: ping\ndata: {"type": "ping"}\n\n'
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    assert MESSAGES_LANGUAGE.event_reader().read(ping) == [SignOfLife()]


def test_a_freeform_tool_gets_its_text_back():
    question = Question(tools=(Tool(name="patch", freeform=True),))
    call = ToolCall(id="c", name="patch", arguments='{"input": "*** Begin"}')
    written = json.loads(LANGUAGES[0].write_answer(answer_with(call), question))
    expected = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    assert written["choices"][0]["message"]["tool_calls"] == [expected]
    stream = LANGUAGES[0].event_writer(question).write(events_of(answer_with(call), 3))
    assert b'"input":"*** Begin"' in stream


def test_arguments_that_are_no_json_are_no_answer_in_messages():
    answer = answer_with(ToolCall(id="c", name="f", arguments="{"))
    with pytest.raises(UnreadableAnswer):
        MESSAGES_LANGUAGE.write_answer(answer, ASKED)


@every_language
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices": []}', b'{"choices": 1}'])
def test_what_is_no_answer_cannot_be_read(language, body):
    with pytest.raises(UnreadableAnswer):
        language.read_answer(body)


@pytest.mark.parametrize(
    ("language", "written"),
    [
        (
            LANGUAGES[0],
            {
                "error": {
                    "message": "no",
                    "type": "invalid_request_error",
                    "param": "n",
                    "code": "c",
                }
            },
        ),
        (
            LANGUAGES[1],
            {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
        ),
    ],
)
def test_an_error_is_written_in_the_dialects_shape(language, written):
    failure = ModelFailure(status=400, message="no", code="c", param="n")
    assert json.loads(language.write_failure(failure)) == written


@pytest.mark.parametrize(
    ("body", "message", "kind"),
    [
        (
            b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}',
            "slow",
            "rate_limit_error",
        ),
        (b'{"error":{"message":"slow","type":"x","code":null,"param":"n"}}', "slow", "x"),
        (b'{"message":"slow","type":"x"}', "slow", "x"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>", ""),
        (b"", "status 502", ""),
    ],
)
@every_language
def test_an_error_is_read_in_every_shape(language, body, message, kind):
    failure = language.read_failure(502, body)
    assert (failure.status, failure.message, failure.kind) == (502, message, kind)
