"""Both representations of an answer: JSON -> stream -> JSON is the identity."""

import json
from functools import cache

import pytest
from hypothesis import given
from pydantic import TypeAdapter

from llmproxy.batteries.cache.representations import (
    json_to_sse,
    sse_to_json,
    stream_is_complete,
    without_usage,
)
from llmproxy.batteries.cache.representations.recorded import data_of
from tests.rules.answers import CITATIONS, chats, completions, responses
from tests.support.examples import examples
from tests.support.late import Late

chat = Late("openai.types.chat")
response_types = Late("openai.types.responses")
streaming = Late("openai.lib.streaming.chat")

CHAT, OLD, RESPONSES = "chat/completions", "completions", "responses"
MAX_LINE_BYTES = 64 * 1024
# The SDK has no chunk for custom tool calls, and warns about annotations of unknown type.
KNOWN_TO_THE_SDK = chats(CITATIONS).filter(lambda answer: '"custom"' not in json.dumps(answer))


@cache
def _events():
    return TypeAdapter(response_types.ResponseStreamEvent)


def framed(answer, operation=CHAT, *, include_usage=True):
    return json_to_sse(json.dumps(answer).encode(), operation, include_usage=include_usage)


def folded(events, operation=CHAT):
    body = sse_to_json(events, operation)
    return None if body is None else json.loads(body)


def chunks_of(events):
    return [json.loads(data) for data in data_of(events) if data != b"[DONE]"]


@examples(400)
@given(chats())
def test_a_chat_is_the_same_after_both_conversions(answer):
    events = framed(answer)
    assert folded(events) == answer
    assert stream_is_complete(events, CHAT)
    assert max(map(len, events.splitlines())) < MAX_LINE_BYTES


@examples(100)
@given(completions())
def test_an_older_completion_is_the_same_after_both_conversions(answer):
    events = framed(answer, OLD)
    assert folded(events, OLD) == answer
    assert stream_is_complete(events, OLD)


@examples(150)
@given(responses())
def test_a_response_is_the_same_after_both_conversions(answer):
    events = framed(answer, RESPONSES)
    assert folded(events, RESPONSES) == answer
    assert stream_is_complete(events, RESPONSES)


@examples(150)
@given(responses())
def test_the_sdk_parses_the_events_of_a_response(answer):
    events = [_events().validate_json(data) for data in data_of(framed(answer, RESPONSES))]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    for name in ("added", "done"):
        assert kinds.count(f"response.output_item.{name}") == len(answer["output"])
    for event in events:
        if event.type in ("response.created", "response.in_progress"):
            assert (event.response.status, event.response.output) == ("in_progress", [])


@examples(150)
@given(responses())
def test_the_deltas_of_a_response_add_up_to_its_texts(answer):
    streamed, done = {}, {}
    for data in data_of(framed(answer, RESPONSES)):
        event = json.loads(data)
        place = [event.get(key) for key in ("output_index", "content_index", "summary_index")]
        kind, _, what = event["type"].rpartition(".")
        at = (kind, *place)
        if what == "delta":
            streamed[at] = streamed.get(at, "") + event["delta"]
        elif what == "done":
            texts = [
                event[key] for key in ("text", "refusal", "arguments", "input") if key in event
            ]
            done |= {at: texts[0]} if texts else {}
    assert {at: text for at, text in done.items() if text} == streamed


@examples(200)
@given(KNOWN_TO_THE_SDK)
def test_the_sdk_adds_the_chunks_up_to_the_same_chat(answer):
    state = streaming.ChatCompletionStreamState()
    for chunk in chunks_of(framed(answer)):
        state.handle_chunk(chat.ChatCompletionChunk.model_validate(chunk))
    theirs = state.current_completion_snapshot
    ours = chat.ChatCompletion.model_construct(**answer)
    assert (theirs.id, theirs.model) == (ours.id, ours.model)
    for choice, given_ in zip(theirs.choices, answer["choices"], strict=True):
        message = given_["message"]
        assert choice.finish_reason == given_["finish_reason"]
        assert (choice.message.content or "") == (message["content"] or "")
        assert (choice.message.refusal or "") == (message.get("refusal") or "")
        arguments = [
            (call.function.name, call.function.arguments)
            for call in choice.message.tool_calls or ()
            if call.type == "function"
        ]
        assert arguments == [
            (call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
            if call["type"] == "function"
        ]


@examples(100)
@given(chats())
def test_a_stream_includes_usage_only_if_asked(answer):
    with_usage, without = framed(answer), framed(answer, include_usage=False)
    assert not any("usage" in chunk for chunk in chunks_of(without))
    if answer.get("usage") is not None:
        *rest, last = chunks_of(with_usage)
        assert (last["choices"], last["usage"]) == ([], answer["usage"])
        assert all(chunk["usage"] is None for chunk in rest)
        assert chunks_of(without_usage(with_usage, CHAT)) == rest
    else:
        assert without_usage(with_usage, CHAT) == with_usage


@examples(60)
@given(chats())
def test_a_truncated_stream_is_never_complete(answer):
    events = framed(answer)
    end = len(events.rstrip())
    for at in [*range(0, end, max(1, end // 60)), end - 1]:
        assert not stream_is_complete(events[:at], CHAT)
        assert sse_to_json(events[:at], CHAT) is None


@examples(60)
@given(responses())
def test_a_truncated_response_is_never_complete(answer):
    events = framed(answer, RESPONSES)
    end = len(events.rstrip())
    for at in [*range(0, end, max(1, end // 60)), end - 1]:
        assert not stream_is_complete(events[:at], RESPONSES)
        assert sse_to_json(events[:at], RESPONSES) is None


def chunk(delta=None, finish=None, *, index=0, **more):
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    envelope = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**envelope, "choices": [choice], **more}


def stream(*chunks, end=b"data: [DONE]\n\n"):
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + end


HELLO, STOP = chunk({"role": "assistant", "content": "hi"}), chunk(finish="stop")


@pytest.mark.parametrize(
    "events",
    [
        stream(HELLO),
        stream(HELLO, STOP, end=b""),
        stream(HELLO, chunk(finish="content_filter")),
        stream(HELLO, chunk(finish="length"), chunk(finish="content_filter", index=1)),
        stream(HELLO, chunk({"content": "x"}, index=1), STOP),
        stream(HELLO, STOP, {"error": {"message": "overloaded"}}),
        stream(HELLO, STOP) + b"data: {}\n\n",
        b"event: error\ndata: {}\n\n" + stream(HELLO, STOP),
        b"",
        b"data: [DONE]\n\n",
    ],
    ids=[
        *("unfinished", "no end", "filtered", "one filtered", "one unfinished", "an error"),
        *("after the end", "an error's name", "nothing", "an end alone"),
    ],
)
def test_streams_that_broke_or_failed_are_not_complete(events):
    assert not stream_is_complete(events, CHAT)


def test_words_in_a_text_are_not_taken_for_fields_of_the_stream():
    text = '"error": {"x": 1} "finish_reason": "content_filter" data: [DONE]\n\nevent: error\n'
    events = stream(chunk({"role": "assistant", "content": text}), STOP)
    assert stream_is_complete(events, CHAT)
    assert folded(events)["choices"][0]["message"]["content"] == text
    assert not stream_is_complete(stream(chunk({"content": '"finish_reason": "stop"'})), CHAT)


def test_a_null_error_and_errors_inside_values_are_not_failures():
    assert stream_is_complete(stream({**HELLO, "error": None}, STOP), CHAT)
    filtered = {"content_filter_results": {"error": {"code": "content_filter_error"}}}
    assert stream_is_complete(stream({**HELLO, "x": filtered}, STOP), CHAT)


@pytest.mark.parametrize(
    "chunks",
    [
        [{"thinking": "a"}, {"thinking": "b"}],
        [{"content": [{"type": "text"}]}],
        [{"tool_calls": [{"id": "a"}]}],
        [{"tool_calls": [{"index": 0, "id": "a"}, {"index": 0, "id": "b"}]}],
        [{"tool_calls": {"index": 0}}],
        [{"content": 5}],
    ],
    ids=["an unknown text", "parts", "no index", "two ids", "no list", "a number"],
)
def test_ambiguous_chunks_are_not_converted(chunks):
    events = stream(*map(chunk, chunks), STOP)
    assert stream_is_complete(events, CHAT)
    assert sse_to_json(events, CHAT) is None


@pytest.mark.parametrize(
    "events",
    [
        b"data: not json\n\n" + stream(HELLO, STOP),
        b"data: [1]\n\n" + stream(HELLO, STOP),
        b"hello\n\n" + stream(HELLO, STOP),
        b'data: {"choices":\ndata: []}\n\n' + stream(HELLO, STOP),
        stream({**HELLO, "choices": [{"delta": {}}]}, STOP),
        stream({**HELLO, "object": "something"}, {**STOP, "object": "something"}),
        stream({**HELLO, "created": 1e300}, STOP).replace(b"1e+300", b"1e400"),
    ],
    ids=["no JSON", "no object", "no field", "two lines", "no index", "another kind", "too big"],
)
def test_a_stream_of_unknown_shape_is_not_converted(events):
    assert sse_to_json(events, CHAT) is None


def test_unknown_fields_that_come_once_are_kept():
    once = chunk({"role": "assistant", "content": "hi", "thinking": {"a": 1}}, x_top=7)
    answer = folded(stream(once, chunk({"thinking": None}), STOP))
    assert answer["choices"][0]["message"]["thinking"] == {"a": 1}
    assert answer["x_top"] == 7


def test_comments_event_names_and_line_ends_do_not_matter():
    plain = stream(HELLO, STOP)
    dressed = (b": ka\n\n" + plain.replace(b"data: ", b"event: x\nid: 1\ndata:")).replace(
        b"\n", b"\r\n"
    )
    assert folded(dressed) == folded(plain)
    assert stream_is_complete(dressed, CHAT)


def test_azures_first_chunk_only_adds_the_filter_results():
    prompt = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    prompt["prompt_filter_results"] = [{"prompt_index": 0}]
    answer = folded(stream(prompt, HELLO, STOP))
    assert (answer["id"], answer["created"], answer["model"]) == ("c", 1, "m")
    assert answer["prompt_filter_results"] == [{"prompt_index": 0}]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_only_the_usage_chunk_is_removed(line_end):
    usage = {**HELLO, "choices": [], "usage": {"prompt_tokens": 1}}
    rest = stream({**HELLO, "usage": None}, {**STOP, "usage": None})
    whole = stream({**HELLO, "usage": None}, {**STOP, "usage": None}, usage)
    assert without_usage(whole.replace(b"\n", line_end), CHAT) == rest.replace(b"\n", line_end)


@pytest.mark.parametrize(
    "events",
    [
        stream(HELLO, STOP),
        stream(HELLO, {**STOP, "usage": {"prompt_tokens": 1}}),
        stream(HELLO, {**STOP, "choices": [], "usage": None}),
        stream(chunk({"content": '"usage"'}), STOP),
        b"",
        b'"usage"',
    ],
)
def test_without_a_usage_chunk_nothing_is_removed(events):
    assert without_usage(events, CHAT) == events


@pytest.mark.parametrize(
    ("body", "operation"),
    [
        (b"", CHAT),
        (b"[]", CHAT),
        (b"{}", CHAT),
        (b'{"object": "chat.completion", "choices": []}', CHAT),
        (b'{"object": "chat.completion", "choices": [{"index": 0}]}', CHAT),
        (b'{"object": "chat.completion", "choices": [5]}', CHAT),
        (b'{"object": "list", "data": []}', "embeddings"),
        (b'{"object": "response", "status": "incomplete", "output": []}', RESPONSES),
        (b'{"object": "response", "status": "completed"}', RESPONSES),
        (
            b'{"object": "response", "status": "completed", "output": [{"type": "message"}]}',
            RESPONSES,
        ),
    ],
)
def test_an_object_of_unknown_shape_is_not_converted(body, operation):
    assert json_to_sse(body, operation, include_usage=True) is None


def test_a_response_may_end_with_done_but_not_with_a_failure():
    events = framed(
        {"id": "r", "object": "response", "status": "completed", "output": []}, RESPONSES
    )
    assert stream_is_complete(events + b"data: [DONE]\n\n", RESPONSES)
    failed = events.replace(b'"response.completed"', b'"response.failed"')
    assert not stream_is_complete(failed, RESPONSES)
    assert not stream_is_complete(events.replace(b'"completed"', b'"incomplete"'), RESPONSES)
