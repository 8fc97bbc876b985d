"""Messages in both representations, and which of them are complete."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from llmproxy.batteries.cache.representations import (
    is_complete,
    json_to_sse,
    sse_to_json,
    stream_is_complete,
)
from tests.support.examples import examples
from tests.support.late import Late

anthropic_types = Late("anthropic.types")

TEXT = st.text(max_size=450)
VALUES = st.recursive(st.integers(-9, 9) | st.text(max_size=9), st.lists, max_leaves=4)
INPUT = st.dictionaries(st.text(max_size=9), VALUES, max_size=3)
CITED = {
    "type": "char_location",
    "cited_text": "a",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 1,
    "file_id": None,
}
BLOCK = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("text"),
            "text": TEXT,
            "citations": st.none() | st.lists(st.just(CITED), min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXT, "signature": TEXT}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": TEXT}),
    st.fixed_dictionaries(
        {"type": st.just("tool_use"), "id": st.just("toolu_1"), "name": TEXT, "input": INPUT}
    ),
)
USAGE = {"input_tokens": 4, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 6}


def message(content, *, stopped="end_turn", output_tokens=7):
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": content,
        "stop_reason": stopped,
        "stop_sequence": None,
        "usage": {**USAGE, "output_tokens": output_tokens},
    }


HELLO = message([{"type": "text", "text": "Hello"}])
ENDS_WELL = ["end_turn", "max_tokens", "stop_sequence", "tool_use"]


def framed(answer):
    return json_to_sse(json.dumps(answer).encode(), "messages", include_usage=False)


def folded(events):
    body = sse_to_json(events, "messages")
    return None if body is None else json.loads(body)


@examples(200)
@given(st.lists(BLOCK, max_size=4), st.sampled_from(ENDS_WELL), st.integers(0, 99))
def test_a_message_is_the_same_after_both_conversions(content, stopped, output_tokens):
    answer = message(content, stopped=stopped, output_tokens=output_tokens)
    events = framed(answer)
    assert folded(events) == answer
    assert stream_is_complete(events, "messages")
    assert is_complete(json.dumps(answer).encode(), "messages")


def test_the_client_of_anthropic_reads_every_event():
    tool = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}}
    thought = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    known = TypeAdapter(anthropic_types.RawMessageStreamEvent)
    lines = framed(message([thought, *HELLO["content"], tool])).splitlines()
    data = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    kinds = [known.validate_json(each).type for each in data]
    assert kinds[0] == "message_start"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 3
    assert kinds[-2:] == ["message_delta", "message_stop"]


def test_a_stream_as_anthropic_writes_it_becomes_its_message():
    events = b"""event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":4,"cache_read_input_tokens":5,"cache_creation_input_tokens":6,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}

event: message_stop
data: {"type":"message_stop"}

"""  # noqa: E501 - as they come over the wire
    assert folded(events) == HELLO
    assert stream_is_complete(events, "messages")


@pytest.mark.parametrize(
    "stopped", ["refusal", "pause_turn", "model_context_window_exceeded", None]
)
def test_a_message_that_did_not_end_by_itself_is_not_complete(stopped):
    answer = message([{"type": "text", "text": '"stop_reason":"end_turn"'}], stopped=stopped)
    assert not is_complete(json.dumps(answer).encode(), "messages")
    whole = framed(HELLO).replace(b'"end_turn"', json.dumps(stopped).encode())
    assert not stream_is_complete(whole, "messages")


def test_a_stream_that_was_cut_or_reports_an_error_is_not_complete():
    events = framed(HELLO)
    for cut in range(0, len(events) - 2, 7):
        assert not stream_is_complete(events[:cut], "messages")
        assert folded(events[:cut]) is None
    failed = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'
    assert not stream_is_complete(events + failed, "messages")
    assert folded(events + failed) is None


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b"not JSON", b'{"type":"message"}', b'{"type":"error","error":{}}']
)
def test_what_is_no_message_is_not_converted(body):
    assert json_to_sse(body, "messages", include_usage=True) is None
